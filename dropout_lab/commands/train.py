"""What `train` does: one run, trained as far as it is missing, and its result."""

from __future__ import annotations

from collections.abc import Sequence

from dropout_lab.commands import listing, live_page
from dropout_lab.commands import names as given
from dropout_lab.commands import plan as plans
from dropout_lab.commands.names import Configured, Options
from dropout_lab.commands.result import Result, failed
from dropout_lab.errors import stop_at
from dropout_lab.runs.job import Job
from dropout_lab.runs.read import Run, load
from dropout_lab.text import as_markdown, as_text, named_seeds


def train(
    config: Configured,
    words: Sequence[str],
    options: Options,
    *,
    fresh: bool = False,
) -> Result[Run]:
    """Train the run of a config, changed by KEY=VALUE words. With `fresh` an existing run is moved aside.

    Raises `Refused` with every problem, and `Failed` where the training failed. Seeds that diverged are an error of
    the result.
    """
    resolved = given.config(config, words, options.changes)
    resolved = given.smoke(resolved) if options.smoke else resolved
    job = Job(options.runs / resolved.name, resolved)
    failures = plans.train_missing([job], options, fresh=fresh)
    if job.missing():
        stop_at(failures)
    run = load(job.path)
    advice = f"{run.path}: {named_seeds(run.diverged)} diverged; try a smaller training.learning_rate"
    return Result(
        run,
        lambda width: as_text(listing.parts(run), width),
        lambda: listing.run_as_dict(run),
        markdown=lambda: as_markdown(listing.parts(run)),
        lost=[*dict.fromkeys(options.lost), *live_page.finished(options, [run.path])],
        error=failed(failures + [advice] * bool(run.diverged)),
    )
