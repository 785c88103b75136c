"""`power`: the seeds for an effect, from runs that are there; nothing is trained."""

from __future__ import annotations

import json
import re

import pytest
from commandline import REFUSAL, Lab
from comparable import write_run
from readable import assert_readable, legend_of, said

import dropout_lab as lab_api
from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison.inference import detection_power, seeds_needed, t_quantile
from dropout_lab.comparison.power import power
from dropout_lab.figures import spread as figures
from dropout_lab.runs import read as runs

BEFORE = [0.970, 0.972, 0.974, 0.971, 0.973]
AFTER = [0.968, 0.975, 0.970, 0.977, 0.969]


@pytest.fixture
def two(lab: Lab) -> Lab:
    """Two finished runs of five seeds."""
    write_run(lab.runs, "base", BEFORE)
    write_run(lab.runs, "drop", AFTER, rate=0.5)
    return lab


def test_the_table_is_that_of_the_seeds_needed(two: Lab) -> None:
    outcome = two("power base drop --effect 0.5pp --effect 0.2pp --json")
    assert outcome.code == 0, outcome.err
    answer = json.loads(outcome.out)
    assert answer == json.loads((two.runs / "_comparisons/base-vs-drop/power.json").read_text())
    assert answer["paired"] and answer["seeds"] == 5 and answer["metric"] == "test_accuracy"
    (contrast,) = comparisons.compare([runs.load(two.runs / name) for name in ("base", "drop")]).contrasts
    assert contrast.row and answer["sd"] == max(contrast.row.difference.sd or 0, contrast.noise)
    assert [one["effect"] for one in answer["effects"]] == [0.005, 0.002]
    for one in answer["effects"]:
        assert one["seeds"] == seeds_needed(answer["sd"], one["effect"])
        assert one["seeds_equivalent"] == seeds_needed(answer["sd"], one["effect"], equal=True)
        assert one["range"][0] <= one["seeds"] <= one["range"][1]
        expected = detection_power(10, one["effect"] / answer["sd"], t_quantile(9, 0.05))
        assert one["power"]["10"] == pytest.approx(expected)
    assert not (two.runs / "_looks").exists()  # no verdict was shown


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("options", ["", "--effect 0.05pp", "--metric test_loss --effect 0.01"])
def test_what_is_printed_fits(width: int, options: str, two: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    outcome = two(f"power base drop {options}")
    assert outcome.code == 0 and max(map(len, outcome.out.splitlines())) <= width
    assert "effect" in outcome.out and "80 % power" in outcome.out
    assert (two.runs / "_comparisons/base-vs-drop/power.png").read_bytes().startswith(b"\x89PNG")


def test_runs_without_a_common_seed_are_not_paired(two: Lab) -> None:
    write_run(two.runs, "later", dict(zip(range(10, 15), AFTER, strict=True)), rate=0.5)
    outcome = two("power base later --effect 0.5pp")
    assert outcome.code == 0 and "seeds of each in all" in outcome.out and "5 seeds" in outcome.out


@pytest.mark.parametrize(
    "line, words",
    [
        ("power base configs/mnist-dropout.yaml", "dropout-lab train configs/mnist-dropout.yaml --seeds 5"),
        ("power base nobody", "has this name"),
        ("power base", "must be 2 or more"),
        ("power base drop few", "must be two"),
        ("power base few", "train 1 more seed of each"),
        ("power base one", "train 2 more seeds of each"),
        ("power base drop --metric nothing", "unknown metric"),
        ("power base drop --effect 0.5", "must be a number with pp"),
        ("power base drop --effect 0pp", "must be above 0"),
        ("power base drop --metric clean_train_accuracy", "must differ between seeds"),
    ],
)
def test_refusals_say_what_to_do_and_change_nothing(line: str, words: str, two: Lab) -> None:
    write_run(two.runs, "few", AFTER[:2], rate=0.5)
    write_run(two.runs, "one", AFTER[:1], rate=0.5)
    before = two.tree()
    outcome = two(line)
    assert outcome.code == 2 and words in outcome.err
    assert re.fullmatch(f"({REFUSAL}\n)+", outcome.err)
    assert two.tree() == before


def test_an_unfinished_run_is_named_by_its_config(two: Lab) -> None:
    (two.runs / "half").mkdir()
    (two.runs / "half/config.yaml").write_text((two.runs / "drop/config.yaml").read_text().replace("drop\n", "half\n"))
    assert "dropout-lab train runs/half/config.yaml" in two("power base half").err


def test_it_is_the_same_in_python(two: Lab) -> None:
    found = lab_api.power("base", "drop", effects=["0.5pp"])
    assert repr(found).splitlines() == two("power base drop --effect 0.5pp").out.splitlines()
    assert "<table" in found._repr_html_()
    assert lab_api.power(runs.load(two.runs / "base"), two.runs / "drop", effects=["0.5pp"]) == found


@pytest.mark.parametrize("effects", [[], [0.005], [0.0001, 0.0002, 0.0005, 0.001, 0.01, 0.1]])
def test_the_picture_is_readable(effects: list[float], two: Lab) -> None:
    (contrast,) = comparisons.compare([runs.load(two.runs / name) for name in ("base", "drop")]).contrasts
    found = power(contrast, effects)
    figure = figures.power(found, "drop against base", "5 pairs")
    assert_readable(figure)
    assert "estimates" in said(figure)
    assert legend_of(figure)[-1] == "80 %" and len(legend_of(figure)) == len(found.needed) + 1
