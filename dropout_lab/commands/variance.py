"""What `variance` does: a config's random streams varied apart and crossed, and what each contributes to the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dropout_lab.commands import names as given
from dropout_lab.commands.names import Configured, Options
from dropout_lab.commands.plan import train_missing
from dropout_lab.commands.result import Result, failed
from dropout_lab.commands.swept import sweep_jobs
from dropout_lab.comparison.compare import unknown_metric
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.errors import Problem, Refused, stop_at
from dropout_lab.runs import read as runs
from dropout_lab.storage import as_json, atomic_write
from dropout_lab.sweeps import spread as spreads
from dropout_lab.sweeps.crossing import cross
from dropout_lab.sweeps.plan import Vary
from dropout_lab.sweeps.spread import Variance
from dropout_lab.text import as_markdown, count


def variance(
    config: Configured,
    overrides: Sequence[str],
    options: Options,
    *,
    levels: int = 5,
    vary: Vary = (),
    metric: str = "test_accuracy",
) -> Result[Variance]:
    """Train a network for every combination of seeds of the streams that `config` draws from, and divide their spread.

    The networks are a sweep in <runs>/<name>-variance, and what is finished is not trained again. Writes variance.json
    and variance.png there. Networks without a value of the metric are an error of the result.
    """
    if metric not in METRICS:
        raise Refused(Problem("command line", "--metric", unknown_metric(metric), metric))
    base = given.config(config, overrides, replace(options, name=None).changes)
    crossing = cross(base, levels, vary, name=options.name or f"{base.name[:55]}-variance")
    jobs = sweep_jobs(crossing.sweep, options)
    stop_at(train_missing(jobs, options, sweeps=[crossing.sweep]))
    directory = options.runs / crossing.sweep.name
    loaded = {
        job.path.name: run for job, run in zip(jobs, given.each(jobs, lambda job: runs.load(job.path)), strict=True)
    }
    found = spreads.measure(crossing, loaded, metric)
    from dropout_lab.figures import plots, spread

    atomic_write(directory / "variance.json", as_json(spreads.to_json_dict(found)).encode())
    drawn = [loaded[one.arm.names[0]] for one in found.spreads if one.components]
    if drawn:
        plots.save(spread.variance(found, plots.shared_conditions(drawn)), directory / "variance.png")
    lost = [one for one in found.spreads if one.missing]
    return Result(
        found,
        lambda width: spreads.to_text(found, width),
        lambda: spreads.to_json_dict(found),
        markdown=lambda: as_markdown(spreads.parts(found)),
        written=f"{directory}: variance.json{', variance.png' * bool(drawn)}, sweep.yaml and the run directories",
        error=failed([f"{one.label or directory}: {count(one.missing, 'network')} without {metric}" for one in lost]),
    )
