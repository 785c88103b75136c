"""METRICS: what is measured once per seed of a finished run. To add one, add one entry.

All are taken with dropout off, at the last epoch unless the name says otherwise. Values are as on disk: accuracies are
fractions from 0 to 1, shown in percent, and their differences in percentage points (pp).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from dropout_lab.comparison.inference import Estimate
    from dropout_lab.runs.read import Run
    from dropout_lab.runs.summary import FinishedSeed

REACHED = 0.97  # the accuracy on validation that epochs are counted up to

Values = dict[int, float]  # by seed


@dataclass(frozen=True)
class Metric:
    """Something measured once per seed: how it is named and read, and the function that reads it off a run.

    about: what it is, in one line.
    """

    title: str
    about: str
    unit: str  # "%" (a fraction, shown in percent), "s", "epochs" or ""
    higher_is_better: bool
    values: Callable[[Run], Values]  # of the finished seeds
    optional: bool = False  # whether a finished seed may well have none

    @property
    def label(self) -> str:
        """The title with its unit, unless it begins with that."""
        return self.title if self.title.startswith(self.unit) else f"{self.title} {self.unit}"

    def finite(self, run: Run) -> Values:
        """Return the values that are finite; the others count as missing."""
        return {seed: value for seed, value in self.values(run).items() if math.isfinite(value)}

    def shown_estimate(self, estimate: Estimate) -> str:
        """Return "97.51 ±0.15", or the mean alone for one seed."""
        spread = "" if estimate.sd is None else f" ±{self.shown(estimate.sd)}"
        return self.shown(estimate.mean) + spread

    def shown(self, value: float, *, sign: bool = False) -> str:
        """Return `value` as people read it: percent and epochs with two decimals, anything else with four."""
        plus = "+" if sign else ""
        if self.unit in ("%", "epochs"):
            return f"{value * (100 if self.unit == '%' else 1):{plus}.2f}"
        return f"{value:{plus}.4f}" if abs(value) < 1000 else f"{value:{plus}.3e}"

    def shown_difference(self, value: float, *, sign: bool = False) -> str:
        """Return `value` with the unit of a difference, for example "-0.35 pp"."""
        unit = "pp" if self.unit == "%" else self.unit
        return f"{self.shown(value, sign=sign)} {unit}".rstrip()


def results(facts: FinishedSeed) -> dict[str, float]:
    """Return the test results of a finished seed at the last epoch, and all its results at the best epoch.

    Its validation results at the last epoch are in metrics.csv.
    """
    last = {"test_loss": facts.last.test_loss, "test_accuracy": facts.last.test_accuracy}
    return last | {f"{key}_at_best": value for key, value in facts.best}


def _at(when: str, key: str) -> Callable[[Run], Values]:
    """Read `key` at the "last" or at the "best" epoch (lowest val_loss) from the summary."""
    read = attrgetter(f"{when}.{key}")
    return lambda run: {seed: read(facts) for seed, facts in run.summary.finished.items()}


def _from_rows(measure: Callable[[pd.DataFrame], Any]) -> Callable[[Run], Values]:
    """Apply `measure` to the rows of metrics.csv of each seed, in the order of the epochs.

    Training with patience goes back to its best epoch: there the rows end.
    """

    def values(run: Run) -> Values:
        rows, patient = run.metrics, not run.summary.imported and run.trained.training.patience is not None
        last = {seed: facts.best_epoch if patient else facts.epochs for seed, facts in run.summary.finished.items()}
        own = {seed: rows[(rows["seed"] == seed) & (rows["epoch"] <= epoch)] for seed, epoch in last.items()}
        return {seed: float(measure(table)) for seed, table in own.items()}

    return values


def _gap(rows: pd.DataFrame) -> Any:
    return rows["val_loss"].iloc[-1] - rows["clean_train_loss"].iloc[-1]


def _overfitting(rows: pd.DataFrame) -> Any:
    return rows["val_loss"].iloc[-1] - rows["val_loss"].min()


def _epochs_to_reach(rows: pd.DataFrame) -> Any:
    reached = rows.loc[rows["val_accuracy"] >= REACHED, "epoch"]
    return reached.iloc[0] if len(reached) else math.nan


def _clean_train_accuracy(rows: pd.DataFrame) -> Any:
    return rows["clean_train_accuracy"].iloc[-1]


def _seconds_per_epoch(run: Run) -> Values:
    seconds = run.seconds
    return {seed: seconds[seed] / facts.epochs for seed, facts in run.summary.finished.items() if seed in seconds}


METRICS: dict[str, Metric] = {
    "test_accuracy": Metric(
        "test accuracy",
        "share of the test images that are right, at the last epoch",
        "%",
        True,
        _at("last", "test_accuracy"),
    ),
    "test_loss": Metric(
        "test loss",
        "mean cross-entropy on the test images in nats: sure and wrong costs most",
        "",
        False,
        _at("last", "test_loss"),
    ),
    "val_accuracy": Metric(
        "val accuracy",
        "share of the validation images that are right; sweeps choose by it",
        "%",
        True,
        _at("last", "val_accuracy"),
    ),
    "val_loss": Metric(
        "val loss", "mean cross-entropy on the validation images in nats", "", False, _at("last", "val_loss")
    ),
    "best_val_loss": Metric(
        "best val loss",
        "the lowest val loss of all epochs; its epoch is the best epoch",
        "",
        False,
        _at("best", "val_loss"),
    ),
    "test_accuracy_at_best": Metric(
        "test acc. (best)", "test accuracy with the weights of the best epoch", "%", True, _at("best", "test_accuracy")
    ),
    "test_loss_at_best": Metric(
        "test loss (best)", "test loss with the weights of the best epoch", "", False, _at("best", "test_loss")
    ),
    "gap": Metric(
        "gap (clean)", "val loss minus the loss on training images, both with dropout off", "", False, _from_rows(_gap)
    ),
    "overfitting": Metric(
        "overfitting",
        "val loss at the last epoch minus the best val loss: how far it rose again",
        "",
        False,
        _from_rows(_overfitting),
    ),
    "clean_train_accuracy": Metric(
        "clean train acc.",
        "share of the training images that are right with dropout off",
        "%",
        True,
        _from_rows(_clean_train_accuracy),
    ),
    "epochs_to_97": Metric(
        "epochs to 97 % val",
        "the first epoch at which 97 % of the validation images are right",
        "epochs",
        False,
        _from_rows(_epochs_to_reach),
        optional=True,
    ),
    "seconds_per_epoch": Metric(
        "time per epoch",
        "wall-clock time of an epoch, divided among networks that train side by side",
        "s",
        False,
        _seconds_per_epoch,
    ),
}
