"""The one writer of a run directory: what is asked for against what is there, checkpoints, and the final files.

While seeds are in training, `checkpoint/seed-<n>` holds each one's rows and what its training needs to go on, or at its
end what came of it. When all are done the final files are written from these, `summary.json` last.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import subprocess
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab import config as configs
from dropout_lab.config import Config, flatten, to_yaml
from dropout_lab.errors import Failed, Problem, Refused, shown
from dropout_lab.runs import COLUMNS, FORMAT, Outcome, Row, Snapshot, is_run, load, read_summary
from dropout_lab.storage import atomic_write, is_locked, locked, seal, sha256, sync_directory, unseal

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PREDICTED = ("predictions", "probabilities")  # of the test images, at the last epoch


@dataclass(frozen=True)
class Job:
    """A run directory to bring up to date with a config, whose seeds are those asked for."""

    path: Path
    config: Config

    def missing(self) -> tuple[int, ...]:
        """Return the seeds asked for that are not finished; reads only.

        Raises `Refused` where `path` is no run directory, holds a run of another config, or is being written.
        """
        path = self.path
        if path.is_symlink() or (path.exists() and not is_run(path) and (not path.is_dir() or any(path.iterdir()))):
            raise Refused(Problem(str(path), "name", "exists and is not a run directory; use --name", path.name))
        if not is_run(path):
            return self.config.seeds
        there = configs.load(path / "config.yaml", check_files=False)
        if there.identity != self.config.identity:
            old, new = flatten(there), flatten(self.config)
            differing = [key for key in new if old[key] != new[key] and key not in ("name", "seeds", "device")]
            reason = "this run exists with another value ({}); use --name for a new run, or --fresh"
            raise Refused(*(Problem(str(path), key, reason.format(shown(old[key])), new[key]) for key in differing))
        summary = read_summary(path)
        missing = tuple(seed for seed in self.config.seeds if summary is None or str(seed) not in summary["seeds"])
        if missing and is_locked(path):
            reason = "another dropout-lab process is training this run; wait for it, or use --name"
            raise Refused(Problem(str(path), "name", reason, path.name))
        return missing


def set_aside(path: Path) -> Path:
    """Rename a run directory (--fresh) to the first free `<name>.old-<n>` and return that."""
    with locked(path):
        number = 1
        while (aside := path.with_name(f"{path.name}.old-{number}")).exists():
            number += 1
        path.rename(aside)
    sync_directory(path.parent)
    return aside


@dataclass
class Record:
    """What is known of one seed so far."""

    rows: list[Row] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    snapshot: Snapshot | None = None
    outcome: Outcome | None = None


@contextlib.contextmanager
def writing(path: Path, config: Config) -> Iterator[RunWriter]:
    """Create or reopen the run directory `path`, hold its lock, and give its writer."""
    try:
        (path / "checkpoint").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failed(f"{path}: cannot be created: {error.strerror}") from error
    with locked(path):
        yield RunWriter(path, config)


class RunWriter:
    """Writes one run directory; made by `writing`, which holds the lock."""

    def __init__(self, path: Path, config: Config) -> None:
        """Read what is there. A finished run that gets more seeds becomes unfinished, its seeds kept as checkpoints."""
        self.path = path
        self.records = dict(read_checkpoints(path / "checkpoint"))
        if read_summary(path) is not None:
            finished = finished_records(path)
            for seed, record in finished.items():
                self._save(seed, record)
            self.records.update(finished)
        seeds = sorted({*config.seeds, *self.records})
        self.asked = config.seeds
        self.config = config.model_copy(update={"seeds": tuple(seeds), "name": path.name})
        atomic_write(path / "config.yaml", to_yaml(self.config).encode())
        with contextlib.suppress(FileNotFoundError):
            (path / "summary.json").unlink()

    def pending(self) -> set[int]:
        """Return the seeds asked for that have not ended."""
        return {seed for seed in self.asked if seed not in self.records or self.records[seed].outcome is None}

    def resume(self, seed: int) -> Snapshot | None:
        """Return the snapshot that `seed` goes on from, and forget the rows after it: they will come again."""
        record = self.records.setdefault(seed, Record())
        done = record.snapshot.last.epoch if record.snapshot else 0
        del record.rows[done:], record.seconds[done:]
        return record.snapshot

    def add(self, row: Row, seconds: float, snapshot: Snapshot | None) -> None:
        """Take the row of one epoch; with a snapshot, make it and all rows before it safe on disk."""
        record = self.records[row.seed]
        record.rows.append(row)
        record.seconds.append(seconds)
        if snapshot:
            record.snapshot = snapshot
            self._save(row.seed, record)

    def end(self, seed: int, outcome: Outcome) -> None:
        """Take what a seed came to, and make it safe on disk."""
        for other in self.records.values():
            if other.outcome and other.outcome.data_sha256 != outcome.data_sha256:
                raise Failed(f"{self.path}: the data changed since the first seeds were trained; use --fresh")
        self.records[seed].outcome, self.records[seed].snapshot = outcome, None
        self._save(seed, self.records[seed])

    def write_tables(self, records: Mapping[int, Record] | None = None) -> None:
        """Write metrics.csv and timing.csv as they stand now."""
        records = self.records if records is None else records
        rows = [row for _, record in sorted(records.items()) for row in record.rows]
        timing = [
            (row.seed, row.epoch, seconds)
            for _, record in sorted(records.items())
            for row, seconds in zip(record.rows, record.seconds, strict=True)
        ]
        atomic_write(self.path / "metrics.csv", table(COLUMNS, map(astuple, rows)))
        atomic_write(self.path / "timing.csv", table(("seed", "epoch", "seconds"), timing))

    def finish(self, environment: Mapping[str, Any]) -> None:
        """Write the final files of all seeds that have ended, summary.json last, then drop their checkpoints."""
        ended = {seed: record for seed, record in sorted(self.records.items()) if record.outcome}
        outcomes = {seed: record.outcome for seed, record in ended.items() if record.outcome}
        self.write_tables(ended)
        atomic_write(self.path / "weights.safetensors", weights_file(outcomes))
        atomic_write(self.path / "predictions.npz", predictions_file(outcomes))
        names = "config.yaml", "metrics.csv", "timing.csv", "weights.safetensors", "predictions.npz"
        summary = {
            "format": FORMAT,
            "status": "finished",
            "name": self.path.name,
            "identity": self.config.identity,
            "data_sha256": next(iter(outcomes.values())).data_sha256,
            "seeds": {str(seed): outcome.facts for seed, outcome in outcomes.items()},
            "environment": dict(environment),
            "files": {name: sha256((self.path / name).read_bytes()) for name in names},
        }
        atomic_write(self.path / "summary.json", (json.dumps(summary, indent=1, allow_nan=False) + "\n").encode())
        for seed in ended:
            for file in checkpoint_files(self.path / "checkpoint", seed):
                file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: seeds not asked for this time are still in training
            (self.path / "checkpoint").rmdir()

    def _save(self, seed: int, record: Record) -> None:
        newest, previous = checkpoint_files(self.path / "checkpoint", seed)
        if newest.exists():
            newest.replace(previous)
        atomic_write(newest, pack(record))


# Files


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return CSV bytes; `repr` of a float is the shortest text that reads back exactly."""
    lines = [",".join(columns), *(",".join(map(repr, row)) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def weights_file(outcomes: Mapping[int, Outcome]) -> bytes:
    """Return all seeds' weights as safetensors bytes, named "<seed>.<last|best>.<layer>.<weight|bias>"."""
    from safetensors.numpy import save

    return save(
        {
            f"{seed}.{name}": array
            for seed, outcome in outcomes.items()
            for name, array in outcome.arrays.items()
            if name.startswith(("last.", "best."))
        }
    )


def predictions_file(outcomes: Mapping[int, Outcome]) -> bytes:
    """Return the test predictions at the last epoch as npz bytes: seeds, labels, predictions, probabilities."""
    import numpy as np

    good = {seed: outcome.arrays for seed, outcome in outcomes.items() if outcome.arrays}
    stacked = {name: np.array([arrays[name] for arrays in good.values()]) for name in PREDICTED}
    labels = next((arrays["labels"] for arrays in good.values()), np.empty(0, np.int64))
    buffer = io.BytesIO()
    np.savez(buffer, seeds=np.array(list(good), np.int64), labels=labels, **stacked)  # type: ignore[arg-type]
    return buffer.getvalue()


# Checkpoints: one sealed file per seed, and the one before it in case the newest is torn


def checkpoint_files(directory: Path, seed: int) -> tuple[Path, Path]:
    """Return the names of a seed's newest checkpoint and of the one before."""
    return directory / f"seed-{seed}", directory / f"seed-{seed}.previous"


def pack(record: Record) -> bytes:
    """Return a record as sealed bytes."""
    facts: dict[str, Any] = {"rows": [astuple(row) for row in record.rows], "seconds": record.seconds}
    arrays: Mapping[str, np.ndarray] = {}
    if record.outcome:
        facts["outcome"], facts["data_sha256"] = record.outcome.facts, record.outcome.data_sha256
        arrays = record.outcome.arrays
    elif record.snapshot:
        facts["last"], facts["best"] = record.snapshot.last.epoch, record.snapshot.best.epoch
        arrays = record.snapshot.arrays
    return seal(facts, arrays)


def unpack(data: bytes) -> Record:
    """Read what `pack` wrote. Raises ValueError or KeyError where it is damaged."""
    facts, arrays = unseal(data)
    record = Record([Row(*row) for row in facts["rows"]], facts["seconds"])
    if "outcome" in facts:
        record.outcome = Outcome(facts["outcome"], arrays, facts["data_sha256"])
    else:
        record.snapshot = Snapshot(record.rows[facts["last"] - 1], record.rows[facts["best"] - 1], arrays)
    return record


def read_checkpoints(directory: Path) -> Iterator[tuple[int, Record]]:
    """Yield the record of every seed in `directory`; a damaged newest file falls back to the one before it."""
    for newest in sorted(directory.glob("seed-*[0-9]")):
        seed = int(newest.name.removeprefix("seed-"))
        for file in checkpoint_files(directory, seed):
            try:
                yield seed, unpack(file.read_bytes())
                break
            except FileNotFoundError:
                continue
            except (ValueError, KeyError, IndexError, TypeError) as error:
                warnings.warn(f"{file}: damaged checkpoint passed over: {error}", stacklevel=2)


def finished_records(path: Path) -> dict[int, Record]:
    """Return the records of a finished run as they were before its final files were written."""
    run = load(path)
    weights, test = run.weights(), run.predictions()
    at = {int(seed): index for index, seed in enumerate(test["seeds"])}
    records = {}
    for seed in run.seeds:
        prefix = f"{seed}."
        arrays = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
        if seed in at:
            arrays |= {"labels": test["labels"]} | {name: test[name][at[seed]] for name in PREDICTED}
        outcome = Outcome(run.summary["seeds"][str(seed)], arrays, run.summary["data_sha256"])
        rows = [Row(int(s), int(epoch), *map(float, numbers)) for s, epoch, *numbers in lines(run.metrics) if s == seed]
        seconds = [float(time) for s, _, time in lines(run.timing) if s == seed]
        records[seed] = Record(rows, seconds, None, outcome)
    return records


def lines(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table as plain tuples."""
    return table.itertuples(index=False, name=None)


def environment(device: str, threads: int) -> dict[str, Any]:
    """Return what the numbers may depend on beside the config: versions, machine, device, and the code's commit."""
    packages = ("dropout-lab", "torch", "numpy")
    return {
        **{name: metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "device": device,
        "threads": threads,
        "git_commit": git_commit(),
    }


def cpu_model() -> str:
    """Return the processor's name."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def git_commit() -> str | None:
    """Return the last commit that changed this package, None where it is not in a checkout of its own."""
    command = ["git", "-C", str(Path(__file__).parent), "log", "-1", "--format=%H", "--", "."]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() or None
    return None
