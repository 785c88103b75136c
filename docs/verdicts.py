"""Measure what docs/numbers.md says about verdicts, with the lab's own functions.

python docs/verdicts.py looks                                  false alarms of everybody who looks again
python docs/verdicts.py declared                               what --until-decided costs, and its false alarms
python docs/verdicts.py images digits-baseline digits-dropout  coverage, by resampling many trained networks
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from scipy import stats

from dropout_lab.comparison.inference import (
    LATER,
    anytime_factor,
    crossed,
    deciding,
    more_seeds,
    paired,
    seeds_needed,
    verdict,
)
from dropout_lab.runs import read

MOST = 64  # seeds
SPREADS, MARGINS = (0.08, 0.15, 0.25, 0.5), (0.0, 0.1)  # percentage points


def looks() -> None:
    """Print how often equal methods are told apart on the whole way to 64 seeds: the worst of all spreads."""
    for start in (3, 5, 8):
        one = range(start, MOST + 1)
        doubled = [n for n in (start * 2**i for i in range(6)) if n < MOST] + [MOST]
        by_one, by_t = _worst(start, one), _worst(start, one, always_t=True)
        print(f"first look at {start}: one at a time {by_one:.1f} %, doubled {_worst(start, doubled):.1f} %,", end=" ")
        print(f"as advised {_worst_advised(start):.1f} %; one at a time with t intervals alone {by_t:.1f} %")


def _worst(start: int, numbers: range | list[int], always_t: bool = False) -> float:
    values = np.random.default_rng(7).standard_normal((20_000, MOST))
    return max(100 * _alarms(values * sd, margin, numbers, always_t) for margin in MARGINS for sd in SPREADS)


def _alarms(values: np.ndarray, margin: float, numbers: range | list[int], always_t: bool) -> float:
    alarm, ended = np.zeros(len(values), bool), np.zeros(len(values), bool)
    for n in numbers:
        first = n == numbers[0] or always_t
        factor = stats.t.ppf(0.975, n - 1) if first else anytime_factor(n, LATER)
        mean = np.abs(values[:, :n].mean(1))
        half = factor * values[:, :n].std(1, ddof=1) / math.sqrt(n)
        clear = (mean > half) & (mean + half > margin)
        alarm |= clear & ~ended
        ended |= (clear | (mean + half <= margin)) & ~np.full(len(values), always_t)
    return float(alarm.mean())


def _worst_advised(start: int) -> float:
    return max(100 * _advised(start, margin, sd) for margin in MARGINS for sd in SPREADS)


def _advised(start: int, margin: float, sd: float, trials: int = 20_000) -> float:
    alarms = 0
    for values in np.random.default_rng(9).normal(0, sd, (trials, MOST)).tolist():
        n, way = start, "first"
        while n <= MOST:
            found = paired([0.0] * n, values[:n])
            word = verdict(deciding(found, way), margin, higher_is_better=True).word  # type: ignore[arg-type]
            if word in ("better", "worse", "equivalent"):
                alarms += word != "equivalent"
                break
            n, way = n + (more_seeds(found, margin or abs(found.mean)).low or MOST), "later"
    return alarms / trials


def declared(batch: int = 5) -> None:
    """Print the mean number of seeds until an effect is found in batches, beside a fixed design; and false alarms."""
    for effect in (0.5, 1.0, 2.0):
        stopped = _stopped(effect, batch, MOST)
        mean, fixed = np.minimum(stopped, MOST).mean(), seeds_needed(1.0, effect)
        still = 100 * np.isinf(stopped).mean()
        print(
            f"effect of {effect:g} sd: {mean:.1f} seeds on average in batches of {batch}; {fixed} if fixed beforehand",
            end="",
        )
        print(f"; {still:.0f} % not decided at {MOST}")
    for size in (1, 5, 8):
        alarms = 100 * np.isfinite(_stopped(0.0, size, MOST)).mean()
        print(f"equal methods, batches of {size}: {alarms:.2f} % told apart up to {MOST} seeds")


def _stopped(effect: float, batch: int, most: int) -> np.ndarray:
    values = np.random.default_rng(3).normal(effect, 1, (20_000, most))
    stopped = np.full(len(values), math.inf)
    for n in sorted({most, *range(batch, most, batch)} - {1, 2}, reverse=True):
        part = values[:, :n]
        half = anytime_factor(n, 0.05) * part.std(1, ddof=1) / math.sqrt(n)
        stopped[np.abs(part.mean(1)) > half] = n
    return stopped


def images(baseline: str, candidate: str, trials: int = 1500) -> None:
    """Print the coverage of both intervals for the difference of two pools of networks on a pool of images.

    Networks are drawn without replacement from two finished runs with many seeds, images with replacement.
    """
    right = [_right(Path("runs") / name) for name in (baseline, candidate)]
    truth = right[1].mean() - right[0].mean()
    networks, tested = right[0].shape
    for n in (3, 5, 8, 20):
        random = np.random.default_rng(n)
        both = alone = 0
        for _ in range(trials):
            seeds = random.choice(networks, n, replace=False)
            drawn = random.choice(tested, tested)
            a, b = (side[seeds][:, drawn] for side in right)
            low, high = paired(a.mean(1).tolist(), b.mean(1).tolist(), 1 / tested).interval or (0.0, 0.0)
            alone += low <= truth <= high
            wide = crossed(a, b).around(0.05)
            both += min(low, wide[0]) <= truth <= max(high, wide[1])
        print(f"n = {n}: seeds and images {both / trials:.3f}, seeds alone {alone / trials:.3f}")


def _right(path: Path) -> np.ndarray:
    """Return which images each network gets right, (seeds, images)."""
    found = read.load(path).predictions()
    right: np.ndarray = found["predictions"] == found["labels"]
    return right


if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or ["looks"]
    if command == "images":
        images(*arguments)
    else:
        {"looks": looks, "declared": declared}[command]()
