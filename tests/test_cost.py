"""What a training is said to take, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.cost import memory, seconds, weights


def config(**changes: Any) -> Config:
    mapping: dict[str, Any] = {
        "data": {"dataset": "digits"},
        "network": {"hidden": [32, 16]},
        "training": {"epochs": 7, "batch_size": 50},
    }
    return configs.resolve(mapping | changes, where="test", name="run")


def test_weights_are_the_products_of_neighbouring_widths() -> None:
    assert weights(config()) == 64 * 32 + 32 * 16 + 16 * 10
    assert weights(config(network={"hidden": []})) == 64 * 10


def test_seconds_are_those_of_steps_and_of_the_evaluation_after_each_epoch() -> None:
    """Of 1437 training images a tenth is held out: 1293.3 for training, 26 steps of up to 50, and as many to check."""
    size = 64 * 32 + 32 * 16 + 16 * 10
    step = 4e-5 + size * 1e-9 + 6 * 50 * size / 1e9
    evaluated = 2 * size * (143.7 + 143.7) / 1e9
    assert seconds(config(), 1e9) == pytest.approx(7 * (26 * step + evaluated))
    few = config(data={"dataset": "digits", "train_size": 120})
    assert seconds(few, 1e9) == pytest.approx(7 * (3 * step + 2 * size * (143.7 + 120) / 1e9))


def test_memory_grows_with_lanes_by_the_eight_copies_of_the_weights() -> None:
    small, large = config(), config(network={"hidden": [432, 16]})
    more = weights(large) - weights(small)
    lanes = [memory(own, 3) - memory(own, 2) for own in (small, large)]
    step = 4 * 50 * 8 * 400 + 4 * 1000 * 2 * 400  # of a batch, and of a chunk that is evaluated
    assert lanes[1] - lanes[0] == pytest.approx(4 * 8 * more + step, abs=2)
