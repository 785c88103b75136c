"""Units to workers elsewhere: each free slot gets one, and what comes back is given on, every epoch exactly once.

Knows nothing of Dask: `cluster.py` is the engine, and `benchmarks/cluster.py` another one, without networks.
"""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from dropout_lab.cluster.worker import Lost, Returned, WorkerLost
from dropout_lab.errors import LabError
from dropout_lab.execution.execute import ATTEMPTS, Source, Writers
from dropout_lab.execution.lanes import Task, Unit, named
from dropout_lab.execution.workers import Message, Progress, Stopped
from dropout_lab.runs.row import Row
from dropout_lab.training import Ended

if TYPE_CHECKING:
    from dropout_lab.training import Lane

Report = Mapping[str, Any] | Returned | BaseException  # epochs on the way, the result, or why there is none
NOTHING: tuple[Unit, Message] = ((), Stopped())


LOSSES = 10  # how many workers in a row may be lost with a unit before it is what they are lost of
STRIKES = 2  # how many units may die on a worker and live elsewhere before it gets no more


class Engine(Protocol):
    """Who trains: slots to fill, and a stream of what is reported of the units sent."""

    def room(self) -> Mapping[str, int]:
        """Return the free slots of every worker that is there, by its address."""

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
    address: str
    where: str
    run: str = ""
    epochs: int = 0


class Blame:
    """Whose fault a failure is: the unit's if it fails on two workers, the worker's if the unit is trained elsewhere.

    So a second try goes to another worker, to one that has trained something if there is one; and until that try is
    over, the worker of the first gets nothing: it would be free soonest, and spoil one unit after another.
    """

    def __init__(self) -> None:
        self.attempts: Counter[Task] = Counter()
        self.losses: Counter[Task] = Counter()
        self.suspects: dict[str, Unit] = {}  # by worker, what failed there and was not tried elsewhere yet
        self.strikes: Counter[str] = Counter()
        self.proven: set[str] = set()

    def tried(self, unit: Unit) -> bool:
        """Say whether a unit has failed before."""
        return any(self.attempts[task] for task in unit)

    def choose(self, unit: Unit, room: Mapping[str, int]) -> str | None:
        """Return the worker for a unit, None if it has no room just now; a doubtful one only where all are."""
        sound = [address for address in room if address not in self.suspects and self.strikes[address] < STRIKES]
        proven = [address for address in sound if address in self.proven] if self.tried(unit) else []
        best = max(proven or sound or room, key=room.__getitem__, default=None)
        return best if best and room[best] else None

    def lived(self, own: Sent) -> str:
        """Note that a unit came back well; return what is to be said of the worker where it had failed before."""
        self.proven.add(own.address)
        for task in own.unit:
            self.losses.pop(task, None)
        failed_at = next((address for address, unit in self.suspects.items() if {*unit} & {*own.unit}), own.address)
        self.suspects.pop(failed_at, None)
        if failed_at == own.address:
            return ""
        self.strikes[failed_at] += 1
        reason = f"{STRIKES} units failed there that were trained elsewhere: it gets no more"
        return f"worker {failed_at.rpartition('//')[2]}: {reason}" if self.strikes[failed_at] == STRIKES else ""

    def failed(self, own: Sent, left: Unit) -> bool:
        """Note that a unit failed on its worker; say whether that was its last try."""
        self.attempts.update(left)
        self.suspects = {address: unit for address, unit in self.suspects.items() if not {*unit} & {*left}}
        if any(self.attempts[task] >= ATTEMPTS for task in left):
            return True
        self.suspects[own.address] = left
        return False

    def lost(self, left: Unit) -> bool:
        """Note that a worker was lost with a unit; say whether that was its last try."""
        self.losses.update(left)
        return any(self.losses[task] >= LOSSES for task in left)


def distribute(engine: Engine, units: deque[Unit], writers: Writers) -> Source:
    """Have the units trained by the engine's workers, and yield what they report.

    A unit whose worker is lost starts again elsewhere, and is given up when it has cost LOSSES of them; one that takes
    its own process down with it, or fails for reasons of its own, after ATTEMPTS.
    """
    blame, again, sent = Blame(), deque[Unit](), dict[str, Sent]()
    while True:
        if blame.suspects and not again and not any(blame.tried(own.unit) for own in sent.values()):
            blame.suspects.clear()  # what was to be tried elsewhere was finished by another process
        for queue in again, units:
            while queue and (address := blame.choose(queue[0], engine.room())) and (taken := writers.take(queue)):
                key = f"dropout-lab-unit-{uuid.uuid4().hex}"
                sent[key] = Sent(taken[0], address, engine.send(key, address, taken[1]))
        if not sent and not units and not again:
            return
        reports = engine.reports()
        if notes := engine.notes():
            writers.notes += notes
            yield NOTHING
        for key, report in reports:
            if key not in sent:  # of a unit that is elsewhere by now
                continue
            if isinstance(report, Mapping):
                epochs = map(progress, report["epochs"])
                for epoch in fresh(sent[key], report["run"], report["first"], epochs, writers):
                    yield sent[key].unit, replace(epoch, where=sent[key].where)
            elif left := (yield from settled(sent.pop(key), report, writers, blame)):
                (again if blame.tried(left) else units).appendleft(left)


def settled(
    own: Sent, report: Returned | BaseException, writers: Writers, blame: Blame
) -> Generator[tuple[Unit, Message], None, Unit]:
    """Yield what came of a unit, and return what of it is to be sent again."""
    if isinstance(report, Returned):
        for message in result(own, report, writers):
            yield own.unit, message
    left, failure = writers.left(own.unit), failure_in(report)
    last, note = False, ""
    if failure and left:
        failure = replace(failure, reason=f"{failure.reason} on {own.where}")
        last, note = blame.failed(own, left), f"{named(left)}: {failure.reason}; tried once more"
    elif isinstance(report, WorkerLost):
        failure = Stopped(f"{LOSSES} workers were lost with it, one after another")
        last = blame.lost(left)
    elif isinstance(report, Returned):
        note = blame.lived(own)
    if failure and last:
        yield left, failure
        return ()
    if note:
        writers.notes.append(note)
        yield NOTHING
    return left


def failure_in(report: Returned | BaseException) -> Stopped | None:
    """Return what went wrong in the training itself, or with the worker's data, if anything did."""
    if isinstance(report, Returned):
        if report.died:
            return Stopped(f"its worker process died ({report.died})")
        return next((own for own in report.messages if isinstance(own, Stopped) and own.reason), None)
    if isinstance(report, Lost):
        return None
    text = str(report) if isinstance(report, LabError) else f"{type(report).__name__}: {report}"
    return Stopped(text.partition("\n")[0], text)


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
        elif isinstance(message, Ended):
            yield message
