"""Pictures: what is drawn, and how it looks.

plots  PLOTS: loaded runs become figures
style  the sheet that a figure is: panels, legends, styles, sizes
"""
