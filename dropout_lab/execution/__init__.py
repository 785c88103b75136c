"""How a plan is carried out on this machine: what trains beside what, in which process, and who writes it down.

lanes        what trains side by side: units, processes, threads, memory
execute      run a plan: jobs in, events out
workers      train units in this process or in several
environment  versions, machine, device, commit
devices      what a device's name means, without torch
"""
