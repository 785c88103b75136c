"""One finished run in depth: averaged passes, ensembles, calibration, uncertainty, features.

evaluate  measure all of it
tables    an evaluation as text, JSON and CSV
figures   the pictures of an evaluation; add one here
"""
