"""What a person reads of runs: results, the list with its damaged runs, the plan, and progress."""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commandline import Lab
from comparable import with_last, write_run
from rich.console import Console

from dropout_lab import cost, terminal
from dropout_lab.commands import listing, progress
from dropout_lab.config import resolve as configs
from dropout_lab.execution.layout import Layout
from dropout_lab.runs.find import is_run
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import DivergedSeed, FinishedSeed, Results
from dropout_lab.text import BLOCKS, as_text, sparkline


def ages(lab: Lab, *names: str) -> None:
    """Make the runs as old as their place in `names` says, the oldest first."""
    for age, name in enumerate(names):
        os.utime(lab.runs / name, (1_000_000_000 + age, 1_000_000_000 + age))


# The list


def test_the_list_has_every_run_newest_first_and_nothing_else(lab: Lab) -> None:
    write_run(lab.runs, "old", [0.9, 0.92])
    write_run(lab.runs / "sweep", "rate-0.5", [0.8], rate=0.5)
    (lab.runs / "sweep/sweep.yaml").write_text("name: sweep\n")
    write_run(lab.runs, "new", [0.7], diverged=[0])
    (lab.runs / "_comparisons/a-vs-b").mkdir(parents=True)
    (lab.runs / "notes").mkdir()
    ages(lab, "old", "sweep/rate-0.5", "new")
    outcome = lab("list")
    assert outcome.code == 0 and not outcome.err
    head, *lines = outcome.out.splitlines()
    assert head.split("  ")[0] == "run"
    assert [line.split()[0] for line in lines] == ["new", "sweep/rate-0.5", "old"]
    assert lines[2].split() == ["old", "finished", "2", "3", "91.00", "█▁▄"]
    assert "1 (1 diverged)" in lines[0] and " - " in lines[0]
    report = json.loads(lab("list --json").out)
    assert report["schema_version"] == 1 and report["runs"][2]["test_accuracy"] == pytest.approx(0.91)
    assert [len(run["val_loss"]) for run in report["runs"]] == [1, 3, 3]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("summary.json", b"{", "summary.json: file: is not readable JSON"),
        ("summary.json", b"[1]", "summary.json: format: must be 3"),
        ("summary.json", b'{"format": 1, "seeds": {"0": []}, "files": {}}', "summary.json: "),
        ("metrics.csv", None, "metrics.csv: file: is missing"),
        ("metrics.csv", b"seed,epoch\n", "metrics.csv: sha256: differs"),
        ("config.yaml", b"nonsense: 1\n", "config.yaml:1: nonsense: unknown key"),
    ],
)
def test_a_damaged_run_is_listed_with_what_is_wrong(file: str, content: bytes | None, reason: str, lab: Lab) -> None:
    write_run(lab.runs, "good", [0.9])
    path = write_run(lab.runs, "bad", [0.9]).path / file
    path.unlink() if content is None else path.write_bytes(content)
    outcome = lab("list")
    assert outcome.code == 0
    assert [line.split()[:2] for line in outcome.out.splitlines() if line.startswith("bad")] == [["bad", "damaged"]]
    assert f"damaged   runs/bad/{reason}" in outcome.out
    assert any(line.startswith("good") and "finished" in line for line in outcome.out.splitlines())
    (entry,) = [entry for entry in json.loads(lab("list --json").out)["runs"] if entry["name"] == "bad"]
    assert entry["status"] == "damaged" and reason in entry["reason"]


@pytest.mark.parametrize("rows", [b"", b"seed,epoch,val_loss\n", b"seed,epoch,val_loss\n0,1,0.5\n0,2,nan\n"])
def test_an_interrupted_run_shows_how_far_it_came(rows: bytes, lab: Lab) -> None:
    run = write_run(lab.runs, "half", [0.9, 0.9])
    (run.path / "summary.json").unlink()
    (run.path / "metrics.csv").write_bytes(rows)
    done = max(0, rows.count(b"\n") - 1)
    line = lab("list").out.splitlines()[1]
    assert line.split()[:5] == ["half", "interrupted", "2", f"{done}/3", "-"]
    assert [entry["status"] for entry in json.loads(lab("list --json").out)["runs"]] == ["interrupted"]


@pytest.mark.parametrize(
    "rows", [b"\xff\xfe", b"seed\n1\n", b"seed,epoch,val_loss\n0,one,0.5\n", b"epoch,val_loss\n1\n"]
)
def test_rows_that_make_no_sense_are_damage(rows: bytes, lab: Lab) -> None:
    run = write_run(lab.runs, "half", [0.9])
    (run.path / "summary.json").unlink()
    (run.path / "metrics.csv").write_bytes(rows)
    outcome = lab("list")
    assert outcome.code == 0 and "damaged   runs/half/metrics.csv: is no table of epochs" in outcome.out


def test_a_run_that_is_moved_aside_meanwhile_is_not_listed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(lab.runs, "stays", [0.9])
    write_run(lab.runs, "goes", [0.9])

    def late(path: Path) -> bool:
        found = is_run(path)
        if path.name == "goes":
            path.rename(lab.path / "elsewhere")
        return found

    monkeypatch.setattr("dropout_lab.runs.find.is_run", late)
    assert [entry["name"] for entry in listing.list_runs(lab.runs)] == ["stays"]


def test_an_empty_list_says_what_to_do(lab: Lab) -> None:
    outcome = lab("list")
    assert (outcome.code, outcome.out) == (0, "")
    assert "no runs in runs; make one with `dropout-lab train" in outcome.err
    assert json.loads(lab("list --json").out) == {"schema_version": 1, "runs": []}


def test_a_sparkline_goes_from_lowest_to_highest_and_is_never_long() -> None:
    assert sparkline([]) == ""
    assert sparkline([3.0]) == sparkline([3.0, 3.0])[:1] == "▁"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == BLOCKS
    assert sparkline([1.0, math.nan, 0.0, math.inf]) == "█ ▁ "
    assert sparkline([math.nan]) == " "
    for count in (19, 20, 21, 59, 1000):
        bars = sparkline([float(number) for number in range(count)])
        assert len(bars) == min(count, 20) and list(bars) == sorted(bars)


# One run


def test_numbers_too_large_or_missing_are_shown_for_what_they_are(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run", [0.9, 0.8, 0.7])
    run = with_last(run, test_loss={0: 1e30, 1: 1e31, 2: math.nan})
    text = as_text(listing.parts(run), 100)
    assert "5.500e+30 ±6.364e+30" in text and "80.00 ±10.00" in text
    assert listing.run_as_dict(run)["mean"]["last"]["test_loss"] == 5.5e30
    run = with_last(run, test_loss=math.inf)
    assert "test loss " in as_text(listing.parts(run), 100) and "inf" not in as_text(listing.parts(run), 100)


# The plan


def test_a_plan_says_what_is_to_be_trained(tmp_path: Path) -> None:
    mapping = {"network": {"hidden": []}, "dropout": {"rate": 0.0, "input_rate": 0.2}, "training": {"epochs": 1}}
    plain = configs.resolve(mapping, where="test", name="x")
    listed = configs.resolve({"dropout": {"rate": [0.1, 0.2]}, "seeds": [3, 1, 2]}, where="test", name="x")
    runs_planned = [(Path("runs/a"), plain, (0,)), (Path("runs/long"), listed, ())]
    lines = listing.plan_as_text(runs_planned, {"cpu": Layout(2, 1, 4, 3 * 2**29)}).splitlines()
    assert lines.pop() == "  on cpu: 2 processes, 1 thread each, up to 4 networks side by side, about 1.5 GiB"
    assert lines == [
        "plan: 2 runs, 1 network to train",
        "  runs/a     mnist no hidden layer  input 0.2                   1 epoch    seed 0 (1 to train)",
        "  runs/long  mnist 128-128          bernoulli [0.1, 0.2] after  10 epochs  seeds 1-3 (finished)",
    ]


# Progress


def epoch(done: Mapping[int, int], seconds: float = 0.5, name: str = "x") -> Any:
    """The event of an epoch: for each task (a number) the epoch that it has done, of 4."""
    from dropout_lab.execution.execute import EpochDone

    return EpochDone({task(n, name): Row(n, e, 0.5, 0.8, 0.4, 0.9, 0.3, 0.9, 0.5) for n, e in done.items()}, seconds)


def task(number: int, name: str = "x") -> Any:
    from dropout_lab.execution.units import Task
    from dropout_lab.runs.job import Job

    config = configs.resolve({"training": {"epochs": 4}}, where="test", name="x")
    return Task(Job(Path("runs") / name, config), number)


def test_a_tally_counts_what_was_done_before_and_what_ends_early() -> None:
    from dropout_lab.execution.execute import SeedDone

    tally = progress.Tally(12)
    assert tally.take(epoch({0: 3, 1: 3})) and tally.done == 6  # both resumed after two epochs
    assert 0 < tally.seconds_left == pytest.approx(0.5 * 6, rel=0.1)
    assert tally.take(SeedDone(task(2), DivergedSeed(epoch=1, step=1))) is None and tally.done == 10  # diverged
    tally.take(epoch({0: 4, 1: 4}))
    assert tally.done == 12 and tally.seconds_left == 0


def test_what_is_left_is_counted_in_work_where_epochs_are_unlike() -> None:
    small = task(0).job.config
    large = configs.resolve({"training": {"epochs": 4}, "network": {"hidden": [900]}}, where="test", name="x")
    tally = progress.Tally(8, cost.seconds(small) + cost.seconds(large))
    tally.take(epoch({0: 4}))  # the last epoch of the small one took half a second
    assert tally.seconds_left == pytest.approx(0.5 * 4 * cost.seconds(large) / cost.seconds(small), rel=0.1)
    assert cost.seconds(large) > 2 * cost.seconds(small)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int = 80) -> Terminal:
    """Let stderr be a terminal."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "30")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


def ended(number: int, status: str = "finished") -> Any:
    from dropout_lab.execution.execute import SeedDone

    last = Results(val_loss=0.1, val_accuracy=0.9, test_loss=0.1, test_accuracy=0.9)
    finished = FinishedSeed(epochs=4, best_epoch=4, last=last, best=last)
    facts = finished if status == "finished" else DivergedSeed(epoch=1, step=1)
    return SeedDone(task(number, f"run-{number}"), facts)


def board(runs: int, training: int, done: int) -> progress.Board:
    """A board of runs of one seed and 4 epochs: the first are done, others in training."""
    from dropout_lab.execution.execute import EpochDone

    made, tally = progress.Board({Path(f"runs/run-{n}"): 4 for n in range(runs)}), progress.Tally(4 * runs)
    for n in range(done + training):
        row = Row(n, 2, 0.5, 0.8, 0.4, 0.9, 0.3, 0.9, 0.5)
        for event in [EpochDone({task(n, f"run-{n}"): row}, 0.1), *([ended(n)] if n < done else [])]:
            tally.take(event)
            made.take(event, tally.reached)
    return made


def lines(made: progress.Board, width: int = 60, height: int = 30) -> list[str]:
    screen = Console(width=width, file=io.StringIO(), color_system=None)
    screen.print(made.picture(height, width))
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_the_board_has_a_line_per_run() -> None:
    from dropout_lab.execution.execute import UnitFailed

    made = board(5, training=1, done=2)
    assert [" ".join(line.split()) for line in lines(made)] == [
        "run epochs val acc. % state",
        "run-0 4/4 90.00 done",
        "run-1 4/4 90.00 done",
        "run-2 2/4 90.00 training",
        "run-3 0/4 - waiting",
        "run-4 0/4 - waiting",
    ]
    made.take(ended(1, "diverged"), {task(1, "run-1"): 4})
    made.take(UnitFailed((task(3, "run-3"),), "out of memory"), {task(1, "run-1"): 4})
    assert made.runs[Path("runs/run-1")].state == "done, 1 diverged"
    assert made.runs[Path("runs/run-3")].state == "failed"


def test_who_does_what_on_a_cluster_and_failures_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    from dropout_lab.execution.execute import UnitFailed

    made = board(2, training=0, done=0)
    there = replace(epoch({0: 2}, name="run-0"), where="node-7/worker-3")
    made.take(there, {task(0, "run-0"): 2})
    assert [line.split("%")[-1].split() for line in lines(made)][1:] == [
        ["run-0", "2/4", "90.00", "training", "on", "node-7/worker-3"],
        ["run-1", "0/4", "-", "waiting"],
    ]
    with progress.shown(8) as show:
        show(there)
        show(UnitFailed((task(3, "run-3"),), "out of memory"))
        told = capsys.readouterr().err.splitlines()
    assert "run-0, 1 seed on node-7/worker-3  loss" in told[0] and told[1] == "failed  runs/run-3 seed 3  out of memory"


def test_of_many_runs_the_board_shows_those_in_training_and_the_last_that_ended() -> None:
    shown = lines(board(60, training=3, done=40))
    assert len(shown) == progress.MOST_LINES + 2
    names = [line.split()[0] for line in shown[1:-1]]
    assert names == [f"run-{n}" for n in range(23, 43)], "the three in training, and the last 17 that ended"
    assert shown[-1] == "and 40 more: 23 done, 17 waiting"
    assert len(lines(board(60, training=3, done=40), height=10)) == 10


@pytest.mark.parametrize("width", [60, 100])
def test_the_board_and_the_bar_fit(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_terminal(monkeypatch, width)
    runs = {Path("runs") / ("long-" * 12 + str(n)): 8 for n in range(3)}
    for plan in ({}, runs):
        with progress.shown(24, runs=plan) as show:
            for done in range(1, 5):
                show(epoch({0: done, 1: done}, name=next(iter(runs)).name))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue()))
    for words in ("8/24 epochs", "epoch 4/4", " 8/8 ", " done", " waiting", " 0/8 "):
        assert words in text
    assert max(map(len, re.split(r"[\r\n]+", text))) <= width


def test_plain_lines_are_few_and_end_with_the_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(8) as show:
        for done in range(1, 5):
            show(epoch({0: done, 1: done}))
    out, err = capsys.readouterr()
    assert not out
    assert [line.split("  ")[0] for line in err.splitlines()] == [f"epoch {number}/4" for number in range(1, 5)]
    assert "x, 2 seeds  loss 0.5000, 80.00 %  val 0.3000, 90.00 %  1.00 s  0 s left" in err.splitlines()[-1]
    with progress.shown(8, quiet=True) as show:
        show(epoch({0: 1}))
    assert capsys.readouterr() == ("", "")


def test_charts_of_few_runs_and_the_table_of_many_are_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = on_terminal(monkeypatch, 100)
    for runs, drawn in [(2, True), (progress.FEW + 1, False)]:
        plan = {Path(f"runs/run-{n}"): 4 for n in range(runs)}
        with progress.shown(4 * runs, runs=plan, charts=True) as show:
            for n in range(runs):
                show(epoch({0: 1}, name=f"run-{n}"))
        assert ("epochs 1-4" in screen.getvalue()) == drawn and (" 1/4 " in screen.getvalue()) != drawn
        screen.truncate(0)


def test_many_short_epochs_have_a_line_for_every_fiftieth_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(2000) as show:
        for number in range(500):
            for done in range(1, 5):
                show(epoch({number: done}))
    told = capsys.readouterr().err.splitlines()
    assert 48 <= len(told) <= 52 and told[-1].endswith("  0 s left")


def test_long_epochs_have_a_line_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.shown(4000) as show:  # so that an epoch is less than a fiftieth of the work
        for number in range(20):
            now += 4.0
            show(epoch({number: 1}))
    assert len(capsys.readouterr().err.splitlines()) == 7, "after 4, 16, 28, .. seconds"


@pytest.mark.parametrize("colour", [True, False])
def test_a_bar_moves_on_a_terminal_only_and_without_colour_where_none_is_wanted(
    colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = on_terminal(monkeypatch)
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    with progress.shown(8) as show:
        show(epoch({0: 1, 1: 1}))
    assert "2/8 epochs" in screen.getvalue() and "epoch 1/4" in screen.getvalue()
    assert ("\x1b[36m" in screen.getvalue()) == colour


@pytest.mark.parametrize(
    ("ci", "tty", "live"), [("", True, True), ("false", True, True), ("true", True, False), ("", False, False)]
)
def test_whether_a_bar_may_move(ci: str, tty: bool, live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("sys.stderr", SimpleNamespace(isatty=lambda: tty))
    assert terminal.is_live() == live
