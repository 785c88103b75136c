"""One HTML page about runs and sweeps, which needs no other file.

page    the page
runs    the runs and sweeps that can be shown
curves  its curves
images  which test images are hardest
"""
