"""What each command does. The command line and the Python API call these functions.

names     what the words of a command line mean: a run, a directory, a config
plan      what is missing of runs, planned and trained
compare   compare
sweep     sweep
evaluate  evaluate
plot      plot
export    export
doctor    doctor
listing   list; one run's result; the plan
progress  what a person sees while networks train
tracking  events for TensorBoard
"""
