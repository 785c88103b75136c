"""The run directory: its files, their one writer, and everything that reads them.

find        where run directories are, and how far each has come
summary     summary.json: one model, checked when written and when read
row         what training reports: a row for every epoch, snapshots, an outcome
read        a finished run: its config, tables, predictions and weights
job         a run directory, and the config and seeds asked of it
record      the one writer of a run directory
checkpoint  one sealed file per seed while it trains
finish      the final files, made from the records, and read back into records
imported    a run made of what another program logged
merge       one run made of finished runs that differ in seeds alone
"""
