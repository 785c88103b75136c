"""Gates for CI: the grammar, what trips them, and that a missing value never passes for a good one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from comparable import write_run

from dropout_lab.comparison.compare import compare
from dropout_lab.comparison.gate import Gate, parse_gate
from dropout_lab.errors import Refused

BASELINE = [0.975, 0.976, 0.974]


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("test_accuracy: drop > 0.2pp", Gate("test_accuracy", "drop", 0.002)),
        ("  val_accuracy:change>1 pp ", Gate("val_accuracy", "change", 0.01)),
        ("test_loss: rise > 0.01", Gate("test_loss", "rise", 0.01)),
        ("gap: change > 0", Gate("gap", "change", 0.0)),
    ],
)
def test_the_grammar(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must read"),
        ("test_accuracy", "must read"),
        ("test_accuracy: drop >= 0.2pp", "must read"),
        ("test_accuracy: fall > 0.2pp", "must read"),
        ("test_accuracy: drop > -0.2pp", "must read"),
        ("test_accuracy: drop > 1e-3pp", "must read"),
        ("test_accuracy: drop > nanpp", "must read"),
        ("test_accuracy: drop > 0.2pp; exit", "must read"),
        ("test_loss: rise > 9999999999", "must read"),
        ("test_loss: rise > \u0663", "must read"),
        ("test_acc: drop > 0.2pp", "unknown metric, did you mean test_accuracy?"),
        ("zzz: drop > 0.2pp", "unknown metric; there are test_accuracy, test_loss,"),
        ("test_accuracy: drop > 0.2", "test_accuracy is in percent: give the limit in percentage points, 0.2pp"),
        ("test_loss: rise > 0.2pp", "test_loss is not in percent: give the limit as a plain number, 0.2"),
    ],
)
def test_what_the_grammar_refuses(text: str, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_gate(text)
    (problem,) = caught.value.problems
    assert (problem.where, problem.key, problem.value) == ("command line", "--fail-if", text)
    assert reason in problem.reason


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("test_accuracy: drop > 0.2pp", "test accuracy of b dropped by 0.3 pp against a (limit 0.2 pp)"),
        ("test_accuracy: drop > 0.3pp", None),  # exactly the limit is not more than it
        ("test_accuracy: rise > 0pp", None),
        ("test_accuracy: change > 0.299pp", "test accuracy of b changed by 0.3 pp against a (limit 0.299 pp)"),
        ("test_loss: rise > 0.002", "test loss of b rose by 0.003 against a (limit 0.002)"),
        ("val_loss: change > 0", None),
    ],
)
def test_a_gate_looks_at_the_mean_difference(tmp_path: Path, gate: str, message: str | None) -> None:
    comparison = compare([write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", [0.972, 0.973, 0.971])])
    assert parse_gate(gate).trips(comparison) == message


def test_any_candidate_trips_it(tmp_path: Path) -> None:
    levels = {"a": 0.0, "b": 0.001, "c": 0.004, "d": 0.005}
    runs = [write_run(tmp_path, name, [x - drop for x in BASELINE]) for name, drop in levels.items()]
    assert parse_gate("test_accuracy: drop > 0.2pp").trips(compare(runs)) == (
        "test accuracy of c dropped by 0.4 pp against a (limit 0.2 pp); "
        "test accuracy of d dropped by 0.5 pp against a (limit 0.2 pp)"
    )


def test_a_gate_that_cannot_be_judged_trips(tmp_path: Path) -> None:
    a, gate = write_run(tmp_path, "a", BASELINE), parse_gate("test_accuracy: drop > 0.2pp")
    lost = write_run(tmp_path, "lost", BASELINE, diverged={1})
    gone = write_run(tmp_path, "gone", BASELINE, diverged=range(3))
    nan = write_run(tmp_path, "nan", [0.975, 0.976, math.nan])
    for run, seeds in ((lost, "seed 1"), (gone, "seeds 0-2"), (nan, "seed 2")):
        message = f"test accuracy of {run.name} cannot be judged: no value for {seeds}"
        assert gate.trips(compare([a, run])) == message
    assert gate.trips(compare([lost, a])) == "test accuracy of a cannot be judged: no value for seed 1"
