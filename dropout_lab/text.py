"""Renders labelled text and tables in a given width, and as Markdown; writes counts and seeds in words.

A labelled text is one string: its label, padded to LABEL columns, then the text.
"""

from __future__ import annotations

import itertools
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

LABEL = 10  # columns that a label takes at the beginning of a line
GAP = 2  # spaces between the columns of a table
BLOCKS = "▁▂▃▄▅▆▇█"
SPARKS = 20  # characters of a sparkline
APART = 6  # spaces between two labelled texts on one line

Line = tuple[str, ...]  # the cells of one line of a table
Parts = Sequence[str | list[Line]]  # labelled texts and tables; the first line of a table is its head
NUMBER = re.compile(r"|-|(> )?[\[<]*[+-]?[0-9.].*|all equal")  # a cell that is right-aligned
MARKUP = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#~"})


def labelled(label: str, text: str) -> str:
    """Return a labelled text."""
    return f"{label:<{LABEL}}{text}"


def shortened(name: str, digest: str, longest: int) -> str:
    """Return a name that is too long or taken, cut to `longest` characters, the last of which are the digest."""
    return f"{name[: longest - len(digest) - 1]}-{digest}"


def flow(texts: Iterable[str], width: int) -> list[str]:
    """Return the lines of labelled texts, side by side while they fit; a longer text is wrapped after its label."""
    lines: list[str] = []
    for text in filter(None, texts):
        if lines and len(lines[-1]) + APART + len(text) <= width:
            lines[-1] += " " * APART + text
        else:
            wrapped = textwrap.wrap(text, width, subsequent_indent=" " * LABEL, break_on_hyphens=False)
            lines += map(str.rstrip, wrapped)
    return lines


def table(lines: Sequence[Line], width: int) -> list[str]:
    """Return the lines of a table, at most `width` columns wide.

    Cells are right-aligned, except in the first column and in columns without a head, which hold words. Columns that
    do not fit are printed below the others, with the first column repeated beside them.
    """
    first, *others = zip(*lines, strict=True)
    widest = max((len(cell) for column in others for cell in column), default=0)
    first = _padded(first, max(width // 2, width - GAP - widest), word=True)
    room = width - len(first[0])
    blocks: list[list[Line]] = [[first]]
    left = room
    for column in others:
        cells = _padded(column, room - GAP, word=not column[0])
        if len(cells[0]) + GAP > left:
            blocks.append([first])
            left = room
        blocks[-1].append(cells)
        left -= len(cells[0]) + GAP
    tables = [[(" " * GAP).join(cells).rstrip() for cells in zip(*block, strict=True)] for block in blocks]
    return [line for number, block in enumerate(tables) for line in ["", *block][number == 0 :]]


def as_text(parts: Parts, width: int) -> str:
    """Return labelled texts, wrapped after their labels, and tables, with an empty line around each table."""
    blocks = [
        table(part, width) if isinstance(part, list) else [line for text in part for line in flow([text], width)]
        for part in grouped(parts)
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def as_markdown(parts: Parts) -> str:
    """Return labelled texts as a Markdown list with bold labels, and tables; the last character is a newline."""
    blocks = [
        "".join(f"- **{escaped(label)}** {escaped(text)}\n" for label, text in map(unlabelled, part))
        if isinstance(part, tuple)
        else markdown_table(part)
        for part in grouped(parts)
    ]
    return "\n".join(blocks)


def markdown_table(lines: Sequence[Line]) -> str:
    """Return a table as Markdown. All columns are right-aligned, except the first and those without a head."""
    rule = ("---" if not number or not head.strip() else "---:" for number, head in enumerate(lines[0]))
    head, *body = (map(escaped, line) for line in lines)
    return "".join(markdown_row(cells) + "\n" for cells in (head, rule, *body))


def markdown_row(cells: Iterable[str]) -> str:
    """Return one line of a Markdown table. The cells are not escaped."""
    return "| " + " | ".join(cells) + " |"


def escaped(text: str) -> str:
    """Return `text` with what Markdown would read as markup escaped."""
    return text.translate(MARKUP)


def numeric(lines: Sequence[Line]) -> list[bool]:
    """Return whether each column of a table holds numbers; false for the first one, which names the lines."""
    columns = list(zip(*lines[1:], strict=True)) or [()] * len(lines[0])
    return [number > 0 and all(map(NUMBER.fullmatch, column)) for number, column in enumerate(columns)]


def cut(text: str, size: int) -> str:
    """Return `text` in at most `size` characters, shortened in the middle: names often differ at the end."""
    if len(text) <= size:
        return text
    end = (size - 3) // 2
    return text[: size - 3 - end] + "..." + text[len(text) - end :]


def count(number: int, noun: str) -> str:
    """Return "1 seed" or "5 seeds"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def sparkline(values: Sequence[float]) -> str:
    """Return the values as at most 20 small bars, lowest to highest; a gap where one is not finite."""
    step = max(1, len(values) / SPARKS)
    chosen = [values[int(at * step)] for at in range(min(len(values), SPARKS))]
    finite = [value for value in chosen if math.isfinite(value)]
    low = min(finite, default=0)
    span = max(finite, default=0) - low or 1
    heights = ((value - low) / span * (len(BLOCKS) - 1) for value in chosen)
    return "".join(BLOCKS[int(height)] if math.isfinite(height) else " " for height in heights)


def shown_seeds(seeds: Sequence[int]) -> str:
    """Return seeds with neighbours joined to ranges: "0-4, 7"."""
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][-1] + 1:
            spans[-1][1:] = [seed]
        else:
            spans.append([seed])
    return ", ".join("-".join(map(str, span)) for span in spans)


def named_seeds(seeds: Sequence[int]) -> str:
    """Return "seed 3" or "seeds 0-4, 7"."""
    return ("seed " if len(seeds) == 1 else "seeds ") + shown_seeds(seeds)


def grouped(parts: Parts) -> Iterator[tuple[str, ...] | list[Line]]:
    """Yield the tables, and between them the labelled texts, those that follow each other together."""
    for is_text, group in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            yield tuple(part for part in group if isinstance(part, str))
        else:
            yield from (part for part in group if not isinstance(part, str))


def unlabelled(text: str) -> tuple[str, str]:
    """Return a labelled text as its label and the text after it."""
    return text[:LABEL].strip(), text[LABEL:]


def _padded(column: Line, most: int, *, word: bool) -> Line:
    """Return the cells of a column padded to one width, which is at most `most`."""
    cells = [cut(cell, most) for cell in column]
    size = max(map(len, cells))
    return tuple(cell.ljust(size) if word else cell.rjust(size) for cell in cells)
