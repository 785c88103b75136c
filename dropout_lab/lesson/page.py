"""Writes the lesson's page: templates/lesson.html with its charts, its data, and the commands that made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dropout_lab import pages
from dropout_lab.data.datasets import DATASETS
from dropout_lab.lesson.charts import SIZE, Plot, Series, heights, plot
from dropout_lab.lesson.plan import RATE, Story
from dropout_lab.lesson.quiz import left_out
from dropout_lab.storage import atomic_write, make_directory
from dropout_lab.text import Line

LOSSES = {"train_loss": "training, dropout on", "clean_train_loss": "training, dropout off", "val_loss": "validation"}
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
        size=SIZE,
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
    by_name = {
        name: [
            Series(label, number, range(1, len(told["epochs"][name][key]) + 1), _numbers(told["epochs"][name][key]))
            for number, (key, label) in enumerate(LOSSES.items(), start=1)
        ]
        for name in NAMES
    }
    y = heights([line for lines in by_name.values() for line in lines])
    return [plot(f"loss-{name}", f"Loss {NAMES[name]}", "epoch", lines, y=y) for name, lines in by_name.items()]


def _viewers(told: dict[str, Any]) -> list[Plot]:
    """Return the accuracy of both networks without k units: the most important ones, and random ones."""
    ways = {"important": "The most important units first", "at_random": "Random units"}
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
        for way, title in ways.items()
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
    by_rate = [
        [
            Series(label, n, range(1, len(own[key]) + 1), _numbers(own[key]))
            for n, (key, label) in enumerate(LOSSES.items(), 1)
        ]
        for own in found["curves"]
    ]
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
            [_errors("Bernoulli", 1, rates, found["error"]), _errors("Gaussian", 2, rates, found["gaussian_error"])],
        ),
    ]


def _errors(name: str, number: int, rates: list[float], errors: list[list[float]]) -> Series:
    mean, low, high = zip(*([100 * value for value in own] for own in errors), strict=True)
    return Series(name, number, rates, mean, (low, high))


def _numbers(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def tables(told: dict[str, Any]) -> dict[str, list[Line]]:
    """Return the numbers of the charts as tables, by step."""
    stops, by_epoch = told["epochs"]["stops"], told["epochs"]
    epochs: list[Line] = [
        ("epoch", *(f"{label}, {NAMES[name]}" for name in NAMES for label in (*LOSSES.values(), "misread")))
    ]
    for place, stop in enumerate(stops):
        cells = [
            cell
            for name in NAMES
            for cell in (
                *(f"{by_epoch[name][key][stop - 1]:.4f}" for key in LOSSES),
                str(by_epoch[name]["misread"][place]),
            )
        ]
        epochs.append((str(stop), *cells))
    ways = ("important", "at_random")
    viewers: list[Line] = [
        ("units out", *(f"{way.replace('_', ' ')}, {NAMES[name]}" for way in ways for name in NAMES))
    ]
    for place, out in enumerate(told["viewers"]["out"]):
        viewers.append(
            (str(out), *(f"{100 * told['viewers'][name][way][place]:.1f}" for way in ways for name in NAMES))
        )
    found = told["rates"]
    rates: list[Line] = [("rate", "test error %", "95 % interval", "Gaussian test error %", "gap", "r(1-r)", "r/(1-r)")]
    for place, rate in enumerate(found["rates"]):
        mean, low, high = (100 * value for value in found["error"][place])
        numbers = f"{mean:.2f}", f"{low:.2f} to {high:.2f}", f"{100 * found['gaussian_error'][place][0]:.2f}"
        rates.append(
            (
                f"{rate:g}",
                *numbers,
                f"{found['gap'][place]:+.3f}",
                f"{found['raw'][place]:.3f}",
                f"{found['effective'][place]:.3f}",
            )
        )
    return {"epochs": epochs, "viewers": viewers, "rates": rates}
