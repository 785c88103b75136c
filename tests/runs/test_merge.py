"""The laws of merging: runs that differ in seeds alone become the run that trains these seeds together, or nothing."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commandline import TINY, Lab
from comparable import forge, reseal

import dropout_lab as api
from dropout_lab.errors import Failed, Refused
from dropout_lab.runs import merge as merging

SAME = ("metrics.csv", "weights.safetensors", "predictions.npz")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory: the seeds 0 to 3 together, and in parts; seed 2 at another rate; a run that diverges."""
    here = tmp_path_factory.mktemp("merge")
    (here / "tiny.yaml").write_text(TINY)
    config, runs = here / "tiny.yaml", here / "runs"
    for name, seeds in {"together": "0..3", "a": "2..3", "b": "0..1", "again": "1..2"}.items():
        api.train(config, seeds=seeds, name=name, runs_dir=runs)
    api.train(config, "dropout.rate=0.3", seeds="4..4", name="other", runs_dir=runs)
    for name, seeds in {"lost-together": "0..1", "lost-0": "0..0", "lost-1": "1..1"}.items():
        wild = ("training.optimizer=sgd", "training.learning_rate=1e30")
        api.train(config, *wild, seeds=seeds, name=name, runs_dir=runs)
    return runs


@pytest.fixture
def parts(trained: Path, lab: Lab) -> Lab:
    """These runs, in a directory to work in."""
    shutil.copytree(trained, lab.runs)
    return lab


def files(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in SAME}


def test_merged_runs_have_the_bytes_of_seeds_trained_together(parts: Lab) -> None:
    before = {name: files(parts.runs / name) for name in ("a", "b")}
    outcome = parts("merge all a b")
    assert outcome.code == 0 and "4 seeds (0-3)" in outcome.out and (parts.runs / "all/curves.png").exists()
    assert files(parts.runs / "all") == files(parts.runs / "together")
    assert before == {name: files(parts.runs / name) for name in ("a", "b")}
    config, together = ((parts.runs / name / "config.yaml").read_text() for name in ("all", "together"))
    assert config == together.replace("name: together", "name: all")
    timing = [line.split(",")[:2] for line in (parts.runs / "all/timing.csv").read_text().splitlines()]
    assert len(timing) == 9 and timing[1:] == sorted(timing[1:])
    again = parts("train tiny.yaml --name all --seeds 5 --quiet")
    assert again.code == 0 and "1 network to train" in again.err
    with pytest.raises(Refused, match="all: name: exists already; choose another name"):
        api.merge("all", "a", "b")


def test_a_seed_that_two_runs_have_must_be_the_same_in_both(parts: Lab) -> None:
    run = api.merge("all", parts.runs / "b", api.load("runs/again"), "a")
    assert run.seeds == (0, 1, 2, 3) and files(run.path) == files(parts.runs / "together")
    arrays = dict(np.load(parts.runs / "again/predictions.npz"))
    arrays["probabilities"][0, 0] = arrays["probabilities"][0, 0][::-1].copy()
    np.savez(buffer := io.BytesIO(), **arrays)
    forge(parts.runs / "again", "predictions.npz", buffer.getvalue())
    outcome = parts("merge more b again a")
    assert outcome.code == 2 and "again: seed 1: is in runs/b too, with other results" in outcome.err
    assert not (parts.runs / "more").exists()


def test_diverged_seeds_are_merged_too(parts: Lab) -> None:
    outcome = parts("merge lost lost-1 lost-0")
    assert outcome.code == 1 and "seeds 0-1 diverged" in outcome.err
    assert files(parts.runs / "lost") == files(parts.runs / "lost-together")


def test_whatever_else_differs_is_refused_and_named(parts: Lab) -> None:
    tree = parts.tree()
    outcome = parts("merge all a other")
    reason = "must be 0.5 as in runs/a: only runs that differ in seeds alone are one run (got 0.3)"
    assert outcome.code == 2 and f"runs/other: dropout.rate: {reason}" in outcome.err
    for line, said in {
        "merge all a": "runs: must be 2 or more",
        "merge all a a": "runs: must be different ones",
        "merge a/b a b": "NAME: must be 1 to 64 of",
        "merge ../b a b": "NAME: must be 1 to 64 of",
        "merge a b again": "runs/a: name: exists already",
        "merge all a none": "no run and no config has this name",
    }.items():
        outcome = parts(line)
        assert outcome.code == 2 and said in outcome.err, (line, outcome)
    assert parts.tree() == tree


@pytest.mark.parametrize("key", [*merging.DECIDES, "data_sha256"])
def test_other_data_and_another_environment_are_refused(key: str, parts: Lab) -> None:
    found = api.load("runs/a").summary
    environment = found.environment | {key: "another"}
    reseal(parts.runs / "a", **({key: "another"} if key == "data_sha256" else {"environment": environment}))
    with pytest.raises(Refused, match=rf"runs/a: {key.replace('_', '.')}: must be .* as in runs/b"):
        api.merge("all", "b", "a")
    reseal(parts.runs / "a", data_sha256=found.data_sha256, environment=found.environment | {"threads": 99})
    assert "threads" not in api.merge("all", "b", "a").summary.environment


def test_an_unfinished_run_is_refused(parts: Lab) -> None:
    (parts.runs / "a/summary.json").unlink()
    outcome = parts("merge all a b")
    assert outcome.code == 2 and "runs/a: run: is not finished; train it to its end first" in outcome.err


KILL = """
import os, signal, sys
import dropout_lab as api
from dropout_lab import storage
left, replace = int(sys.argv[1]), os.replace
def last(old, new):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(old, new)
os.replace = last
api.merge("all", "a", "b")
"""


def test_a_merge_that_is_killed_leaves_no_run_and_the_next_one_cleans_up(parts: Lab) -> None:
    killed = subprocess.run([sys.executable, "-c", KILL, "3"], cwd=parts.path, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (parts.runs / "all").exists() and list(parts.runs.glob(".all.*.merging"))
    assert "merging" not in parts("list").out
    assert parts("merge all a b").code == 0 and not list(parts.runs.glob(".*"))


def test_a_disk_that_is_full_leaves_nothing(parts: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, replace = parts.tree(), os.replace

    def full(old: Path, new: Path) -> None:
        if new.name == "predictions.npz":
            raise OSError(28, "No space left on device")
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Failed, match=r"predictions.npz: cannot be written: No space left"):
        api.merge("all", "a", "b")
    assert parts.tree() == tree


def test_a_run_that_appears_meanwhile_is_left_alone(parts: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write = merging.write_files

    def meanwhile(*what: object) -> None:
        write(*what)  # type: ignore[arg-type]
        (parts.runs / "all").mkdir()

    monkeypatch.setattr(merging, "write_files", meanwhile)
    with pytest.raises(Refused, match="exists already"):
        api.merge("all", "a", "b")
    assert not list((parts.runs / "all").iterdir()) and not list(parts.runs.glob(".*"))
