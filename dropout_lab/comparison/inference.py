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

ALPHA = 0.05  # two-sided; the first look at a pair of runs has the 1 - ALPHA = 95 % t interval
LATER = 0.02  # of the anytime interval that decides from the second look on: the whole way stays under 6 % (numbers.md)
POWER = 0.8
LIKELY = 0.8  # how likely the true spread lies within the limits that a range of seeds is planned with
FEWEST = 3  # no verdict about a method from fewer seeds
MOST = 1_000_000  # seeds that `seeds_needed` looks at
TINY = 1e-38  # the least single-precision number whose logarithm can be trusted
MIXTURE = 1.0  # the variance of the effect sizes that the anytime interval is made for
ROUNDING = 1e-12  # a spread below this share of the values is rounding, not spread

Word = Literal["better", "worse", "equivalent", "inconclusive", "none"]
Looked = Literal["first", "later", "sequential"]  # how often somebody looked; sequential: until decided, as declared
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """The mean of one group of `n` values; for n = 1 `sd` (ddof 1) is None, and `interval` also where all are equal."""

    mean: float
    sd: float | None
    n: int
    interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """A mean difference, candidate minus baseline, with its 95 % t interval and two-sided p-value.

    `n` counts pairs, or the seeds of the smaller group where nothing is paired. `sd` is that of one difference, `error`
    the standard error of the mean, with `df` degrees of freedom. `error`, `df`, `interval` and `p` are None for n = 1
    and where the spread is zero (`all_equal`).
    """

    mean: float
    sd: float | None
    n: int
    interval: Interval | None
    p: float | None
    paired: bool
    error: float | None = None
    df: float | None = None

    @property
    def all_equal(self) -> bool:
        """True where there is more than one value and no spread among them."""
        return self.n > 1 and self.interval is None

    def around(self, alpha: float) -> Interval | None:
        """Return the 1 - alpha t interval, which is true for a number of seeds that was fixed beforehand."""
        return None if self.error is None or self.df is None else _around(self.mean, self.error, self.df, alpha)

    def anytime(self, alpha: float) -> Interval | None:
        """Return the 1 - alpha interval that is true at every number of seeds at once; None while it is endless."""
        if self.error is None or self.df is None:
            return None
        half = anytime_factor(self.df + 1, alpha) * self.error
        return (self.mean - half, self.mean + half) if math.isfinite(half) else None


@dataclass(frozen=True)
class Crossed:
    """A mean difference of accuracies over seeds and test images, both taken as samples (`crossed`).

    error: the standard error of the mean, with `df` degrees of freedom. seeds_error, images_error: the parts of it that
    more seeds and more images would take away. noise: the sd of one seed's difference that the images alone make.
    """

    mean: float
    error: float
    df: float
    seeds_error: float
    images_error: float
    noise: float
    images: int

    def around(self, alpha: float) -> Interval:
        """Return the 1 - alpha interval for new seeds and new images."""
        return _around(self.mean, self.error, self.df, alpha)

    def anytime(self, alpha: float) -> Interval | None:
        """Return the same as an interval that is true at every number of seeds at once; None while it is endless."""
        half = anytime_factor(self.df + 1, alpha) * self.error
        return (self.mean - half, self.mean + half) if math.isfinite(half) else None

    @property
    def images_half(self) -> float:
        """Half the width of the 95 % interval that is left however many seeds there are."""
        return _normal_quantile(1 - ALPHA / 2) * self.images_error

    def images_needed(self, margin: float) -> int | None:
        """Return how many test images leave no more than `margin`, if the seeds were endless; None for no margin."""
        return math.ceil(self.images * (self.images_half / margin) ** 2) if margin > 0 else None


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
    """One word about an interval. beyond_margin: of "better" and "worse", whether all of it lies beyond the margin."""

    word: Word
    beyond_margin: bool = False

    @property
    def phrase(self) -> str:
        """The word as a table shows it."""
        perhaps = self.word in ("better", "worse") and not self.beyond_margin
        return f"{self.word}, perhaps by less than the margin" if perhaps else self.word


@dataclass(frozen=True)
class MoreSeeds:
    """How many seeds to add for 80 % power: from `low` to `high`, as the spread is known; None: over `MOST`."""

    low: int | None
    high: int | None


def interval(values: Sequence[float]) -> Estimate:
    """Return mean, sd and 95 % t interval of one group of one or more values."""
    mean, sd, n = _moments(values)
    flat = sd is None or sd <= ROUNDING * max(map(abs, values))
    return Estimate(mean, sd, n, None if sd is None or flat else _around(mean, sd / math.sqrt(n), n - 1))


def paired(baseline: Sequence[float], candidate: Sequence[float], smallest_step: float = 0.0) -> Difference:
    """Return the mean of `candidate[i] - baseline[i]` with its paired-t interval and p-value.

    smallest_step: what a value changes by at least, one image of an accuracy. Where all differences are equal, their sd
    is taken for half of it: values closer than that cannot be told apart.
    """
    mean, sd, n = _moments([after - before for before, after in zip(baseline, candidate, strict=True)])
    if sd is not None and sd <= ROUNDING * max(map(abs, [*baseline, *candidate])):
        sd = smallest_step / 2
    if not sd:
        return Difference(mean, sd, n, None, None, paired=True)
    error, df = sd / math.sqrt(n), n - 1
    return Difference(mean, sd, n, _around(mean, error, df), _two_sided(mean / error, df), True, error, df)


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
    return Difference(mean, sd, n, _around(mean, error, df), _two_sided(mean / error, df), False, error, df)


def anytime_factor(n: float, alpha: float) -> float:
    """Return by how many standard errors an interval of `n` seeds reaches, to be true at every n at once.

    The normal mixture on the effect size, of variance 1 (Lai 1976; Lindon et al. 2022, arXiv 2210.08589; Wang & Ramdas
    2023, arXiv 2310.03722). Endless while n is too small for `alpha`.
    """
    spread = 1 + n * MIXTURE
    quantile = (math.sqrt(spread) / alpha) ** (2 / n)
    left = 1 - quantile / spread
    return math.sqrt((n - 1) * (quantile - 1) / left) if left > 0 else math.inf


def crossed(baseline: NDArray[np.bool_], candidate: NDArray[np.bool_]) -> Crossed:
    """Return the mean difference of accuracies, and how far it is known for new seeds and new images.

    Both are (seeds, images), two seeds or more: whether the network of that seed gets that image right; both runs have
    the same images, and the networks in one line are a pair. A random-effects analysis of seeds crossed with images, as
    of readers crossed with cases (Dorfman, Berbaum & Metz 1992; Hillis 2007).
    """
    import numpy as np

    gains = candidate.astype(np.float64) - baseline
    n, m = gains.shape
    mean, by_seed, by_image = float(gains.mean()), gains.mean(1, keepdims=True), gains.mean(0, keepdims=True)
    seeds = m * float(by_seed.var(ddof=1))
    images = n * float(by_image.var(ddof=1)) if m > 1 else 0.0
    rest = float(np.square(gains - by_seed - by_image + mean).sum()) / ((n - 1) * max(1, m - 1))
    shared = max(images - rest, 0.0)
    if seeds == 0:
        seeds = m * (0.5 / m) ** 2  # all seeds equal: half an image, as in `paired`
    df = (seeds + shared) ** 2 / (seeds**2 / (n - 1)) if seeds else math.inf
    seeds_error, images_error = math.sqrt(seeds / (n * m)), math.sqrt(shared / (n * m))
    return Crossed(
        mean,
        math.hypot(seeds_error, images_error),
        min(df, MOST),
        seeds_error,
        images_error,
        noise=math.sqrt(rest / m),
        images=m,
    )


def deciding(difference: Difference | Crossed, looked: Looked = "first", family: int = 1) -> Interval | None:
    """Return the interval that decides: true at the first look for a fixed number of seeds, later at every number.

    The first look has the t interval at `ALPHA`, a later one the anytime interval at `LATER`; whoever declared to add
    seeds until the verdict is decided has the anytime interval at `ALPHA` from the beginning. Of a `family` of
    differences each has its share of the error, so that their intervals hold together.
    """
    if looked == "first":
        return difference.around(ALPHA / family)
    return difference.anytime((ALPHA if looked == "sequential" else LATER) / family)


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


def detection_power(n: int, effect: float, critical: float) -> float:
    """Return how likely |t| of `n` pairs is beyond `critical`, where the true difference is `effect` sd."""
    from scipy.special import nctdtr

    shift = effect * math.sqrt(n)
    below, beyond = float(nctdtr(n - 1, shift, critical)), float(nctdtr(n - 1, shift, -critical))
    return 1 - _or_none(below) + _or_none(beyond)


def equivalence_power(n: int, margin: float, critical: float) -> float:
    """Return how likely the interval of `n` pairs lies within +-`margin` sd, where the true difference is 0."""
    from scipy.special import stdtr

    room = margin * math.sqrt(n) - critical
    return max(0.0, 2 * float(stdtr(n - 1, room)) - 1)


def seeds_needed(
    sd: float, effect: float, power: float = POWER, *, alpha: float = ALPHA, later: bool = False, equal: bool = False
) -> int | None:
    """Return the smallest number of pairs, at least 3, that answers with this power; None for more than `MOST`.

    The question is whether a true difference of `effect` is found or, where `equal`, whether methods that are equal are
    shown to be within `effect`. `sd` is that of the paired differences, in the unit of `effect`. The answer is a 1 -
    `alpha` t interval or, where it is a `later` look, the anytime interval.
    """
    if sd < 0 or effect < 0:
        raise ValueError(f"sd and effect must be 0 or more, got {sd} and {effect}")
    if effect == 0:
        return None
    share = min(effect / sd, 100.0) if sd else 100.0  # 100 sd: three seeds find it
    reached = equivalence_power if equal else detection_power

    def power_of(n: int) -> float:
        critical = anytime_factor(n, alpha) if later else t_quantile(n - 1, alpha)
        return reached(n, share, critical) if math.isfinite(critical) else 0.0

    needed = FEWEST + bisect_left(range(FEWEST, MOST + 1), power, key=power_of)
    return needed if needed <= MOST else None


def more_seeds(
    difference: Difference, effect: float, noise: float = 0.0, *, alpha: float = LATER, equal: bool = False
) -> MoreSeeds:
    """Return how many seeds to add so that the next look answers with 80 % power (`seeds_needed`, a later look).

    `alpha` is the level of that look's interval: `LATER`, or what was declared, shared among a family.
    `noise` is the sd that the test images alone make, which no estimate from few seeds can go below. The range has the
    80 % limits of the spread, for a few seeds tell it badly: from 5 seeds, from 0.7 to 1.9 times.
    """
    sd, df = max(difference.sd or 0.0, noise), difference.df or max(1, difference.n - 1)
    limits = [max(noise, limit) for limit in spread_limits(sd, df)]
    found = [seeds_needed(limit, effect, alpha=alpha, later=True, equal=equal) for limit in limits]
    low, high = (None if needed is None else max(1, needed - difference.n) for needed in found)
    return MoreSeeds(low, high)


def spread_limits(sd: float, df: float) -> Interval:
    """Return the limits of the true spread, which hold with probability `LIKELY`; `df`: degrees of freedom of `sd`."""
    from scipy.special import chdtri

    low, high = (sd * math.sqrt(df / float(chdtri(df, tail))) for tail in ((1 - LIKELY) / 2, (1 + LIKELY) / 2))
    return low, high


def verdict(
    interval: Interval | None,
    margin: float,
    *,
    higher_is_better: bool,
) -> Verdict:
    """Judge an interval against `margin`, the smallest difference that matters (0 or more).

    - none: no interval
    - equivalent: it lies wholly inside [-margin, +margin], the ends included, also where it excludes 0
    - better, worse: it excludes 0 and reaches beyond the margin; beside it is said whether all of it lies beyond
    - inconclusive: anything else
    """
    if not margin >= 0:
        raise ValueError(f"margin must be 0 or more, got {margin}")
    if interval is None:
        return Verdict("none")
    low, high = interval
    if -margin <= low and high <= margin:
        return Verdict("equivalent")
    if low > 0 or high < 0:
        beyond = low > margin or high < -margin
        return Verdict("better" if (low + high > 0) == higher_is_better else "worse", beyond)
    return Verdict("inconclusive")


def _moments(values: Sequence[float]) -> tuple[float, float | None, int]:
    n = len(values)
    if n == 0 or not all(map(math.isfinite, values)):
        raise ValueError(f"one or more finite values are needed, got {list(values)}")
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None, n


def _around(mean: float, error: float, df: float, alpha: float = ALPHA) -> Interval:
    half = t_quantile(df, alpha) * error
    return mean - half, mean + half


def t_quantile(df: float, alpha: float) -> float:
    """Return what |t| exceeds with probability `alpha`."""
    from scipy.special import stdtrit

    return float(stdtrit(df, 1 - alpha / 2))


def _or_none(probability: float) -> float:
    """Return a probability, 0 where it is too small for SciPy to say."""
    return 0.0 if math.isnan(probability) else probability


def _normal_quantile(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def _two_sided(t: float, df: float) -> float:
    from scipy.special import stdtr  # Student's t distribution function

    return 2 * float(stdtr(df, -abs(t)))
