"""What `sweep` does: its runs, their table with its file and picture, and what confirms the choice."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.cluster import join as clusters
from dropout_lab.commands import compare as comparing
from dropout_lab.commands import names as given
from dropout_lab.commands import until
from dropout_lab.commands.names import Configured, Options
from dropout_lab.commands.plan import train_missing
from dropout_lab.commands.result import Result, failed
from dropout_lab.comparison import tables
from dropout_lab.comparison.compare import Comparison
from dropout_lab.comparison.looks import Looks
from dropout_lab.config import resolve as configs
from dropout_lab.errors import Problem, Refused, stop_at
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import is_sweep
from dropout_lab.runs.job import Job
from dropout_lab.storage import atomic_write
from dropout_lab.sweeps import judge as judging
from dropout_lab.sweeps import plan as sweeps
from dropout_lab.sweeps.judge import SweepTable
from dropout_lab.sweeps.next_steps import after_sweep
from dropout_lab.sweeps.plan import Rates, Sweep, Vary
from dropout_lab.text import as_markdown, as_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sweep(
    config: Configured | None,
    rates: Rates | None,
    vary: Vary,
    options: Options,
    *,
    baseline: bool = True,
    confirm: bool = False,
    cluster: str | None = None,
    places: Sequence[str] = (),
    most: int | None = None,
) -> Result[SweepTable]:
    """Train one run per rate or combination of settings, and the baselines; compare them; choose on validation.

    Without a config it is the article's network. With `confirm` the chosen run and its baseline are compared on fresh
    seeds. `places` are the options, as typed, that say where runs and data are: the next commands need them. With
    `most`, each run gets seeds until its verdict is decided, up to so many. Failed runs are an error of the result.
    """
    if cluster is not None:
        clusters.check(cluster)
        if options.jobs is not None:
            reason = "must be left out with --cluster: its workers train, as many as they have threads"
            raise Refused(Problem("command line", "--jobs", reason, options.jobs))
    base = sweeps.article(values=options.changes) if config is None else given.config(config, values=options.changes)
    base = given.smoke(base) if options.smoke else base
    planned = sweeps.plan(base, rates, vary, name=sweeps.title(base, options.name), baseline=baseline)
    jobs = sweep_jobs(planned, options)
    for own in planned.same:
        options.note(f"{own.name} is the same network as {own.run}, and is not trained again")
    pairs = until.pairs_of(planned) if most else []
    way: until.Way | None = None
    with clusters.joined(cluster) if cluster else contextlib.nullcontext() as workers:
        options = replace(options, cluster=workers)
        if most:
            directory = options.runs / planned.name
            way = until.train_until_decided(jobs, pairs, until.Asked(most), options, directory, planned)
            failures = [*way.failures]
            planned = planned.with_configs(job.config for job in way.jobs)
        else:
            failures = train_missing(jobs, options, sweep=planned)
        table = judge_sweep(planned, options, sequential=way is not None)
        said = way.lines() if way else []
        shown = [*judging.parts(table, marks=True), *said]
        options.audience.preview(Result(table, lambda width: as_text(shown, width)))
        confirmed = confirmation(table, options) if confirm and not failures else None
    asked, typed = rates if isinstance(rates, str) else None, options.audience.typed
    steps = after_sweep(table, typed, asked, places) if typed and not options.smoke else []
    return Result(
        table,
        lambda width: "\n" + tables.to_text(confirmed, width) if confirmed else "",
        lambda: (
            judging.to_json_dict(table)
            | {"confirmation": confirmed and tables.to_json_dict(confirmed)}
            | (way.to_json_dict() if way else {})
        ),
        markdown=lambda: as_markdown([*judging.parts(table), *said]),
        written=f"{options.runs / planned.name}: sweep.csv, sweep.png, sweep.yaml and the run directories",
        error=failed(failures),
        remarks=[f"next      {why}:\n  {command}" for why, command in steps],
    )


def sweep_jobs(sweep: Sweep, options: Options) -> list[Job]:
    """Return a job for each run of a sweep; raises `Refused` where the sweep's directory is something else."""
    directory = options.runs / sweep.name
    if os.path.lexists(directory) and not is_sweep(directory):
        raise Refused(Problem(str(directory), "name", "exists and is not a sweep; use --name", sweep.name))
    return [Job(directory / member.name, member.config) for member in sweep.members]


def judge_sweep(sweep: Sweep, options: Options, *, sequential: bool = False) -> SweepTable:
    """Read the finished runs of a sweep, choose on validation, and write sweep.csv and sweep.png.

    `sequential` says that seeds were added until the verdicts were decided.
    """
    from dropout_lab.figures import plots

    directory = options.runs / sweep.name
    members = [member for member in sweep.members if (directory / member.name / "summary.json").exists()]
    loaded = {member.name: runs.load(directory / member.name).only(member.config.seeds) for member in members}
    looks = Looks(options.runs)
    table = judging.judge(sweep, loaded, looks, sequential=sequential)
    judging.remember(table, loaded, looks)
    atomic_write(directory / "sweep.csv", judging.to_csv(table).encode())
    if members:
        plots.save(draw_sweep(table), directory / "sweep.png")
    return table


def sweep_directory(name: str, options: Options) -> Path | None:
    """Return the directory of the sweep that `name` names; None where it names none."""
    return next(filter(is_sweep, (Path(name), options.runs / name)), None)


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


def confirmation(table: SweepTable, options: Options) -> Comparison | None:
    """Train the chosen run and its baseline on as many fresh seeds, and compare them on these alone.

    Returns None where the choice is the baseline, or where there is none.
    """
    chosen = table.chosen and table.chosen.member
    if not chosen or chosen.baseline is None or chosen.is_baseline:
        options.note("nothing to confirm: no run was chosen over a baseline")
        return None
    pair = table.sweep.member(chosen.baseline), chosen
    used = max(seed for member in pair for seed in member.config.seeds)
    fresh = tuple(range(used + 1, used + 1 + len(chosen.config.seeds)))
    changed = [configs.changed(member.config, {"seeds": fresh}) for member in pair]
    folder = options.runs / table.sweep.name
    jobs = [Job(folder / config.name, config) for config in changed]
    stop_at(train_missing(jobs, options))
    return comparing.write(jobs, comparing.question(), folder / "_confirm", Looks(options.runs), fresh)
