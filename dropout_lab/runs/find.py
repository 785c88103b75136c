"""Where run directories are, and how far each has come. Reads names and locks only, no file's content."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from dropout_lab.config.settings import RUN_NAME
from dropout_lab.storage import holder


def is_run(path: Path) -> bool:
    """Say whether `path` is a run directory, finished or not."""
    return os.path.isfile(path / "config.yaml")


def is_sweep(path: Path) -> bool:
    """Say whether `path` is the directory of a sweep."""
    return os.path.isfile(path / "sweep.yaml")


def home(path: Path) -> Path:
    """Return the runs directory in which a run is, alone or in a sweep."""
    return path.parent.parent if is_sweep(path.parent) else path.parent


def named(directory: Path) -> list[Path]:
    """Return the entries of `directory` that a run may be called like; links are left out."""
    return [path for path in directory.glob("*") if RUN_NAME.fullmatch(path.name) and not path.is_symlink()]


def called(paths: Iterable[Path]) -> dict[Path, str]:
    """Return what runs are called where they are shown together: each by its directory, told apart by those above.

    So the runs rate-0.2 of the sweeps small and big are small/rate-0.2 and big/rate-0.2. A run of a sweep that is shown
    alone has its sweep's name too, for its like may be shown elsewhere.
    """
    parts = {path: path.resolve().parts for path in paths}
    lengths = dict.fromkeys(parts, 2 if len(parts) == 1 and all(is_sweep(path.parent) for path in parts) else 1)
    while True:
        names = {path: "/".join(own[-lengths[path] :]) for path, own in parts.items()}
        uses = Counter(names.values())
        alike = [path for path, own in parts.items() if uses[names[path]] > 1 and lengths[path] < len(own)]
        if not alike:
            return names
        for path in alike:
            lengths[path] += 1


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
