"""The laws of a crossing: every combination of seeds once, one network each, and the spread that follows by hand."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from commandline import Lab
from readable import assert_readable, legend_of, said

import dropout_lab as lab_api
from dropout_lab.comparison.variance import components
from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.errors import Refused
from dropout_lab.figures import spread as figures
from dropout_lab.runs import read as runs
from dropout_lab.sweeps import spread as spreads
from dropout_lab.sweeps.crossing import Arm, Crossing, cross, drawn
from dropout_lab.sweeps.spread import Spread, Variance

TINY = {"data": {"dataset": "digits"}, "network": {"hidden": [8]}, "training": {"epochs": 2}}


def tiny(**sections: object) -> Config:
    return configs.resolve(TINY | sections, where="test", name="tiny")


def effective(config: Config, seed: int, streams: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(config.streams.seed_of(name, seed) for name in streams)


EVERYTHING = {
    "data": {
        "dataset": "digits",
        "train_size": 300,
        "train_from": "random",
        "validation_from": "random",
        "label_noise": 0.1,
    }
}


def test_the_streams_that_vary_are_those_that_a_config_draws_from() -> None:
    assert drawn(tiny()) == ("init", "order", "masks")
    assert drawn(tiny(dropout={"rate": 0})) == ("init", "order")
    assert drawn(tiny(dropout={"rate": 0, "input_rate": 0.1})) == ("init", "order", "masks")
    assert drawn(tiny(**EVERYTHING)) == ("init", "order", "masks", "subset", "split", "label_noise")
    assert drawn(tiny(streams={"order": 3})) == ("init", "masks")


@pytest.mark.parametrize("sections", [{}, {"dropout": {"rate": 0}}, EVERYTHING, {"streams": {"init": 7, "order": 7}}])
def test_every_combination_of_seeds_is_one_network(sections: dict[str, object]) -> None:
    crossing = cross(tiny(**sections), 2, name="all")
    (arm,) = crossing.arms
    members = {member.name: member.config for member in crossing.sweep.members}
    assert len(members) == len(crossing.sweep.members) and {config.seeds for config in members.values()} == {(0, 1)}
    seen = [effective(members[name], seed, arm.streams) for name in arm.names for seed in (0, 1)]
    assert seen == list(itertools.product((0, 1), repeat=len(arm.streams)))  # in the order of the array's axes
    assert all(member.baseline is None for member in crossing.sweep.members)


def test_arms_have_their_own_streams_and_share_runs_that_are_the_same() -> None:
    crossing = cross(tiny(), 2, ["dropout.rate=0,0.5"], name="rates")
    assert [(arm.settings, arm.streams) for arm in crossing.arms] == [
        ({"dropout.rate": 0}, ("init", "order")),
        ({"dropout.rate": 0.5}, ("init", "order", "masks")),
    ]
    assert len(crossing.sweep.members) == 2 + 4
    kinds = cross(tiny(), 2, ["training.epochs=2,3", "dropout.rate=0.5"], name="epochs")
    again = cross(tiny(), 2, name="one")
    assert {member.config.identity for member in again.sweep.members} < {m.config.identity for m in kinds.sweep.members}


def test_what_cannot_be_crossed_is_refused_with_every_problem() -> None:
    for levels in (1, 101):
        with pytest.raises(Refused, match="must be a whole number from 2 to 100"):
            cross(tiny(), levels, name="x")
    with pytest.raises(Refused, match="at least one stream"):
        cross(tiny(streams={"init": 0, "order": 0, "masks": 0}), 2, name="x")
    with pytest.raises(Refused, match="at most 10,000 runs"):
        cross(tiny(**EVERYTHING), 7, name="x")
    with pytest.raises(Refused) as caught:
        cross(tiny(), 2, ["dropout.rate=0.5,2,3"], name="x")
    assert len(caught.value.problems) == 2


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lab_api.Variance]:
    """27 networks of 8 units on the digits."""
    folder = tmp_path_factory.mktemp("crossing")
    return folder, lab_api.variance(tiny(), levels=3, runs_dir=folder)


def test_the_components_are_those_of_the_textbook(real: tuple[Path, lab_api.Variance]) -> None:
    """Read from the files of the runs cell by cell, with sums of squares written out for three factors."""
    folder, found = real
    a = 3
    y = np.empty((a, a, a))
    for i, j in itertools.product(range(a), repeat=2):
        run = runs.load(folder / "tiny-variance" / f"init-{i}_order-{j}")
        for k in range(a):
            assert (run.config.streams.init, run.config.streams.order) == (i, j)
            y[i, j, k] = run.summary.finished[k].last.test_accuracy
    (spread,) = found.spreads
    assert spread.values.tolist() == y.tolist() and spread.missing == 0
    m, mi, mj, mk = y.mean(), y.mean((1, 2)), y.mean((0, 2)), y.mean((0, 1))
    mij, mik, mjk = y.mean(2), y.mean(1), y.mean(0)
    two = a * ((mij - mi[:, None] - mj[None] + m) ** 2).sum() / 4
    two_ik = a * ((mik - mi[:, None] - mk[None] + m) ** 2).sum() / 4
    two_jk = a * ((mjk - mj[:, None] - mk[None] + m) ** 2).sum() / 4
    rest = y - mij[:, :, None] - mik[:, None] - mjk[None] + mi[:, None, None] + mj[None, :, None] + mk[None, None] - m
    three = (rest**2).sum() / 8
    one = a**2 * ((mi - m) ** 2).sum() / 2
    by_hand = {
        ("init", "order", "masks"): three,
        ("init", "order"): (two - three) / a,
        ("init",): (one - two - two_ik + three) / a**2,
        ("order", "masks"): (two_jk - three) / a,
    }
    assert spread.components
    sds = {part.streams: part.sd for part in spread.components.parts}
    for streams, variance in by_hand.items():
        assert sds[streams] == pytest.approx(math.sqrt(max(0.0, variance)), abs=1e-9)
    assert spread.components.mean == pytest.approx(m)


def test_the_command_goes_on_where_python_stopped_and_writes_its_files(
    real: tuple[Path, lab_api.Variance], lab: Lab
) -> None:
    folder, found = real
    (lab.path / "tiny.yaml").write_text("data: {dataset: digits}\nnetwork: {hidden: [8]}\ntraining: {epochs: 2}\n")
    outcome = lab(f"variance tiny.yaml --levels 3 --json --runs-dir {folder}")
    assert outcome.code == 0 and "nothing to train" in outcome.err, outcome.err
    answer = json.loads(outcome.out)
    assert answer == json.loads((folder / "tiny-variance/variance.json").read_text())
    (arm,) = answer["arms"]
    assert arm["networks"] == 27 and arm["streams"] == ["init", "order", "masks"]
    assert np.array(arm["values"]).shape == (3, 3, 3)
    again = components(np.array(arm["values"]), arm["streams"])
    assert [part["sd"] for part in arm["components"]] == [part.sd for part in again.parts]
    assert arm["pairing"] == {"shared": ["init", "order"], "correlation": again.shared(["init", "order"])}
    assert (folder / "tiny-variance/variance.png").read_bytes().startswith(b"\x89PNG")
    shown = repr(found)
    assert "27 of init, order and masks" in shown and "unpaired seeds" in shown
    assert "<table" in found._repr_html_()
    loss = lab(f"variance tiny.yaml --levels 3 --metric test_loss --runs-dir {folder}")
    assert loss.code == 0 and "test loss" in loss.out


@pytest.mark.parametrize("width", [60, 100])
def test_arms_stand_side_by_side(width: int, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    outcome = lab("variance tiny.yaml training.epochs=1 --levels 2 --vary dropout.rate=0,0.5 --name two")
    assert outcome.code == 0, outcome.err
    assert max(map(len, outcome.out.splitlines())) <= width
    for words in ("rate=0: 4 of init and order", "rate=0.5: 8 of init, order and masks", "rate=0.5: sd 95% CI"):
        assert words in outcome.out
    assert (lab.runs / "two/rate-0.5_init-1_order-0/summary.json").exists()
    assert lab("plot two").code == 0 and lab("list").code == 0  # it is an ordinary sweep


def test_networks_without_a_value_are_named_and_fail(lab: Lab) -> None:
    outcome = lab("variance tiny.yaml training.learning_rate=1e30 --levels 2")
    assert outcome.code == 1
    assert "without a value" in outcome.out and "networks without test_accuracy" in outcome.err
    assert not (lab.runs / "tiny-variance/variance.png").exists()


@pytest.mark.parametrize(
    "line, words",
    [
        ("variance tiny.yaml --metric test_acc", "unknown metric"),
        ("variance tiny.yaml --levels 1", "--levels"),
        ("variance tiny.yaml --vary seeds=1,2", "has its own option"),
        ("variance tiny.yaml --vary dropout.rate=7", "dropout.rate"),
    ],
)
def test_refusals(line: str, words: str, lab: Lab) -> None:
    before = lab.tree()
    outcome = lab(line)
    assert outcome.code == 2 and words in outcome.err
    assert lab.tree() == before


def made(streams: tuple[str, ...], levels: int, arms: int) -> Variance:
    config = tiny()
    values = np.random.default_rng(0).normal(0.9, 0.01, (arms, *(levels for _ in streams)))
    found = [
        Spread(
            Arm({"dropout.rate": rate / 10} if arms > 1 else {}, config, streams, ()), one, components(one, streams), 0
        )
        for rate, one in enumerate(values)
    ]
    return Variance("made", "test_accuracy", levels, tuple(found))


@pytest.mark.parametrize("arms", [1, 3])
@pytest.mark.parametrize("streams", [("init",), ("init", "order", "masks"), ("init", "order", "masks", "label_noise")])
def test_the_picture_is_readable(streams: tuple[str, ...], arms: int) -> None:
    figure = figures.variance(made(streams, 3, arms), "data digits · n = 3 seeds")
    assert_readable(figure)
    assert "3 seeds of each stream" in said(figure) and "95 %" in said(figure)
    assert len(legend_of(figure)) == arms


def test_a_single_stream_and_no_spread_have_words_too() -> None:
    assert "one network" in spreads.to_text(made(("init",), 3, 1), 60)
    flat = made(("init", "masks"), 2, 1)
    same = Spread(flat.spreads[0].arm, np.ones((2, 2)), components(np.ones((2, 2)), ("init", "masks")), 0)
    text = spreads.to_text(Variance("flat", "test_accuracy", 2, (same,)), 60)
    assert "0.00" in text and "fixing" not in text


def test_a_crossing_is_a_value() -> None:
    assert cross(tiny(), 2, name="x") == cross(tiny(), 2, name="x") and isinstance(cross(tiny(), 2, name="x"), Crossing)
