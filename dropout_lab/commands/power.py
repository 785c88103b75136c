"""What `power` does: how many seeds an effect takes, from the spread of two finished runs. It trains nothing."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.commands import names
from dropout_lab.commands.compare import amount, check_alike, comparison_directory, question
from dropout_lab.commands.names import Named, Options
from dropout_lab.commands.result import Result, undrawn, unwritten
from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison import power as powers
from dropout_lab.comparison.compare import Contrast
from dropout_lab.comparison.inference import FEWEST, POWER
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.power import SEEDS, Power
from dropout_lab.errors import Problem, Refused, each
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Target
from dropout_lab.runs.read import Run
from dropout_lab.storage import as_json, atomic_write, make_directory
from dropout_lab.text import Line, Parts, as_markdown, as_text, count, labelled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Planned:
    """The power of a comparison: the names of baseline and candidate, whether seeds are paired, and the answer."""

    baseline: str
    candidate: str
    is_paired: bool
    power: Power


def power(
    named: Sequence[Named], options: Options, *, metric: str = "test_accuracy", effects: Sequence[str] = ()
) -> Result[Planned]:
    """Return how many seeds find each of `effects`, such as "0.5pp", if two runs spread as they do now.

    Writes power.json and power.png where `compare` writes. Raises `Refused` for a run that is not finished, saying how
    to train it, and for fewer than 3 seeds that both have.
    """
    question(metric)  # refuses an unknown metric
    asked = [amount(effect, metric, "--effect") for effect in effects]
    if not all(asked):
        raise Refused(Problem("command line", "--effect", "must be above 0", ", ".join(effects)))
    jobs = names.targets(named, options, least=2)
    if len(jobs) > 2:
        raise Refused(Problem("command line", "runs", "must be two: a baseline and a candidate", len(jobs)))
    check_alike(jobs, options)
    loaded = each(list(zip(named, jobs, strict=True)), lambda pair: _finished(*pair))
    (contrast,) = comparisons.compare(loaded, metric=metric).contrasts
    before, after = loaded
    found = Planned(before.name, after.name, bool(contrast.common), _power(contrast, asked))
    directory = comparison_directory(jobs, options)

    def write() -> None:
        make_directory(directory)
        atomic_write(directory / "power.json", as_json(to_json_dict(found)).encode())

    def draw(_: Any) -> Figure:
        from dropout_lab.figures import spread

        title = f"{found.candidate} against {found.baseline}: seeds for an effect on {METRICS[metric].title}"
        return spread.power(found.power, title, _seen(found))

    lost = unwritten(directory, write) or undrawn(directory / "power.png", draw)
    return Result(
        found,
        lambda width: to_text(found, width),
        lambda: to_json_dict(found),
        markdown=lambda: as_markdown(parts(found)),
        written=f"{directory}: power.json, power.png",
        lost=lost,
    )


def _finished(given: Named, job: Target) -> Run:
    """Return the run of a job. Raises `Refused` with the command that trains it if it is not finished."""
    if not (job.path / "summary.json").exists():
        config = job.path / "config.yaml" if isinstance(given, Run) or Path(str(job.path)).is_dir() else None
        source = str(config or given) if isinstance(given, str | Path | Run) else "CONFIG"
        command = shlex.join(["dropout-lab", "train", source, "--seeds", "5"])
        raise Refused(Problem(str(job.path), "run", f"is not finished; train it with `{command}`", job.path.name))
    return runs.load(job.path)


def _power(contrast: Contrast, effects: Sequence[float]) -> Power:
    row = contrast.row
    n = row.difference.n if row else 0
    if n < FEWEST:
        seeds = "pairs of seeds" if contrast.common else "seeds of each run"
        reason = f"must have {FEWEST} {seeds} with a {contrast.metric}; train {count(FEWEST - n, 'more seed')} of each"
        raise Refused(Problem("command line", "runs", reason, n))
    try:
        return powers.power(contrast, effects)
    except ValueError:
        reason = "must differ between seeds, or there is no spread to plan with"
        raise Refused(Problem("command line", "--metric", reason, contrast.metric)) from None


def to_text(found: Planned, width: int = 100) -> str:
    """Return what `parts` returns as text."""
    return as_text(parts(found), width)


def parts(found: Planned) -> Parts:
    """Return what the plan rests on, the table of seeds, and how to read it."""
    shown = METRICS[found.power.metric].shown_difference
    noise = found.power.noise
    each = "pairs" if found.is_paired else "seeds of each"
    after = [
        labelled("seeds", f"{each} in all, fixed beforehand, for {100 * POWER:.0f} % power at 95 %"),
        labelled("range", "as well as the spread is known (80 %)"),
        labelled("as good", "seeds that show equal methods to be equivalent, with the effect as margin"),
        labelled("images", f"the test images alone make an sd of {shown(noise)} of it") if noise else "",
    ]
    head = [labelled("power", f"{found.candidate} against {found.baseline}"), labelled("spread", _seen(found))]
    return [*head, table(found), *filter(None, after)]


def _seen(found: Planned) -> str:
    shown = METRICS[found.power.metric].shown_difference
    low, high = found.power.limits
    pairs = count(found.power.seeds, "pair" if found.is_paired else "seed")
    of = "differences" if found.is_paired else "a difference of two networks"
    title = METRICS[found.power.metric].title
    return f"{title}, {pairs}: sd of {of} {shown(found.power.sd)}, likely {shown(low)} to {shown(high)}"


def table(found: Planned) -> list[Line]:
    """Return a line for each effect: the seeds that find it, their range, and the seeds that show equivalence."""
    shown = METRICS[found.power.metric].shown_difference
    marks = {found.power.margin: " (margin)", abs(found.power.mean): " (seen)"}
    lines: list[Line] = [("effect", "seeds", "range", "as good")]
    for one in found.power.needed:
        span = f"{_seeds(one.low)} to {_seeds(one.high)}"
        lines.append((shown(one.effect) + marks.get(one.effect, ""), _seeds(one.seeds), span, _seeds(one.equal)))
    return lines


def _seeds(number: int | None) -> str:
    return "> 1,000,000" if number is None else f"{number:,}"


def to_json_dict(found: Planned) -> dict[str, Any]:
    """Return the answer as plain data: effects and spreads in the metric's stored unit, powers from 0 to 1."""
    power = found.power
    return {
        "schema_version": SCHEMA_VERSION,
        "baseline": found.baseline,
        "candidate": found.candidate,
        "paired": found.is_paired,
        "metric": power.metric,
        "seeds": power.seeds,
        "sd": power.sd,
        "sd_limits": list(power.limits),
        "image_noise": power.noise,
        "effects": [
            {
                "effect": one.effect,
                "seeds": one.seeds,
                "range": [one.low, one.high],
                "seeds_equivalent": one.equal,
                "power": dict(zip(map(str, SEEDS), power.curve(one.effect), strict=True)),
            }
            for one in power.needed
        ],
    }
