"""Where the spread comes from: variance components of a full crossing of random streams, one network in each cell.

The value of a network is a mean and one random effect for each set of streams (init, order, init x order, ...), the set
of all of them being the rest. The mean square of a set estimates a known sum of components, and from the mean squares
the components follow (the balanced random-effects analysis of variance: Searle, Casella & McCulloch 1992, chapter 4).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 20_000  # of the mean squares, for the intervals
Streams = tuple[str, ...]


@dataclass(frozen=True)
class Component:
    """What a set of streams contributes: its sd with a 95 % interval, in the unit of the values, and its share.

    share: of the sum of all components, 0 to 1. An estimate below 0 counts as 0.
    """

    streams: Streams
    sd: float
    interval: tuple[float, float]
    share: float


@dataclass(frozen=True)
class Components:
    """Every component of a crossing of `levels` seeds for each stream, and the sd of one network in all.

    total: its square has no bias. It is the sum of all estimates, also of those below 0, so it can be less than the sum
    of what `parts` show.
    """

    levels: int
    mean: float
    total: float
    parts: tuple[Component, ...]

    def alone(self, stream: str) -> Component:
        """Return what a stream contributes by itself."""
        return next(part for part in self.parts if part.streams == (stream,))

    def shared(self, streams: Sequence[str]) -> float:
        """Return the share of the variance that two networks have in common that share these streams alone.

        It is the correlation of the pair, of two networks of one kind. Pairing takes it off the variance of their
        difference: with the correlation r, n pairs are worth n / (1 - r) seeds that are not paired.
        """
        return math.fsum(part.share for part in self.parts if {*part.streams} <= {*streams})


def components(values: NDArray[Any], streams: Sequence[str]) -> Components:
    """Return the components of `values`, one axis of the same length, 2 or more, for each stream.

    The intervals are generalized confidence intervals (Weerahandi 1993): what the components are if each mean square is
    divided by a chi-square variable of its own, simulated.
    """
    import numpy as np

    from dropout_lab.streams import stream

    sets = [
        chosen for size in range(1, len(streams) + 1) for chosen in itertools.combinations(range(len(streams)), size)
    ]
    levels = values.shape[0]
    if values.shape != (levels,) * len(streams) or levels < 2:
        raise ValueError(f"one axis of 2 or more equal levels is needed for each of {streams}, got {values.shape}")
    squares = {chosen: mean_square(values, chosen) for chosen in sets}
    freedom = {chosen: (levels - 1) ** len(chosen) for chosen in sets}
    generator = stream(0, "evaluation", levels, len(streams))
    drawn = {chosen: squares[chosen] * freedom[chosen] / generator.chisquare(freedom[chosen], DRAWS) for chosen in sets}
    estimates = {chosen: float(component(squares, chosen, levels, len(streams))) for chosen in sets}
    found = {chosen: max(0.0, estimate) for chosen, estimate in estimates.items()}
    whole = math.fsum(found.values())
    parts = []
    for chosen in sets:
        ends = np.percentile(component(drawn, chosen, levels, len(streams)), [2.5, 97.5]).clip(min=0)
        low, high = map(float, np.sqrt(ends))
        names = tuple(streams[axis] for axis in chosen)
        parts.append(Component(names, math.sqrt(found[chosen]), (low, high), found[chosen] / whole if whole else 0.0))
    total = max(0.0, math.fsum(estimates.values()))  # a sum of mean squares with weights of 0 or more, but for rounding
    return Components(levels, float(values.mean()), math.sqrt(total), tuple(parts))


def mean_square(values: NDArray[Any], chosen: tuple[int, ...]) -> float:
    """Return the mean square of a set of axes: of what is left of their cell means without all smaller sets."""
    effect = values
    for axis in range(values.ndim):
        mean = effect.mean(axis, keepdims=True)
        effect = effect - mean if axis in chosen else mean
    repeats = math.prod(size for axis, size in enumerate(values.shape) if axis not in chosen)
    freedom = math.prod(values.shape[axis] - 1 for axis in chosen)
    return float(repeats * (effect**2).sum() / freedom)


def component(squares: dict[tuple[int, ...], Any], chosen: tuple[int, ...], levels: int, count: int) -> Any:
    """Return the variance component of a set of axes, from the mean squares of all sets.

    The mean square of a set expects the sum, over all sets that contain it, of their components, each times its
    repeats, so the component is the alternating sum of the mean squares of these sets, over the repeats of its own.
    """
    larger = [other for other in squares if {*chosen} <= {*other}]
    total = sum((-1) ** (len(other) - len(chosen)) * squares[other] for other in larger)
    return total / levels ** (count - len(chosen))
