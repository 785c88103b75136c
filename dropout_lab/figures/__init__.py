"""The pictures of runs, comparisons and sweeps.

plots  PLOTS: each draws loaded runs; add a plot here
spread  where the spread over networks comes from; power against seeds
style  the page that a picture stands on: panels, legends, colours, sizes, file formats
"""
