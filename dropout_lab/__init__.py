"""dropout-lab: what does dropout do to this network, on this data, and can we trust the answer?"""

__version__ = "0.1.0"
