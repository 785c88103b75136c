"""Writes the lesson's page: templates/lesson.html with its charts, its data, and the commands that made them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dropout_lab import pages
from dropout_lab.data.datasets import DATASETS
from dropout_lab.lesson.charts import Plot, Series, heights, plot
from dropout_lab.lesson.plan import RATE, Story
from dropout_lab.lesson.quiz import left_out
from dropout_lab.report.curves import AREA
from dropout_lab.storage import atomic_write, make_directory
from dropout_lab.text import Line

LOSSES = {"train_loss": "training, dropout on", "clean_train_loss": "training, dropout off", "val_loss": "validation"}
WAYS = {"important": "The most important units first", "at_random": "Random units"}
KINDS = {"Bernoulli": "error", "Gaussian": "gaussian_error"}
NAMES = {"none": "without dropout", "dropout": f"with dropout {RATE:g}"}


def write(told: dict[str, Any], story: Story, out: Path) -> None:
    """Write the page of what `gather` returned."""
    make_directory(out.parent)
    atomic_write(out, page(told, story).encode())


def page(told: dict[str, Any], story: Story) -> str:
    """Return the page: without JavaScript its text, its charts and its tables, with it everything to press."""
    return pages.page(
        "lesson.html",
        pages.LESSON_SCRIPT,
        pages.LESSON_STYLE,
        title="Dropout: a lesson to play with",
        story=story,
        config=story.of_rate(RATE).config,
        dataset=DATASETS[story.of_rate(RATE).config.data.dataset].title,
        told=told,
        names=NAMES,
        charts=charts(told),
        size=AREA,
        tables=tables(told),
        claims={claim["id"]: claim for claim in told["claims"]},
        left_out=left_out(),
        data=told,
    )


def charts(told: dict[str, Any]) -> dict[str, Plot]:
    """Return every chart that is drawn from the beginning, by its key."""
    return {own.key: own for own in (*_losses(told), *_viewers(told), _passes(told), *_rates(told))}


def _losses(told: dict[str, Any]) -> list[Plot]:
    """Return the curves of both drawn networks, with the same axes."""
    by_name = {name: _curves(told["epochs"][name]) for name in NAMES}
    y = heights([line for lines in by_name.values() for line in lines])
    return [plot(f"loss-{name}", f"Loss {NAMES[name]}", "epoch", lines, y=y) for name, lines in by_name.items()]


def _curves(losses: Mapping[str, Sequence[float | None]]) -> list[Series]:
    """Return the losses of a run, by their columns, against the epoch."""
    return [
        Series(label, number, range(1, len(losses[key]) + 1), [*map(_number, losses[key])])
        for number, (key, label) in enumerate(LOSSES.items(), start=1)
    ]


def _viewers(told: dict[str, Any]) -> list[Plot]:
    """Return the accuracy of both networks without k units: the most important ones, and random ones."""
    out = told["viewers"]["out"]
    return [
        plot(
            f"viewers-{way}",
            f"{title}: test accuracy (%)",
            "units taken out",
            [
                Series(NAMES[name], n, out, [100 * v for v in told["viewers"][name][way]])
                for n, name in enumerate(NAMES, 1)
            ],
            y=(0.0, 100.0),
        )
        for way, title in WAYS.items()
    ]


def _passes(told: dict[str, Any]) -> Plot:
    """Return the test error of the mean of k passes, and that of the scaled network."""
    errors = [(100 * mean, 100 * sd) for mean, sd in told["passes"]["errors"]]
    k = range(1, len(errors) + 1)
    band = [mean - sd for mean, sd in errors], [mean + sd for mean, sd in errors]
    scaled = [100 * told["passes"]["scaled"]] * len(errors)
    lines = [
        Series("mean over k masks", 1, k, [mean for mean, _ in errors], band),
        Series("scaled network", 2, k, scaled),
    ]
    return plot("passes", "Test error (%): masks averaged, and the scaled network", "masks averaged", lines)


def _rates(told: dict[str, Any]) -> list[Plot]:
    """Return step 5: the curves of rate 0, test error and gap by the rate, and the two penalties of the theory."""
    found, rates = told["rates"], told["rates"]["rates"]
    by_rate = [*map(_curves, found["curves"])]
    y = heights([line for lines in by_rate for line in lines])
    penalties = Series("r(1-r)", 1, rates, found["raw"]), Series("r/(1-r)", 2, rates, found["effective"])
    return [
        plot("rate-loss", "Loss at this rate, mean over the seeds", "epoch", by_rate[0], y=y),
        plot("rate-error", "Test error (%)", "rate", [_errors("Bernoulli", 1, rates, found["error"])]),
        plot(
            "rate-gap",
            "Gap: validation loss minus clean training loss",
            "rate",
            [Series("gap", 3, rates, found["gap"])],
        ),
        plot("rate-theory", "How strongly dropout regularizes, two readings", "rate", penalties),
        plot(
            "gate-error",
            "Test error (%) by the rate",
            "rate",
            [_errors(kind, n, rates, found[key]) for n, (kind, key) in enumerate(KINDS.items(), 1)],
        ),
    ]


def _errors(name: str, number: int, rates: list[float], errors: list[list[float]]) -> Series:
    mean, low, high = zip(*([100 * value for value in own] for own in errors), strict=True)
    return Series(name, number, rates, mean, (low, high))


def tables(told: dict[str, Any]) -> dict[str, list[Line]]:
    """Return the numbers of the charts as tables, by step."""
    return {"epochs": _epochs_table(told), "viewers": _viewers_table(told), "rates": _rates_table(told["rates"])}


def _epochs_table(told: dict[str, Any]) -> list[Line]:
    found = told["epochs"]
    heads = (f"{label}, {NAMES[name]}" for name in NAMES for label in (*LOSSES.values(), "misread"))
    lines: list[Line] = [("epoch", *heads)]
    for place, stop in enumerate(found["stops"]):
        losses = {name: [f"{_number(found[name][key][stop - 1]):.4f}" for key in LOSSES] for name in NAMES}
        misread = {name: str(found[name]["misread"][place]) for name in NAMES}
        lines.append((str(stop), *(cell for name in NAMES for cell in (*losses[name], misread[name]))))
    return lines


def _viewers_table(told: dict[str, Any]) -> list[Line]:
    found = told["viewers"]
    columns = [(way, name) for way in WAYS for name in NAMES]
    lines: list[Line] = [("units out", *(f"{WAYS[way].lower()}, {NAMES[name]}" for way, name in columns))]
    for place, out in enumerate(found["out"]):
        lines.append((str(out), *(f"{100 * found[name][way][place]:.1f}" for way, name in columns)))
    return lines


def _rates_table(found: dict[str, Any]) -> list[Line]:
    kinds = [f"{kind} {what}" for kind in KINDS for what in ("test error %", "95 % interval")]
    lines: list[Line] = [("rate", *kinds, "gap", "r(1-r)", "r/(1-r)")]
    for place, rate in enumerate(found["rates"]):
        errors = [[100 * value for value in found[key][place]] for key in KINDS.values()]
        cells = [cell for mean, low, high in errors for cell in (f"{mean:.2f}", f"{low:.2f} to {high:.2f}")]
        theory = (f"{found[key][place]:.3f}" for key in ("raw", "effective"))
        lines.append((f"{rate:g}", *cells, f"{_number(found['gap'][place]):+.3f}", *theory))
    return lines


def _number(value: float | None) -> float:
    return math.nan if value is None else value
