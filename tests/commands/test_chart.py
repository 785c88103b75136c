"""Charts in a terminal: each dot is where a formula puts it, and charts fit where they are drawn."""

from __future__ import annotations

import io
import math
import re

import pytest
from rich.console import Console

from dropout_lab.commands.chart import CURVES, DEPTH, DOTS, EMPTY, MARGIN, chart, span


def drawn(curves: dict[str, list[float]], epochs: int, within: tuple[float, float], width: int = 28) -> list[str]:
    screen = Console(width=width, file=io.StringIO(), color_system=None)
    screen.print(chart("run", curves, epochs, within, width, 7))
    return [line.rstrip("\n") for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def dots(lines: list[str]) -> set[tuple[int, int]]:
    """Read the dots of braille characters back: columns from the left, rows from the top."""
    return {
        (2 * column + right, 4 * row + down)
        for row, line in enumerate(lines)
        for column, character in enumerate(line[MARGIN:])
        for right in range(2)
        for down in range(4)
        if (ord(character) - EMPTY) & DOTS[right][down] and ord(character) >= EMPTY
    }


def test_a_chart_has_a_log_scale_from_the_highest_loss_to_the_lowest() -> None:
    lines = drawn({"val_loss": [1.0, 0.1, 0.01]}, 3, (0.01, 1.0))
    assert lines[0].strip() == "run" and [lines[n].split()[0] for n in (1, 3, 4)] == ["1", "0.1", "0.01"]
    found = dots(lines[1:5])
    assert {(0, 0), (20, 8), (39, 15)} <= found, "1 is at the top, 0.1 in the middle, 0.01 at the bottom"
    assert {x for x, _ in found} == {*range(40)}, "the line has no gap"
    assert lines[5].split()[0] == "training"


def test_losses_that_are_not_finite_leave_a_gap() -> None:
    whole = dots(drawn({"val_loss": [1.0, 0.5, 0.25, 0.125]}, 4, (0.1, 1.0))[1:5])
    broken = dots(drawn({"val_loss": [1.0, math.nan, math.inf, 0.125]}, 4, (0.1, 1.0))[1:5])
    assert {(0, 0)} < broken < whole and not dots(drawn({"val_loss": [0.0, math.nan]}, 2, (0.1, 1.0))[1:5])


def test_runs_share_an_axis_which_shows_the_validation_losses() -> None:
    a, b = {"val_loss": [1.0, 0.2], "clean_train_loss": [0.9, 1e-6]}, {"val_loss": [2.0, 0.4]}
    assert span([a, b]) == (0.2 / DEPTH, 2.0)
    assert span([{"val_loss": [0.5]}]) == (0.25, 1.0), "one value has an axis too"
    assert span([]) == (0.1, 1.0)
    lowest = max(y for _, y in dots(drawn(a, 2, span([a, b]))[1:5]))
    assert lowest == 15, "what is lower is at the edge"


@pytest.mark.parametrize("width", [9, 40, 100])
def test_a_chart_fits(width: int) -> None:
    lines = drawn(dict.fromkeys(CURVES, [1.0, 0.5]), 2, (0.1, 1.0), width)
    assert max(map(len, lines)) <= width and len(lines) <= 7
    assert not re.search(r"\x1b", "".join(lines))
