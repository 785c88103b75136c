"""This machine as a place to train: processes, threads, lanes and memory. No torch until a plan is carried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab import cost
from dropout_lab.config.settings import Config
from dropout_lab.dropout import DROPOUTS
from dropout_lab.errors import Problem, Refused
from dropout_lab.execution import machine
from dropout_lab.execution.units import lane_key, units_of

if TYPE_CHECKING:
    from dropout_lab.execution.execute import Source

WORTH_A_PROCESS = 10.0  # seconds of work that each worker process must have: it takes about four to start
Wanted = Sequence[tuple[Config, int]]  # networks to train: configs, each with its number of seeds


@dataclass(frozen=True)
class Layout:
    """Processes (1: this process alone), threads of each, networks side by side in each, and bytes of memory in all."""

    processes: int
    threads: int
    lanes: int
    memory: int

    def __str__(self) -> str:
        processes = "1 process" if self.processes == 1 else f"{self.processes} processes"
        threads = "1 thread" if self.threads == 1 else f"up to {self.threads} threads"
        threads += " each" * (self.processes > 1)
        lanes = "one network at a time" if self.lanes == 1 else f"up to {self.lanes} networks side by side"
        return f"{processes}, {threads}, {lanes}, about {self.memory / machine.GIB:.1f} GiB"


def layout(wanted: Wanted, device: str = "cpu", workers: int | None = None, lanes: int | None = None) -> Layout:
    """Return the layout with `workers` and `lanes`, else with as many as pay and fit; `Refused` if none fits."""
    total = sum(count for _, count in wanted)
    seconds = sum(count * cost.seconds(config) for config, count in wanted)
    most = max(1, min(machine.cores(), total, int(seconds / WORTH_A_PROCESS))) if device == "cpu" else 1
    free = machine.available_memory()
    for processes in [min(workers, total)] if workers else range(most, 0, -1):
        size, side_by_side = largest(wanted, processes, lanes, device)
        parent = max(cost.memory(config, 0) for config, _ in wanted) if processes > 1 else 0
        result = Layout(processes, max(1, machine.cores() // processes), side_by_side, processes * size + parent)
        if result.memory <= free:
            return result
    reason = f"is too little for this plan ({result}); ask for fewer processes or lanes, or for a smaller network"
    if any(DROPOUTS[config.dropout.kind].masks_all_weights(config.dropout.mask) for config, _ in wanted):
        reason += ", or for dropout.mask=batch: every example has a mask of all weights"
    raise Refused(Problem("this machine", "free memory", reason, f"{free / machine.GIB:.1f} GiB"))


def largest(wanted: Wanted, workers: int, lanes: int | None = None, device: str = "cpu") -> tuple[int, int]:
    """Return the most bytes that a process takes for one unit of the plan, and the most networks in a unit."""
    alike: Counter[str] = Counter()
    for config, count in wanted:
        alike[lane_key(config)] += count
    counts = [(alike[lane_key(config)], config) for config, _ in wanted]
    sizes = [-(-count // units_of(config, count, workers, lanes, device)) for count, config in counts]
    return max(cost.memory(config, size) for (config, _), size in zip(wanted, sizes, strict=True)), max(sizes)


@dataclass(frozen=True)
class ThisMachine:
    """Trains in `processes` processes; None lets the layout choose how many. `Cluster` has the same methods.

    guest: this process belongs to another program, whose torch is left as it was found.
    """

    processes: int | None = None
    guest: bool = False

    def likely(self, asked: str, where: str) -> str:
        """Return the device that a config's "auto", "cpu" or "cuda" is here, as far as can be said without torch.

        `where` is what asks for it: "command line" or "config". Raises `Refused` if there is no such device.
        """
        if asked == "auto":
            return "cuda" if machine.cuda_count() else "cpu"
        if asked != "cpu" and _index(asked) >= (count := machine.cuda_count()):
            reason = f"this machine has {count or 'no'} CUDA device{'s' * (count > 1)}; use cpu or auto"
            raise Refused(Problem(where, "device", reason, asked))
        return asked

    def device(self, asked: str) -> str:
        """Return the device that it is. Imports torch. Raises `Refused` if there is no such device."""
        import torch

        if asked == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if asked != "cpu" and _index(asked) >= (count := torch.cuda.device_count()):
            reason = f"this torch sees {count} CUDA devices; use cpu, or install a CUDA build of torch"
            raise Refused(Problem("command line", "device", reason, asked))
        return asked

    def layout(self, wanted: Wanted, device: str, lanes: int | None) -> Layout:
        """Return how networks are laid out here. Raises `Refused` if the memory is too little."""
        return layout(wanted, device, self.processes, lanes)

    def source(self, data: Path, device: str, layout: Layout, lanes: int | None) -> Source:
        """Return who trains on a device in a layout. `data` is the data directory, `lanes` the limit asked for."""
        from dropout_lab.execution.sources import Here, Processes

        kind = Here if layout.processes == 1 else Processes
        if self.guest:
            from dropout_lab.threads import start_as_found

            start_as_found()
        return kind(data, layout.processes, device, lanes)


def _index(device: str) -> int:
    """Return n of "cuda:n", 0 of "cuda"."""
    return int(device.partition(":")[2] or 0)
