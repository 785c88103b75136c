"""Gates: conditions on a comparison that make a job fail (exit code 3): `--fail-if "METRIC: CHANGE > LIMIT"`.

    METRIC   a name of METRICS
    CHANGE   drop, rise, or change (either way): of a candidate's mean against the baseline's
    LIMIT    a plain decimal number; in percentage points, with the unit, for a metric in percent: 0.2pp

For example "test_accuracy: drop > 0.2pp" or "test_loss: rise > 0.01". A gate looks at the measured mean difference, not
at its interval: it notices a change, it proves none. Where values are missing it cannot say "all is well", and trips.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from dropout_lab.comparison.compare import Comparison, Contrast, unknown_metric
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.errors import Problem, Refused
from dropout_lab.text import named_seeds

GRAMMAR = re.compile(r"\s*([^\s:]+)\s*:\s*(drop|rise|change)\s*>\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(pp)?\s*")
ROUNDING = 1e-9  # a share of the limit: 0.97 - 0.968 is a drop of 0.2 pp, not of more

Change = Literal["drop", "rise", "change"]


@dataclass(frozen=True)
class Gate:
    """One condition; `limit` is in the unit in which the metric is stored (0.002 for 0.2 pp)."""

    metric: str
    change: Change
    limit: float

    def trips(self, comparison: Comparison) -> str | None:
        """Return why the gate trips, naming every candidate that trips it, or None."""
        return "; ".join(filter(None, map(self._judge, comparison.contrasts))) or None

    def _judge(self, contrast: Contrast) -> str | None:
        metric, row = METRICS[self.metric], contrast.rows.get(self.metric)
        name = contrast.candidate.name
        lost = sorted({*contrast.baseline.diverged, *contrast.candidate.diverged, *contrast.missing(self.metric)})
        if row is None or lost:
            where = named_seeds(lost) if lost else "any seed"
            return f"{metric.title} of {name} cannot be judged: no value for {where}"
        mean = row.difference.mean
        size = {"drop": -mean, "rise": mean, "change": abs(mean)}[self.change]
        if size <= self.limit * (1 + ROUNDING):
            return None
        verb = {"drop": "dropped", "rise": "rose", "change": "changed"}[self.change]
        scale, unit = (100, " pp") if metric.unit == "%" else (1, "")
        by = f"by {scale * size:.4g}{unit} against {contrast.baseline.name}"
        return f"{metric.title} of {name} {verb} {by} (limit {scale * self.limit:.4g}{unit})"


def parse_gate(text: str) -> Gate:
    """Read a gate. Raises `Refused` (key --fail-if) where it does not follow the grammar above."""

    def refused(reason: str) -> Refused:
        return Refused(Problem("command line", "--fail-if", reason, text))

    match = GRAMMAR.fullmatch(text)
    if match is None:
        raise refused('must read "METRIC: drop|rise|change > NUMBER", for example "test_accuracy: drop > 0.2pp"')
    name, change, number, points = match.groups()
    if name not in METRICS:
        raise refused(unknown_metric(name))
    if METRICS[name].unit == "%" and not points:
        raise refused(f"{name} is in percent: give the limit in percentage points, {number}pp")
    if METRICS[name].unit != "%" and points:
        raise refused(f"{name} is not in percent: give the limit as a plain number, {number}")
    return Gate(name, cast(Change, change), float(Decimal(number) / 100 if points else Decimal(number)))
