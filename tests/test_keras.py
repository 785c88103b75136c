"""Keras as the judge: the same first weights, batches and random numbers give the same losses, step by step."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.data.datasets import Data, load
from dropout_lab.data.split import split
from dropout_lab.dropout import NONE, WORDS, Noise
from dropout_lab.network import cross_entropy
from dropout_lab.optimizer import learning_rate_and_momentum
from dropout_lab.training import Lane, State, batches, train_epoch

os.environ["KERAS_BACKEND"] = "torch"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Keras's own imports warn of
    keras = pytest.importorskip("keras", reason="Keras is a test dependency: pip install -e '.[dev]'")

pytestmark = pytest.mark.filterwarnings("ignore")  # Keras warns of itself

STEPS, BATCH, RATE = 100, 32, 0.3
HIDDEN = (48, 40)
KERAS_ADAM = {"epsilon_form": "keras"}
CASES: dict[str, dict[str, Any]] = {
    "adam": {"training": KERAS_ADAM},
    "sgd": {"training": {"optimizer": "sgd", "learning_rate": 0.1}},
    "momentum": {"training": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9}},
    "nesterov": {"training": {"optimizer": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True}},
    "falling rate": {"training": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "decay_steps": 20}},
    "rmsprop": {"training": {"optimizer": "rmsprop", "epsilon_form": "keras"}},
    "rmsprop, momentum": {"training": {"optimizer": "rmsprop", "epsilon_form": "keras", "momentum": 0.5}},
    "weight decay": {"training": KERAS_ADAM, "regularization": {"weight_decay": 0.1}},
    "l1 and l2": {"training": KERAS_ADAM, "regularization": {"l1": 1e-4, "l2": 1e-3}},
    "max-norm": {"training": KERAS_ADAM | {"learning_rate": 0.003}, "regularization": {"max_norm": 0.8}},
    "bernoulli": {"training": KERAS_ADAM, "dropout": {"rate": RATE}},
    "gaussian": {"training": KERAS_ADAM, "dropout": {"rate": RATE, "kind": "gaussian"}},
    "alpha": {
        "training": KERAS_ADAM,
        "dropout": {"rate": RATE, "kind": "alpha"},
        "network": {"hidden": list(HIDDEN), "activation": "selu", "init": "lecun-normal"},
    },
}


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits", "unit", Path())


@pytest.mark.parametrize("case", CASES)
def test_a_hundred_steps_have_keras_losses(case: str, digits: Data) -> None:
    plain = {"data": {"dataset": "digits"}, "network": {"hidden": list(HIDDEN)}, "dropout": {"rate": 0.0}}
    config = configs.resolve(plain | CASES[case], where="test", name="judged")
    order = torch.from_numpy(np.random.default_rng(0).integers(0, 1437, (1, STEPS * BATCH)))
    state = State([Lane(config, 3)], digits, "cpu")
    model = theirs(config, state)
    ours, numbers = losses(state, config, digits, order)
    with injected(config, numbers):
        expected = []
        for batch in order[0].split(BATCH):
            model.reset_metrics()
            found = model.train_on_batch(digits.images[batch].numpy(), digits.labels[batch].numpy(), return_dict=True)
            expected.append(float(found["cross_entropy"]))
    assert expected[-1] < 0.8 * expected[0]  # it learns, so that there is something to agree about
    # Keras's projection also takes 1e-7 / norm off every unit that is short enough, which adds up.
    np.testing.assert_allclose(ours, expected, rtol=1e-4 if case == "max-norm" else 1e-5)


def losses(state: State, config: Config, data: Data, order: Tensor) -> tuple[list[float], list[list[Tensor]]]:
    """Train as `train` does and return the loss of every step; and, of each layer, the random numbers of every step."""
    rates, numbers = (0.0, *config.rates), [list[Tensor]() for _ in HIDDEN]

    def masks(layer: int) -> Iterator[Any]:
        if not rates[layer]:
            for _ in range(STEPS):
                yield NONE
            return
        shape = BATCH, HIDDEN[layer - 1]
        noise = Noise(config.dropout.kind, [rates[layer]], [3], layer, shape)
        for step, draw in enumerate(noise.steps(1, np.ones(STEPS))):
            own = noise.numbers[step % noise.block, 0, : noise.units].view(shape)
            numbers[layer - 1].append(own.clone())
            yield draw

    targets = torch.nn.functional.one_hot(data.labels, 16)[None].float()
    moves = [learning_rate_and_momentum(config.training, 1, step, STEPS) for step in range(STEPS)]
    with torch.no_grad():
        steps = batches(data.images, targets, order, BATCH)
        logits = train_epoch(state, steps, [masks(layer) for layer in range(3)], moves, config)
        each, _ = cross_entropy(logits, data.labels[order])
    return each[0].view(STEPS, BATCH).double().mean(1).tolist(), numbers


def theirs(config: Config, state: State) -> Any:
    """The same network in Keras, with the first weights of `state`."""
    penalty, training = config.regularization, config.training
    layer = {
        "gaussian": keras.layers.GaussianDropout,
        "alpha": keras.layers.AlphaDropout,
        "bernoulli": keras.layers.Dropout,
    }[config.dropout.kind]
    dense = {
        "kernel_regularizer": keras.regularizers.L1L2(penalty.l1, penalty.l2) if penalty.l1 or penalty.l2 else None,
        "kernel_constraint": keras.constraints.MaxNorm(penalty.max_norm) if penalty.max_norm else None,
    }
    layers = [keras.Input((64,))]
    for width, rate in zip(HIDDEN, config.rates, strict=True):
        layers += [keras.layers.Dense(width, config.network.activation, **dense), layer(rate, seed=1)]
    model = keras.Sequential([*layers, keras.layers.Dense(10, **dense)])
    weights, biases = state.network.weights, state.network.biases
    model.set_weights([t[0].numpy().squeeze() for pair in zip(weights, biases, strict=True) for t in pair])
    rate: Any = training.learning_rate
    if training.decay_steps:
        rate = keras.optimizers.schedules.InverseTimeDecay(rate, training.decay_steps, 1.0)
    more: dict[str, Any] = {"weight_decay": penalty.weight_decay} if penalty.weight_decay else {}
    if training.optimizer == "sgd":
        more |= {"momentum": training.momentum, "nesterov": training.nesterov}
    elif training.optimizer == "rmsprop":
        more["momentum"] = training.momentum
    make = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop}
    optimizer = make[training.optimizer](rate, **more)
    if penalty.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    crossed = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metric = keras.metrics.SparseCategoricalCrossentropy("cross_entropy", from_logits=True)  # without penalties
    model.compile(optimizer, crossed, metrics=[metric], run_eagerly=True)
    return model


def injected(config: Config, numbers: list[list[Tensor]]) -> Any:
    """Let Keras's layers draw the numbers that ours drew, layer after layer, step after step."""
    drawn = iter([own[step] for step in range(len(numbers[0])) for own in numbers])

    def fraction() -> Tensor:
        """From 0 to 1, evenly: an element is kept where it is below 1 - rate."""
        return (next(drawn).double() + WORDS // 2) / WORDS

    def bernoulli(chances: Tensor, generator: object = None) -> Tensor:
        return (fraction() < chances.double()).float()

    def normal(shape: object, mean: float, stddev: float, dtype: object, seed: object) -> Tensor:
        return mean + stddev * next(drawn)

    def uniform(shape: object, seed: object = None, **more: object) -> Tensor:
        return 1 - fraction()

    match config.dropout.kind if numbers[0] else "none":
        case "bernoulli":
            return mock.patch("torch.bernoulli", bernoulli)
        case "gaussian":
            return mock.patch("keras.src.backend.random.normal", normal)
        case "alpha":
            return mock.patch("keras.src.ops.random.uniform", uniform)
    return mock.patch.dict({})


def test_column_l2_is_keras_normalize(digits: Data) -> None:
    raw = load("digits", "unit", Path()).images.reshape(-1, 8, 8).numpy()
    ours = load("digits", "column-l2", Path()).images.reshape(-1, 8, 8).numpy()
    np.testing.assert_allclose(ours, keras.utils.normalize(raw, axis=1), atol=1e-6)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1 / 3])
def test_the_tail_is_keras_validation_split(fraction: float, digits: Data) -> None:
    from keras.src.trainers.data_adapters.array_slicing import train_validation_split

    places = np.arange(1437)
    (training,), (validation,) = train_validation_split((places,), fraction)
    ours = split(1437, fraction, "tail", None, seed=0)
    assert np.array_equal(ours[0], training) and np.array_equal(ours[1], validation)
