"""When a claim holds: numbers of paired seeds in, a ruling out. Pure functions, with no knowledge of any claim.

A claim HOLDS where the 95 % interval says so, FAILS where it says the opposite, and is UNDECIDED where it says neither
or there are too few seeds for an interval. Values are by seed; what is compared is paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from dropout_lab.comparison.inference import FEWEST, Difference, interval, paired
from dropout_lab.text import count

Word = Literal["HOLDS", "FAILS", "UNDECIDED"]
Values = Mapping[int, float]  # by seed
COVERED = 0.93  # of an interval of the median: as near 0.95 as five seeds come
Show = Callable[[float], str]


@dataclass(frozen=True)
class Ruling:
    """A verdict with the numbers it rests on and the reason; `reading` names one of several senses of a claim.

    lacking: there were too few seeds to measure anything.
    """

    word: Word
    measured: str
    reason: str
    reading: str = ""
    lacking: bool = False

    def told(self, measured: str, reason: str = "", reading: str = "") -> Ruling:
        """Return the ruling in other words; one that lacks seeds goes on saying so."""
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
    """Return the verdict on "more than `bound`" from an interval: FAILS where `bound + margin` is out of its reach."""
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
    """Rule on "the mean lies between `least` and `most`"; None: no bound on that side."""
    if len(values) < FEWEST:
        return too_few(len(values), reading)
    estimate = interval(list(values.values()))
    low, high = estimate.interval or (estimate.mean, estimate.mean)
    measured = f"{show(estimate.mean)} ({spread(estimate.interval, estimate.n, show)})"
    words = {decide(low, high, least)} if least is not None else set()
    words |= {decide(-high, -low, -most)} if most is not None else set()
    reason = " and ".join(
        f"{side} {show(bound)}" for side, bound in (("above", least), ("below", most)) if bound is not None
    )
    return Ruling(together(words), measured, f"the mean must be {reason}", reading)


def together(words: Collection[Word]) -> Word:
    """Return the verdict on "all of this", of the verdicts on each."""
    return "FAILS" if "FAILS" in words else "UNDECIDED" if "UNDECIDED" in words else "HOLDS"


def higher(
    candidate: Values, baseline: Values, margin: float = 0.0, show: Show = plain, what: str = "", reading: str = ""
) -> Ruling:
    """Rule on "the candidate's mean is higher": by more than chance, and by `margin`, which is what would count."""
    return _apart("above", candidate, baseline, margin, show, what, reading)


def lower(
    candidate: Values, baseline: Values, margin: float = 0.0, show: Show = plain, what: str = "", reading: str = ""
) -> Ruling:
    """Rule on "the candidate's mean is lower", as `higher` does."""
    return _apart("below", candidate, baseline, margin, show, what, reading)


def _apart(
    side: str, candidate: Values, baseline: Values, margin: float, show: Show, what: str, reading: str
) -> Ruling:
    """Rule on "the difference lies on this side of 0"."""
    difference, text = compared(candidate, baseline, show, what)
    if difference is None:
        return too_few(pairs(candidate, baseline), reading)
    low, high = ends(difference)
    word = decide(low, high, 0.0, margin) if side == "above" else decide(-high, -low, 0.0, margin)
    least = f" and by {show(margin).lstrip('+')} on average" if margin else ""
    return Ruling(word, text, f"the difference must be {side} 0{least}", reading)


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
    """Rule on "it makes no more errors": the mean at most one standard error above, the interval not past `margin`."""
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
) -> Ruling:
    """Rule on "the best arm is among `chosen`"; with `margin`, on "the best of them is as good as the best".

    The best of `chosen` is paired with the best of the others; an arm with fewer values than a verdict takes has
    diverged and is none of them. What is as good, `as_good` says.
    """
    return _best(1, arms, chosen, show, margin, reading)


def lowest(
    arms: Mapping[str, Values],
    chosen: Sequence[str],
    show: Show = plain,
    margin: float | None = None,
    reading: str = "",
) -> Ruling:
    """Rule on "the arm with the lowest mean is among `chosen`", as `highest` does."""
    return _best(-1, arms, chosen, show, margin, reading)


def _best(
    sign: int, arms: Mapping[str, Values], chosen: Sequence[str], show: Show, margin: float | None, reading: str
) -> Ruling:
    means = {name: interval(list(own.values())).mean for name, own in arms.items() if len(own) >= FEWEST}
    others = [name for name in means if name not in chosen]
    ours = [name for name in means if name in chosen]
    if not others:
        return too_few(0, reading)
    table = ", ".join(f"{name} {show(means[name]) if name in means else 'diverged'}" for name in arms)
    whose = chosen[0] if len(chosen) == 1 else f"the best of {', '.join(chosen)}"
    where = "above" if sign > 0 else "below"
    if not ours:
        return Ruling("FAILS", table, f"{whose} must be {where} all others, and diverged", reading)
    best, rival = (max(names, key=lambda name: sign * means[name]) for names in (ours, others))
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


def median_between(values: Values, least: float, most: float, reading: str = "") -> Ruling:
    """Rule on "the median lies from `least` to `most`"; values may be infinite, which is more than was looked at.

    The interval is that of two order statistics, of the fewest values with at least COVERED (binomial): at five seeds
    all of them, and with fewer there is none.
    """
    ordered = sorted(values.values())
    rank = max((r for r in range(len(ordered) // 2 + 1) if coverage(len(ordered), r) >= COVERED), default=-1)
    text = ", ".join("more" if math.isinf(value) else f"{value:g}" for value in ordered)
    if rank < 0:
        return Ruling(
            "UNDECIDED", f"{count(len(ordered), 'seed')}: {text}", "5 seeds are needed, at least", reading, lacking=True
        )
    low, high = ordered[rank], ordered[-1 - rank]
    inside, outside = least <= low and high <= most, high < least or low > most
    word: Word = "HOLDS" if inside else "FAILS" if outside else "UNDECIDED"
    bounds = f"from {least:g} to {most:g}" if least > -math.inf else f"{most:g} at most"
    reason = f"the median must be {bounds}, with {100 * coverage(len(ordered), rank):.0f} % confidence"
    return Ruling(word, f"median {median(ordered):g} ({text})".replace("inf", "more"), reason, reading)


def coverage(n: int, rank: int) -> float:
    """Return the chance that the median lies between the values at `rank` (from 0) from either end of n sorted ones."""
    return 1 - 2 * sum(math.comb(n, k) for k in range(rank + 1)) / float(2**n)


def as_good(difference: Difference, sign: int, margin: float) -> Word:
    """Return the verdict on "no worse", `sign` saying which way is better (1: up, -1: down).

    The mean may be one standard error on the worse side, and the interval may reach there no further than `margin`.
    """
    low, high = sorted(sign * end for end in ends(difference))
    standard_error = (difference.sd or 0.0) / difference.n**0.5
    close = sign * difference.mean >= -standard_error and low > -margin
    return "HOLDS" if close else "FAILS" if high < 0 else "UNDECIDED"


def slope(places: Sequence[float], values: Sequence[Values]) -> dict[int, float]:
    """Return each seed's least-squares slope of its values over `places`; of the seeds that have them all."""
    seeds = set.intersection(*(set(own) for own in values)) if values else set()
    middle = sum(places) / len(places)
    square = sum((place - middle) ** 2 for place in places)
    return {
        seed: sum((place - middle) * own[seed] for place, own in zip(places, values, strict=True)) / square
        for seed in sorted(seeds)
    }


def exact(holds: bool, measured: str, reason: str, reading: str = "") -> Ruling:
    """Return the ruling on what is computed without chance."""
    return Ruling("HOLDS" if holds else "FAILS", measured, reason, reading)


def too_few(seeds: int, reading: str = "") -> Ruling:
    """Return the ruling where there are not enough seeds, or pairs of them, for any other."""
    return Ruling("UNDECIDED", count(seeds, "seed"), f"{FEWEST} seeds are needed, at least", reading, lacking=True)


def pairs(candidate: Values, baseline: Values) -> int:
    """Return how many seeds both have."""
    return len(candidate.keys() & baseline.keys())


def compared(candidate: Values, baseline: Values, show: Show, what: str = "") -> tuple[Difference | None, str]:
    """Return the paired difference over the seeds of both, None for too few of them, and it in words."""
    seeds = sorted(candidate.keys() & baseline.keys())
    if len(seeds) < FEWEST:
        return None, ""
    before, after = [baseline[seed] for seed in seeds], [candidate[seed] for seed in seeds]
    difference = paired(before, after)
    level, shift = (percent, points) if show in (percent, points) else (show, show)
    means = f"{level(interval(after).mean)} against {level(interval(before).mean)}"
    text = f"{means}, difference {shift(difference.mean)} ({spread(difference.interval, len(seeds), shift)})"
    return difference, f"{what}: {text}" if what else text


def spread(found: tuple[float, float] | None, seeds: int, show: Show) -> str:
    """Return an interval in words, or that there is none, as all seeds have the same."""
    if found is None:
        return f"the same for all {seeds} seeds"
    low, high = found
    return f"95 % interval {show(low)} to {show(high)}, {seeds} seeds"


def ends(difference: Difference) -> tuple[float, float]:
    """Return the interval of a difference; where it has none, as all pairs differ alike, the mean twice.

    Such are counts of epochs, and arms that are the same network: of them the pairs say all there is to say.
    """
    return difference.interval or (difference.mean, difference.mean)
