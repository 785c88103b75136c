"""The config of a run: read from a file, changed by words and values, checked once for all commands, written again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dropout_lab.config import shipped
from dropout_lab.config.check import Draft, dotted, problem_of
from dropout_lab.config.noted import IMPORTED, MARK, Noted
from dropout_lab.config.rules import did_you_mean, found, nearest_file
from dropout_lab.config.settings import SETTINGS, Config, schema_of
from dropout_lab.config.strict_yaml import MAX_BYTES, BadYaml, Fault, Keys, read, written
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import Problem, Refused

NONE: Mapping[str, object] = MappingProxyType({})  # no values
NOTE_COLUMN = 38  # where the comments of the commented file begin


def load(
    path: Path, words: Sequence[str] = (), values: Mapping[str, object] = NONE, *, check_files: bool = True
) -> Config:
    """Return the config in the file at `path`, changed by `words` such as "training.epochs=3" and then by `values`.

    If there is no such file, `path` may be the name of a config that comes with the package, such as digits-dropout.
    `values` are Python objects by dotted key: {"training.epochs": 3}. The later change wins. The name defaults to the
    file's stem. Raises Refused with every problem found. A user's own data are found from the folder of the file.
    Without `check_files` it is the config of a run: its data need not be there, and
    are looked for again if they or the run have moved.
    """
    where, path = str(path), at_home(path)
    path = path if os.path.lexists(path) else shipped.file(where) or path
    try:
        contents = _contents(path)
        if contents.startswith(MARK):
            raise Refused(Problem(where, "imported", IMPORTED, path.parent.name))
        document = read(contents)
    except BadYaml as error:
        raise Refused(*(problem_of(where, fault) for fault in error.faults)) from None
    draft = Draft(where, path.stem, document.lines, path.parent)
    for fault in document.faults:
        draft.refuse(problem_of(where, fault), fault.at)
    if isinstance(document.value, dict):
        return draft.config(document.value, words, values, check_files)
    if not draft.problems:
        reason = "must be a mapping of keys to values, such as `seeds: [0]`"
        draft.problems.append(Problem(where, "file", reason, found(document.value), document.lines[()]))
    raise Refused(*draft.problems)


def resolve(
    mapping: Mapping[str, object],
    words: Sequence[str] = (),
    values: Mapping[str, object] = NONE,
    *,
    where: str,
    name: str,
    check_files: bool = True,
) -> Config:
    """Return the config that `mapping` describes: the check of `load` for what is in memory, called `where`."""
    return Draft(where, name, {}).config(mapping, words, values, check_files)


def changed(config: Config, values: Mapping[str, object], where: str = "config") -> Config:
    """Return `config` with other `values` by dotted key, checked again as a whole."""
    return resolve(config.model_dump(mode="json"), values=values, where=where, name=config.name)


def flatten(config: Config | Noted) -> dict[str, object]:
    """Return the values of all settings by dotted key, such as "training.epochs", in the order of the file.

    Of a run that was imported, those that nobody noted are "unknown".
    """
    if isinstance(config, Noted):
        return config.flat()
    dump = config.model_dump()
    flat: dict[str, object] = {}
    for at in SETTINGS:
        value: Any = dump
        for key in at:
            value = value[key]
        flat[dotted(at)] = list(value) if isinstance(value, tuple) else value
    return flat


def to_yaml(config: Config | Noted) -> str:
    """Return the whole config as YAML. `load` reads it back as an equal config: floats keep every bit."""
    if isinstance(config, Noted):
        return config.to_yaml()
    return "\n".join(_yaml_lines(config.model_dump())) + "\n"


def commented_yaml(config: Config) -> str:
    """Return the whole config as YAML, each key with its meaning. The name is left to the name of the file."""
    return "\n".join(_yaml_lines(config.model_dump() | {"name": None}, notes=True)) + "\n"


def _yaml_lines(values: Mapping[str, Any], above: Keys = (), notes: bool = False) -> Iterator[str]:
    """Yield the lines of a mapping; with `notes`, the description of each key follows as a comment."""
    for key, value in values.items():
        at = (*above, key)
        section = isinstance(value, Mapping)
        line = f"{'  ' * len(above)}{key}:" + ("" if section else f" {written(value)}")
        yield f"{line:<{NOTE_COLUMN}}# {schema_of(above)['properties'][key]['description']}" if notes else line
        if section:
            yield from _yaml_lines(value, at, notes)


def _contents(path: Path) -> bytes:
    """Return the bytes of a file, but at most one byte more than a config may have. Raises BadYaml."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(MAX_BYTES + 1)
        if path.is_dir():
            reason = "must be a file, not a directory"
        elif path.exists():
            reason = "must be a regular file"  # a pipe may never end
        else:
            reason = f"no such file{did_you_mean(nearest_file(path, ('.yaml', '.yml')))}"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    raise BadYaml(Fault((), None, reason))
