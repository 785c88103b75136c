"""Events for TensorBoard in <run>/tensorboard/seed-<n>/, written from what `execution/` reports of a training."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.comparison.metrics import results
from dropout_lab.config.resolve import flatten
from dropout_lab.config.settings import Config
from dropout_lab.config.strict_yaml import written
from dropout_lab.errors import Problem, Refused
from dropout_lab.execution.machine import require
from dropout_lab.execution.units import EpochDone, Event, SeedDone
from dropout_lab.runs.read import Run
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import FinishedSeed, SeedFacts
from dropout_lab.storage import failing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FLUSH_SECONDS = 5  # so that an epoch is visible soon after it ends

Track = Callable[[Event], None]


def check(tool: str) -> None:
    """Refuse a tool that is unknown or not installed."""
    if tool != "tensorboard":
        raise Refused(Problem("command line", "--track", "must be tensorboard", tool))
    require("tensorboard", "--track", tool)


@contextlib.contextmanager
def tracked(tool: str | None) -> Iterator[Track]:
    """Give a function that writes the events of a plan; without a tool it writes nothing."""
    if tool is None:
        yield lambda event: None
        return
    open_ones: dict[tuple[Path, int], Events] = {}

    def track(event: Event) -> None:
        if isinstance(event, EpochDone):
            for task, row in event.rows.items():
                at = task.job.path, task.seed
                if at not in open_ones:
                    open_ones[at] = Events(*at, first=row.epoch)
                open_ones[at].add(row)
        elif isinstance(event, SeedDone) and (own := open_ones.pop((event.task.job.path, event.task.seed), None)):
            own.end(event.task.job.config, event.facts)

    try:
        yield track
    finally:
        for events in open_ones.values():
            events.close()


def complete(run: Run) -> None:
    """Write the events of the seeds of a finished run that have none, because they were trained without --track."""
    for seed in run.seeds:
        if not folder(run.path, seed).exists():
            rows = run.metrics[run.metrics["seed"] == seed]
            events = Events(run.path, seed)
            for row in rows.itertuples(index=False, name=None):
                events.add(Row(*row))
            events.end(run.config, run.summary.seeds[seed])


def folder(path: Path, seed: int) -> Path:
    """Return where the events of one seed are."""
    return path / "tensorboard" / f"seed-{seed}"


class Events:
    """The events of one seed. If its training resumes at an earlier epoch, the later events are replaced.

    A seed whose first epochs were not tracked is skipped here; `complete` writes all of its events. The writer's thread
    reports an error of the file system one call later, so each call may raise `Failed`.
    """

    def __init__(self, path: Path, seed: int, first: int = 1) -> None:
        """Begin with the epoch `first`."""
        self.path = folder(path, seed)
        self.reached = first - 1
        self.writer = self._opened(first) if first == 1 or self.path.exists() else None

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
                settings = {key: _plain(value) for key, value in flatten(config).items() if key != "seeds"}
                with failing(self.path, "written"):
                    self.writer.add_hparams(settings, results(facts), run_name=".", global_step=facts.epochs)
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
