"""Strict YAML: the plain part of YAML 1.2, read as mappings, lists and scalars, with the line of every key.

PyYAML only cuts the text into events. No object is made from a tag, and aliases, which every YAML bomb needs, are
refused. A scalar without quotes means what YAML 1.2's core schema says (`1e-3` is a number, `no` and `2024-01-01` are
text), with one exception: numbers must be plain decimal, and text that looks like another sort of number is refused.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NoReturn

import yaml

from dropout_lab.errors import printable

Keys = tuple[str | int, ...]  # the path to a value: keys of mappings, positions in lists

MAX_BYTES = 64 * 1024
MAX_DEPTH = 16  # levels of mappings and lists
MAX_NUMBER = 100  # characters

WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
LOOKS_LIKE_A_NUMBER = re.compile(
    r"[-+]?(0x[0-9a-f_]*|0o[0-9_]*|0b[0-9_]*|\.?[0-9][0-9_,:]*(\.[0-9_]*)?(e[-+]?[0-9_]*)?)", re.IGNORECASE
)
INFINITE = re.compile(r"[-+]?\.(inf|nan)", re.IGNORECASE)
PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")  # text that needs no quotes, unless it is one of these:
NEEDS_QUOTES = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # something else in YAML 1.1 or 1.2


@dataclass(frozen=True)
class Fault:
    """What is wrong with a text, at which key, on which line. `value` is the wrong part; None: the whole file."""

    at: Keys
    line: int | None
    reason: str
    value: str | None = None


class BadYaml(ValueError):
    """A text cannot be read; `faults` says why."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.reason for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Document:
    """The value that a text writes. Do not use the values at `faults`; `lines` counts from 1."""

    value: object
    lines: dict[Keys, int]  # of each key, and of each item of a list
    faults: tuple[Fault, ...]


def read(data: bytes) -> Document:
    """Read one document. Raises BadYaml, and no other error, if it cannot be read or holds what is refused."""
    if len(data) > MAX_BYTES:
        raise BadYaml(Fault((), None, f"must be at most {MAX_BYTES // 1024} KiB"))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadYaml(Fault((), line, "must be UTF-8 text", f"byte 0x{data[error.start]:02x}")) from None
    document = _parse(text)
    return replace(document, value=copy.deepcopy(document.value))


def read_values(text: str) -> list[object]:
    """Return the values in one line of text, as on a command line: `1e-3`, or `tanh, [64, 64]`. Raises BadYaml."""
    if not text.strip():
        raise BadYaml(Fault((), None, "must not be empty: write null for no value", text))
    if text.splitlines() != [text]:
        raise BadYaml(Fault((), None, "must be on one line", text))
    if text.rstrip().endswith(","):
        raise BadYaml(Fault((), None, "must not end in a comma", text))
    try:
        _parse(f"[{text}\n]")  # with a comment in `text`, one of these two cannot be read
        document = _parse(f"[{text}]")
        faults = document.faults
    except BadYaml as error:
        faults = error.faults
    if faults:
        raise BadYaml(*(Fault((), None, fault.reason, text) for fault in faults))
    return document.value if isinstance(document.value, list) else [document.value]


def read_value(text: str) -> object:
    """Return the single value in one line of text. Raises BadYaml."""
    values = read_values(text)
    if len(values) != 1:
        raise BadYaml(Fault((), None, "must be one value: write a list as [1, 2], text with commas in quotes", text))
    return values[0]


def scalar(text: str) -> str | int | float | bool | None:
    """Return the value of `text` without quotes. Raises ValueError, with the rule, for numbers that are not plain."""
    if text in WORDS:
        return WORDS[text]
    if NUMBER.fullmatch(text):
        if len(text) > MAX_NUMBER:
            raise ValueError(f"must be a number of at most {MAX_NUMBER} characters")
        if INTEGER.fullmatch(text):
            return int(text)
        if math.isfinite(number := float(text)):
            return number + 0.0  # there is one zero: -0.0 + 0.0 is 0.0
        raise ValueError("must be a finite number")
    if INFINITE.fullmatch(text):
        raise ValueError("must be a finite number")
    if LOOKS_LIKE_A_NUMBER.fullmatch(text):
        raise ValueError("must be a plain decimal number (no leading zeros, no 1_000, 0x10 or 1:30), or text in quotes")
    return text


def is_text(text: str) -> bool:
    """Say whether `text` without quotes means text, and not a number or a word such as `null`, and is not refused."""
    try:
        return isinstance(scalar(text), str)
    except ValueError:
        return False


def written(value: object) -> str:
    """Return `value` on one line, so that readers of YAML 1.1 and 1.2 give it back; floats keep every bit."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            mantissa, e, exponent = float.__repr__(value).partition("e")
            point = ".0" if e and "." not in mantissa else ""  # YAML 1.1 takes 1e-05 for text
            return mantissa + point + e + exponent
        case str():
            plain = PLAIN_WORD.fullmatch(value) and value.lower() not in NEEDS_QUOTES
            return value if plain else printable(json.dumps(value, ensure_ascii=False))
        case Mapping():
            return "{" + ", ".join(f"{written(key)}: {written(entry)}" for key, entry in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(written, value)) + "]"
    return repr(value)


@lru_cache(maxsize=2048)  # a command reads the config of each run several times
def _parse(text: str) -> Document:
    """Read `text`. Every error that PyYAML raises becomes a BadYaml with its line."""
    reader = None
    try:
        reader = _Reader(text)
        value = reader.document()
    except yaml.reader.ReaderError as error:
        line, character = text.count("\n", 0, error.position) + 1, f"U+{ord(text[error.position]):04X}"
        raise BadYaml(Fault((), line, "must not hold control characters", character)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadYaml(_unreadable(text, mark.line if mark else 0, str(error.problem or error.context))) from None
    except BadYaml:
        raise
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, RecursionError, ValueError):
        line = reader.loader.get_mark().line if reader else 0
        raise BadYaml(_unreadable(text, line, "an escape or a number that is out of range")) from None
    return Document(value, reader.lines, tuple(reader.faults))


def _unreadable(text: str, line: int, reason: str) -> Fault:
    """Return the fault of a text that is not YAML, with the text of that line (counted from 0)."""
    there = text.splitlines()[line : line + 1]
    tabs = ": indent with spaces, not tabs" if there and re.match(r" *\t", there[0]) else ""
    return Fault((), line + 1, f"is not valid YAML: {reason}{tabs}", there[0].strip() or None if there else None)


class _Reader:
    """Reads the events of one text once, and collects `lines` and `faults`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.loader = yaml.SafeLoader(text)
        self.next_event: Callable[[], Any] = self.loader.get_event
        self.lines: dict[Keys, int] = {}
        self.faults: list[Fault] = []

    def document(self) -> object:
        """Return the value of the only document."""
        self.next_event()  # the start of the stream
        start = self.next_event()
        if isinstance(start, yaml.StreamEndEvent):
            raise BadYaml(Fault((), None, "is empty: write at least one key, such as `seeds: [0]`"))
        if start.version or start.tags:
            self.stop((), start, "must not hold directives (lines that begin with %)")
        value = self.node((), self.next_event())
        self.next_event()  # the end of the document
        after = self.next_event()
        if not isinstance(after, yaml.StreamEndEvent):
            self.stop((), after, "must be one document")
        return value

    def node(self, at: Keys, event: Any) -> object:
        """Return the value that begins with `event`."""
        self.lines.setdefault(at, event.start_mark.line + 1)
        self.check_plain(at, event)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(at, event)
        if len(at) >= MAX_DEPTH:
            self.stop(at, event, f"must not be nested deeper than {MAX_DEPTH} levels")
        return self.sequence(at) if isinstance(event, yaml.SequenceStartEvent) else self.mapping(at)

    def sequence(self, at: Keys) -> list[object]:
        items: list[object] = []
        while not isinstance(event := self.next_event(), yaml.SequenceEndEvent):
            items.append(self.node((*at, len(items)), event))
        return items

    def mapping(self, at: Keys) -> dict[str, object]:
        entries: dict[str, object] = {}
        while not isinstance(event := self.next_event(), yaml.MappingEndEvent):
            key, line = self.key(at, event), event.start_mark.line + 1
            here = (*at, key)
            if key in entries:
                self.faults.append(Fault(here, line, f"is given twice, first on line {self.lines[here]}", key))
            self.lines.setdefault(here, line)
            entries.setdefault(key, self.node(here, self.next_event()))
        return entries

    def key(self, at: Keys, event: Any) -> str:
        self.check_plain(at, event)
        if not isinstance(event, yaml.ScalarEvent) or (event.style is None and not is_text(event.value)):
            self.stop(at, event, "must have text as keys")
        if event.value == "<<" and event.style is None:
            self.stop(at, event, "must not merge (<<): write the keys out")
        return str(event.value)

    def scalar(self, at: Keys, event: Any) -> object:
        try:
            return scalar(event.value) if event.style is None else event.value
        except ValueError as error:
            self.faults.append(Fault(at, event.start_mark.line + 1, str(error), event.value))
            return None

    def check_plain(self, at: Keys, event: Any) -> None:
        """Refuse aliases, anchors and tags, and half characters."""
        if isinstance(event, yaml.AliasEvent):
            self.stop(at, event, "must not be an alias (*): write the value again")
        if event.anchor is not None:
            self.stop(at, event, "must not have an anchor (&)")
        if event.tag is not None:
            self.stop(at, event, "must not have a tag (!)")
        if isinstance(event, yaml.ScalarEvent) and any("\ud800" <= character <= "\udfff" for character in event.value):
            self.stop(at, event, "must be whole characters, not half of a surrogate pair")

    def stop(self, at: Keys, event: Any, reason: str) -> NoReturn:
        source = self.text[event.start_mark.index : event.end_mark.index]
        raise BadYaml(*self.faults, Fault(at, event.start_mark.line + 1, reason, source))
