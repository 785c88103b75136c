"""What a person sees while networks train: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dropout_lab.execution import EpochDone, Event

LINE_EVERY = 0.5  # seconds between plain lines where epochs are faster than that


def say(text: str) -> None:
    """Write one line to stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def shown(epochs: int, quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """Give a function that shows the events of a plan with `epochs` epochs to train, counted over all networks."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty() and not os.environ.get("CI"):
        with _bar(epochs) as show:
            yield show
    else:
        yield _lines(epochs)


def _losses(event: EpochDone) -> str:
    """Return the losses and the accuracy of an epoch, means over its networks."""
    rows = list(event.rows.values())
    loss, val_loss, accuracy = (
        sum(getattr(row, name) for row in rows) / len(rows) for name in ("train_loss", "val_loss", "val_accuracy")
    )
    return f"loss {loss:.4f}  val loss {val_loss:.4f}  val accuracy {100 * accuracy:.2f} %"


def _lines(epochs: int) -> Callable[[Event], None]:
    """Return a function that prints a line per epoch of a unit."""
    from dropout_lab.execution import EpochDone

    started, last, done = time.monotonic(), 0.0, 0

    def show(event: Event) -> None:
        nonlocal last, done
        if not isinstance(event, EpochDone):
            return
        done += len(event.rows)
        task, row = next(iter(event.rows.items()))
        now, total = time.monotonic(), task.job.config.training.epochs
        if now - last < LINE_EVERY and row.epoch < total:
            return
        last = now
        left = (now - started) / done * (epochs - done)
        who = task.job.path.name if len(event.rows) == 1 else f"{len(event.rows)} networks"
        took = event.seconds * len(event.rows)
        say(f"epoch {row.epoch}/{total}  {who}  {_losses(event)}  {took:.2f} s  {left:.0f} s left")

    return show


@contextmanager
def _bar(epochs: int) -> Iterator[Callable[[Event], None]]:
    """Give a function that moves one bar for the whole plan."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from dropout_lab.execution import EpochDone

    columns = BarColumn(), TextColumn("{task.completed}/{task.total} epochs  {task.description}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=epochs)

        def show(event: Event) -> None:
            if isinstance(event, EpochDone):
                progress.update(bar, advance=len(event.rows), description=_losses(event))

        yield show
