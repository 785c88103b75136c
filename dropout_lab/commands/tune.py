"""`--tune`: trains a grid of settings for each run on seeds of its own, and goes on with what each chose on validation.

What is planned, chosen and said is in sweeps/tuning.py. The runs of the tuning are a sweep in the runs directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dropout_lab.commands import names
from dropout_lab.commands.names import Options
from dropout_lab.commands.plan import announce, carry_out, plan
from dropout_lab.commands.swept import judge_sweep, sweep_jobs
from dropout_lab.comparison import compare as comparisons
from dropout_lab.comparison.compare import Comparison
from dropout_lab.config import resolve as configs
from dropout_lab.errors import Problem, Refused, each, stop_at
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Job
from dropout_lab.storage import sha256
from dropout_lab.sweeps import plan as sweeps
from dropout_lab.sweeps import tuning as tunings
from dropout_lab.sweeps.judge import SweepTable
from dropout_lab.sweeps.plan import LONGEST, Member, Settings, Sweep, Vary
from dropout_lab.sweeps.tuning import FIRST, Arm, Choice, Tuning
from dropout_lab.text import as_text, named_seeds, shortened, shown_seeds

SEEDS = 3  # of a tuning, unless told
MOST_SEEDS = 100
FIXED = ("data.dataset", *comparisons.MUST_AGREE)  # what runs must share to be compared


class Tune(NamedTuple):
    """What is asked for: the points of the grid, and the seeds to try them on."""

    grid: tuple[Settings, ...]
    seeds: tuple[int, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The config keys that are tuned."""
        return tuple(self.grid[0])


@dataclass(frozen=True)
class TunedComparison(Comparison):
    """A comparison of runs at what each of them chose."""

    tuning: Tuning | None = None


@dataclass(frozen=True)
class TunedTable(SweepTable):
    """The table of a sweep whose settings are each at what they chose."""

    tuning: Tuning | None = None


def asked(vary: Vary, seeds: int | None, options: Options) -> Tune | None:
    """Read the options --tune and --tune-seeds; None without --tune. Raises `Refused` for what cannot be tuned."""
    if not vary:
        if seeds is not None:
            raise Refused(Problem("command line", "--tune-seeds", "must be left out without --tune", seeds))
        return None
    if options.smoke:
        reason = "must be left out of a smoke run, which is too short to choose by"
        raise Refused(Problem("command line", "--tune", reason, "--smoke"))
    number = names.whole_number("--tune-seeds", SEEDS if seeds is None else seeds, 1, MOST_SEEDS)
    grid = tuple(sweeps.combinations(None, vary, option="--tune"))
    if key := next((key for key in grid[0] if key in FIXED), None):
        reason = f"must be settings that runs may differ in and still be compared, and {key} is none"
        raise Refused(Problem("command line", "--tune", reason, key))
    if len(grid) < 2:
        raise Refused(Problem("command line", "--tune", "must name two values or more to choose from", [*grid[0]][0]))
    return Tune(grid, tuple(range(FIRST, FIRST + number)))


def tuned_jobs(
    jobs: Sequence[Job], tune: Tune, options: Options, metric: str, min_effect: float | None
) -> tuple[Tuning, list[Job]]:
    """Tune the jobs of a comparison, and return what they chose and the jobs at their choices.

    A job that chose what its config says already stays as it is. Raises `Refused`, before anything is trained, if two
    jobs differ in nothing but what is tuned.
    """
    each(jobs, Job.unfinished)  # a run that exists with another config
    labels = [names.label(job.path, options) for job in jobs]
    arms = [Arm(label, job.config, short(f"{label}-tune"), {}) for label, job in zip(labels, jobs, strict=True)]
    pairs = [(0, place) for place in range(1, len(jobs))]
    tuning = tuned(arms, pairs, tune, options, metric, min_effect)
    return tuning, [
        job if choice.is_own else tuned_job(choice, options) for job, choice in zip(jobs, tuning.choices, strict=True)
    ]


def tuned_job(choice: Choice, options: Options) -> Job:
    """Return the job of an arm at its choice. The name says the values, for a wider grid may choose others."""
    name = short(f"{choice.arm.name}-tuned-{choice.lines[choice.chosen].member.name}")
    config = choice.config.model_copy(update={"name": name})
    return Job(options.runs / name, config)


def tuned_sweep(planned: Sweep, tune: Tune, options: Options) -> tuple[Tuning, Sweep]:
    """Tune each setting of a sweep, and return what they chose and the sweep at the choices, called <name>-tuned."""
    if key := next((key for key in tune.keys if key in planned.keys), None):
        raise Refused(Problem("command line", "--tune", f"must not be varied as well: {key} is", key))
    arms = [Arm(member.name, member.config, f"{planned.name}-tune", member.settings) for member in planned.members]
    tuning = tuned(arms, planned.pairs, tune, options)
    both = list(zip(planned.members, tuning.choices, strict=True))
    called = {member.name: choice.lines[choice.chosen].member.name for member, choice in both}
    members = tuple(
        Member(
            called[member.name],
            member.settings,
            choice.config.model_copy(update={"name": called[member.name]}),
            called.get(member.baseline or ""),
        )
        for member, choice in both
    )
    return tuning, Sweep(f"{planned.name}-tuned", members)


def tuned(
    arms: Sequence[Arm],
    pairs: Sequence[tuple[int, int]],
    tune: Tune,
    options: Options,
    metric: str = "test_accuracy",
    min_effect: float | None = None,
) -> Tuning:
    """Train what the tuning of the arms lacks, and choose. `pairs`: the places of baseline and candidate among them.

    Raises `Refused`, before anything is trained, where seeds are not fresh, and for arms that the grid makes equal.
    """
    used = {seed for arm in arms for seed in arm.config.seeds} & {*tune.seeds}
    if used:
        reason = f"must be others than those of the tuning, {named_seeds(tune.seeds)}"
        raise Refused(Problem("command line", "--seeds", reason, shown_seeds([*used])))
    planned = tunings.plan(arms, tune.grid, tune.seeds)
    refuse_equals(arms, tune.grid)
    jobs = [job for sweep in planned for job in sweep_jobs(sweep, options)]
    steps = plan(jobs, options)
    if any(step.missing for step in steps):  # else a dry run goes on to the comparison
        announce(steps, options)
    stop_at(carry_out(steps, options, sweeps=planned))
    choices = tunings.choose(arms, tune.grid, {sweep.name: judge_sweep(sweep, options)[0].lines for sweep in planned})
    shared = tunings.shared_point(arms[0], planned[0], len(tune.grid))
    tuning = Tuning(tune.grid, tune.seeds, choices, shared)
    there = tunings.runs_at(choices, shared)
    known = [(a, b, (one, other)) for a, b in pairs if (one := there[a]) and (other := there[b])]
    found = comparisons.contrasts(
        [both for *_, both in known], metric=metric, min_effect=min_effect, metrics=(metric,)
    )  # looks are not remembered: these seeds are never compared again
    return replace(
        tuning, contrasts=tuple((arms[b].name, contrast) for (_, b, _), contrast in zip(known, found, strict=True))
    )


def refuse_equals(arms: Sequence[Arm], grid: Sequence[Settings]) -> None:
    """Refuse arms that are the same experiment at every point of the grid."""
    first: dict[str, str] = {}
    for arm in arms:
        identity = configs.changed(arm.config, grid[0]).identity
        if (other := first.setdefault(identity, arm.name)) != arm.name:
            reason = f"must leave a difference: {arm.name} and {other} differ in nothing but what is tuned"
            raise Refused(Problem("command line", "--tune", reason, ", ".join(grid[0])))


def fresh_seeds(jobs: Sequence[Job], tuning: Tuning) -> tuple[int, ...]:
    """Return the seeds that the finished jobs have, without those of the tuning."""
    return tuple(sorted({seed for job in jobs for seed in runs.load(job.path).seeds} - {*tuning.seeds}))


def introduced(tuning: Tuning | None, text: str, width: int) -> str:
    """Return the text of a result with that of the tuning before it, if there was any."""
    return f"{as_text(tunings.parts(tuning), width)}\n\n{text}" if tuning else text


def short(name: str) -> str:
    """Return a name as it may be that of a run: at most LONGEST characters, cut with a digest."""
    return name if len(name) <= LONGEST else shortened(name, sha256(name.encode())[:8], LONGEST)
