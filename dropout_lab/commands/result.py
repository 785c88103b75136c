"""What a command comes to: a value for Python, and every way to show it to a person or a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dropout_lab.errors import Failed, LabError, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Value = TypeVar("Value")


@dataclass(frozen=True)
class Result(Generic[Value]):
    """A command's value, how it is shown, and what is said after it. A command that lacks a form leaves it empty.

    text: in a given number of columns; hint: said instead of an empty text. markdown: also for the summary page of a
    CI job. written: where the files are; lost: a line for each that could not be written, which is an error too.
    tripped: why a gate tripped. error: raised once everything is shown. remarks: said last, unless there is an error.
    """

    value: Value
    text: Callable[[int], str] = lambda width: ""
    data: Callable[[], Mapping[str, Any]] = dict
    csv: Callable[[], str] = str
    markdown: Callable[[], str] = str
    hint: str = ""
    written: str = ""
    lost: Sequence[str] = ()
    tripped: str | None = None
    error: LabError | None = None
    remarks: Sequence[str] = ()


class Audience:
    """Who is told what happens while a command works. This one hears nothing: Python waits for the value.

    typed: the command line; empty in Python.
    """

    typed: Sequence[str] = ()

    def announce(self, plan: Result[Any]) -> None:
        """Take the plan before it is carried out. May end the command, by raising."""

    def preview(self, early: Result[Any]) -> None:
        """Take a result to read while the command goes on."""


def failed(lines: Sequence[str]) -> Failed | None:
    """Return the error of these lines, if there are any."""
    return Failed("\n".join(lines)) if lines else None


def unwritten(path: Path, write: Callable[[], object]) -> list[str]:
    """Write a file about a result, and return a line if that fails: nothing after the work may cost the result."""
    try:
        write()
    except LabError as error:
        return [str(error)]
    except Exception as error:  # what draws a picture may raise anything, and already as it is imported
        return [f"{path}: not written: {printable(f'{type(error).__name__}: {error}')}"]
    return []


def undrawn(path: Path, draw: Callable[[Any], Figure]) -> list[str]:
    """Write a picture as `unwritten` does; `draw` is given the module figures/plots."""

    def write() -> None:
        from dropout_lab.figures import plots

        plots.save(draw(plots), path)

    return unwritten(path, write)
