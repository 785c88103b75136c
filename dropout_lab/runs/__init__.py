"""The run directory: what is asked of it, what is in it, and its one writer.

read        rows, summary and state of a run, as everything reads them
job         a run directory to bring up to date with a config
record      the one writer of a run directory
checkpoint  one sealed file a seed while it trains
finish      the final files, from what was recorded
"""
