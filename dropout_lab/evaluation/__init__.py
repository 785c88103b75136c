"""A finished run looked at closely: averaging, uncertainty, features.

evaluate  what is measured
tables    an evaluation as text, JSON and CSV
figures   its pictures
"""
