"""The data sets: found, verified, read, scaled and split.

datasets  DATASETS; load, scale and split a data set
idx       MNIST and its kin: verify, read, download
npz       a user's own data in one .npz file
"""
