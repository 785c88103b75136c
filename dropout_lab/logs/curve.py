"""The entries of a log, epoch by epoch: the measures of each epoch, and the test results that the log ends with.

Of several training values in one epoch the mean counts, for each is of some batches of the epoch; of several others the
last one counts. An epoch without a value is NaN: nothing is filled in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dropout_lab.errors import Problem, Refused
from dropout_lab.logs.columns import MEASURES, chosen
from dropout_lab.logs.read import Entry, Log

TEST = ("test_loss", "test_accuracy")
ROUNDING = 1e-6  # an accuracy in single precision may be above 1 by this


@dataclass(frozen=True)
class Curve:
    """One training. epochs: the measures of each epoch, first to last; test: the last test results.

    columns: in which column of the log each measure was. diverged: the epoch from which on a loss is not finite.
    """

    epochs: tuple[Mapping[str, float], ...]
    test: Mapping[str, float]
    columns: Mapping[str, str]
    diverged: int | None


def curve(log: Log, told: Mapping[str, str], *, percent: bool = False) -> Curve:
    """Return the curve of a log; `told` says which column a measure is in, `percent` that accuracies are in percent.

    Raises `Refused` if nothing in it can be used, if epochs go back, or if an accuracy is no fraction.
    """
    where = str(log.path)
    columns = chosen(log.names, told, where)
    gathered: dict[int, dict[str, list[float]]] = {}
    test: dict[str, float] = {}
    before = 0
    for entry in log.entries:
        values = _values(log, entry, columns, percent)
        test |= {key: values.pop(key) for key in TEST if key in values}
        if not values:
            continue
        if entry.epoch < before or (log.once and entry.epoch in gathered):
            reason = "must rise from line to line: a log holds one training, of one seed"
            raise Refused(Problem(where, "epoch", reason, entry.values.get("epoch", entry.epoch), entry.line))
        before = entry.epoch
        into = gathered.setdefault(entry.epoch, {})
        for key, value in values.items():
            into.setdefault(key, []).append(value)
    if not gathered:
        raise Refused(Problem(where, "columns", "must have a value in one epoch or more", ", ".join(columns.values())))
    epochs = tuple(_merged(gathered.get(epoch, {})) for epoch in range(1, max(gathered) + 1))
    return Curve(epochs, test, columns, _diverged(gathered))


def _values(log: Log, entry: Entry, columns: Mapping[str, str], percent: bool) -> dict[str, float]:
    """Return the measures of an entry, accuracies as fractions from 0 to 1."""
    found = {}
    for measure, name in columns.items():
        value = log.number(entry, name)
        if value is None:
            continue
        if measure.endswith("accuracy"):
            value = value / 100 if percent else value
            if value > 1 + ROUNDING or value < 0:
                hint = "a percentage from 0 to 100" if percent else "a fraction from 0 to 1; with --percent, in percent"
                raise Refused(Problem(str(log.path), name, f"must be {hint}", entry.values[name], entry.line))
        found[measure] = value
    return found


def _merged(values: Mapping[str, list[float]]) -> dict[str, float]:
    merged = {}
    for measure in MEASURES:
        if measure not in TEST:
            logged = values.get(measure, [math.nan])
            merged[measure] = sum(logged) / len(logged) if measure.startswith("train") else logged[-1]
    return merged


def _diverged(gathered: Mapping[int, Mapping[str, list[float]]]) -> int | None:
    """Return the epoch from which on a loss that was logged is never finite again; None if both end finite."""
    begun = []
    for measure in ("train_loss", "val_loss"):
        sound = {
            epoch: all(map(math.isfinite, values[measure])) for epoch, values in gathered.items() if measure in values
        }
        last = max((epoch for epoch, finite in sound.items() if finite), default=0)
        begun += [epoch for epoch in sound if epoch > last][:1]
    return min(begun, default=None)
