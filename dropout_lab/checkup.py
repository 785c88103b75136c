"""`dropout-lab doctor`: what this machine has, and what would keep runs from working."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab import __version__

if TYPE_CHECKING:
    from dropout_lab.laboratory import Options

PACKAGES = ("numpy", "torchvision", "matplotlib", "pandas", "pydantic", "scipy", "scikit-learn", "safetensors", "typer")
ROOM = 2**30  # bytes of free disk below which a warning is due


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `ok` is False where runs would fail because of it."""

    subject: str
    value: str
    ok: bool = True


def examine(options: Options) -> list[Finding]:
    """Look at versions, torch and its devices, torchvision, the data sets, and the place for runs."""
    return list(_examine(options))


def _examine(options: Options) -> Iterator[Finding]:
    yield Finding("dropout-lab", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield _torch()
    yield _torchvision()
    yield Finding("packages", ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES))
    yield from _data(options.data)
    place = next(path for path in (options.runs.absolute(), *options.runs.absolute().parents) if path.exists())
    yield Finding(
        "runs",
        f"{options.runs}" + ("" if os.access(place, os.W_OK) else " cannot be written"),
        os.access(place, os.W_OK),
    )
    free = shutil.disk_usage(place).free
    yield Finding("disk", f"{free / 2**30:.1f} GiB free at {place}", free > ROOM)


def _torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("torch", f"cannot be imported: {error}", False)
    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    devices = ", ".join(f"cuda:{index} {name}" for index, name in enumerate(cuda)) or "no CUDA device"
    return Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads, {devices}")


def _torchvision() -> Finding:
    try:
        import torchvision  # type: ignore[import-untyped]
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError: builds of torch and torchvision do not match
        return Finding(
            "torchvision", f"cannot be imported: {error}; install builds of torch and torchvision that match", False
        )
    return Finding("torchvision", str(torchvision.__version__))


def _data(directory: Path) -> Iterator[Finding]:
    from dropout_lab import data

    for name in data.DATASETS:
        problems = [report for report in data.verify(name, directory) if report.problem]
        missing = [report for report in problems if report.missing]
        if missing:
            yield Finding(f"data {name}", f"not in {directory}; `dropout-lab data fetch {name}` downloads it")
        elif problems:
            yield Finding(f"data {name}", f"{problems[0].path}: {problems[0].problem}", False)
        else:
            yield Finding(f"data {name}", "verified")


def as_text(findings: Sequence[Finding]) -> str:
    """Return one line per finding."""
    return "\n".join(f"{'ok ' if finding.ok else 'BAD'}  {finding.subject:<20} {finding.value}" for finding in findings)


def as_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as plain data."""
    return {"schema_version": 1, "findings": [asdict(finding) for finding in findings]}
