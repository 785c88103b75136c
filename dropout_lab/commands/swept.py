"""A sweep in the runs directory: its jobs, its table with file and picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.commands.names import Options
from dropout_lab.commands.result import undrawn, unwritten
from dropout_lab.comparison.looks import Looks
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import is_sweep
from dropout_lab.runs.job import Job
from dropout_lab.storage import as_json, atomic_write, make_directory, remove
from dropout_lab.sweeps import judge as judging
from dropout_lab.sweeps.files import PICTURE, TABLE, write_sweep
from dropout_lab.sweeps.judge import SweepTable
from dropout_lab.sweeps.plan import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sweep_jobs(sweep: Sweep, options: Options) -> list[Job]:
    """Return a job for each run of a sweep; raises `Refused` where the sweep's directory is something else."""
    directory = options.runs / sweep.name
    if os.path.lexists(directory) and not is_sweep(directory):
        raise Refused(Problem(str(directory), "name", "exists and is not a sweep; choose another name", sweep.name))
    return [Job(directory / member.name, member.config) for member in sweep.members]


def judge_sweep(
    sweep: Sweep, options: Options, *, sequential: bool = False, out: Path | None = None
) -> tuple[SweepTable, list[str]]:
    """Read the finished runs of a sweep, choose on validation, and write sweep.yaml, sweep.csv and sweep.png.

    With `out`, the table and the picture go there, and nothing is written beside the runs.

    `sequential` says that seeds were added until the verdicts were decided. Returns the table, and a line for each file
    that could not be written; a picture that is missing is noted, and a look that cannot be remembered.
    """
    directory = options.runs / sweep.name
    members = [member for member in sweep.members if (directory / member.name / "summary.json").exists()]
    loaded = {member.name: runs.load(directory / member.name).only(member.config.seeds) for member in members}
    looks = Looks(options.runs)
    table = judging.judge(sweep, loaded, looks, sequential=sequential)
    remembered = judging.remember(table, loaded, looks)
    place = out or directory

    def files() -> None:
        if out:
            make_directory(out)
        else:
            write_sweep(directory, sweep.to_yaml())
        remove(place / PICTURE)  # so that none stays beside another table where no picture can be drawn
        atomic_write(place / "looks.json", as_json(remembered).encode(), durable=False)
        atomic_write(place / TABLE, judging.to_csv(table).encode())

    lost = unwritten(place / TABLE, files)
    missing = undrawn(place / PICTURE, lambda plots: draw_sweep(table)) if members and not lost else []
    for line in [*looks.lost, *missing]:
        options.note(line)
    return table, lost


def sweep_directory(name: str, options: Options) -> Path | None:
    """Return the directory of the sweep that `name` names; None where it names none."""
    return next(filter(is_sweep, (at_home(name), options.runs / name)), None)


def draw_sweep(table: SweepTable) -> Figure:
    """Draw a sweep: over two settings as a heat map, else differences, test error and gap by what was swept."""
    from dropout_lab.figures import plots

    if cells := table.grid:
        loaded = {line.member.name: line.run for line in table.lines if line.run}
        return plots.heatmap(cells, loaded, table.chosen.member.name if table.chosen else None, name=table.sweep.name)
    key, points = judging.points(table)
    judged = [line.contrast for line in table.lines if line.contrast]
    against = (
        plots.Against(
            [
                plots.BASELINE
                if line.member.is_baseline
                else plots.in_points(line.difference.mean, line.contrast.interval)
                if line.contrast and line.difference
                else plots.UNKNOWN
                for line in table.lines
                if line.run
            ],
            100 * judged[0].min_effect,
            plots.intervals_said(judged[0].family, [contrast.looked for contrast in judged]),
        )
        if judged
        else None
    )
    chosen = judging.chosen_point(table)
    return plots.sweep(points, chosen, setting=key, name=table.sweep.name, against=against)
