"""The same plan on the workers of a Dask cluster.

join        join a cluster, check its workers, plan for them
distribute  units to workers, every epoch recorded once
tasks       a unit is a task of Dask's
worker      what a worker does
"""
