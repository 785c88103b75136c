"""Units to workers elsewhere: each free slot gets one, and what comes back is given on, every epoch exactly once.

Knows nothing of Dask: `cluster.py` is the engine, and `benchmarks/cluster.py` another one, without networks.
"""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from dropout_lab.errors import LabError
from dropout_lab.execution import ATTEMPTS, Source, Writers
from dropout_lab.remote import Lost, Returned
from dropout_lab.runs import Row
from dropout_lab.schedule import Task, Unit, named
from dropout_lab.workers import Message, Progress, Stopped

if TYPE_CHECKING:
    from dropout_lab.training import Lane

Report = Mapping[str, Any] | Returned | BaseException  # epochs on the way, the result, or why there is none
NOTHING: tuple[Unit, Message] = ((), Stopped())


class Engine(Protocol):
    """Who trains: slots to fill, and a stream of what is reported of the units sent."""

    def free(self) -> str | None:
        """Return the address of a worker with a free slot, if there is one."""

    def send(self, key: str, address: str, lanes: Sequence[Lane]) -> str:
        """Start a unit as `key` on a worker; return what to call that worker."""

    def reports(self) -> Iterator[tuple[str, Report]]:
        """Wait until something happens, and return what is reported, by the key of the unit."""

    def notes(self) -> list[str]:
        """Return, once, what a person should know of the workers."""


@dataclass
class Sent:
    """A unit on its way: who has it, and how many epochs of which start of its training have been given on."""

    unit: Unit
    where: str
    run: str = ""
    epochs: int = 0


def distribute(engine: Engine, units: deque[Unit], writers: Writers) -> Source:
    """Have the units trained by the engine's workers, and yield what they report.

    A unit whose worker is lost starts again elsewhere, as often as that happens. One that takes its own process down
    with it, or fails on the way for reasons of its own, is given up after ATTEMPTS.
    """
    attempts: Counter[Task] = Counter()
    sent: dict[str, Sent] = {}
    while True:
        while (address := engine.free()) and (taken := writers.take(units)):
            key = f"dropout-lab-unit-{uuid.uuid4().hex}"
            sent[key] = Sent(taken[0], engine.send(key, address, taken[1]))
        if not sent and not units:
            return
        reports = engine.reports()
        if notes := engine.notes():
            writers.notes += notes
            yield NOTHING
        for key, report in reports:
            if key not in sent:  # of a unit that is elsewhere by now
                continue
            own = sent[key]
            if isinstance(report, Mapping):
                for epoch in fresh(own, report["run"], report["first"], map(progress, report["epochs"]), writers):
                    yield own.unit, replace(epoch, where=own.where)
                continue
            del sent[key]
            reason = ""
            if isinstance(report, Returned):
                for message in result(own, report, writers):
                    yield own.unit, message
                if report.died:
                    reason = f"its worker process died ({report.died}) on {own.where}"
            elif isinstance(report, LabError):
                raise report
            elif not isinstance(report, Lost):
                reason = f"{type(report).__name__}: {report}".splitlines()[0]
            left = writers.left(own.unit)
            attempts.update(left if reason else ())
            if any(attempts[task] >= ATTEMPTS for task in left):
                yield left, Stopped(reason)
            elif left:
                if reason:
                    writers.notes.append(f"{named(left)}: {reason}; tried once more")
                    yield NOTHING
                units.appendleft(left)


def progress(epoch: tuple[float, Sequence[tuple[int, Sequence[Any]]]]) -> Progress:
    """Return an epoch as it was before it was told."""
    seconds, rows = epoch
    return Progress({lane: Row(*values) for lane, values in rows}, seconds, {})


def fresh(own: Sent, run: str, first: int, epochs: Iterator[Progress], writers: Writers) -> Iterator[Progress]:
    """Yield those of the epochs, numbered from `first`, that come next; none where one before them is missing."""
    if run != own.run:  # Dask has started the task again: its rows come once more
        for task in writers.left(own.unit) if own.run else ():
            writers[task.job].resume(task.seed)
        own.run, own.epochs = run, 0
    for number, epoch in enumerate(epochs, start=first):
        if number == own.epochs:
            own.epochs += 1
            yield epoch


def result(own: Sent, returned: Returned, writers: Writers) -> Iterator[Message]:
    """Yield all that a unit came to and that has not been given on."""
    number = 0
    for message in returned.messages:
        if isinstance(message, Progress):
            yield from (
                replace(new, where=own.where) for new in fresh(own, returned.run, number, iter([message]), writers)
            )
            number += 1
        else:
            yield message
