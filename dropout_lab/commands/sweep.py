"""What `sweep` does: its runs, their table with its file and picture, and what confirms the choice."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dropout_lab.cluster import join as clusters
from dropout_lab.commands import compare as comparing
from dropout_lab.commands import live_page, until
from dropout_lab.commands import names as given
from dropout_lab.commands import tune as tuning
from dropout_lab.commands.names import Configured, Options, Where
from dropout_lab.commands.plan import train_missing
from dropout_lab.commands.result import Result, failed
from dropout_lab.commands.swept import judge_sweep, sweep_jobs
from dropout_lab.comparison import tables
from dropout_lab.comparison.compare import Comparison
from dropout_lab.comparison.looks import Looks
from dropout_lab.config import resolve as configs
from dropout_lab.config.ranges import MAX_SEED
from dropout_lab.errors import Problem, Refused, stop_at
from dropout_lab.runs.job import Job
from dropout_lab.sweeps import judge as judging
from dropout_lab.sweeps import plan as sweeps
from dropout_lab.sweeps import tuning as tunings
from dropout_lab.sweeps.judge import SweepTable
from dropout_lab.sweeps.next_steps import after_sweep
from dropout_lab.sweeps.plan import Rates, Sweep, Vary
from dropout_lab.sweeps.tuning import Tuning
from dropout_lab.text import as_markdown, as_text, count


def sweep(
    config: Configured | None,
    rates: Rates | None,
    vary: Vary,
    options: Options,
    *,
    overrides: Sequence[str] = (),
    baseline: bool = True,
    confirm: bool = False,
    out: Where | None = None,
    cluster: str | None = None,
    places: Sequence[str] = (),
    tune: Vary = (),
    tune_seeds: int | None = None,
    most: int | None = None,
) -> Result[SweepTable]:
    """Train one run per rate or combination of settings, and the baselines; compare them; choose on validation.

    Without a config it is the article's network; `overrides` such as "training.epochs=3" change either. With `confirm`
    the chosen run and its baseline are compared on fresh seeds. `places` are the options, as typed, that say where runs
    and data are: the next commands need them. With `tune`, each setting is first tuned over this grid on `tune_seeds`
    (3) other seeds, and swept at its choice. With `most`, each run gets seeds until its verdict is decided, up to so
    many. The files about the sweep go to `out`, else beside its runs. Failed runs are an error of the result.
    """
    place = given.directory("--out", out)
    if cluster is not None:
        clusters.check(cluster)
        if options.jobs is not None:
            reason = "must be left out with --cluster: its workers train, as many as they have threads"
            raise Refused(Problem("command line", "--jobs", reason, options.jobs))
    changes = overrides, options.changes
    base = sweeps.article(*changes) if config is None else given.config(config, *changes)
    grid = tuning.asked(tune, tune_seeds, options)
    base = given.smoke(base) if options.smoke else base
    planned = sweeps.plan(base, rates, vary, name=sweeps.title(base, options.name), baseline=baseline)
    jobs = sweep_jobs(planned, options)
    if confirm:
        check_confirmation(planned, most or 0, grid.seeds if grid else ())
    for own in planned.same:
        options.note(f"{own.name} is the same network as {own.run}, and is not trained again")
    pairs = until.pairs_of(planned) if most else []
    tuned: Tuning | None = None
    way: until.Way | None = None
    with clusters.joined(cluster) if cluster else contextlib.nullcontext() as workers:
        options = replace(options, cluster=workers)
        if grid:
            tuned, planned = tuning.tuned_sweep(planned, grid, options)
            jobs = sweep_jobs(planned, options)
        if most:
            directory = options.runs / planned.name
            way = until.train_until_decided(jobs, pairs, until.Asked(most), options, directory, planned)
            failures = [*way.failures]
            planned = planned.with_configs(job.config for job in way.jobs)
        else:
            failures = train_missing(jobs, options, sweeps=[planned])
        table, lost = judge_sweep(planned, options, sequential=way is not None, out=place)
        said = way.lines() if way else []
        shown = [*judging.parts(table, marks=True), *said]
        early = Result(table, lambda width: tuning.introduced(tuned, as_text(shown, width), width))
        options.audience.preview(early)
        confirmed, more = confirmation(table, options, tuned, place) if confirm and not failures else (None, [])
    before, added = (tunings.parts(tuned), {"tuning": tunings.to_json_dict(tuned)}) if tuned else ([], {})
    asked, typed = rates if isinstance(rates, str) else None, options.audience.typed
    steps = after_sweep(table, typed, asked, places) if typed and not options.smoke else []
    return Result(
        tuning.TunedTable(**vars(table), tuning=tuned) if tuned else table,
        lambda width: "\n" + tables.to_text(confirmed, width) if confirmed else "",
        lambda: (
            judging.to_json_dict(table)
            | {"confirmation": confirmed and tables.to_json_dict(confirmed)}
            | (way.to_json_dict() if way else {})
            | added
        ),
        markdown=lambda: as_markdown([*before, *judging.parts(table), *said]),
        written=f"{place}: sweep.csv, sweep.png"
        if place
        else f"{options.runs / planned.name}: sweep.csv, sweep.png, sweep.yaml and the run directories",
        lost=[*dict.fromkeys(options.lost), *lost, *more, *live_page.finished(options, [options.runs / planned.name])],
        error=failed(failures),
        remarks=[f"next      {why}:\n  {command}" for why, command in steps],
    )


def check_confirmation(planned: Sweep, most: int, tuned: Collection[int]) -> None:
    """Refuse, before anything trains, seeds to which no fresh ones can be added, whichever run will be confirmed.

    most: up to so many seeds are added before; 0 for none. tuned: the seeds of a tuning.
    """
    seeds = planned.members[0].config.seeds
    tried = until.in_order(seeds, max(most, len(seeds)))
    together = {"seeds": (*tried, *fresh_seeds(tried, len(tried), tuned))}
    problems: dict[str, Problem] = {}
    for member in planned.members:
        try:
            configs.changed(member.config, together)
        except Refused as refused:
            problems |= {problem.key: problem for problem in refused.problems}
    if problems:
        reason = f"takes {count(len(tried), 'seed')} more in two of the runs: "
        found = (
            Problem("command line", "--confirm", f"{reason}{own.key} {own.reason}", own.value)
            for own in problems.values()
        )
        raise Refused(*found)


def confirmation(
    table: SweepTable, options: Options, tuned: Tuning | None = None, out: Path | None = None
) -> tuple[Comparison | None, list[str]]:
    """Train the pair that a sweep is to confirm on as many fresh seeds, and compare the two on these alone.

    No seed of the sweep is fresh, and none of its tuning. The files go to `out`, else beside the sweep's runs.
    Returns None where the choice is the baseline, or where there is none.
    """
    pair = table.to_confirm
    if not pair:
        options.note("nothing to confirm: no run was chosen over a baseline")
        return None, []
    used = {seed for member in pair for seed in member.config.seeds}
    fresh = fresh_seeds(used, len(pair[1].config.seeds), tuned.seeds if tuned else ())
    changed = [configs.changed(member.config, {"seeds": fresh}) for member in pair]
    folder = options.runs / table.sweep.name
    jobs = [Job(folder / config.name, config) for config in changed]
    stop_at(train_missing(jobs, replace(options, live_page=None)))  # the page stays that of the sweep
    asked, place, looks = comparing.question(), (out or folder) / "_confirm", Looks(options.runs)
    return comparing.write(jobs, asked, place, looks, options.note, fresh, confirms=True)


def fresh_seeds(used: Iterable[int], number: int, tuned: Collection[int]) -> tuple[int, ...]:
    """Return the first `number` seeds above those used, without those of a tuning. Refuses seeds that leave no room."""
    after = max(used)
    fresh = tuple(itertools.islice((seed for seed in itertools.count(after + 1) if seed not in tuned), number))
    if fresh[-1] > MAX_SEED:
        reason = (
            f"must leave {count(number, 'fresh seed')} to confirm the choice on, up to {MAX_SEED}; use smaller ones"
        )
        raise Refused(Problem("command line", "--seeds", reason, f"seeds up to {after}"))
    return fresh
