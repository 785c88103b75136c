"""The exceptions that dropout-lab raises. The command line turns each into lines and an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

MOVE_AWAY = "move the run's directory away, as `dropout-lab train --fresh` does"  # an advice in any command
Item = TypeVar("Item")
Checked = TypeVar("Checked")
SHOWN = 60  # characters of a refused value that a message repeats


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (a file or "command line"), the key, the rule that it breaks, and its value."""

    where: str
    key: str
    reason: str
    value: object
    line: int | None = None

    def __str__(self) -> str:
        place = self.where if self.line is None else f"{self.where}:{self.line}"
        return f"{printable(place)}: {printable(self.key)}: {printable(self.reason)} (got {shown(self.value)})"


class LabError(Exception):
    """The base of every error that is reported as a message, without a traceback."""

    exit_code = 1


class Refused(LabError):
    """Bad usage, config, data or run directory: nothing was created or changed (exit code 2)."""

    exit_code = 2

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Failed(LabError):
    """The work itself failed: diverged, out of memory, disk full (exit code 1)."""


def stop_at(failures: Sequence[str]) -> None:
    """Raise `Failed` with a line for each failure; return if there is none."""
    if failures:
        raise Failed("\n".join(failures))


def each(items: Iterable[Item], check: Callable[[Item], Checked]) -> list[Checked]:
    """Return `check` of every item. Raises `Refused` with the problems of all items together."""
    results: list[Checked] = []
    problems: list[Problem] = []
    for item in items:
        try:
            results.append(check(item))
        except Refused as refused:
            problems += refused.problems
    if problems:
        raise Refused(*problems)
    return results


def printable(text: str) -> str:
    """Return `text` with control and undecodable characters escaped, so that it cannot control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def shown(value: object) -> str:
    """Return `value` as a message shows it: on one line, escaped, in at most `SHOWN` characters."""
    text = printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
