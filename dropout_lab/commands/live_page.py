"""What `--live-page` does: a page on disk that shows the curves so far and reloads itself; in the end it is the report.

Nothing listens and nothing is requested: the browser reads the same file again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dropout_lab.commands.names import Options
from dropout_lab.commands.result import unwritten
from dropout_lab.comparison.looks import Looks
from dropout_lab.execution.units import EpochDone, Event
from dropout_lab.runs.find import called
from dropout_lab.runs.row import Row
from dropout_lab.storage import atomic_write, make_directory

EVERY = 2.0  # seconds between two versions of the page, which the browser reads as often


@contextlib.contextmanager
def watched(options: Options) -> Iterator[Callable[[Event], None]]:
    """Give a function that takes the events of a training, and writes the page now and then; without one, nothing."""
    if options.live_page is None:
        yield lambda event: None
    else:
        page = _LivePage(options.live_page, options.note)
        page.write()
        yield page.take


def finished(options: Options, paths: Sequence[Path]) -> list[str]:
    """Make the page the report about these runs or sweeps, and return a line if that fails."""
    if options.live_page is None:
        return []
    from dropout_lab.report import page

    out, looks = options.live_page, Looks(options.runs)
    problems: list[str] = []
    return unwritten(out, lambda: problems.extend(page.write(paths, options.data, out, looks))) + problems


class _LivePage:
    """The rows so far, by run, seed and epoch: an epoch that comes again, after a worker died, is there once."""

    def __init__(self, out: Path, note: Callable[[str], None]) -> None:
        self.out, self.note = out, note
        self.rows: dict[Path, dict[tuple[int, int], Row]] = {}
        self.epochs: dict[Path, int] = {}
        self.written = -EVERY
        self.lost = False

    def take(self, event: Event) -> None:
        """Take an event, and write the page if it is old."""
        if not isinstance(event, EpochDone):
            return
        for task, row in event.rows.items():
            self.rows.setdefault(task.job.path, {})[row.seed, row.epoch] = row
            self.epochs[task.job.path] = task.job.config.training.epochs
        if time.monotonic() - self.written >= EVERY:
            self.write()

    def write(self) -> None:
        """Write the page. What cannot be written is noted once, and the training goes on."""
        if not self.lost and (lines := unwritten(self.out, self._write)):
            self.lost = True
            self.note(lines[0])
        self.written = time.monotonic()

    def _write(self) -> None:
        from dropout_lab.report.live import page

        make_directory(self.out.parent)
        names = called(self.rows)
        runs = {names[path]: [*rows.values()] for path, rows in self.rows.items()}
        epochs = {names[path]: number for path, number in self.epochs.items()}
        atomic_write(self.out, page(runs, epochs, EVERY).encode(), durable=False)
