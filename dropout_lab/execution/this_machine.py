"""This machine as a place to train, in this process or in worker processes. No torch until a plan is carried out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.errors import Problem, Refused
from dropout_lab.execution import machine
from dropout_lab.execution.layout import Layout, Wanted, layout

if TYPE_CHECKING:
    from dropout_lab.execution.execute import Source


@dataclass(frozen=True)
class ThisMachine:
    """Trains in `processes` processes; None lets the layout choose how many."""

    processes: int | None = None

    def likely(self, asked: str, where: str) -> str:
        if asked == "auto":
            return "cuda" if machine.cuda_count() else "cpu"
        if asked != "cpu" and _index(asked) >= (count := machine.cuda_count()):
            reason = f"this machine has {count or 'no'} CUDA device{'s' * (count > 1)}; use cpu or auto"
            raise Refused(Problem(where, "device", reason, asked))
        return asked

    def device(self, asked: str) -> str:
        import torch

        if asked == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if asked != "cpu" and _index(asked) >= (count := torch.cuda.device_count()):
            reason = f"this torch sees {count} CUDA devices; use cpu, or install a CUDA build of torch"
            raise Refused(Problem("command line", "device", reason, asked))
        return asked

    def layout(self, wanted: Wanted, device: str, lanes: int | None) -> Layout:
        return layout(wanted, device, self.processes, lanes)

    def source(self, data: Path, device: str, layout: Layout, lanes: int | None) -> Source:
        from dropout_lab.execution.sources import Here, Processes

        kind = Here if layout.processes == 1 else Processes
        return kind(data, layout.processes, device, lanes)


def _index(device: str) -> int:
    """Return n of "cuda:n", 0 of "cuda"."""
    return int(device.partition(":")[2] or 0)
