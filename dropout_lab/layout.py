"""Plain text in a given width: labelled lines that wrap, and tables that fold where they do not fit; and HTML."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence

LABEL = 10  # columns that a label takes at the beginning of a line
GAP = 2  # columns between the columns of a table
APART = 6  # columns between two labelled pieces on one line

Line = tuple[str, ...]  # the cells of one line of a table
Parts = tuple[list[str], list[Line], list[str]]  # what is said before a table, its lines with the head, and what after


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


def table(lines: Sequence[Line], width: int, fold: int) -> list[str]:
    """Return a table. Cells are flush right, but for the first column and those without a head, which hold words.

    Where it is wider than `width`, every line is folded before cell number `fold`, and wherever else it must be.
    """
    lines = [_padded(line, lines) for line in lines]
    if len(_joined(lines[0])) <= width:
        return [_joined(line).rstrip() for line in lines]
    starts = [0]
    used = len(lines[0][0])
    for number, cell in enumerate(lines[0][1:], start=1):
        used += GAP + len(cell)
        if number == fold or used > width:
            starts.append(number)
            used = GAP + len(cell)
    folded = []
    for line in lines:
        first, *rest = [line[start:end] for start, end in zip(starts, [*starts[1:], len(line)], strict=True)]
        folded += textwrap.wrap(_joined(first), width, break_on_hyphens=False) if len(first) == 1 else [_joined(first)]
        folded += [_joined(("", *cells)) for cells in rest if any(map(str.strip, cells))]
    return [line.rstrip() for line in folded]


def markdown_row(cells: Iterable[str]) -> str:
    """Return one row of a Markdown table, its cells as they are."""
    return "| " + " | ".join(cells) + " |"


def as_html(before: Iterable[str], lines: Sequence[Line], after: Iterable[str]) -> str:
    """Return a table between paragraphs, everything escaped, as a notebook shows it."""

    def row(cells: Line, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    said, then = (
        ["<p>" + "<br>".join(map(html.escape, own)) + "</p>"] if own else [] for own in map(list, (before, after))
    )
    body = ["<table>", row(lines[0], "th"), *(row(line, "td") for line in lines[1:]), "</table>"] if lines else []
    return "\n".join([*said, *body, *then])


def side_by_side(first: Line, others: Sequence[Line], width: int) -> list[str]:
    """Return a table of a first column and, beside it, as many of the others as fit; the rest follows below it."""
    room = width - max(map(len, first)) - GAP
    blocks: list[list[Line]] = []
    left = 0
    for column in others:
        column = tuple(cut(cell, room) for cell in column)
        needed = max(map(len, column)) + GAP
        if needed > left:
            blocks.append([])
            left = room + GAP
        blocks[-1].append(column)
        left -= needed
    tables = [table(list(zip(first, *block, strict=True)), width, fold=1) for block in blocks]
    return [line for number, lines in enumerate(tables) for line in ["", *lines][number == 0 :]]


def cut(text: str, size: int) -> str:
    """Return `text` in at most `size` characters; the middle goes first, for names often differ at the end."""
    if len(text) <= size:
        return text
    end = (size - 3) // 2
    return text[: size - 3 - end] + "..." + text[len(text) - end :]


def _padded(line: Line, lines: Sequence[Line]) -> Line:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    words = [number == 0 or not head for number, head in enumerate(lines[0])]
    cells = zip(line, widths, words, strict=True)
    return tuple(cell.ljust(width) if word else cell.rjust(width) for cell, width, word in cells)


def _joined(cells: Line) -> str:
    return (" " * GAP).join(cells)
