"""--explain: every term of a comparison is explained, in one line, and fits the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from commandline import Lab
from comparable import write_run

from dropout_lab.comparison import tables, terms
from dropout_lab.comparison.compare import compare
from dropout_lab.comparison.metrics import METRICS


def test_every_metric_head_and_word_of_a_comparison_is_explained(tmp_path: Path) -> None:
    known = terms.terms()
    two = [write_run(tmp_path, name, [0.9, 0.92, 0.91], rate=rate) for name, rate in (("a", 0.0), ("b", 0.5))]
    three = [*two, write_run(tmp_path, "c", [0.93, 0.92, 0.91], rate=0.2)]
    for runs in (two, three):
        (head, *_) = next(part for part in tables.parts(compare(runs)) if isinstance(part, list))
        for cell in filter(None, head[1:]):
            words = {"baseline", "candidate", "mean ±sd over seeds"}
            assert cell in words or cell.partition(",")[0] in known, f"{cell} is not explained"
    assert {metric.title for metric in METRICS.values()} <= known.keys()
    assert {"better", "worse", "equivalent", "inconclusive", "no verdict", "margin", "looks", "±"} <= known.keys()


@pytest.mark.parametrize("width", [60, 100])
def test_explanations_fit_and_take_one_line_where_there_is_room(width: int) -> None:
    lines = terms.to_text(width).splitlines()
    assert max(map(len, lines)) <= width
    assert (len(lines) == len(terms.terms())) == (width == 100)
    assert max(map(len, terms.terms())) < terms.COLUMN


def test_the_first_comparison_tells_of_the_option_and_the_option_explains(lab: Lab) -> None:
    for name, rate in ("a", 0.0), ("b", 0.5):
        write_run(lab.runs, name, [0.9, 0.92, 0.91], rate=rate)
    first, later = lab("compare a b"), lab("compare a b")
    assert "compare --explain says what every term means" in first.err and "--explain" not in later.err
    explained = lab("compare a b --explain")
    assert explained.out.startswith(first.out.rstrip()) and "gap (clean)         val loss minus" in explained.out
    assert "- **margin** the smallest difference" in lab("compare a b --explain --md").out
    assert lab("compare a b --explain --json").out == lab("compare a b --json").out
