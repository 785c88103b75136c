"""Comparing runs: measure each seed, pair the seeds, decide the verdict, and put it into words.

metrics    METRICS: what is measured for each seed; add a metric here
inference  intervals, p-values, and the rule that decides the verdict; numbers in, numbers out
looks      at which seeds a verdict on a pair of runs was shown before
compare    two or more runs: check their conditions, pair their seeds, apply inference to each metric
verdict    the words of a comparison: the verdict as a sentence, conditions, notes
terms      what each word and metric of a comparison means, for --explain
tables     a comparison as text, Markdown, CSV and JSON
gate       --fail-if: parse a condition and test a comparison against it
power      how many seeds find a difference of a size
variance   how much of the spread comes from first weights, batch order and masks
"""
