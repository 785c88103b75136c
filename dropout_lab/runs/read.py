"""A finished run, read from its directory. No torch here; `runs/record.py` writes the directory."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.config import resolve as configs
from dropout_lab.config.noted import IMPORTED, MARK, Noted, read_noted
from dropout_lab.config.settings import Config
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs.find import called
from dropout_lab.runs.row import COLUMNS
from dropout_lab.runs.summary import FinishedSeed, Summary, check_hash, damaged, read_summary, unreadable
from dropout_lab.storage import read_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """A finished run, read from disk. Each file is checked against its SHA-256 in the summary when it is read.

    config: of a run that was imported, what was noted of it.
    """

    path: Path
    name: str
    config: Config | Noted
    summary: Summary

    def __hash__(self) -> int:
        return hash((self.path, self.config.identity))

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds of the run, diverged ones included."""
        return tuple(self.summary.seeds)

    @property
    def diverged(self) -> tuple[int, ...]:
        """The seeds whose loss stopped being finite."""
        return tuple(self.summary.diverged)

    @property
    def outdated(self) -> bool:
        """Whether an earlier version trained it, by which the same settings meant other numbers (settings.REVISION)."""
        return self.summary.identity not in (self.config.identity, self.config.lasting_identity)

    @property
    def trained(self) -> Config:
        """The config that the run was trained by. Raises `Refused` for a run that was imported: none is known."""
        if isinstance(self.config, Noted):
            raise Refused(Problem(str(self.path), "imported", IMPORTED, self.name))
        return self.config

    def only(self, seeds: Collection[int]) -> Run:
        """Return this run as if it had been trained with no seeds but `seeds`."""
        kept = {seed: facts for seed, facts in self.summary.seeds.items() if seed in seeds}
        return replace(self, summary=self.summary.model_copy(update={"seeds": kept}))

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The rows of metrics.csv, sorted by seed and epoch."""
        table = self._table("metrics.csv", COLUMNS)
        return table[table["seed"].isin(self.seeds)].reset_index(drop=True)

    @cached_property
    def timing(self) -> pd.DataFrame:
        """timing.csv: seed, epoch, wall-clock seconds. Lanes that train together count equal shares of the time."""
        return self._table("timing.csv", ("seed", "epoch", "seconds"))

    @property
    def seconds(self) -> dict[int, float]:
        """The wall-clock seconds that each seed took, over all epochs."""
        totals = self.timing.groupby("seed")["seconds"].sum()
        return {seed: float(totals[seed]) for seed in self.seeds if seed in totals}

    def predictions(self) -> dict[str, np.ndarray]:
        """Return the last epoch's seeds (S,), labels (n,), predictions (S, n) and probabilities (S, n, classes).

        A run that was imported has no probabilities, and perhaps no predictions: then every array is empty.
        """
        import numpy as np

        if self.summary.imported and "predictions.npz" not in self.summary.files:
            return {"seeds": np.empty(0, int), "labels": np.empty(0, int), "predictions": np.empty((0, 0), int)}
        data = self._read("predictions.npz")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                if sum(member.file_size for member in archive.zip.infolist()) > len(data):
                    raise ValueError("holds less than it declares")  # a zip bomb: a run writes without compression
                arrays = dict(archive)
            seeds, labels, predictions = (arrays[name] for name in ("seeds", "labels", "predictions"))
            kinds = "".join(array.dtype.kind for array in (seeds, labels, predictions))
            shapes = [array.shape[:2] for name, array in arrays.items() if name in ("predictions", "probabilities")]
            finished = {*self.summary.finished}
            agree = set(kinds) <= set("iu") and set(shapes) == {(*seeds.shape, *labels.shape)}
            fits = not finished or (agree and finished <= {*seeds.tolist()})
        except Exception as error:  # zipfile and numpy raise errors of any type for bytes that are no archive
            raise damaged(self.path / "predictions.npz", "arrays", "cannot be read", str(error)) from None
        if not fits:
            raise damaged(self.path / "predictions.npz", "arrays", "must agree in seeds and images", [*shapes, *kinds])
        return arrays

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights by name, "<seed>.<last|best>.<layer>.<weight|bias>", shaped as in `torch.nn.Linear`."""
        from safetensors.numpy import load

        _ = self.trained
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
            if rows or not self.summary.imported:  # no log tells the time of an epoch
                self._check_epochs(rows)
            return pd.DataFrame(rows, columns=list(columns))
        except (ValueError, OverflowError, csv.Error) as error:
            reason = f"must have the columns {','.join(columns)}, all of them numbers, and every epoch of every seed"
            raise damaged(self.path / name, "rows", reason, str(error)) from None

    def _check_epochs(self, rows: Iterable[Sequence[float]]) -> None:
        """Raise ValueError if a seed lacks one of its epochs, or has one twice."""
        by_seed: dict[float, list[float]] = {}
        for seed, epoch, *_ in rows:
            by_seed.setdefault(seed, []).append(epoch)
        for seed, facts in self.summary.seeds.items():
            epochs = by_seed.get(seed, [])
            count = facts.epochs if isinstance(facts, FinishedSeed) else len(epochs)
            if epochs != list(range(1, count + 1)):
                raise ValueError(f"seed {seed} has {len(epochs)} rows")

    def _read(self, name: str) -> bytes:
        return check_hash(self.path / name, self.summary)


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with the names that `called` gives them, for all that shows them together, or one alone."""
    names = called(run.path for run in runs)
    return [run if run.name == names[run.path] else replace(run, name=names[run.path]) for run in runs]


def load(path: Path) -> Run:
    """Read the finished run in the directory `path`. Raises `Refused` if it is not finished or is damaged."""
    summary = read_summary(path)
    if summary is None:
        raise Refused(Problem(str(path), "run", "has no finished run (no summary.json)", str(path)))
    for name in sorted({*summary.files, "config.yaml"}):
        check_hash(path / name, summary)
    return Run(path, path.name, config_of(path, summary), summary)


def config_of(path: Path, summary: Summary | None = None) -> Config | Noted:
    """Return the config in a run directory, or what was noted of a run that was imported."""
    file = path / "config.yaml"
    try:
        data = read_file(file)
    except OSError as error:
        raise unreadable(file, error) from None
    if data.startswith(MARK):
        return read_noted(data, str(file), *([summary.identity] if summary else []))
    return configs.load(file, check_files=False)
