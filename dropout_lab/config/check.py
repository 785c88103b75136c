"""The one check of a config: the values of a file and of overrides become a Config, or a list of problems."""

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
from dropout_lab.data.datasets import DATASETS, at_home, found_again
from dropout_lab.data.tables import SUFFIXES
from dropout_lab.errors import Problem, Refused, shown

COMMAND_LINE = "command line"
OF_OWN_DATA = {"validation_from": "stratified", "test_from": "stratified"}  # defaults: no order of a file is trusted


class Draft:
    """A config that is being checked: its `problems` so far, its `broken` keys, and where each key was given."""

    def __init__(self, where: str, name: str, lines: Mapping[Keys, int], folder: Path = Path()) -> None:
        self.where, self.name, self.lines, self.folder = where, name, lines, folder
        self.problems: list[Problem] = []
        self.broken: set[Keys] = set()
        self.overridden: set[Keys] = set()

    def config(
        self, mapping: Mapping[str, object], words: Sequence[str], values: Mapping[str, object], check_files: bool
    ) -> Config:
        """Return the config, or raise Refused with all problems. Broken keys do not stop the other checks.

        Without `check_files` it is the config of a run: what was not a setting yet when it was made has its default.
        """
        given = self.merged(mapping, words, values)
        if given.get("name") is None:
            given["name"] = self.name
        data = given.get("data")
        if check_files and isinstance(data, dict):
            dataset = data.get("dataset", "mnist")
            if isinstance(dataset, str) and dataset not in DATASETS:
                given["data"] = OF_OWN_DATA | data
        try:
            config = Config.model_validate(self.sound(given))
        except ValidationError as error:
            self.explain(error, given, mapping.get("name"))
            config = Config.model_validate(self.sound(given))
        for keys, reason, value in findings(config):
            if not any(key in self.broken or key[:1] in self.broken for key in keys):
                self.report(keys, reason, value)
        places = {
            key: self.place(key, path) if check_files else found_again(path, self.folder)
            for key, path in config.data.files.items()
        }
        config = config.model_copy(update={"data": config.data.model_copy(update=places)})
        if self.problems:
            raise Refused(*sorted(self.problems, key=lambda problem: (problem.where != self.where, problem.line or 0)))
        return config

    def place(self, name: str, dataset: str) -> str:
        """Return the path of a user's own data, data.`name`, which must be there, from the current directory.

        In a file it is relative to the folder of that file; on the command line and in Python, to the current one.
        """
        key = ("data", name)
        path = (Path() if key in self.overridden else self.folder) / at_home(dataset)
        if not os.path.isfile(path):
            looked = "" if str(path) == dataset else f" (looked for {shown(str(path))})"
            self.report([key], f"no such file{looked}{did_you_mean(nearest_file(path, ('.npz', *SUFFIXES)))}", dataset)
        return str(path)

    def merged(
        self, mapping: Mapping[str, object], words: Sequence[str], values: Mapping[str, object]
    ) -> dict[str, Any]:
        """Return `mapping` changed by KEY=VALUE words and then by `values`; those that cannot be used are problems."""
        merged = _copy(mapping)
        for word in words:
            key, equals, text = word.partition("=")
            if not (key and equals):
                reason, text = "must be written as KEY=VALUE, such as training.epochs=3", word
            elif not (reason := _no_setting(key)):
                try:
                    self.override(merged, key, read_value(text))
                except BadYaml as error:
                    reason = error.faults[0].reason
            if reason:
                self.problems.append(Problem(COMMAND_LINE, shown(key or word), reason, text))
        for key, value in values.items():
            if reason := _no_setting(key):
                self.problems.append(Problem(COMMAND_LINE, shown(key), reason, found(value)))
            else:
                self.override(merged, key, value)
        return merged

    def override(self, merged: dict[str, Any], key: str, value: object) -> None:
        """Set one setting, by its dotted key."""
        *above, leaf = at = tuple(key.split("."))
        self.overridden.add(at)
        section = merged.setdefault(above[0], {}) if above else merged
        if isinstance(section, dict):  # else the section itself is reported
            section[leaf] = value

    def sound(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the given values without the broken keys, which then have their defaults."""
        sound: dict[str, Any] = {"name": "unnamed"}
        for key, value in given.items():
            if (key,) not in self.broken:
                inner = isinstance(value, Mapping)
                sound[key] = {k: v for k, v in value.items() if (key, k) not in self.broken} if inner else value
        return sound

    def explain(self, error: ValidationError, given: Mapping[str, Any], name: object) -> None:
        """Turn pydantic's errors into problems in plain words, one for each key or item of a list."""
        wrong = {}
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            at, value = _place(detail["loc"], given)
            wrong[at] = (detail["type"], value)
        containers = {at[:length] for at in wrong for length in range(len(at))}
        for at, (kind, value) in wrong.items():
            if at in containers:  # pydantic also says "not a number" of a list with a bad item
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
        """Add a problem of `keys[0]`. Its place is that of the first of `keys` that was given."""
        if any(_setting(key) in self.overridden for key in keys):
            where, line = COMMAND_LINE, None
        else:
            where, line = self.where, next((self.lines[key] for key in (*keys, keys[0][:1]) if key in self.lines), None)
        self.refuse(Problem(where, dotted(keys[0]), reason, found(value), line), keys[0])

    def refuse(self, problem: Problem, at: Keys) -> None:
        self.problems.append(problem)
        self.broken.add(_setting(at))


def problem_of(where: str, fault: Fault) -> Problem:
    """Return a fault in the text of the file `where` as a problem."""
    value = where if fault.value is None else fault.value
    return Problem(where, dotted(fault.at) or "file", fault.reason, value, fault.line)


def dotted(at: Keys) -> str:
    """Return a key as messages name it, cut if it is long. Positions in lists are left out: the line tells them."""
    return shown(".".join(key or '""' for key in at if isinstance(key, str)))


def _copy(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a copy of a mapping and of the mappings in it, with text as keys."""
    return {str(key): _copy(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}


def _no_setting(key: str) -> str:
    """Return why a dotted key is not one of a setting; "" where it is one."""
    if key in SECTIONS:
        return f"must be one key of the section, such as {key}.{next(iter(schema_of((key,))['properties']))}"
    return "" if (at := tuple(key.split("."))) in SETTINGS else _unknown(at)


def _unknown(at: Keys) -> str:
    """Return why an unknown key is refused. It names the nearest known key, or all keys of the section."""
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
    """Return the setting that the value at `at` belongs to; the section, if `at` is a whole section."""
    return at[:1] if at[:1] in SETTINGS else at[:2]


def _place(location: tuple[str | int, ...], given: Mapping[str, Any]) -> tuple[Keys, object]:
    """Return the part of pydantic's location that is in `given`, and the value there.

    pydantic adds steps for unions, which are left out. Items of a list that is too long are not reported one by one.
    """
    at: Keys = ()
    value: Any = given
    for step in location:
        in_mapping = isinstance(value, Mapping) and step in value and len(at) < 2
        in_list = isinstance(value, list | tuple) and isinstance(step, int) and len(value) <= MAX_VALUES
        if in_mapping or in_list:
            at, value = (*at, step), value[step]
    return at, value
