"""READERS: the kinds of logs that can be read. To add one, add one entry. A log is of one training, of one seed.

A reader turns a file or a directory into entries, in the order in which they were logged. An entry is a moment at which
something was logged: an epoch, and values by name. Nothing is interpreted here but the epoch.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dropout_lab.errors import Problem, Refused, printable
from dropout_lab.logs.columns import EPOCH
from dropout_lab.storage import read_file, sha256

LARGEST = 64 * 1024**2  # bytes of a log
MOST_EPOCHS = 100_000
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|nan|inf(inity)?)\s*", re.I | re.ASCII)
MISSING = ("", "NA")  # Keras writes NA
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Entry:
    """One moment of a training: its epoch, counted from 1, and the values that were logged, by name.

    line: where it stands in the file, for messages.
    """

    epoch: int
    values: Mapping[str, object]
    line: int | None = None


@dataclass(frozen=True)
class Log:
    """The log of one training. kind: which reader read it. names: of all that is logged; files: their SHA-256.

    once: whether an epoch may have one entry only, because nothing else would tell two trainings in one file apart.
    """

    path: Path
    kind: str
    names: tuple[str, ...]
    entries: tuple[Entry, ...]
    files: Mapping[str, str]
    once: bool

    def number(self, entry: Entry, name: str) -> float | None:
        """Return the value called `name` of an entry; None where none was logged. Raises `Refused` for no number."""
        value = entry.values.get(name)
        if value is None or (isinstance(value, str) and value.strip() in MISSING):
            return None
        found = as_number(value)
        if found is None:
            raise Refused(Problem(str(self.path), name, "must be a number, or empty", value, entry.line))
        return found


def read(path: Path, told: Mapping[str, str]) -> Log:
    """Return the log at `path`; `told` may name the column of the epoch.

    Raises `Refused` if it cannot be read, or is not one of the kinds that are known.
    """
    for kind, reader in READERS.items():
        if reader.knows(path):
            return reader.read(path, kind, told.get(EPOCH))
    raise Refused(Problem(str(path), "file", "is not there, or is no log of a known kind", path.name))


def contents(path: Path) -> bytes:
    """Return the bytes of a log. Raises `Refused` if it cannot be read or is too large."""
    try:
        if path.stat().st_size > LARGEST:
            reason = f"must be at most {LARGEST // 1024**2} MiB, as the log of one training is"
            raise Refused(Problem(str(path), "file", reason, path.stat().st_size))
        return read_file(path)
    except OSError as error:
        raise Refused(Problem(str(path), "file", f"cannot be read: {error.strerror}", path.name)) from None


def as_number(value: object) -> float | None:
    """Return a value of a log as a number; None if it is none."""
    if isinstance(value, str):
        return float(value) if NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON has whole numbers of any length
        return math.inf


def table(path: Path) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]], str]:
    """Return a CSV file's names of columns, its lines with their numbers, and its SHA-256.

    The delimiter is the one that the head has: comma, semicolon or tab. Raises `Refused` if it is no such table.
    """
    data, where = contents(path), str(path)
    try:
        text = data.decode("utf-8-sig")
        head, _, _ = text.partition("\n")
        delimiter = next((mark for mark in DELIMITERS if mark in head), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines = [(reader.line_num, line) for line in reader if line]
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise Refused(Problem(where, "file", "must be UTF-8 text", f"byte 0x{data[error.start]:02x}", at)) from None
    except csv.Error as error:
        raise Refused(Problem(where, "file", f"is no CSV table: {error}", path.name)) from None
    if len(lines) < 2:
        raise Refused(Problem(where, "file", "must be a head and one line or more", f"{len(lines)} lines"))
    (_, first), *rest = lines
    names = tuple(name.strip() for name in first)
    if twice := [name for name in names if names.count(name) > 1]:
        raise Refused(Problem(where, "columns", "must have different names", twice[0], 1))
    for at, cells in rest:
        if len(cells) != len(names):
            reason = f"must have {len(names)} cells, as the head has; was the file cut off here?"
            raise Refused(Problem(where, "line", reason, f"{len(cells)} cells", at))
    return names, [(at, dict(zip(names, cells, strict=True))) for at, cells in rest], sha256(data)


def _csv(path: Path, kind: str, epoch: str | None) -> Log:
    """Read a table with a head, such as Keras's and Lightning's CSVLogger write: a line for each entry."""
    names, lines, digest = table(path)
    key = epoch or next((name for name in names if name.lower() == EPOCH), None)
    if key not in names:
        reason = "there is no column of the epoch; name it with --column epoch=NAME"
        raise Refused(Problem(str(path), EPOCH, reason, key or ", ".join(names), 1))
    epochs = _whole([(values[key], at) for at, values in lines], path)
    base = 1 if min(epochs) == 0 else 0  # Keras and Lightning count epochs from 0
    entries = tuple(Entry(epoch + base, values, at) for epoch, (at, values) in zip(epochs, lines, strict=True))
    logged = tuple(name for name in names if name != key)
    return Log(path, kind, logged, entries, {str(path): digest}, once="step" not in names)


def _whole(values: Sequence[tuple[object, int | None]], path: Path) -> list[int]:
    """Return epochs as whole numbers. Raises `Refused` for the first that is none, or is out of bounds."""
    found = []
    for value, line in values:
        number = as_number(value)
        if number is None or not 0 <= number <= MOST_EPOCHS or number != int(number):
            reason = f"must be a whole number from 0 to {MOST_EPOCHS:,}"
            raise Refused(Problem(str(path), EPOCH, reason, value, line))
        found.append(int(number))
    return found


def _trainer_state(path: Path, kind: str, epoch: str | None) -> Log:
    """Read the trainer_state.json of Hugging Face's Trainer. Its epochs are fractions; 1.0 is the end of the first.

    The last entry, which has the running time, has the mean of the loss over the whole training: it is left out.
    """
    data = contents(path)
    try:
        history = json.loads(data)["log_history"]
        entries = [entry for entry in history if "train_runtime" not in entry]
        if not entries or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("log_history is empty")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        reason = "must be a trainer_state.json with a log_history"
        raise Refused(Problem(str(path), "log_history", reason, printable(str(error)))) from None
    key = epoch or EPOCH
    found = []
    for entry in entries:
        number = as_number(entry.get(key))
        if number is None or not 0 <= number <= MOST_EPOCHS:
            reason = f"must be a number from 0 to {MOST_EPOCHS:,}"
            raise Refused(Problem(str(path), f"log_history.{key}", reason, entry.get(key)))
        if passed := math.ceil(number - 1e-6):  # what is measured before the first step is of no epoch
            found.append(Entry(passed, entry))
    names = dict.fromkeys(name for entry in found for name in entry.values if name != key)
    return Log(path, kind, tuple(names), tuple(found), {str(path): sha256(data)}, once=False)


@dataclass(frozen=True)
class Reader:
    """A kind of log: which files it reads, and how."""

    knows: Callable[[Path], bool]
    read: Callable[[Path, str, str | None], Log]


READERS: dict[str, Reader] = {
    "trainer_state.json": Reader(lambda path: path.suffix == ".json" and path.is_file(), _trainer_state),
    "csv": Reader(lambda path: path.is_file(), _csv),
}
