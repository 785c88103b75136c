"""An evaluation of small networks, computed here again: by NumPy in float64, SciPy and scikit-learn.

Only the masks come from the lab, from the streams that evaluation promises: (seed, "evaluation", layer, pass).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import log_loss, zero_one_loss

from dropout_lab.claims.evidence import Evidence
from dropout_lab.config import resolve as configs
from dropout_lab.data.datasets import Data
from dropout_lab.dropout import Noise
from dropout_lab.evaluation.evaluate import Evaluation, evaluate
from dropout_lab.streams import stream

Array = NDArray[Any]

SIDE, CLASSES, SAMPLES, PASSES = 4, 3, 5, 20  # four times as many passes as are averaged
WIDTHS = SIDE * SIDE, 6, 5, CLASSES
RATES = 0.2, 0.5, 0.5  # of the input and of both hidden layers
SEEDS = 37, 46, 116
ANGLES = 0, 15, 30, 45, 60, 75, 90, 105, 120, 135, 150, 165


class Hand:
    """The same networks without the lab."""

    def __init__(self, seed: int, scaled: bool) -> None:
        generator = np.random.default_rng(seed)
        self.seed, self.scaled = seed, scaled
        self.weights = [generator.normal(0, 0.5, shape).astype(np.float32) for shape in pairwise(WIDTHS)]
        self.biases = [generator.normal(0, 0.1, width).astype(np.float32) for width in WIDTHS[1:]]
        self.weights[0][:, :2], self.biases[0][:2] = 0, (1e-6, -1)  # one unit nearly silent, and one silent
        self.weights[1] *= np.array([1, 1, 0.1, 1, 3, 0.3], np.float32)[:, None]  # what the units' importance turns on

    def stored(self) -> dict[str, Array]:
        """As a run keeps them: (out, in), and by name. The best weights are not those that training ended with."""
        found = {}
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            found |= {f"{self.seed}.last.{layer}.weight": weight.T, f"{self.seed}.last.{layer}.bias": bias}
            found |= {f"{self.seed}.best.{layer}.weight": 9 * weight.T, f"{self.seed}.best.{layer}.bias": bias}
        return found

    def outputs(self, images: Array, factors: Any) -> list[Array]:
        """The input, the hidden layers' outputs and the logits; each but the last times its factor."""
        found = [images.astype(np.float64) * factors[0]]
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True), start=1):
            z = found[-1] @ weight.astype(np.float64) + bias
            found.append(np.maximum(z, 0) * factors[layer] if layer < len(self.weights) else z)
        return found

    def hidden(self, images: Array) -> list[Array]:
        """The outputs of each hidden layer, dropout off."""
        keep = [1 - rate if self.scaled else 1.0 for rate in RATES]
        return self.outputs(images, keep)[1:-1]

    def predict(self, images: Array) -> Array:
        keep = [1 - rate if self.scaled else 1.0 for rate in RATES]
        return softmax(self.outputs(images, keep)[-1], axis=1)

    def passes(self, images: Array) -> Iterator[Array]:
        """One mask for all images of a pass."""
        kind = "bernoulli-scaled" if self.scaled else "bernoulli"
        for number in range(1, PASSES + 1):
            masks = []
            for layer, rate in enumerate(RATES):
                noise = Noise(kind, [rate], [self.seed], layer, (1, WIDTHS[layer]), purpose="evaluation")
                ((scale, _),) = noise.steps(number, np.ones(1))
                assert scale is not None
                masks.append(scale[0].numpy().astype(np.float64))
            yield softmax(self.outputs(images, masks)[-1], axis=1)


def data() -> Data:
    """The labels are what one network or another says, and some are not."""
    generator = np.random.default_rng(11)
    images, test = (generator.standard_normal((count, SIDE * SIDE), np.float32) for count in (50, 40))
    said = [Hand(seed, False).predict(test).argmax(1) for seed in SEEDS]
    labels = np.choose(np.arange(40) % 4, [*said, np.arange(40) % CLASSES])
    tensors = images, generator.integers(0, CLASSES, 50), test, labels
    return Data(*map(torch.from_numpy, tensors), (SIDE, SIDE), CLASSES, "0" * 64)


@pytest.fixture(scope="module", params=["bernoulli", "bernoulli-scaled"])
def found(request: pytest.FixtureRequest) -> tuple[Evaluation, Data, list[Hand]]:
    mapping = {
        "data": {"dataset": "digits"},
        "network": {"hidden": list(WIDTHS[1:-1])},
        "dropout": {"kind": request.param, "rate": RATES[1], "input_rate": RATES[0], "mask": "batch"},
        "training": {"epochs": 1},
        "seeds": [1, *SEEDS],
    }
    hands = [Hand(seed, request.param == "bernoulli-scaled") for seed in SEEDS]
    stored = {key: array for hand in hands for key, array in hand.stored().items()}
    config = configs.resolve(mapping, where="test", name="run")
    run: Any = SimpleNamespace(
        config=config,
        trained=config,
        seeds=(1, *SEEDS),
        diverged=(1,),
        path=Path("run"),
        name="run",
        weights=lambda: stored,
    )
    return evaluate(run, data(), SAMPLES), data(), hands


Found = tuple[Evaluation, Data, list[Hand]]


def test_what_each_inference_is_worth(found: Found) -> None:
    """Weight scaling, and the arithmetic and geometric means of the passes."""
    evaluation, data, hands = found
    labels = data.test_labels.numpy()
    assert [close.seed for close in evaluation.seeds] == [*SEEDS] and evaluation.passes == PASSES
    for close, hand in zip(evaluation.seeds, hands, strict=True):
        pool, scaled = np.stack([*hand.passes(data.test_images.numpy())]), hand.predict(data.test_images.numpy())
        np.testing.assert_allclose(close.probabilities, scaled, atol=1e-5)
        geometric = scipy.stats.gmean(pool, axis=0)
        for scores, own in (
            (close.weight_scaling, scaled),
            (close.monte_carlo, pool.mean(0)),
            (close.geometric, geometric / geometric.sum(1, keepdims=True)),
        ):
            assert scores.error == pytest.approx(zero_one_loss(labels, own.argmax(1)))
            assert scores.loss == pytest.approx(log_loss(labels, own, labels=range(CLASSES)), rel=1e-4)
            bins = np.ceil(own.max(1) * 15)
            apart = [
                abs((own.argmax(1) == labels)[bins == place].mean() - own.max(1)[bins == place].mean())
                for place in bins
            ]
            assert scores.calibration_error == pytest.approx(fmean(apart), abs=1e-5)
        assert close.mean_weights is None


def test_the_error_of_k_passes_and_its_sd(found: Found) -> None:
    """Over the beginnings of 100 random orders, with n - 1 in the sd."""
    evaluation, data, hands = found
    labels = data.test_labels.numpy()
    for close, hand in zip(evaluation.seeds, hands, strict=True):
        pool, generator = np.stack([*hand.passes(data.test_images.numpy())]), stream(hand.seed, "evaluation")
        orders = [generator.permutation(PASSES) for _ in range(100)]
        near = []
        for k in range(1, SAMPLES + 1):
            errors = [float((pool[order[:k]].mean(0).argmax(1) != labels).mean()) for order in orders]
            assert close.averaging[k - 1].tolist() == pytest.approx([fmean(errors), stdev(errors)], abs=1e-9)
            if abs(fmean(errors) - close.weight_scaling.error) <= stdev(errors):
                near.append(k)
        assert close.reached == (near[0] if near else None) and len(close.averaging) == SAMPLES


def test_uncertainty_is_entropy_and_the_mean_divergence_of_the_passes(found: Found) -> None:
    """Mutual information of prediction and mask: the mean over passes of KL(pass, mean of the passes)."""
    evaluation, data, hands = found
    for close, hand in zip(evaluation.seeds, hands, strict=True):
        pool = np.stack([*hand.passes(data.test_images.numpy())])
        np.testing.assert_allclose(close.entropy, scipy.stats.entropy(pool.mean(0), axis=1), atol=1e-5)
        divergence = scipy.stats.entropy(pool, pool.mean(0)[None], axis=2).mean(0)
        np.testing.assert_allclose(close.information, divergence, atol=1e-5)


def test_activity_counts_what_is_exactly_0(found: Found) -> None:
    evaluation, data, hands = found
    for close, hand in zip(evaluation.seeds, hands, strict=True):
        layers = hand.hidden(data.test_images.numpy())
        assert close.activity.shape == (2, 2)
        for (mean, zeros), layer in zip(close.activity.tolist(), layers, strict=True):
            assert mean == pytest.approx(layer.mean(), rel=1e-5) and zeros == pytest.approx((layer <= 0).mean())
        assert (layers[0][:, 0] > 0).all() and not layers[0][:, 1].any(), "one unit nearly silent, and one silent"
    for own, layer in zip(evaluation.activations, hands[0].hidden(data.test_images.numpy()), strict=True):
        np.testing.assert_allclose(own, layer, atol=1e-5)


def test_ablation_takes_out_what_says_most_times_its_norm(found: Found) -> None:
    evaluation, data, hands = found
    images, labels = data.test_images.numpy(), data.test_labels.numpy()
    for close, hand in zip(evaluation.seeds, hands, strict=True):
        says = np.abs(hand.hidden(data.images.numpy())[0]).mean(0)
        important = np.argsort(-says * np.linalg.norm(hand.weights[1], axis=1))
        assert important.tolist() != np.argsort(-says).tolist()
        assert close.ablation[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]
        whole = hand.weights[1].copy()
        for column, order in (1, important), (2, stream(hand.seed, "evaluation", 0, 0).permutation(6)):
            for k in range(7):
                hand.weights[1][order[:k]] = 0
                assert close.ablation[k, column] == pytest.approx((hand.predict(images).argmax(1) != labels).mean())
                hand.weights[1][:] = whole


def test_a_digit_1_that_is_read_as_one_is_turned(found: Found) -> None:
    evaluation, data, hands = found
    images, labels = data.test_images.numpy(), data.test_labels.numpy()
    for close, hand in zip(evaluation.seeds, hands, strict=True):
        assert close.rotated is not None
        ones = np.flatnonzero((labels == 1) & (hand.predict(images).argmax(1) == 1))
        image = images[ones[0]].reshape(SIDE, SIDE)
        turned = close.rotated["images"]
        np.testing.assert_allclose(turned[0], image)
        np.testing.assert_allclose(turned[ANGLES.index(90)], np.rot90(image), atol=1e-5)
        for own, angle in zip(turned, ANGLES, strict=True):
            expected = scipy.ndimage.rotate(image, angle, reshape=False, order=1, cval=float(image.min()))
            np.testing.assert_allclose(own, expected, atol=1e-6)
        pool = np.stack([*hand.passes(turned.reshape(len(ANGLES), -1))])
        np.testing.assert_allclose(close.rotated["probabilities"], pool.mean(0), atol=1e-5)
        np.testing.assert_allclose(close.rotated["entropy"], scipy.stats.entropy(pool.mean(0), axis=1), atol=1e-5)
        divergence = scipy.stats.entropy(pool, pool.mean(0)[None], axis=2).mean(0)
        np.testing.assert_allclose(close.rotated["information"], divergence, atol=1e-5)
    first = np.flatnonzero(labels == 1)[0]
    assert any(hand.predict(images)[first].argmax() != 1 for hand in hands), "the first one is not read as one by all"


def test_all_networks_together(found: Found) -> None:
    evaluation, data, hands = found
    labels = data.test_labels.numpy()
    each = np.stack([hand.predict(data.test_images.numpy()) for hand in hands])
    assert evaluation.ensemble is not None
    assert evaluation.ensemble.error == pytest.approx(zero_one_loss(labels, each.mean(0).argmax(1)))
    assert evaluation.ensemble.loss == pytest.approx(log_loss(labels, each.mean(0), labels=range(CLASSES)), rel=1e-4)
    voted = []
    for one_each in each.transpose(1, 0, 2):
        votes = np.bincount(one_each.argmax(1), minlength=CLASSES)
        among = np.flatnonzero(votes == votes.max())
        voted.append(among[one_each.mean(0)[among].argmax()])
    assert evaluation.vote == pytest.approx(zero_one_loss(labels, voted))
    assert evaluation.features.shape == (SIDE * SIDE, 6) and np.array_equal(evaluation.features, hands[0].weights[0])
    assert np.array_equal(evaluation.labels, labels) and evaluation.shape == (SIDE, SIDE)


def test_what_a_claim_asks_an_evaluation(found: Found) -> None:
    """By name, so that none of its columns is taken for another."""
    evaluation, _, _ = found
    records = Evidence({}, {"net": evaluation})
    wrong, right = records.information("net")
    upright, turned = records.rotation("net")
    means, zeros = records.activity("net")
    ablation, averaging = records.ablation("net"), records.averaging("net")
    assert {*wrong} == {*right} == {*upright} == {*turned} == {*means} == {*ablation} == {*averaging} == {*SEEDS}
    for close in evaluation.seeds:
        seed = close.seed
        misread = close.probabilities.argmax(1) != evaluation.labels
        assert wrong[seed] == pytest.approx(np.average(close.information, weights=misread))
        assert right[seed] == pytest.approx(np.average(close.information, weights=~misread))
        assert close.rotated is not None
        by_angle = dict(zip(ANGLES, close.rotated["information"].tolist(), strict=True))
        assert upright[seed] == by_angle[0]
        assert turned[seed] == pytest.approx(fmean(value for angle, value in by_angle.items() if 45 <= angle <= 135))
        assert means[seed] == pytest.approx(fmean(mean for mean, _ in close.activity))
        assert zeros[seed] == pytest.approx(fmean(share for _, share in close.activity))
        assert ablation[seed] == pytest.approx(fmean(error for _, error, _ in close.ablation))
        curve, scaling = averaging[seed]
        assert scaling == close.weight_scaling.error and [list(pair) for pair in curve] == close.averaging.tolist()
    assert any(np.ptp(close.ablation[:, 1] - close.ablation[:, 2]) > 0 for close in evaluation.seeds)
