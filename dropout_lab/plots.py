"""Loaded runs -> figures: the curves of the articles, comparisons, sweeps. PLOTS names them all.

Every figure says what it shows: run, data set, network, dropout, number of seeds, and what the band is. Accuracies and
errors are drawn in percent; a loss is a mean cross-entropy in nats. The page and its looks are in figures.py.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dropout_lab.errors import shown
from dropout_lab.figures import Entries, colours, compose, label, panels, png, size, styled
from dropout_lab.metrics import METRICS, finished
from dropout_lab.statistics import interval
from dropout_lab.storage import atomic_write

if TYPE_CHECKING:
    from dropout_lab.runs import Run

LINES = ("-", "--", "-.", ":")  # cycle beside the six run colours: twelve pairs before one comes again
MARKERS = ("o", "s", "^", "D", "v")

BAND = "Lines: mean over the seeds. Bands: smallest to largest value over the seeds (none for one seed)."
TRAIN = "Train: mean over the epoch's batches, while the weights move. Clean train: training images after the epoch."
GAP = "Generalization gap: validation loss minus clean training loss, dropout off in both."
BARS = "Points: mean over the seeds at the last epoch. Bars: 95 % t interval of that mean (none for one seed)."

Setting = float | str  # a number on the axis of a sweep, or a category


@dataclass(frozen=True)
class Plot:
    """A way to look at finished runs: what it shows, and the function from runs to one or several figures."""

    about: str
    draw: Callable[[Sequence[Run]], list[Figure]]


class Look(NamedTuple):
    """How a curve is told apart: by colour, and without colour by line, marker and width (points)."""

    colour: str
    line: str
    marker: str
    width: float = 1.7
    band: float = 0.16  # opacity


@styled
def curves(run: Run) -> Figure:
    """Draw loss and accuracy of one run against the epoch as the articles do, and the clean training curve beside."""
    figure, (loss, accuracy) = panels("loss", "accuracy (%)")
    yellow, red, grey = colours()[:3]
    rows = _rows(run)
    entries: Entries = []
    for split, text, look in (
        ("train", f"train (dropout {'on' if _drops(run) else 'rate 0'})", Look(yellow, "-", "o", 2.6)),
        ("clean_train", "clean train (dropout off)", Look(yellow, "--", "^")),
        ("val", "validation (dropout off)", Look(red, "-", "s")),
    ):
        _curve(accuracy, rows, 100 * rows[f"{split}_accuracy"], look)
        entries.append((_curve(loss, rows, rows[f"{split}_loss"], look), text))
    mean = rows["val_loss"].groupby(rows["epoch"]).mean().dropna()
    if len(mean):
        best = int(mean.index.to_numpy()[mean.argmin()])
        for axis in (loss, accuracy):
            axis.axvline(best, color=grey, linewidth=1, linestyle=":", zorder=1)
        entries.append((_ring(loss, best, mean[best], red), f"epoch {best}: lowest mean validation loss"))
    return compose(figure, run.name, _facts([run])[0], f"{BAND} {TRAIN}", entries)


@styled
def comparison(runs: Sequence[Run]) -> Figure:
    """Lay the validation curves of one to twelve runs over each other, with their generalization gaps beside."""
    figure, (loss, accuracy, gap) = panels("validation loss", "validation accuracy (%)", "generalization gap")
    grey, *inks = colours()[2:]
    gap.axhline(0, color=grey, linewidth=1, zorder=1)
    shared, own = _facts(runs)
    entries: Entries = []
    for i, (run, facts) in enumerate(zip(runs, own, strict=True)):
        rows = _rows(run)
        look = Look(inks[i % len(inks)], LINES[i % len(LINES)], MARKERS[i % len(MARKERS)])
        look = look._replace(band=look.band if len(runs) < 4 else look.band / 2)
        _curve(accuracy, rows, 100 * rows["val_accuracy"], look)
        _curve(gap, rows, rows["gap"], look)
        entries.append((_curve(loss, rows, rows["val_loss"], look), f"{run.name} ({facts})" if facts else run.name))
    title = " against ".join(run.name for run in runs) if len(runs) < 3 else f"Comparison of {len(runs)} runs"
    return compose(figure, title, shared, f"{BAND} {GAP}", entries)


@styled
def sweep(
    points: Sequence[tuple[Setting, Run]],
    chosen: Setting | None = None,
    *,
    setting: str = "dropout rate",
    name: str = "Sweep",
) -> Figure:
    """Draw test error and generalization gap, at the last epoch, against the `setting` that was swept.

    `points` pairs each value of the setting with its run; values that are not distinct numbers become categories, in
    the order given. `chosen` is the value picked on validation. A sole run without dropout is the baseline: it becomes
    the reference line.
    """
    figure, axes = panels("test error (%)", "generalization gap", over=setting)
    values = {value for value, _ in points}
    numeric = len(values) == len(points) and not any(isinstance(value, str) for value in values)
    places = [float(value) if numeric else float(i) for i, (value, _) in enumerate(points)]
    runs = [run for _, run in points]
    plain = [place for place, run in zip(places, runs, strict=True) if not _drops(run)]
    picked = [place for place, (value, _) in zip(places, points, strict=True) if value == chosen]
    entries: dict[str, Artist] = {}
    errors = [[100 * (1 - accuracy) for accuracy in METRICS["test_accuracy"].values(run).values()] for run in runs]
    gaps = [list(METRICS["gap"].values(run).values()) for run in runs]
    for axis, samples in zip(axes, (errors, gaps), strict=True):
        table = pd.DataFrame([_interval(sample) for sample in samples], places, ["mean", "low", "high"])
        entries |= _points(axis, table.sort_index(), plain if len(plain) == 1 else [], picked, "o-" if numeric else "o")
        _ticks(axis, places, None if numeric else [str(value) for value, _ in points])
    shared, _ = _facts(runs)
    if len({_seeds([run]) for run in runs}) > 1:
        shared += f" · {_seeds(runs)}"
    legend = [(artist, text) for text, artist in entries.items()]
    return compose(figure, f"{name}: {setting}", shared, f"{BARS} {GAP}", legend)


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as a PNG, atomically."""
    atomic_write(path, png(figure))


PLOTS: dict[str, Plot] = {
    "curves": Plot("training against validation, one figure per run", lambda runs: [curves(run) for run in runs]),
    "comparison": Plot("validation curves of several runs, and their gaps", lambda runs: [comparison(runs)]),
    "sweep": Plot("test error and gap against the dropout rate", lambda runs: [sweep(_by_rate(runs))]),
}


def _rows(run: Run) -> pd.DataFrame:
    """Return the rows to average: those of the finished seeds or, if all diverged, all there are; inf becomes NaN."""
    rows = run.metrics.replace([np.inf, -np.inf], np.nan)
    done = finished(run)
    rows = rows[rows["seed"].isin(list(done))] if done else rows
    return rows.assign(gap=rows["val_loss"] - rows["clean_train_loss"])


def _drops(run: Run) -> bool:
    return any(run.config.rates) or run.config.dropout.input_rate > 0


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, low and high end of the 95 % t interval; NaN for what the values cannot tell."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return np.nan, np.nan, np.nan
    estimate = interval(finite)
    return estimate.mean, *(estimate.interval or (np.nan, np.nan))


def _by_rate(runs: Sequence[Run]) -> list[tuple[Setting, Run]]:
    """Pair each run with its rate, or with its name where one number per run does not tell the runs apart."""
    rates = {run.config.rates for run in runs}
    if len(rates) == len(runs) and all(len(set(rate)) == 1 for rate in rates):
        return [(run.config.rates[0], run) for run in runs]
    return [(run.name, run) for run in runs]


def _facts(runs: Sequence[Run]) -> tuple[str, list[str]]:
    """Return what all runs share, as one line, and for each run in what it differs from the others."""
    facts = [_conditions(run) for run in runs]
    values = {topic: {fact[topic] for fact in facts if fact[topic]} for topic in facts[0]}  # "" goes with anything
    shared = [topic for topic in values if len(values[topic]) == 1]
    own = [", ".join(text for topic, text in fact.items() if text and topic not in shared) for fact in facts]
    return " · ".join(values[topic].pop() for topic in shared), own


def conditions(run: Run) -> str:
    """Return what a reader must know about one run, as one line."""
    return _facts([run])[0]


def _conditions(run: Run) -> dict[str, str]:
    """Return what a reader must know about a run, one phrase a topic; "" where the topic does not arise."""
    config = run.config
    rates = config.rates if len(set(config.rates)) > 1 else config.rates[:1]
    rate = "rate " + ("/".join(f"{rate:g}" for rate in rates) or "0")
    return {
        "data": f"data {shown(Path(config.data.dataset).name)}",
        "network": f"network {'-'.join(map(str, config.widths))} {config.network.activation}",
        "kind": f"{config.dropout.kind} dropout {config.dropout.placement} the activation" if _drops(run) else "",
        "rate": rate + (f", input rate {config.dropout.input_rate:g}" if config.dropout.input_rate else ""),
        "seeds": _seeds([run]),
    }


def _seeds(runs: Sequence[Run]) -> str:
    """Say how many seeds of each run are drawn, and how many diverged in all."""
    done = [len(finished(run)) for run in runs]
    diverged = sum(len(run.seeds) for run in runs) - sum(done)
    low, high = min(done), max(done)
    if not high:
        return f"no seed finished, {diverged} diverged"
    text = f"n = {high} seed{'s' * (high > 1)}" if low == high else f"n = {low} to {high} seeds"
    return f"{text}, {diverged} diverged and left out" if diverged else text


def _curve(axis: Axes, rows: pd.DataFrame, values: pd.Series[float], look: Look) -> Artist:
    """Draw the mean of `values` over the seeds against the epoch, and the band of its extremes; return the line."""
    over = values.groupby(rows["epoch"]).agg(["mean", "min", "max"])
    if rows["seed"].nunique() > 1:
        axis.fill_between(over.index, over["min"], over["max"], color=look.colour, alpha=look.band, linewidth=0)
    every = max(1, len(over) // 10)  # about ten markers, however long the training
    (line,) = axis.plot(over.index, over["mean"], look.line, color=look.colour, linewidth=look.width)
    line.set(marker=look.marker, markevery=every)
    return line


def _ring(axis: Axes, x: float, y: float, colour: str) -> Artist:
    (ring,) = axis.plot(x, y, "o", markersize=12, markerfacecolor="none", markeredgewidth=1.5, color=colour, zorder=4)
    return ring


def _points(
    axis: Axes, table: pd.DataFrame, baseline: Sequence[float], picked: Sequence[float], form: str
) -> dict[str, Artist]:
    """Draw mean, low and high of `table` at the places that are its index; return the legend's entries by label.

    The points at the places `baseline` become reference lines, those at `picked` get a ring.
    """
    _, red, grey, ink = colours()[:4]
    places, mean, low, high = table.index.to_numpy(), table["mean"], table["low"], table["high"]
    entries: dict[str, Artist] = {}
    for place in (place for place in baseline if np.isfinite(mean[place])):
        axis.axhspan(low[place], high[place], color=grey, alpha=0.12, linewidth=0)
        line = axis.axhline(mean[place], color=grey, linestyle="--", linewidth=1.4, zorder=1)
        entries["baseline (no dropout)"] = line
    axis.errorbar(places, mean, yerr=[mean - low, high - mean], fmt="none", ecolor=ink, elinewidth=1.4)
    (entries["mean and interval"],) = axis.plot(places, mean, form, color=ink, linewidth=1)
    for place in picked:
        entries["chosen on validation"] = _ring(axis, place, mean[place], red)
    if lost := [place for place in places if np.isnan(mean[place])]:
        heights = np.full(len(lost), 0.04)  # of the axes
        (entries["no finished seed"],) = axis.plot(lost, heights, "x", color=red, transform=axis.get_xaxis_transform())
    return entries


def _ticks(axis: Axes, places: Sequence[float], categories: Sequence[str] | None) -> None:
    """Put a tick under every point: its category or, where the points are far enough apart, its number."""
    if categories is not None:
        axis.set_xticks(places, [textwrap.fill(label(category), 32) for category in categories])
        ticks = axis.get_xticklabels()
        if max(size(tick)[0] for tick in ticks) * len(ticks) > size(axis.patch)[0]:
            axis.tick_params(axis="x", labelrotation=90)
        axis.set_xlim(-0.6, len(places) - 0.4)
    elif len(places) == 1 or np.diff(np.sort(places)).min() * 16 >= np.ptp(places):
        axis.set_xticks(sorted(places), [f"{place:g}" for place in sorted(places)])
