"""Where run directories are, and how far each has come. Reads names and locks only, no file's content."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from dropout_lab.config.settings import RUN_NAME
from dropout_lab.storage import holder


def is_run(path: Path) -> bool:
    """Say whether `path` is a run directory, finished or not."""
    return os.path.isfile(path / "config.yaml")


def is_sweep(path: Path) -> bool:
    """Say whether `path` is the directory of a sweep."""
    return os.path.isfile(path / "sweep.yaml")


def named(directory: Path) -> list[Path]:
    """Return the entries of `directory` that a run may be called like; links are left out."""
    return [path for path in directory.glob("*") if RUN_NAME.fullmatch(path.name) and not path.is_symlink()]


def find(directory: Path) -> Iterator[Path]:
    """Yield the run directories in `directory` and in the sweeps there, newest first."""
    candidates = named(directory)
    members = [inner for path in candidates if is_sweep(path) for inner in named(path)]
    changed: dict[Path, float] = {}
    for path in filter(is_run, candidates + members):
        with contextlib.suppress(FileNotFoundError):  # --fresh has just moved it aside
            changed[path] = path.stat().st_mtime
    yield from sorted(changed, key=lambda path: changed[path], reverse=True)


def state(path: Path) -> str:
    """Return "finished", "running" or "interrupted"."""
    if (path / "summary.json").exists():
        return "finished"
    return "running" if holder(path) else "interrupted"
