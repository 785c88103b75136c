"""The files of a sweep's directory: sweep.yaml, which says what is planned, and the seeds in sweep.csv.

Several sweeps may share a name and so a directory, one after the other. All files are those of the last one, and the
runs of the others stay beside its runs: `list` shows them, and a sweep that asks for them again trains none of them.
"""

from __future__ import annotations

import contextlib
import csv
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dropout_lab.config.settings import Name
from dropout_lab.errors import Problem, Refused
from dropout_lab.storage import atomic_write, make_directory, read_file, remove

TABLE, PICTURE = "sweep.csv", "sweep.png"


class PlannedRun(BaseModel):
    """A run in sweep.yaml: its name, the settings that make it, by dotted key, and the name of its baseline, if any."""

    model_config = ConfigDict(strict=True, frozen=True)
    name: Name
    settings: dict[str, Any]
    baseline: str | None


class SameRun(BaseModel):
    """Settings in sweep.yaml that are not trained, because they give the same network as the run `same_as`."""

    model_config = ConfigDict(strict=True, frozen=True)
    name: Name
    settings: dict[str, Any]
    same_as: str


class SweepFile(BaseModel):
    """All of sweep.yaml: the sweep's name, its runs in the order in which they were asked for, and what equals them."""

    model_config = ConfigDict(strict=True, frozen=True)
    name: str
    runs: Annotated[tuple[PlannedRun, ...], Field(strict=False, min_length=1)]
    same: Annotated[tuple[SameRun, ...], Field(strict=False)] = ()

    def to_yaml(self) -> str:
        """Return the text of sweep.yaml."""
        plain = {"name": self.name, "runs": [dict(run) for run in self.runs]}
        plain |= {"same": [dict(own) for own in self.same]} if self.same else {}
        return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """Keeps what aliases stand for in memory once, and so refuses merges (<<), which would copy it."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave the key `<<` in its place, where no value can be made of it."""


def read_sweep(directory: Path) -> SweepFile:
    """Read sweep.yaml. Raises `Refused` where it is not what `sweep` writes."""
    try:
        return SweepFile.model_validate(_Loader(read_file(directory / "sweep.yaml").decode()).get_single_data())
    except ValidationError as error:  # its own text would show values, and aliases of aliases make these gigabytes
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _damaged(directory, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise _damaged(directory, str(error)) from None


def write_sweep(directory: Path, text: str) -> None:
    """Write sweep.yaml, unless it says the same already; the table and the picture of another plan are removed first.

    So at any moment the files in the directory tell of one sweep. Raises `Failed` where they cannot be written.
    """
    file, data = directory / "sweep.yaml", text.encode()
    with contextlib.suppress(OSError):
        if read_file(file) == data:
            return
    make_directory(directory)
    for outdated in (TABLE, PICTURE):
        remove(directory / outdated)
    atomic_write(file, data)


def read_seeds(directory: Path, sweep: SweepFile) -> dict[str, list[int]]:
    """Return the seeds of each run in sweep.csv; none if there is no such file.

    Raises `Refused` where the file is not what `sweep` writes, or has none of the sweep's runs.
    """
    table = directory / TABLE
    seeds: dict[str, list[int]] = {}
    try:
        for line in csv.DictReader(read_file(table).decode().splitlines() if table.exists() else ()):
            seeds.setdefault(line["run"], []).append(int(line["seed"]))
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise _damaged(directory, str(error)) from None
    if seeds and not seeds.keys() & {run.name for run in sweep.runs}:
        raise _damaged(directory, "no run")
    return seeds


def _damaged(directory: Path, found: str) -> Refused:
    reason = "must hold sweep.yaml and sweep.csv as `sweep` writes them; run the sweep again"
    return Refused(Problem(str(directory), "sweep", reason, found))
