"""The curves of a report: the mean of a run's seeds with its band, as data and as the lines of charts.

templates/charts.html draws the charts, so that a reader without JavaScript has them; report.js draws them again where
the reader zooms or hides a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dropout_lab.errors import printable
from dropout_lab.figures.plots import BAND, GAP, averaged
from dropout_lab.runs.read import Run
from dropout_lab.text import Line

if TYPE_CHECKING:
    import pandas as pd

MEASURES = {
    "val_loss": "validation loss",
    "val_accuracy": "validation accuracy (%)",
    "clean_train_loss": "clean training loss",
    "gap": "generalization gap",
}
POINTS = 400  # of one curve, at most: more than a screen shows, and it bounds the size of the page
COLOURS, DASHES = 6, 5  # classes in page.css; together they tell 30 runs apart
TICKS = 5
AREA = 452, 230  # width and height of a chart in its own units; charts.html puts the axes around it
DRAWN = 1e300  # larger values are not drawn: the difference of two of them may be infinite

Place = Callable[[float], float]  # where a value is on an axis
Ticks = list[tuple[float, str]]  # of an axis: the place of each, and its number


class Drawn(NamedTuple):
    """One run in a chart: its classes, and the SVG paths of its line and, where the seeds differ, of its band."""

    look: str
    line: str
    band: str | None


class Chart(NamedTuple):
    """One measure of all runs against the epoch. Places are inside AREA, from its left and its top."""

    measure: str
    title: str
    across: Ticks
    up: Ticks
    runs: list[Drawn]


@dataclass(frozen=True)
class Curves:
    """The curves of one run: its epochs and, for each measure, mean, lowest and highest value over the seeds.

    NaN stands for a value that is missing or not finite.
    """

    epochs: list[int]
    values: dict[str, tuple[list[float], list[float], list[float]]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, as `rounded` makes it."""
        values = {key: [list(map(rounded, line)) for line in lines] for key, lines in self.values.items()}
        return {"epochs": self.epochs, **values}


def curves(run: Run) -> Curves:
    """Average the rows of a run over its seeds, at about POINTS epochs at most, evenly spaced, and the last one."""
    return over_seeds(averaged(run))


def over_seeds(rows: pd.DataFrame) -> Curves:
    """Average rows, which have a gap too, over their seeds, as `curves` does."""
    rows = rows.assign(val_accuracy=100 * rows["val_accuracy"])
    over = rows.groupby("epoch")[list(MEASURES)].agg(["mean", "min", "max"])
    step = max(1, math.ceil(len(over) / POINTS))
    over = over.iloc[sorted({*range(0, len(over), step), *range(len(over))[-1:]})]
    values = {key: tuple(over[key][column].tolist() for column in ("mean", "min", "max")) for key in MEASURES}
    return Curves([int(epoch) for epoch in over.index], values)


def section(named: Sequence[tuple[str, Curves]]) -> dict[str, Any]:
    """Return what templates/curves.html shows of runs, given by name: the charts, and the table that is their legend.

    `data` is what report.js reads.
    """
    drawn = [(printable(name), look(number), averaged) for number, (name, averaged) in enumerate(named)]
    lines: list[Line] = [("run", *MEASURES.values()), *((name, *_last(averaged)) for name, averaged in named)]
    for_script = [{"name": name, "look": classes, **averaged.as_dict()} for name, classes, averaged in drawn]
    return {
        "about_curves": f"{BAND} {GAP}",
        "area": AREA,
        "charts": [chart(measure, [averaged for *_, averaged in drawn]) for measure in MEASURES] if drawn else [],
        "looks": [classes for _, classes, _ in drawn],
        "last_values": lines,
        "data": {"measures": MEASURES, "runs": for_script},
    }


def _last(curves: Curves) -> list[str]:
    if not curves.epochs:
        return ["-"] * len(MEASURES)
    ends = [[values[-1] for values in curves.values[key]] for key in MEASURES]
    return [f"{mean:.4g}" + (f" [{low:.4g}, {high:.4g}]" if low != high else "") for mean, low, high in ends]


def look(number: int) -> str:
    """Return the classes of page.css that give run `number` its colour and its dashes."""
    return f"c{number % COLOURS} d{number // COLOURS % DASHES}"


def chart(measure: str, runs: Sequence[Curves]) -> Chart:
    """Lay out one measure of all runs against the epoch."""
    across = span((epoch for curves in runs for epoch in curves.epochs), pad=0)
    up = span((value for curves in runs for values in curves.values[measure] for value in values), pad=0.05)

    x, y = axes(across, up)
    drawn = []
    for number, curves in enumerate(runs):
        places = [x(epoch) for epoch in curves.epochs]
        mean, low, high = ([y(value) for value in values] for values in curves.values[measure])
        drawn.append(Drawn(look(number), line(places, mean), area(places, low, high) if low != high else None))
    epochs = [(x(tick), f"{tick:g}") for tick in ticks(*across) if tick == int(tick)]
    return Chart(measure, MEASURES[measure], epochs, [(y(tick), f"{tick:g}") for tick in ticks(*up)], drawn)


def axes(across: tuple[float, float], up: tuple[float, float]) -> tuple[Place, Place]:
    """Return where a value is in AREA: from its left on an axis that spans `across`, from its top on one of `up`."""

    def x(value: float) -> float:
        return (value - across[0]) / (across[1] - across[0]) * AREA[0]

    def y(value: float) -> float:
        return (up[1] - value) / (up[1] - up[0]) * AREA[1]

    return x, y


def span(values: Iterable[float], pad: float) -> tuple[float, float]:
    """Return the least and the greatest finite value, with a margin on both sides. The span is never empty.

    pad: the margin, as a fraction of the span.
    """
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
    """Return an SVG path through the points. It breaks at a missing number, and a single point becomes a dot."""
    path, pen = [], "M"
    for x, y in zip(xs, ys, strict=True):
        if math.isfinite(y):
            path.append(f"{pen}{x:.1f} {y:.1f}" + "h0" * (pen == "M"))
        pen = "L" if math.isfinite(y) else "M"
    return "".join(path)


def area(xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> str:
    """Return an SVG path around the band between two lines, from the points at which both have a number."""
    points = [point for point in zip(xs, low, high, strict=True) if all(map(math.isfinite, point))]
    around = [f"{x:.1f} {y:.1f}" for x, y, _ in points] + [f"{x:.1f} {y:.1f}" for x, _, y in reversed(points)]
    return "M" + "L".join(around) + "Z" if around else ""


def rounded(value: float) -> float | None:
    """Return a number in five digits, more than a screen can show; None for what is not finite."""
    return float(f"{value:.5g}") if math.isfinite(value) else None
