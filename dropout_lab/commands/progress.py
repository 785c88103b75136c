"""What a person sees on stderr while networks train: lines of epochs, and on a terminal a bar and a table of runs."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.commands.chart import CURVES, chart, span
from dropout_lab.cost import seconds as seconds_of
from dropout_lab.execution.units import EpochDone, Event, SeedDone, Task, UnitFailed, named
from dropout_lab.runs.find import called
from dropout_lab.runs.row import Row
from dropout_lab.terminal import is_live, say
from dropout_lab.text import SPARKS, count, sparkline

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

CHART = 16  # lines of a chart, at most
SHARE, SECONDS = 0.02, 10.0  # the next line is due when so much more of the work is done, or after so many seconds
FEW = 4  # runs whose epochs are shown as lines on a terminal; of more, the table is enough
WIDE = 80  # columns of a terminal whose table has a curve for each run
MOST_LINES = 20  # runs in the table; of more runs, those in training and those that ended last

Show = Callable[[Event], None]


@contextmanager
def shown(
    epochs: int,
    quiet: bool = False,
    runs: Mapping[Path, int] | None = None,
    work: float | None = None,
    charts: bool = False,
) -> Iterator[Show]:
    """Give a function that shows the events of a plan.

    epochs: of all networks together. runs: each run's directory, with its epochs; several runs are shown as a table.
    work: the cost of all networks, from which the remaining time is estimated if some epochs take longer than others.
    charts: whether a terminal has a chart of the losses of each run, if there are at most 4.
    """
    if quiet:
        yield lambda event: None
    elif is_live():
        with _live(Tally(epochs, work), runs or {}, charts) as show:
            yield show
    else:
        yield _lines(Tally(epochs, work), runs or ())


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
    def share(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        done = sum(epochs * self._epoch(task) for task, epochs in self.reached.items())
        return min(1.0, done / self.work) if self.work else 1.0

    @property
    def seconds_left(self) -> float:
        elapsed = time.monotonic() - self.started if self.started else 0.0
        return elapsed / self.spent * self.work * (1 - self.share) if self.spent else 0.0


class Lines:
    """The lines of epochs: one for each epoch, or one every 2 % of the work or 10 s if epochs are faster than that."""

    def __init__(self, tally: Tally, runs: Iterable[Path]) -> None:
        self.tally, self.names = tally, called(runs)
        self.share, self.time = -math.inf, -math.inf  # of the last line

    def of(self, epoch: EpochDone) -> str | None:
        """Return the line of an epoch that the tally has counted, means over its networks; None if it is not due."""
        now, share = time.monotonic(), self.tally.share
        if share - self.share < SHARE and now - self.time < SECONDS:
            return None
        self.share, self.time = share, now
        tasks, rows = list(epoch.rows), list(epoch.rows.values())
        loss, accuracy, val_loss, val_accuracy = (
            sum(getattr(row, name) for row in rows) / len(rows)
            for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        )
        path, *others = {task.job.path for task in tasks}
        name = self.names.get(path, path.name)
        who = count(len(rows), "network") if others else f"{name}, {count(len(rows), 'seed')}"
        who += f" on {epoch.where}" * bool(epoch.where)
        return (
            f"epoch {rows[0].epoch}/{tasks[0].job.config.training.epochs}  {who}  "
            f"loss {loss:.4f}, {100 * accuracy:.2f} %  val {val_loss:.4f}, {100 * val_accuracy:.2f} %  "
            f"{epoch.seconds * len(rows):.2f} s"
        )


def _failure(event: Event) -> str | None:
    """Return a line for a unit that failed. It is said at once, and again at the end."""
    if not isinstance(event, UnitFailed):
        return None
    return f"failed  {named(event.unit)}  {event.reason}"


def _lines(tally: Tally, runs: Iterable[Path]) -> Show:
    """Return a function that prints failures, and the lines of epochs."""
    lines = Lines(tally, runs)

    def show(event: Event) -> None:
        if failure := _failure(event):
            say(failure)
        if (epoch := tally.take(event)) and (line := lines.of(epoch)):
            say(f"{line}  {tally.seconds_left:.0f} s left")

    return show


@dataclass
class Standing:
    """How far one run of a plan is: epochs over its seeds, the last validation accuracy, and how its seeds ended."""

    epochs: int
    done: int = 0
    accuracy: float | None = None
    losses: dict[str, dict[int, list[float]]] = field(default_factory=dict)  # by column and epoch, of each seed
    ended: int = 0  # when, as the number of the event; 0: not yet
    diverged: int = 0
    failed: bool = False
    where: str = ""  # the worker of a cluster that reported last

    def add(self, row: Row) -> None:
        """Take the row of an epoch of one seed."""
        self.accuracy = row.val_accuracy
        for column in CURVES:
            self.losses.setdefault(column, {}).setdefault(row.epoch, []).append(getattr(row, column))

    @property
    def curves(self) -> dict[str, list[float]]:
        """The losses by column, means over the seeds, in the order of the epochs."""
        return {
            column: [sum(values) / len(values) for _, values in sorted(epochs.items())]
            for column, epochs in self.losses.items()
        }

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
        self.names = called(runs)
        self.asked: dict[Path, int] = {}  # the epochs of one network of each run that has begun
        self.events = 0

    def take(self, event: Event, reached: Mapping[Task, int]) -> None:
        """Update the runs of an event; `reached` are the epochs of all tasks so far."""
        self.events += 1
        if isinstance(event, EpochDone):
            for task, row in event.rows.items():
                self.runs[task.job.path].add(row)
                self.runs[task.job.path].where = event.where
                self.asked[task.job.path] = task.job.config.training.epochs
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

    def picture(self, height: int, width: int) -> Group:
        """Return the table, and how many runs it leaves out, in at most `height` lines; with curves if they fit."""
        from rich.console import Group
        from rich.table import Column, Table
        from rich.text import Text

        name = Column("run", overflow="ellipsis")  # the one to give way where it is too wide
        others = [Column(title, justify="right", no_wrap=True) for title in ("epochs", "val acc. %")]
        others += [Column("val loss", no_wrap=True, min_width=SPARKS)] * (width >= WIDE)
        table = Table(name, *others, Column("state", no_wrap=True), box=None, pad_edge=False, padding=(0, 2, 0, 0))
        rows = self.rows(max(1, min(MOST_LINES, height - 2)))
        for path in rows:
            run = self.runs[path]
            accuracy = "-" if run.accuracy is None else f"{100 * run.accuracy:.2f}"
            doing = f"training on {run.where}" if run.where and run.state == "training" else run.state
            curve = [sparkline(run.curves.get("val_loss", []))] * (width >= WIDE)
            cells = [f"{run.done}/{run.epochs}", accuracy, *curve]
            table.add_row(Text(self.names[path], no_wrap=True), *cells, Text(doing))
        states = Counter(run.state.partition(",")[0] for path, run in self.runs.items() if path not in rows)
        more = f"and {states.total()} more: " + ", ".join(f"{number} {state}" for state, number in states.items())
        return Group(table, Text(more)) if states else Group(table)

    def charts(self, height: int, width: int) -> Table:
        """Return the losses of each run that has begun, side by side with the same axes."""
        from rich.table import Table

        begun = {path: self.runs[path].curves for path in self.asked}
        grid, each = Table.grid(), width // max(1, len(begun))
        losses = span([*begun.values()])
        size = each - 1, min(CHART, height)
        grid.add_row(*(chart(self.names[path], own, self.asked[path], losses, *size) for path, own in begun.items()))
        return grid


@contextmanager
def _live(tally: Tally, runs: Mapping[Path, int], charts: bool) -> Iterator[Show]:
    """Give a function that moves one bar for the whole plan, below the lines of epochs and the charts or a table."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    board, lines, few = Board(runs), Lines(tally, runs), len(runs) <= FEW
    console = Console(stderr=True)
    texts = TextColumn("{task.completed}/{task.total} epochs")
    left = TextColumn("{task.fields[left]}", style="progress.remaining")
    progress = Progress(BarColumn(None), texts, left, console=console)
    bar = progress.add_task("", total=tally.epochs, left="")

    def picture() -> Group:
        size = console.height - 2, console.width
        if charts and few:
            return Group(board.charts(*size), progress)
        return Group(board.picture(*size), progress) if len(runs) > 1 else Group(progress)

    def show(event: Event) -> None:
        epoch = tally.take(event)
        if failure := _failure(event):
            console.print(Text(failure))
        if runs:
            board.take(event, tally.reached)
        if epoch:
            if few and not charts and (line := lines.of(epoch)):
                console.print(Text(line, no_wrap=True, overflow="ellipsis"))
            remaining = str(timedelta(seconds=round(tally.seconds_left)))
            progress.update(bar, completed=tally.done, left=remaining)

    with Live(console=console, get_renderable=picture, transient=True):
        yield show
