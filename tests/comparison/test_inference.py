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
    LATER,
    Difference,
    Looked,
    MoreSeeds,
    Verdict,
    anytime_factor,
    crossed,
    deciding,
    detection_power,
    equivalence_power,
    holm,
    interval,
    mcnemar,
    more_seeds,
    paired,
    seeds_needed,
    verdict,
    welch,
)

BASELINE = [97.51, 97.40, 97.71, 97.35, 97.58]
CANDIDATE = [97.10, 97.18, 97.41, 96.85, 97.26]  # worse by 0.41, 0.22, 0.30, 0.50, 0.32
groups = st.lists(st.integers(0, 10_000).map(lambda images: images / 10_000), min_size=2, max_size=12)


def difference(low: float, high: float, n: int = 5) -> Difference:
    """A paired difference with the interval from `low` to `high`."""
    error = (high - low) / 2 / float(scipy.stats.t.ppf(0.975, n - 1))
    return Difference((low + high) / 2, error * math.sqrt(n), n, (low, high), 0.05, True, error, n - 1)


def t_power(n: int, effect: float) -> float:
    """The power of the paired t test at 5 %."""
    return detection_power(n, effect, float(scipy.stats.t.ppf(0.975, n - 1)))


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
    assert verdict(found.interval, 0.001, higher_is_better=True).word == "none"


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
    assert t_power(n, effect) == pytest.approx(0.8, abs=0.01)
    fewer, more = seeds_needed(1.0, effect + 0.005), seeds_needed(1.0, effect - 0.005)  # the table is rounded
    assert fewer is not None and more is not None and fewer <= n <= more


@pytest.mark.parametrize("effect", [2.0, 1.0, 0.5, 0.05])
def test_seeds_needed_is_the_smallest_number_in_any_unit(effect: float) -> None:
    n = seeds_needed(1.0, effect)
    assert n is not None
    assert t_power(n - 1, effect) < 0.8 <= t_power(n, effect)
    assert seeds_needed(0.001, 0.001 * effect) == n


def test_power_is_scipys() -> None:
    for n, effect in ((3, 0.5), (5, 1.0), (40, 0.4)):
        critical, shift = scipy.stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)
        reference = scipy.stats.nct.sf(critical, n - 1, shift) + scipy.stats.nct.cdf(-critical, n - 1, shift)
        assert t_power(n, effect) == pytest.approx(reference)


def test_seeds_needed_at_its_edges() -> None:
    assert seeds_needed(0.0, 0.001) == 3
    assert seeds_needed(1.0, 1e9) == 3
    assert seeds_needed(1.0, 0.0) is None
    assert seeds_needed(1.0, 1e-6) is None
    assert seeds_needed(1.0, 0.01) == 78_491
    assert seeds_needed(1.0, 0.5, power=0.5) == 18
    with pytest.raises(ValueError):
        seeds_needed(-1.0, 0.1)


def test_power_to_show_that_two_are_equal_is_what_happens() -> None:
    random, n, margin, critical = np.random.default_rng(4), 12, 1.2, float(scipy.stats.t.ppf(0.975, 11))
    values = random.normal(0, 1, (20_000, n))
    half = critical * values.std(1, ddof=1) / math.sqrt(n)
    inside = (np.abs(values.mean(1)) + half <= margin).mean()
    assert equivalence_power(n, margin, critical) == pytest.approx(inside, abs=0.02)


def test_the_seeds_to_add_are_those_of_a_later_look() -> None:
    """The next look has the anytime interval: with so many seeds it finds the effect in 80 % of trials."""
    for effect in (0.5, 1.0, 2.0):
        n = seeds_needed(1.0, effect, alpha=LATER, later=True)
        assert n is not None
        assert detection_power(n, effect, anytime_factor(n, LATER)) >= 0.8
        assert detection_power(n - 1, effect, anytime_factor(n - 1, LATER)) < 0.8
        values = np.random.default_rng(n).normal(effect, 1, (4000, n))
        low = values.mean(1) - anytime_factor(n, LATER) * values.std(1, ddof=1) / math.sqrt(n)
        assert 0.78 <= (low > 0).mean() <= 0.93  # one seed more is a large step where there are ten


def test_the_range_of_seeds_follows_what_is_known_of_the_spread() -> None:
    found = paired([0.0] * 5, [0.001, 0.003, -0.001, 0.004, 0.002])
    assert found.sd and found.df == 4
    low, high = (found.sd * math.sqrt(4 / scipy.stats.chi2.ppf(q, 4)) for q in (0.9, 0.1))
    wanted = [seeds_needed(sd, 0.001, alpha=LATER, later=True) for sd in (low, high)]
    assert more_seeds(found, 0.001) == MoreSeeds(*(n - 5 if n else None for n in wanted))
    family = more_seeds(found, 0.001, alpha=LATER / 5)
    assert family.low and family.low > wanted[0] - 5  # type: ignore[operator]


def test_no_spread_is_taken_to_be_below_the_images_own_noise() -> None:
    lucky = paired([0.0] * 3, [0.0010, 0.0011, 0.0010])
    noisy = more_seeds(lucky, 0.001, noise=0.002)
    floor = seeds_needed(0.002, 0.001, alpha=LATER, later=True)
    assert floor and noisy.low == floor - 3
    assert noisy.high and noisy.high > floor - 3
    assert more_seeds(lucky, 0.0) == MoreSeeds(None, None)


# However often one looks


@pytest.mark.parametrize(("n", "published"), [(5, 8.45), (8, 4.25), (10, 3.87), (20, 3.42), (50, 3.32)])
def test_the_anytime_factor_is_the_published_one(n: int, published: float) -> None:
    assert anytime_factor(n, 0.05) == pytest.approx(published, abs=0.006)


def test_the_anytime_factor_is_where_the_mixture_says_so() -> None:
    """At its ends the likelihood ratio of normal effect sizes against none, in t, is 1 / alpha (Lai 1976)."""
    for n, alpha in ((6, 0.05), (17, 0.02), (64, 0.01)):
        t = anytime_factor(n, alpha)
        ratio = (1 + n) ** -0.5 * ((1 + t * t / (n - 1)) / (1 + t * t / ((1 + n) * (n - 1)))) ** (n / 2)
        assert ratio == pytest.approx(1 / alpha, rel=1e-9)
    assert anytime_factor(3, 0.05) == anytime_factor(4, 0.05) == math.inf


def test_the_three_ways_to_look_have_their_own_interval() -> None:
    found = paired(BASELINE, CANDIDATE)
    assert found.error and found.interval == deciding(found)
    for looked, alpha in (("later", 0.02), ("sequential", 0.05)):
        half = anytime_factor(5, alpha) * found.error
        expected = (found.mean - half, found.mean + half) if math.isfinite(half) else None
        assert deciding(found, looked) == expected  # type: ignore[arg-type]
    low, high = deciding(found, "first", family=4) or (0, 0)
    assert high - low == pytest.approx(2 * scipy.stats.t.ppf(1 - 0.05 / 8, 4) * found.error)


@pytest.mark.parametrize(("looked", "alpha"), [("later", 0.02), ("sequential", 0.05)])
def test_a_family_shares_the_error_of_every_look(looked: Looked, alpha: float) -> None:
    found = paired([0.0] * 20, np.random.default_rng(6).normal(1, 1, 20).tolist())
    assert found.error
    half = anytime_factor(20, alpha / 4) * found.error
    assert deciding(found, looked, family=4) == pytest.approx((found.mean - half, found.mean + half))


def looks(way: str, start: int, most: int) -> list[int]:
    """The numbers of seeds at which somebody looks who adds them one by one, or doubles them."""
    numbers = [start]
    while numbers[-1] < most:
        numbers.append(min(most, numbers[-1] + 1 if way == "one" else 2 * numbers[-1]))
    return numbers


@pytest.mark.parametrize("margin", [0.0, 0.1])
@pytest.mark.parametrize("way", ["one", "doubling"])
@pytest.mark.parametrize("start", [3, 5, 8])
def test_equal_methods_are_seldom_told_apart_however_often_one_looks(start: int, way: str, margin: float) -> None:
    """The whole way, up to 64 seeds: "better" or "worse" in at most 6 %; the t interval alone is wrong far oftener."""
    values = np.random.default_rng(start).standard_normal((20_000, 64)) * 0.25
    alarm, naive = np.zeros(len(values), bool), np.zeros(len(values), bool)
    ended = np.zeros(len(values), bool)
    for n in looks(way, start, 64):
        part = values[:, :n]
        mean, error = part.mean(1), part.std(1, ddof=1) / math.sqrt(n)
        example = paired([0.0] * n, part[0].tolist())
        interval = deciding(example, "first" if n == start else "later")
        if interval is None:
            continue
        half = (interval[1] - interval[0]) / 2 / example.error * error  # type: ignore[operator]
        clear = (np.abs(mean) > half) & (np.abs(mean) + half > margin)
        alarm |= clear & ~ended
        ended |= clear | (np.abs(mean) + half <= margin)
        t_half = scipy.stats.t.ppf(0.975, n - 1) * error
        naive |= (np.abs(mean) > t_half) & (np.abs(mean) + t_half > margin)
    assert alarm.mean() <= 0.06
    assert naive.mean() > 1.5 * alarm.mean(), "the test can tell"


def test_the_advice_may_be_followed() -> None:
    """Whoever adds as many seeds as the range says, until the verdict is clear, is wrong in at most 6 % too."""
    alarms, families = 0, 600
    random = np.random.default_rng(8)
    for values in random.normal(0, 0.25, (families, 64)).tolist():
        n, looked = 5, "first"
        while n <= 64:
            found = paired([0.0] * n, values[:n])
            word = verdict(deciding(found, looked), 0.1, higher_is_better=True).word  # type: ignore[arg-type]
            if word in ("better", "worse", "equivalent"):
                alarms += word != "equivalent"
                break
            n, looked = n + (more_seeds(found, max(abs(found.mean), 0.1)).low or 64), "later"
    assert alarms / families <= 0.06 + 2 * math.sqrt(0.06 * 0.94 / families)


def test_whoever_declares_it_looks_at_every_number() -> None:
    values = np.random.default_rng(2).standard_normal((20_000, 64))
    alarm, missed = np.zeros(len(values), bool), np.zeros(len(values), bool)
    for n in range(3, 65):
        part = values[:, :n]
        half = anytime_factor(n, 0.05) * part.std(1, ddof=1) / math.sqrt(n)
        alarm |= np.abs(part.mean(1)) > half
        missed |= np.abs(part.mean(1)) > half  # coverage of the true difference, which is 0
    assert alarm.mean() <= 0.03 and 1 - missed.mean() >= 0.97


@pytest.mark.parametrize(("effect", "mean"), [(1.0, 13), (0.5, 41)])
def test_what_an_open_end_costs(effect: float, mean: float) -> None:
    """Seeds on average, one at a time, until the anytime interval at 5 % excludes 0: 10 and 34 if fixed beforehand."""
    values = np.random.default_rng(3).normal(effect, 1, (4000, 200))
    stopped = np.full(len(values), 200)
    for n in range(200, 2, -1):
        part = values[:, :n]
        half = anytime_factor(n, 0.05) * part.std(1, ddof=1) / math.sqrt(n)
        stopped[np.abs(part.mean(1)) > half] = n
    assert stopped.mean() == pytest.approx(mean, rel=0.08)
    assert seeds_needed(1.0, effect) == {1.0: 10, 0.5: 34}[effect]


# Seeds and images


def pool(random: np.random.Generator, seeds: int, images: int) -> np.ndarray:
    """Which images networks get right: images are hard or easy for all, and networks have their own luck."""
    hardness, luck = random.normal(2.0, 1.5, images), random.normal(0, 0.3, (seeds, 1))
    return random.random((seeds, images)) < 1 / (1 + np.exp(-hardness - luck))


def test_crossed_is_the_analysis_of_variance_by_hand() -> None:
    random = np.random.default_rng(0)
    a, b = pool(random, 4, 30), pool(random, 4, 30)
    gains = b.astype(float) - a
    n, m = gains.shape
    whole = gains.mean()
    ss_seeds = m * sum((row.mean() - whole) ** 2 for row in gains)
    ss_images = n * sum((column.mean() - whole) ** 2 for column in gains.T)
    ss_rest = ((gains - whole) ** 2).sum() - ss_seeds - ss_images
    ms_seeds, ms_images, ms_rest = ss_seeds / (n - 1), ss_images / (m - 1), ss_rest / ((n - 1) * (m - 1))
    shared = max(ms_images - ms_rest, 0)
    found = crossed(a, b)
    assert found.mean == pytest.approx(whole)
    assert found.error == pytest.approx(math.sqrt((ms_seeds + shared) / (n * m)))
    assert found.df == pytest.approx((ms_seeds + shared) ** 2 / (ms_seeds**2 / (n - 1)))
    assert found.seeds_error**2 + found.images_error**2 == pytest.approx(found.error**2)
    assert found.noise == pytest.approx(math.sqrt(ms_rest / m))
    half = scipy.stats.t.ppf(0.975, found.df) * found.error
    assert found.around(0.05) == pytest.approx((whole - half, whole + half))


@pytest.mark.parametrize("n", [3, 5, 8, 20])
def test_the_interval_over_seeds_and_images_covers_new_ones(n: int) -> None:
    """Pairs of networks drawn from a large pool, images too: the true difference is that of the whole pool."""
    random = np.random.default_rng(n)
    images, networks, tested, trials = 4000, 400, 300, 700
    hardness = random.normal(2.0, 1.5, images)
    luck = random.normal(0, 0.2, (2, networks, 1))
    gain = random.normal(0.15, 1.5, images)  # an image may gain more by one method than another
    logits = hardness + luck + np.array([0, 1])[:, None, None] * gain
    right = random.random((2, networks, images)) < 1 / (1 + np.exp(-logits))
    truth = right[1].mean() - right[0].mean()
    covered = seeds_only = 0
    for _ in range(trials):
        seeds, there = random.choice(networks, n, replace=False), random.choice(images, tested, replace=False)
        a, b = right[0][np.ix_(seeds, there)], right[1][np.ix_(seeds, there)]
        alone = paired(a.mean(1).tolist(), b.mean(1).tolist(), 1 / tested).interval or (0, 0)
        both = crossed(a, b).around(0.05)
        low, high = min(alone[0], both[0]), max(alone[1], both[1])
        covered += low <= truth <= high
        seeds_only += alone[0] <= truth <= alone[1]
    assert 0.925 <= covered / trials <= 0.985
    assert seeds_only <= covered and (n < 20 or seeds_only / trials < 0.85), "the seeds alone do not cover it"


def test_what_the_images_leave_is_left_by_endless_seeds() -> None:
    random = np.random.default_rng(1)
    found = crossed(pool(random, 6, 200), pool(random, 6, 200))
    assert found.images_half == pytest.approx(1.959964 * found.images_error)
    needed = found.images_needed(found.images_half / 3)
    assert needed == pytest.approx(9 * 200, abs=1)
    assert found.images_needed(0.0) is None


def test_equal_gains_on_all_images_are_known_to_half_an_image() -> None:
    a, b = np.zeros((3, 50), bool), np.zeros((3, 50), bool)
    b[:, :2] = True  # the same two images on all seeds
    found = paired(a.mean(1).tolist(), b.mean(1).tolist(), 1 / 50)
    assert found.sd == 0.5 / 50
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert found.interval == pytest.approx((0.04 - half, 0.04 + half))
    nothing = crossed(a, a)
    assert nothing.mean == 0 and nothing.seeds_error == pytest.approx(0.01 / math.sqrt(3)) and nothing.images_error == 0


# The verdict


@pytest.mark.parametrize(
    ("low", "high", "word", "beyond"),
    [
        (0.1, 0.5, "better", False),  # clear of 0, and perhaps less than the margin
        (-0.5, -0.1, "worse", False),
        (0.2, 0.5, "better", False),
        (0.201, 0.5, "better", True),
        (-0.5, -0.201, "worse", True),
        (-0.2, 0.2, "equivalent", False),  # the ends belong to the margin
        (0.05, 0.15, "equivalent", False),  # clear of 0, and too small to matter
        (-0.15, -0.05, "equivalent", False),
        (0.05, 0.21, "better", False),
        (0.0, 0.3, "inconclusive", False),  # an interval that ends at 0 does not exclude it
        (-0.3, 0.0, "inconclusive", False),
        (-0.2, 0.201, "inconclusive", False),
        (-5.0, 5.0, "inconclusive", False),
    ],
)
def test_verdict_by_interval_and_margin(low: float, high: float, word: str, beyond: bool) -> None:
    opposite = {"better": "worse", "worse": "better"}
    assert verdict((low, high), 0.2, higher_is_better=True) == Verdict(word, beyond)  # type: ignore[arg-type]
    assert verdict((low, high), 0.2, higher_is_better=False) == Verdict(opposite.get(word, word), beyond)  # type: ignore[arg-type]


def test_no_interval_no_verdict() -> None:
    assert verdict(None, 0.1, higher_is_better=True) == Verdict("none")


def test_the_phrase_says_what_is_not_sure() -> None:
    assert Verdict("better", True).phrase == "better"
    assert Verdict("worse", False).phrase == "worse, perhaps by less than the margin"
    assert Verdict("equivalent").phrase == "equivalent"


@pytest.mark.parametrize("margin", [-0.1, math.nan])
def test_a_margin_is_not_negative(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        verdict((0.1, 0.2), margin, higher_is_better=True)


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
    """At most 5 % in truth; a margin takes some of them away."""
    random, words = np.random.default_rng(10 + n), Counter[str]()
    before = random.normal(97, 0.2, (4000, n))
    after = before + random.normal(0, 0.15, (4000, n))
    for x, y in zip(before.tolist(), after.tolist(), strict=True):
        words[verdict(paired(x, y).interval, margin, higher_is_better=True).word] += 1
    assert (words["better"] + words["worse"]) / 4000 < 0.06 and words["better"] / 4000 < 0.035
    assert margin or words["better"] / 4000 > 0.015, "the test can tell"


def test_a_family_keeps_equal_methods_from_winning() -> None:
    """Five candidates and the baseline are all equal: how often does any of them get a verdict that says otherwise?"""
    random, families, alarms, uncorrected = np.random.default_rng(0), 1000, 0, 0
    for baseline, *candidates in random.normal(97, 0.2, (families, 6, 5)).tolist():
        found = [paired(baseline, candidate) for candidate in candidates]
        p_values = [one.p for one in found if one.p is not None]
        words = {verdict(deciding(one, family=5), 0.1, higher_is_better=True).word for one in found}
        alarms += bool(words & {"better", "worse"})
        uncorrected += min(p_values) < statistics.ALPHA
    assert alarms / families < 0.06
    assert uncorrected / families > 0.15  # what the family is for
