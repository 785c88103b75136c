"""A sweep: one run for each setting, judged against the baseline.

files       sweep.yaml and sweep.csv, each with its one reader
plan        settings become a list of runs
judge       each setting against its baseline; the setting chosen on validation; the table of a sweep
tuning      several settings over one grid, each at its best on validation
crossing    every combination of seeds of a config's random streams, as a sweep
spread      what each stream of a crossing contributes to the spread over networks
next_steps  the commands that a sweep suggests at its end
"""
