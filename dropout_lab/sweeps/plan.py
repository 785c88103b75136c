"""Plan a sweep: settings become runs. Pure, no torch. `execution/` trains the plan, `judge.py` reads the runs."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from dropout_lab.config import resolve as configs
from dropout_lab.config.ranges import distinct, expand_numbers, expand_values
from dropout_lab.config.settings import Config, DropoutConfig
from dropout_lab.config.strict_yaml import written
from dropout_lab.data.datasets import DATASETS
from dropout_lab.dropout import CUT, DROPOUTS
from dropout_lab.errors import Problem, Refused
from dropout_lab.sweeps.files import PlannedRun, SameRun, SweepFile
from dropout_lab.text import shortened

ARTICLE = {"data": {"scale": "column-l2"}, "dropout": {"placement": "before"}}  # the config of a sweep without one
MOST = 10_000  # runs in one sweep
RATE = "dropout.rate"
OFF = {RATE: 0, "dropout.input_rate": 0}  # the values of a baseline
NOT_VARIED = {"name": "--name", "seeds": "--seeds", "device": "--device"}  # they do not decide the numbers
NOTHING = "no dropout"  # the row or column of a baseline, which has no value of a dropout setting
LONGEST = 64  # characters of a run's name

Settings = dict[str, Any]  # by dotted key
Rates = str | float | Iterable[float]
Vary = Sequence[str] | Mapping[str, Iterable[object]]


@dataclass(frozen=True)
class Member:
    """One run of a sweep: its name, the settings that make it, its config, and the name of its baseline, if any."""

    name: str
    settings: Mapping[str, Any]
    config: Config
    baseline: str | None

    @property
    def is_baseline(self) -> bool:
        """Whether this run is what others are compared with."""
        return self.name == self.baseline


@dataclass(frozen=True)
class Same:
    """Settings that give the same network as a run of the sweep: their name, and the name of that run."""

    name: str
    settings: Mapping[str, Any]
    run: str


@dataclass(frozen=True)
class Sweep:
    """A planned sweep: its runs in the order in which they were asked for, each baseline before what it is for."""

    name: str
    members: tuple[Member, ...]
    same: tuple[Same, ...] = ()  # what was asked for too, and is not trained

    @property
    def grid(self) -> Grid | None:
        """The runs over the two settings that vary; None unless exactly two vary."""
        runs: list[Member | Same] = [*self.members, *self.same]
        cells = grid({own.name: own.settings for own in runs})
        run_of = {own.name: own.run for own in self.same}
        return cells and replace(cells, names={at: run_of.get(name, name) for at, name in cells.names.items()})

    @property
    def keys(self) -> tuple[str, ...]:
        """The config keys that vary."""
        return tuple(dict.fromkeys(key for member in self.members for key in member.settings))

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The places of each run's baseline, where it has one here, and of the run."""
        places = {member.name: place for place, member in enumerate(self.members)}
        return [
            (places[member.baseline], places[member.name])
            for member in self.members
            if member.baseline in places and not member.is_baseline
        ]

    def to_yaml(self) -> str:
        """Return what sweep.yaml says: the settings of every run and its baseline."""
        runs = (
            PlannedRun(name=member.name, settings=dict(member.settings), baseline=member.baseline)
            for member in self.members
        )
        same = (SameRun(name=own.name, settings=dict(own.settings), same_as=own.run) for own in self.same)
        return SweepFile(name=self.name, runs=tuple(runs), same=tuple(same)).to_yaml()

    def member(self, name: str) -> Member:
        """Return the run called `name`."""
        return next(member for member in self.members if member.name == name)

    def with_configs(self, changed: Iterable[Config]) -> Sweep:
        """Return the sweep with another config for each run, in order: that of a run with other seeds."""
        both = zip(self.members, changed, strict=True)
        return replace(self, members=tuple(replace(member, config=config) for member, config in both))


@dataclass(frozen=True)
class Grid:
    """Runs over two settings: the keys of rows and columns, their values, and the name of the run in each cell."""

    keys: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    names: Mapping[tuple[str, str], str]  # by the values of row and column; not every cell has a run


def grid(settings: Mapping[str, Mapping[str, Any]]) -> Grid | None:
    """Arrange runs, given by name with their settings, over the two keys that vary; None unless exactly two vary.

    A baseline has no value of a dropout setting but its rate, which is 0. If other runs have a rate too, the baseline
    fills the cells of every value that it lacks. Otherwise it has a row or column of its own, "no dropout".
    """
    keys = tuple(dict.fromkeys(key for own in settings.values() for key in own))
    values = {key: _in_order([own[key] for own in settings.values() if key in own]) for key in keys}
    varied = sorted((key for key in keys if len(values[key]) > 1), key=lambda key: key == RATE)  # rates go across
    if len(varied) != 2:
        return None
    only_baselines = RATE not in varied and any(RATE not in own for own in settings.values())  # have a rate, which is 0
    names: dict[tuple[str, str], str] = {}
    for name, own in settings.items():
        bare = only_baselines and RATE in own
        down, across = (
            [NOTHING] if bare and key.startswith("dropout.") else [shown(own[key])] if key in own else values[key]
            for key in varied
        )
        for cell in itertools.product(down, across):
            if names.setdefault(cell, name) != name:
                return None
    rows, columns = (
        tuple(value for value in (NOTHING, *values[key]) if any(cell[at] == value for cell in names))
        for at, key in enumerate(varied)
    )
    return Grid((varied[0], varied[1]), rows, columns, names)


def _in_order(values: Sequence[Any]) -> list[str]:
    """Return the distinct values as text: numbers sorted, anything else in the order given."""
    numbers = all(isinstance(value, int | float) for value in values)
    return list(dict.fromkeys(map(shown, sorted(values) if numbers else values)))


def shown(value: object) -> str:
    """Return a setting's value as text; 0.0 is 0."""
    return f"{value:g}" if isinstance(value, float) else written(value)


def article(words: Sequence[str] = (), values: Mapping[str, object] = configs.NONE) -> Config:
    """Return the config of a sweep that names none: the article's network on MNIST, changed by words and values.

    Without a name it has that of its data set.
    """
    config = configs.resolve(ARTICLE, words, values, where="the article's config", name="mnist")
    named = config.name == "mnist" and config.data.dataset in DATASETS
    return configs.changed(config, {"name": config.data.dataset}) if named else config


def title(base: Config, name: str | None) -> str:
    """Return the name of a sweep over the config `base`: `name` if given, else the config's name with -sweep."""
    return name or f"{base.name[:58]}-sweep"


def plan(base: Config, rates: Rates | None, vary: Vary = (), *, name: str, baseline: bool = True) -> Sweep:
    """Return the sweep `name`: a run for every combination of `rates` ("0.1..0.5") and `vary` ("training.epochs=5,10").

    Both may be Python objects: [0.1, 0.5] and {"training.epochs": [5, 10]}. Each combination of what is varied beside
    dropout gets one run at rate 0 as well, unless `baseline` is False. Settings that make the same network are one
    run, the first that was asked for (`essence`). Raises `Refused`, with every problem, for text that is no list or
    range, for values that the config refuses, and for over 10,000 runs.
    """
    found: dict[str, tuple[Settings, Config, str]] = {}  # by essence: settings, config, the baseline's essence
    equal: dict[str, tuple[Settings, str]] = {}  # by identity: settings, and the essence that they share with a run
    problems: dict[str, Problem] = {}  # by what they say: many combinations share one
    for own in combinations(rates, vary):
        try:
            for settings, config, off in _with_baseline(base, own, baseline):
                alike = essence(config)
                if found.setdefault(alike, (settings, config, off))[1].identity != config.identity:
                    equal.setdefault(config.identity, (settings, alike))
        except Refused as refused:
            problems |= {str(problem): problem for problem in refused.problems}
    if problems:
        raise Refused(*problems.values())
    names: dict[str, str] = {}
    for alike, (settings, config, _) in found.items():
        names[alike] = run_name(settings, config.identity, names.values())
    members = (
        Member(names[alike], settings, config.model_copy(update={"name": names[alike]}), names.get(off))
        for alike, (settings, config, off) in found.items()
    )
    same: list[Same] = []
    for identity, (settings, alike) in equal.items():
        taken = [*names.values(), *(own.name for own in same)]
        same.append(Same(run_name(settings, identity, taken), settings, names[alike]))
    return Sweep(name, tuple(members), tuple(same))


def essence(config: Config) -> str:
    """Return an identity that configs share if they give the same networks, bit for bit, unless training diverges.

    Beside what the identity leaves out, it leaves out what has no effect: everything about dropout where nothing is
    dropped; the placement for the activation identity, and for relu with kinds that only scale (relu(m x) = m relu(x)
    for m >= 0); the settings of other schedules and kinds. One rate for all layers is a list of equal rates.
    """
    dropout, kind = config.dropout, DROPOUTS[config.dropout.kind]
    activation = config.network.activation
    placed = any(config.rates) and activation != "identity" and not (activation == "relu" and kind.only_scales)
    matters = {
        "placement": placed,
        "cutoff": dropout.schedule in CUT,
        "gamma": dropout.schedule == "curriculum",
        "samples": kind.samples(dropout.samples) is not None,
    }
    defaults = DropoutConfig()
    without = {key: getattr(defaults, key) for key, effect in matters.items() if not effect}
    alike = dropout.model_copy(update=without | {"rate": config.rates})
    if not any((*config.rates, dropout.input_rate)):
        alike = DropoutConfig(rate=0)
    return config.model_copy(update={"dropout": alike}).identity


def combinations(rates: Rates | None, vary: Vary, *, option: str = "--vary") -> Iterator[Settings]:
    """Yield every choice of one value for each key that varies; the last key changes first. Refusals name `option`."""
    axes = _axes(rates, vary, option)
    if (count := math.prod(map(len, axes.values()))) > MOST:
        raise Refused(Problem("command line", option, f"must come to at most {MOST:,} runs", count))
    return (dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def _axes(rates: Rates | None, vary: Vary, option: str) -> dict[str, tuple[Any, ...]]:
    """Return the values of every key that varies."""
    axes: dict[str, tuple[Any, ...]] = {}
    for item in vary.items() if isinstance(vary, Mapping) else vary:
        key, equals, values = map(str.strip, item.partition("=")) if isinstance(item, str) else (item[0], "=", item[1])
        reason = ""
        if not (key and equals):
            reason = "must be KEY=V1,V2,.."
        elif key in NOT_VARIED:
            reason = f"must be a setting that decides the numbers; {key} has its own option, {NOT_VARIED[key]}"
        elif key in axes or (key == RATE and rates is not None):
            reason = f"must vary {key} only once, here or with --rates"
        if reason:
            raise Refused(Problem("command line", option, reason, f"{key}{equals}{values}"))
        if isinstance(values, str):
            axes[key] = expand_values(values, key=option)
        else:
            axes[key] = distinct(map(_plain, values), key=option)
    if rates is not None:
        given = [rates] if isinstance(rates, int | float) else rates
        numbers = expand_numbers(given) if isinstance(given, str) else distinct(map(_plain, given), key="--rates")
        axes[RATE] = tuple(map(_rate, numbers))
    if not axes:
        raise Refused(Problem("command line", "--rates", "is needed, or --vary; try --rates 0.1..0.5", "nothing"))
    return axes


def _plain(value: object) -> object:
    """Return a value as YAML would give it: a list for a tuple, Python's own float for NumPy's, one zero."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return float(value) + 0.0 if isinstance(value, float) else value


def _rate(number: Any) -> Any:
    """Return a rate as a config has it: whole ones as int. What is no number is left to the check of the config."""
    if not isinstance(number, int | float | Decimal):
        return number
    return int(number) if number % 1 == 0 else float(number)


def _with_baseline(base: Config, own: Settings, baseline: bool) -> Iterator[tuple[Settings, Config, str]]:
    """Yield a combination's baseline, if wanted, and its run, each with its config and the baseline's essence.

    A combination without any dropout is its own baseline, whatever its other dropout settings are.
    """
    bare = {key: OFF.get(key, value) for key, value in own.items() if key in OFF or not key.startswith("dropout.")}
    bare.setdefault(RATE, 0)
    config, off = configs.changed(base, own), configs.changed(base, bare)
    if baseline or not drops(config):
        yield bare, off, essence(off)
    if drops(config):
        yield own, config, essence(off)


def drops(config: Config) -> bool:
    """Return whether a config has any dropout."""
    return any(config.rates) or config.dropout.input_rate > 0


def run_name(settings: Settings, identity: str, taken: Collection[str] = ()) -> str:
    """Return a directory name such as "rate-0.5_kind-gaussian", the same in every sweep that has this run.

    If it is too long or taken, it is cut, and the first 8 digits of the identity follow.
    """
    parts = (f"{key.rpartition('.')[2]}-{_word(value)}" for key, value in settings.items())
    name = "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", part.replace("+", "")).strip("-") for part in parts)
    return name if len(name) <= LONGEST and name not in taken else shortened(name, identity[:8], LONGEST)


def _word(value: object) -> str:
    """Return a value as part of a name; the items of a list are joined by hyphens."""
    return "-".join(map(_word, value)) or "none" if isinstance(value, list | tuple) else written(value)
