"""Laws of every kind of dropout, visited over the registry."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import dropout_lab
from dropout_lab.dropout import DROPOUTS, Noise
from dropout_lab.streams import PURPOSES, stream

RATES = [0.1, 0.2, 0.25, 0.5, 0.9]


def noise(
    kind: str, rates: list[float], seeds: list[int], steps: int = 40, shape: tuple[int, int] = (32, 50), **more: Any
) -> tuple[Tensor, Tensor]:
    """Scale and shift, (steps, lanes, batch, units), ones and zeros where there is none."""
    source = Noise(kind, rates, seeds, more.get("layer", 1), shape, dtype=more.get("dtype", torch.float32))
    one = torch.ones(len(seeds), *shape, dtype=source.scale.dtype)
    drawn = [
        (one if scale is None else scale.clone(), 0 * one if shift is None else shift.clone())
        for scale, shift in source.steps(more.get("epoch", 1), steps)
    ]
    return torch.stack([scale for scale, _ in drawn]), torch.stack([shift for _, shift in drawn])


def scales(*arguments: Any, **more: Any) -> Tensor:
    return noise(*arguments, **more)[0]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", DROPOUTS)
def test_mean_and_variance_of_an_output_are_the_papers(kind: str, rate: float) -> None:
    """Of an input x that is 2 (facts of the papers), and of one with mean 0 and variance 1 for alpha."""
    scale, shift = noise(kind, [rate], [0], dtype=torch.float64)
    x = torch.full_like(scale, 2.0)
    if kind == "alpha":
        x = torch.from_numpy(np.random.default_rng(0).standard_normal(scale.shape))
    y = x * scale + shift
    mean, variance = {
        "bernoulli": (2, 4 * rate / (1 - rate)),
        "bernoulli-scaled": (2 * (1 - rate), 4 * rate * (1 - rate)),
        "gaussian": (2, 4 * rate / (1 - rate)),
        "gaussian-additive": (2, rate**2),
        "alpha": (0, 1),
    }[kind]
    assert float(y.mean()) == pytest.approx(mean, abs=5 * math.sqrt(variance / y.numel()))
    assert float(y.var()) == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("rate", RATES)
def test_the_papers_form_is_the_inverted_one_times_keep(rate: float) -> None:
    raw, inverted = (scales(kind, [rate], [7], dtype=torch.float64) for kind in ("bernoulli-scaled", "bernoulli"))
    assert set(raw.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(raw, inverted * (1 - rate), rtol=1e-15)
    assert DROPOUTS["bernoulli-scaled"].at_test(rate) == 1 - rate and DROPOUTS["bernoulli"].at_test(rate) == 1


def test_gaussian_noise_is_normal_and_turns_signs_as_often_as_it_should() -> None:
    for kind, rate, deviation in ("gaussian", 0.5, 1.0), ("gaussian", 0.2, 0.5), ("gaussian-additive", 0.3, 0.3):
        scale, shift = noise(kind, [rate], [0], dtype=torch.float64)
        z = ((scale - 1 if kind == "gaussian" else shift) / deviation).flatten().numpy()
        assert stats.kstest(z, "norm").pvalue > 1e-3
    negative = float((scales("gaussian", [0.5], [1]) < 0).double().mean())
    assert negative == pytest.approx(stats.norm.cdf(-1), abs=0.005)


@pytest.mark.parametrize("rate", RATES)
def test_alpha_is_torchs_formula(rate: float) -> None:
    """torch.nn.AlphaDropout on its own draws: the same two lines, on which every output lies."""
    x = torch.linspace(-1.7, 3, 64_000, dtype=torch.float64)
    theirs = torch.nn.functional.alpha_dropout(x, rate, training=True)
    scale, shift = noise("alpha", [rate], [0], steps=1, shape=(1, 64_000), dtype=torch.float64)
    ours = x * scale[0, 0, 0] + shift[0, 0, 0]
    dropped = scale[0, 0, 0] == 0
    a, b = scale.max(), shift[scale != 0][0]
    lines = torch.stack([ours[dropped][0].expand_as(x), a * x + b])
    assert (theirs - lines).abs().min(0).values.max() < 1e-6  # torch's constants have 8 digits
    assert float(dropped.double().mean()) == pytest.approx(rate, abs=0.01)


@pytest.mark.parametrize("rate", RATES)
def test_bernoulli_gives_zero_or_one_over_keep_in_binomial_numbers(rate: float) -> None:
    drawn = scales("bernoulli", [rate], [3])
    kept = drawn != 0
    assert set(drawn[kept].tolist()) == {float(torch.tensor(1 / (1 - rate)))}
    deviation = math.sqrt(rate * (1 - rate) * drawn.numel())
    assert abs(int(kept.sum()) - (1 - rate) * drawn.numel()) < 5 * deviation
    per_unit = kept.double().mean((0, 1, 2))  # no unit, example or step is favoured
    assert (per_unit - (1 - rate)).abs().max() < 5 * math.sqrt(rate * (1 - rate) / 1280)


def test_bernoulli_agrees_with_torch_in_distribution() -> None:
    ours = (scales("bernoulli", [0.3], [0]) != 0).double()
    theirs = (torch.nn.functional.dropout(torch.ones(ours.shape), 0.3) != 0).double()
    assert float(ours.mean()) == pytest.approx(float(theirs.mean()), abs=0.01)
    assert torch.nn.functional.dropout(torch.ones(9), 0.3).max() == scales("bernoulli", [0.3], [0]).max()


@pytest.mark.parametrize("kind", DROPOUTS)
def test_rate_zero_is_exactly_one_and_draws_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def spy(seed: int, purpose: str, *more: int):
        drawn.append(seed)
        return stream(seed, purpose, *more)

    monkeypatch.setattr("dropout_lab.dropout.stream", spy)
    scale, shift = noise(kind, [0.0, 0.5], [1, 2])
    assert (scale[:, 0] == 1).all() and (shift[:, 0] == 0).all()
    assert drawn == [2]


@pytest.mark.parametrize("kind", ["bernoulli", "bernoulli-scaled"])
def test_rate_one_drops_everything(kind: str) -> None:
    assert not scales(kind, [1.0], [0]).any()


@pytest.mark.parametrize("kind", DROPOUTS)
def test_a_lane_draws_the_same_alone_and_beside_others(kind: str) -> None:
    alone = noise(kind, [0.3], [5], steps=70, shape=(7, 9))
    for rates, seeds in ([0.5, 0.3, 0.0, 0.2], [1, 5, 5, 9]), ([0.5, 0.3, 0.0], [5, 5, 5]):
        beside = noise(kind, rates, seeds, steps=70, shape=(7, 9))
        assert all(torch.equal(a[:, 0], b[:, 1]) for a, b in zip(alone, beside, strict=True))


def test_a_higher_rate_keeps_a_subset_for_the_same_seed() -> None:
    low, high = (scales("bernoulli", [rate], [4]) != 0 for rate in (0.2, 0.6))
    assert (low | ~high).all() and not torch.equal(low, high)


def test_layers_epochs_and_seeds_have_their_own_streams() -> None:
    masks = [
        scales("bernoulli", [0.5], [seed], layer=layer, epoch=epoch)
        for seed, layer, epoch in [(0, 1, 1), (1, 1, 1), (0, 2, 1), (0, 1, 2)]
    ]
    for i, a in enumerate(masks):
        for b in masks[i + 1 :]:
            agreement = float(((a != 0) == (b != 0)).double().mean())
            assert agreement == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(a.numel()))


def test_a_batch_mask_is_one_row_for_all_examples() -> None:
    drawn = scales("bernoulli", [0.5], [0], shape=(1, 50))
    assert drawn.shape == (40, 1, 1, 50)


def test_streams_are_named_and_reproducible() -> None:
    first = {purpose: stream(0, purpose, 1).integers(0, 2**62) for purpose in PURPOSES}
    assert len(set(first.values())) == len(PURPOSES)
    assert first == {purpose: stream(0, purpose, 1).integers(0, 2**62) for purpose in PURPOSES}


def test_no_other_module_draws_a_mask_or_uses_global_randomness() -> None:
    """Masks come from dropout.py alone, and nobody touches a global generator."""
    banned = {"bernoulli_", "bernoulli", "manual_seed", "dropout", "rand", "randn", "randperm", "default_rng", "seed"}
    for file in Path(dropout_lab.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in banned, f"{file.name}:{node.lineno}: {node.func.attr}"
            if isinstance(node, ast.Constant) and node.value == "masks":
                assert file.name in ("dropout.py", "streams.py"), f"{file.name}:{node.lineno}"
