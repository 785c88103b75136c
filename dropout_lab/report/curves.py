"""The curves of a report: means over the seeds with their bands, as SVG that reads without JavaScript, and as data."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dropout_lab.figures.plots import averaged

if TYPE_CHECKING:
    from dropout_lab.runs.read import Run

MEASURES = {
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy (%)",
    "clean_train_loss": "clean training loss",
    "gap": "generalization gap",
}
POINTS = 400  # of one curve: more than a screen shows, and a bound on the page's size
COLOURS, DASHES = 6, 5  # classes in report.css; together they tell 30 runs apart
WIDTH, HEIGHT = 520, 280  # of a chart, in its own units
LEFT, TOP, RIGHT, BOTTOM = 52, 10, 16, 40  # what the axes take of it; report.js reads the inner size off the SVG
TICKS = 5
DRAWN = 1e300  # beyond it the difference of two numbers may be infinite

Span = tuple[float, float]


@dataclass(frozen=True)
class Curves:
    """One run's curves: its epochs and, by measure, mean, lowest and highest value over the seeds (NaN: no number)."""

    epochs: list[int]
    values: dict[str, tuple[list[float], list[float], list[float]]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data with five digits, more than a screen can show; what is not finite is null."""
        values = {key: [list(map(_rounded, own)) for own in three] for key, three in self.values.items()}
        return {"epochs": self.epochs, **values}


def curves(run: Run) -> Curves:
    """Average a run's rows over its seeds, at no more than 400 epochs, evenly chosen, the last among them."""
    rows = averaged(run)
    rows = rows.assign(val_accuracy=100 * rows["val_accuracy"])
    over = rows.groupby("epoch")[list(MEASURES)].agg(["mean", "min", "max"])
    step = max(1, math.ceil(len(over) / POINTS))
    over = over.iloc[sorted({*range(0, len(over), step), *range(len(over))[-1:]})]
    values = {key: tuple(over[key][column].tolist() for column in ("mean", "min", "max")) for key in MEASURES}
    return Curves([int(epoch) for epoch in over.index], values)


def look(number: int) -> str:
    """Return the classes that give run `number` its colour and its dashes."""
    return f"c{number % COLOURS} d{number // COLOURS % DASHES}"


def swatch(number: int) -> str:
    """Return a small sample of a run's line."""
    line = '<line x1="1" y1="6" x2="31" y2="6"/>'
    return f'<svg class="swatch {look(number)}" viewBox="0 0 32 12" aria-hidden="true">{line}</svg>'


def chart(key: str, runs: Sequence[Curves]) -> str:
    """Return one measure of all runs against the epoch as a figure."""
    across = span((epoch for own in runs for epoch in own.epochs), pad=0)
    up = span((value for own in runs for values in own.values[key] for value in values), pad=0.05)
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(value: float) -> float:
        return (value - across[0]) / (across[1] - across[0]) * width

    def y(value: float) -> float:
        return (up[1] - value) / (up[1] - up[0]) * height

    marks = [f'<path class="grid" d="M{LEFT} {TOP + y(tick):.1f}h{width}"/>' for tick in ticks(*up)]
    marks += [f'<text class="y" x="{LEFT - 6}" y="{TOP + y(tick) + 4:.1f}">{tick:g}</text>' for tick in ticks(*up)]
    marks += [
        f'<text class="x" x="{LEFT + x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}">{tick:g}</text>'
        for tick in ticks(*across)
        if tick == int(tick)
    ]
    drawn = []
    for number, own in enumerate(runs):
        places = [x(epoch) for epoch in own.epochs]
        mean, low, high = ([y(value) for value in values] for values in own.values[key])
        band = f'<path class="band" d="{area(places, low, high)}"/>' if low != high else ""
        drawn.append(
            f'<g class="run {look(number)}" data-run="{number}">{band}<path class="line" d="{line(places, mean)}"/></g>'
        )
    title = html.escape(MEASURES[key])
    about = f"{title} against the epoch; the table below has the values"
    return (
        f'<figure class="chart" data-measure="{key}"><figcaption>{title}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{about}"><g class="ticks">{"".join(marks)}</g>'
        f'<text class="x" x="{LEFT + width / 2:g}" y="{HEIGHT - 6}">epoch</text>'
        f'<svg class="area" x="{LEFT}" y="{TOP}" width="{width}" height="{height}">'
        f'<rect class="ground" width="{width}" height="{height}"/>{"".join(drawn)}</svg></svg></figure>'
    )


def span(values: Iterable[float], pad: float) -> Span:
    """Return the least and the greatest finite value with a margin on both sides, never an empty span."""
    finite = [value for value in values if abs(value) < DRAWN]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    margin = pad * (high - low) or (0.5 if high == low else 0.0)
    return low - margin, high + margin


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between `low` and `high`."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def line(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Return an SVG path through the points; it breaks where a number is missing, and a lone point is a dot."""
    path, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(y):
            path.append(f"{pen}{x:.1f} {y:.1f}" + "h0" * (pen == "M"))
        pen = "L" if math.isfinite(y) else "M"
    return "".join(path)


def area(xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """Return an SVG path around the band between two lines, over the points where both have a number."""
    points = [point for point in zip(xs, low, high, strict=True) if all(map(math.isfinite, point))]
    around = [f"{x:.1f} {y:.1f}" for x, y, _ in points] + [f"{x:.1f} {y:.1f}" for x, _, y in reversed(points)]
    return "M" + "L".join(around) + "Z" if around else ""


def _rounded(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None
