"""One run made of finished runs that differ in seeds alone. Its files have the bytes of seeds trained together."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dropout_lab.config import resolve as configs
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs.checkpoint import Origin, Record, pack
from dropout_lab.runs.finish import finished_records
from dropout_lab.runs.job import Job
from dropout_lab.runs.read import Run, load
from dropout_lab.runs.record import write_files
from dropout_lab.storage import failing, holder, locked, make_directory, sync

DECIDES = ("dropout-lab", "torch", "numpy", "python", "cpu", "device", "git_commit")  # of the environment: the numbers


def merge(runs: Sequence[Run], path: Path) -> Run:
    """Write the run `path` with the seeds of all `runs`, and return it. It is there whole, or not at all.

    A seed that several runs have is taken from the first of them. Raises `Refused` with everything in which the runs
    differ beside their seeds, for a seed that several have with other results, and if there is something at `path`.
    """
    first, config = runs[0], runs[0].trained
    if problems := [problem for run in runs[1:] for problem in _unlike(first, run)]:
        raise Refused(*problems)
    records = _records(runs)
    config = Job(path, config.model_copy(update={"seeds": ()})).with_seeds(records)
    facts = [run.summary.environment for run in runs]
    shared = {key: value for key, value in facts[0].items() if all(fact.get(key) == value for fact in facts)}
    with whole(path) as hidden:
        write_files(hidden, path.name, config, first.summary.data_sha256, records, shared)
    return load(path)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a directory to write the files of a new run into; it becomes `path` in the end, whole, or not at all.

    Raises `Refused` if there is something at `path`.
    """
    hidden = _hidden_directory(path)
    try:
        with locked(hidden):
            yield hidden
            _refuse_existing(path)
            with failing(path, "created"):
                hidden.rename(path)
                sync(path.parent)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _unlike(first: Run, run: Run) -> Iterator[Problem]:
    """Yield what keeps two runs from being seeds of one experiment."""
    before, after = (_conditions(one) for one in (first, run))
    for key in dict.fromkeys([*before, *after]):
        if before.get(key) != after.get(key):
            reason = f"must be {before.get(key)} as in {first.path}: only runs that differ in seeds alone are one run"
            yield Problem(str(run.path), key, reason, after.get(key))


def _conditions(run: Run) -> dict[str, Any]:
    flat = {key: value for key, value in configs.flatten(run.config).items() if key not in ("name", "seeds", "device")}
    environment = run.summary.environment
    return flat | {"data sha256": run.summary.data_sha256} | {key: environment.get(key) for key in DECIDES}


def _records(runs: Sequence[Run]) -> dict[int, Record]:
    """Return the records of all seeds. Raises `Refused` where two runs have a seed with other rows or weights."""
    origin = Origin(runs[0].config.lasting_identity, runs[0].summary.data_sha256)
    found: dict[int, tuple[Record, Run]] = {}
    problems = []
    for run in runs:
        for seed, record in finished_records(run.path, origin).items():
            known, other = found.setdefault(seed, (record, run))
            if _bytes(known, origin) != _bytes(record, origin):
                reason = f"is in {other.path} too, with other results; leave one of the two runs out"
                problems.append(Problem(str(run.path), f"seed {seed}", reason, seed))
    if problems:
        raise Refused(*problems)
    return {seed: found[seed][0] for seed in sorted(found)}


def _bytes(record: Record, origin: Origin) -> bytes:
    """Return all that is known of a seed but how long it took."""
    return pack(replace(record, seconds=[]), origin)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise Refused(Problem(str(path), "name", "exists already; choose another name", path.name))


def _hidden_directory(path: Path) -> Path:
    """Create a directory beside `path` with a name that no run has, and remove those of killed processes."""
    _refuse_existing(path)
    make_directory(path.parent)
    for leftover in path.parent.glob(f".{path.name}.*.merging"):
        if not holder(leftover):
            shutil.rmtree(leftover, ignore_errors=True)
    hidden = path.with_name(f".{path.name}.{os.urandom(8).hex()}.merging")
    make_directory(hidden)
    return hidden
