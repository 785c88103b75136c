"""What `doctor` does: it says what this machine has, and what would keep runs from working."""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from dropout_lab import __version__, storage
from dropout_lab.commands.names import Options
from dropout_lab.commands.result import Result, failed
from dropout_lab.data import datasets as data
from dropout_lab.errors import LabError
from dropout_lab.text import count

SCHEMA_VERSION = 1
ROOM = 2**30  # bytes; a disk with less free space is reported as bad
MARKS = {True: "ok", None: "--", False: "BAD"}


@dataclass(frozen=True)
class Finding:
    """One thing that was checked. `ok` is False if runs would fail because of it, None if it is optional and absent."""

    subject: str
    value: str
    ok: bool | None = True


def doctor(options: Options) -> Result[list[Finding]]:
    """Look at versions, torch, torchvision, data sets and the place for runs; what is bad is an error of the result."""
    here = f"{__version__}, Python {platform.python_version()}, {platform.platform()}"
    findings = [Finding("dropout-lab", here), _torch(), _torchvision(), _packages(), _matplotlib()]
    findings += [*_data(options.data), *_place(options.runs)]
    bad = ", ".join(finding.subject for finding in findings if finding.ok is False)
    return Result(
        findings,
        lambda width: as_text(findings, width),
        lambda: {"schema_version": SCHEMA_VERSION, "findings": [asdict(finding) for finding in findings]},
        error=failed([f"{bad}: needs attention, as said above"] if bad else []),
    )


def _torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("torch", f"cannot be imported: {error}", False)
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    devices = ", ".join(f"cuda:{index} {name}" for index, name in enumerate(names)) or "no CUDA device"
    return Finding("torch", f"{torch.__version__}, {count(torch.get_num_threads(), 'thread')}, {devices}")


def _torchvision() -> Finding:
    try:
        import torchvision  # type: ignore[import-untyped]
    except (ImportError, RuntimeError, OSError) as error:  # RuntimeError: builds of torch and torchvision do not match
        advice = "install builds of torch and torchvision that match"
        return Finding("torchvision", f"cannot be imported: {error}; {advice}", False)
    return Finding("torchvision", str(torchvision.__version__))


def _packages() -> Finding:
    """Look up the versions of the packages that dropout-lab's metadata requires."""
    found, absent = [], []
    for requirement in metadata.requires("dropout-lab") or []:
        name = re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
        if "extra ==" in requirement or name.startswith("torch"):
            continue
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    return Finding("packages", ", ".join(found) + "".join(f", no {name}" for name in absent), not absent)


def _matplotlib() -> Finding:
    """Draw a picture: what a user's settings do to matplotlib shows no earlier."""
    try:
        from dropout_lab.figures import style

        style.encoded(style.panels("a panel")[0])
    except Exception as error:  # a matplotlibrc in this directory, for one, may make it raise anything
        return Finding("matplotlib", f"cannot draw: {type(error).__name__}: {error}; is there a matplotlibrc?", False)
    return Finding("matplotlib", "draws")


def _data(directory: Path) -> Iterator[Finding]:
    for name in data.DATASETS:
        problems = [report for report in data.verify(name, directory) if report.problem]
        if not problems:
            yield Finding(f"data {name}", "verified")
        elif all(report.missing for report in problems):
            yield Finding(f"data {name}", f"not in {directory}; `dropout-lab data fetch {name}` downloads it", None)
        else:
            bad = next(report for report in problems if not report.missing)
            yield Finding(f"data {name}", f"{bad.path}: {bad.problem}", False)


def _place(directory: Path) -> Iterator[Finding]:
    """Try to write where runs are kept, or would be."""
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            yield Finding("runs", str(directory))
    except OSError as error:
        yield Finding("runs", f"{there} cannot be written: {error.strerror}", False)
    else:
        yield _locks(there)
    free = shutil.disk_usage(there).free
    yield Finding("disk", f"{free / 2**30:.1f} GiB free at {there}", free > ROOM)


def _locks(there: Path) -> Finding:
    """Do what a run needs of its file system: names that last, and a lock."""
    try:
        with tempfile.TemporaryDirectory(dir=there) as place:
            storage.atomic_write(Path(place) / "file", b"")
            with storage.locked(Path(place)) as weaker:
                return Finding("file system", weaker or storage.file_system(there), None if weaker else True)
    except LabError as error:
        return Finding(
            "file system", f"{error}; it is {storage.file_system(there)}; --runs-dir names another place", False
        )


def as_text(findings: Sequence[Finding], width: int) -> str:
    """Return a line per finding, wrapped behind its subject where it is longer than `width`."""
    lines: list[str] = []
    for finding in findings:
        head = f"{MARKS[finding.ok]:<4} {finding.subject:<20} "
        text = head + finding.value
        lines += textwrap.wrap(text, width, subsequent_indent=" " * len(head), break_on_hyphens=False)
    return "\n".join(lines)
