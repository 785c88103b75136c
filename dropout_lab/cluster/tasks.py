"""A source of finished work: the workers of a Dask cluster. Each unit is a Dask task for one worker."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab import cost
from dropout_lab.cluster import worker as remote
from dropout_lab.cluster.distribute import Report, distribute
from dropout_lab.cluster.members import Members
from dropout_lab.cluster.worker import Facts, Lost, WorkerLost
from dropout_lab.data import datasets as data
from dropout_lab.errors import Failed
from dropout_lab.execution.execute import Messages, Writers
from dropout_lab.execution.layout import Layout
from dropout_lab.execution.sources import patience
from dropout_lab.execution.units import Unit, plan
from dropout_lab.runs.job import Job
from dropout_lab.storage import sha256
from dropout_lab.training import Lane

if TYPE_CHECKING:
    from distributed import Future

LOOK = 1.0  # seconds between looks at which workers are there


class OnDask:
    """Trains units on the workers of a cluster, one thread for each unit: the other cores have other units."""

    checks_on = "cpu"  # this process only checks the data

    def __init__(self, members: Members, data: Path, device: str, layout: Layout) -> None:
        self.members, self.data, self.device, self.layout = members, data, device, layout

    @property
    def environment(self) -> dict[str, Any]:
        return self.members.environment(self.device)

    def units(self, jobs: Iterable[Job]) -> list[Unit]:
        return plan(jobs, self.layout.processes, self.layout.lanes, self.device)

    def train(self, units: deque[Unit], writers: Writers) -> Messages:
        used = dict.fromkeys(task.job.config.data for unit in units for task in unit)
        files = Files(sorted({data.dataset for data in used}), self.data, {data.test for data in used if data.test})
        size = max((cost.memory(unit[0].job.config, len(unit)) for unit in units), default=0)
        workers = DaskWorkers(self.members, files, size, self.device)
        try:
            yield from distribute(workers, units, writers)
        finally:
            workers.stop()


@dataclass
class Host:
    """A worker that trains: what it is, how many units it may have at once, and the keys of those that it has."""

    facts: Facts
    slots: int = 0
    units: set[str] = field(default_factory=set)


class Files:
    """The files of a plan's data sets: their paths and SHA-256, by their names in a worker's data directory."""

    def __init__(self, datasets: Sequence[str], directory: Path, tests: Iterable[str] = ()) -> None:
        self.names: dict[str, str] = {}  # names at the workers, of the user's own files
        paths: dict[str, Path] = {}
        for path in (*tests, *(dataset for dataset in datasets if dataset not in data.DATASETS)):
            file = data.at_home(path)
            self.names[path] = f"{sha256(file.read_bytes())}{file.suffix}"
            paths[self.names[path]] = file
        for dataset in (dataset for dataset in datasets if dataset in data.DATASETS):
            for report in data.verify(dataset, directory):
                if report.path.is_relative_to(directory):
                    paths[str(report.path.relative_to(directory))] = report.path
                    sums = report.path.with_name("SHA256SUMS")
                    paths |= {str(sums.relative_to(directory)): sums} if sums.exists() else {}
        self.paths = paths
        self.digests = {name: sha256(path.read_bytes()) for name, path in paths.items()}

    def content(self) -> dict[str, bytes]:
        """Return the content of every file, by name."""
        return {name: path.read_bytes() for name, path in self.paths.items()}

    def there(self, lane: Lane, directory: str) -> Lane:
        """Return a lane that finds its data in the `directory` of a worker."""
        if here := lane.config.data.files:
            there = {key: f"{directory}/{self.names[path]}" for key, path in here.items()}
            moved = lane.config.data.model_copy(update=there)
            return replace(lane, config=lane.config.model_copy(update={"data": moved}))
        return lane


class DaskWorkers:
    """The workers of a cluster as `distribute.RemoteWorkers`, for units of at most `size` bytes.

    All that happens on the cluster comes through one queue, which another thread, the client's loop, fills.
    """

    def __init__(self, members: Members, files: Files, size: int, device: str) -> None:
        self.members, self.client = members, members.client
        self.files, self.size, self.device = files, size, device
        self.queue: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.hosts: dict[str, Host] = {}
        members.facts.clear()  # the workers that are there are admitted again
        self.futures: dict[str, Future[Any]] = {}
        self.known: dict[str, str] = {}  # Dask's id of every worker at the last look, by address
        self.told: dict[str, bool] = {}  # remarks on the workers; True once passed on
        self.stopping = False
        self.client.subscribe_topic(remote.TOPIC, lambda event: self.queue.put((event[1]["key"], event[1])))
        self.client.loop.add_callback(self._watch)

    def room(self) -> Mapping[str, int]:
        if self.client.status != "running":
            return {}
        return {address: host.slots - len(host.units) for address, host in self.hosts.items() if host.slots}

    def send(self, key: str, address: str, lanes: Sequence[Lane]) -> str:
        facts = self.hosts[address].facts
        self.hosts[address].units.add(key)
        moved = bytes(ForkingPickler.dumps([self.files.there(lane, str(facts.directory)) for lane in lanes]))
        call = moved, key, facts.id, facts.directory, self.device, patience(lane.config for lane in lanes)
        try:
            self.futures[key] = self.client.submit(remote.train, *call, key=key, workers=[address], pure=False)
            self.client.loop.add_callback(self._fetch, self.futures[key])
        except Exception as error:  # the scheduler was lost at this moment
            self.queue.put((key, Lost(str(error))))
        return f"{facts.machine}/{facts.name.rpartition('//')[2]}"

    def reports(self) -> Iterator[tuple[str, Report]]:
        try:
            kind, what = self.queue.get(timeout=LOOK)
        except queue.Empty:  # look for free slots again: a lost connection may be back, which is no event
            return
        if kind == "hosts":
            yield from self._meet(*what)
        elif kind == "gone":
            reason = "the Dask scheduler is gone; what is finished is kept, and the same command resumes the sweep"
            raise Failed(f"{self.members.address}: {reason}")
        else:
            if not isinstance(what, Mapping):
                self._forget(kind)
            yield kind, what

    def notes(self) -> list[str]:
        new = [text for text, passed in self.told.items() if not passed]
        self.told.update(dict.fromkeys(new, True))
        return new

    def stop(self) -> None:
        """Cancel what is queued or under way, and leave nothing on the cluster."""
        self.stopping = True
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self.client.unsubscribe_topic(remote.TOPIC)
            self.client.cancel(list(self.futures.values()), asynchronous=False)
        self.futures.clear()

    # The client's loop, another thread, calls the next three.

    async def _fetch(self, future: Future[Any]) -> None:
        """Wait for a result, and put it into the queue."""
        try:
            self.queue.put((future.key, await future))
        except CancelledError as error:  # from Dask: the scheduler is gone
            self.queue.put((future.key, Lost(str(error))))
        except Exception as error:
            self.queue.put((future.key, error))

    async def _watch(self) -> None:
        """See which workers come and go. One that was started again under its old address counts as another worker."""
        heard = time.monotonic()
        while not self.stopping:
            with contextlib.suppress(Exception):  # the scheduler does not answer
                async with asyncio.timeout(remote.BACK):
                    identity = await self.client.scheduler.identity(n_workers=-1)
                heard = time.monotonic()
                there = {address: worker["id"] for address, worker in identity["workers"].items()}
                gone = [address for address in self.known if there.get(address) != self.known[address]]
                come = [address for address in there if there[address] != self.known.get(address)]
                self.known = there
                if gone:
                    self.queue.put(("hosts", (gone, {})))
                if come:
                    self.client.loop.add_callback(self._admit, come)
            if self.client.status == "closed" or time.monotonic() - heard > remote.BACK:
                self.queue.put(("gone", None))
                return
            await asyncio.sleep(LOOK)

    async def _admit(self, addresses: Sequence[str]) -> None:
        """Look at workers that have come, and send the data to those that lack them. After a failure, try again."""
        found: dict[str, Any] = {}
        with contextlib.suppress(Exception):
            ask = {"workers": list(addresses), "on_error": "return"}
            found = await self.client.run(remote.look, self.files.digests, **ask)
            lacking = [address for address, facts in found.items() if isinstance(facts, Facts) and not facts.directory]
            if lacking:
                key = f"dropout-lab-data-{uuid.uuid4().hex}"
                sent = await self.client.scatter({key: self.files.content()}, workers=lacking, broadcast=True)
                ask["workers"] = lacking
                found |= await self.client.run(remote.keep, key, self.files.digests, **ask)
                del sent
        fit = {address: facts for address, facts in found.items() if isinstance(facts, Facts) and facts.directory}
        for address in set(addresses) - fit.keys():
            self.known.pop(address, None)
        self.queue.put(("hosts", ([], found)))

    def _meet(self, gone: Sequence[str], come: Mapping[str, Any]) -> Iterator[tuple[str, Report]]:
        for address in gone:
            units = self.hosts.pop(address).units if address in self.hosts else set()
            if units:
                self.told[f"worker {address.rpartition('//')[2]} was lost; its units start again"] = False
            for key in units:
                self._forget(key)
                yield key, WorkerLost()
            self.members.facts.pop(address, None)
        for address, facts in come.items():
            if problems := remote.unfit(address, facts, self.members.drivers, self.files.digests):
                self.told = {f"left out: {problem}": False for problem in problems} | self.told
                continue
            self.members.facts[address] = facts
            self.hosts[address] = Host(facts)
            if facts.environment not in self.members.environments:
                self.members.environments.append(facts.environment)
        for address, slots in self.members.slots(self.size, self.device).items():
            self.hosts[address].slots = slots
        if gone and not self.hosts:
            self.told["the cluster has no workers now; waiting for some"] = False
        if len(cpus := sorted({str(one["cpu"]) for one in self.members.environments})) > 1:
            text = f"the workers' processors differ ({', '.join(cpus)}): the last digits depend on which one trains"
            self.told = {text: False} | self.told

    def _forget(self, key: str) -> None:
        """Drop a task, wherever it is now."""
        future = self.futures.pop(key, None)
        if future and not future.done():
            self.client.loop.add_callback(partial(future.cancel, asynchronous=True))
        for host in self.hosts.values():
            host.units.discard(key)
