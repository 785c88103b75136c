"""A crossing: every combination of seeds of the random streams that a network draws from, one network for each. Pure.

A crossing is planned as a sweep over the settings `streams.<name>`. The last of its streams has no such setting: its
seeds are the seeds of the runs. `spread.py` measures what each stream contributes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.errors import Problem, Refused
from dropout_lab.sweeps.plan import MOST, Member, Settings, Sweep, Vary, combinations, run_name

LEVELS = 2, 100  # the fewest and the most seeds of each stream


@dataclass(frozen=True)
class Arm:
    """One config whose streams are crossed.

    settings: what tells it from the other arms. names: of its runs, one for each combination of the seeds of all
    streams but the last, whose seeds are those of each run; the last of the others changes first.
    """

    settings: Mapping[str, Any]
    config: Config
    streams: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Crossing:
    """The runs of a crossing with seeds 0 to `levels` - 1 for each stream, and the arms that they belong to."""

    sweep: Sweep
    levels: int
    arms: tuple[Arm, ...]


def drawn(config: Config) -> tuple[str, ...]:
    """Return the streams that networks of `config` draw from; a stream whose seed the config fixes is left out."""
    used = {
        "init": True,
        "order": True,
        "masks": any(config.rates) or config.dropout.input_rate > 0,
        "subset": config.data.train_from == "random",
        "split": config.data.validation_from == "random",
        "label_noise": config.data.label_noise > 0,
    }
    return tuple(name for name, is_used in used.items() if is_used and getattr(config.streams, name) is None)


def cross(base: Config, levels: int, vary: Vary = (), *, name: str) -> Crossing:
    """Return the crossing `name`: an arm for `base` or, with `vary`, for every combination of these settings.

    Arms that make the same networks share their runs. Raises `Refused`, with every problem, for a number of levels that
    is too small or too large, for values that the config refuses, for a config that fixes all its streams, and for over
    10,000 runs.
    """
    fewest, most = LEVELS
    if not fewest <= levels <= most:
        raise Refused(Problem("command line", "--levels", f"must be a whole number from {fewest} to {most}", levels))
    members: dict[str, Member] = {}  # by identity
    arms: list[Arm] = []
    problems: dict[str, Problem] = {}  # by what they say: many arms share one
    for own in combinations(None, vary) if vary else ({},):
        try:
            arms.append(_arm(base, own, levels, members))
        except Refused as refused:
            problems |= {str(problem): problem for problem in refused.problems}
    if problems:
        raise Refused(*problems.values())
    return Crossing(Sweep(name, tuple(members.values())), levels, tuple(arms))


def _arm(base: Config, own: Settings, levels: int, members: dict[str, Member]) -> Arm:
    """Return the arm of these settings, and enter its runs, unless they are there, in `members`."""
    config = configs.changed(base, own | {"seeds": tuple(range(levels))})
    streams = drawn(config)
    if not streams:
        reason = "must leave the seed of at least one stream null, so that it can be varied"
        raise Refused(Problem("config", "streams", reason, config.streams.init))
    if len(members) + (count := levels ** (len(streams) - 1)) > MOST:
        raise Refused(Problem("command line", "--levels", f"must come to at most {MOST:,} runs", count))
    names = []
    for seeds in itertools.product(range(levels), repeat=len(streams) - 1):
        fixed = {f"streams.{stream}": seed for stream, seed in zip(streams, seeds, strict=False)}
        cell = configs.changed(config, fixed) if fixed else config
        if cell.identity not in members:
            taken = [member.name for member in members.values()]
            run = run_name({**own, **fixed}, cell.identity, taken) or streams[-1]
            named = cell.model_copy(update={"name": run})
            members[cell.identity] = Member(run, {**own, **fixed}, named, baseline=None)
        names.append(members[cell.identity].name)
    return Arm(own, config, streams, tuple(names))
