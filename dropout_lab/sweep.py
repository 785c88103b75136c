"""Plan a sweep: settings -> runs. Pure, no torch; `execution.py` trains the plan, `sweep_table.py` reads it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

from dropout_lab import config as configs
from dropout_lab.config import Config
from dropout_lab.errors import Problem, Refused
from dropout_lab.ranges import expand_numbers, expand_values

ARTICLE = {"data": {"scale": "column-l2"}, "dropout": {"placement": "before"}}  # what a sweep without a config varies
MOST = 10_000  # runs in one sweep
RATE = "dropout.rate"


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
class Sweep:
    """A planned sweep: runs in the order in which they were asked for, baselines first."""

    name: str
    members: tuple[Member, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The config keys that vary."""
        return tuple(dict.fromkeys(key for member in self.members for key in member.settings))

    def to_yaml(self) -> str:
        """Return what sweep.yaml says: the settings of every run and its baseline."""
        runs = [
            {"name": member.name, "settings": dict(member.settings), "baseline": member.baseline}
            for member in self.members
        ]
        return yaml.safe_dump({"name": self.name, "runs": runs}, sort_keys=False, allow_unicode=True)

    def member(self, name: str) -> Member:
        """Return the run called `name`."""
        return next(member for member in self.members if member.name == name)


def article() -> Config:
    """Return the config of a sweep that names none: the article's network on MNIST."""
    return configs.resolve(ARTICLE, where="the article's config", name="mnist")


def plan(
    base: Config, rates: str | None, vary: Sequence[str] = (), *, baseline: bool = True, name: str | None = None
) -> Sweep:
    """Return the runs for every combination of `rates` ("0.1..0.5") and `vary` ("training.epochs=5,10").

    The sweep is called `name`, or after the config. Each combination of what is varied beside dropout gets one run at
    rate 0, unless `baseline` is False. Raises `Refused` for text that is no list or range, unknown keys, values that
    the config refuses, and over 10,000 runs.
    """
    if name is not None and not configs.RUN_NAME.fullmatch(name):
        reason = "must be 1 to 64 of A-Z a-z 0-9 . _ - with a letter or digit first"
        raise Refused(Problem("command line", "--name", reason, name))
    axes = dict(_axis(text) for text in vary)
    if rates is not None:
        axes[RATE] = tuple(map(_plain, expand_numbers(rates)))
    if not axes:
        raise Refused(Problem("command line", "--rates", "is needed, or --vary KEY=V1,V2,..; try --rates 0.1..0.5", ""))
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if len(combinations) > MOST:
        raise Refused(Problem("command line", "--vary", f"must give at most {MOST} runs", len(combinations)))
    asked = [_baseline(settings) if settings.get(RATE) == 0 else settings for settings in combinations]
    settings = _distinct([_baseline(settings) for settings in asked] * baseline + asked)
    names = _names(settings)
    members: dict[str, Member] = {}  # by identity: settings that come to the same network are one run
    for label, own in zip(names, settings, strict=True):
        twin = names[settings.index(_baseline(own))] if _baseline(own) in settings else None
        config = _apply(base, own, label)
        members.setdefault(config.identity, Member(label, own, config, twin))
    return Sweep(name or f"{base.name[:58]}-sweep", tuple(members.values()))


def _axis(text: str) -> tuple[str, tuple[object, ...]]:
    key, equals, values = text.partition("=")
    if not equals:
        raise Refused(Problem("command line", "--vary", "must be KEY=V1,V2,..", text))
    return key.strip(), expand_values(values)


def _plain(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _baseline(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the run without dropout that this one is compared with."""
    return {RATE: 0} | {key: value for key, value in settings.items() if not key.startswith("dropout.")}


def _distinct(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({repr(sorted(item.items())): item for item in items}.values())


def _names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a directory name per run, such as "rate-0.5_kind-gaussian"."""
    names: list[str] = []
    for own in settings:
        parts = (re.sub(r"[^A-Za-z0-9.]+", "-", f"{key.rpartition('.')[2]}-{value}") for key, value in own.items())
        name = "_".join(part.strip("-") for part in parts)[:60]
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names


def _apply(base: Config, settings: Mapping[str, Any], name: str) -> Config:
    """Return the base config with `settings`, checked again as a whole."""
    mapping = base.model_dump(mode="json")
    for key, value in settings.items():
        *sections, last = key.split(".")
        section: Any = mapping
        for part in sections:
            section = section.setdefault(part, {}) if isinstance(section, dict) else {}
        if isinstance(section, dict):
            section[last] = value
    return configs.resolve(mapping | {"name": name}, where="command line", name=name)
