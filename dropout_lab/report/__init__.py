"""The HTML page about runs and sweeps. It needs no other file and no network.

page    what each section of the page shows; templates/report.html is the page
runs    which runs and sweeps the page shows, and what is wrong with the others
live    a page of the curves so far, while networks train
curves  the curves, as the lines of charts and as data
images  the hardest test images
"""
