"""A user's own data, as a researcher would bring them: in order, with other scales, and moved to another place."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import REFUSAL, Lab, Outcome
from comparable import reseal, write_run
from generated import refused, save

import dropout_lab as api
from dropout_lab.config.resolve import resolve
from dropout_lab.data import datasets as data
from dropout_lab.data.split import FIRST, Parts, a_fifth, check_classes, in_proportion, sample, split
from dropout_lab.errors import Refused
from dropout_lab.runs import read as runs
from dropout_lab.streams import stream
from dropout_lab.training import Examples, Lane

SORTED = np.repeat([0, 1, 2], [60, 70, 48])  # as scikit-learn's wine has them
STRATIFIED = Parts(validation_from="stratified")
TINY = "data: {dataset: own.npz%s}\nnetwork: {hidden: [8]}\ntraining: {epochs: 2}\n"


def features(labels: np.ndarray, count: int = 4) -> np.ndarray:
    """Numbers from 0 to 1 in which the classes are easily told apart."""
    draw = np.random.default_rng(0).random((len(labels), count))
    return ((draw + labels[:, None]) / (labels.max() + 1)).astype(np.float32)


def given(folder: Path, more: str = "", labels: np.ndarray = SORTED, **arrays: Any) -> None:
    """Write own.npz and own.yaml into a folder."""
    save(folder / "own.npz", **({"x_train": features(labels), "y_train": labels} | arrays))
    (folder / "own.yaml").write_text(TINY % more)


def notes(outcome: Outcome) -> list[str]:
    """The remarks on stderr."""
    start = "dropout-lab: note: "
    return [line.removeprefix(start) for line in outcome.err.splitlines() if line.startswith(start)]


def found(run: Path) -> Path:
    """Where a run finds its data."""
    return Path(runs.load(run).config.data.dataset)


# ---------------------------------------------------------------------------------------------------- split by class


@pytest.mark.parametrize("sizes", [(60, 70, 48), (1, 5, 94), (50, 50), (7, 1, 1, 1)])
def test_every_beginning_of_an_order_in_proportion_holds_the_classes_in_proportion(sizes: Sequence[int]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    order = in_proportion(labels, stream(3, "division"))
    assert np.array_equal(np.sort(order), np.arange(len(labels)))
    for count in range(1, len(labels) - len(sizes)):
        held = np.bincount(labels[order[:count]], minlength=len(sizes))
        assert np.abs(held - count * np.array(sizes) / len(labels)).max() < 2
    last = labels[order[-len(sizes) :]]
    assert sorted(last) == list(range(len(sizes)))  # what is taken from the beginning leaves one of each class


def test_a_fifth_of_each_class_tests_and_a_tenth_of_the_rest_validates() -> None:
    tests = a_fifth(SORTED, "stratified")
    assert len(tests) == len(SORTED) // 5 and np.bincount(SORTED[tests]).tolist() in ([12, 14, 9], [12, 13, 10])
    rest = np.delete(SORTED, tests)
    for seed in (0, 1):
        training, validation = STRATIFIED.divide(rest, 0, (seed, seed))
        assert len(training) == int(len(rest) * 0.9) and torch.equal(
            torch.cat([training, validation]).sort().values, torch.arange(len(rest))
        )
        assert np.abs(np.bincount(rest[validation]) - 0.1 * np.bincount(rest)).max() < 1
        assert torch.equal(validation, STRATIFIED.divide(rest, 0, FIRST)[1])  # the same for every seed
    small = Parts(validation_from="stratified", train_size=9).divide(rest, 0, FIRST)[0]
    assert set(rest[small]) == {0, 1, 2}


def test_random_and_tail_test_splits_are_there_if_asked() -> None:
    assert a_fifth(SORTED, "tail").tolist() == list(range(178 - 35, 178))
    drawn = a_fifth(SORTED, "random")
    assert len(set(drawn.tolist())) == 35 and set(SORTED[drawn]) == {0, 1, 2}


def test_data_in_order_are_learned(lab: Lab) -> None:
    """scikit-learn's wine, labels in order: 0 % before, as the last fifth held the class that training never saw."""
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    save(lab.path / "own.npz", x_train=x.astype(np.float32), y_train=y)
    (lab.path / "wine.yaml").write_text(
        "data: {dataset: own.npz, scale: standardize}\nnetwork: {hidden: [16]}\ntraining: {epochs: 40}\n"
    )
    outcome = lab("train wine.yaml --quiet")
    assert (outcome.code, notes(outcome)) == (0, [])
    (facts,) = runs.load(lab.runs / "wine").summary.finished.values()
    assert facts.last.test_accuracy > 0.9
    plain = lab("train wine.yaml data.scale=unit --name plain")
    reason = (
        r"data.scale: unit needs numbers from 0 to 1 or whole numbers from 0 to 255, not 0\.13 to 1680; use standard"
    )
    assert plain.code == 2 and re.search(reason, plain.err) and not (lab.runs / "plain").exists()


@pytest.mark.parametrize(
    ("more", "words", "expected"),
    [
        (
            ", validation_from: tail, test_from: stratified",
            "",
            "validation_from: leaves no image of the classes 0 and 1",
        ),
        (", validation_from: tail, validation_fraction: 0.4", "", "leaves no image of class 2 to train on; use strat"),
        (", test_from: tail", "", "own.npz: data.test_from: would test on all images of class 2; use stratified"),
        (
            ", validation_from: tail, train_size: 40",
            "",
            "train_size: leaves no image of the classes 1 and 2 to train on",
        ),
        (", validation_from: random, train_size: 3", "--seeds 9", "train on with seed"),
    ],
)
def test_a_class_that_training_or_validation_lacks_is_refused_by_name(
    more: str, words: str, expected: str, lab: Lab
) -> None:
    labels = np.repeat([0, 1, 2], [70, 70, 30])
    given(lab.path, more, labels)
    before = lab.tree()
    outcome = lab(f"train own.yaml {words}")
    assert outcome.code == 2 and expected in outcome.err and lab.tree() == before
    assert all(re.fullmatch(REFUSAL, line) for line in outcome.err.splitlines() if "error" in line)


def test_a_class_that_only_validation_or_test_lack_is_noted(lab: Lab) -> None:
    labels = np.repeat([0, 1, 2], [60, 60, 2])
    given(lab.path, "", labels)
    outcome = lab("train own.yaml --quiet")
    assert outcome.code == 0 and notes(outcome) == [
        "the 10 validation images hold none of class 2",
        "the 24 test images hold none of class 2",
    ]


def test_many_missing_classes_are_cut_short() -> None:
    labels = np.repeat(np.arange(40), 3)
    with pytest.raises(Refused, match=r"the classes 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 26 more to train on"):
        check_classes(Parts(train_size=12), labels, labels, 0, [FIRST])


# ------------------------------------------------------------------------------------------------------------- scales


def test_standardize_learns_from_the_training_part_alone(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(50, 20, (100, 3)).astype(np.float32)
    x[:, 1] = 7
    own = {"x_train": x, "y_train": np.arange(100) % 2, "x_test": x[:9], "y_test": np.arange(9) % 2}
    for parts, draw in ((STRATIFIED, FIRST), (Parts(validation_from="random"), (5, 0))):
        path = save(tmp_path / "own.npz", **own)
        first = data.load(path, "standardize", tmp_path, parts=parts, draw=draw)
        training, validation = parts.divide(own["y_train"], 0, draw)
        assert first.images[training][:, [0, 2]].mean(0).abs().max() < 1e-5
        assert (first.images[training][:, [0, 2]].std(0, correction=0) - 1).abs().max() < 1e-5
        assert not first.images[:, 1].any() and not first.test_images[:, 1].any()
        changed = x.copy()
        changed[validation] = 1e6
        path = save(tmp_path / "own.npz", **own | {"x_train": changed})
        again = data.load(path, "standardize", tmp_path, parts=parts, draw=draw)
        assert torch.equal(again.images[training], first.images[training])


def test_seeds_with_numbers_of_their_own_never_share_lanes(tmp_path: Path) -> None:
    from dropout_lab.execution.units import plan
    from dropout_lab.runs.job import Job

    settings = {"dataset": "digits", "scale": "standardize", "validation_from": "random"}
    for mapping, units in (
        (settings, 3),
        (settings | {"validation_from": "tail"}, 1),
        (settings | {"scale": "unit"}, 1),
    ):
        config = resolve({"data": mapping, "network": {"hidden": [8]}, "seeds": [0, 1, 2]}, where="here", name="toy")
        assert len(plan([Job(tmp_path / "toy", config)])) == units


@pytest.mark.parametrize(("low", "high", "fits"), [(0, 1, True), (0, 1.01, False), (-0.1, 1, False), (0, 255.5, False)])
def test_unit_takes_numbers_from_0_to_1_or_bytes(low: float, high: float, fits: bool, tmp_path: Path) -> None:
    x = np.linspace(high, low, 120, dtype=np.float32).reshape(40, 3)
    x[1, 1] = low
    path = save(tmp_path / "own.npz", x_train=x, y_train=np.arange(40) % 2, x_test=x + 2, y_test=np.arange(40) % 2)
    if fits:  # a test image may be beyond what training saw
        assert np.array_equal(data.load(path, "unit", tmp_path).images.numpy(), x)
    else:
        with refused(tmp_path) as lines:
            data.load(path, "unit", tmp_path)
        assert "use standardize" in lines[0]


def test_runs_whose_numbers_were_others_are_other_runs() -> None:
    """standardize was by data set, and clean metrics of own data were of the first rows: REVISION tells them apart."""
    old = {"standardize": "d117afe5", "unit": "44136fa3"}  # the identities that version 0.1 gave
    for scale, identity in old.items():
        config = resolve({"data": {"scale": scale}}, where="here", name="toy")
        assert config.identity.startswith(identity) is (scale == "unit")


# -------------------------------------------------------------------------------------------------- validation arrays


@pytest.mark.parametrize("kind", ["val", "valid", "validation"])
def test_validation_arrays_validate(kind: str, lab: Lab) -> None:
    x, y = features(SORTED), SORTED
    arrays = {f"x_{kind}": x[::5] / 2, f"y_{kind}": y[::5], "x_test": x[::7], "y_test": y[::7]}
    given(lab.path, "", **arrays)
    outcome = lab("train own.yaml --quiet")
    assert (outcome.code, notes(outcome)) == (0, [])
    loaded = data.load(str(lab.path / "own.npz"), "unit", lab.path, parts=STRATIFIED)
    training, validation = STRATIFIED.divide(loaded.labels.numpy(), loaded.held_out, FIRST)
    assert np.array_equal(loaded.images[validation].numpy(), x[::5] / 2) and len(training) == len(x)
    assert set(training.tolist()) == set(range(len(x)))
    for how in ("tail", "random"):
        outcome = lab(f"train own.yaml data.validation_from={how} --name other")
        assert outcome.code == 2 and f"the data bring validation images, x_{kind}, which are used" in outcome.err


def test_without_test_arrays_the_test_split_comes_from_the_training_arrays(lab: Lab) -> None:
    given(lab.path, "", x_valid=features(SORTED)[::5], y_valid=SORTED[::5])
    outcome = lab("train own.yaml --quiet")
    assert outcome.code == 0
    assert "own.npz: has no x_test: 35 images of x_train are the test split" in outcome.err


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x_val": features(SORTED)}, "y_val: missing array: x_val and y_val come together"),
        (
            {"x_val": features(SORTED), "y_val": SORTED, "x_valid": features(SORTED), "y_valid": SORTED},
            "x_valid: must be the only validation images; x_val is there too",
        ),
        ({"x_val": features(SORTED)[:, 1:], "y_val": SORTED}, "x_val: images must have the shape of those in x_train"),
        ({"x_val": features(SORTED).astype("f8"), "y_val": SORTED}, "x_val: must be of the type of x_train, float32"),
        ({"x_val": features(SORTED), "y_val": SORTED + 1}, "y_val: labels must occur in y_train too"),
        ({"x_val": features(SORTED), "y_val": SORTED[1:]}, "y_val: must have one label for each of the 178 images"),
    ],
)  # fmt: skip
def test_bad_validation_arrays_are_refused(arrays: dict[str, Any], expected: str, tmp_path: Path) -> None:
    given(tmp_path, "", **arrays)
    with refused(tmp_path) as lines:
        data.load(str(tmp_path / "own.npz"), "unit", tmp_path, parts=STRATIFIED)
    assert any(expected in line for line in lines)


def test_arrays_that_are_not_used_are_named(lab: Lab) -> None:
    given(lab.path, "", weights=np.ones(3), groups=np.ones(3))
    outcome = lab("train own.yaml --quiet")
    assert outcome.code == 0 and notes(outcome) == ["own.npz: not used: weights, groups"]


# ------------------------------------------------------------------------------------------------------------- places


def test_a_path_in_a_file_is_relative_to_the_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    project = lab.path / "project"
    project.mkdir()
    given(project)
    assert lab("train project/own.yaml --quiet").code == 0
    monkeypatch.chdir(project)
    again = lab("train own.yaml --dry-run --runs-dir ../runs")
    assert again.code == 0 and "finished" in again.out
    assert found(lab.runs / "own") == project / "own.npz"


def test_a_path_that_is_typed_or_in_python_is_relative_to_where_you_are(lab: Lab) -> None:
    (lab.path / "project").mkdir()
    given(lab.path / "project")
    assert lab("train project/own.yaml data.dataset=project/own.npz --quiet").code == 0
    outcome = lab("train project/own.yaml data.dataset=own.npz --name other")
    assert outcome.code == 2 and "command line: data.dataset: no such file (got own.npz)" in outcome.err
    config = {"data": {"dataset": "project/own.npz"}, "network": {"hidden": [8]}, "training": {"epochs": 1}}
    run = api.train(config)
    assert Path(run.config.data.dataset) == lab.path / "project" / "own.npz"
    given(lab.path / "project", "", SORTED[:100])
    assert api.train(config, name="anew").summary.data_sha256 != run.summary.data_sha256  # none is kept in memory


def test_a_message_says_where_it_looked(lab: Lab) -> None:
    (lab.path / "project").mkdir()
    (lab.path / "project" / "own.yaml").write_text(TINY % "")
    outcome = lab("train project/own.yaml")
    expected = "project/own.yaml:1: data.dataset: no such file (looked for project/own.npz) (got own.npz)"
    assert outcome.code == 2 and expected in outcome.err


def test_a_project_or_a_run_that_moves_finds_its_data_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    project = lab.path / "project"
    project.mkdir()
    given(project)
    monkeypatch.chdir(project)
    assert lab("train own.yaml --quiet").code == 0
    shutil.copytree(project / "runs" / "own", lab.path / "alone")
    assert found(lab.path / "alone") == project / "own.npz"
    moved = lab.path / "elsewhere" / "moved"
    moved.parent.mkdir()
    monkeypatch.chdir(lab.path)
    os.rename(project, moved)
    assert found(moved / "runs" / "own") == moved / "own.npz"
    assert lab("evaluate elsewhere/moved/runs/own --samples 2 --quiet").code == 0
    monkeypatch.chdir(moved)
    again = lab("train own.yaml --seeds 2 --quiet")  # the same run: it gets the seed that it lacks
    assert again.code == 0, again.err
    assert runs.load(moved / "runs" / "own").seeds == (0, 1)
    (moved / "own.npz").unlink()
    gone = lab("evaluate runs/own --samples 2")
    assert gone.code == 2 and f"{moved / 'own.npz'}: file: is not there" in gone.err


def test_an_old_run_with_a_relative_path_finds_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(tmp_path)
    (tmp_path / "runs" / "old").mkdir(parents=True)
    monkeypatch.chdir("/")
    assert data.found_again("own.npz", tmp_path / "runs" / "old") == str(tmp_path / "own.npz")
    assert data.found_again("none.npz", tmp_path / "runs" / "old") == "none.npz"
    assert data.found_again("mnist", tmp_path) == "mnist"


# ------------------------------------------------------------------------------------------------------ clean metrics


def test_clean_metrics_of_own_data_are_of_a_random_sample(tmp_path: Path) -> None:
    given(tmp_path, "", np.concatenate([np.repeat([0, 1, 2], 60), np.arange(30) % 3]))
    for how in ("stratified", "random", "tail"):
        settings = {"dataset": str(tmp_path / "own.npz"), "validation_from": how}
        config = resolve({"data": settings}, where="here", name="toy")
        loaded = data.load(config.data.dataset, "unit", tmp_path, parts=config.data.parts)
        images, labels = Examples([Lane(config, 0)], loaded).clean
        assert len(set(labels[0].tolist())) == 3 and images.shape[1] == len(labels[0]) == 17
    indices = torch.arange(100, 150)
    drawn = sample(indices, 10)
    assert len(set(drawn.tolist())) == 10 and set(drawn.tolist()) <= set(indices.tolist())
    assert drawn.tolist() != indices[:10].tolist() and torch.equal(drawn, sample(indices, 10))


def test_clean_metrics_of_the_data_sets_are_of_the_first_images() -> None:
    loaded = data.load("digits", "unit", Path())
    config = resolve({"data": {"dataset": "digits"}}, where="here", name="toy")
    images, _ = Examples([Lane(config, 0)], loaded).clean
    assert torch.equal(images[0], loaded.images[: images.shape[1]])
    assert torch.equal(split(1437, 0.1, "tail", None, 0)[0], torch.arange(1293))


# ----------------------------------------------------------------------------------------------------------- old runs


def test_a_run_of_an_earlier_standardize_is_read_but_not_mixed_with_new_ones(lab: Lab) -> None:
    standardized = {"data": {"dataset": "digits", "scale": "standardize"}}
    for name, rate, old in (("a", 0.0, True), ("b", 0.5, True), ("c", 0.5, False)):
        run = write_run(lab.runs, name, [0.9, 0.91, 0.92], rate=rate, **standardized)
        if old:
            reseal(run.path, identity="d117afe5")
    assert lab("compare a b").code == 0 and lab("list").code == 0
    mixed = lab("compare a c")
    assert (
        mixed.code == 2 and "a: data.scale: meant other numbers when this run was trained; train it anew" in mixed.err
    )
    more = lab("train runs/a/config.yaml --seeds 4 --name a")
    assert more.code == 2 and "runs/a: data.scale: meant other numbers when this run was trained" in more.err
    assert "an earlier version, which scaled such data otherwise" in lab("evaluate a").err
    same = lab("train runs/a/config.yaml --name a --quiet")
    assert same.code == 0 and notes(same)[0].startswith("runs/a: an earlier version trained it on numbers scaled other")
