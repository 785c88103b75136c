"""Gates for CI: the grammar, what trips them, and that a missing value never passes for a good one."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from comparable import write_run

from dropout_lab.comparison.compare import compare
from dropout_lab.comparison.gate import Gate, parse_gate, parse_gates
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


# Words and values


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("worse", Gate("val_loss", "worse")),
        (" test_accuracy : inconclusive ", Gate("test_accuracy", "inconclusive")),
        ("test_accuracy: below 97 %", Gate("test_accuracy", "below", 0.97)),
        ("val_loss: above 0.5", Gate("val_loss", "above", 0.5)),
    ],
)
def test_the_grammar_of_words_and_values(text: str, gate: Gate) -> None:
    assert parse_gate(text, "val_loss") == gate


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("bad: worse", "unknown metric"),
        ("test_accuracy: below 97", "give the limit in percent, 97 %"),
        ("val_loss: above 5 %", "give the limit as a plain number, 5"),
        ("test_accuracy: lower", "must read"),
    ],
)
def test_what_the_grammar_of_words_and_values_refuses(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        parse_gate(text)


def test_all_gates_count_and_all_problems_are_named() -> None:
    assert parse_gates(["worse", "val_loss: worse"], "gap") == (Gate("gap", "worse"), Gate("val_loss", "worse"))
    with pytest.raises(Refused) as caught:
        parse_gates(["wrse", "worse", "x: worse"], "gap")
    assert [problem.value for problem in caught.value.problems] == ["wrse", "x: worse"]


def test_a_gate_of_a_word_is_the_verdict(tmp_path: Path) -> None:
    worse = [0.971, 0.973, 0.970]
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", worse)
    found, back = compare([a, b]), compare([b, a])
    message = parse_gate("worse").trips(found)
    assert message and "is worse by" in message
    assert parse_gate("worse").trips(back) is None and parse_gate("better").trips(back)
    assert parse_gate("test_loss: worse").trips(found), "another metric than the one that was judged"
    few = compare([write_run(tmp_path, "c", BASELINE[:2]), write_run(tmp_path, "d", worse[:2])])
    message = parse_gate("worse").trips(few)
    assert message and "cannot be judged: no verdict: 2 seeds" in message


def test_a_gate_of_a_value_is_about_the_candidates_mean(tmp_path: Path) -> None:
    found = compare([write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", [0.97, 0.97, 0.97])])
    assert parse_gate("test_accuracy: below 97 %").trips(found) is None
    assert parse_gate("test_accuracy: below 97.1 %").trips(found) == "test accuracy of b is 97 %, below 97.1 %"
    assert parse_gate("test_loss: above 0.029").trips(found) == "test loss of b is 0.03, above 0.029"
    assert parse_gate("test_loss: above 0.03").trips(found) is None


def test_a_change_within_chance_says_so(tmp_path: Path) -> None:
    found = compare([write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", [0.965, 0.976, 0.977])])
    message = parse_gate("test_accuracy: drop > 0.1pp").trips(found)
    assert message and message.endswith("includes 0: chance alone may do this")
    one = compare([write_run(tmp_path, "c", BASELINE[:1]), write_run(tmp_path, "d", [0.97])])
    message = parse_gate("test_accuracy: drop > 0.1pp").trips(one)
    assert message and message.endswith("one seed has no interval: chance alone may do this")
