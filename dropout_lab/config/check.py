"""The one check of a config: what was given, from a file and from overrides, becomes a Config or a list of problems."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dropout_lab.config.ranges import MAX_VALUES
from dropout_lab.config.rules import did_you_mean, found, item_rule, nearest, nearest_file, rule
from dropout_lab.config.settings import SECTIONS, SETTINGS, Config, findings, schema_of
from dropout_lab.config.strict_yaml import BadYaml, Fault, Keys, read_value
from dropout_lab.data.datasets import DATASETS
from dropout_lab.errors import Problem, Refused, shown

COMMAND_LINE = "command line"


class Draft:
    """A config that is being checked: `problems` so far, the `broken` keys, and where each key came from."""

    def __init__(self, where: str, name: str, lines: Mapping[Keys, int]) -> None:
        self.where, self.name, self.lines = where, name, lines
        self.problems: list[Problem] = []
        self.broken: set[Keys] = set()
        self.overridden: set[Keys] = set()

    def config(self, mapping: Mapping[str, object], overrides: Sequence[str], check_files: bool) -> Config:
        """Return the config, or raise Refused with all problems.

        Broken keys are reported and left out, so that the rules between the others can be checked all the same.
        """
        given = self.merged(mapping, overrides)
        if given.get("name") is None:
            given["name"] = self.name
        try:
            config = Config.model_validate(self.sound(given))
        except ValidationError as error:
            self.explain(error, given, mapping.get("name"))
            config = Config.model_validate(self.sound(given))
        for keys, reason, value in findings(config):
            if not any(key in self.broken or key[:1] in self.broken for key in keys):
                self.report(keys, reason, value)
        dataset = config.data.dataset
        if check_files and dataset not in DATASETS and not os.path.isfile(dataset):
            near = did_you_mean(nearest_file(Path(dataset), (".npz",)))
            self.report([("data", "dataset")], f"no such file{near}", dataset)
        if self.problems:
            raise Refused(*sorted(self.problems, key=lambda problem: (problem.where != self.where, problem.line or 0)))
        return config

    def merged(self, mapping: Mapping[str, object], overrides: Sequence[str]) -> dict[str, Any]:
        """Return `mapping` changed by the overrides; those that cannot be read are problems."""
        merged = _copy(mapping)
        for text in overrides:
            key, equals, value = text.partition("=")
            at = tuple(key.split("."))
            if not (key and equals):
                reason, value = "must be written as KEY=VALUE, such as training.epochs=3", text
            elif key in SECTIONS:
                reason = f"must be one key of the section, such as {key}.{next(iter(schema_of((key,))['properties']))}"
            elif at not in SETTINGS:
                reason = _unknown(at)
            else:
                reason = self.override(merged, at, value)
            if reason:
                self.problems.append(Problem(COMMAND_LINE, shown(key or text), reason, value))
        return merged

    def override(self, merged: dict[str, Any], at: Keys, text: str) -> str:
        """Set one key, and return what is wrong with its value, or ""."""
        try:
            value = read_value(text)
        except BadYaml as error:
            return error.faults[0].reason
        self.overridden.add(at)
        section = merged if len(at) == 1 else merged.setdefault(str(at[0]), {})
        if isinstance(section, dict):  # else the section itself is reported
            section[str(at[-1])] = value
        return ""

    def sound(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is given without the broken keys: their defaults take their places."""
        sound: dict[str, Any] = {"name": "unnamed"}
        for key, value in given.items():
            if (key,) not in self.broken:
                inner = isinstance(value, Mapping)
                sound[key] = {k: v for k, v in value.items() if (key, k) not in self.broken} if inner else value
        return sound

    def explain(self, error: ValidationError, given: Mapping[str, Any], name: object) -> None:
        """Turn what pydantic found into problems in our own words, one per key or item."""
        wrong = {}
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            at, value = _place(detail["loc"], given)
            wrong[at] = (detail["type"], value)
        containers = {at[:length] for at in wrong for length in range(len(at))}
        for at, (kind, value) in wrong.items():
            if at in containers:  # "not a number" of a list whose item is the trouble
                continue
            if kind == "extra_forbidden":
                reason = _unknown(at)
            elif isinstance(at[-1], int):
                reason = item_rule(schema_of(at[:-1]))
            else:
                reason = rule(schema_of(at), value)
            if at == ("name",) and name is None and at not in self.overridden:
                reason = f"must be set: the file's stem cannot be the name, which {reason}"
            self.report([at], reason, value)

    def report(self, keys: Sequence[Keys], reason: str, value: object) -> None:
        """Add a problem of `keys[0]`, at the place of the first of `keys` that was given."""
        if any(_setting(key) in self.overridden for key in keys):
            where, line = COMMAND_LINE, None
        else:
            where, line = self.where, next((self.lines[key] for key in (*keys, keys[0][:1]) if key in self.lines), None)
        self.refuse(Problem(where, dotted(keys[0]), reason, found(value), line), keys[0])

    def refuse(self, problem: Problem, at: Keys) -> None:
        self.problems.append(problem)
        self.broken.add(_setting(at))


def problem_of(where: str, fault: Fault) -> Problem:
    """Return the problem that a fault in the text of the file `where` is."""
    value = where if fault.value is None else fault.value
    return Problem(where, dotted(fault.at) or "file", fault.reason, value, fault.line)


def dotted(at: Keys) -> str:
    """Return the key as messages name it, cut where it is too long; positions in lists are left to the line."""
    return shown(".".join(key or '""' for key in at if isinstance(key, str)))


def _copy(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a copy, down to the sections, with text as keys."""
    return {str(key): _copy(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}


def _unknown(at: Keys) -> str:
    """Return the reason against an unknown key: the nearest known one, wherever it is, else all of its section's."""
    *above, leaf = map(str, at)
    known = {str(keys[-1]): dotted(keys) for keys in (*((section,) for section in SECTIONS), *SETTINGS)}
    near = known.get(nearest(leaf.rpartition(".")[2], known) or "")
    if near == leaf and "." in leaf:
        section, _, key = leaf.partition(".")
        return f"unknown key, did you mean `{section}:` and below it, indented, `{key}:`?"
    if near:
        return f"unknown key{did_you_mean(near)}"
    here = (above[0],) if above and above[0] in SECTIONS else ()
    return f"unknown key, must be one of {', '.join(schema_of(here)['properties'])}"


def _setting(at: Keys) -> Keys:
    """Return the setting, or the section, that holds what is at `at`."""
    return at[:1] if at[:1] in SETTINGS else at[:2]


def _place(location: tuple[str | int, ...], given: Mapping[str, Any]) -> tuple[Keys, object]:
    """Return the part of pydantic's location that is in `given`, and what is there.

    Unions add steps of their own; and of a list that is too long anyway, the items are not reported one by one.
    """
    at: Keys = ()
    value: Any = given
    for step in location:
        in_mapping = isinstance(value, Mapping) and step in value and len(at) < 2
        in_list = isinstance(value, list | tuple) and isinstance(step, int) and len(value) <= MAX_VALUES
        if in_mapping or in_list:
            at, value = (*at, step), value[step]
    return at, value
