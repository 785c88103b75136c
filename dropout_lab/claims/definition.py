"""What a claim is: a sentence of the literature, the runs that it needs, and a judge of what these recorded."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from dropout_lab.claims.criteria import Ruling, together
from dropout_lab.claims.evidence import Evidence

with Path(__file__).with_name("sentences.csv").open(encoding="utf-8", newline="") as table:
    SENTENCES: dict[str, dict[str, Any]] = {line.pop("id"): line for line in csv.DictReader(table)}

Rulings = tuple[Ruling, ...]
Arms = Mapping[str, str]  # by name, what `dropout-lab train` would be given: "claims/wide dropout.rate=0.2"


@dataclass(frozen=True)
class Arm:
    """What a claim trains: a file of configs/, without its suffix, and overrides such as "dropout.rate=0"."""

    config: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A sentence to be judged, with its source and its experiment.

    judge: returns the rulings on the sentence, from what the arms recorded.
    arms: the runs to compare, by name. seeds: how many of each.
    published: the numbers of the source; "" if it has none.
    rulings: how the rulings make the verdict. "readings": each decides one sense of the sentence, or the sentence for
    one network or measure. "parts": all must hold. "first": the first decides, the others say what is true instead.
    samples: how many passes to average when the arms' networks are evaluated; 0: they are not evaluated.
    draw: a picture that shows more than the numbers: a key of PLOTS or FIGURES, or "two readings"; "" for none.
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
    """Return the one verdict on a claim: "depends on the reading" if one reading holds and another fails."""
    words = [ruling.word for ruling in rulings]
    if claim.rulings == "parts":
        return together(words)
    if claim.rulings == "first" or len({*words}) == 1:
        return words[0]
    return "depends on the reading" if {"HOLDS", "FAILS"} <= {*words} else "UNDECIDED"


def claim(id: str, judge: Callable[[Evidence], Rulings], arms: Arms = MappingProxyType({}), **how: Any) -> Claim:
    """Return the claim that sentences.csv has under `id`. how: the other fields of `Claim`."""
    trained = {name: Arm(line.split()[0], tuple(line.split()[1:])) for name, line in arms.items()}
    return Claim(id, judge=judge, arms=trained, **SENTENCES[id], **how)


def rates(config: str, values: Iterable[float], changes: str = "") -> dict[str, str]:
    """Return an arm for each rate, with names such as "rate 0.5"."""
    return {f"rate {rate:g}": f"{config} dropout.rate={rate:g} {changes}" for rate in values}
