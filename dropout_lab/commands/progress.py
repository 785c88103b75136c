"""What a person sees on stderr while networks train: a bar and a table of runs on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.cost import seconds as seconds_of
from dropout_lab.execution.units import EpochDone, Event, SeedDone, Task, UnitFailed
from dropout_lab.terminal import is_live, say

if TYPE_CHECKING:
    from rich.console import Group

LINE_EVERY = 0.5  # seconds between plain lines where epochs are faster than that
WIDE = 100  # columns for a bar with losses and accuracy beside it; a narrower terminal shows the accuracy only
MOST_LINES = 20  # runs in the table; of more runs, those in training and those that ended last

Show = Callable[[Event], None]


@contextmanager
def shown(
    epochs: int, quiet: bool = False, runs: Mapping[Path, int] | None = None, work: float | None = None
) -> Iterator[Show]:
    """Give a function that shows the events of a plan.

    epochs: of all networks together. runs: each run's directory, with its epochs; several runs are shown as a table.
    work: the cost of all networks, from which the remaining time is estimated if some epochs take longer than others.
    """
    if quiet:
        yield lambda event: None
    elif is_live():
        with _live(Tally(epochs, work), runs or {}) as show:
            yield show
    else:
        yield _lines(Tally(epochs, work))


class Tally:
    """How far a plan has come, in epochs over all networks. The time left is estimated from the `work` of each epoch.

    Without `work` all epochs count the same. A resumed network starts at its last checkpoint.
    """

    def __init__(self, epochs: int, work: float | None = None) -> None:
        self.epochs, self.work = epochs, float(epochs) if work is None else work
        self.alike = work is None
        self.reached: dict[Task, int] = {}
        self.spent = 0.0
        self.started: float | None = None

    def take(self, event: Event) -> EpochDone | None:
        """Count an event, and return it if it is the end of an epoch."""
        if isinstance(event, SeedDone):  # perhaps early: diverged
            self.reached[event.task] = event.task.job.config.training.epochs
        if not isinstance(event, EpochDone):
            return None
        if self.started is None:  # the time before the first epoch (imports, data) says nothing about epochs
            self.started = time.monotonic() - event.seconds * len(event.rows)
        self.reached |= {task: row.epoch for task, row in event.rows.items()}
        self.spent += sum(map(self._epoch, event.rows))
        return event

    def _epoch(self, task: Task) -> float:
        """Return the work of one epoch of a task."""
        config = task.job.config
        return 1.0 if self.alike else seconds_of(config) / config.training.epochs

    @property
    def done(self) -> int:
        return sum(self.reached.values())

    @property
    def seconds_left(self) -> float:
        elapsed = time.monotonic() - self.started if self.started else 0.0
        done = sum(epochs * self._epoch(task) for task, epochs in self.reached.items())
        return elapsed / self.spent * max(0.0, self.work - done) if self.spent else 0.0


def _losses(event: EpochDone) -> str:
    """Return the losses and the accuracy of an epoch, means over its networks."""
    rows = list(event.rows.values())
    loss, val_loss, accuracy = (
        sum(getattr(row, name) for row in rows) / len(rows) for name in ("train_loss", "val_loss", "val_accuracy")
    )
    return f"loss {loss:.4f}  val loss {val_loss:.4f}  val accuracy {100 * accuracy:.2f} %"


def _failure(event: Event) -> str | None:
    """Return a line for a unit that failed. It is said at once, and again at the end."""
    if not isinstance(event, UnitFailed):
        return None
    return f"failed  {', '.join(f'{task.job.path.name} seed {task.seed}' for task in event.unit)}  {event.reason}"


def _lines(tally: Tally) -> Show:
    """Return a function that prints a line per epoch, or a line every half second if epochs are faster."""
    last = 0.0

    def show(event: Event) -> None:
        nonlocal last
        if failure := _failure(event):
            say(failure)
        if not (epoch := tally.take(event)):
            return
        task, row = next(iter(epoch.rows.items()))
        now, total = time.monotonic(), task.job.config.training.epochs
        if now - last < LINE_EVERY and row.epoch < total:
            return
        last = now
        who = task.job.path.name if len(epoch.rows) == 1 else f"{len(epoch.rows)} networks"
        who += f" on {epoch.where}" * bool(epoch.where)
        took = f"{epoch.seconds * len(epoch.rows):.2f} s"
        say(f"epoch {row.epoch}/{total}  {who}  {_losses(epoch)}  {took}  {tally.seconds_left:.0f} s left")

    return show


@dataclass
class Standing:
    """How far one run of a plan is: epochs over its seeds, the last validation accuracy, and how its seeds ended."""

    epochs: int
    done: int = 0
    accuracy: float | None = None
    ended: int = 0  # when, as the number of the event; 0: not yet
    diverged: int = 0
    failed: bool = False
    where: str = ""  # the worker of a cluster that reported last

    @property
    def state(self) -> str:
        """The state in one or two words."""
        if self.failed:
            return "failed"
        if self.ended:
            return f"done, {self.diverged} diverged" if self.diverged else "done"
        return "training" if self.done else "waiting"


class Board:
    """The runs of a plan as a table that is drawn again and again."""

    def __init__(self, runs: Mapping[Path, int]) -> None:
        self.runs = {path: Standing(epochs) for path, epochs in runs.items()}
        self.events = 0

    def take(self, event: Event, reached: Mapping[Task, int]) -> None:
        """Update the runs of an event; `reached` are the epochs of all tasks so far."""
        self.events += 1
        if isinstance(event, EpochDone):
            for task, row in event.rows.items():
                self.runs[task.job.path].accuracy = row.val_accuracy
                self.runs[task.job.path].where = event.where
        elif isinstance(event, SeedDone):
            self.runs[event.task.job.path].diverged += event.facts.status == "diverged"
        elif isinstance(event, UnitFailed):
            for task in event.unit:
                self.runs[task.job.path].failed = True
        done = Counter[Path]()
        for task, epochs in reached.items():
            done[task.job.path] += epochs
        for path, standing in self.runs.items():
            standing.done = done[path]
            if standing.done >= standing.epochs or standing.failed:
                standing.ended = standing.ended or self.events

    def rows(self, most: int) -> list[Path]:
        """Return the runs to show, in the order of the plan; of too many, those in training and those just ended."""
        if len(self.runs) <= most:
            return list(self.runs)
        rank = {"training": 0, "waiting": 2}
        by_need = sorted(self.runs, key=lambda path: (rank.get(self.runs[path].state, 1), -self.runs[path].ended))
        chosen = set(by_need[:most])
        return [path for path in self.runs if path in chosen]

    def picture(self, height: int) -> Group:
        """Return the table, and how many runs it leaves out, in at most `height` lines."""
        from rich.console import Group
        from rich.table import Column, Table
        from rich.text import Text

        name = Column("run", overflow="ellipsis")  # the one to give way where it is too wide
        others = [Column(title, justify="right", no_wrap=True) for title in ("epochs", "val acc. %")]
        table = Table(name, *others, Column("state", no_wrap=True), box=None, pad_edge=False, padding=(0, 2, 0, 0))
        rows = self.rows(max(1, min(MOST_LINES, height - 2)))
        for path in rows:
            run = self.runs[path]
            accuracy = "-" if run.accuracy is None else f"{100 * run.accuracy:.2f}"
            doing = f"training on {run.where}" if run.where and run.state == "training" else run.state
            table.add_row(Text(path.name, no_wrap=True), f"{run.done}/{run.epochs}", accuracy, Text(doing))
        states = Counter(run.state.partition(",")[0] for path, run in self.runs.items() if path not in rows)
        more = f"and {states.total()} more: " + ", ".join(f"{number} {state}" for state, number in states.items())
        return Group(table, Text(more)) if states else Group(table)


@contextmanager
def _live(tally: Tally, runs: Mapping[Path, int]) -> Iterator[Show]:
    """Give a function that moves one bar for the whole plan; several runs have a table above it."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    board, several = Board(runs), len(runs) > 1
    console = Console(stderr=True)
    texts = TextColumn("{task.completed}/{task.total} epochs"), TextColumn("{task.description}")
    left = TextColumn("{task.fields[left]}", style="progress.remaining")
    progress = Progress(BarColumn(None if several else 20), *texts, left, console=console)
    bar = progress.add_task("", total=tally.epochs, left="")

    def picture() -> Group:
        return Group(board.picture(console.height - 2), progress) if several else Group(progress)

    def show(event: Event) -> None:
        epoch = tally.take(event)
        if failure := _failure(event):
            console.print(Text(failure))
        if several:
            board.take(event, tally.reached)
        if epoch:
            losses = "" if several else _losses(epoch)
            text = losses if console.width >= WIDE else losses.rpartition("  ")[2]
            remaining = str(timedelta(seconds=round(tally.seconds_left)))
            progress.update(bar, completed=tally.done, description=text, left=remaining)

    with Live(console=console, get_renderable=picture, transient=True):
        yield show
