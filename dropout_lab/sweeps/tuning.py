"""Tuning: several arms try the same grid of settings, and each is judged at its own best point of it. Trains nothing.

A comparison at one shared learning rate judges one arm at the best of the other. Each arm chooses on validation, on
seeds of its own from FIRST on, so that the seeds of the comparison are fresh.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dropout_lab.comparison.compare import Contrast
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.runs.read import Run
from dropout_lab.sweeps.judge import Line, best
from dropout_lab.sweeps.plan import Member, Settings, Sweep, run_name, shown
from dropout_lab.text import Line as Cells
from dropout_lab.text import Parts, labelled, named_seeds

FIRST = 1000  # the first seed of a tuning
CHOSEN_BY = METRICS["val_accuracy"]


@dataclass(frozen=True)
class Arm:
    """What is tuned: its name, its config, the sweep that its tuning is part of, and what it is called by in there."""

    name: str
    config: Config
    sweep: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """An arm with its runs over the grid, in the order of the grid, and the one that is chosen."""

    arm: Arm
    lines: tuple[Line, ...]
    chosen: int
    edge: tuple[str, ...]  # the keys whose chosen value is the least or greatest of the grid

    @property
    def config(self) -> Config:
        """The arm's config at its choice, with the arm's own seeds."""
        return self.config_at(self.chosen)

    def config_at(self, point: int) -> Config:
        """Return the arm's config at a point of the grid, with the arm's own seeds."""
        return configs.changed(self.lines[point].member.config, {"seeds": self.arm.config.seeds})

    @property
    def is_own(self) -> bool:
        """Whether the choice is what the arm's config says already."""
        return self.config.identity == self.arm.config.identity


@dataclass(frozen=True)
class Tuning:
    """What each arm chose, and how they compare on the tuning seeds at one point of the grid that all share.

    shared: the place of that point in the grid. contrasts: at that point, by the name of the candidate.
    """

    grid: tuple[Settings, ...]
    seeds: tuple[int, ...]
    choices: tuple[Choice, ...]
    shared: int
    contrasts: tuple[tuple[str, Contrast], ...] = ()


def plan(arms: Sequence[Arm], grid: Sequence[Settings], seeds: Sequence[int]) -> list[Sweep]:
    """Return the sweeps that tune the arms: for each arm a run at each point of the grid, without baselines.

    Arms of one sweep follow each other in it. Raises `Refused`, with every problem, for values that a config refuses.
    """
    members: dict[str, list[Member]] = {}
    problems: dict[str, Problem] = {}
    for arm, point in itertools.product(arms, grid):
        try:
            config = configs.changed(arm.config, point | {"seeds": tuple(seeds)})
        except Refused as refused:
            problems |= {str(problem): problem for problem in refused.problems}
            continue
        before = members.setdefault(arm.sweep, [])
        settings = {**arm.settings, **point}
        name = run_name(settings, config.identity, [member.name for member in before])
        before.append(Member(name, settings, config.model_copy(update={"name": name}), None))
    if problems:
        raise Refused(*problems.values())
    return [Sweep(name, tuple(own)) for name, own in members.items()]


def choose(arms: Sequence[Arm], grid: Sequence[Settings], lines: Mapping[str, Sequence[Line]]) -> tuple[Choice, ...]:
    """Return what each arm chose, given the judged lines of each sweep of `plan`: its best mean on validation.

    Of equals it is the first in the grid; a point with a diverged seed is none. Raises `Failed` where no point is left.
    """
    left = {sweep: iter(own) for sweep, own in lines.items()}
    found = []
    for arm in arms:
        own = tuple(itertools.islice(left[arm.sweep], len(grid)))
        if (chosen := best(own)) is None:
            raise Failed(f"{arm.name}: nothing to choose, every point of the grid has a seed that diverged")
        place = own.index(chosen)
        found.append(Choice(arm, own, place, edge(grid[place], grid)))
    return tuple(found)


def edge(chosen: Settings, grid: Sequence[Settings]) -> tuple[str, ...]:
    """Return the keys whose chosen number is the least or the greatest in the grid: a better one may lie beyond.

    Nothing lies beyond 0.
    """
    numbers = {key: [point[key] for point in grid if _is_number(point[key])] for key in chosen}
    return tuple(
        key
        for key, tried in numbers.items()
        if len({*tried}) > 1 and chosen[key] in (min(tried), max(tried)) and chosen[key] != 0
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shared_point(arm: Arm, sweep: Sweep, count: int) -> int:
    """Return the place in the grid of the settings that the config of the first arm has, else the middle place."""
    own = [member.config.identity == arm.config.identity for member in sweep.members[:count]]
    return own.index(True) if True in own else (count - 1) // 2


def runs_at(choices: Sequence[Choice], point: int) -> list[Run | None]:
    """Return the run of each arm at one point of the grid, on the tuning seeds."""
    return [choice.lines[point].run for choice in choices]


# Words


def parts(tuning: Tuning) -> Parts:
    """Return the validation accuracy of every point for every arm, what each chose, and what a shared point says."""
    keys = ", ".join(tuning.grid[0])
    said = (
        f"each run chose its {keys} on validation (>), on {named_seeds(tuning.seeds)}, and is compared on other seeds"
    )
    return [labelled("tuning", said), table(tuning), *chosen(tuning), *shared(tuning)]


def table(tuning: Tuning) -> list[Cells]:
    """Return the mean validation accuracies: a line for each arm, a column for each point of the grid."""
    head = ("val acc. %", *(point_shown(point) for point in tuning.grid))
    body = [
        (choice.arm.name, *(_cell(line, place == choice.chosen) for place, line in enumerate(choice.lines)))
        for choice in tuning.choices
    ]
    return [head, *body]


def _cell(line: Line, chosen: bool) -> str:
    if line.diverged or line.val is None:
        return "diverged"
    return "> " * chosen + CHOSEN_BY.shown(line.val.mean)


def point_shown(point: Settings) -> str:
    """Return the values of a point of the grid, without their keys."""
    return " ".join(map(shown, point.values()))


def chosen(tuning: Tuning) -> Iterator[str]:
    """Yield what each arm chose, and whether the grid should be wider."""
    for choice in tuning.choices:
        point = tuning.grid[choice.chosen]
        values = ", ".join(f"{key} {shown(value)}" for key, value in point.items())
        which = f" of {', '.join(choice.edge)}" if len(point) > 1 else ""
        end = f", at the edge of the grid{which}: widen it" if choice.edge else ""
        yield labelled("chose", f"{choice.arm.name}: {values}{end}")


def shared(tuning: Tuning) -> Iterator[str]:
    """Yield what the arms come to at a point that all share, on the tuning seeds."""
    if said := "; ".join(_shared(name, contrast) for name, contrast in tuning.contrasts):
        metric = METRICS[tuning.contrasts[0][1].metric].title
        point = point_shown(tuning.grid[tuning.shared])
        yield labelled("shared", f"{metric} with {point} for all, on the tuning seeds: {said}")


def _shared(name: str, contrast: Contrast) -> str:
    if not contrast.row:
        return f"{name} -"
    change = METRICS[contrast.metric].shown_difference(contrast.row.difference.mean, sign=True)
    return f"{name} {change}, {word(contrast)}"


def word(contrast: Contrast) -> str:
    """Return the verdict as it is shown."""
    return "no verdict" if contrast.verdict.word == "none" else contrast.verdict.phrase


def to_json_dict(tuning: Tuning) -> dict[str, Any]:
    """Return all of it as plain data, accuracies as fractions."""
    return {
        "keys": list(tuning.grid[0]),
        "seeds": list(tuning.seeds),
        "runs": [
            {
                "run": choice.arm.name,
                "sweep": choice.arm.sweep,
                "points": [
                    {
                        "settings": point,
                        "val_accuracy": line.val and line.val.mean,
                        "val_accuracy_sd": line.val and line.val.sd,
                        "diverged": line.diverged,
                    }
                    for point, line in zip(tuning.grid, choice.lines, strict=True)
                ],
                "chosen": tuning.grid[choice.chosen],
                "edge": list(choice.edge),
            }
            for choice in tuning.choices
        ],
        "shared": {
            "settings": tuning.grid[tuning.shared],
            "candidates": [
                {
                    "run": name,
                    "metric": contrast.metric,
                    "difference": contrast.row and contrast.row.difference.mean,
                    "verdict": contrast.verdict.word,
                }
                for name, contrast in tuning.contrasts
            ],
        },
    }
