"""What is said and tables: as plain text in a given width, as Markdown and as HTML."""

from __future__ import annotations

import html
import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from dropout_lab.errors import printable

LABEL = 10  # columns that a label takes at the beginning of a line
GAP = 2  # columns between the columns of a table
APART = 6  # columns between two labelled pieces on one line

Line = tuple[str, ...]  # the cells of one line of a table
Parts = Sequence[str | list[Line]]  # what is said, behind its labels, and tables, each with its head
NUMBER = re.compile(r"|-|(> )?[\[<]*[+-]?[0-9.].*|all equal")  # a cell that stands flush right
MARKUP = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#~"})


class Markup(str):
    """Text that is HTML already; all other text is escaped where it enters a page."""


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
        for part in _grouped(parts)
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def as_markdown(parts: Parts) -> str:
    """Return the parts as Markdown, with a last newline: a list of what is said with bold labels, and tables."""
    blocks = [
        "".join(f"- **{escaped(label)}** {escaped(text)}\n" for label, text in map(_unlabelled, part))
        if isinstance(part, tuple)
        else markdown_table(part)
        for part in _grouped(parts)
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


def as_html(parts: Parts) -> str:
    """Return what is said as paragraphs between the tables, everything escaped, as a notebook shows it."""
    return "\n".join(
        html_table(part) if isinstance(part, list) else "<p>" + "<br>".join(map(html_line, part)) + "</p>"
        for part in _grouped(parts)
    )


def html_table(lines: Sequence[Line], caption: str = "", kind: str = "") -> str:
    """Return a table; the first line is its head, the first cells name rows, columns of numbers have class n."""
    head, *body = lines
    numeric = [all(NUMBER.fullmatch(line[column]) for line in body) for column in range(len(head))]
    kinds = [" class=n" if number and column else "" for column, number in enumerate(numeric)]
    heads = "".join(f'<th scope="col"{kind}>{html_text(cell)}</th>' for cell, kind in zip(head, kinds, strict=True))
    rows = "\n".join(f"<tr>{_html_cells(line, kinds)}</tr>" for line in body)
    titled = f"<caption>{html_text(caption)}</caption>" if caption else ""
    return f'<table class="{kind}">{titled}<thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table>'


def _html_cells(line: Line, kinds: Sequence[str]) -> str:
    first, *rest = line
    cells = (f"<td{kind}>{html_text(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
    return f'<th scope="row">{html_text(first)}</th>' + "".join(cells)


def html_line(piece: str) -> str:
    """Return a piece of what is said as HTML, its label in bold."""
    label, text = _unlabelled(piece)
    return f"<b>{html_text(label)}</b> {html_text(text)}"


def html_text(text: str) -> str:
    """Return text as HTML shows it: nothing in it is markup, and nothing in it is unprintable."""
    return text if isinstance(text, Markup) else html.escape(printable(text))


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


def _grouped(parts: Parts) -> Iterator[tuple[str, ...] | list[Line]]:
    """Yield the tables, and what is said between them together."""
    for said, group in itertools.groupby(parts, key=lambda part: isinstance(part, str)):
        if said:
            yield tuple(part for part in group if isinstance(part, str))
        else:
            yield from (part for part in group if not isinstance(part, str))


def _unlabelled(piece: str) -> tuple[str, str]:
    """Return the label of a piece, and its text."""
    return piece[:LABEL].strip(), piece[LABEL:]


def _padded(column: Line, most: int, *, word: bool) -> Line:
    """Return the cells of a column in one width, at most `most`."""
    cells = [cut(cell, most) for cell in column]
    size = max(map(len, cells))
    return tuple(cell.ljust(size) if word else cell.rjust(size) for cell in cells)
