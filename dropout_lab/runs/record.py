"""The one writer of a run directory: checkpoints while seeds are in training, the final files when all have ended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from dropout_lab.config.resolve import to_yaml
from dropout_lab.config.settings import Config
from dropout_lab.errors import MOVE_AWAY, Failed
from dropout_lab.runs.checkpoint import Checkpoints, Origin, Record
from dropout_lab.runs.finish import finished_records, metrics_file, predictions_file, timing_file, weights_file
from dropout_lab.runs.job import Job, refuse_foreign
from dropout_lab.runs.row import Outcome, Row, Snapshot
from dropout_lab.runs.summary import Summary
from dropout_lab.storage import atomic_write, failing, locked, make_directory, remove, remove_leftovers, sha256, sync

FILES = ("config.yaml", "metrics.csv", "timing.csv", "weights.safetensors", "predictions.npz", "summary.json")


def set_aside(path: Path) -> Path:
    """Rename a run directory to `<name>.old-<n>`, with the first n that is free, and return the new path (--fresh)."""
    refuse_foreign(path)
    with locked(path), failing(path, "renamed"):
        aside = next(aside for n in count(1) if not (aside := path.with_name(f"{path.name}.old-{n}")).exists())
        path.rename(aside)
        sync(path.parent)
    return aside


@contextlib.contextmanager
def writing(job: Job, data_sha256: str) -> Iterator[RunWriter]:
    """Create or reopen the run directory of a job, and yield its writer; the directory is locked meanwhile."""
    refuse_foreign(job.path)
    make_directory(job.path)
    with locked(job.path) as weaker:
        writer = RunWriter(job, data_sha256)
        if weaker:
            writer.checkpoints.notes.insert(0, weaker)
        yield writer


class RunWriter:
    """Writes one run directory. `writing` makes it, and holds the lock.

    It reads what is there; if a finished run lacks seeds, it makes it unfinished, and keeps its seeds as checkpoints.
    Raises `Refused`, before anything is changed, if the run was begun with another config or other data.
    """

    def __init__(self, job: Job, data_sha256: str) -> None:
        self.path, self.asked = job.path, job.config.seeds
        self.finished = not job.unfinished()  # asked again: now no other process can change the answer
        origin = Origin(job.config.lasting_identity, data_sha256)
        self.checkpoints = Checkpoints(self.path, origin)
        self.records = self.checkpoints.read()
        finished = finished_records(self.path, origin)
        self.records.update(finished)
        self.config = job.with_seeds(self.records).kept()
        self.data_sha256 = data_sha256
        if not self.finished:
            self._begin(finished)

    def _begin(self, finished: Mapping[int, Record]) -> None:
        """Make this an unfinished run. A crash at any moment leaves a run that is whole, finished or unfinished."""
        for name in FILES:
            remove_leftovers(self.path / name)
        if finished:
            self.checkpoints.prepare()
            for seed, record in finished.items():
                self.checkpoints.save(seed, record)
            remove(self.path / "summary.json")
        atomic_write(self.path / "config.yaml", to_yaml(self.config).encode())
        self.checkpoints.prepare()

    def pending(self) -> set[int]:
        """Return the seeds asked for that have not ended."""
        return {seed for seed in self.asked if seed not in self.records or self.records[seed].outcome is None}

    def resume(self, seed: int) -> Snapshot | None:
        """Return the snapshot that a pending seed goes on from, and drop the rows after it: they are trained again."""
        record = self.records.setdefault(seed, Record())
        del record.rows[record.reached :], record.seconds[record.reached :]
        return record.snapshot

    def add(self, row: Row, seconds: float, snapshot: Snapshot | None) -> None:
        """Add one epoch. With a snapshot, save the seed's checkpoint; a cluster sends most epochs without one."""
        record = self.records[row.seed]
        record.rows.append(row)
        record.seconds.append(seconds)
        if snapshot:
            record.snapshot = snapshot
            self.checkpoints.save(row.seed, record)

    def end(self, seed: int, outcome: Outcome) -> None:
        """Record how a seed ended, and save it durably."""
        if outcome.data_sha256 != self.data_sha256:
            raise Failed(f"{self.path}: the data changed while seed {seed} was training; {MOVE_AWAY}")
        self.records[seed].outcome, self.records[seed].snapshot = outcome, None
        self.checkpoints.save(seed, self.records[seed])

    def write_tables(self) -> None:
        """Write metrics.csv and timing.csv as they are now, for a user who watches; checkpoints hold the same rows."""
        atomic_write(self.path / "metrics.csv", metrics_file(self.records), durable=False)
        atomic_write(self.path / "timing.csv", timing_file(self.records), durable=False)

    def finish(self, environment: Mapping[str, Any]) -> None:
        """Write the final files of all seeds that have ended, then drop their checkpoints."""
        ended = {seed: record for seed, record in sorted(self.records.items()) if record.outcome}
        config = self.config.model_copy(update={"seeds": tuple(ended)})  # others may still be in training
        write_files(self.path, self.path.name, config, self.data_sha256, ended, environment)
        self.checkpoints.drop(ended)
        with contextlib.suppress(OSError):
            (self.path / "error.txt").unlink()


def write_files(
    path: Path,
    name: str,
    config: Config,
    data_sha256: str,
    records: Mapping[int, Record],
    environment: Mapping[str, Any],
) -> None:
    """Write the final files of a run called `name` into `path`, summary.json last. Every record must have ended."""
    outcomes = {seed: record.outcome for seed, record in records.items() if record.outcome}
    hashes: dict[str, str] = {}

    def write(name: str, data: bytes) -> None:
        hashes[name] = sha256(data)
        atomic_write(path / name, data)

    write("config.yaml", to_yaml(config).encode())
    write("metrics.csv", metrics_file(records))
    write("timing.csv", timing_file(records))
    write("weights.safetensors", weights_file(outcomes))
    write("predictions.npz", predictions_file(outcomes))
    summary = Summary(
        name=name,
        identity=config.lasting_identity,
        data_sha256=data_sha256,
        seeds={seed: outcome.facts for seed, outcome in outcomes.items()},
        environment=dict(environment),
        files=hashes,
    )
    atomic_write(path / "summary.json", summary.to_bytes())
