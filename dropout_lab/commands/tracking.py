"""Events for TensorBoard, made of what `execution.py` reports while networks train; the training knows nothing of it.

<run>/tensorboard/seed-<n>/    every column of metrics.csv per epoch, and the settings with what the seed came to
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.comparison.metrics import results
from dropout_lab.config.resolve import Config, flatten
from dropout_lab.config.strict_yaml import written
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.execution.environment import require
from dropout_lab.runs.read import Run
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import FinishedSeed, SeedFacts

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from dropout_lab.execution.execute import Event

FLUSH_SECONDS = 5  # so that who watches sees an epoch soon after it is done

Track = Callable[["Event"], None]


def check(tool: str) -> None:
    """Refuse a tool that is unknown or not installed."""
    if tool != "tensorboard":
        raise Refused(Problem("command line", "--track", "must be tensorboard", tool))
    require("tensorboard", "--track", tool)


@contextlib.contextmanager
def tracked(tool: str | None) -> Iterator[Track]:
    """Give a function that writes down the events of a plan, if there is a tool to write them for."""
    if tool is None:
        yield lambda event: None
        return
    from dropout_lab.execution.execute import EpochDone, SeedDone

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
    """Write the events of the seeds of a finished run that have none: they were trained, or begun, untracked."""
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
    """The events of one seed. Where its training goes on from an earlier epoch, those after that are replaced.

    A seed that was begun untracked is left to `complete`, which writes it in full.
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
        if row.epoch <= self.reached:  # a worker died, and another one goes on from the last checkpoint
            self.writer.close()
            self.writer = self._opened(row.epoch)
        self.reached = row.epoch
        with _failing(self.path):
            for column, value in asdict(row).items():
                if column not in ("seed", "epoch"):
                    self.writer.add_scalar(column, value, row.epoch)

    def end(self, config: Config, facts: SeedFacts) -> None:
        """Write the settings and, unless the seed diverged, what it came to; and close."""
        try:
            if self.writer and isinstance(facts, FinishedSeed):
                settings = {key: _plain(value) for key, value in flatten(config).items() if key != "seeds"}
                with _failing(self.path):
                    self.writer.add_hparams(settings, results(facts), run_name=".", global_step=facts.epochs)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self.writer:
            with _failing(self.path):
                self.writer.close()

    def _opened(self, first: int) -> SummaryWriter:
        from torch.utils.tensorboard import SummaryWriter

        replaced = first if self.path.exists() else None
        with _failing(self.path):
            writer = SummaryWriter(self.path, purge_step=replaced, flush_secs=FLUSH_SECONDS)
        return writer


@contextlib.contextmanager
def _failing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into `Failed`; the writer's own thread tells of it a call later."""
    try:
        yield
    except OSError as error:
        raise Failed(f"{path}: cannot be written: {error.strerror}") from error


def _plain(value: object) -> object:
    """Return a setting as TensorBoard takes it: lists and nothing as text."""
    return value if isinstance(value, int | float | str) else written(value)
