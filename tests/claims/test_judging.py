"""The numbers that verdicts rest on: intervals of the median, and the bounds of claims that count masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from dropout_lab.claims import computed, theory
from dropout_lab.claims.criteria import Word, above, alike, below, between, decide, higher, median_between, slope
from dropout_lab.claims.evidence import Evidence
from dropout_lab.claims.registry import CLAIMS


@pytest.mark.parametrize("n", range(1, 20))
def test_the_interval_of_a_median_is_that_of_order_statistics(n: int) -> None:
    """The narrowest that covers with at least 93 %: five seeds need all of them, and fewer say nothing."""
    covering = [rank for rank in range(n) if 1 - 2 * scipy.stats.binom.cdf(rank, n, 0.5) >= 0.93]
    values = dict(enumerate(np.random.default_rng(n).permutation(n).astype(float).tolist()))
    if n < 5:
        assert not covering and median_between(values, -math.inf, math.inf).lacking
        return
    low, high = max(covering), n - 1.0 - max(covering)
    words = [median_between(values, *ends).word for ends in ((low, high), (low + 0.5, high), (low, high - 0.5))]
    assert words == ["HOLDS", "UNDECIDED", "UNDECIDED"]
    assert median_between(values, high + 0.5, 99).word == median_between(values, -9, low - 0.5).word == "FAILS"
    chance = 100 * (1 - 2 * scipy.stats.binom.cdf(max(covering), n, 0.5))
    assert f"with {chance:.0f} % confidence" in median_between(values, low, high).reason


@pytest.mark.parametrize(
    ("low", "high", "margin", "word"),
    [
        (0.001, 1.0, 0.0, "HOLDS"),
        (0.0, 1.0, 0.0, "UNDECIDED"),  # an interval that ends at the bound does not exclude it
        (-1.0, 0.0, 0.0, "UNDECIDED"),
        (-1.0, -0.001, 0.0, "FAILS"),
        (0.1, 0.5, 0.3, "UNDECIDED"),  # the mean must pass the margin, and not just come to it
        (0.1, 0.52, 0.3, "HOLDS"),
        (0.1, 0.3, 0.3, "UNDECIDED"),
        (0.1, 0.29, 0.3, "FAILS"),
    ],
)
def test_decide_at_its_ends(low: float, high: float, margin: float, word: Word) -> None:
    assert decide(5 + low, 5 + high, 5.0, margin) == word


def test_a_difference_is_candidate_less_baseline() -> None:
    baseline, candidate = {0: 0.5, 1: 0.6, 2: 0.8}, {0: 0.7, 1: 0.9, 2: 1.0, 3: 0.0}
    ruling = higher(candidate, baseline)
    interval = scipy.stats.ttest_1samp([0.2, 0.3, 0.2], 0).confidence_interval(0.95)
    assert ruling.measured == (
        f"0.8667 against 0.6333, difference 0.2333 (95 % interval {interval.low:.4g} to {interval.high:.4g}, 3 seeds)"
    )
    assert alike(candidate, baseline, 0.4).word == "HOLDS" and alike(candidate, baseline, 0.3).word == "UNDECIDED"


def test_a_mean_lies_between_two_bounds() -> None:
    values = {0: 2.0, 1: 2.2, 2: 2.4}  # 1.703 to 2.697
    words = [between(values, *ends).word for ends in ((1.70, 2.70), (1.71, 2.70), (1.70, 2.69), (2.70, 9), (0, 1.70))]
    assert words == ["HOLDS", "UNDECIDED", "UNDECIDED", "FAILS", "FAILS"]
    assert above(values, 1.70).word == below(values, 2.70).word == "HOLDS"


def test_a_slope_is_per_unit_of_the_places() -> None:
    line = [{0: 3 + 2.5 * place, 1: -4.0 * place} for place in (0.5, 0.6, 0.9)]
    assert slope([0.5, 0.6, 0.9], line) == pytest.approx({0: 2.5, 1: -4.0})


# Claims that count masks: (claim, reading, counts of dropped units over 4000 steps, word)


def counts(*parts: tuple[float, int]) -> Any:
    """So many counts, each a share of 4000 steps."""
    return np.concatenate([np.full(round(share * 4000), count) for share, count in parts])


def spread(mean: float, sd: float) -> Any:
    """4000 counts with this mean and this spread."""
    return mean + sd * np.repeat([1.0, -1.0], 2000)


@pytest.mark.parametrize(
    ("near", "count", "word"),
    [(0.96, 440, "HOLDS"), (0.96, 360, "HOLDS"), (0.94, 440, "FAILS"), (1, 441, "FAILS"), (1, 359, "FAILS")],
)
def test_s18_wants_400_to_within_a_tenth(near: float, count: int, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def dropped(units: int, rate: float) -> Any:
        asked.append((units, rate))
        return counts((near, count), (1 - near, 500))

    monkeypatch.setattr(computed, "dropped", dropped)
    assert CLAIMS["S18"].judge(Evidence({}))[0].word == word and asked == [(1000, 0.4)]


@pytest.mark.parametrize(
    ("standard_errors", "ratio", "word"),
    [(4.9, 1.0, "HOLDS"), (5.1, 1.0, "FAILS"), (0, 1.05, "HOLDS"), (0, 1.07, "FAILS"), (0, 0.93, "FAILS")],
)
def test_s12_wants_the_binomials_mean_and_spread(
    standard_errors: float, ratio: float, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropped(units: int, rate: float) -> Any:
        sd = scipy.stats.binom.std(units, rate)
        return spread(units * rate + standard_errors * sd / math.sqrt(4000), ratio * sd)

    monkeypatch.setattr(computed, "dropped", dropped)
    assert CLAIMS["S12"].judge(Evidence({}))[0].word == word


@pytest.mark.parametrize(("share", "word"), [(1.0, "HOLDS"), (0.998, "FAILS")])
def test_s13_wants_one_of_ten_every_time(share: float, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "dropped", lambda units, rate: counts((share, 1), (1 - share, 2)))
    assert CLAIMS["S13"].judge(Evidence({}))[0].word == word


def test_what_is_computed_is_told_as_it_is() -> None:
    """Numbers of the binomial distribution, the numbers kept, and the covariance, in the words of the rulings."""
    chance = 100 * scipy.stats.binom.pmf(1, 10, 0.1)
    assert f"(binomial {chance:.1f} %)" in CLAIMS["S13"].judge(Evidence({}))[0].measured
    by_rate, by_keep = CLAIMS["S15"].judge(Evidence({}))
    assert by_rate.measured == "rate 0.2: 512 kept where there were 128; rate 0.5: 128 kept where there were 128"
    assert by_keep.measured == "rate 0.2: 128 kept where there were 128; rate 0.5: 128 kept where there were 128"


def test_a_theorem_is_allowed_no_more_than_rounding_or_its_bound() -> None:
    tolerances = {name: theory.verify(name).tolerance for name in ("T1", "T3", "T5")}
    assert tolerances == {"T1": 1e-12, "T3": 1e-12, "T5": 0.05}
    assert theory.Result("T", "", "", "", "", 1.0, 1.0).holds
