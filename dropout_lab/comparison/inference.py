"""What a few seeds can say: intervals, tests and verdicts. Floats in, small frozen dataclasses out.

Every function wants finite values and raises ValueError otherwise: what to do about a missing value is for the caller
to decide. A spread that cannot be estimated gives no interval and no p-value, never an infinitely sure one. Only
scipy.special is imported, which takes a third of the time of scipy.stats; the tests hold each result to scipy.stats.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = 0.05  # two-sided; every interval is the 1 - ALPHA = 95 % one
POWER = 0.8
FEWEST = 3  # no verdict about a method from fewer seeds
MOST = 1_000_000  # seeds that `seeds_needed` looks at
TINY = 1e-38  # the least single-precision number whose logarithm can be trusted
ROUNDING = 1e-12  # a spread below this share of the values is rounding, not spread

Word = Literal["better", "worse", "equivalent", "inconclusive", "none"]


@dataclass(frozen=True)
class Estimate:
    """The mean of one group of `n` values; for n = 1 `sd` (ddof 1) is None, and `interval` also where all are equal."""

    mean: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Difference:
    """A mean difference, candidate minus baseline, with its 95 % t interval and two-sided p-value.

    `n` counts pairs, or the seeds of the smaller group where nothing is paired. `sd` is that of one difference.
    `interval` and `p` are None for n = 1 and where the spread is zero (`all_equal`).
    """

    mean: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None
    p: float | None
    paired: bool

    @property
    def all_equal(self) -> bool:
        """True where there is more than one value and no spread among them."""
        return self.n > 1 and self.interval is None


@dataclass(frozen=True)
class McNemar:
    """Two networks on the same images: images that only one of them gets right, and the exact two-sided p-value."""

    only_a: int
    only_b: int
    p: float

    @property
    def net(self) -> int:
        """Images that b gains over a."""
        return self.only_b - self.only_a

    @property
    def disagree(self) -> int:
        """Images on which exactly one of the two is right."""
        return self.only_a + self.only_b


@dataclass(frozen=True)
class Verdict:
    """One word, and for "inconclusive" the seeds still to add for 80 % power (None: more than `MOST`)."""

    word: Word
    more_seeds: int | None = None


def interval(values: Sequence[float]) -> Estimate:
    """Return mean, sd and 95 % t interval of one group of one or more values."""
    mean, sd, n = _moments(values)
    flat = sd is None or sd <= ROUNDING * max(map(abs, values))
    return Estimate(mean, sd, n, None if sd is None or flat else _around(mean, sd / math.sqrt(n), n - 1))


def paired(baseline: Sequence[float], candidate: Sequence[float]) -> Difference:
    """Return the mean of `candidate[i] - baseline[i]` with its paired-t interval and p-value."""
    mean, sd, n = _moments([after - before for before, after in zip(baseline, candidate, strict=True)])
    if sd is None or sd <= ROUNDING * max(map(abs, [*baseline, *candidate])):
        return Difference(mean, sd, n, None, None, paired=True)
    error = sd / math.sqrt(n)
    return Difference(mean, sd, n, _around(mean, error, n - 1), _two_sided(mean / error, n - 1), paired=True)


def welch(baseline: Sequence[float], candidate: Sequence[float]) -> Difference:
    """Return the difference of two independent means with Welch's interval: unequal variances, unequal sizes.

    `sd` is that of the difference between one seed of each group.
    """
    mean_a, sd_a, n_a = _moments(baseline)
    mean_b, sd_b, n_b = _moments(candidate)
    mean, n = mean_b - mean_a, min(n_a, n_b)
    if sd_a is None or sd_b is None:
        return Difference(mean, None, n, None, None, paired=False)
    sd = math.hypot(sd_a, sd_b)
    if sd <= ROUNDING * max(map(abs, [*baseline, *candidate])):
        return Difference(mean, sd, n, None, None, paired=False)
    share_a, share_b = sd_a**2 / n_a, sd_b**2 / n_b
    df = (share_a + share_b) ** 2 / (share_a**2 / (n_a - 1) + share_b**2 / (n_b - 1))  # Welch-Satterthwaite
    error = math.sqrt(share_a + share_b)
    return Difference(mean, sd, n, _around(mean, error, df), _two_sided(mean / error, df), paired=False)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p-values in the order given: below ALPHA, family-wise error stays below ALPHA."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return tuple(adjusted)


def mcnemar(correct_a: Sequence[bool] | NDArray[np.bool_], correct_b: Sequence[bool] | NDArray[np.bool_]) -> McNemar:
    """Return McNemar's exact test of two networks, given for each image whether each of them is right.

    It asks about these two networks and other images, not about the methods that trained them.
    """
    import numpy as np
    from scipy.special import bdtr

    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"both need the same images, got shapes {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))) if only_a + only_b else 1.0
    return McNemar(only_a, only_b, p)


def entropy(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """Return the entropy in nats of distributions over the last axis; a probability is taken for no less than TINY."""
    import numpy as np

    result: NDArray[np.float64] = -(probabilities * np.log(probabilities.clip(TINY))).sum(-1, dtype=np.float64)
    return result


def paired_power(n: int, effect: float) -> float:
    """Return the power of a two-sided paired t test with `n` pairs for a true difference of `effect` sd."""
    from scipy.special import nctdtr, stdtrit

    critical, shift = stdtrit(n - 1, 1 - ALPHA / 2), effect * math.sqrt(n)
    return float(1 - nctdtr(n - 1, shift, critical) + nctdtr(n - 1, shift, -critical))


def seeds_needed(sd: float, effect: float, power: float = POWER) -> int | None:
    """Return the smallest number of pairs (at least 3) that finds a true difference `effect` with this power.

    `sd` is that of the paired differences, in the unit of `effect`. None where more than `MOST` pairs are needed. It is
    for planning one further batch: to add seeds one by one and stop at the first clear interval finds too much.
    """
    if sd < 0 or effect < 0:
        raise ValueError(f"sd and effect must be 0 or more, got {sd} and {effect}")
    if effect == 0:
        return None
    share = min(effect / sd, 100.0) if sd else 100.0  # 100 sd: three seeds find it
    needed = FEWEST + bisect_left(range(FEWEST, MOST + 1), power, key=lambda n: paired_power(n, share))
    return needed if needed <= MOST else None


def verdict(
    difference: Difference, margin: float, *, higher_is_better: bool, adjusted_p: float | None = None
) -> Verdict:
    """Judge a difference by its 95 % interval against `margin`, the smallest difference that matters (0 or more).

    - none: fewer than 3 seeds, or no interval because all differences are equal
    - equivalent: the interval lies wholly inside [-margin, +margin], the ends included, also where it excludes 0
    - better, worse: the interval excludes 0 and reaches beyond the margin; where several candidates are compared,
      Holm's `adjusted_p` must be below 0.05 too
    - inconclusive: anything else; with the seeds to add so that a true difference of `margin` is found with 80 % power
    """
    if not margin >= 0:
        raise ValueError(f"margin must be 0 or more, got {margin}")
    if difference.n < FEWEST or difference.interval is None or difference.sd is None:
        return Verdict("none")
    low, high = difference.interval
    if -margin <= low and high <= margin:
        return Verdict("equivalent")
    if (low > 0 or high < 0) and (adjusted_p is None or adjusted_p < ALPHA):
        return Verdict("better" if (low > 0) == higher_is_better else "worse")
    needed = seeds_needed(difference.sd, margin)
    return Verdict("inconclusive", None if needed is None else max(0, needed - difference.n))


def _moments(values: Sequence[float]) -> tuple[float, float | None, int]:
    n = len(values)
    if n == 0 or not all(map(math.isfinite, values)):
        raise ValueError(f"one or more finite values are needed, got {list(values)}")
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None, n


def _around(mean: float, error: float, df: float) -> tuple[float, float]:
    from scipy.special import stdtrit  # Student's t quantile

    half = float(stdtrit(df, 1 - ALPHA / 2)) * error
    return mean - half, mean + half


def _two_sided(t: float, df: float) -> float:
    from scipy.special import stdtr  # Student's t distribution function

    return 2 * float(stdtr(df, -abs(t)))
