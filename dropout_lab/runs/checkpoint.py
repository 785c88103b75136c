"""Checkpoints: for every seed one sealed file with all that is known of it, and an earlier one. No torch here.

`seed-<n>` is written after every epoch without waiting for the disk: it outlives the process, whatever kills it. Every
two seconds it is flushed and becomes `seed-<n>.previous`, which outlives a loss of power as well. A damaged file is
passed over for the one before it; where both are damaged, the seed starts anew.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dropout_lab.errors import Failed, Problem, Refused, printable
from dropout_lab.runs.row import Outcome, Row, Snapshot
from dropout_lab.runs.summary import SEED_FACTS
from dropout_lab.storage import atomic_write, make_directory, read_file, remove_leftovers, seal, sync, unseal

NAME = re.compile(r"seed-([0-9]{1,20})(\.previous)?", re.ASCII)
SYNC_EVERY = 2.0  # seconds between flushes, which take longer than all the rest of saving


@dataclass
class Record:
    """What is known of one seed so far: its rows, and what its training needs to go on, or what came of it."""

    rows: list[Row] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    snapshot: Snapshot | None = None
    outcome: Outcome | None = None

    @property
    def reached(self) -> int:
        """The epoch that its training goes on from."""
        return self.snapshot.last.epoch if self.snapshot else 0


@dataclass(frozen=True)
class Origin:
    """What a training was made from: the identity of its config, and the SHA-256 of its data."""

    config: str
    data: str

    def check(self, path: Path, found: Mapping[str, object]) -> None:
        """Refuse to go on in the run directory `path` with what was made from another config or other data."""
        for key, value in vars(self).items():
            if found.get(key) != value:
                reason = f"the {key} changed since this run was begun; change it back, or use --fresh or --name"
                raise Refused(Problem(str(path), key, reason, value))


class Checkpoints:
    """The checkpoints of the run directory `path`. Reading changes nothing; `prepare` comes before the first `save`."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self.directory, self.origin = path / "checkpoint", origin
        self.damaged: list[Path] = []
        self.flushed: dict[int, float] = {}  # when each seed last was
        self.notes: list[str] = []  # a line for each seed of which a file was damaged

    def read(self) -> dict[int, Record]:
        """Return the record of every seed. Raises `Refused` where one has another origin."""
        names = self.directory.iterdir() if self.directory.is_dir() else ()
        seeds = sorted({int(match[1]) for path in names if (match := NAME.fullmatch(path.name))})
        return {seed: record for seed in seeds if (record := self._read(seed))}

    def _read(self, seed: int) -> Record | None:
        record, damaged = None, {}
        for file in self._files(seed):
            try:
                record, origin = unpack(read_file(file))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                damaged[file] = printable(str(error))
                continue
            self.origin.check(self.directory.parent, origin)
            break
        for file, reason in list(damaged.items())[:1]:
            goes_on = f"goes on from the one before it, at epoch {record.reached}" if record else "starts anew"
            self.notes.append(f"{file}: damaged checkpoint passed over ({reason}); seed {seed} {goes_on}")
        self.damaged += damaged
        return record

    def prepare(self) -> None:
        """Create the directory, and remove damaged files: one must not take the place of the good one before it."""
        make_directory(self.directory)
        remove_leftovers(self.directory / "seed-*")
        for file in self.damaged:
            with contextlib.suppress(OSError):
                file.unlink()

    def save(self, seed: int, record: Record) -> None:
        """Make a record safe; what a seed came to is flushed to the disk at once."""
        newest, previous = self._files(seed)
        now = time.monotonic()
        if not record.outcome and now - self.flushed.get(seed, -SYNC_EVERY) >= SYNC_EVERY and newest.exists():
            self.flushed[seed] = now
            try:
                sync(newest)
                newest.replace(previous)
            except OSError as error:
                raise Failed(f"{newest}: cannot be renamed: {error.strerror or error}") from error
        atomic_write(newest, pack(record, self.origin), durable=bool(record.outcome))

    def drop(self, seeds: Iterable[int]) -> None:
        """Remove the files of `seeds`, and the directory if it is empty then. What cannot be removed does no harm."""
        for seed in seeds:
            for file in self._files(seed):
                with contextlib.suppress(OSError):
                    file.unlink()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _files(self, seed: int) -> tuple[Path, Path]:
        """Return the paths of a seed's newest checkpoint and of the one before."""
        return self.directory / f"seed-{seed}", self.directory / f"seed-{seed}.previous"


def pack(record: Record, origin: Origin) -> bytes:
    """Return a record as sealed bytes."""
    facts: dict[str, Any] = {"origin": vars(origin), "rows": [row.values for row in record.rows]}
    facts["seconds"] = record.seconds
    if record.outcome:
        return seal(facts | {"outcome": record.outcome.facts.model_dump()}, record.outcome.arrays)
    assert record.snapshot, "an unfinished record is saved with a snapshot"
    last, best = record.snapshot.last.epoch, record.snapshot.best.epoch
    return seal(facts | {"last": last, "best": best}, record.snapshot.arrays)


def unpack(data: bytes) -> tuple[Record, dict[str, Any]]:
    """Return what `pack` packed: the record, and its origin's fields. Raises ValueError where it is damaged."""
    facts, arrays = unseal(data)
    try:
        record, origin = Record([Row(*row) for row in facts["rows"]], list(facts["seconds"])), dict(facts["origin"])
        if "outcome" in facts:
            record.outcome = Outcome(SEED_FACTS.validate_python(facts["outcome"]), arrays, origin["data"])
        else:
            record.snapshot = Snapshot(record.rows[facts["last"] - 1], record.rows[facts["best"] - 1], arrays)
    except (LookupError, TypeError) as error:
        raise ValueError(f"not what `pack` writes: {error!r}") from None
    return record, origin
