"""How a plan is carried out on this machine: what trains side by side, in which process, and who writes it down.

units     what trains side by side: tasks and units, and the events that tell how it goes
layout    this machine as a place to train: processes, threads, lanes and memory
execute   jobs in, events out; what a place and a source of finished work are
sources   who trains on this machine: this process, or worker processes
workers   train one unit and report it, here or in a worker process
machine   cores, cache, free memory, CUDA devices; versions, device, commit
"""
