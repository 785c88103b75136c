"""The data sets: downloaded, verified, read, scaled and split.

datasets  DATASETS: add a data set here; load, scale and split one
idx       MNIST and other image sets in its file format: verify, read, download
npz       a user's own data in one .npz file
"""
