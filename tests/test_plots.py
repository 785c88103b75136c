"""Figures: what they state and draw, how they read without colour, and that no name or number can break the page."""

from __future__ import annotations

import colorsys
import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from dropout_lab import config as configs
from dropout_lab import figures, plots
from dropout_lab.plots import PLOTS, comparison, curves, save, sweep
from dropout_lab.runs import COLUMNS, Run
from dropout_lab.storage import sha256

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
        results: dict[str, Any] = {}
        rows = []
        for seed in range(seeds):
            lost = seed < diverged
            for epoch in range(1, 3 if lost else epochs + 1):
                clean = 0.3 * np.exp(-epoch * (0.5 - 0.3 * rate)) + 0.02 + noise[seed, epoch]
                val = 0.1 + 0.1 * np.exp(-epoch) + 0.01 * epoch * (1 - rate) + noise[seed, epoch - 1]
                train = clean + 0.02 + 0.4 * rate
                rows.append((seed, epoch, train, 1 - train / 4, clean, 1 - clean / 4, val, 1 - val / 4, rate))
            end = {
                "val_loss": val,
                "val_accuracy": 1 - val / 4,
                "test_loss": val,
                "test_accuracy": 0.97 + noise[seed, 0],
            }
            finished = {"status": "finished", "epochs": epochs, "best_epoch": 1, "last": end, "best": end}
            results[str(seed)] = {"status": "diverged", "epoch": 3, "step": 1} if lost else finished
        return self.on_disk(name, config, results, pd.DataFrame(rows, columns=list(COLUMNS)))

    def on_disk(self, name: str, config: configs.Config, seeds: dict[str, Any], metrics: pd.DataFrame) -> Run:
        """Write metrics.csv and return the run that reads it."""
        path = self.directory / str(next(self.made))
        path.mkdir()
        data = metrics.to_csv(index=False, na_rep="nan").encode()
        (path / "metrics.csv").write_bytes(data)
        return Run(path, name, config, {"seeds": seeds, "files": {"metrics.csv": sha256(data)}})

    def edited(self, run: Run, metrics: pd.DataFrame) -> Run:
        """Return `run` with other rows."""
        return self.on_disk(run.name, run.config, run.summary["seeds"], metrics)


@pytest.fixture
def toy(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


def said(figure: Figure) -> str:
    """Return all the words outside the panels."""
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([*(text.get_text() for text in figure.texts), *legends])


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def drawn_texts(figure: Figure) -> Iterator[Text]:
    """Yield every text that a reader sees."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from [axes.title, axes._left_title, *axes.texts]  # type: ignore[attr-defined]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            yield from [axis.label, axis.offsetText]
            yield from [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


def assert_readable(figure: Figure) -> None:
    """Every text lies inside the figure; no two texts overlap; the legend stays clear of the panels."""
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in drawn_texts(figure) if text.get_text().strip()]
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{text!r} leaves the figure"
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.overlaps(b), f"{one!r} and {other!r} overlap"
    for axes, legend in itertools.product(figure.axes, figure.legends):
        assert not axes.get_tightbbox().overlaps(legend.get_window_extent())


@pytest.mark.parametrize("name", PLOTS)
def test_draws_from_two_toy_runs_and_says_what_it_shows(name: str, toy: Toys, tmp_path: Path) -> None:
    hidden = {"network": {"hidden": [64, 32], "activation": "tanh"}, "data": {"dataset": "digits"}}
    drawn = PLOTS[name].draw([toy("first", 0.2, **hidden), toy("second", 0.4, **hidden)])
    assert drawn
    assert PLOTS[name].about
    for number, figure in enumerate(drawn):
        for fact in ("digits", "64-32 tanh", "bernoulli", "rate", "n = 3 seeds", "mean over the seeds"):
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


def test_every_colour_comes_from_the_style_file(toy: Toys) -> None:
    with matplotlib.style.context(figures.STYLE):
        yellow, red, grey, *runs = figures.colours()
    assert len({yellow, red, grey, *runs}) == 9
    assert [to_hex(line.get_color()).upper() for line in curves(toy()).axes[0].lines[:3]] == [yellow, yellow, red]
    lines = [comparison([toy(), toy()]).axes[0].lines[i] for i in (0, 1)]
    assert [to_hex(line.get_color()).upper() for line in lines] == runs[:2]


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


@pytest.mark.parametrize("count", [1, 2, 6, 12])
def test_nothing_overlaps_or_leaves_the_page(count: int, toy: Toys) -> None:
    runs = [toy(f"rate-{i}", i / 20, seeds=2, epochs=3) for i in range(count)]
    assert_readable(comparison(runs))
    assert_readable(sweep([(i / 20, run) for i, run in enumerate(runs)], chosen=0.0))
    assert_readable(sweep([(run.name, run) for run in runs], chosen="rate-0"))


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
    assert figure.axes[0].get_xticklabels()[0].get_text().replace("\n", "") == figures.label(name).strip()


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
        rate: [100 * (1 - run.summary["seeds"][str(seed)]["last"]["test_accuracy"]) for seed in run.seeds]
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
    assert legend_of(figure) == ["baseline (no dropout)", "mean and interval", "chosen on validation"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.2", "0.4"]
    gaps = runs[0.4].metrics.query("epoch == 6").eval("val_loss - clean_train_loss")
    np.testing.assert_allclose(figure.axes[1].lines[-2].get_ydata()[-1], gaps.mean())


def test_sweep_marks_settings_where_no_seed_finished(toy: Toys) -> None:
    figure = sweep([(0.1, toy(rate=0.1)), (0.9, toy(rate=0.9, seeds=2, diverged=2)), (0.5, toy(seeds=1))], chosen=0.1)
    assert "no finished seed" in legend_of(figure)
    assert "n = 0 to 3 seeds, 2 diverged and left out" in said(figure)
    assert figure.axes[0].lines[-1].get_xdata() == [0.9]
    assert_readable(figure)


def test_sweep_makes_categories_of_what_is_not_distinct_numbers(toy: Toys) -> None:
    for settings in (["relu", "tanh"], [0.1, "x"], [0.1, 0.1]):
        axes = sweep([(value, toy()) for value in settings]).axes[0]
        assert [label.get_text() for label in axes.get_xticklabels()] == [str(value) for value in settings]
    by_name = PLOTS["sweep"].draw([toy("a", 0.3), toy("b", 0.3)])[0]
    assert [label.get_text() for label in by_name.axes[0].get_xticklabels()] == ["a", "b"]


def test_equal_figures_give_equal_bytes_without_software_or_date(toy: Toys, tmp_path: Path) -> None:
    run = toy()
    for name in ("one", "two"):
        save(curves(run), tmp_path / f"{name}.png")
    data = (tmp_path / "one.png").read_bytes()
    assert data == (tmp_path / "two.png").read_bytes()
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append(data[at + 4 : at + 8])
        at += length + 12
    assert set(chunks) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}


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
