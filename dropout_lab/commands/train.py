"""What `train` does: one run, trained as far as it is missing, and its result."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from dropout_lab import storage
from dropout_lab.commands import listing, live_page
from dropout_lab.commands import names as given
from dropout_lab.commands import plan as plans
from dropout_lab.commands.names import Configured, Options
from dropout_lab.commands.plan import Step
from dropout_lab.commands.result import Result
from dropout_lab.data import datasets as data
from dropout_lab.errors import Problem, Refused, stop_at
from dropout_lab.runs.job import Job, refuse_foreign
from dropout_lab.runs.read import Run, load


def train(
    config: Configured,
    words: Sequence[str],
    options: Options,
    *,
    fresh: bool = False,
) -> Result[Run]:
    """Train the run of a config, changed by KEY=VALUE words. With `fresh` an existing run is moved aside.

    If the options say to wait, a run that another process is writing is trained when that process is done, and is held
    until its result is read. Raises `Refused` with every problem, and `Failed` where the training failed. Seeds that
    diverged are an error of the result.
    """
    if fresh and options.wait:
        reason = "must be left out with --wait: it would move away what the process before has trained"
        raise Refused(Problem("command line", "--fresh", reason, "--wait"))
    resolved = given.config(config, words, options.changes)
    resolved = given.smoke(resolved) if options.smoke else resolved
    job = Job(options.runs / resolved.name, resolved)
    steps = plans.plan([job], options, fresh=fresh)
    plans.announce(steps, options)
    with turn(job, options) if options.wait and steps[0].missing else contextlib.nullcontext(steps) as steps:
        failures = plans.carry_out(steps, options, fresh=fresh)
        if job.unfinished():
            stop_at(failures)
        run = load(job.path)
    return listing.as_result(run, failures, [*dict.fromkeys(options.lost), *live_page.finished(options, [run.path])])


@contextlib.contextmanager
def turn(job: Job, options: Options) -> Iterator[list[Step]]:
    """Wait until no other process writes the run, and hold it; give what it then lacks. Refuses missing data first."""
    data.check(job.config.data.dataset, options.data, job.config.data.parts)
    refuse_foreign(job.path)
    storage.make_directory(job.path)
    said = f"{job.path}: waiting for the process that is writing here ({{}}); Ctrl-C ends the wait"
    with storage.turn(job.path, lambda process: options.note(said.format(process))):
        yield plans.plan([job], options)
