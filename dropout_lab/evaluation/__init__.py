"""One finished run in depth: averaging, uncertainty, features.

evaluate     the entry function, and all that it finds, ensembles included
averaging    passes with dropout on, the error of their mean, scores, calibration
uncertainty  how much the passes disagree, and what they say about a turned digit
features     what the hidden layers hand on, and the error without some units
tables       an evaluation as text, JSON and CSV
figures      the pictures of an evaluation, FIGURES; add one here
"""
