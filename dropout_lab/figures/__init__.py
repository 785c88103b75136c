"""The pictures of runs, comparisons and sweeps.

plots  PLOTS: each draws loaded runs; add a plot here
style  the page that a picture stands on: panels, legends, colours, sizes, file formats
"""
