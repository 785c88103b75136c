"""The rules that move the weights, against torch.optim; learning rate and momentum, against the formulas of papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dropout_lab.config.settings import TrainingConfig
from dropout_lab.optimizer import Optimizer, learning_rate_and_momentum

STEPS = 60
REFERENCE: dict[str, tuple[dict[str, Any], Callable[[list[Tensor]], torch.optim.Optimizer]]] = {
    "adam": ({}, lambda p: torch.optim.Adam(p, lr=0.01)),
    "sgd": ({"optimizer": "sgd"}, lambda p: torch.optim.SGD(p, lr=0.01)),
    "momentum": ({"optimizer": "sgd", "momentum": 0.9}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
    "nesterov": (
        {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    ),
    "rmsprop": ({"optimizer": "rmsprop"}, lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9)),
    "rmsprop with momentum": (
        {"optimizer": "rmsprop", "momentum": 0.5},
        lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.5),
    ),
}


def gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 48, generator=generator, dtype=torch.float64) for _ in range(STEPS)]


def trained(config: TrainingConfig, steps: int = 10) -> Tensor:
    """The weights after all gradients, in epochs of so many steps, from 0."""
    weights, gradient = torch.zeros(2, 48, dtype=torch.float64), torch.empty(2, 48, dtype=torch.float64)
    optimizer = Optimizer(config, weights, gradient)
    for number, own in enumerate(gradients()):
        gradient.copy_(own)
        optimizer.step(*learning_rate_and_momentum(config, number // steps + 1, number % steps, steps))
    return weights


@pytest.mark.parametrize("name", REFERENCE)
def test_a_rule_is_torch_optims(name: str) -> None:
    changes, make = REFERENCE[name]
    weights = torch.zeros(2, 48, dtype=torch.float64)
    theirs = make([weights])
    for own in gradients():
        weights.grad = own.clone()
        theirs.step()
    assert torch.allclose(trained(TrainingConfig(learning_rate=0.01, **changes)), weights, rtol=1e-6, atol=1e-9)


def test_keras_adds_epsilon_before_the_correction() -> None:
    """Kingma & Ba 2015, section 2, last paragraph, in the words of Keras: eps beside the uncorrected root."""
    weights, m, v = (torch.zeros(2, 48, dtype=torch.float64) for _ in range(3))
    for t, g in enumerate(gradients(), start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        weights = weights - 0.01 * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t) * m / (v.sqrt() + 1e-7)
    ours = trained(TrainingConfig(learning_rate=0.01, epsilon_form="keras"))
    assert torch.allclose(ours, weights, rtol=1e-6, atol=1e-9)
    assert not torch.equal(ours, trained(TrainingConfig(learning_rate=0.01)))


@pytest.mark.parametrize("form", ["keras", "pytorch"])
def test_rmsprop_adds_epsilon_within_the_root_or_to_it(form: str) -> None:
    """Gradients of about epsilon tell: sqrt(v + 1e-7) is Keras's, sqrt(v) + 1e-8 is PyTorch's."""
    config = TrainingConfig(optimizer="rmsprop", learning_rate=0.01, epsilon_form=form)
    gradient = torch.tensor([[1e-3, 1e-5, 1e-8]], dtype=torch.float64)
    weights, v = torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    optimizer, expected = Optimizer(config, weights, gradient), torch.zeros(1, 3, dtype=torch.float64)
    for _ in range(3):
        optimizer.step(0.01, 0.0)
        v = 0.9 * v + 0.1 * gradient**2
        expected = expected - 0.01 * gradient / ((v + 1e-7).sqrt() if form == "keras" else v.sqrt() + 1e-8)
    assert torch.allclose(weights, expected, rtol=1e-9, atol=0)


def test_hintons_momentum_rises_and_dampens_the_step() -> None:
    """Hinton et al. 2012, appendix A.1: dw = m dw - (1 - m) rate g, m from 0.5 to 0.99, rate falling every epoch."""
    config = TrainingConfig(
        optimizer="sgd",
        learning_rate=10.0,
        decay=0.998,
        momentum=0.99,
        momentum_start=0.5,
        momentum_epochs=4,
        dampened=True,
    )
    weights, velocity = (torch.zeros(2, 48, dtype=torch.float64) for _ in range(2))
    for number, g in enumerate(gradients()):
        epoch = number // 10
        m = 0.5 * (1 - epoch / 4) + 0.99 * epoch / 4 if epoch < 4 else 0.99
        velocity = m * velocity - (1 - m) * 10.0 * 0.998**epoch * g
        weights = weights + velocity
    assert torch.allclose(trained(config), weights, rtol=1e-10)


def test_the_learning_rate_falls_with_the_steps() -> None:
    """The released config of Srivastava et al.: base / (1 + step / 10000)."""
    config = TrainingConfig(optimizer="sgd", learning_rate=1.0, decay_steps=10_000)
    learning_rates = [
        learning_rate_and_momentum(config, epoch, step, 500)[0] for epoch in range(1, 41) for step in range(500)
    ]
    assert learning_rates == pytest.approx([1 / (1 + t / 10_000) for t in range(20_000)])
    assert learning_rates[10_000] == 0.5
    assert {
        learning_rate_and_momentum(TrainingConfig(momentum=0.3, optimizer="sgd"), e, s, 9)
        for e in (1, 7)
        for s in (0, 8)
    } == {(0.001, 0.3)}
