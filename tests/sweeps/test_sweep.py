"""The laws of a sweep: the plan is what was asked for and repeats nothing; the choice is made on validation."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from commandline import TINY, Lab, ordinary_user
from comparable import with_last, write_run
from hypothesis import given, settings
from hypothesis import strategies as st

from dropout_lab.commands.swept import draw_sweep
from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison.looks import Looks
from dropout_lab.comparison.metrics import Metric
from dropout_lab.config import resolve as configs
from dropout_lab.config.ranges import MAX_SEED
from dropout_lab.config.settings import RUN_NAME, Config, TrainingConfig
from dropout_lab.errors import Failed, Refused
from dropout_lab.execution import execute as execution
from dropout_lab.execution.sources import Here
from dropout_lab.execution.units import Task
from dropout_lab.figures import plots
from dropout_lab.pages import as_html
from dropout_lab.runs.job import Job
from dropout_lab.sweeps import judge as sweep_table
from dropout_lab.sweeps import next_steps
from dropout_lab.sweeps import plan as sweeps
from dropout_lab.sweeps.files import read_sweep
from dropout_lab.sweeps.plan import Sweep
from dropout_lab.text import as_markdown

BASE = configs.resolve({"data": {"dataset": "digits"}}, where="test", name="base")
TANH = configs.changed(BASE, {"network.activation": "tanh"})


def plan(rates: str | None, *vary: str, base: Config = BASE, baseline: bool = True) -> Sweep:
    return sweeps.plan(base, rates, vary, name="test", baseline=baseline)


def names(planned: Sweep) -> list[str]:
    return [member.name for member in planned.members]


def refused(rates: str | None, *vary: str) -> list[str]:
    with pytest.raises(Refused) as caught:
        plan(rates, *vary)
    return [f"{problem.key}: {problem.reason}" for problem in caught.value.problems]


# The plan


def test_a_range_of_rates_is_that_many_runs_and_one_baseline() -> None:
    planned = plan("0.1..0.5")
    assert names(planned) == ["rate-0", "rate-0.1", "rate-0.2", "rate-0.3", "rate-0.4", "rate-0.5"]
    assert [member.config.dropout.rate for member in planned.members] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert {member.baseline for member in planned.members} == {"rate-0"}
    assert [member.is_baseline for member in planned.members] == [True] + [False] * 5
    assert planned.keys == ("dropout.rate",)


def test_rate_0_is_the_baseline_and_is_not_run_twice() -> None:
    assert names(plan("0,0.2")) == names(plan("0.2")) == names(plan("0,0.2", baseline=False)) == ["rate-0", "rate-0.2"]
    assert names(plan("0")) == ["rate-0"]
    assert names(plan(None, "dropout.rate=[0,0],0.2,[0.1,0.2]")) == ["rate-0", "rate-0.2", "rate-0.1-0.2"]


def test_without_a_baseline_only_what_is_asked_for_runs() -> None:
    planned = plan("0.1,0.2", baseline=False)
    assert names(planned) == ["rate-0.1", "rate-0.2"]
    assert {member.baseline for member in planned.members} == {None}
    assert plan("0,0.2", baseline=False).member("rate-0.2").baseline == "rate-0"


def test_every_combination_of_what_is_not_dropout_has_its_own_baseline() -> None:
    planned = plan("0.2,0.4", "network.hidden=[64],[64,64]", "dropout.placement=before,after", base=TANH)
    hidden = {"hidden-64": [64], "hidden-64-64": [64, 64]}
    assert len(planned.members) == 2 * (1 + 2 * 2)
    for member in planned.members:
        first = member.name.partition("_")[0]
        assert member.baseline == f"{first}_rate-0"
        assert list(member.config.network.hidden) == hidden[first]
    baselines = [member for member in planned.members if member.is_baseline]
    assert [member.settings for member in baselines] == [
        {"network.hidden": value, "dropout.rate": 0} for value in hidden.values()
    ]
    assert names(planned)[:2] == ["hidden-64_rate-0", "hidden-64_placement-before_rate-0.2"]


def test_a_baseline_has_no_input_dropout_where_that_is_varied() -> None:
    planned = plan("0,0.2", "dropout.input_rate=0,0.3")
    assert names(planned) == [
        "input-rate-0_rate-0",
        "input-rate-0_rate-0.2",
        "input-rate-0.3_rate-0",
        "input-rate-0.3_rate-0.2",
    ]
    assert {member.baseline for member in planned.members} == {"input-rate-0_rate-0"}


def test_what_comes_to_the_same_network_is_one_run() -> None:
    assert names(plan("0,0.2", "dropout.placement=before,after", base=TANH)) == [
        "rate-0",
        "placement-before_rate-0.2",
        "placement-after_rate-0.2",
    ]
    base = configs.resolve({"dropout": {"rate": 0}}, where="test", name="base")
    assert names(plan(None, "network.hidden=[8],[9]", base=base)) == ["hidden-8_rate-0", "hidden-9_rate-0"]


SELU = {"network": {"activation": "selu", "init": "lecun-normal"}}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"dropout": {"placement": "before"}}, True),
        (
            {"dropout": {"kind": "bernoulli-scaled"}},
            {"dropout": {"kind": "bernoulli-scaled", "placement": "before"}},
            True,
        ),
        ({"dropout": {"kind": "gaussian"}}, {"dropout": {"kind": "gaussian", "placement": "before"}}, False),
        (
            {"dropout": {"kind": "gaussian-additive"}},
            {"dropout": {"kind": "gaussian-additive", "placement": "before"}},
            False,
        ),
        (
            {"network": {"activation": "tanh"}},
            {"network": {"activation": "tanh"}, "dropout": {"placement": "before"}},
            False,
        ),
        (SELU, SELU | {"dropout": {"placement": "before"}}, False),
        (
            {"network": {"activation": "identity"}, "dropout": {"kind": "gaussian-additive"}},
            {"network": {"activation": "identity"}, "dropout": {"kind": "gaussian-additive", "placement": "before"}},
            True,
        ),
        (
            {"dropout": {"rate": 0}},
            {"dropout": {"rate": [0, 0], "kind": "gaussian", "mask": "batch", "placement": "before"}},
            True,
        ),
        ({"dropout": {"rate": 0}}, {"dropout": {"rate": 0, "kind": "dropconnect", "samples": 3}}, True),
        ({"dropout": {"rate": 0}}, {"dropout": {"rate": 0, "input_rate": 0.1}}, False),
        (
            {"dropout": {"rate": 0, "input_rate": 0.1}},
            {"dropout": {"rate": 0, "input_rate": 0.1, "placement": "before"}},
            True,
        ),
        ({"dropout": {"rate": 0.2}}, {"dropout": {"rate": [0.2, 0.2]}}, True),
        ({}, {"dropout": {"mask": "batch"}}, False),
        ({}, {"dropout": {"cutoff": 1, "gamma": 2.0, "samples": 3}}, True),
        ({"dropout": {"schedule": "early", "cutoff": 1}}, {"dropout": {"schedule": "early", "cutoff": 0}}, False),
        ({"dropout": {"schedule": "curriculum"}}, {"dropout": {"schedule": "curriculum", "gamma": 2.0}}, False),
        (
            {"network": {"hidden": []}, "dropout": {"input_rate": 0.2, "rate": 0.5}},
            {"network": {"hidden": []}, "dropout": {"input_rate": 0.2, "rate": 0.1}},
            True,
        ),
        (
            {"dropout": {"schedule": "early-linear", "cutoff": 2, "mask": "batch", "input_rate": 0.1}},
            {
                "dropout": {
                    "schedule": "early-linear",
                    "cutoff": 2,
                    "mask": "batch",
                    "input_rate": 0.1,
                    "placement": "before",
                }
            },
            True,
        ),
    ],
)
def test_what_is_said_to_be_the_same_network_has_the_same_bytes(
    one: dict[str, Any], other: dict[str, Any], same: bool, tmp_path: Path
) -> None:
    """And what only resembles it has not."""
    base = {"data": {"dataset": "digits", "train_size": 300}, "training": {"epochs": 2, "batch_size": 20}}
    base |= {"network": {"hidden": [24, 17]}, "dropout": {"rate": 0.3}}
    alike, files = set(), set()
    for name, change in ("one", one), ("other", other):
        mapping = {key: base.get(key, {}) | change.get(key, {}) for key in {*base, *change}}
        config = configs.resolve(mapping, where="test", name=name)
        alike.add(sweeps.essence(config))
        for _ in execution.execute([Job(tmp_path / name, config)], Here(tmp_path)):
            pass
        stored = ("metrics.csv", "weights.safetensors")
        files.add(tuple((tmp_path / name / file).read_bytes() for file in stored))
    assert (len(alike) == 1) == same
    assert (len(files) == 1) == same


def test_what_is_the_same_is_trained_once_and_said(tmp_path: Path) -> None:
    planned = plan("0.2,0.4", "dropout.placement=before,after")
    assert names(planned) == ["rate-0", "placement-before_rate-0.2", "placement-before_rate-0.4"]
    assert [(own.name, own.run) for own in planned.same] == [
        ("placement-after_rate-0.2", "placement-before_rate-0.2"),
        ("placement-after_rate-0.4", "placement-before_rate-0.4"),
    ]
    written = yaml.safe_load(planned.to_yaml())["same"]
    assert written[0] == {
        "name": "placement-after_rate-0.2",
        "settings": {"dropout.placement": "after", "dropout.rate": 0.2},
        "same_as": "placement-before_rate-0.2",
    }
    found = planned.grid
    assert found and found.rows == ("before", "after")
    assert found.names["after", "0.4"] == "placement-before_rate-0.4"
    runs = {member.name: write_run(tmp_path, member.name, [0.9, 0.91], rate=0.2) for member in planned.members}
    result = sweep_table.judge(planned, runs)
    for width in (60, 100):
        text = sweep_table.to_text(result, width)
        assert max(map(len, text.splitlines())) <= width
        assert re.search("placement-after_rate-0.4 +as above", text)
        assert "placement-after_rate-0.2 is the same as placement-before_rate-0.2" in " ".join(text.split())
    assert sweep_table.to_json_dict(result)["same"][1]["same_as"] == "placement-before_rate-0.4"
    (tmp_path / "sweep.yaml").write_text(planned.to_yaml())
    assert sweep_table.read(tmp_path).sweep.same == planned.same


def test_names_tell_values_apart_whatever_they_are() -> None:
    assert names(plan(None, "training.learning_rate=1e-30,1e30", baseline=False)) == [
        "learning-rate-1.0e-30",
        "learning-rate-1.0e30",
    ]
    assert names(plan(None, "regularization.max_norm=null,3", baseline=False)) == ["max-norm-null", "max-norm-3"]
    assert names(plan(None, "network.hidden=[],[8]"))[0] == "hidden-none_rate-0"


def test_hostile_values_make_harmless_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = ["../a b.npz", "../a-b.npz", f"{'x' * 200}.npz", f"{'x' * 201}.npz", "$(rm *).npz"]
    (tmp_path / "in").mkdir()
    for file in files:
        (tmp_path / "in" / file).touch()
    monkeypatch.chdir(tmp_path / "in")
    planned = plan("0.5", "data.dataset=" + ",".join(json.dumps(file) for file in files), baseline=False)
    assert [member.config.data.dataset for member in planned.members] == files
    assert len(set(names(planned))) == len(files)
    assert all(
        RUN_NAME.fullmatch(name) and member.config.name == name
        for name, member in zip(names(planned), planned.members, strict=True)
    )
    alone = plan("0.5", f"data.dataset={json.dumps(files[3])}", baseline=False)
    assert names(alone)[0] in names(planned)  # a name does not depend on the other runs


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 100), min_size=1, max_size=6, unique=True),
    st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True),
)
def test_the_plan_is_the_product_and_the_same_every_time(percents: list[int], epochs: list[int]) -> None:
    rates = ",".join(f"{percent / 100}" for percent in percents)
    asked = f"training.epochs={','.join(map(str, epochs))}"
    planned = plan(rates, asked)
    assert planned == plan(rates, asked)
    found = {(member.config.training.epochs, member.config.dropout.rate) for member in planned.members}
    assert found == {(count, rate) for count in epochs for rate in {0, *(percent / 100 for percent in percents)}}
    assert len(planned.members) == len(found) == len(set(names(planned)))
    baselines = [member.config for member in planned.members if member.is_baseline]
    assert [(config.training.epochs, config.rates) for config in baselines] == [(count, (0, 0)) for count in epochs]


def test_every_problem_is_named_once() -> None:
    assert refused("1.5,0.1,-1", "training.epochs=0,5") == [
        "dropout.rate: must be a number from 0 to 1",
        "training.epochs: must be a whole number from 1 to 100000",
        "dropout.rate: must be a number from 0 to 1",
    ]
    assert refused("0.1", "training.epochs.x=1") == [
        f"training.epochs.x: unknown key, must be one of {', '.join(TrainingConfig.model_fields)}"
    ]


def test_too_many_runs_are_refused_before_they_are_counted_out() -> None:
    (reason,) = refused(
        "0..0.9:0.1", *(f"training.{key}=1..1000:1" for key in ("epochs", "batch_size")), "data.train_size=1..1000:1"
    )
    assert reason == "--vary: must come to at most 10,000 runs"


def test_the_written_plan_says_all_of_it() -> None:
    planned = plan("0.2", "network.hidden=[8]")
    assert yaml.safe_load(planned.to_yaml()) == {
        "name": "test",
        "runs": [
            {
                "name": "hidden-8_rate-0",
                "settings": {"network.hidden": [8], "dropout.rate": 0},
                "baseline": "hidden-8_rate-0",
            },
            {
                "name": "hidden-8_rate-0.2",
                "settings": {"network.hidden": [8], "dropout.rate": 0.2},
                "baseline": "hidden-8_rate-0",
            },
        ],
    }


# The table


def judged(
    tmp_path: Path, test: Sequence[Sequence[float]], val: Sequence[float], **more: Any
) -> sweep_table.SweepTable:
    """A table of rates 0, 0.1, .. with these test accuracies by seed, and one mean validation accuracy each."""
    planned = plan(",".join(f"{index / 10}" for index in range(len(test))))
    runs = {}
    for member, accuracies in zip(planned.members, test, strict=True):
        runs[member.name] = write_run(tmp_path, member.name, accuracies, rate=member.settings["dropout.rate"], **more)
    for name, accuracy in zip(runs, val, strict=True):
        runs[name] = with_last(runs[name], val_accuracy=accuracy)
    return sweep_table.judge(planned, runs)


def test_the_choice_is_made_on_validation_whatever_the_test_split_says(tmp_path: Path) -> None:
    result = judged(tmp_path, [[0.9, 0.91, 0.92], [0.93, 0.94, 0.96], [0.7, 0.71, 0.72]], [0.95, 0.96, 0.97])
    assert result.chosen and result.chosen.member.name == "rate-0.2"
    assert "chosen    on validation (>): rate-0.2; its test accuracy is 71.00 ±1.00 %" in sweep_table.to_text(result)
    assert "| \\> rate-0.2 |" in as_markdown(sweep_table.parts(result))
    assert sweep_table.chosen_point(result) == 0.2


def test_of_equals_the_first_is_chosen_which_is_the_baseline(tmp_path: Path) -> None:
    result = judged(tmp_path, [[0.9, 0.91], [0.93, 0.94]], [0.95, 0.95])
    assert result.chosen and result.chosen.member.is_baseline


def test_differences_are_paired_by_seed_and_holm_covers_the_family(tmp_path: Path) -> None:
    tests = [[0.9, 0.92, 0.91], [0.91, 0.94, 0.92], [0.95, 0.96, 0.97], [0.9, 0.93, 0.9]]
    result = judged(tmp_path, tests, [0.9, 0.9, 0.9, 0.9])
    differences = [statistics.paired(tests[0], own, 0.001) for own in tests[1:]]
    assert [line.difference for line in result.lines] == [None, *differences]
    p_values = [difference.p for difference in differences if difference.p is not None]
    assert [line.p for line in result.lines] == [None, *statistics.holm(p_values)]
    assert "Holm's p and simultaneous intervals over the family of 3" in " ".join(sweep_table.to_text(result).split())
    for line, difference in zip(result.lines[1:], differences, strict=True):
        assert line.contrast and line.contrast.interval == difference.around(0.05 / 3)


def test_a_sweep_remembers_its_looks_and_judges_later_ones_by_the_anytime_interval(tmp_path: Path) -> None:
    tests = [[0.9, 0.92, 0.91, 0.9, 0.91, 0.92], [0.91, 0.94, 0.92, 0.91, 0.93, 0.93]]
    looks, planned = Looks(tmp_path / "runs"), plan("0.1")
    loaded = {
        member.name: write_run(tmp_path, member.name, accuracies, rate=rate)
        for member, accuracies, rate in zip(planned.members, tests, (0.0, 0.1), strict=True)
    }
    few = {name: run.only(range(3)) for name, run in loaded.items()}
    first = sweep_table.judge(planned, few, looks)
    sweep_table.remember(first, few, looks)
    again, later = sweep_table.judge(planned, few, looks), sweep_table.judge(planned, loaded, looks)
    assert first.lines[1].contrast and again.lines[1].contrast and later.lines[1].contrast
    assert first.lines[1].contrast.first_look and again.lines[1].contrast.first_look
    assert later.lines[1].contrast.interval == later.lines[1].contrast.rows["test_accuracy"].difference.anytime(0.02)
    assert "compared before at 3 seeds" in sweep_table.to_text(later)
    assert sweep_table.to_json_dict(later)["runs"][1]["first_look"] is False


def test_a_sweep_judges_no_runs_on_different_data(tmp_path: Path) -> None:
    planned = plan("0.1")
    runs = {
        "rate-0": write_run(tmp_path, "rate-0", [0.9, 0.9, 0.9]),
        "rate-0.1": write_run(tmp_path, "rate-0.1", [0.9, 0.9, 0.9], rate=0.1, digest="0000000"),
    }
    with pytest.raises(Refused, match="runs on different data cannot be compared"):
        sweep_table.judge(planned, runs)


@pytest.mark.parametrize("key", ["data.validation_fraction", "data.validation_from", "data.dataset"])
def test_nothing_is_chosen_from_runs_that_validate_on_different_images(key: str, tmp_path: Path) -> None:
    """The easiest images would win. Each run still has its verdict, against a baseline on its own images."""
    values = {
        "data.validation_fraction": "0.1,0.3",
        "data.validation_from": "tail,random",
        "data.dataset": "mnist,digits",
    }
    planned = plan("0.2", f"{key}={values[key]}")
    runs = {}
    for member in planned.members:
        own = {key.removeprefix("data."): member.settings[key]}
        rate, digest = member.settings["dropout.rate"], str(own.get("dataset", "same")) * 7
        runs[member.name] = write_run(tmp_path, member.name, [0.9, 0.92], rate=rate, digest=digest, data=own)
    result = sweep_table.judge(planned, runs)
    assert len(runs) == 4 and result.chosen is result.fair is result.to_confirm is None
    assert [line.difference is None for line in result.lines] == [line.member.is_baseline for line in result.lines]
    differing = "data" if key == "data.dataset" else key
    said = f"chosen none: runs that differ in {differing} validate on different images"
    assert said in " ".join(sweep_table.to_text(result).split())
    assert next_steps.after_sweep(result, ["dropout-lab", "sweep"], "0.2", []) == []


def test_a_diverged_seed_is_a_result_and_is_never_chosen(tmp_path: Path) -> None:
    planned = plan("0.1,0.2")
    runs = {
        "rate-0": write_run(tmp_path, "rate-0", [0.9, 0.9]),
        "rate-0.1": write_run(tmp_path, "rate-0.1", [0.9, 0.99], rate=0.1, diverged=[0]),
    }
    runs["rate-0.1"] = with_last(runs["rate-0.1"], val_accuracy={1: 0.999})
    result = sweep_table.judge(planned, runs)
    assert [line.diverged for line in result.lines] == [0, 1, 0]
    assert result.chosen and result.chosen.member.name == "rate-0"
    text = sweep_table.to_text(result)
    assert "1 ok, 1 diverged" in text and "2 ok" in text and re.search(r"rate-0.2 +unfinished", text)
    rows = list(csv.DictReader(sweep_table.to_csv(result).splitlines()))
    assert [(row["run"], row["seed"], row["status"]) for row in rows] == [
        ("rate-0", "0", "finished"),
        ("rate-0", "1", "finished"),
        ("rate-0.1", "0", "diverged"),
        ("rate-0.1", "1", "finished"),
    ]
    assert rows[2]["test_accuracy"] == rows[2]["gap"] == "" and rows[3]["test_accuracy"] == "0.99"


def test_a_difference_is_marked_as_compare_would_judge_it(tmp_path: Path) -> None:
    base = [0.9, 0.9, 0.9, 0.9]
    tests = [
        base,
        [0.95, 0.951, 0.952, 0.95],
        [0.85, 0.851, 0.85, 0.849],
        [0.8, 0.99, 0.85, 0.97],
        [0.9, 0.9, 0.9, 0.9],
    ]
    result = judged(tmp_path, tests, [0.9] * 5)
    words = [run["verdict"] for run in sweep_table.to_json_dict(result)["runs"]]
    assert words == [None, "better", "worse", "inconclusive", "inconclusive"], "half an image is not known"
    rows = [line.rstrip()[-1] for line in sweep_table.to_text(result).splitlines() if "rate-" in line][1:4]
    assert rows == ["+", "-", "~"]
    assert "+ better, - worse, = equivalent, ~ inconclusive, by a margin of 0.10 pp" in " ".join(
        sweep_table.to_text(result).split()
    )
    assert "| better |" in as_markdown(sweep_table.parts(result))


# The picture


def test_a_picture_has_the_intervals_of_the_table_and_readable_names(tmp_path: Path) -> None:
    planned = plan("0.1", "dropout.kind=bernoulli,gaussian", "network.hidden=[8],[9]", "training.epochs=3")
    runs = {
        member.name: write_run(tmp_path, member.name, [0.9, 0.91 + number / 100, 0.92], rate=member.config.rates[0])
        for number, member in enumerate(planned.members)
    }
    result = sweep_table.judge(planned, runs)
    keys, points = sweep_table.points(result)
    assert keys == "dropout.kind and network.hidden and dropout.rate"
    assert [name for name, _ in points][:2] == ["hidden [8], rate 0", "bernoulli, hidden [8], rate 0.1"]
    figure = draw_sweep(result)
    assert "Differences with 95 % t intervals, simultaneous over 4" in " ".join(figure.texts[0].get_text().split())
    drawn = {tuple(segment[:, 0].round(9)) for segment in figure.axes[0].collections[0].get_segments() if len(segment)}
    found = [line.contrast.interval for line in result.lines if line.contrast and line.contrast.interval]
    assert len(found) == 4 and {(round(100 * low, 9), round(100 * high, 9)) for low, high in found} <= drawn


def test_a_picture_says_that_later_intervals_hold_whenever_you_stop(tmp_path: Path) -> None:
    looks, planned = Looks(tmp_path / "runs"), plan("0.1")
    accuracies = [0.9, 0.92, 0.91, 0.9, 0.91, 0.92]
    loaded = {
        member.name: write_run(
            tmp_path, member.name, [one + rate / 50 * (i % 2) for i, one in enumerate(accuracies)], rate=rate
        )
        for member, rate in zip(planned.members, (0.0, 0.1), strict=True)
    }
    few = {name: run.only(range(3)) for name, run in loaded.items()}
    sweep_table.remember(sweep_table.judge(planned, few, looks), few, looks)
    figure = draw_sweep(sweep_table.judge(planned, loaded, looks))
    assert "Differences with 95 % intervals that hold whenever you stop" in " ".join(figure.texts[0].get_text().split())


# Each at its best


def tuned_by_hand(tmp_path: Path, low: float = 0.95) -> sweep_table.SweepTable:
    """Rates 0 and 0.2 at two learning rates: without dropout small steps are best, with dropout large ones."""
    planned = plan("0.2", "training.learning_rate=0.001,0.01")
    vals = {(0.001, 0): low, (0.001, 0.2): 0.94, (0.01, 0): 0.90, (0.01, 0.2): 0.97}
    runs = {}
    for member in planned.members:
        steps, rate = member.config.training.learning_rate, member.config.dropout.rate
        val = vals[steps, rate]
        tests = [round(val - 0.01 + 0.001 * seed * (1 + 2 * rate), 3) for seed in range(3)]
        training = {"epochs": 3, "learning_rate": steps}
        run = write_run(tmp_path, member.name, tests, rate=rate, training=training)
        runs[member.name] = with_last(run, val_accuracy=val)
    return sweep_table.judge(planned, runs)


@pytest.mark.parametrize("low", [0.95, 0.98])
def test_best_with_dropout_against_best_without_is_one_line_and_what_is_confirmed(low: float, tmp_path: Path) -> None:
    result = tuned_by_hand(tmp_path, low)
    pair = "learning-rate-0.001_rate-0", "learning-rate-0.01_rate-0.2"
    assert result.fair and result.to_confirm
    assert tuple(member.name for member in result.to_confirm) == pair, "also where the best of all has no dropout"
    text = " ".join(sweep_table.to_text(result).split())
    assert f"each best with dropout against without, each chosen on validation: {pair[1]} against {pair[0]}, " in text
    assert re.search(r"[+-]\d\.\d\d pp \[\S+, \S+\] on test; exploratory", text)
    found = sweep_table.to_json_dict(result)["each_best"]
    assert (found["without"], found["with"]) == pair and found["interval"] is not None
    assert all(len(line) <= 60 for line in sweep_table.to_text(result, 60).splitlines())


def test_with_one_run_without_dropout_there_is_nothing_to_choose_there(tmp_path: Path) -> None:
    result = judged(tmp_path, [[0.9, 0.91, 0.92], [0.93, 0.94, 0.96]], [0.95, 0.96])
    assert result.fair is None and "each best" not in sweep_table.to_text(result)
    assert sweep_table.to_json_dict(result)["each_best"] is None
    assert result.to_confirm and [member.name for member in result.to_confirm] == ["rate-0", "rate-0.1"]


# Two settings


def cells(rates: str | None, *vary: str, baseline: bool = True) -> sweeps.Grid | None:
    return plan(rates, *vary, baseline=baseline).grid


def test_two_settings_make_a_grid_of_which_the_rates_go_across() -> None:
    found = cells("0.2,0.1", "network.hidden=[9],[16, 8]")
    assert found and found.keys == ("network.hidden", "dropout.rate")
    assert (found.rows, found.columns) == (("[9]", "[16, 8]"), ("0", "0.1", "0.2"))
    assert found.names["[16, 8]", "0.1"] == "hidden-16-8_rate-0.1" and len(found.names) == 6
    numbers = cells(None, "training.epochs=10,9", "training.learning_rate=0.01,0.001", baseline=False)
    assert numbers and (numbers.rows, numbers.columns) == (("9", "10"), ("0.001", "0.01")), "numbers by size"


def test_a_setting_that_never_changes_is_none_of_the_two() -> None:
    found = cells("0,0.1", "network.hidden=[9],[8]", "training.epochs=3")
    assert found and found.keys == ("network.hidden", "dropout.rate")
    assert cells("0.1,0.2") is None
    assert cells("0.1", "network.hidden=[9],[8]", "training.epochs=3,4") is None


def test_a_baseline_stands_where_its_rate_is_whatever_the_kind() -> None:
    found = cells("0.1,0.2", "dropout.kind=bernoulli,gaussian")
    assert found and found.rows == ("bernoulli", "gaussian") and found.columns == ("0", "0.1", "0.2")
    assert {found.names[kind, "0"] for kind in found.rows} == {"rate-0"}


def test_a_baseline_that_has_no_value_stands_apart() -> None:
    """The base's rate is 0.5: no value of what varies says that the baseline has none."""
    found = cells(None, "network.hidden=[9],[8]", "dropout.placement=before,after")
    assert found and found.columns == ("no dropout", "before", "after") and len(found.names) == 6
    assert found.names["[9]", "no dropout"] == "hidden-9_rate-0"
    both = cells(None, "dropout.kind=bernoulli,gaussian", "dropout.input_rate=0,0.2")
    assert both and both.names["no dropout", "no dropout"] == "input-rate-0_rate-0" and len(both.names) == 5


def crossed(tmp_path: Path, count: int) -> sweep_table.SweepTable:
    planned = plan(",".join(f"{0.05 * i:.2f}" for i in range(count)), "network.hidden=[8],[16, 16, 16, 16]")
    runs = {member.name: write_run(tmp_path, member.name, [0.9, 0.91, 0.92]) for member in planned.members}
    runs["hidden-8_rate-0.1"] = with_last(runs["hidden-8_rate-0.1"], val_accuracy={0: 0.999})
    return sweep_table.judge(planned, runs)


def test_two_settings_have_a_table_with_the_choice(tmp_path: Path) -> None:
    result = crossed(tmp_path, 3)
    rows = [line.split() for line in sweep_table.to_text(result).splitlines()[-3:]]
    assert rows == [
        ["mean", "test", "acc.", "%", "0", "0.05", "0.1"],
        ["[8]", "91.00", "91.00", ">", "91.00"],
        ["[16,", "16,", "16,", "16]", "91.00", "91.00", "91.00"],
    ]
    markdown = as_markdown(sweep_table.parts(result))
    assert "- **grid** network.hidden down, dropout.rate across\n\n| mean test acc. % | 0 | 0.05 | 0.1 |" in markdown
    assert "| \\[8\\] | 91.00 | 91.00 | \\> 91.00 |" in markdown
    page = as_html(sweep_table.parts(result))
    assert page.count("<table") == 2 and "&gt; 91.00" in page


@pytest.mark.parametrize("width", [60, 100])
def test_the_tables_fit(width: int, tmp_path: Path) -> None:
    for line in sweep_table.to_text(crossed(tmp_path, 12), width).splitlines():
        assert len(line) <= width


# From end to end


def test_the_article_is_swept_without_a_config(lab: Lab) -> None:
    before = lab.tree()
    outcome = lab("sweep --rates 0.1..0.5 --dry-run")
    assert outcome.code == 0 and not outcome.err
    head, *lines, how = outcome.out.splitlines()
    assert head == "plan: 6 runs, 6 networks to train" and how.startswith("  on cpu: ")
    assert [line.split("  ")[1].strip() for line in lines] == [
        f"runs/mnist-sweep/{name}" for name in names(plan("0.1..0.5"))
    ]
    assert all("mnist 128-128" in line and "10 epochs" in line for line in lines)
    assert lab.tree() == before


def test_kinds_and_schedules_are_swept_like_any_setting(lab: Lab) -> None:
    kinds = "bernoulli,bernoulli-scaled,gaussian,gaussian-additive,dropconnect"
    assert lab(f"sweep tiny.yaml --vary dropout.kind={kinds} --rates 0.3 --seeds 2 --quiet --name kinds").code == 0
    with (lab.runs / "kinds/sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["status"] for row in rows} == {"finished"} and len(rows) == 2 * (1 + kinds.count(",") + 1)
    schedules = "constant,early,early-linear,late,curriculum"
    (lab.path / "cut.yaml").write_text("data: {dataset: digits}\ndropout: {cutoff: 1}\ntraining: {epochs: 2}\n")
    assert lab(f"sweep cut.yaml --vary dropout.schedule={schedules} --rates 0.4 --quiet --name schedules").code == 0
    rates = {}
    for path in (lab.runs / "schedules").glob("*/metrics.csv"):
        rates[path.parent.name.removeprefix("schedule-").removesuffix("_rate-0.4")] = [
            float(line.rpartition(",")[2]) for line in path.read_text().splitlines()[1:]
        ]
    rising = rates.pop("curriculum")
    assert 0.2 < rising[0] < rising[1] < 0.4
    assert rates == {
        "rate-0": [0.0, 0.0],
        "constant": [0.4, 0.4],
        "early": [0.4, 0.0],
        "early-linear": [pytest.approx(0.2), 0.0],
        "late": [0.0, 0.4],
    }


def test_a_sweep_in_two_processes_leaves_a_tidy_table_and_is_done_once(lab: Lab) -> None:
    outcome = lab("sweep tiny.yaml --rates 0.2,0.5 --seeds 2 --jobs 2")
    assert outcome.code == 0
    folder = lab.runs / "tiny-sweep"
    assert {path.name for path in folder.iterdir()} == {
        "rate-0",
        "rate-0.2",
        "rate-0.5",
        "looks.json",
        "sweep.csv",
        "sweep.png",
        "sweep.yaml",
    }
    rows = list(csv.DictReader((folder / "sweep.csv").read_text().splitlines()))
    assert [(row["run"], row["dropout.rate"], row["seed"]) for row in rows] == [
        (f"rate-{rate:g}", str(rate), str(seed)) for rate in (0.0, 0.2, 0.5) for seed in (0, 1)
    ]
    for row in rows:
        seeds = json.loads((folder / row["run"] / "summary.json").read_text())["seeds"]
        assert float(row["test_accuracy"]) == seeds[row["seed"]]["last"]["test_accuracy"]
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"^chosen +on validation", outcome.out, re.MULTILINE)
    assert "written   runs/tiny-sweep: " in outcome.err
    before = lab.tree()
    again = lab("sweep tiny.yaml --rates 0.2,0.5 --seeds 2")
    assert again.out == outcome.out and lab.tree() == before
    assert (
        "plan: 4 runs, 2 networks to train" in lab("sweep tiny.yaml --rates 0.2..0.4:0.2,0.5 --seeds 2 --dry-run").out
    )
    assert "tiny-sweep/rate-0.5" in lab("list").out


def test_a_diverged_run_in_a_sweep_is_no_failure(lab: Lab) -> None:
    line = "sweep tiny.yaml --vary training.learning_rate=0.01,1e30 --no-baseline --name steps"
    (lab.path / "tiny.yaml").write_text(TINY.replace("epochs: 2", "epochs: 1, optimizer: sgd"))
    outcome = lab(line, "--json")
    assert outcome.code == 0
    report = json.loads(outcome.out)
    assert (report["schema_version"], report["sweep"], report["chosen"]) == (2, "steps", "learning-rate-0.01")
    assert [run["diverged"] for run in report["runs"]] == [0, 1]
    assert report["runs"][1]["test_accuracy"] is None and report["confirmation"] is None


def test_of_six_runs_two_fail_and_both_are_named_and_the_others_shown(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = execution.execute

    def fail_two(jobs: Sequence[Any], settings: Any) -> Any:
        bad = [job for job in jobs if job.path.name in ("rate-0.3", "rate-0.5")]
        for job in bad:
            yield execution.UnitFailed((Task(job, 0),), "out of memory")
        yield from done([job for job in jobs if job not in bad], settings)

    monkeypatch.setattr(execution, "execute", fail_two)
    outcome = lab("sweep tiny.yaml --rates 0.1..0.5")
    assert outcome.code == 1
    for rate in ("0.3", "0.5"):
        assert re.search(rf"rate-{rate} +unfinished", outcome.out)
        assert f"dropout-lab: error: runs/tiny-sweep/rate-{rate} seed 0: out of memory" in outcome.err
    assert {path.parent.name for path in lab.runs.glob("tiny-sweep/*/summary.json")} == {
        *("rate-0", "rate-0.1", "rate-0.2", "rate-0.4")
    }
    stopped = lab("sweep tiny.yaml --rates 0.2,0.5 --name other --fail-fast")
    assert stopped.code == 1 and not (lab.runs / "other/rate-0").exists()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_choice_is_confirmed_on_seeds_that_it_has_not_seen(
    sign: int, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_rate = Metric("rate", "the rate", "%", True, lambda run: dict.fromkeys(run.seeds, sign * run.config.rates[0]))
    monkeypatch.setattr(sweep_table, "SELECTION", by_rate)
    line = "sweep tiny.yaml --rates 0.5 --seeds 3 --confirm"
    outcome, report = lab(line), json.loads(lab(line, "--json").out)
    assert outcome.code == 0
    assert report["chosen"] == ("rate-0.5" if sign == 1 else "rate-0")
    assert [run["seeds"] for run in report["runs"]] == [[0, 1, 2]] * 2
    if sign == 1:
        assert "candidate rate-0.5  3 seeds (3-5)" in outcome.out and "verdict" in outcome.out
        assert report["confirmation"]["candidates"][0]["seeds"] == [3, 4, 5]
        assert "compared before" not in outcome.out, "the sweep's verdict was about other seeds"
    else:
        assert "nothing to confirm" in outcome.err and report["confirmation"] is None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--seeds {0}..{0}", "--seeds: must leave 1 fresh seed to confirm the choice on, up to {0}; use smaller ones"),
        ("--seeds 0,{0}", "--seeds: must leave 2 fresh seeds"),
        ("--seeds {0}..{0} --until-decided --max-seeds 9", "--seeds: must leave 9 fresh seeds"),
        ("--seeds 600", "--confirm: takes 600 seeds more in two of the runs: seeds must"),
        (
            "--seeds 60 training.epochs=100000",
            "--confirm: takes 60 seeds more in two of the runs: training.epochs must be at most 83333",
        ),
    ],
)
def test_without_seeds_to_confirm_on_nothing_is_trained(words: str, reason: str, lab: Lab) -> None:
    before = lab.tree()
    outcome = lab(f"sweep tiny.yaml --rates 0.5 --confirm {words.format(MAX_SEED)}")
    assert outcome.code == 2 and reason.format(MAX_SEED) in outcome.err, outcome
    assert lab.tree() == before and "plan" not in outcome.err


def test_a_smoke_sweep_has_no_verdict(lab: Lab) -> None:
    outcome = lab("sweep tiny.yaml --rates 0.5 --smoke")
    assert outcome.code == 0 and "runs/tiny-smoke-sweep/rate-0 " in outcome.err and "seeds 0-1" in outcome.err
    assert outcome.out.splitlines()[-1] == "smoke run: no statistical verdict"


NEXT = re.compile(r"^next      (.+):\n  dropout-lab (.+)$", re.MULTILINE)


def test_the_next_commands_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    by_rate = Metric(
        "rate", "the rate", "%", True, lambda run: dict.fromkeys(run.seeds, -abs(run.config.rates[0] - 0.2))
    )
    monkeypatch.setattr(sweep_table, "SELECTION", by_rate)
    outcome = lab("sweep tiny.yaml --rates 0.1..0.3 --seeds 2 --runs-dir 'my runs' --vary training.epochs=1")
    steps = dict(NEXT.findall(outcome.err))
    assert list(steps) == [
        "see whether the choice holds, on fresh seeds",
        "look at the chosen run",
        "try rates around 0.2",
    ]
    confirm, evaluate, finer = steps.values()
    assert (
        confirm == "sweep tiny.yaml --rates 0.1..0.3 --seeds 2 --runs-dir 'my runs' --vary training.epochs=1 --confirm"
    )
    assert evaluate == "evaluate tiny-sweep/epochs-1_rate-0.2 '--runs-dir=my runs'"
    confirmed = lab(confirm)
    assert confirmed.code == 0 and "candidate epochs-1_rate-0.2" in confirmed.out
    assert list(dict(NEXT.findall(confirmed.err))) == list(steps)[1:]
    assert lab(evaluate, "--samples", "2").code == 0
    plan = lab(finer, "--dry-run").out
    assert "rate-0.15" in plan and "rate-0.25" in plan and "4 networks to train" in plan
    assert lab(finer).code == 0


def test_a_smoke_sweep_leads_nowhere(lab: Lab) -> None:
    assert "next" not in lab("sweep tiny.yaml --rates 0.5 --smoke").err


@pytest.mark.parametrize(
    ("chosen", "rates", "expected"),
    [
        (0.2, "0.1..0.3", [0.15, 0.25]),
        (0.3, "0.1..0.3", [0.25, 0.35]),
        (0, "0.1..0.3", [0.05]),
        (0.9, "0.5,0.9", [0.7, 0.95]),
    ],
)
def test_finer_rates_lie_around_the_chosen_one(
    chosen: float, rates: str, expected: list[float], tmp_path: Path
) -> None:
    planned = plan(rates)
    runs = {member.name: write_run(tmp_path, member.name, [0.9]) for member in planned.members}
    runs[f"rate-{chosen:g}"] = with_last(runs[f"rate-{chosen:g}"], val_accuracy=0.99)
    assert next_steps.finer(sweep_table.judge(planned, runs)) == expected


def test_a_sweep_is_drawn_again_from_its_files(lab: Lab) -> None:
    line = "sweep tiny.yaml --rates 0.2,0.5 --vary network.hidden=[8],[4] --seeds 2 --quiet"
    assert lab(line).code == 0
    picture = lab.runs / "tiny-sweep/sweep.png"
    drawn = picture.read_bytes()
    picture.unlink()
    assert lab("plot tiny-sweep").out == "runs/tiny-sweep/sweep.png\n"
    assert picture.read_bytes() == drawn
    outcome = lab("plot tiny-sweep tiny-sweep/hidden-8_rate-0 tiny-sweep/hidden-4_rate-0 --format svg --style dark")
    assert outcome.code == 0
    files = outcome.out.splitlines()
    assert len(files) == 4 and all((lab.path / file).read_text().startswith("<?xml") for file in files)
    assert "runs/tiny-sweep/sweep.svg" in files and picture.read_bytes() == drawn
    (lab.runs / "tiny-sweep/sweep.yaml").write_text("runs: 3")
    refused = lab("plot tiny-sweep")
    assert refused.code == 2 and "runs/tiny-sweep: sweep: must hold sweep.yaml and sweep.csv" in refused.err
    bad = lab("plot tiny-sweep --format bmp")
    assert bad.code == 2 and "--format: 'bmp' is not one of" in bad.err


# The files of a directory


def story(lab: Lab, name: str = "tiny-sweep") -> tuple[list[str], list[str], list[str]]:
    """The runs that sweep.yaml, sweep.csv and a report speak of; the picture is drawn anew and stays the same."""
    directory = lab.runs / name
    planned = [run["name"] for run in yaml.safe_load((directory / "sweep.yaml").read_text())["runs"]]
    table = [line["run"] for line in csv.DictReader((directory / "sweep.csv").read_text().splitlines())]
    picture = (directory / "sweep.png").read_bytes()
    assert lab(f"plot {name}").code == 0 and (directory / "sweep.png").read_bytes() == picture
    assert lab(f"report {name}").code == 0
    page = (lab.path / "report.html").read_text()
    return planned, list(dict.fromkeys(table)), [run for run in planned if re.search(f">(tiny-sweep/)?{run}<", page)]


@pytest.mark.slow
def test_the_files_of_a_directory_tell_of_the_last_sweep(lab: Lab) -> None:
    line = "sweep tiny.yaml --seeds 2 training.epochs=1 --quiet"
    asked = {
        "--rates 0.1,0.2": ["rate-0", "rate-0.1", "rate-0.2"],
        "--rates 0.3": ["rate-0", "rate-0.3"],
        "--rates 0.1..0.3": ["rate-0", "rate-0.1", "rate-0.2", "rate-0.3"],
        "--vary network.hidden=[8] --no-baseline": ["hidden-8"],
    }
    for words, runs in [*asked.items(), *asked.items()]:
        outcome = lab(f"{line} {words}")
        assert outcome.code == 0, outcome
        assert story(lab) == (runs, runs, runs), words
        assert [name for name in runs if name not in outcome.out] == []
    listed = lab("list").out
    assert all(f"tiny-sweep/{name} " in listed for runs in asked.values() for name in runs)


def test_a_sweep_that_is_interrupted_leaves_nothing_of_the_one_before(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "sweep tiny.yaml training.epochs=1 --no-baseline --quiet"
    assert lab(f"{line} --rates 0.1").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(execution.Writers, "record", lambda *_: (_ for _ in ()).throw(Failed("interrupted")))
        assert lab(f"{line} --rates 0.2,0.3").code == 1
    directory = lab.runs / "tiny-sweep"
    assert not (directory / "sweep.csv").exists() and not (directory / "sweep.png").exists()
    assert [run.name for run in read_sweep(directory).runs] == ["rate-0.2", "rate-0.3"]
    for command in "report", "plot":
        outcome = lab(f"{command} tiny-sweep")
        assert outcome.code == 2 and "has no finished run" in outcome.err, outcome
    assert lab(f"{line} --rates 0.1").code == 0 and story(lab)[2] == ["rate-0.1"]


def test_no_picture_stays_beside_another_table(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "sweep tiny.yaml --rates 0.1 training.epochs=1 --no-baseline --quiet"
    assert lab(line).code == 0
    monkeypatch.setattr(plots, "save", lambda *_: 1 / 0)
    assert lab(f"{line} --seeds 2").code == 0 and not (lab.runs / "tiny-sweep/sweep.png").exists()


def test_a_finished_sweep_that_cannot_be_written_is_shown(lab: Lab) -> None:
    line = "sweep tiny.yaml --rates 0.1 training.epochs=1 --quiet"
    assert lab(line).code == 0
    directory = lab.runs / "tiny-sweep"
    (directory / "sweep.yaml").write_text((directory / "sweep.yaml").read_text() + "\n")
    directory.chmod(0o500)
    try:
        with ordinary_user():
            outcome = lab(line)
    finally:
        directory.chmod(0o700)
    assert outcome.code == 1 and "rate-0.1" in outcome.out and "cannot be" in outcome.err
