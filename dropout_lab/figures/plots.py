"""Draws loaded runs as figures: the curves of the articles, comparisons, sweeps. PLOTS names them all.

Every figure says what it shows: run, data set, network, dropout, number of seeds, and what the band is. Accuracies and
errors are in percent; a loss is a mean cross-entropy in nats. Sheet, colours and sizes are in style.py.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from dropout_lab.comparison.compare import MIN_EFFECT
from dropout_lab.comparison.inference import Interval, Looked, deciding, interval, paired
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.config.noted import Noted
from dropout_lab.config.resolve import flatten
from dropout_lab.config.strict_yaml import written
from dropout_lab.errors import shown
from dropout_lab.figures.style import PANEL, Entries, colours, compose, encoded, label, panels, size, styled
from dropout_lab.runs.read import Run
from dropout_lab.storage import atomic_write
from dropout_lab.sweeps.plan import NOT_VARIED, Grid, grid
from dropout_lab.text import count, cut

LINES = ("-", "--", "-.", ":")  # with the six colours of runs they make twelve pairs before one repeats
MARKERS = ("o", "s", "^", "D", "v")

BAND = "Lines: mean over the seeds. Bands: smallest to largest value over the seeds (none for one seed)."
TRAIN = "Train: mean over the epoch's batches, while the weights move. Clean train: training images after the epoch."
GAP = "Generalization gap: validation loss minus clean training loss. All are measured with dropout off."
DIFFERENCES = "Differences: from the baseline, paired by seed, with the title's intervals; above 0 is better. "
CELLS = "Cells: test error (%) at the last epoch, dropout off, mean over the seeds (no band)."
BARS = "Points: mean over the seeds at the last epoch. Bars: 95 % t interval of that mean (none for one seed)."

NOTED_TOPICS = {"data": "data.dataset", "network": "network.hidden", "rate": "dropout.rate"}  # of an imported run
ALL_IMAGES, TRUE_LABELS = "all training images", "true labels"  # shown only beside runs that differ in this

Seen = tuple[int, float | None, float | None]  # the seeds of a look, and the ends of its interval
Setting = float | str  # a number on the axis of a sweep, or a category
Span = tuple[float, float, float]  # a mean and the ends of its interval; NaN for what is not known
BASELINE, UNKNOWN = (0.0, np.nan, np.nan), (np.nan, np.nan, np.nan)
MOST = 60  # settings below each other in one picture


@dataclass(frozen=True)
class Plot:
    """A kind of picture: what it shows, and the function that draws it from finished runs; no figure if it cannot."""

    about: str
    draw: Callable[[Sequence[Run]], list[Figure]]


class Against(NamedTuple):
    """The differences of settings from their baselines in test accuracy, in percentage points.

    differences: of each setting, as `in_points` gives them; BASELINE of a baseline, UNKNOWN where there is none.
    margin: the smallest difference that matters. intervals: what the intervals are, in words.
    """

    differences: Sequence[Span]
    margin: float
    intervals: str


class Point(NamedTuple):
    """One setting of a sweep, as it is drawn: where, under which name, and its measures."""

    place: float
    name: str
    run: Run
    chosen: bool
    difference: Span
    error: Span
    gap: Span


class Look(NamedTuple):
    """What tells a curve from the others: its colour and, on paper without colours, line, marker and width (points)."""

    colour: str
    line: str
    marker: str
    width: float = 1.7
    band: float = 0.16  # opacity


@styled
def curves(run: Run) -> Figure:
    """Draw loss and accuracy of one run against the epoch, as the articles do, with the clean training curve added."""
    figure, (loss, accuracy) = panels("loss", "accuracy (%)")
    yellow, red, grey = colours()[:3]
    rows = averaged(run)
    entries: Entries = []
    for split, text, look in (
        ("train", f"train (dropout {'on' if _drops(run) else 'rate 0'})", Look(yellow, "-", "o", 2.6)),
        ("clean_train", "clean train (dropout off)", Look(yellow, "--", "^")),
        ("val", "validation (dropout off)", Look(red, "-", "s")),
    ):
        line = _curve(loss, rows, rows[f"{split}_loss"], look, sparse=bool(run.summary.imported))
        _curve(accuracy, rows, 100 * rows[f"{split}_accuracy"], look, sparse=bool(run.summary.imported))
        if rows[[f"{split}_loss", f"{split}_accuracy"]].notna().to_numpy().any() or not run.summary.imported:
            entries.append((line, text.partition(" (")[0] if run.summary.imported else text))
    mean = rows["val_loss"].groupby(rows["epoch"]).mean().dropna()
    if len(mean):
        best = int(mean.index.to_numpy()[mean.argmin()])
        for axis in (loss, accuracy):
            axis.axvline(best, color=grey, linewidth=1, linestyle=":", zorder=1)
        entries.append((_ring(loss, best, mean[best], red), f"epoch {best}: lowest mean validation loss"))
    return compose(figure, run.name, _facts([run])[0], BAND if run.summary.imported else f"{BAND} {TRAIN}", entries)


@styled
def comparison(runs: Sequence[Run]) -> Figure:
    """Draw the validation curves of one to twelve runs in the same panels, and their generalization gaps."""
    logged = any(averaged(run)["gap"].notna().any() for run in runs)  # where runs were imported, perhaps none has a gap
    drawn = logged or not all(run.summary.imported for run in runs)
    figure, (loss, accuracy, *gap) = panels(
        *("validation loss", "validation accuracy (%)", "generalization gap")[: 2 + drawn]
    )
    grey, *inks = colours()[2:]
    for axis in gap:
        axis.axhline(0, color=grey, linewidth=1, zorder=1)
    shared, apart = _facts(runs)
    entries: Entries = []
    for i, (run, facts) in enumerate(zip(runs, apart, strict=True)):
        rows = averaged(run)
        look = Look(inks[i % len(inks)], LINES[i % len(LINES)], MARKERS[i % len(MARKERS)])
        look = look._replace(band=look.band if len(runs) < 4 else look.band / 2)
        _curve(accuracy, rows, 100 * rows["val_accuracy"], look, sparse=bool(run.summary.imported))
        for axis in gap:
            _curve(axis, rows, rows["gap"], look, sparse=bool(run.summary.imported))
        entries.append(
            (
                _curve(loss, rows, rows["val_loss"], look, sparse=bool(run.summary.imported)),
                f"{run.name} ({facts})" if facts else run.name,
            )
        )
    title = " against ".join(run.name for run in runs) if len(runs) < 3 else f"Comparison of {len(runs)} runs"
    return compose(figure, title, shared, f"{BAND} {GAP}" if gap else BAND, entries)


@styled
def heatmap(
    cells: Grid, runs: Mapping[str, Run], chosen: str | None = None, *, name: str = "Sweep of two settings"
) -> Figure:
    """Draw the test error for every pair of values of two settings.

    runs: by the names in `cells`. chosen: the run chosen on validation, whose cell gets a frame. If runs have different
    numbers of seeds, each cell shows its own. A cell without a finished seed shows a dash.
    """
    down, across = cells.keys
    figure, (axis,) = panels("test error (%)", over=across, height=max(PANEL, 0.3 * len(cells.rows)))
    tests = {member: METRICS["test_accuracy"].finite(run) for member, run in runs.items()}
    error = {member: 100 * (1 - float(np.mean(list(values.values())))) for member, values in tests.items() if values}
    uneven = len({len(values) for values in tests.values()}) > 1
    words = {member: f"{value:.2f}" + f" ({len(tests[member])})" * uneven for member, value in error.items()}
    low, high = (extreme(error.values(), default=0.0) for extreme in (min, max))
    shade, paint = Normalize(low, high), matplotlib.colormaps[matplotlib.rcParams["image.cmap"]]
    texts = []
    for (y, row), (x, column) in itertools.product(enumerate(cells.rows), enumerate(cells.columns)):
        member = cells.names.get((row, column), "")
        fill = paint(shade(error[member])) if member in error else axis.get_facecolor()
        ink = "black" if _is_bright(fill) else "white"
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=fill, edgecolor=axis.get_facecolor(), linewidth=2))
        if member and member == chosen:
            axis.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=ink, linewidth=2.5))
        texts.append(axis.text(x, y, words.get(member, "-"), ha="center", va="center", color=ink))
    _scales(axis, cells)
    room = 0.9 * size(axis.patch)[0] / len(cells.columns) / max(size(text)[0] for text in texts)
    for text in texts if room < 1 else ():
        text.set_fontsize(room * float(text.get_fontsize()))
    entries: Entries = [
        (Patch(color=paint(0.0)), f"lowest {low:.2f}"),
        (Patch(color=paint(1.0)), f"highest {high:.2f}"),
    ]
    if chosen in cells.names.values():
        frame = Patch(fill=False, edgecolor=matplotlib.rcParams["text.color"], linewidth=2.5)
        entries.append((frame, "framed: chosen on validation"))
    if not error:
        entries = [(Patch(fill=False), "-: no finished seed")]
    return compose(figure, f"{name}: {down} and {across}", shared_conditions(list(runs.values())), CELLS, entries)


def _scales(axis: Axes, cells: Grid) -> None:
    """Label the two axes of a heat map, the first value on top."""
    axis.set_yticks(range(len(cells.rows)), [cut(label(value), 24) for value in cells.rows])
    _ticks(axis, range(len(cells.columns)), [cut(value, 24) for value in cells.columns])
    axis.set(xlim=(-0.5, len(cells.columns) - 0.5), ylim=(len(cells.rows) - 0.5, -0.5))
    axis.set_ylabel(textwrap.fill(label(cells.keys[0]), 24))
    axis.tick_params(length=0)
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)


def _is_bright(colour: Any) -> bool:
    """Whether black has more contrast than white on a colour (WCAG: the contrasts are equal at luminance 0.179)."""
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179


@styled
def sweep(
    points: Sequence[tuple[Setting, Run]],
    chosen: Setting | None = None,
    *,
    setting: str = "dropout rate",
    name: str = "Sweep",
    against: Against | None = None,
) -> Figure:
    """Draw what was swept: differences from the baseline, test error and generalization gap, after the last epoch.

    points: each value of the setting with its run. Distinct numbers go along an axis. Other values are lines below each
    other, the largest difference on top or, without differences, the smallest error. chosen: the value chosen on
    validation. against: the differences; None draws none. If exactly one run has no dropout, it is the reference line.
    """
    values = {value for value, _ in points}
    listed = len(values) < len(points) or any(isinstance(value, str) for value in values)
    runs = [run for _, run in points]
    differences = against.differences if against else [UNKNOWN] * len(points)
    drawn = [
        Point(
            float(i) if listed else float(value),
            label(str(value)),
            run,
            value == chosen,
            difference,
            _interval([100 * (1 - accuracy) for accuracy in METRICS["test_accuracy"].values(run).values()]),
            _interval([*METRICS["gap"].values(run).values()]),
        )
        for i, ((value, run), difference) in enumerate(zip(points, differences, strict=True))
    ]
    titles = {"error": "test error (%)", "gap": "generalization gap"}
    if against:
        titles = {"difference": "difference in\ntest accuracy (pp)", **titles}
    notes = f"{DIFFERENCES if against else ''}{BARS} {GAP}"
    if listed:
        drawn = _ranked(drawn)
        notes += f" The other {len(points) - MOST:,} settings are in the table." * (len(points) > MOST)
        figure, axes = panels(*titles.values(), over="")
        _name_lines(figure, axes, drawn)
    else:
        drawn = sorted(drawn, key=lambda point: point.place)
        figure, axes = panels(*titles.values(), over=setting)
        for axis in axes:
            _ticks(axis, [point.place for point in drawn], None)
    entries: dict[str, Artist] = {}
    for axis, measure in zip(axes, titles, strict=True):
        entries |= _points(axis, drawn, measure, listed, against.margin if against else 0.0)
    legend = [(artist, text) for text, artist in entries.items()]
    title = f"{name}: {setting}" + (f". Differences with {against.intervals}" if against else "")
    return compose(figure, title, shared_conditions(runs), notes, legend)


@styled
def data_sizes(runs: Sequence[Run]) -> Figure:
    """Draw the test error after the last epoch against the number of training images, a line for each dropout rate.

    Both scales are logarithmic.
    """
    figure, (axis,) = panels("test error (%)", over="training images")
    inks = colours()[3:]
    entries: Entries = []
    rates = [_conditions(run)["rate"] for run in runs]
    for i, rate in enumerate(dict.fromkeys(rates)):
        sized = {_images(run): run for run, its_rate in zip(runs, rates, strict=True) if its_rate == rate}
        errors = {n: [100 * (1 - v) for v in METRICS["test_accuracy"].finite(sized[n]).values()] for n in sorted(sized)}
        table = pd.DataFrame(map(_interval, errors.values()), list(errors), ["mean", "low", "high"])
        bars = [table["mean"] - table["low"], table["high"] - table["mean"]]
        ink = inks[i % len(inks)]
        axis.errorbar(table.index, table["mean"], yerr=bars, fmt="none", ecolor=ink, elinewidth=1.4)
        (line,) = axis.plot(table.index, table["mean"], LINES[i % len(LINES)], color=ink)
        line.set_marker(MARKERS[i % len(MARKERS)])
        entries.append((line, rate))
    axis.set(xscale="log", yscale="log")
    for place, labelled in (axis.xaxis, (1.0,)), (axis.yaxis, (1.0, 2.0, 5.0)):
        place.set_major_locator(LogLocator(subs=labelled))
        place.set_major_formatter("{x:,g}")
        place.set_minor_formatter(NullFormatter())
    name = "Dropout and the size of the data"
    return compose(figure, name, shared_conditions(runs), f"{BARS} All are measured with dropout off.", entries)


@styled
def narrowing(looks: Mapping[str, Sequence[Seen]], metric: str, margin: float) -> Figure:
    """Draw how the interval of each candidate's difference from the baseline narrowed while seeds were added.

    looks: by candidate, the seeds of each look with the ends of its interval, in the metric's stored unit; None where
    the interval has no end. margin: the smallest difference that matters, in the same unit.
    """
    shown = METRICS[metric]
    scale, unit = (100, "pp") if shown.unit == "%" else (1, shown.unit)
    figure, (axis,) = panels(f"difference in {shown.title}" + f" ({unit})" * bool(unit), over="seeds")
    grey, *inks = colours()[2:]
    axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    for end in (-scale * margin, scale * margin):
        axis.axhline(end, color=grey, linewidth=1, linestyle="--", zorder=1)
    axis.axhline(0, color=grey, linewidth=1, zorder=1)
    entries: Entries = []
    for i, (name, path) in enumerate(looks.items()):
        ends = np.array([(n, low, high) for n, low, high in path if low is not None and high is not None], float)
        seeds, low, high = ends.reshape(-1, 3).T
        ink, form = inks[i % len(inks)], MARKERS[i % len(MARKERS)]
        axis.fill_between(seeds, scale * low, scale * high, color=ink, alpha=0.16 / (1 + (len(looks) > 3)), linewidth=0)
        axis.vlines(seeds, scale * low, scale * high, color=ink, linewidth=1.4)
        (line,) = axis.plot(seeds, scale * (low + high) / 2, LINES[i % len(LINES)], marker=form, color=ink)
        entries.append((line, name))
    notes = "Bars: the interval that holds at every number of seeds at once. Dashed: the margin."
    return compose(figure, "Seeds added until the verdict is decided", "", notes, entries)


def _images(run: Run) -> float:
    """Return how many training images a run has."""
    return run.trained.data.train_size or run.trained.data.training_images


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` in the format of its suffix, atomically."""
    atomic_write(path, encoded(figure, path.suffix.removeprefix(".")))


def by_two_settings(runs: Sequence[Run]) -> list[Figure]:
    """Draw the heat map of runs that differ in exactly two settings; return no figure for other runs."""
    by_path = {str(run.path): run for run in runs}
    settings = {path: flatten(run.config).items() for path, run in by_path.items()}
    cells = grid({path: {k: v for k, v in pairs if k not in NOT_VARIED} for path, pairs in settings.items()})
    return [heatmap(cells, by_path)] if cells else []


PLOTS: dict[str, Plot] = {
    "curves": Plot("training against validation, one figure per run", lambda runs: [curves(run) for run in runs]),
    "comparison": Plot("validation curves of several runs, and their gaps", lambda runs: [comparison(runs)]),
    "sweep": Plot(
        "differences from no dropout, test error and gap, by rate or by run",
        lambda runs: [sweep(_by_rate(runs), against=_against(runs))],
    ),
    "data sizes": Plot("test error against the number of training images", lambda runs: [data_sizes(runs)]),
    "heatmap": Plot("test error over two settings, of runs that differ in these two", by_two_settings),
}


def averaged(run: Run) -> pd.DataFrame:
    """Return the rows to average: those of the finished seeds or, if all diverged, all rows. inf becomes NaN."""
    rows = run.metrics.replace([np.inf, -np.inf], np.nan)
    done = run.summary.finished
    rows = rows[rows["seed"].isin(list(done))] if done else rows
    return rows.assign(gap=rows["val_loss"] - rows["clean_train_loss"])


def _drops(run: Run) -> bool:
    if isinstance(run.config, Noted):
        rate = run.config.conditions.get("dropout.rate")
        return bool(any(rate) if isinstance(rate, list) else rate)
    return any(run.config.rates) or run.config.dropout.input_rate > 0


def _interval(values: Sequence[float]) -> Span:
    """Return the mean and the ends of its 95 % t interval; NaN for what too few values cannot tell."""
    finite = [value for value in values if np.isfinite(value)]
    if not finite:
        return np.nan, np.nan, np.nan
    estimate = interval(finite)
    return estimate.mean, *(estimate.interval or (np.nan, np.nan))


def _by_rate(runs: Sequence[Run]) -> list[tuple[Setting, Run]]:
    """Pair each run with its rate; if one rate per run does not tell the runs apart, with its name."""
    rates = [() if isinstance(run.config, Noted) else run.config.rates for run in runs]
    if len({*rates}) == len(runs) and all(len(set(rate)) == 1 for rate in rates):
        return [(rate[0], run) for rate, run in zip(rates, runs, strict=True)]
    return [(run.name, run) for run in runs]


def _facts(runs: Sequence[Run]) -> tuple[str, list[str]]:
    """Return the conditions that all runs share, as one line, and for each run the conditions in which it differs."""
    facts = [_conditions(run) for run in runs]
    values = {topic: {fact[topic] for fact in facts if fact[topic]} for topic in facts[0]}  # "" goes with anything
    shared = [topic for topic in values if len(values[topic]) == 1]
    apart = [", ".join(text for topic, text in fact.items() if text and topic not in shared) for fact in facts]
    said = (text for topic in shared if (text := values[topic].pop()) not in (ALL_IMAGES, TRUE_LABELS))
    return " · ".join(said), apart


def shared_conditions(runs: Sequence[Run]) -> str:
    """Return the conditions that all runs share, and how many seeds they have, also if that differs."""
    text, _ = _facts(runs)
    return text if len({_seeds([run]) for run in runs}) == 1 else f"{text} · {_seeds(runs)}"


def conditions(run: Run) -> str:
    """Return the conditions of one run, as one line."""
    return _facts([run])[0]


def _conditions(run: Run) -> dict[str, str]:
    """Return the conditions of a run that a reader must know, a phrase for each topic; "" if it does not apply."""
    config = run.config
    if isinstance(config, Noted):
        return _noted_conditions(run, config)
    rates = config.rates if len(set(config.rates)) > 1 else config.rates[:1]
    images, noise = config.data.train_size, config.data.label_noise
    rate = "rate " + ("/".join(f"{rate:g}" for rate in rates) or "0")
    return {
        "data": f"data {shown(Path(config.data.dataset).name)}",
        "images": f"{images:,} training images" if images else ALL_IMAGES,
        "labels": f"{100 * noise:g} % of the labels wrong" if noise else TRUE_LABELS,
        "network": f"network {'-'.join(map(str, config.widths))} {config.network.activation}",
        "kind": config.dropout.described if _drops(run) else "",
        "rate": rate + (f", input rate {config.dropout.input_rate:g}" if config.dropout.input_rate else ""),
        "seeds": _seeds([run]),
        "noted": "",
    }


def _noted_conditions(run: Run, noted: Noted) -> dict[str, str]:
    """Return the same of a run that was imported: what was noted of it, and what is unknown."""
    told = {topic: noted.get(key) for topic, key in NOTED_TOPICS.items()}
    rest = {key: value for key, value in noted.conditions.items() if key not in NOTED_TOPICS.values()}
    return {
        **{
            topic: f"{topic} {shown(value if isinstance(value, str) else written(value))}"
            for topic, value in told.items()
        },
        "images": "",
        "labels": "",
        "kind": "",
        "seeds": _seeds([run]),
        "noted": cut(", ".join(f"{key} {written(value)}" for key, value in rest.items()), 80),
    }


def _seeds(runs: Sequence[Run]) -> str:
    """Return how many seeds of each run are drawn, and how many diverged in all, in words."""
    done = [len(run.summary.finished) for run in runs]
    diverged = sum(len(run.seeds) for run in runs) - sum(done)
    low, high = min(done), max(done)
    if not high:
        return f"no seed finished, {diverged} diverged"
    text = f"n = {high} seed{'s' * (high > 1)}" if low == high else f"n = {low} to {high} seeds"
    return f"{text}, {diverged} diverged and left out" if diverged else text


def _curve(axis: Axes, rows: pd.DataFrame, values: pd.Series[float], look: Look, *, sparse: bool = False) -> Artist:
    """Draw the mean of `values` over the seeds against the epoch, with a band from least to greatest. Return it.

    sparse: whether a line goes on over epochs without a value, for a log may leave some out.
    """
    over = values.groupby(rows["epoch"]).agg(["mean", "min", "max"])
    over = over.dropna() if sparse else over
    if rows["seed"].nunique() > 1:
        axis.fill_between(over.index, over["min"], over["max"], color=look.colour, alpha=look.band, linewidth=0)
    every = max(1, len(over) // 10)  # about ten markers on every line
    (line,) = axis.plot(over.index, over["mean"], look.line, color=look.colour, linewidth=look.width)
    line.set(marker=look.marker, markevery=every)
    return line


def _ring(axis: Axes, x: float, y: float, colour: str) -> Artist:
    (ring,) = axis.plot(x, y, "o", markersize=12, markerfacecolor="none", markeredgewidth=1.5, color=colour, zorder=4)
    return ring


def _points(axis: Axes, drawn: Sequence[Point], measure: str, listed: bool, margin: float) -> dict[str, Artist]:
    """Draw mean, low and high of a measure of each point. Return the legend's entries.

    listed: points are lines below each other, and the measure goes across. margin: the band around no difference.
    """
    _, red, grey, ink = colours()[:4]
    places = np.array([point.place for point in drawn])
    mean, low, high = np.array([getattr(point, measure) for point in drawn]).T
    guide, band = (axis.axvline, axis.axvspan) if listed else (axis.axhline, axis.axhspan)
    bars: Any = {"xerr" if listed else "yerr": [mean - low, high - mean]}

    def turned(places: Any, values: Any) -> tuple[Any, Any]:
        return (values, places) if listed else (places, values)

    plain = [i for i, point in enumerate(drawn) if not _drops(point.run) and np.isfinite(mean[i])]
    entries: dict[str, Artist] = {}
    reference = [0.0] if measure == "difference" else [mean[i] for i in plain[:1] if len(plain) == 1]
    for value in reference:
        entries["baseline (no dropout)"] = guide(value, color=grey, linestyle="--", linewidth=1.4, zorder=1)
    if measure == "difference" and margin:
        entries[f"margin ±{margin:.2f} pp"] = band(-margin, margin, color=ink, alpha=0.15, linewidth=0)
    elif reference and measure != "difference":
        shade = band(low[plain[0]], high[plain[0]], color=grey, alpha=0.12, linewidth=0)
        entries["interval of the baseline"] = shade
    axis.errorbar(*turned(places, mean), fmt="none", ecolor=ink, elinewidth=1.4, **bars)
    form = "o" if listed else "o-"
    (entries["mean and interval"],) = axis.plot(*turned(places, mean), form, color=ink, linewidth=1)
    for i, point in enumerate(drawn):
        if point.chosen and np.isfinite(mean[i]):
            entries["chosen on validation"] = _ring(axis, *turned(places[i], mean[i]), red)
    if lost := [point.place for point in drawn if np.isnan(point.error[0])]:
        edge = np.full(len(lost), 0.04)  # of the axes
        across = axis.get_yaxis_transform() if listed else axis.get_xaxis_transform()
        (entries["no finished seed"],) = axis.plot(*turned(lost, edge), "x", color=red, transform=across)
    return entries


def _ranked(points: Sequence[Point]) -> list[Point]:
    """Return the points from the largest difference or, without it, the smallest error down, at most MOST of them.

    What has no value comes last. The chosen one is always there.
    """

    def rank(point: Point) -> tuple[bool, float, bool, float]:
        difference, error = point.difference[0], point.error[0]
        return np.isnan(difference), -np.nan_to_num(difference), np.isnan(error), np.nan_to_num(error)

    ranked = sorted(points, key=rank)
    kept = {id(point) for point in [*filter(lambda point: point.chosen, ranked), *ranked][:MOST]}
    return [point._replace(place=float(i)) for i, point in enumerate(p for p in ranked if id(p) in kept)]


def _name_lines(figure: Figure, axes: Sequence[Axes], points: Sequence[Point]) -> None:
    """Name each line at its left end, say at its right end how many seeds it has, and make room for the names."""
    places = [point.place for point in points]
    for letters in (36, 28, 20, 12):
        names = [textwrap.fill(point.name, letters) for point in points]
        axes[0].set_yticks(places, names)
        if max(size(tick)[0] for tick in axes[0].get_yticklabels()) < figure.get_figwidth() / 3:
            break
    lines = 1 + max(name.count("\n") for name in names)
    figure.set_figheight(max(PANEL, (0.1 + 0.16 * lines) * len(points)))
    for axis in axes[1:]:
        axis.set_yticks(places, [""] * len(places))
    for axis in axes:
        axis.set_ylim(len(points) - 0.5, -0.5)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=1))
    for point, tick in zip(points, axes[0].get_yticklabels(), strict=True):
        done, all_seeds = len(point.run.summary.finished), len(point.run.seeds)
        said = f"{done} of {count(all_seeds, 'seed')}" if done < all_seeds else count(done, "seed")
        letters, across = matplotlib.rcParams["ytick.labelsize"], axes[-1].get_yaxis_transform()
        axes[-1].text(1.03, point.place, said, va="center", fontsize=letters, transform=across)
        tick.set_fontweight("bold" if point.chosen else "normal")


def _against(runs: Sequence[Run]) -> Against | None:
    """Compare runs, paired by seed, with the one that has no dropout; None unless exactly one has none."""
    plain = [run for run in runs if not _drops(run)]
    if len(plain) != 1 or len(runs) == 1:
        return None
    by_seed = [METRICS["test_accuracy"].finite(run) for run in runs]
    before = METRICS["test_accuracy"].finite(plain[0])
    pairs = [[(before[seed], after[seed]) for seed in after if seed in before] for after in by_seed]
    found = [
        paired([a for a, _ in both], [b for _, b in both]) if both and run is not plain[0] else None
        for run, both in zip(runs, pairs, strict=True)
    ]
    family = max(1, sum(difference is not None for difference in found))
    spans = [in_points(one.mean, deciding(one, "first", family)) if one else UNKNOWN for one in found]
    spans[runs.index(plain[0])] = BASELINE
    return Against(spans, 100 * MIN_EFFECT, intervals_said(family, ["first"]))


def in_points(mean: float, interval: Interval | None) -> Span:
    """Return a difference of accuracies and its interval in percentage points."""
    low, high = interval or (np.nan, np.nan)
    return 100 * mean, 100 * low, 100 * high


def intervals_said(family: int, looked: Iterable[Looked]) -> str:
    """Say what the intervals of a sweep's differences are. looked: how often somebody looked, of each difference."""
    ways = dict.fromkeys("t intervals" if own == "first" else "intervals that hold whenever you stop" for own in looked)
    together = f", simultaneous over {family}" if family > 1 else ""
    return f"95 % {' or '.join(ways)}{together}"


def _ticks(axis: Axes, places: Sequence[float], categories: Sequence[str] | None) -> None:
    """Put a tick under every point: its category, or its number if the points are far enough apart."""
    if categories is not None:
        axis.set_xticks(places, [textwrap.fill(label(category), 32) for category in categories])
        ticks = axis.get_xticklabels()
        if max(size(tick)[0] for tick in ticks) * len(ticks) > size(axis.patch)[0]:
            axis.tick_params(axis="x", labelrotation=90)
        axis.set_xlim(-0.6, len(places) - 0.4)
    elif len(places) == 1 or np.diff(np.sort(places)).min() * 16 >= np.ptp(places):
        axis.set_xticks(sorted(places), [f"{place:g}" for place in sorted(places)])
