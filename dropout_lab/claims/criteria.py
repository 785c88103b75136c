"""When a claim holds: pure functions from the values of seeds to a ruling. They know no claim.

A claim HOLDS if the 95 % interval says so, and FAILS if the interval says the opposite. It is UNDECIDED if the interval
says neither, or if there are too few seeds for an interval. Values are by seed, and comparisons are paired by seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Literal

from dropout_lab.comparison.inference import FEWEST, Difference, interval, paired
from dropout_lab.text import count

Word = Literal["HOLDS", "FAILS", "UNDECIDED"]
Values = Mapping[int, float]  # by seed
COVERED = 0.93  # confidence of an interval of the median: five seeds come no nearer to 0.95
Show = Callable[[float], str]


@dataclass(frozen=True)
class Ruling:
    """A verdict, the numbers that it rests on, and the reason.

    reading: which of several senses of a claim is meant. lacking: there were too few seeds to measure anything.
    """

    word: Word
    measured: str
    reason: str
    reading: str = ""
    lacking: bool = False

    def told(self, measured: str, reason: str = "", reading: str = "") -> Ruling:
        """Return the ruling with other texts. A ruling that lacks seeds keeps its texts, except for the reading."""
        if self.lacking:
            return replace(self, reading=reading or self.reading)
        return Ruling(self.word, measured, reason or self.reason, reading or self.reading)


def percent(value: float) -> str:
    """Return a fraction as "97.25 %"."""
    return f"{100 * value:.2f} %"


def points(value: float) -> str:
    """Return a difference of fractions as "+0.12 pp"."""
    return f"{100 * value:+.2f} pp"


def plain(value: float) -> str:
    """Return a number with four significant digits."""
    return f"{value:.4g}"


def decide(low: float, high: float, bound: float, margin: float = 0.0) -> Word:
    """Return the verdict on "more than `bound`", from the interval of a mean.

    HOLDS if the interval lies above `bound` and its middle above `bound + margin`; FAILS if it ends below the latter.
    """
    if low > bound and (low + high) / 2 > bound + margin:
        return "HOLDS"
    return "FAILS" if high < bound + margin else "UNDECIDED"


def above(values: Values, bound: float, show: Show = plain, reading: str = "") -> Ruling:
    """Rule on "the mean is above `bound`"."""
    return between(values, bound, None, show, reading)


def below(values: Values, bound: float, show: Show = plain, reading: str = "") -> Ruling:
    """Rule on "the mean is below `bound`"."""
    return between(values, None, bound, show, reading)


def between(values: Values, least: float | None, most: float | None, show: Show = plain, reading: str = "") -> Ruling:
    """Rule on "the mean lies between `least` and `most`"; None means no bound on that side."""
    if len(values) < FEWEST:
        return too_few(len(values), reading)
    estimate = interval(list(values.values()))
    low, high = estimate.interval or (estimate.mean, estimate.mean)
    measured = f"{show(estimate.mean)} ({spread(estimate.interval, estimate.n, show)})"
    words = {decide(low, high, least)} if least is not None else set()
    words |= {decide(-high, -low, -most)} if most is not None else set()
    bounds = ("above", least), ("below", most)
    reason = " and ".join(f"{side} {show(bound)}" for side, bound in bounds if bound is not None)
    return Ruling(together(words), measured, f"the mean must be {reason}", reading)


def together(words: Collection[Word]) -> Word:
    """Return the verdict on "all of these hold", from the verdict on each."""
    return "FAILS" if "FAILS" in words else "UNDECIDED" if "UNDECIDED" in words else "HOLDS"


def higher(
    candidate: Values,
    baseline: Values,
    margin: float = 0.0,
    show: Show = plain,
    what: str = "",
    reading: str = "",
    sign: int = 1,
) -> Ruling:
    """Rule on "the candidate's mean is higher": by more than chance, and by `margin`, the least that counts.

    sign: -1 for "is lower".
    """
    difference, text = compared(candidate, baseline, show, what)
    if difference is None:
        return too_few(pairs(candidate, baseline), reading)
    low, high = sorted(sign * end for end in ends(difference))
    least = f" and by {show(margin).lstrip('+')} on average" if margin else ""
    reason = f"the difference must be {'above' if sign > 0 else 'below'} 0{least}"
    return Ruling(decide(low, high, 0.0, margin), text, reason, reading)


lower = partial(higher, sign=-1)


def alike(candidate: Values, baseline: Values, margin: float, show: Show = plain, reading: str = "") -> Ruling:
    """Rule on "the two means differ by less than `margin`": the interval must lie within it."""
    difference, text = compared(candidate, baseline, show)
    if difference is None:
        return too_few(pairs(candidate, baseline), reading)
    low, high = ends(difference)
    inside, outside = -margin < low and high < margin, low > margin or high < -margin
    word: Word = "HOLDS" if inside else "FAILS" if outside else "UNDECIDED"
    return Ruling(word, text, f"the interval must lie within {show(margin).lstrip('+')} of 0", reading)


def no_worse(
    errors: Values, baseline: Values, margin: float, show: Show = plain, what: str = "", reading: str = ""
) -> Ruling:
    """Rule on "it makes no more errors". What is no worse, `as_good` says."""
    difference, text = compared(errors, baseline, show, what)
    if difference is None:
        return too_few(pairs(errors, baseline), reading)
    bound = show(margin).lstrip("+")
    reason = f"the mean must be at most one standard error above, the interval must end below {bound}"
    return Ruling(as_good(difference, -1, margin), text, reason, reading)


def highest(
    arms: Mapping[str, Values],
    chosen: Sequence[str],
    show: Show = plain,
    margin: float | None = None,
    reading: str = "",
    sign: int = 1,
) -> Ruling:
    """Rule on "the best arm is among `chosen`"; with `margin`, on "one of `chosen` is as good as the best arm".

    The best of `chosen` is paired with the best of the others. An arm with fewer than FEWEST values has diverged and
    takes no part. What is as good, `as_good` says. sign: 1 if the highest mean is the best, -1 if the lowest is.
    """
    means = {name: interval(list(own.values())).mean for name, own in arms.items() if len(own) >= FEWEST}
    others = [name for name in means if name not in chosen]
    candidates = [name for name in means if name in chosen]
    if not others:
        return too_few(0, reading)
    table = ", ".join(f"{name} {show(means[name]) if name in means else 'diverged'}" for name in arms)
    whose = chosen[0] if len(chosen) == 1 else f"the best of {', '.join(chosen)}"
    where = "above" if sign > 0 else "below"
    if not candidates:
        return Ruling("FAILS", table, f"{whose} must be {where} all others, and diverged", reading)
    best, rival = (max(names, key=lambda name: sign * means[name]) for names in (candidates, others))
    difference, text = compared(arms[best], arms[rival], show, f"{best} against {rival}")
    if difference is None:
        return too_few(pairs(arms[best], arms[rival]), reading)
    if margin is not None:
        word = as_good(difference, sign, margin)
        bound = show(margin).lstrip("+")
        reason = f"{best} must be within one standard error of the best, and the interval within {bound}"
    else:
        low, high = sorted(sign * end for end in ends(difference))
        word = decide(low, high, 0.0)
        reason = f"{whose} must be {where} all others"
    return Ruling(word, f"{table}; {text}", reason, reading)


lowest = partial(highest, sign=-1)


def median_between(values: Values, least: float, most: float, reading: str = "") -> Ruling:
    """Rule on "the median lies from `least` to `most`". A value may be infinite: more than was looked at.

    The interval is the narrowest between two order statistics that are equally far from either end and have a
    confidence of at least COVERED (binomial). At five seeds it holds all values; with fewer there is none.
    """
    ordered = sorted(values.values())
    rank = max((r for r in range(len(ordered) // 2 + 1) if coverage(len(ordered), r) >= COVERED), default=-1)
    text = ", ".join("more" if math.isinf(value) else f"{value:g}" for value in ordered)
    if rank < 0:
        measured = f"{count(len(ordered), 'seed')}: {text}"
        return Ruling("UNDECIDED", measured, "5 seeds are needed, at least", reading, lacking=True)
    low, high = ordered[rank], ordered[-1 - rank]
    inside, outside = least <= low and high <= most, high < least or low > most
    word: Word = "HOLDS" if inside else "FAILS" if outside else "UNDECIDED"
    bounds = f"from {least:g} to {most:g}" if least > -math.inf else f"{most:g} at most"
    reason = f"the median must be {bounds}, with {100 * coverage(len(ordered), rank):.0f} % confidence"
    return Ruling(word, f"median {median(ordered):g} ({text})".replace("inf", "more"), reason, reading)


def coverage(n: int, rank: int) -> float:
    """Return the chance that the median lies between the values at `rank` (from 0) from both ends of n sorted ones."""
    return 1 - 2 * sum(math.comb(n, k) for k in range(rank + 1)) / float(2**n)


def as_good(difference: Difference, sign: int, margin: float) -> Word:
    """Return the verdict on "no worse". sign: 1 if more is better, -1 if less is.

    HOLDS if the mean is at most one standard error on the worse side of 0, and the interval ends there within `margin`.
    """
    low, high = sorted(sign * end for end in ends(difference))
    standard_error = (difference.sd or 0.0) / difference.n**0.5
    close = sign * difference.mean >= -standard_error and low > -margin
    return "HOLDS" if close else "FAILS" if high < 0 else "UNDECIDED"


def slope(places: Sequence[float], values: Sequence[Values]) -> dict[int, float]:
    """Return, for each seed with a value at every place, the least-squares slope of its values over `places`."""
    seeds = set.intersection(*(set(own) for own in values)) if values else set()
    middle = sum(places) / len(places)
    square = sum((place - middle) ** 2 for place in places)
    return {
        seed: sum((place - middle) * own[seed] for place, own in zip(places, values, strict=True)) / square
        for seed in sorted(seeds)
    }


def exact(holds: bool, measured: str, reason: str, reading: str = "") -> Ruling:
    """Return the ruling on something that is computed, without chance."""
    return Ruling("HOLDS" if holds else "FAILS", measured, reason, reading)


def too_few(seeds: int, reading: str = "") -> Ruling:
    """Return the ruling on too few seeds, or too few pairs of them, for any other ruling."""
    return Ruling("UNDECIDED", count(seeds, "seed"), f"{FEWEST} seeds are needed, at least", reading, lacking=True)


def pairs(candidate: Values, baseline: Values) -> int:
    """Return how many seeds the two have in common."""
    return len(candidate.keys() & baseline.keys())


def compared(candidate: Values, baseline: Values, show: Show, what: str = "") -> tuple[Difference | None, str]:
    """Return the paired difference over the seeds in common, and its description; None and "" for too few seeds."""
    seeds = sorted(candidate.keys() & baseline.keys())
    if len(seeds) < FEWEST:
        return None, ""
    before, after = [baseline[seed] for seed in seeds], [candidate[seed] for seed in seeds]
    difference = paired(before, after)
    level, shift = (percent, points) if show in (percent, points) else (show, show)
    means = f"{level(interval(after).mean)} against {level(interval(before).mean)}"
    text = f"{means}, difference {shift(difference.mean)} ({spread(difference.interval, len(seeds), shift)})"
    return difference, f"{what}: {text}" if what else text


def spread(interval: tuple[float, float] | None, seeds: int, show: Show) -> str:
    """Return an interval in words. Without an interval, say that all seeds have the same value."""
    if interval is None:
        return f"the same for all {seeds} seeds"
    low, high = interval
    return f"95 % interval {show(low)} to {show(high)}, {seeds} seeds"


def ends(difference: Difference) -> tuple[float, float]:
    """Return the interval of a difference; if it has none, because all pairs differ equally, the mean twice.

    All pairs can differ equally in a count of epochs, or if both arms are the same network. No more seeds would change
    what such pairs say.
    """
    return difference.interval or (difference.mean, difference.mean)
