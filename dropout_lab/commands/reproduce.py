"""What `reproduce` does: claims of the literature, their runs trained as far as they are missing, and judged."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dropout_lab import terminal
from dropout_lab.claims import experiment as claims
from dropout_lab.claims.definition import Claim
from dropout_lab.claims.judge import judge
from dropout_lab.claims.registry import GROUPS
from dropout_lab.commands.names import Options, check_page
from dropout_lab.commands.plan import train_missing
from dropout_lab.commands.result import Result, failed, unwritten
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import Problem, Refused


def reproduce(
    names: Sequence[str],
    options: Options,
    *,
    listing: bool = False,
    quick: bool = False,
    out: Path | None = None,
) -> Result[Any]:
    """Judge the claims that are named, or only list them with their costs.

    quick: of these, or of all, those that fit into 5 minutes. out: a page to write, which names the command line.
    Runs that failed are an error of the result.
    """
    out = out and at_home(out)
    if out:
        check_page("--out", out, (".html", ".md"))
        if listing:
            reason = "must be left out with --list: there is nothing to show"
            raise Refused(Problem("command line", "--out", reason, str(out)))
    numbers = options.seeds
    wanted = names or ([*GROUPS] if listing and not quick else [])
    chosen = claims.select(wanted, quick=quick, seeds=len(numbers) if numbers else None)
    if listing:
        return listed(chosen)
    experiment = claims.plan(chosen, options.runs, numbers, options.device)
    failures = train_missing(experiment.jobs, options, sweeps=[experiment.sweep] if experiment.sweep else [])
    judged = judge(experiment, options.data, (lambda text: None) if options.quiet else terminal.say)
    from dropout_lab.claims import page

    command = shlex.join(options.audience.typed)
    lost = unwritten(out, lambda: page.write(judged, out, command)) if out else []
    return Result(
        judged,
        lambda width: page.as_text(judged, width),
        lambda: page.as_dict(judged),
        markdown=lambda: page.as_markdown(judged),
        written=str(out or ""),
        lost=lost,
        error=failed(failures),
    )


def listed(chosen: Sequence[Claim]) -> Result[Sequence[Claim]]:
    """Return the list of claims, with what each costs on this machine."""
    from dropout_lab.claims import page

    speed = claims.speed_here()
    return Result(chosen, lambda width: page.listed(chosen, width, speed), lambda: page.listed_as_dict(chosen, speed))
