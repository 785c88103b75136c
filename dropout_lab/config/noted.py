"""The conditions of a run that another program trained, as far as they were noted. All else is unknown, never guessed.

Such a run has this in its config.yaml, which no command trains by:

    imported: csv
    name: mine
    seeds: [0, 1, 2]
    conditions:
      dropout.rate: 0.5
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dropout_lab.config.check import COMMAND_LINE, dotted
from dropout_lab.config.rules import did_you_mean, nearest
from dropout_lab.config.settings import SETTINGS
from dropout_lab.config.strict_yaml import BadYaml, read, read_value, written
from dropout_lab.errors import Problem, Refused

UNKNOWN = "unknown"
IMPORTED = "was imported: its logs are all that is known, so it can be compared and drawn, but not trained or evaluated"
MARK = b"imported: "  # how such a config.yaml begins
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
FLAT = tuple(map(dotted, SETTINGS))
SECTIONS = {key.partition(".")[0] for key in FLAT}
OF_THE_RUN = ("name", "seeds", "device")  # what is no condition


@dataclass(frozen=True)
class Noted:
    """What is known of a run that was imported. kind: of the logs that it was read from; conditions: by dotted key."""

    name: str
    kind: str
    seeds: tuple[int, ...]
    conditions: Mapping[str, object]
    identity: str = UNKNOWN  # made of its first seed's rows, for the same log is the same experiment

    @property
    def lasting_identity(self) -> str:
        """The same as `identity`: there is no data set that may move."""
        return self.identity

    def get(self, key: str) -> object:
        """Return a condition by dotted key, "unknown" if it was not noted."""
        return self.conditions.get(key, UNKNOWN)

    def flat(self) -> dict[str, object]:
        """Return every setting by dotted key, "unknown" unless it was noted, and whatever else was noted."""
        run: dict[str, object] = {"name": self.name, "seeds": list(self.seeds)}
        return {key: run.get(key, UNKNOWN) for key in FLAT} | dict(self.conditions)

    def to_yaml(self) -> str:
        """Return the text of config.yaml."""
        head = {"imported": self.kind, "name": self.name, "seeds": list(self.seeds)}
        lines = [f"{key}: {written(value)}" for key, value in head.items()]
        lines += ["conditions:"] * bool(self.conditions)
        return "\n".join(lines + [f"  {key}: {written(value)}" for key, value in self.conditions.items()]) + "\n"


def read_noted(data: bytes, where: str, identity: str = UNKNOWN) -> Noted:
    """Return what `to_yaml` wrote. Raises `Refused` for anything else."""
    try:
        found: Any = read(data).value
        conditions = found.get("conditions", {})
        seeds = tuple(found["seeds"])
        if not all(type(seed) is int for seed in seeds) or not all(isinstance(key, str) for key in conditions):
            raise ValueError("seeds must be whole numbers")
        return Noted(str(found["name"]), str(found["imported"]), seeds, dict(conditions), identity)
    except (BadYaml, LookupError, TypeError, ValueError, AttributeError) as error:
        raise Refused(Problem(where, "file", "is not as `import` wrote it", str(error))) from None


def noted(words: Iterable[str]) -> dict[str, object]:
    """Return conditions given as KEY=VALUE, such as dropout.rate=0.5. Raises `Refused` with every problem.

    A key in a section of the config must be one of its settings; any other key may be noted too.
    """
    found: dict[str, object] = {}
    problems = []
    for word in words:
        key, equals, text = word.partition("=")
        try:
            value = read_value(text) if equals else None
        except BadYaml as error:
            problems += [Problem(COMMAND_LINE, key, fault.reason, text) for fault in error.faults]
            continue
        if not equals or not KEY.fullmatch(key):
            reason = "must read KEY=VALUE, such as dropout.rate=0.5"
        elif key in OF_THE_RUN:
            reason = "is no condition; NAME and the files say it"
        elif key.partition(".")[0] in SECTIONS and key not in FLAT:
            reason = f"unknown setting{did_you_mean(nearest(key, FLAT))}"
        elif key in found:
            reason = "must be noted only once"
        elif value is None or isinstance(value, dict):
            reason = "must be a value; leave out what is unknown"
        else:
            found[key] = value
            continue
        problems.append(Problem(COMMAND_LINE, "--set", reason, word))
    if problems:
        raise Refused(*problems)
    return found
