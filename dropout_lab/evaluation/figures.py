"""The pictures of an evaluation, by name in FIGURES. A picture returns None if it does not apply to the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from dropout_lab.evaluation.evaluate import Evaluation
from dropout_lab.evaluation.uncertainty import ANGLES
from dropout_lab.figures.plots import BAND, conditions
from dropout_lab.figures.style import Entries, colours, compose, panels, styled

SHEET = 24  # images of the contact sheet
FEATURES = 60  # units of the first layer
COLUMNS = 12  # tiles beside each other


@styled
def averaging(evaluation: Evaluation) -> Figure:
    """Draw the error of k averaged passes over k, beside weight scaling's (Srivastava et al. 2014, figure 11)."""
    difference = f"difference from {evaluation.scaling} (pp)"
    figure, (error, ratio) = panels("test error (%)", difference, over="passes averaged, k")
    grey, *inks = colours()[2:]
    entries: Entries = []
    for network, ink in zip(evaluation.seeds, inks * len(evaluation.seeds), strict=False):
        mean, sd = 100 * network.averaging.T
        k = np.arange(1, len(mean) + 1)
        for axis, base in (error, 0.0), (ratio, 100 * network.weight_scaling.error):
            (line,) = axis.plot(k, mean - base, color=ink)
            axis.fill_between(k, mean - base - sd, mean - base + sd, color=ink, alpha=0.16, linewidth=0)
        level = error.axhline(100 * network.weight_scaling.error, color=ink, linestyle="--", linewidth=1)
        entries += [
            (line, f"seed {network.seed}: mean of k passes"),
            (level, f"seed {network.seed}: {evaluation.scaling}"),
        ]
    for axis in error, ratio:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    ratio.axhline(0, color=grey, linewidth=1, linestyle="--")
    notes = (
        f"Lines: mean error of random sets of k of {evaluation.passes} passes with dropout on, their softmax averaged. "
        "Bands: one sd over the sets. Dashed: one pass with dropout off."
    )
    return _page(figure, evaluation, f"averaging against {evaluation.scaling}", notes, entries[:12])


@styled
def calibration(evaluation: Evaluation) -> Figure:
    """Draw accuracy against confidence, in bins, of the first seed's network (Guo et al. 2017)."""
    figure, (reliability, share) = panels("accuracy (%)", "share of the images (%)", over="confidence (%)")
    (yellow, red, grey), first = colours()[:3], evaluation.seeds[0]
    reliability.plot([0, 100], [0, 100], color=grey, linestyle=":", linewidth=1)
    entries: Entries = []
    for text, score, colour, form in (
        (evaluation.scaling, first.weight_scaling, red, "s-"),
        (f"Monte-Carlo mean of {evaluation.passes} passes", first.monte_carlo, yellow, "o--"),
    ):
        count, accuracy, confidence = score.bins[score.bins[:, 0] > 0].T
        (line,) = reliability.plot(100 * confidence, 100 * accuracy, form, color=colour)
        share.plot(100 * confidence, 100 * count / count.sum(), form, color=colour)
        chance = f" ({100 * score.if_perfect:.2f} % if it were perfect)"
        entries.append((line, f"{text}: calibration error {100 * score.calibration_error:.2f} %{chance}"))
    _logarithmic(share)
    notes = (
        f"Seed {first.seed}. Points: test images in {len(first.weight_scaling.bins)} equal bins of confidence. "
        "Weight scaling is one pass with dropout off, the passes of the mean have it on."
    )
    return _page(figure, evaluation, "is it as sure as it may be?", notes, entries)


@styled
def uncertain(evaluation: Evaluation) -> Figure | None:
    """Draw the test images about which the passes disagree most."""
    if evaluation.shape is None:
        return None
    first = evaluation.seeds[0]
    chosen = np.argsort(-first.information, kind="stable")[:SHEET]
    predicted = first.probabilities.argmax(1)
    figure, (axis,) = panels("label → prediction, mutual information in nats", over="")
    captions = [f"{evaluation.labels[i]} → {predicted[i]}\n{first.information[i]:.2f}" for i in chosen]
    entries = _tiles(axis, evaluation.images[chosen].reshape(-1, *evaluation.shape), captions)
    notes = (
        f"Seed {first.seed}. The {len(chosen)} test images with the largest mutual information of prediction and mask. "
        f"Prediction: the mean of {evaluation.passes} passes with dropout on."
    )
    return _page(figure, evaluation, "the most uncertain images", notes, entries)


@styled
def rotated(evaluation: Evaluation) -> Figure | None:
    """Draw a digit turned by twelve angles, and what the passes say about it (Gal & Ghahramani 2016, figure 4)."""
    turned = evaluation.seeds[0].rotated
    if turned is None:
        return None
    figure, (pictures, curves) = panels("the image, turned", "mean probability and uncertainty", over="")
    best = turned["probabilities"].argmax(1)
    captions = [f"{angle}°\n→ {c}" for angle, c in zip(ANGLES, best, strict=True)]
    _tiles(pictures, turned["images"], captions, columns=6)
    red, grey, *inks = colours()[1:]
    curves.set_xlabel("angle (degrees)")
    (entropy,) = curves.plot(ANGLES, turned["entropy"], "--", color=red)
    (information,) = curves.plot(ANGLES, turned["information"], "-", color=grey)
    entries: Entries = [(entropy, "entropy (nats)"), (information, "mutual information (nats)")]
    for number, label in enumerate(dict.fromkeys(best.tolist())):
        (line,) = curves.plot(ANGLES, turned["probabilities"][:, label], "o-", color=inks[number % len(inks)])
        entries.append((line, f"probability of {label}"))
    notes = f"Seed {evaluation.seeds[0].seed}. {evaluation.passes} passes with dropout on for each angle."
    return _page(figure, evaluation, "does it know what it has not seen?", notes, entries)


@styled
def features(evaluation: Evaluation) -> Figure | None:
    """Draw the weights into the first units of the first layer (Srivastava et al. 2014, figure 7)."""
    if evaluation.shape is None:
        return None
    weights = evaluation.features.T[:FEATURES].reshape(-1, *evaluation.shape)
    figure, (axis,) = panels("weights into one unit each", over="")
    entries = _tiles(axis, weights / np.abs(weights).max((1, 2), keepdims=True), [], limits=(-1, 1))
    of = f"{len(weights)} of {evaluation.features.shape[1]} units, in order"
    notes = f"Seed {evaluation.seeds[0].seed}, {of}. Each picture has its own scale: black and white are as far from 0."
    return _page(figure, evaluation, "first-layer features", notes, entries)


@styled
def activations(evaluation: Evaluation) -> Figure | None:
    """Draw how the outputs of the hidden layers are distributed (Srivastava et al. 2014, figure 8)."""
    if not evaluation.activations:
        return None
    figure, (every, mean) = panels("outputs", "mean output of a unit", over="output, dropout off")
    inks = colours()[3:]
    entries: Entries = []
    for number, h in enumerate(evaluation.activations, start=1):
        ink, zeros = inks[(number - 1) % len(inks)], float((h == 0).mean())
        for axis, values in (every, h.ravel()), (mean, h.mean(0)):
            shares, edges = np.histogram(values, 60)
            line = axis.stairs(100 * shares / values.size, edges, color=ink, linewidth=1.6)
        entries.append((line, f"layer {number}: {100 * zeros:.1f} % zeros, mean {h.mean():.3g}"))
    _logarithmic(every)
    for axis in (every, mean):
        axis.set_ylabel("share (%)")
    notes = f"Seed {evaluation.seeds[0].seed}, all test images. With inverted dropout, times keep is the papers' scale."
    return _page(figure, evaluation, "what the hidden layers say", notes, entries)


@styled
def ablation(evaluation: Evaluation) -> Figure | None:
    """Draw the test error without the k most important units of the first hidden layer, and without k random ones."""
    tables = [network.ablation for network in evaluation.seeds]
    if not len(tables[0]):
        return None
    figure, (axis,) = panels("test error (%)", over="units taken out, k")
    _, red, grey = colours()[:3]
    entries: Entries = []
    for column, text, colour, form in (1, "the most important ones", red, "s-"), (2, "random ones", grey, "o--"):
        values = 100 * np.stack([table[:, column] for table in tables])
        k = tables[0][:, 0]
        (line,) = axis.plot(k, values.mean(0), form, color=colour)
        if len(values) > 1:
            axis.fill_between(k, values.min(0), values.max(0), color=colour, alpha=0.16, linewidth=0)
        entries.append((line, text))
    notes = (
        f"{BAND} Dropout off. Units of the first hidden layer; "
        "importance: mean output over training images times the norm of the outgoing weights."
    )
    return _page(figure, evaluation, "without its trusted viewers", notes, entries)


ALL = averaging, calibration, uncertain, rotated, features, activations, ablation
FIGURES: dict[str, Callable[[Evaluation], Figure | None]] = {draw.__name__: draw for draw in ALL}


def _tiles(
    axis: Axes,
    images: NDArray[np.float32],
    captions: Sequence[str],
    columns: int = COLUMNS,
    limits: tuple[float, float] | None = None,
) -> Entries:
    """Draw images (n, height, width) side by side, each with its caption below.

    columns: images beside each other. limits: the values that are drawn black and white.
    """
    count, height, width = images.shape
    line = height * (2.0 if captions else 1.1)  # the height of a line of images, in pixels
    low, high = limits or (float(images.min()), float(images.max()))
    for number, image in enumerate(images):
        x, y = number % columns * width * 1.1, number // columns * line
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, extent=(x, x + width, y + height, y))
        if captions:
            axis.text(x + width / 2, y + height * 1.1, captions[number], ha="center", va="top", fontsize="x-small")
    lines = -(-count // columns)
    axis.set(xlim=(0, min(count, columns) * width * 1.1), ylim=(lines * line, 0), xticks=[], yticks=[], aspect="equal")
    axis.spines[:].set_visible(False)
    return [(Line2D([], [], linestyle="none"), f"{count} images")]


def _logarithmic(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")


def _page(figure: Figure, evaluation: Evaluation, title: str, notes: str, entries: Entries) -> Figure:
    return compose(figure, f"{evaluation.run.name}: {title}", conditions(evaluation.run), notes, entries)
