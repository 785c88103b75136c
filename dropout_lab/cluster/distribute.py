"""Give units to workers elsewhere, one to each free slot, and pass on what they report, every epoch exactly once.

This module knows nothing of Dask. `tasks.py` has Dask's workers; `benchmarks/cluster.py` simulates some.
"""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from dropout_lab.cluster.worker import Lost, Returned, WorkerLost
from dropout_lab.errors import LabError
from dropout_lab.execution.execute import Messages, Writers
from dropout_lab.execution.sources import ATTEMPTS
from dropout_lab.execution.units import Task, Unit, named
from dropout_lab.execution.workers import Message, Progress, Stopped
from dropout_lab.runs.row import Row
from dropout_lab.training import Ended, Lane

Report = Mapping[str, Any] | Returned | BaseException  # epochs on the way, the result, or why there is none
NOTHING: tuple[Unit, Message] = ((), Stopped())  # makes the receiver look at the remarks

LOSSES = 10  # after so many workers in a row were lost with a unit, the unit is given up
STRIKES = 2  # after so many units have failed on a worker and were trained elsewhere, the worker gets no more


class RemoteWorkers(Protocol):
    """Workers elsewhere: slots for units, and a stream of reports on the units sent."""

    def room(self) -> Mapping[str, int]:
        """Return the number of free slots of every worker that is there, by its address."""

    def send(self, key: str, address: str, lanes: Sequence[Lane]) -> str:
        """Start a unit as `key` on a worker. Return what messages call that worker."""

    def reports(self) -> Iterator[tuple[str, Report]]:
        """Wait until something happens, and return the reports, each with the key of its unit."""

    def notes(self) -> list[str]:
        """Return the remarks on the workers since the last call."""


@dataclass
class Sent:
    """A unit that was sent: its worker, and how many epochs of which start of its training have been passed on."""

    unit: Unit
    address: str
    where: str
    run: str = ""
    epochs: int = 0


class Blame:
    """Decides who is at fault when a unit fails: the unit, if it fails on two workers; the worker, if not.

    So the second try goes to another worker, and to one that has trained something if there is one. Until the second
    try is over, the first worker gets nothing. A worker on which units fail is free soonest, and would spoil one unit
    after another.
    """

    def __init__(self) -> None:
        self.attempts: Counter[Task] = Counter()
        self.losses: Counter[Task] = Counter()
        self.suspects: dict[str, Unit] = {}  # by worker: the unit that failed there and was not tried elsewhere yet
        self.strikes: Counter[str] = Counter()
        self.proven: set[str] = set()

    def tried(self, unit: Unit) -> bool:
        """Say whether a unit has failed before."""
        return any(self.attempts[task] for task in unit)

    def choose(self, unit: Unit, room: Mapping[str, int]) -> str | None:
        """Return the worker for a unit, None if it must wait. A doubtful worker is chosen only if all are doubtful."""
        sound = [address for address in room if address not in self.suspects and self.strikes[address] < STRIKES]
        proven = [address for address in sound if address in self.proven] if self.tried(unit) else []
        best = max(proven or sound or room, key=room.__getitem__, default=None)
        return best if best and room[best] else None

    def succeeded(self, sent: Sent) -> str:
        """Note that a unit was trained. If it failed elsewhere before, return the remark on that worker, if any."""
        self.proven.add(sent.address)
        for task in sent.unit:
            self.losses.pop(task, None)
        failed_at = next((address for address, unit in self.suspects.items() if {*unit} & {*sent.unit}), sent.address)
        self.suspects.pop(failed_at, None)
        if failed_at == sent.address:
            return ""
        self.strikes[failed_at] += 1
        reason = f"{STRIKES} units failed there that were trained elsewhere: it gets no more"
        return f"worker {failed_at.rpartition('//')[2]}: {reason}" if self.strikes[failed_at] == STRIKES else ""

    def failed(self, sent: Sent, left: Unit) -> bool:
        """Note that what is `left` of a unit failed on its worker. Say whether that was its last try."""
        self.attempts.update(left)
        self.suspects = {address: unit for address, unit in self.suspects.items() if not {*unit} & {*left}}
        if any(self.attempts[task] >= ATTEMPTS for task in left):
            return True
        self.suspects[sent.address] = left
        return False

    def lost(self, left: Unit) -> bool:
        """Note that a worker was lost with a unit. Say whether that was the unit's last try."""
        self.losses.update(left)
        return any(self.losses[task] >= LOSSES for task in left)


def distribute(workers: RemoteWorkers, units: deque[Unit], writers: Writers) -> Messages:
    """Have the units trained by `workers`, and yield what they report.

    If a worker is lost, its unit restarts elsewhere from its last snapshots. A unit is given up when LOSSES workers in
    a row were lost with it, or after ATTEMPTS in which it killed its process or ended with an error.
    """
    blame, again, sent = Blame(), deque[Unit](), dict[str, Sent]()
    while True:
        if blame.suspects and not again and not any(blame.tried(one.unit) for one in sent.values()):
            blame.suspects.clear()  # another process has finished what was to be tried elsewhere
        for queue in again, units:
            while queue and (address := blame.choose(queue[0], workers.room())) and (taken := writers.take(queue)):
                key = f"dropout-lab-unit-{uuid.uuid4().hex}"
                sent[key] = Sent(taken[0], address, workers.send(key, address, taken[1]))
        if not sent and not units and not again:
            return
        reports = workers.reports()
        if notes := workers.notes():
            writers.notes += notes
            yield NOTHING
        for key, report in reports:
            if key not in sent:  # this unit has been sent elsewhere since
                continue
            if isinstance(report, Mapping):
                epochs = map(progress, report["epochs"])
                for epoch in fresh(sent[key], report["run"], report["first"], epochs, writers):
                    yield sent[key].unit, replace(epoch, where=sent[key].where)
            elif left := (yield from settled(sent.pop(key), report, writers, blame)):
                (again if blame.tried(left) else units).appendleft(left)


def settled(
    sent: Sent, report: Returned | BaseException, writers: Writers, blame: Blame
) -> Generator[tuple[Unit, Message], None, Unit]:
    """Yield the result of a unit, and return the part of the unit that must be sent again."""
    if isinstance(report, Returned):
        for message in result(sent, report, writers):
            yield sent.unit, message
    left, failure = writers.left(sent.unit), failure_in(report)
    last, note = False, ""
    if failure and left:
        failure = replace(failure, reason=f"{failure.reason} on {sent.where}")
        last, note = blame.failed(sent, left), f"{named(left)}: {failure.reason}; tried once more"
    elif isinstance(report, WorkerLost):
        failure = Stopped(f"{LOSSES} workers were lost with it, one after another")
        last = blame.lost(left)
    elif isinstance(report, Returned):
        note = blame.succeeded(sent)
    if failure and last:
        yield left, failure
        return ()
    if note:
        writers.notes.append(note)
        yield NOTHING
    return left


def failure_in(report: Returned | BaseException) -> Stopped | None:
    """Return the error of the training itself or of the worker's data, None if there was none."""
    if isinstance(report, Returned):
        if report.died:
            return Stopped(f"its worker process died ({report.died})")
        return next((message for message in report.messages if isinstance(message, Stopped) and message.reason), None)
    if isinstance(report, Lost):
        return None
    text = str(report) if isinstance(report, LabError) else f"{type(report).__name__}: {report}"
    return Stopped(text.partition("\n")[0], text)


def progress(epoch: tuple[float, Sequence[tuple[int, Sequence[Any]]]]) -> Progress:
    """Return an epoch as the message that it was before `worker.Told` packed it."""
    seconds, rows = epoch
    return Progress({lane: Row(*values) for lane, values in rows}, seconds, {})


def fresh(sent: Sent, run: str, first: int, epochs: Iterator[Progress], writers: Writers) -> Iterator[Progress]:
    """Yield the epochs that come next. `epochs` are numbered from `first`; none comes next if one before is missing."""
    if run != sent.run:  # Dask has started the task again, and its rows come once more
        for task in writers.left(sent.unit) if sent.run else ():
            writers[task.job].resume(task.seed)
        sent.run, sent.epochs = run, 0
    for number, epoch in enumerate(epochs, start=first):
        if number == sent.epochs:
            sent.epochs += 1
            yield epoch


def result(sent: Sent, returned: Returned, writers: Writers) -> Iterator[Message]:
    """Yield those messages of a returned unit that have not been passed on yet."""
    number = 0
    for message in returned.messages:
        if isinstance(message, Progress):
            for epoch in fresh(sent, returned.run, number, iter([message]), writers):
                yield replace(epoch, where=sent.where)
            number += 1
        elif isinstance(message, Ended):
            yield message
