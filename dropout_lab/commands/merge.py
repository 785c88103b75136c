"""What `merge` does: one run of finished runs that differ in seeds alone, such as those of an array job."""

from __future__ import annotations

from collections.abc import Sequence

from dropout_lab.commands import listing
from dropout_lab.commands.names import Options, Where, inside, targets
from dropout_lab.commands.plan import draw_curves
from dropout_lab.commands.result import Result
from dropout_lab.config.settings import NAME_FORM, RUN_NAME
from dropout_lab.errors import Problem, Refused, each
from dropout_lab.runs import merge as merging
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Target
from dropout_lab.runs.read import Run


def merge(name: str, named: Sequence[Run | Where], options: Options) -> Result[Run]:
    """Make the run `name` of finished runs that differ in seeds alone; they stay as they are.

    Raises `Refused` with every problem: a name that exists or can name no run, a run that is not finished, anything in
    which the runs differ beside their seeds.
    """
    if not RUN_NAME.fullmatch(name):
        raise Refused(Problem("command line", "NAME", f"must be {NAME_FORM}", name))
    loaded = each(targets(named, options, least=2), _finished)
    run = merging.merge(loaded, inside(options.runs, options.runs / name))
    draw_curves([run], options.note)
    return listing.as_result(run)


def _finished(job: Target) -> Run:
    if not (job.path / "summary.json").exists():
        reason = "is not finished; train it to its end first, or leave it out"
        raise Refused(Problem(str(job.path), "run", reason, job.path.name))
    return runs.load(job.path)
