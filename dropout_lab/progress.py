"""What a person sees while networks train: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dropout_lab.terminal import is_live, say

if TYPE_CHECKING:
    from dropout_lab.execution import EpochDone, Event
    from dropout_lab.schedule import Task

LINE_EVERY = 0.5  # seconds between plain lines where epochs are faster than that

Show = Callable[["Event"], None]


@contextmanager
def shown(epochs: int, quiet: bool = False) -> Iterator[Show]:
    """Give a function that shows the events of a plan of so many epochs, counted over all of its networks."""
    if quiet:
        yield lambda event: None
    elif is_live():
        with _bar(epochs) as show:
            yield show
    else:
        yield _lines(epochs)


class Tally:
    """How far a plan has come, in epochs counted over all networks; a resumed one begins where it was."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.reached: dict[Task, int] = {}
        self.trained = 0
        self.started: float | None = None

    def take(self, event: Event) -> EpochDone | None:
        """Count an event, and return it if an epoch is done."""
        from dropout_lab.execution import EpochDone, SeedDone

        if isinstance(event, SeedDone):  # perhaps early: diverged
            self.reached[event.task] = event.task.job.config.training.epochs
        if not isinstance(event, EpochDone):
            return None
        if self.started is None:  # what comes before the first epoch (imports, data) tells nothing of the others
            self.started = time.monotonic() - event.seconds * len(event.rows)
        self.reached |= {task: row.epoch for task, row in event.rows.items()}
        self.trained += len(event.rows)
        return event

    @property
    def done(self) -> int:
        return sum(self.reached.values())

    @property
    def seconds_left(self) -> float:
        elapsed = time.monotonic() - self.started if self.started else 0.0
        return elapsed / max(1, self.trained) * (self.epochs - self.done)


def _losses(event: EpochDone) -> str:
    """Return the losses and the accuracy of an epoch, means over its networks."""
    rows = list(event.rows.values())
    loss, val_loss, accuracy = (
        sum(getattr(row, name) for row in rows) / len(rows) for name in ("train_loss", "val_loss", "val_accuracy")
    )
    return f"loss {loss:.4f}  val loss {val_loss:.4f}  val accuracy {100 * accuracy:.2f} %"


def _lines(epochs: int) -> Show:
    """Return a function that prints a line per epoch, or one every now and then where epochs are fast."""
    tally, last = Tally(epochs), 0.0

    def show(event: Event) -> None:
        nonlocal last
        if not (epoch := tally.take(event)):
            return
        task, row = next(iter(epoch.rows.items()))
        now, total = time.monotonic(), task.job.config.training.epochs
        if now - last < LINE_EVERY and row.epoch < total:
            return
        last = now
        who = task.job.path.name if len(epoch.rows) == 1 else f"{len(epoch.rows)} networks"
        took = f"{epoch.seconds * len(epoch.rows):.2f} s"
        say(f"epoch {row.epoch}/{total}  {who}  {_losses(epoch)}  {took}  {tally.seconds_left:.0f} s left")

    return show


@contextmanager
def _bar(epochs: int) -> Iterator[Show]:
    """Give a function that moves one bar for the whole plan."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    tally = Tally(epochs)
    columns = BarColumn(), TextColumn("{task.completed}/{task.total} epochs  {task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=epochs)

        def show(event: Event) -> None:
            if epoch := tally.take(event):
                progress.update(bar, completed=tally.done, description=_losses(epoch))

        yield show
