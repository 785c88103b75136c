"""Intervals, tests and verdicts: held to scipy.stats, to numbers worked out by hand, and to their error rates."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison.inference import (
    Difference,
    Verdict,
    holm,
    interval,
    mcnemar,
    paired,
    paired_power,
    seeds_needed,
    verdict,
    welch,
)

BASELINE = [97.51, 97.40, 97.71, 97.35, 97.58]
CANDIDATE = [97.10, 97.18, 97.41, 96.85, 97.26]  # worse by 0.41, 0.22, 0.30, 0.50, 0.32
groups = st.lists(st.integers(0, 10_000).map(lambda images: images / 10_000), min_size=2, max_size=12)


def difference(low: float, high: float, n: int = 5) -> Difference:
    """A paired difference with the interval from `low` to `high`."""
    sd = (high - low) / 2 * math.sqrt(n) / float(scipy.stats.t.ppf(0.975, n - 1)) if n > 1 else None
    return Difference((low + high) / 2, sd, n, (low, high), 0.05, paired=True)


# Estimates and differences


def test_paired_by_hand() -> None:
    found = paired(BASELINE, CANDIDATE)
    assert (found.n, found.paired, found.all_equal) == (5, True, False)
    assert found.mean == pytest.approx(-0.35)  # (0.41 + 0.22 + 0.30 + 0.50 + 0.32) / 5
    assert found.sd == pytest.approx(math.sqrt(0.0464 / 4))  # squares .0036 + .0169 + .0025 + .0225 + .0009
    assert found.interval == pytest.approx((-0.35 - 2.776445 * 0.0481664, -0.35 + 2.776445 * 0.0481664), abs=1e-6)


@given(st.data())
def test_paired_is_scipys(data: st.DataObject) -> None:
    before = data.draw(groups)
    after = data.draw(st.lists(st.floats(0, 1), min_size=len(before), max_size=len(before)))
    found = paired(before, after)
    if found.all_equal:
        assert np.ptp(np.subtract(after, before)) < 1e-11
        return
    reference = scipy.stats.ttest_rel(after, before)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval(0.95)), rel=1e-6, abs=1e-9)


@settings(max_examples=40)
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy's, where one of the groups has no spread
@given(groups, groups)
def test_welch_is_scipys(before: list[float], after: list[float]) -> None:
    found = welch(before, after)
    assert (found.n, found.paired) == (min(len(before), len(after)), False)
    if found.all_equal:
        assert np.ptp(before) < 1e-11 and np.ptp(after) < 1e-11
        return
    reference = scipy.stats.ttest_ind(after, before, equal_var=False)
    assert found.p == pytest.approx(reference.pvalue, rel=1e-6, abs=1e-12)
    assert found.interval == pytest.approx(tuple(reference.confidence_interval(0.95)), rel=1e-6, abs=1e-9)


def test_interval_is_scipys() -> None:
    found, reference = interval(BASELINE), scipy.stats.ttest_1samp(BASELINE, 0).confidence_interval(0.95)
    assert (found.mean, found.sd) == pytest.approx((97.51, np.std(BASELINE, ddof=1)))
    assert found.interval == pytest.approx(tuple(reference))


def test_one_value_has_a_mean_and_no_more() -> None:
    one = interval([0.97])
    assert (one.mean, one.sd, one.n, one.interval) == (0.97, None, 1, None)
    pair = paired([0.97], [0.98])
    assert (pair.n, pair.sd, pair.interval, pair.p, pair.all_equal) == (1, None, None, None, False)
    alone = welch([0.97], [0.98, 0.99])
    assert (alone.n, alone.sd, alone.interval, alone.p) == (1, None, None, None)


def test_two_values_have_an_interval() -> None:
    found = paired([0.0, 0.0], [1.0, 2.0])
    half = 12.706204736 * 0.5  # t of one degree of freedom, times 0.7071 / sqrt(2)
    assert found.interval == pytest.approx((1.5 - half, 1.5 + half))
    assert found.p == pytest.approx(scipy.stats.ttest_1samp([1.0, 2.0], 0).pvalue)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0.5] * 4, [0.5] * 4),
        ([0.90, 0.91, 0.92], [0.91, 0.92, 0.93]),
        ([0.1, 0.2, 0.3], [1.1, 1.2, 1.3]),
        ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]),  # in binary these differences are not quite equal
        ([0.0] * 3, [0.0] * 3),
    ],
)
def test_equal_differences_have_no_spread_to_judge_by(before: list[float], after: list[float]) -> None:
    found = paired(before, after)
    assert found.all_equal
    assert (found.interval, found.p) == (None, None)
    assert found.mean == pytest.approx(after[0] - before[0])
    assert verdict(found, 0.001, higher_is_better=True).word == "none"


def test_equal_values_have_no_spread_to_judge_by() -> None:
    assert welch([0.5] * 3, [0.7] * 4).all_equal
    assert interval([0.1] * 3).interval is None


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf, 1.0]])
def test_missing_values_are_refused_not_counted(bad: list[float]) -> None:
    for call in (lambda: interval(bad), lambda: paired(bad, bad), lambda: welch(bad, [1.0]), lambda: welch([1.0], bad)):
        with pytest.raises(ValueError, match="finite values are needed"):
            call()


def test_pairs_need_partners() -> None:
    with pytest.raises(ValueError):
        paired([1.0, 2.0], [1.0])


# Several comparisons, and images


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_lowers(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    by_p = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)
    assert min(adjusted) == min(1, min(p_values) * len(p_values))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 1), (5, 5), (3, 17), (21, 39), (45, 75), (85, 115)])
def test_mcnemar_is_scipys_exact_binomial(only_a: int, only_b: int) -> None:
    a = np.repeat([True, False, True, False], [only_a, only_b, 50, 7])
    b = np.repeat([False, True, True, False], [only_a, only_b, 50, 7])
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b, found.net, found.disagree) == (only_a, only_b, only_b - only_a, only_a + only_b)
    reference = scipy.stats.binomtest(only_b, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert found.p == pytest.approx(reference)


def test_mcnemar_needs_the_same_images() -> None:
    with pytest.raises(ValueError, match="same images"):
        mcnemar([True], [True, False])


# Planning


@pytest.mark.parametrize(("n", "effect"), [(3, 3.26), (5, 1.68), (8, 1.16), (10, 1.00), (20, 0.66), (30, 0.53)])
def test_power_of_the_known_table(n: int, effect: float) -> None:
    """The smallest difference, in sd, that n pairs find with 80 % power."""
    assert paired_power(n, effect) == pytest.approx(0.8, abs=0.01)
    fewer, more = seeds_needed(1.0, effect + 0.005), seeds_needed(1.0, effect - 0.005)  # the table is rounded
    assert fewer is not None and more is not None and fewer <= n <= more


@pytest.mark.parametrize("effect", [2.0, 1.0, 0.5, 0.05])
def test_seeds_needed_is_the_smallest_number_in_any_unit(effect: float) -> None:
    n = seeds_needed(1.0, effect)
    assert n is not None
    assert paired_power(n - 1, effect) < 0.8 <= paired_power(n, effect)
    assert seeds_needed(0.001, 0.001 * effect) == n


def test_power_is_scipys() -> None:
    for n, effect in ((3, 0.5), (5, 1.0), (40, 0.4)):
        critical, shift = scipy.stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
        reference = scipy.stats.nct.sf(critical, n - 1, shift) + scipy.stats.nct.cdf(-critical, n - 1, shift)
        assert paired_power(n, effect) == pytest.approx(reference)


def test_seeds_needed_at_its_edges() -> None:
    assert seeds_needed(0.0, 0.001) == 3
    assert seeds_needed(1.0, 1e9) == 3
    assert seeds_needed(1.0, 0.0) is None
    assert seeds_needed(1.0, 1e-6) is None
    assert seeds_needed(1.0, 0.01) == 78_491
    assert seeds_needed(1.0, 0.5, power=0.5) == 18
    with pytest.raises(ValueError):
        seeds_needed(-1.0, 0.1)


# The verdict


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.1, 0.5, "better"),
        (-0.5, -0.1, "worse"),
        (0.3, 0.5, "better"),
        (-0.2, 0.2, "equivalent"),  # the ends belong to the margin
        (0.05, 0.15, "equivalent"),  # clear of 0, and too small to matter
        (-0.15, -0.05, "equivalent"),
        (0.05, 0.21, "better"),  # clear of 0, and perhaps large enough to matter
        (0.0, 0.3, "inconclusive"),  # an interval that ends at 0 does not exclude it
        (-0.3, 0.0, "inconclusive"),
        (-0.2, 0.201, "inconclusive"),
        (-5.0, 5.0, "inconclusive"),
    ],
)
def test_verdict_by_interval_and_margin(low: float, high: float, word: str) -> None:
    opposite = {"better": "worse", "worse": "better"}
    assert verdict(difference(low, high), 0.2, higher_is_better=True).word == word
    assert verdict(difference(low, high), 0.2, higher_is_better=False).word == opposite.get(word, word)


@pytest.mark.parametrize("n", [1, 2])
def test_no_verdict_below_three_seeds(n: int) -> None:
    assert verdict(difference(1.0, 2.0, n), 0.1, higher_is_better=True) == Verdict("none")
    assert verdict(difference(1.0, 2.0, 3), 0.1, higher_is_better=True) == Verdict("better")


def test_holms_p_holds_a_verdict_back_but_not_equivalence() -> None:
    clear, small = difference(0.1, 0.5), difference(-0.1, 0.1)
    assert verdict(clear, 0.2, higher_is_better=True, adjusted_p=0.049).word == "better"
    assert verdict(clear, 0.2, higher_is_better=True, adjusted_p=0.05).word == "inconclusive"
    assert verdict(small, 0.2, higher_is_better=True, adjusted_p=1.0).word == "equivalent"


def test_inconclusive_says_how_many_more_seeds() -> None:
    found = difference(-0.3, 0.3)
    assert found.sd is not None
    needed = seeds_needed(found.sd, 0.2)
    assert needed is not None
    assert verdict(found, 0.2, higher_is_better=True) == Verdict("inconclusive", needed - 5)
    assert verdict(found, 0.0, higher_is_better=True) == Verdict("inconclusive", None)  # no number of seeds proves 0
    assert verdict(difference(-0.0005, 0.2005), 0.2, higher_is_better=True) == Verdict("inconclusive", 0)


@pytest.mark.parametrize("margin", [-0.1, math.nan])
def test_a_margin_is_not_negative(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        verdict(difference(0.1, 0.2), margin, higher_is_better=True)


# Known truth, fixed streams


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_paired_interval_covers_the_truth(n: int) -> None:
    random, truth = np.random.default_rng(n), 0.3
    before = random.normal(97, 0.2, (4000, n))
    after = before + random.normal(truth, 0.15, (4000, n))
    hits = 0
    for x, y in zip(before.tolist(), after.tolist(), strict=True):
        found = paired(x, y).interval
        assert found is not None
        hits += found[0] <= truth <= found[1]
    assert 0.93 <= hits / 4000 <= 0.97


@pytest.mark.parametrize("margin", [0.0, 0.05])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_equal_methods_are_seldom_called_better_or_worse(n: int, margin: float) -> None:
    """At most 5 % in truth; a margin takes some of them away. Below three seeds there is never a verdict."""
    random, words = np.random.default_rng(10 + n), Counter[str]()
    before = random.normal(97, 0.2, (4000, n))
    after = before + random.normal(0, 0.15, (4000, n))
    for x, y in zip(before.tolist(), after.tolist(), strict=True):
        words[verdict(paired(x, y), margin, higher_is_better=True).word] += 1
        assert verdict(paired(x[:2], y[:2]), margin, higher_is_better=True).word == "none"
    assert (words["better"] + words["worse"]) / 4000 < 0.06 and words["better"] / 4000 < 0.035
    assert margin or words["better"] / 4000 > 0.015, "the test can tell"


def test_holm_keeps_equal_methods_from_winning() -> None:
    """Five candidates and the baseline are all equal: how often does any of them get a verdict that says otherwise?"""
    random, families, alarms, uncorrected = np.random.default_rng(0), 1000, 0, 0
    for baseline, *candidates in random.normal(97, 0.2, (families, 6, 5)).tolist():
        found = [paired(baseline, candidate) for candidate in candidates]
        p_values = [one.p for one in found if one.p is not None]
        words = {
            verdict(one, 0.1, higher_is_better=True, adjusted_p=p).word
            for one, p in zip(found, holm(p_values), strict=True)
        }
        alarms += bool(words & {"better", "worse"})
        uncorrected += min(p_values) < statistics.ALPHA
    assert alarms / families < 0.06
    assert uncorrected / families > 0.15  # what Holm is for
