"""Data sets in the IDX format of MNIST, four files each: downloaded by torchvision, verified whenever they are read."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import math
import os
import re
import shutil
import socket
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from dropout_lab.errors import Failed, Problem, Refused, printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SUMS = "SHA256SUMS"
IMAGES, LABELS = 2051, 2049  # magic numbers: unsigned bytes in three dimensions, and in one
TIMEOUT = 30.0  # seconds without a byte from the server
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class FileReport:
    """What a check of one file found: its SHA-256 (None: not read) and its `problem` (None: it is good)."""

    path: Path
    sha256: str | None
    problem: str | None
    missing: bool = False

    @property
    def ok(self) -> bool:
        return self.problem is None


@dataclass(frozen=True)
class IdxSet:
    """Four IDX files in torchvision's layout, `<directory>/<folder>/raw/train-images-idx3-ubyte` and so on.

    `folder` is also the name of the class in torchvision.datasets. `sha256` has the digests of the files, in the order
    of FILES. If it is empty, `fetch` writes a file SHA256SUMS beside the files that it downloads, and files without a
    SHA256SUMS are only checked for their structure.
    """

    name: str
    folder: str
    title: str
    train_count: int = 60_000
    test_count: int = 10_000
    shape: tuple[int, int] = (28, 28)
    classes: int = 10
    full_scale: int = 255
    sha256: tuple[str, ...] = ()

    def raw(self, directory: Path) -> Path:
        return directory / self.folder / "raw"

    def files(self, directory: Path) -> list[Path]:
        """Return where the four files are, or would be."""
        return [self.raw(directory) / name for name in FILES]

    def verify(self, directory: Path) -> list[FileReport]:
        """Check the four files: SHA-256, magic number, dimensions, length, range of the labels. Changes nothing."""
        return [report for report, _ in self._inspect(directory)]

    def check(self, directory: Path) -> None:
        """Raise now, without torchvision, what `read` would: a file is corrupt, or it is missing without a network."""
        if any(report.missing for report, _ in self._sound(directory)) and not _online():
            raise self._unavailable(self.raw(directory), "no network")

    def read(self, directory: Path) -> tuple[NDArray[Any], ...]:
        """Verify the files, and return x_train (n, height, width), y_train (n,), x_test and y_test, all uint8.

        Missing files are downloaded first. Raises Refused for a corrupt file, or if the download fails.
        """
        import numpy as np

        inspected = self._sound(directory)  # refused now, because a download would replace a corrupt file unasked
        if any(report.missing for report, _ in inspected):
            self.fetch(directory)
            inspected = self._sound(directory)
        return tuple(
            np.frombuffer(content, np.uint8, offset=4 * len(header)).reshape(header[1:])
            for (_, content), header in zip(inspected, self._headers(), strict=True)
        )

    def fetch(self, directory: Path) -> Path:
        """Download the files, unless good ones are there, and return their folder. Bad files are replaced.

        Files only appear in the folder once all four have arrived and been verified. Raises Refused without a network
        or the permission to write, Failed if the disk is full.
        """
        raw = self.raw(directory)
        if all(report.ok for report in self.verify(directory)):
            return raw
        try:
            with _workspace(directory) as workspace:
                if not all(report.ok for report in self.verify(directory)):  # another process may have been faster
                    print(f"downloading {self.name} to {printable(str(raw))}", file=sys.stderr, flush=True)
                    self._download(workspace, raw)
                    raw.mkdir(parents=True, exist_ok=True)
                    for path in sorted(self.raw(workspace).iterdir()):  # SHA256SUMS first: the rest must agree with it
                        path.replace(raw / path.name)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise Failed(f"{printable(str(raw))}: {self.name}: {error.strerror}") from error
            reason = (
                "good files are not here and cannot be written here; name another folder with --data-dir or "
                "DROPOUT_LAB_DATA, or go on with data.dataset=digits, which is bundled"
            )
            raise Refused(Problem(str(raw), self.name, reason, error.strerror or error)) from error
        return raw

    def _headers(self) -> tuple[tuple[int, ...], ...]:
        """Return the numbers that each file must begin with, in the order of FILES: magic number, then dimensions."""
        train, test = self.train_count, self.test_count
        return ((IMAGES, train, *self.shape), (LABELS, train), (IMAGES, test, *self.shape), (LABELS, test))

    def _inspect(self, directory: Path) -> list[tuple[FileReport, bytes]]:
        raw = self.raw(directory)
        expected = dict(zip(FILES, self.sha256, strict=True)) if self.sha256 else _published(raw / SUMS)
        files = zip(FILES, self._headers(), strict=True)
        return [self._inspect_file(raw / name, header, expected) for name, header in files]

    def _inspect_file(
        self, path: Path, header: tuple[int, ...], expected: Mapping[str, str] | None
    ) -> tuple[FileReport, bytes]:
        size = 4 * len(header) + math.prod(header[1:])
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return FileReport(path, None, "is not a file"), b""
            with path.open("rb") as file:
                content = file.read(size + 1)  # one byte more than it should have shows that it is too long
        except (FileNotFoundError, NotADirectoryError):
            return FileReport(path, None, "is missing", missing=True), b""
        except OSError as error:
            return FileReport(path, None, f"cannot be read: {error.strerror}"), b""
        sha256 = hashlib.sha256(content).hexdigest()
        wrong = _broken_structure(content, header, size, self.classes)
        if wrong is None and expected is not None and expected.get(path.name) != sha256:
            unlisted = f"has no readable line in the {SUMS} beside it"
            wrong = "differs from the published file (SHA-256)" if path.name in expected else unlisted
        return FileReport(path, sha256, wrong), content

    def _sound(self, directory: Path) -> list[tuple[FileReport, bytes]]:
        """Return what `_inspect` does. Raises Refused for a corrupt file."""
        fix = f"`dropout-lab data fetch {self.name}` downloads it anew"
        inspected = self._inspect(directory)
        if bad := [report for report, _ in inspected if not report.ok and not report.missing]:
            raise Refused(*(Problem(str(r.path), self.name, f"{r.problem}; {fix}", r.sha256) for r in bad))
        return inspected

    def _download(self, workspace: Path, raw: Path) -> None:
        """Let torchvision download into `workspace`, unpack and check its MD5 sums; then verify, write SHA256SUMS."""
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT)
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # progress bars
                import torchvision  # type: ignore[import-untyped]

                getattr(torchvision.datasets, self.folder)(workspace, train=False, download=True)
            for packed in self.raw(workspace).glob("*.gz"):
                packed.unlink()
            reports = self.verify(workspace)
            if bad := [report for report in reports if not report.ok]:
                raise RuntimeError(f"{bad[0].path.name} {bad[0].problem}")
            if not self.sha256:
                lines = (f"{report.sha256}  {report.path.name}\n" for report in reports)
                (self.raw(workspace) / SUMS).write_text("".join(lines), encoding="ascii")
        except Exception as error:  # whatever failed, the user has no data: say what to do
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise
            raise self._unavailable(raw, _cause(error)) from error
        finally:
            socket.setdefaulttimeout(timeout)

    def _unavailable(self, raw: Path, cause: str) -> Refused:
        reason = (
            f"cannot be downloaded; put {', '.join(FILES[:-1])} and {FILES[-1]} (unpacked) into this folder, or "
            f"name the folder that holds {self.folder}/raw with --data-dir or DROPOUT_LAB_DATA, or go on with "
            "data.dataset=digits, which is bundled"
        )
        return Refused(Problem(str(raw), self.name, reason, cause))


def _online() -> bool:
    """Say whether the name of one of torchvision's mirrors can be resolved; True if only a download can tell."""
    if getproxies():
        return True
    hosts = _mirrors()
    for host in hosts:
        with suppress(OSError):
            socket.getaddrinfo(host, None)
            return True
    return not hosts


def _mirrors() -> list[str]:
    """Return the hosts that torchvision downloads from. They are read from its source: an import takes seconds."""
    package = find_spec("torchvision")
    if package is None or package.origin is None:
        return []
    source = (Path(package.origin).parent / "datasets" / "mnist.py").read_text(encoding="utf-8")
    return sorted(set(re.findall(r'"https?://([^/"]+)/', source)))


def _broken_structure(content: bytes, header: tuple[int, ...], size: int, classes: int) -> str | None:
    """Return how an IDX file breaks its format or the dimensions in `header`, or None if it does not."""
    length = 4 * len(header)
    if len(content) < length:
        return f"is cut short: {len(content)} of {size} bytes"
    magic, *dimensions = struct.unpack(f">{len(header)}I", content[:length])
    if magic != header[0]:
        return f"begins with the magic number {magic} instead of {header[0]}"
    if tuple(dimensions) != header[1:]:
        found, expected = (" x ".join(map(str, each)) for each in (dimensions, header[1:]))
        return f"says that it holds {found} instead of {expected}"
    if len(content) != size:
        return f"is cut short: {len(content)} of {size} bytes" if len(content) < size else f"goes on after {size} bytes"
    if magic == LABELS and max(content[length:]) >= classes:
        return f"holds the label {max(content[length:])}; labels go from 0 to {classes - 1}"
    return None


def _published(sums: Path) -> dict[str, str] | None:
    """Return the digests in a file that sha256sum wrote, by file name; None if there is no such file."""
    try:
        with sums.open(encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 16).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return {}
    parts = (line.partition(" ") for line in lines)
    return {name[1:]: digest for digest, _, name in parts}  # before the name: a space, or * for binary mode


@contextmanager
def _workspace(directory: Path) -> Iterator[Path]:
    """Yield a temporary folder in `directory`, to one process at a time; then remove it and new empty folders."""
    created = [folder for folder in (directory, *directory.parents) if not folder.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for abandoned in directory.glob(".dropout-lab-fetch-*"):  # its process was killed, or would hold the lock
            shutil.rmtree(abandoned, ignore_errors=True)
        with TemporaryDirectory(prefix=".dropout-lab-fetch-", dir=directory, ignore_cleanup_errors=True) as temporary:
            yield Path(temporary)
    finally:
        os.close(handle)
        for folder in created:
            with suppress(OSError):  # it is not empty: the download is in it
                folder.rmdir()


def _cause(error: Exception) -> str:
    """Return the line of torchvision's error that says the cause; the other lines list the mirrors it tried."""
    lines = [line for line in str(error).splitlines() if not line.startswith(("Error downloading", "Tried "))]
    return lines[0] if lines else type(error).__name__
