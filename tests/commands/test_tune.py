"""The laws of `--tune`: each run chooses on validation, on seeds of its own, and is compared on others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandline import REFUSAL, Lab
from comparable import EPOCHS, reseal, write_run

import dropout_lab as package
from dropout_lab.config import resolve as configs
from dropout_lab.sweeps import judge, tuning
from dropout_lab.sweeps.tuning import Arm

GRID = ({"training.learning_rate": 0.001}, {"training.learning_rate": 0.003}, {"training.learning_rate": 0.01})
TUNE = "--tune training.learning_rate=0.001,0.003,0.01"
RATES = (0.001, 0.003, 0.01)


def made(path: Path, rate: float, learning_rate: float, test: float, val: float, first: int, count: int) -> None:
    """A finished run of `count` seeds from `first` on, with these mean accuracies."""
    seeds = range(first, first + count)
    accuracies = {seed: round(test + 0.001 * (seed % 3 - 1) * (1 + (rate > 0)), 3) for seed in seeds}
    training = {"epochs": EPOCHS, "learning_rate": learning_rate}
    write_run(path.parent, path.name, accuracies, rate=rate, training=training)
    facts = json.loads((path / "summary.json").read_text())["seeds"]
    for seed in facts:
        facts[seed]["last"]["val_accuracy"] = val
    reseal(path, seeds=facts)


# In this world the baseline is best with small steps, and dropout with large ones, by 1 pp: (test, val) by arm.
WORLD = {"base": ((0.96, 0.95), (0.94, 0.93), (0.90, 0.89)), "drop": ((0.93, 0.92), (0.95, 0.94), (0.97, 0.96))}


def world(lab: Lab, values: Mapping[str, Any] = WORLD) -> None:
    """All the runs that `compare base.yaml drop.yaml TUNE` needs, so that nothing is trained."""
    for name, rate in (("base", 0.0), ("drop", 0.5)):
        text = f"dropout: {{rate: {rate}}}\ntraining: {{epochs: {EPOCHS}}}\nseeds: [0, 1, 2, 3, 4]\n"
        (lab.path / f"{name}.yaml").write_text(text)
        arm = Arm(name, configs.load(lab.path / f"{name}.yaml"), f"{name}-tune", {})
        folder = lab.runs / f"{name}-tune"
        for learning_rate, (test, val) in zip(RATES, values[name], strict=True):
            member = f"learning-rate-{learning_rate}"
            made(folder / member, rate, learning_rate, test, val, tuning.FIRST, 3)
            own = name if learning_rate == 0.001 else f"{name}-tuned-{member}"
            made(lab.runs / own, rate, learning_rate, test, val, 0, 5)
        (folder / "sweep.yaml").write_text(tuning.plan([arm], GRID, range(1000, 1003))[0].to_yaml())


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_shared_learning_rate_misleads_and_tuning_does_not(lab: Lab) -> None:
    world(lab)
    shared = json.loads(lab("compare base.yaml drop.yaml --json").out)
    assert shared["candidates"][0]["verdict"]["word"] == "worse"
    outcome = lab(f"compare base.yaml drop.yaml {TUNE}")
    assert outcome.code == 0 and "nothing to train" in outcome.err, outcome.err
    assert "chose     base: training.learning_rate 0.001, at the edge of the grid: widen it" in outcome.out
    assert "chose     drop: training.learning_rate 0.01, at the edge of the grid: widen it" in outcome.out
    assert "with 0.001 for all, on the tuning seeds: drop -3.00 pp, worse" in words(outcome.out)
    assert "drop-tuned-learning-rate-0.01 is better" in words(outcome.out)
    assert "not the effect of dropout alone" not in outcome.out, "each has its own: that is the question"
    found = json.loads(lab(f"compare base.yaml drop.yaml {TUNE} --json").out)
    assert found["candidates"][0]["verdict"]["word"] == "better"
    assert [run["chosen"] for run in found["tuning"]["runs"]] == [GRID[0], GRID[2]]
    assert [run["edge"] for run in found["tuning"]["runs"]] == [["training.learning_rate"]] * 2
    assert found["tuning"]["shared"]["candidates"][0]["verdict"] == "worse"


def test_the_seeds_of_the_comparison_are_none_of_the_tuning(lab: Lab) -> None:
    world(lab)
    found = json.loads(lab(f"compare base.yaml drop.yaml {TUNE} --json").out)
    assert found["tuning"]["seeds"] == [1000, 1001, 1002]
    assert found["baseline"]["seeds"] == found["candidates"][0]["seeds"] == [0, 1, 2, 3, 4]
    for seeds in ("999..1000", "1002..1003"):
        refused = lab(f"compare base.yaml drop.yaml {TUNE} --seeds {seeds}")
        assert refused.code == 2 and "--seeds: must be others than those of the tuning, seeds 1000-1002" in refused.err


def test_the_choice_is_the_best_on_validation_whatever_the_test_split_says(lab: Lab) -> None:
    """Equal ones: the first of them; test accuracies point the other way."""
    world(lab, {"base": ((0.90, 0.93), (0.91, 0.95), (0.99, 0.95)), "drop": ((0.99, 0.91), (0.9, 0.96), (0.95, 0.92))})
    outcome = lab(f"compare base.yaml drop.yaml {TUNE}")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["base", "93.00", ">", "95.00", "95.00"] in lines and ["drop", "91.00", ">", "96.00", "92.00"] in lines
    assert "widen" not in outcome.out
    table = package.compare("base.yaml", "drop.yaml", tune={"training.learning_rate": RATES})
    assert isinstance(table, package.Comparison) and table.tuning  # type: ignore[attr-defined]
    assert [choice.chosen for choice in table.tuning.choices] == [1, 1]
    assert repr(table) == outcome.out.removesuffix("\n") and "<table" in table._repr_html_()


@pytest.mark.parametrize("width", [60, 100])
def test_it_fits(width: int, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    world(lab)
    monkeypatch.setenv("COLUMNS", str(width))
    assert max(map(len, lab(f"compare base.yaml drop.yaml {TUNE}").out.splitlines())) <= width


def test_an_edge_is_a_number_with_nothing_tried_beyond() -> None:
    grid = [{"a": a, "b": b} for a in (0, 1, 2) for b in ("x", "y")]
    assert [tuning.edge(point, grid) for point in grid] == [(), (), (), (), ("a",), ("a",)]  # nothing is beyond 0
    assert tuning.edge({"a": 1}, [{"a": 1}, {"a": 2}]) == ("a",)
    assert tuning.edge({"a": None}, [{"a": None}, {"a": 3}]) == tuning.edge({"a": True}, [{"a": True}]) == ()


def test_a_point_that_diverged_is_never_chosen(lab: Lab) -> None:
    (lab.path / "tiny.yaml").write_text((lab.path / "tiny.yaml").read_text().replace("epochs: 2", "optimizer: sgd"))
    line = "compare tiny.yaml none.yaml training.epochs=1 --seeds 2 --tune-seeds 1 --quiet --json"
    (lab.path / "none.yaml").write_text((lab.path / "tiny.yaml").read_text() + "dropout: {rate: 0}\n")
    found = json.loads(lab(f"{line} --tune training.learning_rate=1e30,0.01").out)
    assert [run["chosen"]["training.learning_rate"] for run in found["tuning"]["runs"]] == [0.01, 0.01]
    assert found["tuning"]["runs"][0]["points"][0]["diverged"] == 1
    all_lost = lab(f"{line} --tune training.learning_rate=1e29,1e30")
    assert all_lost.code == 1 and "tiny: nothing to choose" in all_lost.err


REFUSED = {
    f"{TUNE} --smoke": "--tune: must be left out of a smoke run",
    "--tune-seeds 4": "--tune-seeds: must be left out without --tune",
    f"{TUNE} --tune-seeds 0": "--tune-seeds: must be a whole number from 1 to 100",
    "--tune training.learning_rate": "--tune: must be KEY=V1,V2,..",
    "--tune training.learning_rate=0.1": "--tune: must name two values or more",
    "--tune training.learning_rate=0.1,0.1": "--tune: must name every value only once",
    "--tune training.learning_rat=0.1,0.2": "training.learning_rat: unknown key",
    "--tune training.epochs=0,1": "training.epochs: must be a whole number",
    "--tune seeds=0,1": "--tune: must be a setting that decides the numbers",
    "--tune data.validation_fraction=0.1,0.2": "--tune: must be settings that runs may differ in",
    "--tune dropout.rate=0.1,0.2": "--tune: must leave a difference",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_tuned_is_refused_and_nothing_is_made(words: str, lab: Lab) -> None:
    (lab.path / "none.yaml").write_text((lab.path / "tiny.yaml").read_text() + "dropout: {rate: 0}\n")
    before = lab.tree()
    outcome = lab(f"compare none.yaml tiny.yaml {words}")
    assert outcome.code == 2 and lab.tree() == before
    assert all(re.fullmatch(REFUSAL, line) for line in outcome.err.splitlines())
    assert REFUSED[words] in outcome.err


def test_it_is_planned_resumed_listed_and_reported_like_a_sweep(lab: Lab) -> None:
    (lab.path / "none.yaml").write_text((lab.path / "tiny.yaml").read_text() + "dropout: {rate: 0}\n")
    line = "compare none.yaml tiny.yaml training.epochs=1 --seeds 2 --tune-seeds 2"
    grid = "--tune training.learning_rate=0.001,0.01 --tune training.batch_size=16,32"
    before = lab.tree()
    planned = lab(f"{line} {grid} --dry-run")
    assert planned.code == 0 and lab.tree() == before
    assert "plan: 8 runs, 16 networks to train" in planned.out and "none-tune/learning-rate-0.001_batch" in planned.out
    first = lab(f"{line} {grid} --quiet")
    assert first.code == 0 and "chose     tiny: training.learning_rate" in first.out
    assert {path.name for path in (lab.runs / "tiny-tune").iterdir() if path.is_file()} == {
        *("sweep.yaml", "sweep.csv", "sweep.png", "looks.json")
    }
    before = lab.tree()
    again = lab(f"{line} {grid}")
    assert again.out == first.out and lab.tree() == before
    assert "plan: 2 runs, 0 networks" in lab(f"{line} {grid} --dry-run").out or "nothing to train" in again.err
    wider = lab(f"{line} {grid.replace('0.001,', '0.001,0.03,')} --dry-run")
    assert "plan: 12 runs, 8 networks to train" in wider.out
    assert "tiny-tune/learning-rate-0.01_batch-size-16" in lab("list").out
    assert lab("report tiny-tune none-tune").code == lab("plot tiny-tune").code == 0


def test_a_sweep_tunes_every_setting_and_confirms_on_seeds_of_neither(lab: Lab, monkeypatch: Any) -> None:
    """Here the larger the rate, the smaller the steps that are best, and dropout is chosen."""

    def liked(run: Any) -> dict[int, float]:
        rate, steps = run.config.rates[0], run.config.training.learning_rate
        return dict.fromkeys(run.seeds, 0.5 + rate / 10 - abs(steps - 0.01 * (1 - rate)))

    monkeypatch.setattr(judge, "SELECTION", replace(judge.SELECTION, values=liked))
    line = "sweep tiny.yaml training.epochs=1 --rates 0.5,0.9 --seeds 2 --tune-seeds 2 --name s --quiet"
    grid = "--tune training.learning_rate=0.001,0.005,0.01"
    found = json.loads(lab(f"{line} {grid} --confirm --json").out)
    chosen = {run["run"]: run["chosen"]["training.learning_rate"] for run in found["tuning"]["runs"]}
    assert chosen == {"rate-0": 0.01, "rate-0.5": 0.005, "rate-0.9": 0.001}
    assert found["sweep"] == "s-tuned" and found["chosen"] == "rate-0.9_learning-rate-0.001"
    assert [run["baseline"] for run in found["runs"]] == ["rate-0_learning-rate-0.01"] * 3
    assert [run["seeds"] for run in found["runs"]] == [[0, 1]] * 3
    assert found["confirmation"]["candidates"][0]["seeds"] == [2, 3]
    assert {path.name for path in lab.runs.iterdir()} == {"s-tune", "s-tuned"}
    text = lab(f"{line} {grid}").out
    assert "chose     rate-0.5: training.learning_rate 0.005" in text and "on the tuning seeds: rate-0.5" in words(text)
    late = line.replace("--seeds 2", "--seeds 998..999")
    fresh = json.loads(lab(f"{late} {grid} --confirm --json").out)["confirmation"]["candidates"][0]["seeds"]
    assert fresh == [1002, 1003], "none of the tuning"
    refused = lab(f"{line} --tune dropout.rate=0.1,0.2")
    assert refused.code == 2 and "--tune: must not be varied as well: dropout.rate is" in refused.err


def test_seeds_are_added_at_the_choice_until_it_is_decided(lab: Lab) -> None:
    """The tuning stays as it is; the seeds that are added are none of it."""
    world(lab)
    line = f"compare base.yaml drop.yaml {TUNE} --until-decided --max-seeds 5"
    outcome = lab(line)
    assert outcome.code == 0 and "chose     drop" in outcome.out and "narrowed" in outcome.out, outcome.err
    found = json.loads(lab(f"{line} --json").out)
    assert found["until_decided"]["max_seeds"] == 5 and found["tuning"]["seeds"] == [1000, 1001, 1002]
    assert found["candidates"][0]["seeds"] == [0, 1, 2, 3, 4]


def test_a_tuned_sweep_is_a_race_too(lab: Lab) -> None:
    line = "sweep tiny.yaml training.epochs=1 --rates 0.5,0.9 --tune-seeds 2 --until-decided --max-seeds 6 --quiet"
    found = json.loads(lab(f"{line} --tune training.learning_rate=0.001,0.01 --json").out)
    chosen = {run["run"]: run["chosen"]["training.learning_rate"] for run in found["tuning"]["runs"]}
    assert chosen.keys() == {"rate-0", "rate-0.5", "rate-0.9"} and found["tuning"]["seeds"] == [1000, 1001]
    for run in found["runs"]:
        rate, seeds = f"rate-{run['settings']['dropout.rate']:g}", run["seeds"]
        assert run["run"] in (rate, f"{rate}_learning-rate-{chosen[rate]:g}") and {*seeds} <= {*range(6)}
    assert found["until_decided"]["max_seeds"] == 6
