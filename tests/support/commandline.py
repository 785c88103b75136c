"""Run the command line inside the test's process, in a directory of its own, and look at what it left behind."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dropout_lab import cli, shell

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIGS, SUPPORT = ROOT / "configs", ROOT / "tests" / "support"
REFUSAL = r"dropout-lab: error: [^:]+(:\d+)?: .+: .+ \(got .*\)"  # FILE[:LINE]: KEY: reason (got VALUE)
TINY = "data: {dataset: digits}\nnetwork: {hidden: [8]}\ntraining: {epochs: 2}\n"
HOSTILE = ("CI", "NO_COLOR", "GITHUB_STEP_SUMMARY", "DROPOUT_LAB_RUNS", "DROPOUT_LAB_DATA")


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


class Lab:
    """A directory to work in, with the project's configs and tiny.yaml; call it to run `dropout-lab LINE`."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.runs = path, path / "runs"
        self.capsys, self.monkeypatch = capsys, monkeypatch
        monkeypatch.chdir(path)
        for name in HOSTILE:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(path / "cache"))
        shutil.copytree(CONFIGS, path / "configs")
        (path / "tiny.yaml").write_text(TINY)

    def __call__(self, line: str, *words: str) -> Outcome:
        self.monkeypatch.setattr("sys.argv", ["dropout-lab", *shlex.split(line), *words])
        self.capsys.readouterr()
        code = shell.run(cli.app)
        out, err = self.capsys.readouterr()
        return Outcome(code, out, err)

    def tree(self) -> dict[str, str]:
        """Every file and directory, with a digest of what is in it."""
        return {
            str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "-"
            for path in sorted(self.path.rglob("*"))
        }


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable", *"abc"))


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Obey the permissions of files, also as root, whom they do not bind: a test of them would show nothing.

    Only those capabilities are laid down (capabilities(7)), and the user stays: another one might not be let into the
    environment's own directories.
    """
    if os.geteuid() != 0:
        yield
        return
    libc, header, held = ctypes.CDLL(None), _Header(0x20080522, 0), _Capabilities()
    if not hasattr(libc, "capset") or libc.capget(ctypes.byref(header), ctypes.byref(held)):
        pytest.skip("root's rights can be laid down on Linux only")
    less = _Capabilities.from_buffer_copy(held)
    less.effective &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if libc.capset(ctypes.byref(header), ctypes.byref(less)):
        pytest.skip("root may not lay down its rights here")
    try:
        yield
    finally:
        assert libc.capset(ctypes.byref(header), ctypes.byref(held)) == 0
