"""What `sweep` does with its runs: where they are, their table, its file and picture, and what confirms the choice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.commands.names import Options, overrides
from dropout_lab.config import resolve as configs
from dropout_lab.errors import Problem, Refused
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import is_sweep
from dropout_lab.runs.job import Job
from dropout_lab.storage import atomic_write
from dropout_lab.sweeps.plan import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dropout_lab.sweeps.judge import SweepTable


def sweep_jobs(sweep: Sweep, options: Options) -> list[Job]:
    """Return a job for each run of a sweep; raises `Refused` where the sweep's directory is something else."""
    directory = options.runs / sweep.name
    if os.path.lexists(directory) and not is_sweep(directory):
        raise Refused(Problem(str(directory), "name", "exists and is not a sweep; use --name", sweep.name))
    return [Job(directory / member.name, member.config) for member in sweep.members]


def judge_sweep(sweep: Sweep, options: Options) -> SweepTable:
    """Read the finished runs of a sweep, choose on validation, and write sweep.csv and sweep.png."""
    from dropout_lab.figures import plots
    from dropout_lab.sweeps import judge as sweep_table

    directory = options.runs / sweep.name
    members = [member for member in sweep.members if (directory / member.name / "summary.json").exists()]
    table = sweep_table.judge(
        sweep, {member.name: runs.load(directory / member.name).only(member.config.seeds) for member in members}
    )
    atomic_write(directory / "sweep.csv", sweep_table.to_csv(table).encode())
    if members:
        plots.save(draw_sweep(table), directory / "sweep.png")
    return table


def sweep_directory(name: str, options: Options) -> Path | None:
    """Return the directory of the sweep that `name` names; None where it names none."""
    return next(filter(is_sweep, (Path(name), options.runs / name)), None)


def draw_sweep(table: SweepTable) -> Figure:
    """Draw a sweep: over two settings as a heat map, else test error and gap against what was swept."""
    from dropout_lab.figures import plots
    from dropout_lab.sweeps import judge as sweep_table

    if cells := table.grid:
        loaded = {line.member.name: line.run for line in table.lines if line.run}
        return plots.heatmap(cells, loaded, table.chosen.member.name if table.chosen else None, name=table.sweep.name)
    key, points = sweep_table.points(table)
    return plots.sweep(points, sweep_table.chosen_point(table), setting=key, name=table.sweep.name)


def confirmation(table: SweepTable, options: Options) -> tuple[list[Job], tuple[int, ...]]:
    """Return the jobs that train the chosen run and its baseline on fresh seeds, as many as before, and these seeds.

    No jobs where the choice is the baseline, or where there is none.
    """
    chosen = table.chosen and table.chosen.member
    if not chosen or chosen.baseline is None or chosen.is_baseline:
        return [], ()
    seeds = chosen.config.seeds
    fresh = tuple(range(max(seeds) + 1, max(seeds) + 1 + len(seeds)))
    pair = table.sweep.member(chosen.baseline), chosen
    changed = [
        configs.resolve(member.config.model_dump(mode="json"), overrides(seeds=fresh), where="config", name=member.name)
        for member in pair
    ]
    return [Job(options.runs / table.sweep.name / config.name, config) for config in changed], fresh
