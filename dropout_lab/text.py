"""What is said and tables: as plain text in a given width, as Markdown and as HTML."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

LABEL = 10  # columns that a label takes at the beginning of a line
GAP = 2  # columns between the columns of a table
APART = 6  # columns between two labelled pieces on one line

Line = tuple[str, ...]  # the cells of one line of a table
Parts = Sequence[str | list[Line]]  # what is said, behind its labels, and tables, each with its head
NUMBER = re.compile(r"|-|(> )?[\[<]*[+-]?[0-9.].*|all equal")  # a cell that stands flush right
MARKUP = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#~"})


def labelled(label: str, text: str) -> str:
    """Return `text` behind its label, for `flow`."""
    return f"{label:<{LABEL}}{text}"


def flow(pieces: Iterable[str], width: int) -> list[str]:
    """Lay pieces side by side as long as they fit; one that is too long for a line is wrapped behind its label."""
    lines: list[str] = []
    for piece in filter(None, pieces):
        if lines and len(lines[-1]) + APART + len(piece) <= width:
            lines[-1] += " " * APART + piece
        else:
            wrapped = textwrap.wrap(piece, width, subsequent_indent=" " * LABEL, break_on_hyphens=False)
            lines += map(str.rstrip, wrapped)
    return lines


def table(lines: Sequence[Line], width: int) -> list[str]:
    """Return a table. Cells are flush right, but for the first column and those without a head, which hold words.

    Columns that do not fit into `width` follow below, the first column again beside them.
    """
    first, *others = zip(*lines, strict=True)
    widest = max((len(cell) for column in others for cell in column), default=0)
    first = _padded(first, max(width // 2, width - GAP - widest), word=True)
    room = width - len(first[0])
    blocks: list[list[Line]] = [[first]]
    left = room
    for column in others:
        own = _padded(column, room - GAP, word=not column[0])
        if len(own[0]) + GAP > left:
            blocks.append([first])
            left = room
        blocks[-1].append(own)
        left -= len(own[0]) + GAP
    tables = [[(" " * GAP).join(cells).rstrip() for cells in zip(*block, strict=True)] for block in blocks]
    return [line for number, block in enumerate(tables) for line in ["", *block][number == 0 :]]


def as_text(parts: Parts, width: int) -> str:
    """Return what is said, wrapped behind its labels, and the tables, each with an empty line above and below."""
    blocks = [
        table(part, width) if isinstance(part, list) else [line for piece in part for line in flow([piece], width)]
        for part in grouped(parts)
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def as_markdown(parts: Parts) -> str:
    """Return the parts as Markdown, with a last newline: a list of what is said with bold labels, and tables."""
    blocks = [
        "".join(f"- **{escaped(label)}** {escaped(text)}\n" for label, text in map(unlabelled, part))
        if isinstance(part, tuple)
        else markdown_table(part)
        for part in grouped(parts)
    ]
    return "\n".join(blocks)


def markdown_table(lines: Sequence[Line]) -> str:
    """Return a table as Markdown: numbers flush right, which is all but the first column and those without a head."""
    rule = ("---" if not number or not head.strip() else "---:" for number, head in enumerate(lines[0]))
    head, *body = (map(escaped, line) for line in lines)
    return "".join(markdown_row(cells) + "\n" for cells in (head, rule, *body))


def markdown_row(cells: Iterable[str]) -> str:
    """Return one row of a Markdown table, its cells as they are."""
    return "| " + " | ".join(cells) + " |"


def escaped(text: str) -> str:
    """Return `text` so that Markdown shows it as it is."""
    return text.translate(MARKUP)


def numeric(lines: Sequence[Line]) -> list[bool]:
    """Say for each column of a table, of which the first names the lines, whether it holds numbers."""
    columns = list(zip(*lines[1:], strict=True)) or [()] * len(lines[0])
    return [number > 0 and all(map(NUMBER.fullmatch, column)) for number, column in enumerate(columns)]


def cut(text: str, size: int) -> str:
    """Return `text` in at most `size` characters; the middle goes first, for names often differ at the end."""
    if len(text) <= size:
        return text
    end = (size - 3) // 2
    return text[: size - 3 - end] + "..." + text[len(text) - end :]


def count(number: int, noun: str) -> str:
    """Return "1 seed" or "5 seeds"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def shown_seeds(seeds: Sequence[int]) -> str:
    """Return seeds with runs of neighbours drawn together: "0-4, 7"."""
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
    """Yield the tables, and what is said between them together."""
    for said, group in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
        if said:
            yield tuple(part for part in group if isinstance(part, str))
        else:
            yield from (part for part in group if not isinstance(part, str))


def unlabelled(piece: str) -> tuple[str, str]:
    """Return the label of a piece, and its text."""
    return piece[:LABEL].strip(), piece[LABEL:]


def _padded(column: Line, most: int, *, word: bool) -> Line:
    """Return the cells of a column in one width, at most `most`."""
    cells = [cut(cell, most) for cell in column]
    size = max(map(len, cells))
    return tuple(cell.ljust(size) if word else cell.rjust(size) for cell in cells)
