"""What training reports of one seed: a row for each epoch, a snapshot to go on from, and the outcome. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from dropout_lab.runs.summary import SeedFacts

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Row:
    """One epoch of one seed; the fields are the columns of metrics.csv. Accuracies are fractions from 0 to 1.

    train_*: the mean over the epoch's batches, with dropout on, while the weights move (as Keras logs it).
    clean_train_*: measured after the epoch, with dropout off, on as many training images as are validated on.
    rate: mean dropout rate over the epoch's steps and the hidden layers; if these drop nothing, that of the input.
    """

    seed: int
    epoch: int
    train_loss: float
    train_accuracy: float
    clean_train_loss: float
    clean_train_accuracy: float
    val_loss: float
    val_accuracy: float
    rate: float

    @property
    def values(self) -> tuple[float, ...]:
        """All fields, in the order of COLUMNS. This is ten times as fast as dataclasses.astuple."""
        return tuple(vars(self).values())


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Snapshot:
    """All that an interrupted training needs to go on: its last row, its best row, and its arrays by name."""

    last: Row
    best: Row
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """How the training of a seed on data `data_sha256` ended: facts; weights and test results, none if it diverged."""

    facts: SeedFacts
    arrays: dict[str, np.ndarray]
    data_sha256: str
