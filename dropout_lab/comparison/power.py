"""Power: how many seeds find a difference of a size, from the spread of the runs that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dropout_lab.comparison.compare import Contrast
from dropout_lab.comparison.inference import ALPHA, FEWEST, detection_power, seeds_needed, spread_limits, t_quantile

EFFECTS = (0.5, 1.0, 2.0, 4.0, 8.0)  # in margins, where no effect is named
SEEDS = (3, 5, 8, 10, 15, 20, 30, 50, 64, 100)


@dataclass(frozen=True)
class Needed:
    """The seeds for one effect: as the spread was seen, with its 80 % limits, and if both are shown to be as good.

    All are pairs in all, fixed beforehand, for 80 % power; None: more than can be counted.
    """

    effect: float
    seeds: int | None
    low: int | None
    high: int | None
    equal: int | None


@dataclass(frozen=True)
class Power:
    """What the seeds at hand say of seeds to come. sd: of the paired difference, no less than the images' own noise.

    margin: the smallest difference that matters; mean: the difference that was seen.
    """

    metric: str
    seeds: int
    sd: float
    limits: tuple[float, float]
    noise: float
    margin: float
    mean: float
    needed: tuple[Needed, ...]

    def curve(self, effect: float, seeds: Sequence[int] = SEEDS) -> list[float]:
        """Return the power to find `effect` with each number of seeds, fixed beforehand."""
        return [detection_power(n, effect / self.sd, t_quantile(n - 1, ALPHA)) for n in seeds]


def power(contrast: Contrast, effects: Sequence[float] = ()) -> Power:
    """Return the seeds that each of `effects`, in the metric's stored unit, would take.

    The contrast must have three pairs or more that are not all equal; raises ValueError otherwise.
    """
    row = contrast.row
    if row is None or not row.difference.sd or row.difference.df is None or row.difference.n < FEWEST:
        raise ValueError("three pairs that differ are needed to know their spread")
    noise = contrast.noise
    sd = max(row.difference.sd, noise)
    low, high = spread_limits(sd, row.difference.df)
    margin = contrast.min_effect or abs(row.difference.mean)
    wanted = effects or sorted({*(share * margin for share in EFFECTS), abs(row.difference.mean)} - {0.0})

    def needed(effect: float) -> Needed:
        seeds, fewest, most = (seeds_needed(spread, effect) for spread in (sd, max(noise, low), high))
        return Needed(effect, seeds, fewest, most, equal=seeds_needed(sd, effect, equal=True))

    return Power(
        contrast.metric,
        row.difference.n,
        sd,
        (max(noise, low), high),
        noise,
        contrast.min_effect,
        row.difference.mean,
        tuple(map(needed, wanted)),
    )
