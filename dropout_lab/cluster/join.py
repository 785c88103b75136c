"""Join a Dask cluster, or start one on this machine, and use it as a place to train."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import resource
import signal
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.cluster import worker as remote
from dropout_lab.cluster.members import Members
from dropout_lab.cost import TORCH
from dropout_lab.errors import Problem, Refused
from dropout_lab.execution.layout import Layout, Wanted, largest
from dropout_lab.execution.machine import GIB, require

if TYPE_CHECKING:
    from dropout_lab.execution.execute import Source

ANSWER = 5.0  # seconds for a scheduler to answer the first question
MOST_LOCAL = 256
LANES = (None, 8, 4, 2, 1)  # tried in turn, until every worker has the memory to use all of its threads


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
    """Give the cluster at an address. For "local:N" start one of N workers, on this machine's loopback only.

    Raises `Refused` if nobody answers, if there are no workers, or if a worker has other versions than this process.
    """
    local = check(address)
    import dask
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # dropout-lab says itself what matters
    raise_limit()
    quiet = {"distributed.admin.large-graph-warning-threshold": "1TB", "distributed.comm.timeouts.connect": remote.BACK}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(quiet))
        try:
            scheduler = stack.enter_context(on_this_machine(local)) if local else address
            kind = asyncio.run(kind_of(scheduler))
            if kind != "Scheduler":
                raise Refused(Problem("command line", "--cluster", f"is Dask's {kind}, not its scheduler", address))
            settings = {"set_as_default": False, "name": "dropout-lab", "direct_to_workers": False}
            client = Client(scheduler, timeout=remote.BACK, **settings)
        except (OSError, ValueError) as error:
            reason = f"no Dask scheduler answers there within {ANSWER:.0f} s; start one with `dask scheduler`"
            raise Refused(Problem("command line", "--cluster", reason, address)) from error
        except TypeError as error:  # from Dask, if TLS lacks its files here, or UCX its package
            raise Refused(Problem("command line", "--cluster", f"cannot be used: {error}", address)) from error
        stack.enter_context(client)
        cluster = Cluster(client, address)
        cluster.meet()
        yield cluster


async def kind_of(address: str) -> str:
    """Ask a Dask server what it is. Raises `TimeoutError` if it does not answer; Dask's client would wait for ever."""
    from distributed import rpc
    from distributed.security import Security

    security = Security().get_connection_args("client")
    with contextlib.suppress(TimeoutError):  # raised anew: this one would keep the connection alive after its loop
        async with asyncio.timeout(ANSWER), rpc(address, connection_args=security) as server:
            return str((await server.identity())["type"])
    raise TimeoutError


@contextlib.contextmanager
def on_this_machine(count: int) -> Iterator[str]:
    """Give the address of a new scheduler with `count` workers of one thread, all reachable from this machine only."""
    import dask
    from distributed import LocalCluster

    routes = "distributed.scheduler.http.routes", "distributed.worker.http.routes"
    no_pages: dict[str, list[str]] = {route: [] for route in routes}  # no dashboard
    resource_tracker.ensure_running()  # otherwise the first worker would start it, and let SIGINT through
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # Ctrl-C reaches all: only the driver acts
    try:
        with dask.config.set(no_pages):
            started = LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # the default, 8787, may be taken
                silence_logs=logging.CRITICAL,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    with started:
        yield started.scheduler_address


def raise_limit() -> None:
    """Allow as many open files as the system permits: each worker needs a connection, each run in training a lock."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Cluster(Members):
    """A cluster as a place to train. Each of its workers has as many slots for units as threads, or one with a GPU."""

    def likely(self, asked: str, where: str) -> str:
        if not self.facts:  # all workers left during the plan before this one
            self.meet()
        gpus = [facts.gpus for facts in self.facts.values()]
        if asked == "cpu" or (asked == "auto" and not all(gpus)):
            return "cpu"
        if asked not in ("auto", "cuda") or not all(gpus):
            reason = "must be auto, cpu or cuda with --cluster, and cuda only if every worker has a GPU"
            raise Refused(Problem(where, "device", reason, asked))
        return "cuda"  # each worker has its own

    def device(self, asked: str) -> str:
        return self.likely(asked, "config")

    def layout(self, wanted: Wanted, device: str, lanes: int | None) -> Layout:
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

    def source(self, data: Path, device: str, layout: Layout, lanes: int | None) -> Source:
        from dropout_lab.cluster.tasks import OnDask

        return OnDask(self, data, device, layout)
