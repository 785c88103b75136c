"""What a claim is: a sentence of the literature, the runs that it needs, and the judge of what these recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from dropout_lab.claims.criteria import Ruling, Values, together

Rulings = tuple[Ruling, ...]
Curves = Mapping[int, Sequence[float]]  # by seed, a value for every epoch

TEST = 10_000  # test images of MNIST


class Evidence(Protocol):
    """What the arms of a claim recorded. An arm without a run recorded nothing: of it every mapping is empty."""

    def values(self, arm: str, metric: str) -> Values:
        """Return a metric of METRICS by seed."""

    def curves(self, arm: str, column: str) -> Curves:
        """Return a column of metrics.csv by seed, in the order of the epochs."""

    def averaging(self, arm: str) -> Mapping[int, tuple[Sequence[tuple[float, float]], float]]:
        """Return by seed mean and sd of the error of k averaged passes, k = 1, 2, ..., and weight scaling's error."""

    def ablation(self, arm: str) -> Values:
        """Return by seed the mean error over all numbers of important units taken out."""

    def information(self, arm: str) -> tuple[Values, Values]:
        """Return by seed the mean mutual information of the images that are wrong, and of those that are right."""

    def rotation(self, arm: str) -> tuple[Values, Values]:
        """Return by seed the mutual information of a digit upright, and the mean of it turned by 45 to 135 degrees."""

    def activity(self, arm: str) -> tuple[Values, Values]:
        """Return by seed the mean output of the hidden units with dropout off, and the share of outputs that are 0."""


@dataclass(frozen=True)
class Arm:
    """One experiment: a file of configs/, without its suffix, and overrides such as "dropout.rate=0"."""

    config: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A sentence to be judged. published: what its source says in numbers, "" where it has none.

    rulings: what its judge's rulings are. "readings": senses of the sentence, or nets and measures it may be of, each
    with its own verdict; "parts": all must hold; "first": one on the sentence, and what is so instead.
    samples: passes to average, K, where the arms' networks are to be evaluated; 0 where they are not. draw: the picture
    that says more than the numbers, a key of PLOTS or FIGURES, or "two readings"; "" where none does.
    """

    id: str
    source: str
    sentence: str
    judge: Callable[[Evidence], Rulings]
    arms: Mapping[str, Arm] = field(default_factory=dict)
    seeds: int = 5
    published: str = ""
    rulings: Literal["readings", "parts", "first"] = "readings"
    samples: int = 0
    draw: str = ""


def overall(claim: Claim, rulings: Sequence[Ruling]) -> str:
    """Return the one verdict on a claim; "depends on the reading" where one reading holds and another fails."""
    words = [ruling.word for ruling in rulings]
    if claim.rulings == "parts":
        return together(words)
    if claim.rulings == "first" or len({*words}) == 1:
        return words[0]
    return "depends on the reading" if {"HOLDS", "FAILS"} <= {*words} else "UNDECIDED"


def arm(config: str, *changes: str) -> Arm:
    return Arm(config, changes)


def rates(config: str, values: Iterable[float], *changes: str) -> dict[str, Arm]:
    """Return an arm for each rate, by its name, "rate 0.5"."""
    return {f"rate {rate:g}": arm(config, f"dropout.rate={rate:g}", *changes) for rate in values}


def wrong(e: Evidence, name: str) -> dict[int, float]:
    """Return by seed the fraction of the test images that an arm gets wrong at the last epoch."""
    return {seed: 1 - accuracy for seed, accuracy in e.values(name, "test_accuracy").items()}


def first_epoch(curve: Sequence[float], level: float, falling: bool = False) -> float:
    """Return the first epoch (from 1) at `level` or above (`falling`: or below); where none is, one past the end."""
    reached = (value <= level if falling else value >= level for value in curve)
    return next((epoch for epoch, there in enumerate(reached, start=1) if there), len(curve) + 1)


def subtract(one: Values, other: Values) -> dict[int, float]:
    """Return the difference of the seeds that both have."""
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}
