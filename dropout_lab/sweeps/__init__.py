"""One run for each setting: planned, and judged against the baseline.

plan        settings become runs
judge       each setting against its baseline, and the choice on validation
next_steps  the commands that go on from a sweep
"""
