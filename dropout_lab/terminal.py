"""Writes results to stdout, everything else to stderr, and the summary of a GitHub job."""

from __future__ import annotations

import codecs
import os
import re
import shutil
import sys

from dropout_lab.errors import Failed

WIDEST = 100  # columns
# all characters that steer a terminal but tab and newline
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


PLAIN = {"±": "+-", "–": "-", "—": "-", "…": "...", "·": "*"} | dict(zip("▁▂▃▄▅▆▇█", "_.-~=+*#", strict=True))


def spelled(error: UnicodeError) -> tuple[str, int]:
    """Return how a character is written that a stream cannot encode: plainly, if it is one of ours, else escaped."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in _lost(error)), error.end


def _lost(error: UnicodeEncodeError) -> str:
    return error.object[error.start : error.end]


def prepare() -> None:
    """Make stdout and stderr safe to write to: a closed stream discards text; `spelled` says what is not encoded."""
    codecs.register_error("dropout-lab", spelled)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, it stays open
        getattr(sys, name).reconfigure(errors="dropout-lab")


def result(text: str) -> None:
    """Write a result to stdout. If its reader has gone (`| head -1`), discard it; else raise `Failed`."""
    try:
        print(harmless(text.removesuffix("\n")), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise Failed(f"standard output: cannot be written: {error.strerror}") from error


def say(text: str) -> None:
    """Write anything that is not a result to stderr. If stderr cannot be written, discard it: the work goes on."""
    try:
        print(harmless(text), file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def harmless(text: str) -> str:
    """Return `text` with characters that control a terminal or turn the writing direction replaced by JSON's escapes.

    Only names and paths can hold such characters, so JSON that is printed keeps its meaning.
    """
    return STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def width() -> int:
    """Return how many columns to write in: the terminal's width, at most WIDEST; WIDEST if there is no terminal."""
    return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)


def is_live() -> bool:
    """Return whether a person watches stderr, so that progress bars may move there."""
    return sys.stderr.isatty() and os.environ.get("CI", "").lower() in ("", "0", "false")


def step_summary(markdown: str) -> None:
    """Append to the summary page of a GitHub job, if this runs in one."""
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(markdown + "\n")
        except OSError as error:
            say(f"dropout-lab: warning: {path}: no summary written: {error.strerror}")
