"""Two epochs of regularized training against a plain loop with autograd, in float64 and with separate parameters."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dropout_lab.config import resolve as configs
from dropout_lab.data.datasets import load
from dropout_lab.network import Network
from dropout_lab.runs.summary import DivergedSeed
from dropout_lab.streams import stream
from dropout_lab.training import Ended, Epoch, Lane, diverged, train

WIDTHS = 64, 24, 10
SEED = 3


@pytest.mark.parametrize("penalty", [{"l1": 1e-4, "l2": 2e-3, "max_norm": 0.9}, {"weight_decay": 0.3}, {}])
def test_regularized_training_is_autograds(penalty: dict[str, float]) -> None:
    """Batches of 32, the last of which has 13 images; the learning rate is halved after the first epoch."""
    training = {"epochs": 2, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "decay": 0.5}
    mapping: dict[str, Any] = {
        "data": {"dataset": "digits"},
        "network": {"hidden": [24], "activation": "tanh"},
        "dropout": {"rate": 0.0},
        "training": training,
        "regularization": penalty,
    }
    data = load("digits", "unit", Path())
    events = list(train([Lane(configs.resolve(mapping, where="test", name="run"), SEED)], data))
    rows = [event.rows[0] for event in events if isinstance(event, Epoch)]

    first = Network(1, WIDTHS)
    with torch.no_grad():
        first.initialize(0, "glorot-uniform", SEED)
        weights = [weight[0].clone().double() for weight in first.weights]
    biases = [torch.zeros(width, dtype=torch.float64) for width in WIDTHS[1:]]
    parameters = [*weights, *biases]
    velocities = [torch.zeros_like(own) for own in parameters]
    images = data.images.double()
    for epoch, row in enumerate(rows, start=1):
        order = torch.from_numpy(stream(SEED, "order", epoch).permutation(np.arange(1293)))
        losses, rights, rate = [], [], 0.1 * 0.5 ** (epoch - 1)
        for batch in order.split(32):
            for own in parameters:
                own.requires_grad_(True).grad = None
            logits = torch.tanh(images[batch] @ weights[0] + biases[0]) @ weights[1] + biases[1]
            loss = torch.nn.functional.cross_entropy(logits, data.labels[batch])
            penalized = loss + sum(
                penalty.get("l1", 0) * w.abs().sum() + penalty.get("l2", 0) * w.square().sum() for w in weights
            )
            penalized.backward()
            losses.append(float(loss.detach()) * len(batch))
            rights.append(int((logits.argmax(1) == data.labels[batch]).sum()))
            with torch.no_grad():
                for weight in weights:
                    weight.mul_(1 - rate * penalty.get("weight_decay", 0))
                for own, velocity in zip(parameters, velocities, strict=True):
                    assert own.grad is not None
                    own.add_(velocity.mul_(0.9).sub_(rate * own.grad))
                for weight in weights if "max_norm" in penalty else ():
                    weight.div_((weight.norm(dim=0) / penalty["max_norm"]).clamp(min=1))
        assert row.train_loss == pytest.approx(sum(losses) / 1293, rel=1e-4)
        assert row.train_accuracy == pytest.approx(sum(rights) / 1293, abs=2 / 1293)
    (ended,) = [event for event in events if isinstance(event, Ended)]
    for layer, (_, out) in enumerate(pairwise(WIDTHS)):
        stored = ended.outcome.arrays
        np.testing.assert_allclose(stored[f"last.{layer}.weight"], weights[layer].detach().T, atol=2e-4)
        np.testing.assert_allclose(stored[f"last.{layer}.bias"], biases[layer].detach(), atol=2e-4)
        assert stored[f"last.{layer}.bias"].shape == (out,)


@pytest.mark.parametrize(("first_bad", "step"), [(0, 1), (31, 1), (32, 2), (69, 3), (None, 3)])
def test_the_step_that_diverged_counts_from_one(first_bad: int | None, step: int) -> None:
    """Seventy examples in batches of 32; where all losses are finite, validation's is not: the last step."""
    losses, data = torch.ones(70), SimpleNamespace(sha256="0" * 64)
    if first_bad is not None:
        losses[first_bad:] = math.nan
    assert diverged(losses, 32, 5, data).facts == DivergedSeed(epoch=5, step=step)  # type: ignore[arg-type]
