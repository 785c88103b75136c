"""A Dask cluster: join it, see that its workers are fit, plan for them, and have units trained there.

What happens on the workers is in `remote.py`, who gets which unit in `distribution.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import resource
import signal
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from dropout_lab.cluster import worker as remote
from dropout_lab.cluster.worker import Facts
from dropout_lab.config.resolve import Config
from dropout_lab.cost import TORCH, footprint
from dropout_lab.errors import Problem, Refused
from dropout_lab.execution.environment import environment, require
from dropout_lab.execution.lanes import GIB, Layout, Unit, largest

if TYPE_CHECKING:
    from distributed import Client

    from dropout_lab.execution.execute import Source, Writers
    from dropout_lab.execution.workers import Settings

ANSWER = 5.0  # seconds for a scheduler to answer when it is asked the first time
WORKERS = 10.0  # seconds for its first worker to be there
MOST_LOCAL = 256
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
    quiet = {"distributed.admin.large-graph-warning-threshold": "1TB", "distributed.comm.timeouts.connect": remote.BACK}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(quiet))
        try:
            scheduler = stack.enter_context(on_this_machine(local)) if local else address
            kind = asyncio.run(kind_of(scheduler))
            if kind != "Scheduler":
                raise Refused(Problem("command line", "--cluster", f"is Dask's {kind}, not its scheduler", address))
            client = Client(
                scheduler, timeout=remote.BACK, set_as_default=False, name="dropout-lab", direct_to_workers=False
            )
        except (OSError, ValueError) as error:
            reason = f"no Dask scheduler answers there within {ANSWER:.0f} s; start one with `dask scheduler`"
            raise Refused(Problem("command line", "--cluster", reason, address)) from error
        except TypeError as error:  # Dask's for what a protocol lacks here: TLS its files, UCX its package
            raise Refused(Problem("command line", "--cluster", f"cannot be used: {error}", address)) from error
        stack.enter_context(client)
        cluster = Cluster(client, address)
        cluster.meet()
        yield cluster


async def kind_of(address: str) -> str:
    """Ask a Dask server what it is. Raises `TimeoutError` soon; Dask's client would wait for ever for a mute one."""
    from distributed import rpc
    from distributed.security import Security

    with contextlib.suppress(TimeoutError):  # raised anew, for this one would keep the connection beyond its loop
        async with (
            asyncio.timeout(ANSWER),
            rpc(address, connection_args=Security().get_connection_args("client")) as server,
        ):
            return str((await server.identity())["type"])
    raise TimeoutError


@contextlib.contextmanager
def on_this_machine(count: int) -> Iterator[str]:
    """Start a scheduler and workers of one thread each, reachable from this machine only; give its address."""
    import dask
    from distributed import LocalCluster

    pages: dict[str, list[str]] = {
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }  # none: no dashboard
    resource_tracker.ensure_running()  # else the first worker's start would do so, and let SIGINT through
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C goes to all: the driver decides
    try:
        with dask.config.set(pages):
            started = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # else 8787, which may be taken
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


class Cluster:
    """A cluster whose workers were found fit; plans for them, and is the source of what they report."""

    def __init__(self, client: Client, address: str) -> None:
        self.client, self.address = client, address
        self.facts: dict[str, Facts] = {}
        self.ours = environment("cpu", 1)
        self.environments: list[Mapping[str, Any]] = []  # of all workers that were here

    def meet(self) -> None:
        """Look at the workers that are there. Raises `Refused` where there are none, or one has other versions."""
        with contextlib.suppress(TimeoutError):
            self.client.wait_for_workers(1, timeout=WORKERS)
        try:
            self.client.run_on_scheduler(remote.present)
        except ImportError as error:
            reason = f"needs dropout-lab {self.ours['dropout-lab']} too, to read what is sent; install it there"
            raise Refused(
                Problem(f"scheduler {self.address.rpartition('//')[2]}", "dropout-lab", reason, error)
            ) from error
        found = self.client.run(remote.look, {}, on_error="return")
        if not found:
            reason = f"has no workers; start some with `dask worker {self.address}`"
            raise Refused(Problem("command line", "--cluster", reason, self.address))
        problems = [problem for address, facts in found.items() for problem in remote.unfit(address, facts, self.ours)]
        if problems:
            raise Refused(*problems)
        self.facts = found

    def device(self, asked: str, where: str = "config") -> str:
        """Return the device that a config's "auto", "cpu" or "cuda" is here; each worker has its own "cuda"."""
        if not self.facts:  # all went while they trained what came before
            self.meet()
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
        most_slots = len(self.facts) if device == "cuda" else sum(facts.threads for facts in self.facts.values())
        for most in (lanes,) if lanes else LANES:
            size, count = largest(wanted, most_slots, most, device)
            total = sum(self.slots(size, device).values())
            if total == most_slots:
                break
        if not total:
            reason = f"is too little for a network of this plan ({(size + TORCH) / GIB:.1f} GiB with Dask's worker)"
            raise Refused(Problem("the cluster's workers", "memory", reason, f"{max(self.shares()) / GIB:.1f} GiB"))
        return Layout(min(total, sum(number for _, number in wanted)), 1, count, total * size)

    def slots(self, size: int, device: str) -> dict[str, int]:
        """Return how many units of `size` bytes each worker may have at once: one per thread that fits, or GPU."""
        return {
            address: min(1, facts.gpus) if device == "cuda" else max(0, min(facts.threads, int((share - TORCH) / size)))
            for (address, facts), share in zip(self.facts.items(), self.shares(), strict=True)
        }

    def shares(self) -> list[float]:
        """Return how many bytes each worker may take: those of one machine share what is free there."""
        sharing = Counter(facts.machine for facts in self.facts.values())
        return [min(facts.limit, facts.memory / sharing[facts.machine]) for facts in self.facts.values()]

    def environment(self, device: str) -> dict[str, Any]:
        """Return the environment that networks are trained in, as summary.json has it; where workers differ, all."""
        every = [{**own, "device": device} for own in self.environments]
        values = {key: list(dict.fromkeys(str(one[key]) for one in every)) for key in every[0]}
        return {key: every[0][key] if len(found) == 1 else ", ".join(sorted(found)) for key, found in values.items()}

    def source(self, units: deque[Unit], writers: Writers, settings: Settings) -> Source:
        """Have the units trained, and yield what is reported; the third of `execution.execute`'s sources."""
        from dropout_lab.cluster.distribute import distribute
        from dropout_lab.cluster.tasks import DaskEngine, Files

        datasets = {task.job.config.data.dataset for unit in units for task in unit}
        files = Files(sorted(datasets), settings.data_directory)
        size = max(footprint(unit[0].job.config, len(unit)) for unit in units) if units else 0
        engine = DaskEngine(self, writers, files, size, settings.device)
        try:
            yield from distribute(engine, units, writers)
        finally:
            engine.stop()
