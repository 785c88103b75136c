"""The laws of array jobs: processes that train seeds of one run wait for their turn, and nothing is lost."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import TINY, Lab

import dropout_lab as api
from dropout_lab import storage
from dropout_lab.commands import train as training
from dropout_lab.errors import Refused

SAME = ("metrics.csv", "weights.safetensors", "predictions.npz")
HOLD = """
import sys
from pathlib import Path
from dropout_lab.storage import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""
LAB = [sys.executable, "-m", "dropout_lab"]


@pytest.fixture
def busy(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that writes runs/tiny, until it is told to stop: when somebody waits for the first time."""
    (lab.runs / "tiny").mkdir(parents=True)
    command = [sys.executable, "-c", HOLD, str(lab.runs / "tiny")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline()
        sleep = time.sleep

        def waits(seconds: float) -> None:
            if seconds == storage.WAITING:
                process.communicate("\n")
            sleep(0.01)

        monkeypatch.setattr(time, "sleep", waits)
        yield process
        process.kill()


def test_a_run_that_another_process_writes_is_waited_for(busy: subprocess.Popen[str], lab: Lab) -> None:
    refused = lab("train tiny.yaml --quiet")
    assert refused.code == 2 and f"({busy.pid}) is writing here; wait for it" in refused.err
    outcome = lab("train tiny.yaml --wait --quiet")
    said = f"note: runs/tiny: waiting for the process that is writing here ({busy.pid}); Ctrl-C ends the wait"
    assert outcome.code == 0 and outcome.err.count(said) == 1 and busy.returncode == 0, outcome


def test_python_waits_too_and_is_warned(busy: subprocess.Popen[str], lab: Lab) -> None:
    with pytest.warns(UserWarning, match=rf"runs/tiny: waiting for the process .* \({busy.pid}\)"):
        assert api.train("tiny.yaml", wait=True).seeds == (0,)


def test_nobody_waits_for_what_is_finished_or_only_planned(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab("train tiny.yaml --wait --dry-run").code == 0 and not lab.runs.exists()
    assert lab("train tiny.yaml --wait --quiet").code == 0
    monkeypatch.setattr(storage, "turn", None)
    assert lab("train tiny.yaml --wait --quiet").code == 0


def test_the_turn_lasts_until_the_result_is_read(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the next process makes the run unfinished before this one has shown it."""
    held = []

    def load(path: Path) -> api.Run:
        with open(path / ".lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(path)
        return api.load(path)

    monkeypatch.setattr(training, "load", load)
    assert lab("train tiny.yaml --wait --quiet").code == 0 and len(held) == 1
    assert lab("train tiny.yaml --wait --quiet --seeds 2").code == 0 and len(held) == 2
    assert not storage.holder(held[0])


def test_what_another_process_has_trained_meanwhile_is_not_trained_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, trained = storage.turn, []

    def late(path: Path, waits: object) -> object:
        monkeypatch.setattr(storage, "turn", turn)
        api.train("tiny.yaml")
        trained.append((lab.runs / "tiny/metrics.csv").stat())
        return turn(path, lambda process: None)

    monkeypatch.setattr(storage, "turn", late)
    assert lab("train tiny.yaml --wait --quiet").code == 0
    assert (lab.runs / "tiny/metrics.csv").stat().st_mtime_ns == trained[0].st_mtime_ns


def test_a_wait_that_could_not_end_well_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = lab("train tiny.yaml --wait --fresh")
    assert outcome.code == 2 and "--fresh: must be left out with --wait" in outcome.err
    (lab.path / "own.yaml").write_text(TINY.replace("digits", "mnist"))
    outcome = lab("train own.yaml --wait --quiet")
    assert outcome.code == 2 and not lab.runs.exists()

    def lacks(*_: object) -> None:
        raise OSError(37, os.strerror(37))

    monkeypatch.setattr(fcntl, "flock", lacks)
    outcome = lab("train tiny.yaml --wait --quiet")
    assert outcome.code == 2 and "--wait: needs locks, which this file system lacks" in outcome.err


def test_only_a_turn_may_be_locked_again(tmp_path: Path) -> None:
    with storage.turn(tmp_path, lambda process: None), storage.locked(tmp_path):
        assert not storage.holder(tmp_path)
    with storage.locked(tmp_path), pytest.raises(Refused), storage.locked(tmp_path):
        pass


@pytest.mark.slow
def test_ctrl_c_ends_a_wait(lab: Lab) -> None:
    (lab.runs / "tiny").mkdir(parents=True)
    with storage.locked(lab.runs / "tiny"):
        waits = subprocess.Popen([*LAB, "train", "tiny.yaml", "--wait"], stderr=subprocess.PIPE, text=True)
        assert waits.stderr
        while "waiting" not in waits.stderr.readline():
            pass
        waits.send_signal(signal.SIGINT)
        waits.communicate()
        assert waits.returncode == 130


@pytest.mark.slow
def test_four_processes_at_once_come_to_the_bytes_of_one(lab: Lab) -> None:
    tasks = [
        subprocess.Popen([*LAB, "train", "tiny.yaml", "--wait", "--name", "array", "--seeds", f"{seed}..{seed}"])
        for seed in range(4)
    ]
    assert [task.wait(200) for task in tasks] == [0, 0, 0, 0]
    together = api.train("tiny.yaml", seeds=4, name="together")
    for name in SAME:
        assert (lab.runs / "array" / name).read_bytes() == (together.path / name).read_bytes()
