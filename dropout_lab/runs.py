"""The run directory as everything reads it: its rows, its summary, its state. No torch here; `recording.py` writes it.

    runs/<name>/config.yaml  metrics.csv  timing.csv  weights.safetensors  predictions.npz  summary.json

`summary.json` is written last: its presence means finished.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab import config as configs
from dropout_lab.config import RUN_NAME, Config
from dropout_lab.errors import Problem, Refused
from dropout_lab.storage import is_locked, sha256

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FORMAT = 1  # of summary.json; a higher number than this program knows is refused


@dataclass(frozen=True)
class Row:
    """One epoch of one seed; the fields are the columns of metrics.csv. Accuracies are fractions from 0 to 1.

    train_*: mean over the epoch's batches with dropout on, while the weights move (as Keras logs them).
    clean_train_*: after the epoch with dropout off, on as many training images as there are validation images.
    """

    seed: int
    epoch: int
    train_loss: float
    train_accuracy: float
    clean_train_loss: float
    clean_train_accuracy: float
    val_loss: float
    val_accuracy: float


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

        with np.load(io.BytesIO(self._read("predictions.npz")), allow_pickle=False) as arrays:
            return dict(arrays)

    def weights(self) -> dict[str, np.ndarray]:
        """Weights by name, "<seed>.<last|best>.<layer>.<weight|bias>", in the layout of `torch.nn.Linear`."""
        from safetensors.numpy import load

        return load(self._read("weights.safetensors"))

    def _table(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        try:
            header, *lines = csv.reader(self._read(name).decode().splitlines())
            rows = [(int(seed), int(epoch), *map(float, numbers)) for seed, epoch, *numbers in lines]
            if tuple(header) != columns:
                raise ValueError(",".join(header))
            return pd.DataFrame(rows, columns=list(columns))
        except ValueError as error:
            reason = f"must have the columns {','.join(columns)}, all of them numbers"
            raise damaged(self.path / name, "rows", reason, str(error)) from None

    def _read(self, name: str) -> bytes:
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise damaged(self.path / name, "file", f"cannot be read: {error.strerror}", name) from None
        if sha256(data) != self.summary["files"].get(name):
            raise damaged(self.path / name, "sha256", "differs from the one in summary.json", sha256(data))
        return data


def damaged(path: Path, key: str, reason: str, value: object) -> Refused:
    """Return the refusal of a run file that is not as it was written."""
    return Refused(Problem(str(path), key, f"{reason}; train the run again with --fresh", value))


def load(path: Path) -> Run:
    """Read the finished run in the directory `path`. Raises `Refused` where it is not finished or is damaged."""
    summary = read_summary(path)
    if summary is None:
        raise Refused(Problem(str(path), "run", "has no finished run (no summary.json)", str(path)))
    return Run(path, path.name, configs.load(path / "config.yaml", check_files=False), summary)


def read_summary(path: Path) -> dict[str, Any] | None:
    """Return summary.json of a run directory, None where there is none. Raises `Refused` where it makes no sense."""
    file = path / "summary.json"
    try:
        summary = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(file, "file", "is not readable JSON", str(error)) from None
    version = summary.get("format") if isinstance(summary, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise Refused(Problem(str(file), "format", f"is newer than this dropout-lab ({FORMAT}); upgrade it", version))
    if version != FORMAT or not isinstance(summary.get("seeds"), dict) or not isinstance(summary.get("files"), dict):
        raise damaged(file, "format", f"must be {FORMAT}, with seeds and files", version)
    return dict(summary)


def is_run(path: Path) -> bool:
    """Say whether `path` is a run directory, finished or not."""
    return (path / "config.yaml").is_file()


def find(directory: Path) -> Iterator[Path]:
    """Yield the run directories in `directory`, those of sweeps included, newest first."""
    candidates = [path for path in directory.glob("*") if RUN_NAME.fullmatch(path.name) and not path.is_symlink()]
    members = [inner for path in candidates if (path / "sweep.yaml").is_file() for inner in path.glob("*")]
    found = [path for path in candidates + members if is_run(path)]
    yield from sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def state(path: Path) -> str:
    """Return "finished", "running" or "interrupted"."""
    if (path / "summary.json").exists():
        return "finished"
    return "running" if is_locked(path) else "interrupted"
