"""Laws of every kind of dropout, visited over the registry."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch

import dropout_lab
from dropout_lab.dropout import DROPOUTS, Noise
from dropout_lab.streams import PURPOSES, stream

RATES = [0.1, 0.2, 0.25, 0.5, 0.9]


def scales(kind: str, rates: list[float], seeds: list[int], steps: int = 40, shape: tuple[int, int] = (32, 50), **more):
    noise = Noise(kind, rates, seeds, more.get("layer", 1), shape, dtype=more.get("dtype", torch.float32))
    return torch.stack([scale.clone() for scale in noise.steps(more.get("epoch", 1), steps)])


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", DROPOUTS)
def test_the_mean_is_preserved_and_the_variance_is_the_papers(kind: str, rate: float) -> None:
    drawn = scales(kind, [rate], [0], dtype=torch.float64)
    variance = rate / (1 - rate)
    assert float(drawn.mean()) == pytest.approx(1, abs=5 * math.sqrt(variance / drawn.numel()))
    assert float(drawn.var()) == pytest.approx(variance, rel=0.05)


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
    both = scales(kind, [0.0, 0.5], [1, 2])
    assert (both[:, 0] == 1).all()
    assert drawn == [2]


def test_rate_one_drops_everything() -> None:
    assert not scales("bernoulli", [1.0], [0]).any()


@pytest.mark.parametrize("kind", DROPOUTS)
def test_a_lane_draws_the_same_alone_and_beside_others(kind: str) -> None:
    alone = scales(kind, [0.3], [5], steps=70, shape=(7, 9))
    beside = scales(kind, [0.5, 0.3, 0.0, 0.2], [1, 5, 5, 9], steps=70, shape=(7, 9))
    assert torch.equal(alone[:, 0], beside[:, 1])


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
