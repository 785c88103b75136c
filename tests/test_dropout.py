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
from dropout_lab.dropout import CUT, DROPOUTS, SCHEDULES, Noise, normal_parts, shares
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
        for scale, shift in source.steps(more.get("epoch", 1), more.get("shares", np.ones(steps)))
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
        "dropconnect": (2 * (1 - rate), 4 * rate * (1 - rate)),
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
    features = torch.nn.functional.feature_alpha_dropout(x.view(1, -1, 1), rate, training=True).flatten()
    scale, shift = noise("alpha", [rate], [0], steps=1, shape=(1, 64_000), dtype=torch.float64)
    ours = x * scale[0, 0, 0] + shift[0, 0, 0]
    dropped = scale[0, 0, 0] == 0
    a, b = scale.max(), shift[scale != 0][0]
    lines = torch.stack([ours[dropped][0].expand_as(x), a * x + b])
    for output in theirs, features:
        assert (output - lines).abs().min(0).values.max() < 1e-6  # torch's constants have 8 digits
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


@pytest.mark.parametrize("kind", ["bernoulli", "bernoulli-scaled", "dropconnect"])
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


EPOCHS, STEPS = 6, 5


def in_force(schedule: str, cutoff: int | None = None, gamma: float | None = None) -> Any:
    """The shares of a whole training of EPOCHS epochs of STEPS steps."""
    parts = [shares(schedule, cutoff, gamma, epoch, STEPS, EPOCHS) for epoch in range(1, EPOCHS + 1)]
    assert all(part.shape == (STEPS,) and part.dtype == np.float64 for part in parts)
    return np.concatenate(parts)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_gives_a_share_from_0_to_1_for_every_step(schedule: str) -> None:
    for cutoff in range(EPOCHS + 2) if schedule in CUT else [None]:
        found = in_force(schedule, cutoff=cutoff)
        assert len(found) == EPOCHS * STEPS and found.min() >= 0 and found.max() <= 1


def test_schedules_are_the_papers() -> None:
    always, never = np.ones(EPOCHS * STEPS), np.zeros(EPOCHS * STEPS)
    assert (in_force("constant") == always).all()
    assert (in_force("early", cutoff=EPOCHS) == always).all() and (in_force("early", cutoff=0) == never).all()
    assert (in_force("late", cutoff=0) == always).all() and (in_force("late", cutoff=EPOCHS) == never).all()
    assert (in_force("early", cutoff=2) + in_force("late", cutoff=2) == always).all()
    for cutoff in range(EPOCHS + 1):  # Liu et al. 2023, drop_scheduler.py: np.linspace, then zeros
        linear = np.concatenate([np.linspace(1, 0, cutoff * STEPS), np.zeros((EPOCHS - cutoff) * STEPS)])
        np.testing.assert_allclose(in_force("early-linear", cutoff=cutoff), linear, atol=1e-15)
    t, keep = np.arange(EPOCHS * STEPS), 0.3  # Morerio et al. 2017
    rising = 1 - (1 - keep) * in_force("curriculum", gamma=0.07)
    np.testing.assert_allclose(rising, (1 - keep) * np.exp(-0.07 * t) + keep, rtol=1e-14)
    assert in_force("curriculum", gamma=1000)[0] == 0 and (in_force("curriculum", gamma=1000)[1:] == 1).all()
    assert in_force("curriculum")[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", DROPOUTS)
def test_a_share_of_the_rate_is_that_rate(kind: str) -> None:
    """Step by step, for lanes of any rates, and over several blocks."""
    force = np.resize([1.0, 0.25, 0.0, 0.6], 70)
    scale, shift = noise(kind, [0.5, 0.8], [1, 2], shape=(40, 60), shares=force)
    for share in set(force.tolist()):
        constant = noise(kind, [0.5 * share, 0.8 * share], [1, 2], 70, shape=(40, 60))
        same = force == share
        if share:  # else no numbers are drawn, which gives the identity all the same
            assert torch.equal(scale[same], constant[0][same]) and torch.equal(shift[same], constant[1][same])
        else:
            assert (scale[same] == 1).all() and (shift[same] == 0).all()
    nothing = noise(kind, [0.5, 0.8], [1, 2], shape=(4, 6), shares=np.zeros(3))
    assert (nothing[0] == 1).all() and (nothing[1] == 0).all()


def test_parts_of_the_normal_distribution_are_the_means_of_its_equal_parts() -> None:
    assert normal_parts(1) == [0.0]
    for count in (2, 5, 10):
        edges = stats.norm.ppf(np.arange(count + 1) / count)
        wanted = [count * stats.norm.expect(lambda z: z, lb=a, ub=b) for a, b in zip(edges, edges[1:], strict=False)]
        np.testing.assert_allclose(normal_parts(count), wanted, atol=1e-7)


def test_streams_are_named_and_reproducible() -> None:
    first = {purpose: stream(0, purpose, 1).integers(0, 2**62) for purpose in PURPOSES}
    assert len(set(first.values())) == len(PURPOSES)
    assert first == {purpose: stream(0, purpose, 1).integers(0, 2**62) for purpose in PURPOSES}


def test_nobody_else_asks_whether_a_kind_drops_weights() -> None:
    """`Kind` answers what they really want to know, so that a new kind is one entry in `DROPOUTS`."""
    files = sorted(Path(dropout_lab.__file__).parent.rglob("*.py"))
    assert len(files) > 60 and len({file.parent for file in files}) > 10, "the scan has lost the folders"
    assert [file.name for file in files if "of_weights" in file.read_text()] == ["dropout.py"]


@pytest.mark.parametrize("name", DROPOUTS)
def test_a_kind_answers_what_the_lab_asks_about_it(name: str) -> None:
    kind, sizes = DROPOUTS[name], (7, 5, 3)
    if name == "dropconnect":
        assert [kind.units(sizes, layer) for layer in (1, 2)] == [35, 15] and not kind.has_placement
        assert kind.samples(4) == 4 and kind.inference(4) == "moment matching, 4 samples"
        assert kind.inference(1) == "mean weights"
        assert kind.masks_all_weights("example") and not kind.masks_all_weights("batch")
        assert kind.mask_bytes(sizes, (0.0, 0.5)) == 4 * (4 * 15 + 3 * 15) and kind.mask_bytes(sizes, (0.0, 0.0)) == 0
        assert kind.mask_bytes(sizes, (0.5, 0.5)) == 4 * (4 * 50 + 3 * 35)
        assert kind.shared_by_lanes((0.0, 0.3)) == (0.0, 1.0)
    else:
        assert [kind.units(sizes, layer) for layer in range(3)] == [7, 5, 3] and kind.has_placement
        assert kind.samples(4) is None and kind.inference(4) == "weight scaling"
        assert not kind.masks_all_weights("example") and not kind.mask_bytes(sizes, (0.5, 0.5))
        assert kind.shared_by_lanes((0.0, 0.3)) == kind.shared_by_lanes((0.5, 0.5))


def test_no_other_module_draws_a_mask_or_uses_global_randomness() -> None:
    """Masks come from dropout.py alone, and nobody touches a global generator."""
    banned = {"bernoulli_", "bernoulli", "manual_seed", "dropout", "rand", "randn", "randperm", "default_rng", "seed"}
    files = sorted(Path(dropout_lab.__file__).parent.rglob("*.py"))
    assert len(files) > 60 and len({file.parent for file in files}) > 10, "the scan has lost the folders"
    for file in files:
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr not in banned, f"{file.name}:{node.lineno}: {node.func.attr}"
            if isinstance(node, ast.Constant) and node.value == "masks":
                assert file.name in ("dropout.py", "streams.py", "crossing.py", "spread.py"), (
                    f"{file.name}:{node.lineno}"
                )
