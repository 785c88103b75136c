"""Events for TensorBoard in <run>/tensorboard/seed-<n>/, written from what `execution/` reports of a training."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.comparison.metrics import results
from dropout_lab.config.resolve import flatten
from dropout_lab.config.settings import Config
from dropout_lab.config.strict_yaml import written
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.execution.machine import require
from dropout_lab.execution.units import EpochDone, Event, SeedDone
from dropout_lab.runs.read import Run
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import FinishedSeed, SeedFacts
from dropout_lab.storage import failing, read_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

COLUMN, RESULT = "val_loss", "test_accuracy"  # every epoch has the one, every seed that finished the other
FLUSH_SECONDS = 5  # so that an epoch is visible soon after it ends

Track = Callable[[Event], None]


def check(tool: str) -> None:
    """Refuse a tool that is unknown or not installed."""
    if tool != "tensorboard":
        raise Refused(Problem("command line", "--track", "must be tensorboard", tool))
    require("tensorboard", "--track", tool)


@contextlib.contextmanager
def tracked(tool: str | None, lost: list[str]) -> Iterator[Track]:
    """Give a function that writes the events of a plan; without a tool it writes nothing.

    Training goes on if events cannot be written: `lost` gets a line, and the seed has no more events for now.
    """
    if tool is None:
        yield lambda event: None
        return
    open_ones: dict[tuple[Path, int], Events | None] = {}

    def write(at: tuple[Path, int], events: Callable[[], Events | None]) -> None:
        try:
            open_ones[at] = events()
        except Failed as error:
            lost.append(str(error))
            open_ones[at] = None

    def added(at: tuple[Path, int], row: Row) -> Events | None:
        events = open_ones[at] if at in open_ones else Events(*at, first=row.epoch)
        if events:
            events.add(row)
        return events

    def track(event: Event) -> None:
        if isinstance(event, EpochDone):
            for task, row in event.rows.items():
                at = task.job.path, task.seed
                write(at, partial(added, at, row))
        elif isinstance(event, SeedDone) and (own := open_ones.pop((event.task.job.path, event.task.seed), None)):
            write((event.task.job.path, event.task.seed), partial(own.end, event.task.job.config, event.facts))

    try:
        yield track
    finally:
        for at, events in list(open_ones.items()):
            if events:
                write(at, events.close)


def complete(run: Run) -> None:
    """Write the events of the seeds of a finished run that lack some, because they were trained without --track."""
    for seed, facts in run.summary.seeds.items():
        rows = [Row(*row) for row in run.metrics[run.metrics["seed"] == seed].itertuples(index=False, name=None)]
        epochs, ended = known(folder(run.path, seed))
        if epochs != [row.epoch for row in rows] or ended != isinstance(facts, FinishedSeed):
            events = Events(run.path, seed)
            for row in rows:
                events.add(row)
            events.end(run.trained, facts)


def known(path: Path) -> tuple[list[int], bool]:
    """Return which epochs of a seed TensorBoard finds in a folder, and whether it finds the results."""
    if not path.exists():
        return [], False
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        SCALARS,
        EventAccumulator,
    )

    events = EventAccumulator(str(path), size_guidance={SCALARS: 0}).Reload()  # 0: all of them
    tags = events.Tags()[SCALARS]
    return [event.step for event in events.Scalars(COLUMN)] if COLUMN in tags else [], RESULT in tags


def rows_before(path: Path, seed: int, first: int) -> list[Row] | None:
    """Return the epochs of a seed before `first`, from the metrics.csv of its run; None where not all are there."""
    rows: list[Row] = []
    with contextlib.suppress(OSError, ValueError, csv.Error):
        for line in csv.reader(read_file(path / "metrics.csv").decode().splitlines()[1:]):
            if int(line[0]) == seed and int(line[1]) < first:
                rows.append(Row(seed, int(line[1]), *map(float, line[2:])))
    return rows if [row.epoch for row in rows] == list(range(1, first)) else None


def folder(path: Path, seed: int) -> Path:
    """Return where the events of one seed are."""
    return path / "tensorboard" / f"seed-{seed}"


class Events:
    """The events of one seed. What was written of it before is replaced.

    A seed that goes on at a later epoch begins with the epochs before, which metrics.csv has; if it lacks them, the
    seed is skipped here, and `complete` writes all of its events. The writer's thread reports an error of the file
    system one call later, so each call may raise `Failed`.
    """

    def __init__(self, path: Path, seed: int, first: int = 1) -> None:
        """Begin before the epoch `first`."""
        before = rows_before(path, seed, first)
        self.path = folder(path, seed)
        self.reached = 0
        self.writer = self._opened(1) if before is not None else None
        for row in before or ():
            self.add(row)

    def add(self, row: Row) -> None:
        """Write one epoch."""
        if self.writer is None:
            return
        if row.epoch <= self.reached:  # a worker died, and another continues from the last checkpoint
            self.writer.close()
            self.writer = self._opened(row.epoch)
        self.reached = row.epoch
        with failing(self.path, "written"):
            for column, value in asdict(row).items():
                if column not in ("seed", "epoch"):
                    self.writer.add_scalar(column, value, row.epoch)

    def end(self, config: Config, facts: SeedFacts) -> None:
        """Write the settings and the final results, unless the seed diverged, and close."""
        try:
            if self.writer and isinstance(facts, FinishedSeed):
                from torch.utils.tensorboard.summary import hparams

                settings = {key: _plain(value) for key, value in flatten(config).items() if key != "seeds"}
                writer: Any = self.writer
                with failing(self.path, "written"):
                    for summary in hparams(settings, results(facts)):  # type: ignore[no-untyped-call]
                        writer.file_writer.add_summary(summary)  # not add_hparams, which begins another file
                    for key, value in results(facts).items():
                        writer.add_scalar(key, value, facts.epochs)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self.writer:
            with failing(self.path, "written"):
                self.writer.close()

    def _opened(self, first: int) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        replaced = first if self.path.exists() else None
        # Files of one second are read in the order of a count in their names, 10 before 9: wait for the next second.
        while any(f".{int(time.time())}." in file.name for file in self.path.glob("events.*")):
            time.sleep(0.05)
        with failing(self.path, "written"):
            return SummaryWriter(self.path, purge_step=replaced, flush_secs=FLUSH_SECONDS)


def _plain(value: object) -> object:
    """Return a setting as TensorBoard takes it: lists and None as text."""
    return value if isinstance(value, int | float | str) else written(value)
