"""What a few seeds can say: measure runs, pair their seeds, judge, and put the verdict into words.

metrics    METRICS: what is measured once a seed
inference  intervals, tests and verdicts: numbers in, numbers out
compare    check the conditions, pair the seeds, judge
verdict    the verdict as a sentence
tables     a comparison as text, Markdown, CSV and JSON
gate       --fail-if
"""
