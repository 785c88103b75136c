"""Draws where the spread over networks comes from, and how many seeds find a difference."""

from __future__ import annotations

from matplotlib.figure import Figure

from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.power import SEEDS, Power
from dropout_lab.figures.plots import LINES, MARKERS
from dropout_lab.figures.style import Entries, colours, compose, panels, styled
from dropout_lab.sweeps.spread import Variance

STACKED = 8  # components whose names fit side by side below a panel, a stream on each line
COMPONENTS = (
    "Points: the standard deviation that a stream, or only a combination of streams (x), contributes. "
    "Bars: its 95 % interval. One network: all of it."
)
POWERS = (
    "Seeds of each run, fixed beforehand, paired t interval at 95 %. The spread is that of the seeds at hand, "
    "so the curves are estimates."
)


@styled
def variance(found: Variance, facts: str) -> Figure:
    """Draw the sd that every set of streams contributes, with its interval, beside the sd of one network in all.

    facts: the conditions that the networks share, as one line that ends in the number of seeds. Arms stand side by
    side.
    """
    metric = METRICS[found.metric]
    scale = 100 if metric.unit == "%" else 1
    unit = {"%": " (pp)", "": ""}.get(metric.unit, f" ({metric.unit})")
    figure, (axis,) = panels(f"sd of {metric.title}{unit}", over="streams")
    shown = [(spread, spread.components) for spread in found.spreads if spread.components]
    sets = sorted({part.streams: None for _, components in shown for part in components.parts}, key=len)
    inks = colours()[3:]
    entries: Entries = []
    for number, (spread, components) in enumerate(shown):
        ink, marker = inks[number % len(inks)], MARKERS[number % len(MARKERS)]
        shift = 0.6 * ((number + 0.5) / len(shown) - 0.5)
        places = [sets.index(part.streams) + shift for part in components.parts]
        sds = [scale * part.sd for part in components.parts]
        ends = [[scale * end for end in part.interval] for part in components.parts]
        axis.vlines(places, [low for low, _ in ends], [high for _, high in ends], color=ink, linewidth=1.4)
        (points,) = axis.plot(
            [*places, len(sets) + shift],
            [*sds, scale * components.total],
            marker,
            color=ink,
            markersize=7,
            clip_on=False,
            zorder=3,
        )
        entries.append((points, spread.label or "sd and interval"))
    words = [*(("\nx " if len(sets) < STACKED else " x ").join(streams) for streams in sets), "one network"]
    axis.set_xticks(range(len(words)), words)
    if len(sets) >= STACKED:
        axis.tick_params(axis="x", labelrotation=90)
    axis.set(xlim=(-0.6, len(words) - 0.4))
    axis.set_ylim(bottom=0)
    title = f"{found.name}: where the spread of {metric.title} comes from"
    return compose(figure, title, f"{facts} of each stream", COMPONENTS, entries)


@styled
def power(found: Power, title: str, facts: str) -> Figure:
    """Draw the power to find each effect against the number of seeds, with a line at 80 %."""
    metric = METRICS[found.metric]
    figure, (axis,) = panels("power (%)", over="seeds")
    grey, *inks = colours()[2:]
    guide = axis.axhline(80, color=grey, linestyle="--", linewidth=1.4, zorder=1)
    entries: Entries = []
    for number, one in enumerate(found.needed):
        ink, line = inks[number % len(inks)], LINES[number % len(LINES)]
        powers = [100 * value for value in found.curve(one.effect)]
        (curve,) = axis.plot(SEEDS, powers, line, color=ink, linewidth=1.7, marker=MARKERS[number % len(MARKERS)])
        entries.append((curve, f"effect {metric.shown_difference(one.effect)}"))
    axis.set(xscale="log", ylim=(0, 104))
    axis.set_xticks(SEEDS, [str(seeds) for seeds in SEEDS])
    axis.minorticks_off()
    return compose(figure, title, facts, POWERS, [*entries, (guide, "80 %")])
