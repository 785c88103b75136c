"""Reads the runs and sweeps of a report, and collects what is wrong with those that it cannot show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dropout_lab.comparison.looks import Looks
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs.find import is_run
from dropout_lab.runs.read import Run, load, told_apart
from dropout_lab.sweeps.judge import SweepTable, read


@dataclass(frozen=True)
class Gathered:
    """What a report shows: all runs, the sweeps, and the problems with those that it cannot show.

    sources: the paths that were asked for. compared: the runs that were named one by one; the first is the baseline.
    The runs of a sweep are not among them, because they have their own baselines.
    """

    sources: tuple[Path, ...]
    runs: tuple[Run, ...]
    compared: tuple[Run, ...]
    sweeps: tuple[SweepTable, ...]
    problems: tuple[Problem, ...]


def gather(paths: Sequence[Path], looks: Looks | None = None) -> Gathered:
    """Load the runs and sweeps in `paths`. Raises `Refused` if none of the runs is finished and can be read."""
    shown: dict[Path, Run] = {}
    compared: list[Path] = []
    sweeps: list[SweepTable] = []
    problems: list[Problem] = []

    def sound(path: Path) -> Run | None:
        """Return a run all of whose tables can be read, or note what is wrong with it."""
        try:
            run = load(path)
            _ = run.metrics, run.seconds, run.predictions()
            return shown.setdefault(path.resolve(), run)
        except Refused as refused:
            problems.extend(refused.problems)
            return None

    for path in paths:
        if not is_run(path):
            table = read(path, sound, looks)
            own = {line.run.path.resolve(): line.run for line in table.lines if line.run}
            shown |= own
            sweeps += [table] * bool(table.sweep.keys)
            compared += () if table.sweep.keys else own
        elif sound(path):
            compared.append(path.resolve())
    if not shown:
        raise Refused(*problems)
    named = dict(zip(shown, told_apart([*shown.values()]), strict=True))
    together = tuple(named[path] for path in dict.fromkeys(compared))
    return Gathered(tuple(paths), tuple(named.values()), together, tuple(sweeps), tuple(problems))
