"""Until decided: seeds are added in batches that are always the same, and the interval is true at each of them."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commandline import ROOT, TINY, Lab
from comparable import write_run
from scipy.special import stdtrit

import dropout_lab
from dropout_lab.commands import until
from dropout_lab.comparison.inference import anytime_factor, seeds_needed
from dropout_lab.comparison.looks import FOLDER
from dropout_lab.errors import Refused
from dropout_lab.runs.read import load

WORSE = "dropout: {rate: 0.99}\n"  # so much that a few seeds show it
LEARNS = TINY.replace("epochs: 2", "epochs: 3, learning_rate: 0.02")


@pytest.fixture
def pair(lab: Lab) -> Lab:
    """A laboratory with the configs of two tiny networks: the dropout of one is too much."""
    (lab.path / "base.yaml").write_text(LEARNS + "dropout: {rate: 0}\n")
    (lab.path / "much.yaml").write_text(LEARNS + WORSE)
    (lab.path / "same.yaml").write_text(LEARNS + "dropout: {rate: 0.001}\n")
    return lab


def seeds_of(run: Path) -> list[int]:
    return [*load(run).seeds]


# The plan


def test_seeds_are_those_asked_for_and_then_the_smallest_others() -> None:
    assert until.in_order([0, 1, 2], 6) == (0, 1, 2, 3, 4, 5)
    assert until.in_order([7, 3, 12], 8) == (3, 7, 12, 0, 1, 2, 4, 5)


def test_a_batch_fills_the_lanes_and_ends_at_the_most_seeds() -> None:
    assert until.next_look(5, runs=2, lanes=16, most=64) == 13
    assert until.next_look(5, runs=3, lanes=16, most=64) == 10
    assert until.next_look(5, runs=9, lanes=4, most=64) == 6, "one seed at least"
    assert until.next_look(60, runs=2, lanes=16, most=64) == 64


def test_an_effect_of_one_sd_is_expected_to_take_13_seeds() -> None:
    assert until.seeds_expected(None, family=1) == 13
    assert (until.seeds_expected(None, family=5) or 0) > 13


# The commands


def test_it_stops_when_decided_and_the_same_command_does_nothing_more(pair: Lab) -> None:
    outcome = pair("compare base.yaml much.yaml --until-decided --max-seeds 40")
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.err.split())
    assert "expected about 13 seeds of each run until it is decided, at most 40; less than a minute" in said
    assert "is worse by" in outcome.out and "whenever you stop" in outcome.out
    assert "decided with" in " ".join(outcome.out.split()) and "(at most 40)" in outcome.out
    ends = seeds_of(pair.runs / "base")
    assert ends == seeds_of(pair.runs / "much") == [*range(len(ends))] and 5 <= len(ends) < 40
    directory = pair.runs / "_comparisons" / "base-vs-much"
    assert (directory / "interval.png").read_bytes().startswith(b"\x89PNG")
    before = {name: digest for name, digest in pair.tree().items() if "seconds" not in name}
    again = pair("compare base.yaml much.yaml --until-decided --max-seeds 40 --json")
    assert "nothing to train" in again.err and pair.tree() == before
    found = json.loads(again.out)["until_decided"]
    assert found["decided"] is True and found["max_seeds"] == 40
    assert [*found["path"][-1]] == ["candidate", "seeds", "low", "high", "word"]
    assert found["path"][-1]["seeds"] == len(ends) and found["path"][-1]["word"] == "worse"
    assert found["path"][0]["seeds"] == 5 and found["path"][-1]["high"] < 0
    assert json.loads((directory / "comparison.json").read_text())["until_decided"] == found
    (looks,) = (json.loads(file.read_text())["looks"] for file in (pair.runs / FOLDER).iterdir())
    assert looks == [{"metric": "test_accuracy", "seeds": ends, "sequential": True}], "one verdict was printed"
    plain = pair("compare base much")
    assert "whenever you stop" in plain.out, "a verdict that was sequential stays so"
    named = pair("compare base much --until-decided --max-seeds 40 --json")
    assert json.loads(named.out)["until_decided"] == found, "named runs take the same way again"


def test_the_runs_are_those_of_as_many_seeds(pair: Lab) -> None:
    assert pair("compare base.yaml same.yaml --until-decided --max-seeds 12").code == 0
    path = json.loads(pair("compare base.yaml same.yaml --until-decided --max-seeds 12 --json").out)["until_decided"]
    assert [point["seeds"] for point in path["path"]][-1] == 12 and path["decided"] is False
    adding = {name: (pair.runs / name / "metrics.csv").read_bytes() for name in ("base", "same")}
    assert pair("compare base.yaml same.yaml --seeds 12 --runs-dir plain").code == 0
    assert adding == {name: (pair.path / "plain" / name / "metrics.csv").read_bytes() for name in adding}


def test_an_earlier_fixed_look_is_said(pair: Lab) -> None:
    assert pair("compare base.yaml same.yaml --seeds 5").code == 0
    outcome = pair("compare base.yaml same.yaml --until-decided --max-seeds 6")
    said = " ".join(outcome.out.split())
    assert "compared before at 5 seeds, so this interval holds whenever you stop" in said
    assert "not decided (at most 6)" in said
    gate = pair("compare base.yaml same.yaml --until-decided --max-seeds 6 --fail-if inconclusive")
    assert gate.code == 3


def test_the_plan_of_the_first_seeds_is_all_that_a_dry_run_says(pair: Lab) -> None:
    before = pair.tree()
    outcome = pair("compare base.yaml much.yaml --until-decided --dry-run")
    assert outcome.code == 0 and "10 networks to train" in outcome.out and "about 13 seeds" in outcome.out
    found = json.loads(pair("compare base.yaml much.yaml --until-decided --dry-run --seeds 7 --json").out)
    assert [run["to_train"] for run in found["plan"]] == [[*range(7)]] * 2
    assert found["expected"]["seeds"] == 13 and found["expected"]["max_seeds"] == 64
    assert pair.tree() == before


def test_runs_that_are_there_say_how_many_seeds_to_expect(lab: Lab) -> None:
    before = [0.9, 0.91, 0.92, 0.93, 0.94]
    write_run(lab.runs, "a", before)
    write_run(lab.runs, "b", [value + step / 1000 for value, step in zip(before, (9, 10, 11, 10, 10), strict=True)])
    write_run(lab.runs, "c", [value + step / 1000 for value, step in zip(before, (9, -9, 2, -3, 0), strict=True)])
    said = " ".join(lab("compare a b --until-decided").err.split())
    assert re.search(r"about [5-9] seeds of each run", said), said
    said = " ".join(lab("compare a c --until-decided --dry-run").out.split())
    assert "more than 64 seeds of each run until it is decided, at most 64" in said


def test_a_sweep_is_a_race(pair: Lab) -> None:
    line = "sweep base.yaml --rates 0.001,0.99 --until-decided --max-seeds 14 --name race"
    outcome = pair(line)
    assert outcome.code == 0, outcome.err
    ends = {name: len(seeds_of(pair.runs / "race" / name)) for name in ("rate-0", "rate-0.001", "rate-0.99")}
    assert ends["rate-0"] == ends["rate-0.001"] == 14 > ends["rate-0.99"] >= 5
    said = " ".join(outcome.out.split())
    assert "narrowed rate-0.99: 6:" in said
    assert "14 ok" in said and f"{ends['rate-0.99']} ok" in said and "intervals hold whenever you stop" in said
    before = pair.tree()
    found = json.loads(pair(line + " --json").out)
    assert pair.tree() == before
    assert [len(run["seeds"]) for run in found["runs"]] == [14, 14, ends["rate-0.99"]]
    assert found["until_decided"]["decided"] is False
    words = {point["candidate"]: point["word"] for point in found["until_decided"]["path"]}
    assert words == {"rate-0.001": found["runs"][1]["verdict"], "rate-0.99": "worse"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("compare base.yaml much.yaml --max-seeds 9", "--max-seeds: must be left out without --until-decided (got 9)"),
        ("compare base.yaml much.yaml --until-decided --max-seeds 1", "--max-seeds: must be a whole number from 5"),
        ("compare base.yaml much.yaml --until-decided --max-seeds 1001", "from 5 to 1000 (got 1001)"),
        ("compare base.yaml much.yaml --until-decided --seeds 9 --max-seeds 8", "must be 9 or more, the seeds that"),
        ("sweep base.yaml --rates 0.2,0.5 --until-decided --max-seeds 5", "must be 6 or more: with fewer seeds no"),
        ("compare base.yaml much.yaml --until-decided --smoke", "--until-decided: must be left out of a smoke run"),
        ("sweep base.yaml --rates 0.5 --no-baseline --until-decided", "--until-decided: needs a run and its baseline"),
        ("sweep base.yaml --rates 0.5 --until-decided --max-seeds x", "--max-seeds: "),
    ],
)
def test_what_cannot_be_meant_is_refused(line: str, reason: str, pair: Lab) -> None:
    before = pair.tree()
    outcome = pair(line)
    assert outcome.code == 2 and reason in outcome.err and not outcome.out
    assert pair.tree() == before


def test_python_does_the_same(pair: Lab) -> None:
    found = dropout_lab.compare("base.yaml", "much.yaml", until_decided=True, max_seeds=40)
    assert found.contrasts[0].sequential and found.contrasts[0].verdict.word == "worse"
    with pytest.raises(Refused, match="from 5 to 1000"):
        dropout_lab.sweep("base.yaml", [0.5], until_decided=True, max_seeds=0)


@pytest.mark.slow
def test_it_goes_on_after_an_interruption_to_the_same_end(pair: Lab) -> None:
    for name in ("base", "same"):
        file = pair.path / f"{name}.yaml"
        file.write_text(file.read_text().replace("epochs: 3", "epochs: 100"))
    line = "compare base.yaml same.yaml --until-decided --max-seeds 16"
    command = [sys.executable, "-m", "dropout_lab", *shlex.split(line)]
    process = subprocess.Popen(
        command,
        cwd=pair.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    state = pair.runs / "_comparisons" / "base-vs-same" / until.FILE
    end = time.monotonic() + 120
    summary = pair.runs / "base" / "summary.json"  # is away while the second batch trains
    while (summary.exists() or not state.exists()) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Go on with" in said and line in said
    assert pair(line).code == 0
    found = json.loads(pair(line + " --json").out)["until_decided"]
    assert pair(line + " --runs-dir undisturbed").code == 0
    other = json.loads(pair(line + " --runs-dir undisturbed --json").out)["until_decided"]
    assert found == other
    for name in ("base", "same"):
        other_run = pair.path / "undisturbed" / name / "metrics.csv"
        assert (pair.runs / name / "metrics.csv").read_bytes() == other_run.read_bytes()


# The design, measured with the product's own functions


def stops(effect: float, batch: int, repetitions: int, most: int = 64, first: int = 5) -> tuple[float, float]:
    """Return how often the anytime interval excludes 0 on the way to `most` seeds, and the mean seeds at the stop."""
    values = np.random.default_rng(0).normal(effect, 1.0, (repetitions, most))
    going, ended = np.ones(repetitions, bool), np.full(repetitions, most)
    for n in [*range(first, most, batch), most]:
        mean, error = values[:, :n].mean(1), values[:, :n].std(1, ddof=1) / math.sqrt(n)
        clear = going & (np.abs(mean) > anytime_factor(n, 0.05) * error)
        ended[clear], going = n, going & ~clear
    return float(1 - going.mean()), float(ended.mean())


@pytest.mark.parametrize("batch", [1, 5, 8])
def test_equal_methods_are_told_apart_in_at_most_3_percent(batch: int) -> None:
    alarms, _ = stops(0.0, batch, repetitions=20_000)
    print(f"batches of {batch}: false alarms {100 * alarms:.2f} %")
    assert alarms <= 0.03


@pytest.mark.parametrize(("effect", "low", "high"), [(0.5, 35, 50), (1.0, 12, 17), (2.0, 5, 12)])
def test_how_many_seeds_the_sequential_design_takes(effect: float, low: float, high: float) -> None:
    found, seeds = stops(effect, 5, repetitions=4_000, most=200)
    fixed = seeds_needed(1.0, effect)
    print(f"{effect} sd: {seeds:.1f} seeds on average, {fixed} fixed; decided in {100 * found:.1f} %")
    assert low < seeds < high and found > 0.99
    assert stdtrit(4, 0.975) < anytime_factor(5, 0.05)
