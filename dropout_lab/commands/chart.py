"""Charts of losses in a terminal, drawn with braille dots: each character holds 2 x 4 of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

DOTS = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)  # the bits of a braille character, by column and row
EMPTY = 0x2800  # the braille character without dots
DEPTH = 4  # a chart goes down to the lowest validation loss divided by this
MARGIN = 8  # columns for the numbers at the left
# by column of metrics.csv: what a curve is called, and its colour; the last one is drawn over the others
CURVES = {
    "train_loss": ("training", "bright_black"),
    "clean_train_loss": ("clean", "blue"),
    "val_loss": ("validation", "red"),
}


def chart(
    title: str, curves: Mapping[str, Sequence[float]], epochs: int, span: tuple[float, float], width: int, height: int
) -> Group:
    """Draw losses against the epoch, on a log scale, in so many columns and lines of a terminal.

    curves: by column of metrics.csv, the loss after epochs 1, 2, .. of at most `epochs`. span: the lowest and the
    highest loss that fit (above 0).
    """
    from rich.console import Group
    from rich.text import Text

    columns, lines = max(1, width - MARGIN), max(1, height - 3)
    cells: dict[tuple[int, int], int] = {}
    colours: dict[tuple[int, int], str] = {}
    for key, (_, colour) in CURVES.items():
        for x, y in _path(curves.get(key, ()), epochs, span, 2 * columns - 1, 4 * lines - 1):
            at = x // 2, y // 4
            cells[at] = cells.get(at, 0) | DOTS[x % 2][y % 4]
            colours[at] = colour
    marks = {0: span[1], lines // 2: math.sqrt(span[0] * span[1]), lines - 1: span[0]}  # the middle of a log scale
    drawn = []
    for line in range(lines):
        text = Text(f"{marks[line]:.2g} ".rjust(MARGIN) if line in marks else " " * MARGIN, no_wrap=True)
        for column in range(columns):
            text.append(chr(EMPTY | cells.get((column, line), 0)), colours.get((column, line)))
        drawn.append(text)
    legend = Text(" " * MARGIN, no_wrap=True, overflow="ellipsis")
    for name, colour in CURVES.values():
        legend.append(f"{name}  ", colour)
    legend.append(f"epochs 1-{epochs}")
    return Group(Text(title, style="bold", no_wrap=True, overflow="ellipsis"), *drawn, legend, Text())


def span(curves: Sequence[Mapping[str, Sequence[float]]]) -> tuple[float, float]:
    """Return the lowest and the highest loss above 0 of all curves, so that charts side by side have the same axis.

    A training loss far below the validation losses would flatten these, and leaves the chart at its lower edge.
    """
    losses = [loss for each in curves for values in each.values() for loss in values if 0 < loss < math.inf]
    validation = [loss for each in curves for loss in each.get("val_loss", ()) if 0 < loss < math.inf]
    low, high = min(losses, default=0.1), max(losses, default=1.0)
    low = max(low, min(validation, default=low) / DEPTH)
    return (low, high) if low < high else (low / 2, high * 2)


def _path(
    values: Sequence[float], epochs: int, span: tuple[float, float], right: int, bottom: int
) -> list[tuple[int, int]]:
    """Return the dots of a line through the values; it breaks where one is not finite or not above 0."""
    low, high = map(math.log, span)
    points = [
        (round(right * at / max(1, epochs - 1)), min(bottom, round(bottom * (high - math.log(value)) / (high - low))))
        if 0 < value < math.inf
        else None
        for at, value in enumerate(values)
    ]
    dots = [point for point in points[:1] if point]
    for before, after in zip(points, points[1:], strict=False):
        if after and not before:
            dots.append(after)
        elif before and after:
            steps = max(abs(after[0] - before[0]), abs(after[1] - before[1]), 1)
            for step in range(1, steps + 1):
                x, y = (round(a + (b - a) * step / steps) for a, b in zip(before, after, strict=True))
                dots.append((x, y))
    return dots
