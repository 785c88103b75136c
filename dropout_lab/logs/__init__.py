"""What other programs logged of their trainings, read as the curves of one seed. Knows nothing of runs.

columns    which column of a log holds which measure: by its name, or as the user says
read       READERS, where you add a kind of log: a file or directory as entries
curve      the entries of a log, epoch by epoch
predicted  the labels and predictions of the test images
"""
