"""Theorems by enumeration: each holds, each fails once its formula is broken, and formulas agree with others' code."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.stats
from readable import assert_readable, said
from sklearn.linear_model import Ridge

from dropout_lab.claims import theory
from dropout_lab.claims import theory_figure as theory_figures
from dropout_lab.claims.theory import ROUNDING, THEOREMS, Result
from dropout_lab.figures import plots
from dropout_lab.streams import stream

EXACT = set(THEOREMS) - {"T5", "T6"}  # the two approximations


@pytest.fixture
def layer() -> tuple[theory.Array, theory.Array, theory.Array]:
    return theory._layer(stream(7, "init"))


# Every theorem holds


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", THEOREMS)
def test_every_theorem_holds(name: str, seed: int) -> None:
    result = theory.verify(name, seed)
    assert result.holds, result
    assert (result.tolerance == ROUNDING) == (name in EXACT)
    assert result.enumerated and result.measured and result.statement and result.source


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_checked() -> None:
    results = theory.verify_all(1)
    assert [result.id for result in results] == list(THEOREMS)
    assert results[-1] == theory.verify(results[-1].id, 1)
    assert theory.verify("T6", 1).error != theory.verify("T6", 2).error


@pytest.mark.parametrize("error", [1.1, math.inf, math.nan])
def test_a_large_error_and_one_that_is_no_number_do_not_hold(error: float) -> None:
    assert not Result("T", "", "", "", "", error, 1.0).holds


def test_a_nan_anywhere_is_the_largest_value() -> None:
    assert math.isnan(theory._largest([np.ones(2), np.array([np.nan, 2.0]), np.ones(1)]))


# Every theorem fails where its formula is broken


def wrong_keep(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The article's confusion: the rate in the place of keep, which is the last argument."""
    return lambda *arguments: formula(*arguments[:-1], 1 - arguments[-1])


def doubled(formula: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: 2 * formula(*arguments)


BROKEN = [
    ("T1", "mean_net", wrong_keep),
    ("T1", "softmax", lambda softmax: lambda values, axis: np.exp(values)),  # not normalized
    ("T2", "mean_net", wrong_keep),
    ("T3", "mean_net", wrong_keep),
    ("T3", "added_variance", lambda formula: lambda *arguments: formula(*arguments) / arguments[-1]),
    ("T4", "ridge", wrong_keep),
    ("T4", "ridge_loss", wrong_keep),
    ("T5", "quadratic_penalty", doubled),
    ("T5", "quadratic_penalty", wrong_keep),
    ("T6", "gaussian_loss", wrong_keep),
    ("T6", "added_variance", lambda formula: lambda x, w, keep: 0 * formula(x, w, keep)),  # c = 1
    ("T6", "gaussian_bound", lambda formula: lambda *arguments: [bound / 6 for bound in formula(*arguments)]),
    ("T7", "mean_net", wrong_keep),
    ("S23", "ensemble_gradient", wrong_keep),
    ("S23", "ensemble_gradient", doubled),
    *((name, "probabilities", wrong_keep) for name in THEOREMS if name != "T8"),
]


@pytest.mark.parametrize(("name", "formula", "broken"), BROKEN)
def test_every_theorem_fails_where_its_formula_is_broken(
    name: str, formula: str, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theory, formula, broken(getattr(theory, formula)))
    assert not theory.verify(name).holds


@pytest.mark.parametrize(("rule", "setting"), [(rule, name) for rule, all in theory.POWERS.items() for name in all])
def test_the_two_nets_part_where_one_setting_is_mapped_wrongly(
    rule: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theory, "STEPS", 20)
    monkeypatch.setitem(theory.POWERS[rule], setting, 0)
    result = theory.verify("T8")
    assert result.error > 1e-3 and not result.holds


def test_every_theorem_is_broken_in_some_way() -> None:
    assert {name for name, *_ in BROKEN} | {"T8"} == set(THEOREMS)


def test_the_arithmetic_mean_is_not_the_geometric_one(layer: Any) -> None:
    """Nor is the sign in the published misprint of T7, G / (G - G'), a plus."""
    sums, keep = theory.thinned(*layer), 0.5
    assert (
        np.abs(theory.expectation(theory.expit(sums), keep) - theory.expit(theory.mean_net(*layer, keep))).max() > 0.01
    )
    on, off = (np.exp(theory.expectation(theory.log_expit(sign * sums), keep)) for sign in (1, -1))
    assert np.abs(on / (on - off) - theory.expit(theory.mean_net(*layer, keep))).max() > 0.1


# Masks and formulas against others' code


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.5, 1.0])
def test_masks_are_all_there_and_binomial(keep: float) -> None:
    masks = theory.masks(6)
    assert masks.shape == (64, 6) and len(np.unique(masks, axis=0)) == 64 and set(np.unique(masks)) == {0, 1}
    counts = [theory.probabilities(masks[masks.sum(axis=1) == kept], keep).sum() for kept in range(7)]
    np.testing.assert_allclose(counts, scipy.stats.binom.pmf(np.arange(7), 6, keep), atol=1e-15)
    np.testing.assert_allclose(theory.expectation(masks, keep), keep, atol=1e-15)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 1.0])
def test_ridge_is_scikit_learns_on_columns_of_length_one(keep: float) -> None:
    generator = stream(1, "init")
    inputs, targets = generator.normal(size=(20, 5)), generator.normal(size=20)
    lengths = np.linalg.norm(inputs, axis=0)
    theirs = Ridge(alpha=(1 - keep) / keep, fit_intercept=False, solver="svd").fit(inputs / lengths, targets)
    np.testing.assert_allclose(theory.ridge(inputs, targets, keep), theirs.coef_ / lengths, rtol=1e-10)
    least = scipy.optimize.minimize(lambda w: theory.ridge_loss(inputs, targets, w, keep), np.zeros(5), tol=1e-12)
    np.testing.assert_allclose(keep * least.x, theory.ridge(inputs, targets, keep), atol=1e-6)


def test_ridge_of_an_orthogonal_design_is_keep_times_least_squares() -> None:
    inputs, _ = np.linalg.qr(stream(2, "init").normal(size=(9, 4)))
    targets = np.arange(9.0)
    plain = np.linalg.lstsq(inputs, targets)[0]
    for keep in (0.0, 0.1, 0.5, 1.0):
        np.testing.assert_allclose(theory.ridge(inputs, targets, keep), keep * plain, atol=1e-14)


def normal_loss(mean: float, sd: float) -> float:
    """E[-log sigmoid(z)] of a normal z, by quadrature; nothing of weight lies beyond 12 sd."""

    def weighted(u: float) -> float:
        return float(np.logaddexp(0, -(mean + sd * u)) * scipy.stats.norm._pdf(u))

    kink = min(max(-mean / sd, -12.0), 12.0)
    return scipy.integrate.quad(weighted, -12, kink)[0] + scipy.integrate.quad(weighted, kink, 12)[0]


@pytest.mark.parametrize("sd", [0.1, 0.5, 1.0, 2.0, 5.0, 30.0])
def test_the_first_bound_of_t6_holds_by_quadrature(sd: float) -> None:
    """A single unit whose thinned sum has this mean and sd; the bound is nearly reached at mean 0 and a large sd."""
    one = np.array([[1.0]])
    keep, weight = 0.5, np.array([[2 * sd]])
    share = []
    for mean in sd * np.array([-6.0, -2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0, 6.0]):
        approximation = theory.gaussian_loss(one, weight, np.array([mean - sd]), keep).item()
        share.append(abs(approximation - normal_loss(mean, sd)) / theory.gaussian_bound(one, weight, keep)[0].item())
    assert max(share) < 1
    assert sd < 30 or max(share) == share[4] > 0.95


def test_the_second_bound_of_t6_holds_by_quadrature(layer: Any) -> None:
    inputs, weights, bias = layer
    for keep in theory.KEEPS:
        mean, sd = theory.mean_net(*layer, keep), np.sqrt(theory.added_variance(inputs, weights, keep))
        gap = np.abs(
            np.vectorize(normal_loss)(mean, sd) - theory.expectation(-theory.log_expit(theory.thinned(*layer)), keep)
        )
        assert (gap < theory.gaussian_bound(inputs, weights, keep)[1]).all()


def test_what_t5_leaves_over_at_a_small_rate_is_that_of_single_drops(layer: Any) -> None:
    """Why it is of first order: E[loss] - loss is rate times what the drop of each unit alone, and the growth of all,
    change."""
    inputs, weights, bias = layer
    rate = 1e-6
    keep = 1 - rate

    def loss(sums: Any) -> Any:
        return -theory.log_expit(sums)

    total = inputs @ weights + bias
    terms = inputs[:, :, None] * weights
    alone = (loss(total[:, None] - terms) - loss(total)[:, None]).sum(axis=1)
    growing = -(1 - theory.expit(total)) * terms.sum(axis=1)
    added = theory.expectation(loss(theory.thinned(inputs, weights / keep, bias)), keep) - loss(total)
    np.testing.assert_allclose(added / rate, alone + growing, atol=1e-3)
    assert np.abs(added - theory.quadratic_penalty(*layer, keep)).max() > 0.1 * rate


def test_gradients_of_t8_are_those_of_the_loss() -> None:
    generator = stream(3, "init")
    inputs, labels = generator.normal(size=(5, 4)), np.eye(3)[[0, 1, 2, 0, 1]]
    shapes = [(5, 6), (7, 3)]
    noise = [2.0 * generator.integers(0, 2, (5, rows)) for rows, _ in shapes]
    start = generator.normal(size=30 + 21)

    def split(flat: Any) -> list[Any]:
        return [flat[:30].reshape(shapes[0]), flat[30:].reshape(shapes[1])]

    def loss(flat: Any) -> float:
        first, second = split(flat)
        hidden = np.maximum((theory._with_bias(inputs) * noise[0]) @ first, 0)
        logits = (theory._with_bias(hidden) * noise[1]) @ second
        return float(-(labels * theory.log_softmax(logits, axis=1)).sum() / 5)

    ours = np.concatenate([g.ravel() for g in theory.gradients(split(start), noise, inputs, labels)])
    np.testing.assert_allclose(ours, scipy.optimize.approx_fprime(start, loss, 1e-7), atol=1e-6)


@pytest.mark.parametrize("rule", theory.POWERS)
def test_the_trainings_of_t8_learn_are_clipped_and_use_every_setting(rule: str) -> None:
    generator = stream(4, "init")
    inputs, labels = generator.normal(size=(6, 3)), np.eye(2)[[0, 1, 0, 1, 0, 1]]
    start = [generator.normal(size=(4, 8)), generator.normal(size=(9, 2))]
    ones = [np.ones((4, 1)), np.ones((9, 1))]
    everything = [[np.ones((6, 4)), np.ones((6, 9))]] * 50
    history = theory.trajectory(rule, start, ones, everything, inputs, labels)
    for step in history:
        lengths = [np.linalg.norm(weights[:-1], axis=0).max() for weights in step]
        assert max(lengths) <= theory.MAX_NORM + ROUNDING

    def slope(weights: Any) -> float:
        return max(float(np.abs(g).max()) for g in theory.gradients(weights, everything[0], inputs, labels))

    assert len(history) == 50 and history[0][0] is not history[1][0]
    assert slope(history[-1]) < slope(history[0])


# What is shown


@pytest.mark.parametrize("rule", theory.POWERS)
def test_the_trainings_of_t8_are_torchs(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dropout and without a bound on the norm, five steps of torch.optim on the gradients of autograd."""
    import torch

    monkeypatch.setattr(theory, "MAX_NORM", 1e9)
    generator = stream(5, "init")
    inputs, labels = generator.normal(size=(6, 10)), np.eye(4)[np.arange(6) % 4]
    start = [generator.normal(size=(11, out)) for out in (10, 4)]
    ones = [np.ones((11, 1)), np.ones((11, 1))]
    history = theory.trajectory(rule, start, ones, [[np.ones((6, 11))] * 2] * 5, inputs, labels)
    weights = [torch.from_numpy(layer.copy()).requires_grad_() for layer in start]
    rules = {
        "sgd": lambda: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
        "adam": lambda: torch.optim.Adam(weights, lr=0.01, betas=(0.9, 0.999), eps=1e-3),
    }
    optimizer = rules[rule]()
    for step in history:
        hidden = torch.relu(torch.from_numpy(inputs) @ weights[0][:-1] + weights[0][-1])
        logits = hidden @ weights[1][:-1] + weights[1][-1]
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        optimizer.step()
        for own, theirs in zip(step, weights, strict=True):
            np.testing.assert_allclose(own, theirs.detach(), rtol=1e-9, atol=1e-12)


def test_0_5_is_strongest_in_one_reading_and_not_in_the_other() -> None:
    keeps = np.linspace(0.05, 1, 20)
    for seed in range(5):
        strength = theory.strength(keeps, seed)
        assert keeps[strength.raw.argmax()] == pytest.approx(0.5)
        assert (np.diff(strength.effective) < 0).all() and (np.diff(strength.norm) > 0).all()
        np.testing.assert_allclose(strength.effective, strength.raw / keeps**2)  # the same penalty: w = w~ / keep
        assert strength.norm[-1] == 1


def test_the_figure_draws_both_readings_and_is_readable(tmp_path: Path) -> None:
    figure = theory_figures.two_readings()
    left, right = figure.axes
    strength = theory.strength(theory_figures.KEEPS)
    np.testing.assert_array_equal(left.lines[0].get_xydata(), np.c_[1 - strength.keep, strength.raw])
    np.testing.assert_allclose(left.lines[1].get_xydata(), [[0.5, 0.25]])
    for line, values in zip(right.lines, (strength.effective, strength.norm), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert "its maximum, at rate 0.5" in said(figure) and "Srivastava et al. 2014" in said(figure)
    assert_readable(figure)
    plots.save(figure, tmp_path / "theory.png")
    assert (tmp_path / "theory.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_has_a_line_for_each_theorem_and_says_what_fails() -> None:
    results = [Result(name, t.statement, t.source, "", "", 2.0, 1.0) for name, t in THEOREMS.items()]
    heading, *lines = theory.as_text([*results[1:], theory.verify("T1")], 100).splitlines()
    assert heading.split() == ["error", "limit"]
    assert len(lines) == len(THEOREMS) and max(map(len, lines)) <= 100
    assert all(line.endswith("FAILS") for line in lines[:-1]) and lines[-1].endswith("HOLDS")


def test_the_data_are_plain_json_with_a_verdict() -> None:
    data = json.loads(json.dumps(theory.as_dict([theory.verify("T1")])))
    (entry,) = data["theorems"]
    assert data["schema_version"] == theory.SCHEMA_VERSION
    assert entry["id"] == "T1" and entry["holds"] is True and entry["error"] <= entry["tolerance"]
