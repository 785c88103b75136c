"""The same plan on the workers of a Dask cluster.

join        join a cluster; a cluster is a place to train
members     who is there: workers, their memory and environments
distribute  units to workers, every epoch recorded once
tasks       a source: units as Dask tasks
worker      what happens on a worker
"""
