"""Plan what is missing of the runs that a command is about, announce the plan, and carry it out.

torch is imported only where there is something to train; `execution/` trains it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

from dropout_lab import cost, storage
from dropout_lab.commands import listing, live_page, progress, tracking
from dropout_lab.commands.names import Options, inside
from dropout_lab.commands.result import Result, undrawn, unwritten
from dropout_lab.data import datasets as data
from dropout_lab.data.split import Parts
from dropout_lab.errors import MOVE_AWAY, Problem, Refused, each
from dropout_lab.execution.layout import Layout
from dropout_lab.execution.units import Event, Noted, SeedDone, UnitFailed, named
from dropout_lab.runs import read as runs
from dropout_lab.runs.checkpoint import begun_on
from dropout_lab.runs.find import is_run
from dropout_lab.runs.job import Job
from dropout_lab.runs.read import Run
from dropout_lab.runs.record import set_aside
from dropout_lab.runs.summary import read_summary
from dropout_lab.sweeps.files import write_sweep
from dropout_lab.sweeps.plan import Sweep
from dropout_lab.text import flow


class Step(NamedTuple):
    """One line of a plan: a job, and the seeds to train for it."""

    job: Job
    missing: tuple[int, ...]


def train_missing(
    jobs: Sequence[Job], options: Options, *, fresh: bool = False, sweeps: Sequence[Sweep] = ()
) -> list[str]:
    """Plan what the jobs lack, announce it, carry it out as `carry_out` says, and return a line for each failure."""
    steps = plan(jobs, options, fresh=fresh)
    announce(steps, options)
    return carry_out(steps, options, fresh=fresh, sweeps=sweeps)


def announce(steps: Sequence[Step], options: Options, text: str = "", data: Mapping[str, object] | None = None) -> None:
    """Announce a plan, with a labelled text and plain data about it; a dry run ends here."""
    lines = [(job.path, job.config, missing) for job, missing in steps]
    how = layouts(steps, options)

    def shown(width: int) -> str:
        return "\n".join([listing.plan_as_text(lines, how, width), *flow([text], width)])

    options.audience.announce(Result(steps, shown, lambda: {**listing.plan_as_dict(lines, how), **(data or {})}))


def plan(jobs: Sequence[Job], options: Options, *, fresh: bool = False) -> list[Step]:
    """Return the jobs, each with the seeds that it lacks (all, if `fresh` and the run exists); changes nothing.

    Raises `Refused` if a run exists with another config or was made on other data, if another process is writing it and
    the options do not say to wait, or if the device does not exist.
    """
    each(jobs, lambda job: inside(options.runs, job.path.parent))
    lacks = Job.unfinished if options.wait else Job.missing
    steps = each(jobs, lambda job: Step(job, job.config.seeds if fresh and is_run(job.path) else lacks(job)))
    if not fresh:
        refuse_other_data(steps, options)
    wanted = dict.fromkeys(step.job.config.device for step in steps if step.missing or options.device)
    each(wanted, lambda device: options.place.likely(device, "command line" if options.device else "config"))
    return steps


def carry_out(
    steps: Sequence[Step], options: Options, *, fresh: bool = False, sweeps: Sequence[Sweep] = ()
) -> list[str]:
    """Train what is missing, draw the curves of what is finished, and return a line for each failure.

    What cannot be written beside the runs is no failure: `options.lost` gets a line. With `fresh`, existing runs are
    moved aside first. Each sweep is written to its sweep.yaml first: that file makes a directory a sweep. Raises
    `Refused`, before anything is changed, if data are missing or bad.
    """
    failures: list[str] = []
    there = {job.path: runs.load(job.path) for job, missing in steps if not missing}
    notice_other_data([(job, there[job.path]) for job, missing in steps if not missing], options.note)
    if todo := [step for step in steps if step.missing]:
        work = prepare(todo, options)
        for sweep in sweeps:
            write_sweep(options.runs / sweep.name, sweep.to_yaml())
        for job, _ in todo if fresh else ():
            if is_run(job.path):
                set_aside(job.path)
        epochs = {job.path: len(missing) * job.config.training.epochs for job, missing in todo}
        work_all = sum(len(missing) * cost.seconds(job.config) for job, missing in todo)
        shown = progress.shown(sum(epochs.values()), options.quiet, epochs, work_all, options.live)
        watching = shown, tracking.tracked(options.track, options.lost), live_page.watched(options)
        with watching[0] as show, watching[1] as track, watching[2] as draw, contextlib.closing(work):
            for event in work:
                show(event)
                track(event)
                draw(event)
                failures += heed(event, options.note)
                if failures and options.fail_fast:
                    break
    ended = (job.path for job, _ in steps if (job.path / "summary.json").exists())
    finished = [there.get(path) or runs.load(path) for path in ended]
    draw_curves((run for run in finished if not (run.path / "curves.png").exists()), options.note)
    for run in finished if options.track else ():
        options.lost.extend(unwritten(run.path, partial(tracking.complete, run)))
    return failures


def refuse_other_data(steps: Sequence[Step], options: Options) -> None:
    """Refuse to train on data that have changed since other runs of the plan were made, finished or not.

    What is trained and what is there would be judged together. Only data of which there are such runs are read.
    """
    places = [data.located(job.config.data.dataset) for job, _ in steps]
    todo = {place for place, (_, missing) in zip(places, steps, strict=True) if missing}
    there = [
        (job, digest)
        for place, (job, _) in zip(places, steps, strict=True)
        if place in todo and (digest := made_on(job.path))
    ]
    now = digests_now((job for job, _ in there), options.data)  # None: `prepare` says why
    problems = []
    for job, digest in there:
        dataset = job.config.data.dataset
        if (found := now[dataset, job.config.data.parts]) and digest != found:
            reason = "has changed since this run was made, and runs on different data cannot be compared; "
            advice = f"put the old data back, choose another name, or {MOVE_AWAY}"
            problems.append(Problem(str(job.path), dataset, reason + advice, f"sha256 {found[:12]}"))
    if problems:
        raise Refused(*problems)


def digests_now(jobs: Iterable[Job], directory: Path) -> dict[tuple[str, Parts], str | None]:
    """Return the digest that the data of these jobs have now, by data set and parts; each is read once."""
    used = dict.fromkeys((job.config.data.dataset, job.config.data.parts) for job in jobs)
    return {of: data.sha256_now(of[0], directory, of[1]) for of in used}


def made_on(path: Path) -> str | None:
    """Return the SHA-256 of the data that a run was made on, finished or not; None if nothing was trained yet."""
    summary = read_summary(path)
    return summary.data_sha256 if summary else begun_on(path)


def notice_other_data(finished: Sequence[tuple[Job, Run]], note: Callable[[str], None]) -> None:
    """Note each finished run whose own file has changed since the run was trained, or whose settings mean others."""
    own = (job for job, _ in finished if job.config.data.dataset not in data.DATASETS)
    now = digests_now((job for job in own if os.path.isfile(data.at_home(job.config.data.dataset))), Path())
    for job, run in finished:
        if run.outdated:
            note(
                f"{job.path}: an earlier version trained it on numbers scaled otherwise; to train it anew, {MOVE_AWAY}"
            )
        of = job.config.data.dataset, job.config.data.parts
        if of in now and now[of] != run.summary.data_sha256:
            name = os.path.basename(of[0])
            note(f"{job.path}: {name} has changed since; to train on what it is now, {MOVE_AWAY}")


def prepare(todo: Sequence[Step], options: Options) -> Generator[Event, None, None]:
    """Return the training as a generator of events. Refuses bad data at once, before anything is changed."""
    used = dict.fromkeys((job.config.data.dataset, job.config.data.parts) for job, _ in todo)
    each(used, lambda of: data.check(of[0], options.data, of[1]))
    from dropout_lab.execution import execute as execution

    parts = []
    for device, steps in by_device(todo, options.place.device).items():
        source = options.place.source(options.data, device, layout(steps, device, options), options.lanes)
        parts.append(([job for job, _ in steps], source))
    for jobs, source in parts:
        execution.check_data(jobs, source, options.note)
    return (event for jobs, source in parts for event in execution.execute(jobs, source))


def layouts(steps: Sequence[Step], options: Options) -> dict[str, Layout]:
    """Return the layout of the steps on each device. Refuses what does not fit into memory. No torch."""
    todo = [step for step in steps if step.missing]
    devices = by_device(todo, lambda device: options.place.likely(device, "config"))
    return {device: layout(own, device, options) for device, own in devices.items()}


def by_device(steps: Sequence[Step], choose: Callable[[str], str]) -> dict[str, list[Step]]:
    """Group the steps by the device that each will use."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(choose(step.job.config.device), []).append(step)
    return found


def layout(steps: Sequence[Step], device: str, options: Options) -> Layout:
    """Return the layout of the steps on one device."""
    return options.place.layout([(job.config, len(missing)) for job, missing in steps], device, options.lanes)


def heed(event: Event, note: Callable[[str], None]) -> list[str]:
    """Handle an event: remove an outdated picture, pass on a remark, or return a line about a failure."""
    if isinstance(event, SeedDone):
        storage.remove(event.task.job.path / "curves.png")  # drawn anew when the run is complete
    elif isinstance(event, Noted):
        note(event.text)
    elif isinstance(event, UnitFailed):
        return [f"{named(event.unit)}: {event.reason}"]
    return []


def draw_curves(finished: Iterable[Run], note: Callable[[str], None]) -> None:
    """Draw curves.png of each run, and note where that fails: nobody asked for the picture."""
    for run in finished:
        for line in undrawn(run.path / "curves.png", methodcaller("curves", *runs.told_apart([run]))):
            note(line)
