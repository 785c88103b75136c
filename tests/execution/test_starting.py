"""The laws of processes inside a program of somebody else: however it was started, its networks train."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import Lab

import dropout_lab as api

CONFIG = 'config = {"data": {"dataset": "digits"}, "network": {"hidden": [16]}, "training": {"epochs": 1}}\n'
UNGUARDED = (
    CONFIG
    + """
import multiprocessing, sys
import dropout_lab as lab
print("top", flush=True)
process, program = multiprocessing.current_process(), sys.modules["__main__"]

def work():
    process.daemon = True  # as in a pool
    print(lab.sweep(config, [0.2], jobs=2).sweep.name, flush=True)
    print(process.daemon, sys.modules["__main__"] is program, flush=True)

work()
"""
)
FORKED = (
    CONFIG
    + """
import multiprocessing, sys
import torch
import dropout_lab as lab
torch.set_num_threads(2)
torch.randn(2000, 2000).mul_(2.0)  # its threads start, and do not come along into a forked process

def work(name):
    run = lab.train(config, name=name)
    lab.evaluate(run, 2)
    return *run.seeds, torch.get_num_threads()

with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.map_async(work, ["a"]).get(float(sys.argv[1])))
"""
)


def test_a_program_without_a_guard_from_stdin_in_a_daemon_trains_in_processes(lab: Lab) -> None:
    """Nothing of the program runs again in the processes, which start though a daemon may have no children."""
    result = subprocess.run([sys.executable, "-"], input=UNGUARDED, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stdout == "top\nexperiment-sweep\nTrue True\n", result


@pytest.mark.slow
def test_a_program_in_a_file_without_a_guard_trains_in_processes(lab: Lab) -> None:
    (lab.path / "program.py").write_text(UNGUARDED)
    result = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stdout == "top\nexperiment-sweep\nTrue True\n", result


def test_a_forked_process_does_not_wait_for_threads_that_it_has_not(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")  # else there is one thread anyway
    result = subprocess.run([sys.executable, "-c", FORKED, "120"], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout == "[(0, 2)]\n", result


def test_results_and_errors_can_be_sent_copied_and_be_keys(lab: Lab) -> None:
    run = api.train("tiny.yaml", name="a")
    table = api.sweep("tiny.yaml", [0.2], name="s")
    for thing in (run, table, api.train):
        assert repr(pickle.loads(pickle.dumps(thing))) == repr(copy.deepcopy(thing)) == repr(thing)
    assert {run: 1}[api.load("runs/a")] == 1
    with pytest.raises(api.Refused) as refused:
        api.train({"data": {"dataset": Path}})
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
