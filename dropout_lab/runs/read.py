"""The run directory as everything reads it: its rows, its summary, its state. No torch here; `recording.py` writes it.

    runs/<name>/config.yaml  metrics.csv  timing.csv  weights.safetensors  predictions.npz  summary.json

`summary.json` is written last: its presence means finished.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.config import resolve as configs
from dropout_lab.config.resolve import RUN_NAME, Config
from dropout_lab.errors import Problem, Refused
from dropout_lab.storage import SEAL, is_locked, is_sealed_json, read_file, sha256

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT = 3  # of summary.json and of the files it tells of; 1 had no rate in metrics.csv
UNSEALED = 2  # this one had no seal, and can still be read
SUMMARY = {"data_sha256": str, "seeds": dict, "environment": dict, "files": dict}  # what every reader relies on
RESULTS = ("val_loss", "val_accuracy", "test_loss", "test_accuracy")  # of each seed, at the last and at the best epoch


@dataclass(frozen=True)
class Row:
    """One epoch of one seed; the fields are the columns of metrics.csv. Accuracies are fractions from 0 to 1.

    train_*: mean over the epoch's batches with dropout on, while the weights move (as Keras logs them).
    clean_train_*: after the epoch with dropout off, on as many training images as there are validation images.
    rate: the dropout rate in force, the mean over the steps of the epoch and over the hidden layers; where nothing is
    dropped there, that of the input.
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
        """All of them, in the order of COLUMNS; dataclasses.astuple takes ten times as long."""
        return tuple(vars(self).values())


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Snapshot:
    """All that one interrupted training needs to go on: its last row, its best row, and arrays by name."""

    last: Row
    best: Row
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Outcome:
    """What one seed came to: its facts in summary.json, and its arrays (weights, test results; none if diverged)."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]
    data_sha256: str


@dataclass(frozen=True)
class Run:
    """A finished run, read from disk. Files are checked against the summary's SHA-256 when they are read."""

    path: Path
    name: str
    config: Config
    summary: dict[str, Any]

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of the run, diverged ones included."""
        return tuple(int(seed) for seed in self.summary["seeds"])

    @property
    def diverged(self) -> tuple[int, ...]:
        """The seeds whose loss stopped being finite."""
        return tuple(int(seed) for seed, facts in self.summary["seeds"].items() if facts["status"] == "diverged")

    def only(self, seeds: Collection[int]) -> Run:
        """Return this run as if it had been trained with no other than `seeds`."""
        kept = {seed: facts for seed, facts in self.summary["seeds"].items() if int(seed) in seeds}
        return replace(self, summary=self.summary | {"seeds": kept})

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The rows of metrics.csv, sorted by seed and epoch."""
        table = self._table("metrics.csv", COLUMNS)
        return table[table["seed"].isin(self.seeds)].reset_index(drop=True)

    @cached_property
    def timing(self) -> pd.DataFrame:
        """The rows of timing.csv: seed, epoch, wall-clock seconds (of lanes trained together, each one's share)."""
        return self._table("timing.csv", ("seed", "epoch", "seconds"))

    @property
    def seconds(self) -> dict[int, float]:
        """Wall-clock seconds of each seed's training in all."""
        totals = self.timing.groupby("seed")["seconds"].sum()
        return {seed: float(totals[seed]) for seed in self.seeds if seed in totals}

    def predictions(self) -> dict[str, np.ndarray]:
        """Test split, last epoch: seeds (S,), labels (n,), predictions (S, n), probabilities (S, n, classes)."""
        import numpy as np

        data = self._read("predictions.npz")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                if sum(member.file_size for member in archive.zip.infolist()) > len(data):
                    raise ValueError("holds less than it declares")  # a bomb: what is written is not compressed
                arrays = dict(archive)
            seeds, labels, predictions = (arrays[name] for name in ("seeds", "labels", "predictions"))
            kinds = "".join(array.dtype.kind for array in (seeds, labels, predictions))
            shapes = [array.shape[:2] for name, array in arrays.items() if name in ("predictions", "probabilities")]
            good = {*self.seeds} - {*self.diverged}
            agree = set(kinds) <= set("iu") and set(shapes) == {(*seeds.shape, *labels.shape)}
            fits = not good or (agree and good <= {*seeds.tolist()})
        except Exception as error:  # bytes that are no archive bring anything out of zipfile and numpy
            raise damaged(self.path / "predictions.npz", "arrays", "cannot be read", str(error)) from None
        if not fits:
            raise damaged(self.path / "predictions.npz", "arrays", "must agree in seeds and images", [*shapes, *kinds])
        return arrays

    def weights(self) -> dict[str, np.ndarray]:
        """Weights by name, "<seed>.<last|best>.<layer>.<weight|bias>", in the layout of `torch.nn.Linear`."""
        from safetensors.numpy import load

        data = self._read("weights.safetensors")
        try:
            return load(data)
        except Exception as error:  # as above
            raise damaged(self.path / "weights.safetensors", "arrays", "cannot be read", str(error)) from None

    def _table(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        try:
            header, *lines = csv.reader(self._read(name).decode().splitlines())
            rows = [(int(seed), int(epoch), *map(float, numbers)) for seed, epoch, *numbers in lines]
            if {tuple(header), *map(len, rows)} - {columns, len(columns)}:
                raise ValueError(",".join(header))
            self._check_epochs(rows)
            return pd.DataFrame(rows, columns=list(columns))
        except (ValueError, OverflowError, csv.Error) as error:
            reason = f"must have the columns {','.join(columns)}, all of them numbers, and every epoch of every seed"
            raise damaged(self.path / name, "rows", reason, str(error)) from None

    def _check_epochs(self, rows: Iterable[Sequence[float]]) -> None:
        """Raise ValueError where a seed lacks one of its epochs, or has it twice."""
        found: dict[float, list[float]] = {}
        for seed, epoch, *_ in rows:
            found.setdefault(seed, []).append(epoch)
        for seed, facts in self.summary["seeds"].items():
            epochs = found.get(int(seed), [])
            if epochs != list(range(1, facts.get("epochs", len(epochs)) + 1)):
                raise ValueError(f"seed {seed} has {len(epochs)} rows")

    def _read(self, name: str) -> bytes:
        return check_hash(self.path / name, self.summary)


def check_hash(file: Path, summary: dict[str, Any]) -> bytes:
    """Return the bytes of one file of a run. Raises `Refused` where they are not those that `summary` tells of."""
    try:
        data = read_file(file)
    except OSError as error:
        raise damaged(file, "file", f"cannot be read: {error.strerror}", file.name) from None
    if sha256(data) != summary["files"].get(file.name):
        raise damaged(file, "sha256", "differs from the one in summary.json", sha256(data))
    return data


def damaged(path: Path, key: str, reason: str, value: object) -> Refused:
    """Return the refusal of a run file that is not as it was written."""
    return Refused(Problem(str(path), key, f"{reason}; train the run again with --fresh", value))


def load(path: Path) -> Run:
    """Read the finished run in the directory `path`. Raises `Refused` where it is not finished or is damaged."""
    summary = read_summary(path)
    if summary is None:
        raise Refused(Problem(str(path), "run", "has no finished run (no summary.json)", str(path)))
    for name in sorted({*summary["files"], "config.yaml"}):
        check_hash(path / name, summary)
    return Run(path, path.name, configs.load(path / "config.yaml", check_files=False), summary)


def read_summary(path: Path) -> dict[str, Any] | None:
    """Return summary.json of a run directory, None where there is none. Raises `Refused` where it makes no sense.

    A result that is not finite stands there as null and is returned as NaN.
    """
    file = path / "summary.json"
    try:
        data = read_file(file)
        summary = json.loads(data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, "file", "is not readable JSON", str(error)) from None
    version = summary.get("format") if isinstance(summary, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise Refused(Problem(str(file), "format", f"is newer than this dropout-lab ({FORMAT}); upgrade it", version))
    if version not in (UNSEALED, FORMAT):
        raise damaged(file, "format", f"must be {FORMAT}; an earlier dropout-lab wrote another", version)
    if not is_sealed_json(data) and (version == FORMAT or SEAL in summary):
        raise damaged(file, SEAL, "must be that of the lines above it", summary.get(SEAL))
    for key, kind in SUMMARY.items():
        if not isinstance(summary.get(key), kind):
            raise damaged(file, key, "must be there, as it was written", summary.get(key))
    if strange := [name for name in summary["files"] if not RUN_NAME.fullmatch(name)]:
        raise damaged(file, "files", "must name files of the run directory", strange[0])
    try:
        summary["seeds"] = {seed: _facts(seed, facts) for seed, facts in summary["seeds"].items()}
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise damaged(file, "seeds", "must say of every seed what it came to", repr(error)) from None
    return dict(summary)


def _facts(seed: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the summary says of one seed, null results as NaN. What makes no sense raises as it comes."""
    if not re.fullmatch("[0-9]{1,20}", seed, re.ASCII) or facts["status"] not in ("finished", "diverged"):
        raise ValueError(seed)
    if facts["status"] == "diverged":
        return facts | {key: int(facts[key]) for key in ("epoch", "step")}
    results = {
        when: facts[when] | {key: math.nan if facts[when][key] is None else float(facts[when][key]) for key in RESULTS}
        for when in ("last", "best")
    }
    return facts | {key: int(facts[key]) for key in ("epochs", "best_epoch")} | results


def is_run(path: Path) -> bool:
    """Say whether `path` is a run directory, finished or not."""
    return os.path.isfile(path / "config.yaml")


def named(directory: Path) -> list[Path]:
    """Return what is in `directory` under the name that a run may have; links are not followed."""
    return [path for path in directory.glob("*") if RUN_NAME.fullmatch(path.name) and not path.is_symlink()]


def find(directory: Path) -> Iterator[Path]:
    """Yield the run directories in `directory`, those of sweeps included, newest first."""
    candidates = named(directory)
    members = [inner for path in candidates if os.path.isfile(path / "sweep.yaml") for inner in named(path)]
    changed: dict[Path, float] = {}
    for path in filter(is_run, candidates + members):
        with contextlib.suppress(FileNotFoundError):  # moved aside at this moment, by --fresh
            changed[path] = path.stat().st_mtime
    yield from sorted(changed, key=lambda path: changed[path], reverse=True)


def state(path: Path) -> str:
    """Return "finished", "running" or "interrupted"."""
    if (path / "summary.json").exists():
        return "finished"
    return "running" if is_locked(path) else "interrupted"
