"""What each command does: one function a command, which the command line and the Python API call.

arguments  the edge of the Python API: what a caller gives, made plain and checked; warnings
result    what a command comes to, and who is told while it works
names     what the words of a command line mean: a run, a directory, a config
plan      what is missing of runs: planned, announced, trained
swept     a sweep in the runs directory: its jobs, its table with file and picture
tune      each run at its best settings, chosen on validation
until     --until-decided: more seeds until the verdict is decided
train     train
imported  import
merge     merge
compare   compare
sweep     sweep
variance  variance
power     power
evaluate  evaluate
reproduce  reproduce
theory    theory
plot      plot
report    report
lesson    lesson
export    export
doctor    doctor
init      init
data      data fetch, data verify, data where
listing   list; one run's result; the plan
progress  what a person sees while networks train
chart     losses drawn in a terminal
live_page  --live-page: a page of the curves while networks train
tracking  events for TensorBoard
"""
