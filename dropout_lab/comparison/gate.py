"""Gates: conditions on a comparison that make a job fail (exit code 3), `--fail-if EXPR`. There are three kinds:

    METRIC: CHANGE > LIMIT    the measured mean has changed by more; CHANGE is drop, rise or change (either way)
    [METRIC:] WORD            the verdict is worse, better, equivalent or inconclusive; METRIC is --metric, unless given
    METRIC: SIDE LIMIT        the candidate's mean is below or above a value

METRIC is a name of METRICS. LIMIT is a plain decimal number, with its unit for a metric in percent: 0.2pp of a change,
97 % of a value. Examples are "test_accuracy: drop > 0.2pp", "worse", "val_loss: worse" and "test_accuracy: below 97 %".
Only a verdict looks at intervals; the others look at means, notice a change and prove none. Where values are missing, a
gate cannot say "all is well", and trips.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast, get_args

from dropout_lab.comparison.compare import Comparison, Contrast, unknown_metric
from dropout_lab.comparison.inference import FEWEST
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.verdict import judgement, spanned
from dropout_lab.errors import Problem, Refused, each
from dropout_lab.text import named_seeds

NUMBER = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
CHANGED = re.compile(rf"\s*([^\s:]+)\s*:\s*(drop|rise|change)\s*>\s*{NUMBER}\s*(pp)?\s*")
JUDGED = re.compile(r"\s*(?:([^\s:]+)\s*:)?\s*(worse|better|equivalent|inconclusive)\s*")
BESIDE = re.compile(rf"\s*([^\s:]+)\s*:\s*(below|above)\s*{NUMBER}\s*(%)?\s*")
FORMS = '"METRIC: drop|rise|change > NUMBER", "METRIC: worse" (or another verdict) or "METRIC: below|above NUMBER"'
ROUNDING = 1e-9  # a share of the limit: 0.97 - 0.968 is a drop of 0.2 pp, not of more

Change = Literal["drop", "rise", "change"]
Side = Literal["below", "above"]
Word = Literal["worse", "better", "equivalent", "inconclusive"]


@dataclass(frozen=True)
class Gate:
    """One condition. `limit` is in the unit in which the metric is stored (0.002 for 0.2 pp); 0 for a word."""

    metric: str
    condition: Change | Side | Word
    limit: float = 0.0

    def trips(self, comparison: Comparison) -> str | None:
        """Return why the gate trips, naming every candidate that trips it, or None."""
        return "; ".join(filter(None, map(self._judge, comparison.contrasts))) or None

    @property
    def judges(self) -> bool:
        """Whether the gate asks for a verdict, which is a look."""
        return self.condition in get_args(Word)

    def _judge(self, contrast: Contrast) -> str | None:
        row = contrast.rows.get(self.metric)
        lost = sorted({*contrast.baseline.diverged, *contrast.candidate.diverged, *contrast.missing(self.metric)})
        if row is None or lost:
            where = named_seeds(lost) if lost else "any seed"
            return f"{self._title(contrast)} cannot be judged: no value for {where}"
        if self.judges:
            return self._word(contrast)
        if self.condition in get_args(Side):
            return self._level(contrast, row.candidate.mean)
        return self._change(contrast, row.difference.mean)

    def _title(self, contrast: Contrast) -> str:
        return f"{METRICS[self.metric].title} of {contrast.candidate.name}"

    def _word(self, contrast: Contrast) -> str | None:
        contrast = contrast.on(self.metric)
        if contrast.rows[self.metric].difference.n < FEWEST:
            return f"{self._title(contrast)} cannot be judged: {judgement(contrast)}"
        return judgement(contrast) if contrast.verdict.word in (self.condition, "none") else None

    def _level(self, contrast: Contrast, mean: float) -> str | None:
        beyond = self.limit - mean if self.condition == "below" else mean - self.limit
        if beyond <= self.limit * ROUNDING:
            return None
        return f"{self._title(contrast)} is {self._shown(mean, '%')}, {self.condition} {self._shown(self.limit, '%')}"

    def _change(self, contrast: Contrast, mean: float) -> str | None:
        size = {"drop": -mean, "rise": mean, "change": abs(mean)}[self.condition]
        if size <= self.limit * (1 + ROUNDING):
            return None
        verb = {"drop": "dropped", "rise": "rose", "change": "changed"}[self.condition]
        by = f"by {self._shown(size, 'pp')} against {contrast.baseline.name}"
        found = f"{self._title(contrast)} {verb} {by} (limit {self._shown(self.limit, 'pp')})"
        difference = contrast.rows[self.metric].difference
        if difference.n == 1:
            return f"{found}; one seed has no interval: chance alone may do this"
        if difference.interval and difference.interval[0] <= 0 <= difference.interval[1]:
            span = spanned(self.metric, difference.interval)
            return f"{found}; its 95 % interval, {span}, includes 0: chance alone may do this"
        return found

    def _shown(self, value: float, unit: str) -> str:
        return f"{100 * value:.4g} {unit}" if METRICS[self.metric].unit == "%" else f"{value:.4g}"


def parse_gates(texts: Sequence[str], metric: str) -> tuple[Gate, ...]:
    """Read gates, all of which count; `metric` is judged by a word alone. Raises `Refused` with every problem."""
    return tuple(each(texts, lambda text: parse_gate(text, metric)))


def parse_gate(text: str, metric: str = "test_accuracy") -> Gate:
    """Read a gate. Raises `Refused` (key --fail-if) where it does not follow the grammar above."""

    def refused(reason: str) -> Refused:
        return Refused(Problem("command line", "--fail-if", reason, text))

    if match := JUDGED.fullmatch(text):
        name, word = match[1] or metric, match[2]
        if name not in METRICS:
            raise refused(unknown_metric(name))
        return Gate(name, cast(Word, word))
    match = CHANGED.fullmatch(text) or BESIDE.fullmatch(text)
    if match is None:
        raise refused(f'must read {FORMS}, for example "test_accuracy: drop > 0.2pp"')
    name, condition, number, unit = match.groups()
    if name not in METRICS:
        raise refused(unknown_metric(name))
    changed, percent = condition in get_args(Change), METRICS[name].unit == "%"
    if percent and not unit:
        points, shown = ("percentage points", f"{number}pp") if changed else ("percent", f"{number} %")
        raise refused(f"{name} is in percent: give the limit in {points}, {shown}")
    if not percent and unit:
        raise refused(f"{name} is not in percent: give the limit as a plain number, {number}")
    limit = float(Decimal(number) / 100 if percent else Decimal(number))
    return Gate(name, cast(Change | Side, condition), limit)
