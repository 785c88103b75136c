"""The data sets: downloaded, verified, read, scaled and split.

datasets  DATASETS: add a data set here; find, verify and load one
scale     SCALES: how pixels become the numbers that a network sees
split     which images train and which validate; label noise
idx       MNIST and other image sets in its file format: verify, read, download
npz       a user's own data in one .npz file
tables    a user's own table: .csv or .parquet
"""
