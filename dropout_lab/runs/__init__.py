"""The run directory: what is asked of it, what is in it, and its one writer.

find        where run directories are, and how far each has come
summary     summary.json: one model, checked when written and when read
row         what training reports: a row for every epoch, snapshots, an outcome
read        a finished run: its config, tables, predictions and weights
job         a run directory to bring up to date with a config
record      the one writer of a run directory
checkpoint  one sealed file a seed while it trains
finish      the final files, from what was recorded
"""
