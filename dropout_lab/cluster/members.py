"""Who is in a cluster: its workers, their memory and their environments."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dropout_lab.cluster import worker as remote
from dropout_lab.cluster.worker import Facts
from dropout_lab.cost import TORCH
from dropout_lab.errors import Problem, Refused
from dropout_lab.execution.machine import environment

if TYPE_CHECKING:
    from distributed import Client

WAIT = 10.0  # seconds for the first worker to be there


class Members:
    """The workers of a cluster that are there now and may train, by their addresses."""

    def __init__(self, client: Client, address: str) -> None:
        self.client, self.address = client, address
        self.facts: dict[str, Facts] = {}
        self.drivers = environment("cpu", 1)  # this process's environment, with which the workers' must agree
        self.environments: list[Mapping[str, Any]] = []  # of all workers that have joined

    def meet(self) -> None:
        """Look at the workers that are there. Raises `Refused` if there are none, or if one has other versions."""
        with contextlib.suppress(TimeoutError):
            self.client.wait_for_workers(1, timeout=WAIT)
        try:
            self.client.run_on_scheduler(remote.present)
        except ImportError as error:
            reason = f"needs dropout-lab {self.drivers['dropout-lab']} too, to read what is sent; install it there"
            where = f"scheduler {self.address.rpartition('//')[2]}"
            raise Refused(Problem(where, "dropout-lab", reason, error)) from error
        facts = self.client.run(remote.look, {}, on_error="return")
        if not facts:
            reason = f"has no workers; start some with `dask worker {self.address}`"
            raise Refused(Problem("command line", "--cluster", reason, self.address))
        problems = [problem for address, one in facts.items() for problem in remote.unfit(address, one, self.drivers)]
        if problems:
            raise Refused(*problems)
        self.facts = facts

    def slots(self, size: int, device: str) -> dict[str, int]:
        """Return how many units of `size` bytes each worker may train at once: one per thread that fits, or per GPU."""
        return {
            address: min(1, facts.gpus) if device == "cuda" else max(0, min(facts.threads, int((share - TORCH) / size)))
            for (address, facts), share in zip(self.facts.items(), self.shares(), strict=True)
        }

    def shares(self) -> list[float]:
        """Return how many bytes each worker may take. Workers on one machine share the memory that is free there."""
        sharing = Counter(facts.machine for facts in self.facts.values())
        return [min(facts.limit, facts.memory / sharing[facts.machine]) for facts in self.facts.values()]

    def environment(self, device: str) -> dict[str, Any]:
        """Return the environment that networks are trained in, as summary.json has it.

        Values in which workers differ are listed in one text. Before any worker has joined it is this process's.
        """
        every = [{**one, "device": device} for one in self.environments or [self.drivers]]
        values = {key: list(dict.fromkeys(str(one[key]) for one in every)) for key in every[0]}
        return {key: every[0][key] if len(each) == 1 else ", ".join(sorted(each)) for key, each in values.items()}
