"""Charts of the lesson as SVG paths: templates/lesson.html draws them, lesson.js moves a mark over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dropout_lab.report.curves import Ticks, area, axes, line, look, span, ticks


class Series(NamedTuple):
    """What a chart shows of one series: its name, its number (for colour and dashes), and its points.

    band: the lowest and the highest value at each point.
    """

    name: str
    number: int
    xs: Sequence[float]
    ys: Sequence[float]
    band: tuple[Sequence[float], Sequence[float]] | None = None


class Drawn(NamedTuple):
    """A series as paths, with its classes of page.css."""

    name: str
    look: str
    line: str
    band: str


class Plot(NamedTuple):
    """A chart: its key for lesson.js, its title and labels, its spans, its ticks, its series."""

    key: str
    title: str
    across: str
    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: Ticks
    y_ticks: Ticks
    lines: list[Drawn]


def plot(
    key: str,
    title: str,
    across: str,
    lines: Sequence[Series],
    x: tuple[float, float] | None = None,
    y: tuple[float, float] | None = None,
) -> Plot:
    """Lay out a chart. x, y: the spans, where charts share them."""
    x = x or span((value for own in lines for value in own.xs), pad=0)
    y = y or heights(lines)
    right, down = axes(x, y)
    drawn = []
    for own in lines:
        places = [right(value) for value in own.xs]
        low, high = ([down(value) for value in values] for values in own.band or ((), ()))
        band = area(places, low, high) if own.band else ""
        drawn.append(Drawn(own.name, look(own.number), line(places, [down(value) for value in own.ys]), band))
    x_ticks = [(right(tick), f"{tick:g}") for tick in ticks(*x)]
    return Plot(key, title, across, x, y, x_ticks, [(down(tick), f"{tick:g}") for tick in ticks(*y)], drawn)


def heights(lines: Sequence[Series]) -> tuple[float, float]:
    """Return the span of all values, with a margin."""
    values = (value for own in lines for part in (own.ys, *(own.band or ())) for value in part)
    return span(values, pad=0.05)
