"""Which column of a log holds which measure: told by its name, or by the user with `--column MEASURE=NAME`.

A name is known if its words are those of a measure: val_loss, valid_loss, eval/loss, validation/epoch_loss and Loss/val
are all the validation loss. If two columns could be the same measure, the user has to say which one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from dropout_lab.errors import Problem, Refused

MEASURES = (
    "train_loss",
    "train_accuracy",
    "clean_train_loss",
    "clean_train_accuracy",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
)
EPOCH = "epoch"
SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "eval"), "test": ("test",)}
KINDS = {"loss": ("loss",), "accuracy": ("accuracy", "acc")}
BESIDE = {"epoch", "sparse", "categorical"}  # words that change nothing: epoch_loss, sparse_categorical_accuracy


def measure_of(name: str) -> str | None:
    """Return the measure that the name of a column means, None for a name that is not known."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word and word not in BESIDE]
    split = [key for word in words for key, known in SPLITS.items() if word in known]
    kind = [key for word in words for key, known in KINDS.items() if word in known]
    if len(kind) != 1 or len(split) > 1 or len(words) != len(split) + 1:
        return None
    return f"{split[0] if split else 'train'}_{kind[0]}"


def chosen(names: Iterable[str], told: Mapping[str, str], where: str) -> dict[str, str]:
    """Return the column of each measure that a log has; `told` says which column a measure, or the epoch, is in.

    Raises `Refused` if a column that was told is not there, or if two columns could be the same measure.
    """
    names = list(names)
    problems = [_no_column(where, key, name, names) for key, name in told.items() if name not in names and key != EPOCH]
    by_name: dict[str, list[str]] = {}
    for name in names:
        measure = measure_of(name)
        if measure and measure not in told and name not in told.values():
            by_name.setdefault(measure, []).append(name)
    for measure, candidates in by_name.items():
        if len(candidates) > 1:
            reason = f"could be in several columns; say which with --column {measure}={candidates[0]}"
            problems.append(Problem(where, measure, reason, ", ".join(candidates)))
    if problems:
        raise Refused(*problems)
    found = {measure: candidates[0] for measure, candidates in by_name.items()}
    found |= {key: name for key, name in told.items() if key != EPOCH}
    if not found:
        reason = "no column is known by its name; say which is which, such as --column val_loss=NAME"
        raise Refused(Problem(where, "columns", reason, ", ".join(names)))
    return {measure: found[measure] for measure in MEASURES if measure in found}


def parse(words: Iterable[str]) -> dict[str, str]:
    """Return what `--column` says, such as val_loss=valid_loss, by measure. Raises `Refused` with every problem."""
    told: dict[str, str] = {}
    problems = []
    keys = (EPOCH, *MEASURES)
    for word in words:
        key, equals, name = word.partition("=")
        near = get_close_matches(key, keys, n=1)
        if not equals or not name or key not in keys:
            hint = f", did you mean {near[0]}?" if near and equals and name else f"; a measure is {', '.join(keys)}"
            problems.append(Problem("command line", "--column", f"must read MEASURE=NAME{hint}", word))
        elif key in told:
            problems.append(Problem("command line", "--column", f"must name {key} only once", word))
        else:
            told[key] = name
    if problems:
        raise Refused(*problems)
    return told


def _no_column(where: str, key: str, name: str, names: list[str]) -> Problem:
    near = get_close_matches(name, names, n=1)
    known = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    return Problem(where, key, f"there is no such column: {known}", name)
