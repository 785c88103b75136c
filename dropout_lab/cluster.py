"""A Dask cluster: join it, see that its workers are fit, plan for them, and have units trained there.

What happens on the workers is in `remote.py`, who gets which unit in `distribution.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import queue
import re
import resource
import signal
import uuid
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab import data, remote
from dropout_lab.config import Config
from dropout_lab.environment import environment, require
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.remote import Facts, Lost
from dropout_lab.schedule import GIB, TORCH, Layout, Unit, largest

if TYPE_CHECKING:
    from distributed import Client, Future

    from dropout_lab.distribution import Report
    from dropout_lab.execution import Source, Writers
    from dropout_lab.training import Lane
    from dropout_lab.workers import Settings

ANSWER = 5.0  # seconds for a scheduler to answer when it is asked the first time
WORKERS = 10.0  # seconds for its first worker to be there
BACK = 60.0  # seconds for a scheduler that was lost to come back
LOOK = 1.0  # seconds between looks at who is there
MOST_LOCAL = 256
ALIKE = ("dropout-lab", "git_commit", "torch", "numpy", "python")  # what decides numbers, or how they are sent
LANES = (None, 8, 4, 2, 1)  # to try, until every worker has the memory to use all of its threads


def check(address: str) -> int | None:
    """Return N of "local:N", None for the address of a scheduler. Raises `Refused` for anything else."""
    require("distributed", "--cluster", address, extra="cluster")
    local = re.fullmatch(r"local:([0-9]{1,3})", address)
    if local and 1 <= int(local[1]) <= MOST_LOCAL:
        return int(local[1])
    if local or not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:[0-9]{1,5}", address):
        reason = f"must be local:N with N from 1 to {MOST_LOCAL}, or a scheduler's address such as tcp://host:8786"
        raise Refused(Problem("command line", "--cluster", reason, address))
    return None


@contextlib.contextmanager
def joined(address: str) -> Iterator[Cluster]:
    """Give the cluster at an address, or one of N workers on this machine's loopback for "local:N".

    Raises `Refused` where nobody answers, there are no workers, or one has other versions than this process.
    """
    local = check(address)
    import dask
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said in our words
    raise_limit()
    quiet = {"distributed.admin.large-graph-warning-threshold": "1TB", "distributed.comm.timeouts.connect": BACK}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(quiet))
        try:
            scheduler = stack.enter_context(on_this_machine(local)) if local else address
            Client(scheduler, timeout=ANSWER, set_as_default=False).close()  # a quick no; the next one is patient
            client = Client(scheduler, timeout=BACK, set_as_default=False, name="dropout-lab", direct_to_workers=False)
        except (OSError, ValueError) as error:
            reason = f"no Dask scheduler answers there within {ANSWER:.0f} s; start one with `dask scheduler`"
            raise Refused(Problem("command line", "--cluster", reason, address)) from error
        stack.enter_context(client)
        cluster = Cluster(client, address)
        cluster.meet()
        yield cluster


@contextlib.contextmanager
def on_this_machine(count: int) -> Iterator[str]:
    """Start a scheduler and workers of one thread each, reachable from this machine only; give its address."""
    from distributed import LocalCluster

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C goes to all: the driver decides
    try:
        started = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    with started:
        yield started.scheduler_address


def raise_limit() -> None:
    """Let this process have as many files open as it may: each worker is a connection, each run in training a lock."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass
class Host:
    """A worker at work: what it is, what to call it, and the units that it has, at most `slots`."""

    facts: Facts
    slots: int
    units: set[str] = field(default_factory=set)


class Cluster:
    """A cluster whose workers were found fit; plans for them, and is the source of what they report."""

    def __init__(self, client: Client, address: str) -> None:
        self.client, self.address = client, address
        self.facts: dict[str, Facts] = {}

    def meet(self) -> None:
        """Look at the workers that are there. Raises `Refused` where there are none, or one has other versions."""
        with contextlib.suppress(TimeoutError):
            self.client.wait_for_workers(1, timeout=WORKERS)
        found = self.client.run(remote.look, {}, on_error="return")
        if not found:
            reason = f"has no workers; start some with `dask worker {self.address}`"
            raise Refused(Problem("command line", "--cluster", reason, self.address))
        problems = [problem for address, facts in found.items() for problem in unfit(address, facts)]
        if problems:
            raise Refused(*problems)
        self.facts = found

    def device(self, asked: str, where: str = "config") -> str:
        """Return the device that a config's "auto", "cpu" or "cuda" is here; each worker has its own "cuda"."""
        gpus = [facts.gpus for facts in self.facts.values()]
        if asked == "cpu" or (asked == "auto" and not all(gpus)):
            return "cpu"
        if asked not in ("auto", "cuda") or not all(gpus):
            reason = "must be auto, cpu or cuda with --cluster, and cuda only where every worker has a GPU"
            raise Refused(Problem(where, "device", reason, asked))
        return "cuda"

    def layout(self, wanted: Sequence[tuple[Config, int]], device: str, lanes: int | None) -> Layout:
        """Return how so many seeds of each config go to the workers that are here now.

        Raises `Refused` where none has the memory for one network.
        """
        for most in (lanes,) if lanes else LANES:
            size, count = largest(wanted, sum(facts.threads for facts in self.facts.values()), most, device)
            slots = {address: self.slots(address, size, device) for address in self.facts}
            if all(slots[address] == facts.threads for address, facts in self.facts.items()) or device == "cuda":
                break
        total = sum(slots.values())
        if not total:
            most = max(facts.memory for facts in self.facts.values())
            reason = f"is too little for a network of this plan ({(size + TORCH) / GIB:.1f} GiB with Dask's worker)"
            raise Refused(Problem("the cluster's workers", "memory", reason, f"{most / GIB:.1f} GiB"))
        return Layout(min(total, sum(number for _, number in wanted)), 1, count, total * size)

    def slots(self, address: str, size: int, device: str) -> int:
        """Return how many units of `size` bytes a worker may have at once: one per thread, if memory allows, or GPU."""
        facts = self.facts[address]
        if device == "cuda":
            return min(1, facts.gpus)
        sharing = sum(other.machine == facts.machine for other in self.facts.values())
        return max(0, min(facts.threads, int((facts.memory / sharing - TORCH) / size)))

    def environment(self, device: str) -> dict[str, Any]:
        """Return the environment that networks are trained in, as summary.json has it; where workers differ, all."""
        every = [{**facts.environment, "device": device} for facts in self.facts.values()]
        values = {key: list(dict.fromkeys(str(one[key]) for one in every)) for key in every[0]}
        return {key: every[0][key] if len(found) == 1 else ", ".join(sorted(found)) for key, found in values.items()}

    def source(self, units: deque[Unit], writers: Writers, settings: Settings) -> Source:
        """Have the units trained, and yield what is reported; the third of `execution.execute`'s sources."""
        from dropout_lab.distribution import distribute

        configs = [task.job.config for unit in units for task in unit]
        files = Files(sorted({config.data.dataset for config in configs}), settings.data_directory)
        size, _ = largest(
            [(config, 1) for config in dict.fromkeys(configs)], settings.workers, settings.lanes, settings.device
        )
        engine = Engine(self, writers, files, size, settings.device)
        try:
            yield from distribute(engine, units, writers)
        finally:
            engine.stop()


def unfit(address: str, facts: Facts | BaseException) -> list[Problem]:
    """Return how a worker differs from this process in what numbers depend on."""
    where, ours = f"worker {address.rpartition('//')[2]}", environment("cpu", 1)
    if isinstance(facts, BaseException):
        reason = f"must be {ours['dropout-lab']} as here; install it where the worker runs"
        return [Problem(where, "dropout-lab", reason, f"{type(facts).__name__}: {facts}")]
    theirs = facts.environment
    return [
        Problem(where, key, f"must be {ours[key]} as here; workers and this process need the same", theirs.get(key))
        for key in ALIKE
        if theirs.get(key) != ours[key] and not (key == "git_commit" and None in (theirs.get(key), ours[key]))
    ]


def lacks_data(address: str, facts: Facts) -> list[Problem]:
    """Return that a worker has not got the data, if so."""
    reason = "must be those that were sent; is the disk of its --local-directory full?"
    return [] if facts.directory else [Problem(f"worker {address.rpartition('//')[2]}", "data", reason, "others")]


class Files:
    """The files of the data sets that a plan needs: digests by path in a data directory, and their content."""

    def __init__(self, datasets: Sequence[str], directory: Path) -> None:
        self.names: dict[str, str] = {}  # of one's own files, at the workers
        paths: dict[str, Path] = {}
        for dataset in datasets:
            for report in data.verify(dataset, directory):
                if dataset not in data.DATASETS:
                    self.names[dataset] = f"{hashlib.sha256(report.path.read_bytes()).hexdigest()}.npz"
                    paths[self.names[dataset]] = report.path
                elif report.path.is_relative_to(directory):
                    paths[str(report.path.relative_to(directory))] = report.path
                    sums = report.path.with_name("SHA256SUMS")
                    paths |= {str(sums.relative_to(directory)): sums} if sums.exists() else {}
        self.paths = paths
        self.digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}

    def content(self) -> dict[str, bytes]:
        return {name: path.read_bytes() for name, path in self.paths.items()}

    def there(self, lane: Lane, directory: str) -> Lane:
        """Return a lane that finds its data where a worker has them."""
        if name := self.names.get(lane.config.data.dataset):
            moved = lane.config.data.model_copy(update={"dataset": f"{directory}/{name}"})
            return replace(lane, config=lane.config.model_copy(update={"data": moved}))
        return lane


class Engine:
    """Dask's side of `distribution.Engine`. All that happens comes through one queue, filled by the client's loop."""

    def __init__(self, cluster: Cluster, writers: Writers, files: Files, size: int, device: str) -> None:
        self.cluster, self.client, self.writers = cluster, cluster.client, writers
        self.files, self.size, self.device = files, size, device
        self.queue: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.hosts: dict[str, Host] = {}
        self.futures: dict[str, Future[Any]] = {}
        self.known: dict[str, str] = {}  # workers that were there when last looked at, by address, with Dask's id
        self.left_out: dict[str, None] = {}  # what was said of workers that will not do
        self.said: list[str] = []
        self.stopping = False
        self.client.subscribe_topic(remote.TOPIC, lambda event: self.queue.put((event[1]["key"], event[1])))
        self.client.loop.add_callback(self._watch)

    # What `distribute` asks for

    def free(self) -> str | None:
        address = max(self.hosts, key=lambda address: self._room(address), default=None)
        return address if address and self._room(address) else None

    def _room(self, address: str) -> int:
        return self.hosts[address].slots - len(self.hosts[address].units)

    def send(self, key: str, address: str, lanes: Sequence[Lane]) -> str:
        facts = self.hosts[address].facts
        self.hosts[address].units.add(key)
        moved = bytes(ForkingPickler.dumps([self.files.there(lane, str(facts.directory)) for lane in lanes]))
        call = moved, key, facts.id, facts.directory, self.device
        future = self.client.submit(remote.train, *call, key=key, workers=[address], pure=False)
        self.futures[key] = future
        self.client.loop.add_callback(self._fetch, future)
        return facts.name if facts.machine in facts.name else f"{facts.machine}/{facts.name}"

    def reports(self) -> Iterator[tuple[str, Report]]:
        kind, what = self.queue.get()
        if kind == "hosts":
            yield from self._meet(*what)
        elif kind == "gone":
            reason = "the Dask scheduler is gone; what is finished is kept, and the same command goes on"
            raise Failed(f"{self.cluster.address}: {reason}")
        else:
            if not isinstance(what, Mapping):
                self._forget(kind)
            yield kind, what

    def notes(self) -> list[str]:
        said, self.said = self.said, []
        return said

    def stop(self) -> None:
        """Cancel what is queued or under way, and leave nothing on the cluster."""
        self.stopping = True
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self.client.unsubscribe_topic(remote.TOPIC)
            self.client.cancel(list(self.futures.values()), asynchronous=False)
            self.client.run(remote.release, on_error="ignore")
        self.futures.clear()

    # What happens on the client's loop

    async def _fetch(self, future: Future[Any]) -> None:
        """Wait for a result, and put it into the queue."""
        try:
            self.queue.put((future.key, await future))
        except asyncio.CancelledError as error:  # Dask's: the worker or the scheduler is gone
            self.queue.put((future.key, Lost(str(error))))
        except Exception as error:
            self.queue.put((future.key, error))

    async def _watch(self) -> None:
        """See who comes and goes; a worker that was started again under its old address is another one."""
        while not self.stopping:
            with contextlib.suppress(Exception):  # the scheduler is not there just now
                identity = await self.client.scheduler.identity(n_workers=-1)
                there = {address: worker["id"] for address, worker in identity["workers"].items()}
                gone = [address for address in self.known if there.get(address) != self.known[address]]
                come = [address for address in there if there[address] != self.known.get(address)]
                self.known = there
                if gone:
                    self.queue.put(("hosts", (gone, {})))
                if come:
                    self.client.loop.add_callback(self._admit, come)
            if self.client.status == "closed":
                self.queue.put(("gone", None))
                return
            await asyncio.sleep(LOOK)

    async def _admit(self, addresses: Sequence[str]) -> None:
        """Look at workers that have come, and send the data to those that lack them; if that fails, look again."""
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

    # What comes of it

    def _meet(self, gone: Sequence[str], come: Mapping[str, Any]) -> Iterator[tuple[str, Report]]:
        for address in gone:
            for key in self.hosts.pop(address).units if address in self.hosts else ():
                self._forget(key)
                yield key, Lost("its worker was lost")
            self.cluster.facts.pop(address, None)
        for address, facts in come.items():
            if problems := unfit(address, facts) or lacks_data(address, facts):
                reasons = [f"left out: {problem}" for problem in problems]
                self.said += [reason for reason in reasons if reason not in self.left_out]
                self.left_out.update(dict.fromkeys(reasons))
                continue
            self.cluster.facts[address] = facts
            self.hosts[address] = Host(facts, self.cluster.slots(address, self.size, self.device))
        if self.cluster.facts:
            self.writers.environment = self.cluster.environment(self.device)

    def _forget(self, key: str) -> None:
        """Drop a task, wherever it is."""
        if future := self.futures.pop(key, None):
            future.cancel(asynchronous=True) if not future.done() else None
        for host in self.hosts.values():
            host.units.discard(key)
