"""Checkpoints: one sealed file per seed with all that is known of it, and the file before it. No torch here.

`seed-<n>` is written after every epoch without waiting for the disk, so it survives the death of the process. Every two
seconds it is flushed to the disk and becomes `seed-<n>.previous`, which survives a loss of power as well. If a file is
damaged, the seed goes on from the file before it; if both are damaged, the seed starts anew.
"""

from __future__ import annotations

import contextlib
import errno
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dropout_lab.errors import MOVE_AWAY, Failed, Problem, Refused, printable
from dropout_lab.runs.row import Outcome, Row, Snapshot
from dropout_lab.runs.summary import SEED_FACTS
from dropout_lab.storage import atomic_write, failing, make_directory, read_file, remove_leftovers, seal, sync, unseal

NAME = re.compile(r"seed-([0-9]{1,20})(\.previous)?", re.ASCII)
NO_FILE = {errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.ENXIO, errno.EISDIR}  # no checkpoint, whoever reads it
SYNC_EVERY = 2.0  # seconds between flushes; a flush takes longer than everything else in saving


@dataclass
class Record:
    """What is known of one seed: its rows, the seconds each took, and a snapshot or, once it has ended, its outcome."""

    rows: list[Row] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    snapshot: Snapshot | None = None
    outcome: Outcome | None = None

    @property
    def reached(self) -> int:
        """The last epoch in the snapshot, after which training goes on."""
        return self.snapshot.last.epoch if self.snapshot else 0


@dataclass(frozen=True)
class Origin:
    """What a training started from: the identity of its config, and the SHA-256 of its data."""

    config: str
    data: str

    def check(self, path: Path, recorded: Mapping[str, object]) -> None:
        """Raise `Refused` if the files in the run directory `path` were `recorded` with another origin."""
        for key, value in vars(self).items():
            if recorded.get(key) != value:
                reason = f"the {key} changed since this run was begun; change it back, or {MOVE_AWAY}"
                raise Refused(Problem(str(path), key, reason, value))


class Checkpoints:
    """The checkpoints of the run directory `path`. Reading changes nothing; call `prepare` before the first `save`."""

    def __init__(self, path: Path, origin: Origin) -> None:
        self.directory, self.origin = path / "checkpoint", origin
        self.damaged: list[Path] = []
        self.flushed: dict[int, float] = {}  # when each seed last was flushed, on the monotonic clock
        self.notes: list[str] = []  # a line for each seed that has a damaged file, after one on a lock that is none

    def read(self) -> dict[int, Record]:
        """Return the record of every seed. Raises `Refused` if one has another origin.

        A damaged file is passed over. One that cannot be read now, for want of a right or of the network, may be whole,
        and would be removed: that raises `Failed`.
        """
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
                if isinstance(error, OSError) and error.errno not in NO_FILE:
                    reason = f"cannot be read: {error.strerror}; try again, or move this file away to do without it"
                    raise Failed(f"{file}: {reason}") from error
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
        """Create the directory and remove damaged files, so that none of them replaces the good file before it."""
        make_directory(self.directory)
        remove_leftovers(self.directory / "seed-*")
        for file in self.damaged:
            with contextlib.suppress(OSError):
                file.unlink()

    def save(self, seed: int, record: Record) -> None:
        """Write the record of a seed; once the seed has ended, flush the file to the disk at once."""
        newest, previous = self._files(seed)
        now = time.monotonic()
        if not record.outcome and now - self.flushed.get(seed, -SYNC_EVERY) >= SYNC_EVERY and newest.exists():
            self.flushed[seed] = now
            with failing(newest, "renamed"):
                sync(newest)
                newest.replace(previous)
        atomic_write(newest, pack(record, self.origin), durable=bool(record.outcome))

    def drop(self, seeds: Iterable[int]) -> None:
        """Remove the files of `seeds`, and the directory if it is then empty. A file that stays does no harm."""
        for seed in seeds:
            for file in self._files(seed):
                with contextlib.suppress(OSError):
                    file.unlink()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def _files(self, seed: int) -> tuple[Path, Path]:
        """Return the paths of a seed's newest checkpoint and of the checkpoint before it."""
        return self.directory / f"seed-{seed}", self.directory / f"seed-{seed}.previous"


def begun_on(path: Path) -> str | None:
    """Return the SHA-256 of the data that an unfinished run was begun on; None if no checkpoint can be read."""
    for file in sorted((path / "checkpoint").glob("seed-*")):
        with contextlib.suppress(OSError, ValueError, LookupError):
            return str(unpack(read_file(file))[1]["data"])
    return None


def pack(record: Record, origin: Origin) -> bytes:
    """Return a record as sealed bytes."""
    facts = {"origin": vars(origin), "rows": [row.values for row in record.rows], "seconds": record.seconds}
    if record.outcome:
        return seal(facts | {"outcome": record.outcome.facts.model_dump()}, record.outcome.arrays)
    assert record.snapshot, "an unfinished record is saved with a snapshot"
    last, best = record.snapshot.last.epoch, record.snapshot.best.epoch
    return seal(facts | {"last": last, "best": best}, record.snapshot.arrays)


def unpack(data: bytes) -> tuple[Record, dict[str, Any]]:
    """Return the record that `pack` packed, and the fields of its origin. Raises ValueError for damaged bytes."""
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
