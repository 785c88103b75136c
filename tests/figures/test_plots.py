"""Figures: what they state and draw, how they read without colour, and that no name or number can break the page."""

from __future__ import annotations

import colorsys
import itertools
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle
from readable import assert_readable, legend_of, said

from dropout_lab.config import resolve as configs
from dropout_lab.figures import plots
from dropout_lab.figures import style as figures
from dropout_lab.figures.plots import PLOTS, comparison, curves, save, sweep
from dropout_lab.runs.read import Run
from dropout_lab.runs.row import COLUMNS
from dropout_lab.runs.summary import DivergedSeed, FinishedSeed, Results, SeedFacts, Summary
from dropout_lab.storage import sha256
from dropout_lab.sweeps.plan import Grid

HOSTILE = (
    "_x",
    "$x$",
    "$\\frac",
    "a\x1b[31mb\n",
    "W" * 64,
    "i" * 64,
    "{}",
    " ",
    "\u4e2d\u6587",
    "\ud800",
    "a_b^c",
    "%s",
)


class Toys:
    """Makes finished runs with plausible curves; every number follows from the arguments."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made = itertools.count()

    def __call__(
        self, name: str = "toy", rate: float = 0.5, *, seeds: int = 3, epochs: int = 6, diverged: int = 0, **other: Any
    ) -> Run:
        """Return a run whose first `diverged` seeds diverged in epoch 3; `other` are config sections."""
        number = next(self.made)
        mapping = {"dropout": {"rate": rate}, "seeds": list(range(seeds)), "training": {"epochs": epochs}, **other}
        config = configs.resolve(mapping, where="toy", name=f"toy-{number}", check_files=False)
        noise = np.random.default_rng(number).normal(0, 0.004, (seeds, epochs + 1))
        results: dict[int, SeedFacts] = {}
        rows = []
        for seed in range(seeds):
            lost = seed < diverged
            for epoch in range(1, 3 if lost else epochs + 1):
                clean = 0.3 * np.exp(-epoch * (0.5 - 0.3 * rate)) + 0.02 + noise[seed, epoch]
                val = 0.1 + 0.1 * np.exp(-epoch) + 0.01 * epoch * (1 - rate) + noise[seed, epoch - 1]
                train = clean + 0.02 + 0.4 * rate
                rows.append((seed, epoch, train, 1 - train / 4, clean, 1 - clean / 4, val, 1 - val / 4, rate))
            accuracies = {"val_accuracy": 1 - val / 4, "test_accuracy": 0.97 + noise[seed, 0]}
            end = Results(val_loss=val, test_loss=val, **accuracies)
            finished = FinishedSeed(epochs=epochs, best_epoch=1, last=end, best=end)
            results[seed] = DivergedSeed(epoch=3, step=1) if lost else finished
        return self.on_disk(name, config, results, pd.DataFrame(rows, columns=list(COLUMNS)))

    def on_disk(self, name: str, config: configs.Config, seeds: dict[int, SeedFacts], metrics: pd.DataFrame) -> Run:
        """Write metrics.csv and return the run that reads it."""
        path = self.directory / str(next(self.made))
        path.mkdir()
        data = metrics.to_csv(index=False, na_rep="nan").encode()
        (path / "metrics.csv").write_bytes(data)
        files = {"metrics.csv": sha256(data)}
        facts = Summary(name=name, identity="", data_sha256="", seeds=seeds, environment={}, files=files)
        return Run(path, name, config, facts)

    def edited(self, run: Run, metrics: pd.DataFrame) -> Run:
        """Return `run` with other rows."""
        return self.on_disk(run.name, run.config, run.summary.seeds, metrics)


@pytest.fixture
def toy(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


@pytest.mark.parametrize("name", PLOTS)
def test_draws_from_two_toy_runs_and_says_what_it_shows(name: str, toy: Toys, tmp_path: Path) -> None:
    hidden = {"network": {"hidden": [64, 32], "activation": "tanh"}, "data": {"dataset": "digits"}}
    both = {"network": {"hidden": [64, 32], "activation": "tanh"}, "data": {"dataset": "digits", "train_size": 500}}
    pair = [toy("first", 0.2, **hidden), toy("second", 0.4, **hidden)]
    more = [toy("third", 0.2, **both), toy("fourth", 0.4, **both)] if name == "heatmap" else []  # of two settings
    drawn = PLOTS[name].draw([*pair, *more])
    assert drawn
    assert PLOTS[name].about
    for number, figure in enumerate(drawn):
        for fact in ("digits", "64-32 tanh", "bernoulli", "rate", "n = 3 seeds", "mean over the seeds", "dropout off"):
            assert fact in said(figure)
        assert_readable(figure)
        assert figure.canvas.manager is None, "made without pyplot"
        save(figure, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")


def test_curves_have_the_articles_colours_and_read_without_them(toy: Toys) -> None:
    for axes in curves(toy()).axes:
        train, clean, val = axes.lines[:3]
        hue = {line: colorsys.rgb_to_hsv(*to_rgb(line.get_color()))[0] * 360 for line in (train, clean, val)}
        assert 38 < hue[train] < 60, "yellow"
        assert hue[val] < 15 or hue[val] > 345, "red"
        assert clean.get_color() == train.get_color()
        assert (train.get_linestyle(), clean.get_linestyle(), val.get_linestyle()) == ("-", "--", "-")
        assert len({line.get_marker() for line in (train, clean, val)}) == 3
        channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(train.get_color())]
        assert 1.05 / (np.dot(channels, (0.2126, 0.7152, 0.0722)) + 0.05) > 2, "visible on white (WCAG contrast)"


@pytest.mark.parametrize("style", figures.STYLES)
def test_every_colour_comes_from_the_style_file(style: str, toy: Toys) -> None:
    with matplotlib.style.context(figures.STYLES[style]):
        yellow, red, grey, *runs = figures.colours()
        ground = to_hex(matplotlib.rcParams["figure.facecolor"])
    assert len({yellow, red, grey, *runs}) == 9
    with figures.look(style, "page"):
        figure, compared = curves(toy()), comparison([toy(), toy()])
    assert [to_hex(line.get_color()).upper() for line in figure.axes[0].lines[:3]] == [yellow, yellow, red]
    assert to_hex(figure.get_facecolor()) == to_hex(figure.axes[0].get_facecolor()) == ground
    lines = [compared.axes[0].lines[i] for i in (0, 1)]
    assert [to_hex(line.get_color()).upper() for line in lines] == runs[:2]


def luminance(colour: Any) -> float:
    """The relative luminance of WCAG."""
    return float(np.dot(linear(colour), (0.2126, 0.7152, 0.0722)))


def linear(colour: Any) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]


SEEN = {  # by linear RGB: Machado, Oliveira & Fernandes 2009, severity 1
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab_of(light: Any) -> Any:
    """CIELAB, in which equal distances look about equally different."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ light
    x, y, z = np.cbrt(np.maximum(xyz / (0.9505, 1, 1.089), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("style", figures.STYLES)
def test_colours_stand_out_and_are_told_apart_by_colour_blind_readers(style: str) -> None:
    with matplotlib.style.context(figures.STYLES[style]):
        yellow, red, grey, *runs = figures.colours()
        look = dict(matplotlib.rcParams)
    ground = luminance(look["figure.facecolor"])

    def contrast(colour: Any) -> float:
        low, high = sorted((ground, luminance(colour)))
        return (high + 0.05) / (low + 0.05)

    assert contrast(yellow) > 2 and min(map(contrast, [red, grey, *runs])) >= 3
    assert min(contrast(look[f"{key}"]) for key in ("text.color", "axes.labelcolor", "xtick.labelcolor")) > 7
    for matrix in (np.eye(3), *map(np.array, SEEN.values())):
        seen = [lab_of(np.clip(matrix @ linear(colour), 0, 1)) for colour in runs]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 12


def test_curves_draw_mean_band_and_best_epoch(toy: Toys) -> None:
    run = toy(seeds=4)
    figure = curves(run)
    assert figure.texts[0].get_text() == "toy"
    assert "rate 0.5 · n = 4 seeds" in said(figure)
    assert "smallest to largest value" in said(figure)
    by_epoch = run.metrics.groupby("epoch")
    for axes, measure, scale in zip(figure.axes, ("loss", "accuracy"), (1, 100), strict=True):
        for line, band, split in zip(axes.lines, axes.collections, ("train", "clean_train", "val"), strict=False):
            values = scale * by_epoch[f"{split}_{measure}"].agg(["mean", "min", "max"])
            np.testing.assert_allclose(line.get_xydata(), np.c_[values.index, values["mean"]])
            heights = band.get_paths()[0].vertices[:, 1]
            assert (heights.min(), heights.max()) == (values["min"].min(), values["max"].max())
    mean = by_epoch["val_loss"].mean()
    ring = figure.axes[0].lines[-1]
    np.testing.assert_allclose(ring.get_xydata(), [[mean.idxmin(), mean.min()]])
    assert legend_of(figure)[-1] == f"epoch {mean.idxmin()}: lowest mean validation loss"


def test_training_without_dropout_is_not_called_dropout(toy: Toys) -> None:
    assert legend_of(curves(toy(rate=0.0)))[0] == "train (dropout rate 0)"
    assert legend_of(curves(toy(rate=0.1)))[0] == "train (dropout on)"
    assert "bernoulli" not in said(curves(toy(rate=0.0)))


def test_one_seed_has_no_band_and_one_epoch_is_visible(toy: Toys) -> None:
    figure = curves(toy(seeds=1, epochs=1))
    assert "n = 1 seed" in said(figure)
    for axes in figure.axes:
        assert not axes.collections
        assert all(line.get_marker() not in ("", "None") for line in axes.lines[:3])
        assert [tick for tick in axes.get_xticks() if 0.9 < tick < 1.1] == [1.0]
    assert_readable(figure)


def test_long_trainings_keep_about_ten_markers(toy: Toys) -> None:
    assert curves(toy(seeds=1, epochs=300)).axes[0].lines[0].get_markevery() == 30


def test_comparison_shows_the_clean_gap(toy: Toys) -> None:
    run = toy()
    rows = run.metrics
    gap = (rows["val_loss"] - rows["clean_train_loss"]).groupby(rows["epoch"]).mean()
    line = comparison([run, toy()]).axes[2].lines[1]  # the first is zero
    np.testing.assert_allclose(line.get_ydata(), gap)


def test_comparison_says_once_what_is_shared_and_per_run_what_differs(toy: Toys) -> None:
    figure = comparison(
        [toy("plain", 0.0), toy("half", 0.5), toy("wide", 0.5, seeds=2, network={"hidden": [256, 256]})]
    )
    assert figure.texts[1].get_text() == "data mnist · bernoulli dropout after the activation"
    assert legend_of(figure) == [
        "plain (network 128-128 relu, rate 0, n = 3 seeds)",
        "half (network 128-128 relu, rate 0.5, n = 3 seeds)",
        "wide (network 256-256 relu, rate 0.5, n = 2 seeds)",
    ]
    per_layer = toy("layers", dropout={"rate": [0.2, 0.5], "input_rate": 0.1})
    assert "rate 0.2/0.5, input rate 0.1" in said(curves(per_layer))


def test_twelve_runs_are_told_apart_with_and_without_colour(toy: Toys) -> None:
    lines = comparison([toy(str(i), seeds=1, epochs=2) for i in range(12)]).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 12


LOOKS = list(itertools.product(figures.STYLES, figures.SIZES))


@pytest.mark.parametrize(
    ("count", "look"),
    [*((count, LOOKS[count % 4]) for count in range(1, 12)), *((12, look) for look in LOOKS)],  # all counts, all looks
    ids=str,
)
def test_nothing_overlaps_or_leaves_the_page(count: int, look: tuple[str, str], toy: Toys) -> None:
    runs = [toy(f"rate-{i}", i / 20, seeds=2, epochs=3) for i in range(count)]
    with figures.look(*look):
        drawn = [
            comparison(runs),
            curves(runs[-1]),
            sweep([(i / 20, run) for i, run in enumerate(runs)], chosen=0.0),
            sweep([(run.name, run) for run in runs], chosen="rate-0"),
        ]
        for figure in drawn:
            assert_readable(figure)
            if look[1] == "slide":
                np.testing.assert_allclose(figure.get_size_inches(), (40 / 3, 7.5))


def test_a_slide_has_larger_text_and_lines_and_its_text_shrinks_before_it_overflows(toy: Toys) -> None:
    run = toy()
    page = curves(run)
    with figures.look("light", "slide"):
        slide = curves(run)
        full = comparison([toy("W" * 60 + str(i), seeds=1, epochs=2) for i in range(12)])
        assert_readable(full)
    assert slide.texts[0].get_fontsize() == pytest.approx(1.35 * page.texts[0].get_fontsize())
    assert slide.axes[0].lines[0].get_linewidth() == pytest.approx(1.35 * page.axes[0].lines[0].get_linewidth())
    assert full.get_figheight() == 7.5 and full.texts[0].get_fontsize() < slide.texts[0].get_fontsize()


def over_two(toy: Toys, columns: int, rows: int) -> list[Run]:
    sizes = [{"data": {"train_size": 500 * (row + 1)}} for row in range(rows)]
    return [toy("x", i / 20, seeds=2, epochs=2, **size) for size in sizes for i in range(columns)]


@pytest.mark.parametrize(("columns", "rows", "look"), [(2, 2, 0), (12, 3, 1), (6, 12, 2), (12, 12, 3), (3, 12, 3)])
def test_a_heat_map_is_readable(columns: int, rows: int, look: int, toy: Toys) -> None:
    with figures.look(*LOOKS[look]):
        (figure,) = PLOTS["heatmap"].draw(over_two(toy, columns, rows))
        assert_readable(figure)
    assert len(figure.axes[0].texts) == columns * rows


def test_a_heat_map_shows_mean_seeds_and_choice(toy: Toys) -> None:
    runs = {"a": toy(rate=0.1), "b": toy(rate=0.2, seeds=4, diverged=3), "c": toy(rate=0.2, seeds=2, diverged=2)}
    cells = Grid(("x", "y"), ("r", "s"), ("t", "u"), {("r", "t"): "a", ("r", "u"): "b", ("s", "t"): "c"})
    figure = plots.heatmap(cells, runs, "b", name="mine")
    error = {
        name: np.mean([100 * (1 - facts.last.test_accuracy) for facts in run.summary.finished.values()])
        for name, run in runs.items()
        if run.summary.finished
    }
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written == [f"{error['a']:.2f} (3)", f"{error['b']:.2f} (1)", "-", "-"]
    assert "n = 0 to 3 seeds, 5 diverged and left out" in said(figure) and "no band" in said(figure)
    low, high = sorted(error.values())
    assert legend_of(figure) == [f"lowest {low:.2f}", f"highest {high:.2f}", "framed: chosen on validation"]
    (frame,) = (patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle) and not patch.get_fill())
    assert frame.get_x() == pytest.approx(0.54) and frame.get_y() == pytest.approx(-0.44)
    assert_readable(figure)
    nothing = plots.heatmap(cells, {"c": runs["c"]})
    assert legend_of(nothing) == ["-: no finished seed"]
    assert_readable(nothing)


@pytest.mark.parametrize("count", [1, 3, 12])
def test_narrowing_draws_every_interval_with_an_end(count: int) -> None:
    path: list[plots.Looked] = [(5, None, None), (13, -0.01, 0.03), (21, 0.001, 0.02)]
    figure = plots.narrowing({f"run {i} {'W' * 20}": path for i in range(count)}, "test_accuracy", 0.001)
    assert_readable(figure)
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "difference in test accuracy (pp)"
    drawn = [line for line in axis.lines if line.get_marker() == "o"]
    assert np.allclose(drawn[0].get_xydata(), [[13, 1.0], [21, 1.05]])
    assert sorted(line.get_ydata()[0] for line in axis.lines[:3]) == pytest.approx([-0.1, 0, 0.1])
    assert len(legend_of(figure)) == count


def test_narrowing_says_so_where_no_interval_has_an_end() -> None:
    figure = plots.narrowing({"run": [(5, None, None)]}, "test_loss", 0.0)
    assert [text.get_text() for text in figure.axes[0].texts] == ["nothing to draw"]


def test_a_heat_map_needs_exactly_two_settings(toy: Toys) -> None:
    assert not PLOTS["heatmap"].draw([toy(rate=0.1), toy(rate=0.2)])
    assert not PLOTS["heatmap"].draw([toy(rate=0.1), toy(rate=0.1)])
    three = toy(rate=0.2, data={"train_size": 500}, network={"hidden": [3]})
    assert not PLOTS["heatmap"].draw([toy(rate=0.1), three])


def test_hostile_names_keep_their_legend_entries(toy: Toys) -> None:
    figure = comparison([toy(name, seeds=1, epochs=2) for name in HOSTILE])
    shown = [text.replace("\n", "") for text in legend_of(figure)]
    assert shown[:4] == ["_x", "$x$", "$\\frac", "a\\x1b[31mb\\n"]
    assert shown[4:6] == ["W" * 64, "i" * 64]
    assert shown[8:10] == ["\\u4e2d\\u6587", "\\ud800"], "no glyph in the font"
    assert_readable(figure)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_draw_everywhere(name: str, toy: Toys) -> None:
    run = toy(name, seeds=1, epochs=1)
    assert_readable(curves(run))
    figure = sweep([(name, run), ("other", run)], chosen=name, setting=name, name=name)
    assert_readable(figure)
    assert figures.label(name).strip() in [text.replace("\n", "") for text in listed(figure)]


def test_long_facts_wrap(toy: Toys) -> None:
    run = toy("W" * 64, network={"hidden": [128] * 20}, data={"dataset": f"some/where/$_{'q' * 90}.npz"})
    assert_readable(curves(run))
    assert_readable(comparison([run, toy("W" * 63)]))


def test_diverged_seeds_are_counted_and_left_out(toy: Toys) -> None:
    run = toy(seeds=3, diverged=1)
    figure = curves(run)
    assert "n = 2 seeds, 1 diverged and left out" in said(figure)
    mean = run.metrics.query("seed > 0").groupby("epoch")["val_loss"].mean()
    np.testing.assert_allclose(figure.axes[0].lines[2].get_ydata(), mean)


def test_a_run_without_a_finished_seed_draws_what_there_is(toy: Toys) -> None:
    run = toy(seeds=2, diverged=2)
    assert "no seed finished, 2 diverged" in said(curves(run))
    assert len(curves(run).axes[0].lines[0].get_xdata()) == 2
    nothing = toy.edited(run, run.metrics.iloc[:0])
    for figure in (curves(nothing), comparison([nothing]), comparison([nothing, toy()]), sweep([(0.5, nothing)])):
        assert_readable(figure)
    assert curves(nothing).axes[0].texts[0].get_text() == "nothing to draw"


def test_nan_and_infinity_leave_gaps(toy: Toys) -> None:
    run = toy()
    rows = run.metrics.copy()
    rows.loc[rows["epoch"] == 2, "val_loss"] = np.nan
    rows.loc[0, ["train_loss", "clean_train_loss"]] = np.inf
    broken = toy.edited(run, rows)
    losses = curves(broken).axes[0].lines[2].get_ydata()
    assert list(np.isnan(losses)) == [False, True, False, False, False, False]
    for figure in (curves(broken), comparison([broken]), sweep([(0.5, broken)])):
        assert_readable(figure)


def test_sweep_draws_t_intervals_the_baseline_and_the_choice(toy: Toys) -> None:
    runs = {rate: toy(str(rate), rate, seeds=4) for rate in (0.4, 0.0, 0.2)}
    figure = sweep(list(runs.items()), chosen=0.2)
    errors = {
        rate: [100 * (1 - run.summary.finished[seed].last.test_accuracy) for seed in run.seeds]
        for rate, run in runs.items()
    }
    axes = figure.axes[0]
    segments = axes.collections[0].get_segments()
    for segment, rate in zip(segments, sorted(runs), strict=True):
        low, high = scipy.stats.t.interval(0.95, 3, np.mean(errors[rate]), scipy.stats.sem(errors[rate]))
        np.testing.assert_allclose(segment, [[rate, low], [rate, high]])
    ring = axes.lines[-1]
    np.testing.assert_allclose(ring.get_xydata(), [[0.2, np.mean(errors[0.2])]])
    baseline = axes.lines[0].get_ydata()
    np.testing.assert_allclose(baseline, np.mean(errors[0.0]))
    assert legend_of(figure) == [
        "baseline (no dropout)",
        "interval of the baseline",
        "mean and interval",
        "chosen on validation",
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.2", "0.4"]
    gaps = runs[0.4].metrics.query("epoch == 6").eval("val_loss - clean_train_loss")
    np.testing.assert_allclose(figure.axes[1].lines[-2].get_ydata()[-1], gaps.mean())


def test_sweep_marks_settings_where_no_seed_finished(toy: Toys) -> None:
    figure = sweep([(0.1, toy(rate=0.1)), (0.9, toy(rate=0.9, seeds=2, diverged=2)), (0.5, toy(seeds=1))], chosen=0.1)
    assert "no finished seed" in legend_of(figure)
    assert "n = 0 to 3 seeds, 2 diverged and left out" in said(figure)
    assert figure.axes[0].lines[-1].get_xdata() == [0.9]
    assert_readable(figure)


def listed(figure: Any) -> list[str]:
    """Return the names of the lines of a sweep, from the top."""
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_sweep_draws_simultaneous_paired_differences_beside_the_errors(toy: Toys) -> None:
    runs = [toy(f"rate-{rate}", rate, seeds=4) for rate in (0.0, 0.2, 0.4)]
    (figure,) = PLOTS["sweep"].draw(runs)
    title, words = figure.texts[0].get_text(), said(figure)
    assert title == "Sweep: dropout rate. Differences with 95 % t intervals, simultaneous over 2"
    assert "above 0 is better" in words and "margin ±0.10 pp" in legend_of(figure)
    assert [axes._left_title.get_text() for axes in figure.axes] == [
        "difference in\ntest accuracy (pp)",
        "test error (%)",
        "generalization gap",
    ]
    before, *others = ([facts.last.test_accuracy for facts in run.summary.finished.values()] for run in runs)
    axes = figure.axes[0]
    bars = [segment for segment in axes.collections[0].get_segments() if len(segment)][-2:]
    for after, (low, high) in zip(others, bars, strict=True):
        gains = 100 * (np.array(after) - before)
        expected = scipy.stats.t.interval(1 - 0.05 / 2, 3, gains.mean(), scipy.stats.sem(gains))
        np.testing.assert_allclose((low[1], high[1]), expected)
    assert axes.lines[0].get_ydata() == [0, 0]
    margin = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (margin.y0, margin.y1) == pytest.approx((-0.1, 0.1))
    (bare,) = PLOTS["sweep"].draw(runs[1:])
    assert "difference" not in said(bare) and len(bare.axes) == 2, "there is nothing to compare with"


def test_a_sweep_over_names_is_a_sorted_list_with_seeds_and_choice(toy: Toys) -> None:
    runs = {
        name: toy(name, rate, seeds=3, diverged=lost)
        for name, rate, lost in (
            ("none", 0.0, 0),
            ("low", 0.1, 0),
            ("half", 0.5, 1),
            ("lost", 0.9, 3),
            ("high", 0.8, 0),
        )
    }
    spans = [plots.BASELINE, (-0.4, -0.5, -0.3), (0.3, -0.1, 0.7), plots.UNKNOWN, (-0.1, np.nan, np.nan)]
    against = plots.Against(spans, 0.2, "some intervals")
    figure = sweep([*runs.items()], "half", setting="what", against=against)
    assert listed(figure) == ["half", "none", "high", "low", "lost"]
    assert [text.get_text() for text in figure.axes[-1].texts] == [
        "2 of 3 seeds",
        "3 seeds",
        "3 seeds",
        "3 seeds",
        "0 of 3 seeds",
    ]
    weights = [label.get_fontweight() for label in figure.axes[0].get_yticklabels()]
    assert weights == ["bold", *["normal"] * 4]
    ring = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [line.get_xydata().tolist() for line in ring] == [[[0.3, 0.0]]]
    assert "no finished seed" in legend_of(figure) and "margin ±0.20 pp" in legend_of(figure)
    assert figure.axes[0].get_ylim() == (4.5, -0.5), "the best on top"
    assert listed(sweep([*runs.items()]))[-1] == "lost", "without differences the smallest error is on top"


@pytest.mark.parametrize("look", LOOKS, ids=str)
@pytest.mark.parametrize("count", [2, 6, 18])
def test_a_sweep_over_names_is_readable(count: int, look: tuple[str, str], toy: Toys) -> None:
    points = [
        (f"gaussian-additive, before, hidden [{i}, 64], rate 0.{i}", toy("x", i / 20, seeds=2, epochs=2))
        for i in range(count)
    ]
    spans = [plots.BASELINE, *((i / 9 - 1, i / 9 - 1.5, i / 9 + 1) for i in range(count - 1))]
    with figures.look(*look):
        figure = sweep(points, points[-1][0], setting="much", against=plots.Against(spans, 0.1, "95 % t intervals"))
        assert_readable(figure)
    assert len(listed(figure)) == count


def test_a_long_list_says_what_it_leaves_out_and_keeps_the_choice(toy: Toys) -> None:
    run = toy(seeds=2, epochs=1)
    points = [(f"setting {i}", run) for i in range(plots.MOST + 7)]
    spans = [(-float(i), np.nan, np.nan) for i in range(len(points))]
    figure = sweep(points, points[-1][0], against=plots.Against(spans, 0.1, "none"))
    assert len(listed(figure)) == plots.MOST and listed(figure)[-1] == points[-1][0]
    assert "The other 7 settings are in the table." in " ".join(said(figure).split())


def test_sweep_makes_categories_of_what_is_not_distinct_numbers(toy: Toys) -> None:
    for settings in (["relu", "tanh"], [0.1, "x"], [0.1, 0.1]):
        assert sorted(listed(sweep([(value, toy()) for value in settings]))) == sorted(map(str, settings))
    by_name = PLOTS["sweep"].draw([toy("a", 0.3), toy("b", 0.3)])[0]
    assert sorted(listed(by_name)) == ["a", "b"]


@pytest.mark.parametrize("form", figures.FORMATS)
def test_equal_figures_give_equal_bytes_without_software_or_date(form: str, toy: Toys, tmp_path: Path) -> None:
    run = toy()
    for name in ("one", "two"):
        save(curves(run), tmp_path / f"{name}.{form}")
    data = (tmp_path / f"one.{form}").read_bytes()
    assert data == (tmp_path / f"two.{form}").read_bytes()
    if form == "png":
        assert set(chunks(data)) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    elif form == "svg":
        root = ElementTree.fromstring(data)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        words = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {"toy", "loss", "epoch", "validation (dropout off)"} <= words, "text is text"
    else:
        assert data.startswith(b"%PDF-1.") and data.rstrip().endswith(b"%%EOF")
        assert b"/CIDFontType2" in data and b"/Type3" not in data, "text is text"
    assert not re.search(rb"Matplotlib v|/CreationDate|<dc:date>", data)


def chunks(data: bytes) -> Iterator[bytes]:
    """Yield the types of the chunks of a PNG."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at = 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8]
        at += length + 12


def test_a_look_ends_with_its_block(toy: Toys) -> None:
    run = toy()
    before = figures.encoded(curves(run))
    with figures.look("dark", "slide"):
        assert figures.encoded(curves(run)) != before
    assert figures.encoded(curves(run)) == before


def test_figures_are_wide_enough_for_1000_pixels(toy: Toys, tmp_path: Path) -> None:
    save(curves(toy()), tmp_path / "x.png")
    width, height = struct.unpack(">II", (tmp_path / "x.png").read_bytes()[16:24])
    assert width == 1500
    assert 0.4 < height / width < 0.6


def test_the_users_matplotlib_settings_neither_leak_in_nor_out(toy: Toys, tmp_path: Path) -> None:
    run = toy()
    save(curves(run), tmp_path / "plain.png")
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "black", "savefig.dpi": 30, "font.size": 30}):
        before = dict(matplotlib.rcParams)
        save(plots.curves(run), tmp_path / "theirs.png")
        assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()


def test_a_legend_names_the_first_runs_and_says_how_many_it_leaves_out(toy: Toys) -> None:
    most = figures.NAMED
    runs = [toy(f"run-{number}", seeds=1, epochs=2) for number in range(most + 3)]
    (legend,) = comparison(runs).legends
    names = [text.get_text() for text in legend.get_texts()]
    assert [name.split(" ")[0] for name in names[:-1]] == [f"run-{number}" for number in range(most)]
    assert names[-1] == "and 3 more"
    (whole,) = comparison(runs[: most + 1]).legends
    assert whole.get_texts()[-1].get_text().startswith(f"run-{most}"), "one more has the place of the words"
