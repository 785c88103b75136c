"""The HTML page about runs and sweeps. It needs no other file and no network.

page    the page, from top to bottom
runs    which runs and sweeps the page shows, and which cannot be shown
curves  the curves, as SVG and as data
images  the hardest test images
"""
