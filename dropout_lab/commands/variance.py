"""What `variance` does: a config's random streams varied apart and crossed, and what each contributes to the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dropout_lab.commands import names as given
from dropout_lab.commands.names import Configured, Options
from dropout_lab.commands.plan import train_missing
from dropout_lab.commands.result import Result, failed, undrawn, unwritten
from dropout_lab.commands.swept import sweep_jobs
from dropout_lab.comparison.compare import unknown_metric
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.errors import Problem, Refused, each, stop_at
from dropout_lab.runs import read as runs
from dropout_lab.storage import as_json, atomic_write
from dropout_lab.sweeps import spread as spreads
from dropout_lab.sweeps.crossing import cross
from dropout_lab.sweeps.plan import Vary
from dropout_lab.sweeps.spread import Variance
from dropout_lab.text import as_markdown, count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    loaded = {job.path.name: run for job, run in zip(jobs, each(jobs, lambda job: runs.load(job.path)), strict=True)}
    found = spreads.measure(crossing, loaded, metric)
    file, picture = directory / "variance.json", directory / "variance.png"
    lost = unwritten(file, lambda: atomic_write(file, as_json(spreads.to_json_dict(found)).encode()))
    shown = [loaded[one.arm.names[0]] for one in found.spreads if one.components]

    def draw(plots: Any) -> Figure:
        from dropout_lab.figures import spread

        return spread.variance(found, plots.shared_conditions(shown))

    if shown:
        lost += undrawn(picture, draw)
    missing = [one for one in found.spreads if one.missing]
    return Result(
        found,
        lambda width: spreads.to_text(found, width),
        lambda: spreads.to_json_dict(found),
        markdown=lambda: as_markdown(spreads.parts(found)),
        written=f"{directory}: variance.json{', variance.png' * bool(shown)}, sweep.yaml and the run directories",
        lost=lost,
        error=failed(
            [f"{one.label or directory}: {count(one.missing, 'network')} without {metric}" for one in missing]
        ),
    )
