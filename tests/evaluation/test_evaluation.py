"""A finished run looked at closely: the laws of averaging, and the command as a user has it."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import Lab
from comparable import reseal
from scipy.special import softmax
from sklearn.metrics import log_loss

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.data.datasets import Data, load
from dropout_lab.dropout import DROPOUTS
from dropout_lab.evaluation import evaluate as evaluation
from dropout_lab.evaluation.averaging import averaging, majority, passes, scores
from dropout_lab.evaluation.evaluate import Evaluation
from dropout_lab.evaluation.features import ablation
from dropout_lab.evaluation.figures import FIGURES
from dropout_lab.evaluation.tables import rows
from dropout_lab.evaluation.uncertainty import uncertainty
from dropout_lab.execution import execute as execution
from dropout_lab.execution.sources import Here
from dropout_lab.network import Network
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Job
from dropout_lab.runs.summary import DivergedSeed
from dropout_lab.streams import stream
from dropout_lab.training import Lane, network, predict

CLASSES = 10


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", "unit", Path())


def config(**changes: Any) -> Config:
    mapping: dict[str, Any] = {
        "data": {"dataset": "digits"},
        "training": {"epochs": 2},
        "network": {"hidden": [32, 24]},
    }
    return configs.resolve(mapping | changes, where="test", name="run")


def trained(directory: Path, wanted: Config) -> runs.Run:
    for _ in execution.execute([Job(directory / "run", wanted)], Here(directory)):
        pass
    return runs.load(directory / "run")


def drawn(wanted: Config, data: Data, images: torch.Tensor) -> tuple[Network, list[Any]]:
    """A network with its first weights, and 50 passes of it."""
    net = network([Lane(wanted, 0)], data, "cpu")
    net.initialize(0, wanted.network.init, 0)
    return net, list(passes(wanted, 0, net, images, 50, CLASSES))


def wanting(kind: str, **more: Any) -> Config:
    network = {"hidden": [32, 24], "activation": "selu", "init": "lecun-normal"}
    return config(network=network, dropout={"kind": kind, "rate": 0.3} | more)


@pytest.mark.parametrize("mask", ["example", "batch"])
@pytest.mark.parametrize("kind", DROPOUTS)
def test_passes_are_probabilities_that_differ_and_come_again(kind: str, mask: str, digits: Data) -> None:
    wanted = wanting(kind, mask=mask)
    _, pool = drawn(wanted, digits, digits.test_images)
    assert pool[0].shape == (360, CLASSES)
    np.testing.assert_allclose(np.sum(pool, axis=2), 1, atol=1e-5)
    assert not np.array_equal(pool[0], pool[1])
    assert all(np.array_equal(a, b) for a, b in zip(pool, drawn(wanted, digits, digits.test_images)[1], strict=True))
    same = drawn(wanted, digits, digits.test_images[:1].expand(40, -1))[1][0]
    assert (len(np.unique(same.round(5), axis=0)) == 1) == (mask == "batch")  # one network, or one for every image


@pytest.mark.parametrize("dropout", [{"rate": 0.0}, {"rate": 0.0, "kind": "dropconnect"}])
def test_without_dropout_all_passes_are_the_network(dropout: dict[str, Any], digits: Data) -> None:
    net, pool = drawn(config(dropout=dropout), digits, digits.test_images)
    scaled = softmax(predict(net, digits.test_images[None])[0, :, :CLASSES].numpy(), axis=1)
    assert all(np.array_equal(own, pool[0]) for own in pool)
    np.testing.assert_allclose(pool[0], scaled, atol=1e-6)
    entropy, information = uncertainty(np.stack(pool))
    np.testing.assert_allclose(entropy, -(scaled * np.log(scaled)).sum(1), atol=1e-4)
    assert information.max() < 1e-6


def test_the_geometric_mean_of_one_hidden_layer_is_weight_scaling(digits: Data) -> None:
    """Theorem T1 (Hinton et al. 2012), in the limit: of the passes here what is left is sampling error."""
    wanted = config(network={"hidden": [32]}, dropout={"rate": 0.5})
    net = network([Lane(wanted, 0)], digits, "cpu")
    net.initialize(0, "glorot-uniform", 0)
    images = digits.test_images[:64]
    pool = np.stack(list(passes(wanted, 0, net, images, 3000, CLASSES)))
    geometric = np.exp(np.log(pool).mean(0))
    scaled = softmax(predict(net, images[None])[0, :, :CLASSES].numpy(), axis=1)
    error = np.abs(geometric / geometric.sum(1, keepdims=True) - scaled).max()
    assert error < 0.01 < np.abs(pool[0] - scaled).max()


def test_averaging_reads_its_pool_and_leaves_it_as_it_was() -> None:
    """The trap of in-place sums: the first set of the pool must not become the sum of the others."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 200)
    pool = softmax(generator.normal(size=(40, 200, CLASSES)) + 1.0 * np.eye(CLASSES)[labels], axis=2)
    before = pool.copy()
    curve = averaging(pool, labels, 10, np.random.default_rng(1).permutation)
    assert np.array_equal(pool, before)
    assert curve[0, 0] == pytest.approx((pool.argmax(2) != labels).mean(), abs=4 * curve[0, 1] / math.sqrt(100))
    assert (np.diff(curve[:, 0]) < 0.01).all() and curve[-1, 0] < curve[0, 0] - 0.1
    whole = averaging(pool, labels, 40, np.random.default_rng(1).permutation)[-1]
    assert whole[0] == pytest.approx((pool.mean(0).argmax(1) != labels).mean()) and whole[1] < 1e-12


def test_scores_are_the_definitions() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 500)
    probabilities = softmax(generator.normal(size=(500, CLASSES)) * 2, axis=1)
    own = scores(probabilities, labels)
    assert own.loss == pytest.approx(log_loss(labels, probabilities, labels=range(CLASSES)))
    assert own.error == (probabilities.argmax(1) != labels).mean()
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert own.calibration_error == pytest.approx(error)
    assert own.bins[:, 0].sum() == 500
    sure = scores(np.eye(CLASSES)[labels], labels)
    assert (sure.error, sure.calibration_error) == (0, 0) and sure.loss == pytest.approx(0)


def test_perfect_calibration_shows_what_chance_alone_gives() -> None:
    """An independent simulation: labels drawn class by class from the probabilities, scored like real ones."""
    generator = np.random.default_rng(1)
    for sharpness, images in (4, 360), (2, 50), (6, 2000):
        probabilities = softmax(generator.normal(size=(images, CLASSES)) * sharpness, axis=1)
        drawn = [
            np.array([generator.choice(CLASSES, p=row) for row in probabilities])
            for _ in range(60 if images < 999 else 20)
        ]
        errors = [scores(probabilities, labels).calibration_error for labels in drawn]
        own = {scores(probabilities, labels).if_perfect for labels in drawn[:3]}
        assert len(own) == 1, "it has a stream of its own, and does not depend on the labels"
        assert own.pop() == pytest.approx(np.mean(errors), abs=4 * np.std(errors) / math.sqrt(len(errors)))
    certain = scores(np.eye(CLASSES)[drawn[0]], drawn[0])
    assert certain.if_perfect == 0


def test_a_majority_wins_and_equal_votes_go_to_the_probabler() -> None:
    def votes(*chosen: tuple[int, float]) -> np.ndarray:
        rows = []
        for label, chance in chosen:
            row = np.full(4, (1 - chance) / 3)
            row[label] = chance
            rows.append([row])
        return np.array(rows)

    assert majority(votes((0, 0.99), (2, 0.4), (2, 0.4))) == [2]
    assert majority(votes((0, 0.5), (3, 0.9))) == [3]
    assert majority(votes((0, 0.9), (3, 0.5))) == [0]


def test_mutual_information_tells_disagreement_from_doubt() -> None:
    doubt = np.full((6, 1, 2), 0.5)
    disagreement = np.tile([[[1.0, 0.0]], [[0.0, 1.0]]], (3, 1, 1))
    for pool, information in (doubt, 0.0), (disagreement, math.log(2)):
        entropy, mutual = uncertainty(pool)
        assert entropy[0] == pytest.approx(math.log(2)) and mutual[0] == pytest.approx(information, abs=1e-9)


def test_passes_have_streams_of_their_own(digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks that training has seen would flatter the network."""
    asked: set[str] = set()

    def spy(seed: int, purpose: str, *more: int) -> np.random.Generator:
        asked.add(purpose)
        return stream(seed, purpose, *more)

    net = network([Lane(config(), 0)], digits)
    monkeypatch.setattr("dropout_lab.dropout.stream", spy)
    next(passes(config(), 0, net, digits.test_images, 1, CLASSES))
    assert asked == {"evaluation"}


def test_rounded_products_are_for_training_only(tmp_path: Path, digits: Data) -> None:
    run = trained(tmp_path, config(training={"epochs": 1, "precision": "bfloat16"}))
    found = evaluation.evaluate(run, digits, 2)
    assert found.seeds[0].monte_carlo.loss > 0 and found.activations[0].dtype == np.float32


def test_a_diverged_seed_is_left_out_and_other_data_are_refused(tmp_path: Path, digits: Data, lab: Lab) -> None:
    run = trained(lab.runs, config(seeds=[0, 1]))
    seeds = run.summary.seeds | {1: DivergedSeed(epoch=1, step=1)}
    reseal(run.path, seeds={seed: facts.model_dump() for seed, facts in seeds.items()})
    assert [close.seed for close in evaluation.evaluate(runs.load(run.path), digits, 1).seeds] == [0]
    reseal(run.path, data_sha256="0" * 64)
    refused = lab("evaluate run")
    assert refused.code == 2 and "digits: has changed since the run was trained" in refused.err


def test_dropconnects_two_inferences_stand_side_by_side(tmp_path: Path, digits: Data) -> None:
    """And each is called what it is."""
    for samples, name in (10, "moment matching, 10 samples"), (1, "mean weights"):
        dropout = {"kind": "dropconnect", "mask": "batch", "samples": samples}
        found = evaluation.evaluate(trained(tmp_path / str(samples), config(dropout=dropout)), digits, 2)
        lines = [line[0] for line in rows(found)]
        assert found.scaling == name and lines[0] == name and ("mean weights" in lines)
        assert len(lines) == (4 if samples > 1 else 3)
    last = found.run.summary.finished[0].last
    assert found.seeds[0].weight_scaling.loss == pytest.approx(last.test_loss, rel=1e-5)


def test_ablation_begins_with_the_network_and_ends_with_its_biases(digits: Data) -> None:
    """And a network all of whose work one unit does is lost with that unit, not with a random one."""
    wanted = config(network={"hidden": [48]}, dropout={"rate": 0.0})

    def fresh() -> Network:
        net = network([Lane(wanted, 0)], digits, "cpu")
        net.initialize(0, "glorot-uniform", 0)
        net.weights[1] *= 1e-3
        net.weights[0][0, :, 7] = 1.0  # the sum of the pixels ...
        net.weights[1][0, 7] = torch.linspace(1, -1, CLASSES)  # ... decides
        return net

    table = ablation(fresh(), digits, np.random.default_rng(3).permutation)
    wrong = predict(fresh(), digits.test_images[None])[0].argmax(1) != digits.test_labels
    assert table[0].tolist() == [0, float(wrong.double().mean()), float(wrong.double().mean())]
    assert table[-1, 0] == 48 and table[-1, 1] == table[-1, 2]
    assert table[1, 1] != table[0, 1] and table[1, 2] == table[0, 2]
    none = config(network={"hidden": []}, dropout={"rate": 0.0})
    assert ablation(network([Lane(none, 0)], digits, "cpu"), digits, np.arange).shape == (0, 3)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, digits: Data) -> Evaluation:
    run = trained(
        tmp_path_factory.mktemp("evaluated"), config(seeds=[0, 1, 2], training={"epochs": 30}, dropout={"rate": 0.2})
    )
    return evaluation.evaluate(run, digits, 10)


def test_weight_scaling_is_what_the_run_recorded(evaluated: Evaluation) -> None:
    facts, recorded = evaluated.run.summary.finished, evaluated.run.predictions()
    for index, close in enumerate(evaluated.seeds):
        last = facts[close.seed].last
        assert 1 - close.weight_scaling.error == pytest.approx(last.test_accuracy)
        assert close.weight_scaling.loss == pytest.approx(last.test_loss, rel=1e-5)
        np.testing.assert_allclose(close.probabilities, recorded["probabilities"][index], atol=1e-6)
    together = recorded["probabilities"].mean(0).argmax(1) != recorded["labels"]
    assert evaluated.ensemble is not None and evaluated.ensemble.error == pytest.approx(together.mean())


def test_more_passes_are_better_and_wrong_images_more_uncertain(evaluated: Evaluation) -> None:
    for close in evaluated.seeds:
        wrong = close.probabilities.argmax(1) != evaluated.labels
        assert close.averaging[-1, 0] < close.averaging[0, 0]
        assert close.information[wrong].mean() > close.information[~wrong].mean()


@pytest.mark.parametrize("name", FIGURES)
def test_every_picture_is_drawn(name: str, evaluated: Evaluation) -> None:
    figure = FIGURES[name](evaluated)
    assert figure is not None and figure.axes and all(axis.has_data() for axis in figure.axes)
    assert any(evaluated.run.name in text.get_text() for text in figure.texts)


@pytest.mark.parametrize("hidden", [[], [16]])
def test_a_set_without_a_shape_and_a_network_without_hidden_layers(hidden: list[int], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x, y = generator.random((300, 6), np.float32), generator.integers(0, 3, 300).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x_train=x[:200], y_train=y[:200], x_test=x[200:], y_test=y[200:])
    own = {"dataset": str(tmp_path / "own.npz")}
    run = trained(tmp_path, config(data=own, network={"hidden": hidden}, dropout={"input_rate": 0.2}))
    found = evaluation.evaluate(run, load(own["dataset"], "unit", Path()), 3)
    drawn = [name for name, draw in FIGURES.items() if draw(found)]
    assert drawn == ["averaging", "calibration", *["activations", "ablation"] * bool(hidden)]
    assert found.ensemble is None and found.vote is None


def test_the_command_writes_tables_and_pictures(lab: Lab) -> None:
    assert lab("train tiny.yaml --seeds 2 --quiet").code == 0
    shown = lab("evaluate tiny --samples 5")
    assert shown.code == 0 and "weight scaling" in shown.out and "2 networks, majority vote" in shown.out
    folder = lab.runs / "_evaluations/tiny"
    assert {file.stem for file in folder.glob("*.png")} == set(FIGURES)
    stored = json.loads((folder / "evaluation.json").read_text())
    again = lab("evaluate tiny --samples 5 --json --quiet --format svg --style dark --size slide")
    assert stored == json.loads(again.out)
    assert {file.stem for file in folder.glob("*.svg")} == set(FIGURES)
    assert all('width="960pt" height="540pt"' in file.read_text() for file in folder.glob("*.svg")), "a slide"
    assert len(stored["seeds"]["0"]["averaging"]) == 5 and stored["passes"] == 20
    with (folder / "scores.csv").open() as file:
        ways = {(row["seed"], row["way"]): row for row in csv.DictReader(file)}
    assert len(ways) == 2 * 3
    for (seed, way), row in ways.items():
        for key in ("error", "loss", "calibration_error", "if_perfect"):
            assert float(row[key]) == stored["seeds"][seed][way][key]
    own, chance = (
        100 * np.mean([stored["seeds"][seed]["weight_scaling"][key] for seed in "01"])
        for key in ("calibration_error", "if_perfect")
    )
    said = f"weight scaling {own:.2f} %, of which perfect calibration would show {chance:.2f} % on 360 images"
    assert said in " ".join(shown.out.split())
    header, *lines = (folder / "images.csv").read_text().splitlines()
    assert len(lines) == 2 * 360 and header.startswith("seed,image,label")
    assert "tiny" in lab("list").out and "_evaluations" not in lab("list").out


def test_what_cannot_be_evaluated_is_refused(lab: Lab) -> None:
    lab("train tiny.yaml training.optimizer=sgd training.learning_rate=1e30 --name lost --quiet")
    for words, reason in (
        ("lost", "seeds: all diverged: there is no network to evaluate"),
        ("tiny.yaml", "run: has no finished run"),
        ("tiny --samples 0", "--samples"),
        ("nothing", "no run and no config has this name"),
    ):
        refused = lab(f"evaluate {words}")
        assert refused.code == 2 and reason in refused.err and not refused.out
    assert not (lab.runs / "_evaluations").exists()
