"""A comparison as people and programs read it: exact text at two widths, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import html
import io
import json
import math
import re
from pathlib import Path

import pytest
from comparable import ENVIRONMENT, write_run

from dropout_lab.comparison.compare import Comparison, compare
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.tables import parts, to_csv, to_json_dict, to_text
from dropout_lab.pages import as_html
from dropout_lab.runs.read import Run
from dropout_lab.text import as_markdown

BASELINE = [0.975, 0.976, 0.974, 0.977, 0.973]
DROPOUT = [0.971, 0.973, 0.971, 0.972, 0.970]

WIDE = """\
baseline  mnist-baseline  5 seeds (0-4)
candidate mnist-dropout  5 seeds (0-4), paired by seed
differs   dropout.rate 0.0 -> 0.5
same      data 9f3c2a7, dropout-lab 0.3.0, torch 2.15.0, device cpu

± is sd over seeds      baseline     candidate    diff  95% CI, paired t      p  n
test accuracy %      97.50 ±0.16   97.14 ±0.11   -0.36    [-0.47, -0.25]  <.001  5  worse
test loss           .0250 ±.0016  .0286 ±.0011  +.0036  [+.0025, +.0047]  <.001  5
val accuracy %       96.00 ±0.00   96.00 ±0.00   +0.00         all equal      -  5
val loss            .3200 ±.0158  .2300 ±.0158  -.0900         all equal      -  5
best val loss       .2000 ±.0000  .2000 ±.0000  +.0000         all equal      -  5
test acc. (best) %   95.50 ±0.00   95.50 ±0.00   +0.00    [-0.06, +0.06]  1.000  5
test loss (best)    .1500 ±.0000  .1500 ±.0000  +.0000         all equal      -  5
gap (clean)         .2200 ±.0158  .1300 ±.0158  -.0900         all equal      -  5
overfitting         .1200 ±.0158  .0300 ±.0158  -.0900         all equal      -  5
clean train acc. %   90.00 ±0.00   90.00 ±0.00   +0.00         all equal      -  5
epochs to 97 % val    2.00 ±0.00    2.00 ±0.00   +0.00         all equal      -  5
time per epoch s          2.0000        2.0000  +.0000                 -      -  1

per seed  -0.40 -0.30 -0.30 -0.50 -0.30
verdict   if trained again, on these 1,000 test images: dropout.rate 0.5 is worse by 0.25 to 0.47 pp
          on test accuracy (margin 0.10 pp)
images    on new images too: worse, perhaps by less than the margin, -0.64 to -0.08 pp; standard
          error 0.04 from the seeds, 0.14 pp from the images"""

NARROW = """\
baseline  mnist-baseline  5 seeds (0-4)
candidate mnist-dropout  5 seeds (0-4), paired by seed
differs   dropout.rate 0.0 -> 0.5
same      data 9f3c2a7, dropout-lab 0.3.0, torch 2.15.0,
          device cpu

± is sd over seeds      baseline     candidate    diff
test accuracy %      97.50 ±0.16   97.14 ±0.11   -0.36
test loss           .0250 ±.0016  .0286 ±.0011  +.0036
val accuracy %       96.00 ±0.00   96.00 ±0.00   +0.00
val loss            .3200 ±.0158  .2300 ±.0158  -.0900
best val loss       .2000 ±.0000  .2000 ±.0000  +.0000
test acc. (best) %   95.50 ±0.00   95.50 ±0.00   +0.00
test loss (best)    .1500 ±.0000  .1500 ±.0000  +.0000
gap (clean)         .2200 ±.0158  .1300 ±.0158  -.0900
overfitting         .1200 ±.0158  .0300 ±.0158  -.0900
clean train acc. %   90.00 ±0.00   90.00 ±0.00   +0.00
epochs to 97 % val    2.00 ±0.00    2.00 ±0.00   +0.00
time per epoch s          2.0000        2.0000  +.0000

± is sd over seeds  95% CI, paired t      p  n
test accuracy %       [-0.47, -0.25]  <.001  5  worse
test loss           [+.0025, +.0047]  <.001  5
val accuracy %             all equal      -  5
val loss                   all equal      -  5
best val loss              all equal      -  5
test acc. (best) %    [-0.06, +0.06]  1.000  5
test loss (best)           all equal      -  5
gap (clean)                all equal      -  5
overfitting                all equal      -  5
clean train acc. %         all equal      -  5
epochs to 97 % val         all equal      -  5
time per epoch s                   -      -  1

per seed  -0.40 -0.30 -0.30 -0.50 -0.30
verdict   if trained again, on these 1,000 test images:
          dropout.rate 0.5 is worse by 0.25 to 0.47 pp on
          test accuracy (margin 0.10 pp)
images    on new images too: worse, perhaps by less than the
          margin, -0.64 to -0.08 pp; standard error 0.04
          from the seeds, 0.14 pp from the images"""

SEVERAL = """\
baseline  baseline  5 seeds (0-4)
candidate mnist-dropout-0.1  5 seeds (0-4), paired by seed; dropout.rate 0.0 -> 0.1
candidate mnist-dropout-0.2  5 seeds (0-4), paired by seed; dropout.rate 0.0 -> 0.2
candidate mnist-dropout-0.3  5 seeds (0-4), paired by seed; dropout.rate 0.0 -> 0.3, training.epochs
          3 -> 4
candidate mnist-dropout-0.4  5 seeds (0-4), paired by seed; dropout.rate 0.0 -> 0.4
same      data 9f3c2a7, dropout-lab 0.3.0, torch 2.15.0, device cpu
note      mnist-dropout-0.3 differs in training.epochs: the differences below are not the effect of
          dropout alone
note      p is adjusted by Holm over the 4 comparisons with baseline
note      the intervals are simultaneous: all 4 hold together with 95 %

test accuracy %    mean ±sd over seeds   diff  95% CI, paired t  Holm p  n
baseline                   97.50 ±0.16
mnist-dropout-0.1          97.38 ±0.16  -0.12    [-0.15, -0.09]   <.001  5  worse
mnist-dropout-0.2          97.26 ±0.17  -0.24    [-0.30, -0.18]   <.001  5  worse
mnist-dropout-0.3          97.14 ±0.18  -0.36    [-0.45, -0.27]   <.001  5  worse
mnist-dropout-0.4          97.02 ±0.19  -0.48    [-0.60, -0.36]   <.001  5  worse

means, not judged   baseline  mnist-dropout-0.1  mnist-dropout-0.2  mnist-dropout-0.3
test loss             0.0250             0.0262             0.0274             0.0286
val accuracy %         96.00              96.00              96.00              96.00
val loss              0.3200             0.3200             0.3200             0.3200
best val loss         0.2000             0.2000             0.2000             0.2000
test acc. (best) %     95.50              95.50              95.50              95.50
test loss (best)      0.1500             0.1500             0.1500             0.1500
gap (clean)           0.2200             0.2200             0.2200             0.2200
overfitting           0.1200             0.1200             0.1200             0.1200
clean train acc. %     90.00              90.00              90.00              90.00
epochs to 97 % val      2.00               2.00               2.00               2.00
time per epoch s      2.0000             2.0000             2.0000             2.0000

means, not judged   mnist-dropout-0.4
test loss                      0.0298
val accuracy %                  96.00
val loss                       0.3200
best val loss                  0.2000
test acc. (best) %              95.50
test loss (best)               0.1500
gap (clean)                    0.2200
overfitting                    0.1200
clean train acc. %              90.00
epochs to 97 % val               2.00
time per epoch s               2.0000

verdict   mnist-dropout-0.1: if trained again, on these 1,000 test images: dropout.rate 0.1 is worse
          by 0.09 to 0.15 pp on test accuracy, perhaps by less than the margin of 0.10 pp
verdict   mnist-dropout-0.2: if trained again, on these 1,000 test images: dropout.rate 0.2 is worse
          by 0.18 to 0.30 pp on test accuracy (margin 0.10 pp)
verdict   mnist-dropout-0.3: if trained again, on these 1,000 test images: mnist-dropout-0.3 is
          worse by 0.27 to 0.45 pp on test accuracy (margin 0.10 pp)
verdict   mnist-dropout-0.4: if trained again, on these 1,000 test images: dropout.rate 0.4 is worse
          by 0.36 to 0.60 pp on test accuracy (margin 0.10 pp)
images    mnist-dropout-0.1: on new images too: worse, perhaps by less than the margin, -0.20 to
          -0.00 pp; standard error 0.02 from the seeds, 0.00 pp from the images
images    mnist-dropout-0.2: on new images too: worse, perhaps by less than the margin, -0.44 to
          -0.04 pp; standard error 0.02 from the seeds, 0.08 pp from the images
images    mnist-dropout-0.3: on new images too: worse, perhaps by less than the margin, -0.67 to
          -0.05 pp; standard error 0.02 from the seeds, 0.12 pp from the images
images    mnist-dropout-0.4: on new images too: worse, perhaps by less than the margin, -0.88 to
          -0.08 pp; standard error 0.04 from the seeds, 0.16 pp from the images"""


@pytest.fixture
def two(tmp_path: Path) -> list[Run]:
    """The baseline, and a run with dropout."""
    return [
        write_run(tmp_path, "mnist-baseline", BASELINE),
        write_run(tmp_path, "mnist-dropout", DROPOUT, rate=0.5, last_val_loss=0.21),
    ]


@pytest.fixture
def several(tmp_path: Path) -> list[Run]:
    """The baseline and four rates; the third has another number of epochs too."""
    runs = [write_run(tmp_path, "baseline", BASELINE)]
    for tenth in (1, 2, 3, 4):
        worse = [x - tenth / 1000 * (1 + i / 10) for i, x in enumerate(BASELINE)]
        training = {"epochs": 4 if tenth == 3 else 3}
        runs.append(write_run(tmp_path, f"mnist-dropout-0.{tenth}", worse, rate=tenth / 10, training=training))
    return runs


def test_two_runs_in_100_columns(two: list[Run]) -> None:
    assert to_text(compare(two)) == WIDE


def test_two_runs_in_60_columns(two: list[Run]) -> None:
    assert to_text(compare(two), 60) == NARROW


def test_several_runs(several: list[Run]) -> None:
    assert to_text(compare(several)) == SEVERAL


@pytest.mark.parametrize("width", [40, 60, 61, 72, 80, 100, 140])
def test_every_line_fits(tmp_path: Path, two: list[Run], several: list[Run], width: int) -> None:
    long = write_run(
        tmp_path, "L" + "o" * 62 + "g", {3: 0.5, 4: 0.1, 9: 0.1}, diverged={3}, network={"hidden": [9] * 9}
    )
    far = write_run(tmp_path, "far", {20: 0.9, 21: math.nan}, rate=0.5, data={"dataset": "d" * 80 + "/x.npz"})
    for runs in (two, several, [*two, long, far], [two[0], long], [two[0], far], [long, two[0]]):
        lines = to_text(compare(runs), width).splitlines()
        assert max(map(len, lines)) <= max(width, 60)
        assert all(line == line.rstrip() for line in lines)


def test_text_is_plain(tmp_path: Path, two: list[Run]) -> None:
    text = to_text(compare(two))
    assert text.count("± is sd over seeds") == 1
    assert "\x1b" not in text and "nan" not in text


def test_wide_losses_still_line_up(tmp_path: Path) -> None:
    a = write_run(tmp_path, "a", BASELINE, last_val_loss=123456.0)
    b = write_run(tmp_path, "b", DROPOUT, last_val_loss=12.0)
    lines = to_text(compare([a, b], metric="val_loss"), 60).splitlines()
    assert "val loss            1.235e+05 ±.0158  12.0200 ±.0158" in lines
    assert "val loss            -1.234e+05         all equal      -  5" in lines
    assert "val loss            no verdict" in lines


def to_markdown(comparison: Comparison) -> str:
    return as_markdown(parts(comparison))


def test_markdown(two: list[Run], several: list[Run]) -> None:
    lines = to_markdown(compare(two)).splitlines()
    assert lines[:3] == [
        "- **baseline** mnist-baseline  5 seeds (0-4)",
        "- **candidate** mnist-dropout  5 seeds (0-4), paired by seed",
        "- **differs** dropout.rate 0.0 -\\> 0.5",
    ]
    assert lines[5:8] == [
        "| ± is sd over seeds | baseline | candidate | diff | 95% CI, paired t | p | n |  |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
        "| test accuracy % | 97.50 ±0.16 | 97.14 ±0.11 | -0.36 | \\[-0.47, -0.25\\] | \\<.001 | 5 | worse |",
    ]
    (verdict,) = (line for line in lines if line.startswith("- **verdict** "))
    assert "dropout.rate 0.5 is worse by 0.25 to 0.47 pp on test accuracy" in verdict
    assert sum(line.startswith("- **verdict**") for line in to_markdown(compare(several)).splitlines()) == 4


def test_every_form_says_the_same(two: list[Run], several: list[Run]) -> None:
    """Conditions, every number, both questions (seeds, images) and the verdicts are in text, Markdown and HTML."""
    for comparison in (compare(two), compare(several)):
        words = to_text(comparison, 1000).replace("+0.00", "").split()
        for page in (html.unescape(as_html(parts(comparison))), to_markdown(comparison).replace("\\", "")):
            assert {*words} <= {*re.sub("<[a-z/][^>]*>|[*|]", " ", page).split()}


def test_no_name_or_value_is_markup_or_a_formula_or_steers_the_terminal(tmp_path: Path) -> None:
    a = write_run(tmp_path, "=<b>|`x`\x1b[31m\n", BASELINE)
    b = write_run(tmp_path, "b", DROPOUT, environment=ENVIRONMENT | {"device": "<i>|\x1b[31m!"})
    for comparison in (compare([a, b]), compare([a, b, b])):
        everything = to_text(comparison) + to_markdown(comparison) + to_csv(comparison)
        assert "\x1b" not in everything and "31m\n" not in everything
        markdown = to_markdown(comparison)
        assert "=\\<b\\>\\|\\`x\\`\\\\x1b\\[31m\\\\n" in markdown and "\\<i\\>\\|\\\\x1b\\[31m" in markdown
        assert next(csv.DictReader(io.StringIO(to_csv(comparison))))["baseline"] == "'=<b>|`x`\\x1b[31m\\n"


def test_csv_has_a_row_for_every_candidate_and_metric(several: list[Run]) -> None:
    comparison = compare(several)
    rows = list(csv.DictReader(io.StringIO(to_csv(comparison))))
    assert [(row["candidate"], row["metric"]) for row in rows] == [
        (run.name, key) for run in several[1:] for key in METRICS
    ]
    first, row = rows[0], comparison.contrasts[0].rows["test_accuracy"]
    assert (first["unit"], first["n"], first["verdict"], first["paired"]) == ("fraction", "5", "worse", "True")
    assert float(first["difference"]) == row.difference.mean  # a negative number stays a number
    assert first["difference"].startswith("-0.001")
    contrast = comparison.contrasts[0]
    assert (float(first["low"]), float(first["high"])) == contrast.interval != row.difference.interval
    assert (float(first["fixed_low"]), float(first["fixed_high"])) == contrast.fixed_interval
    assert (float(first["new_images_low"]), float(first["new_images_high"])) == contrast.crossed_interval
    assert (first["looked"], first["beyond_margin"], first["more_seeds_low"]) == ("first", "False", "")
    assert first["new_images_verdict"] == contrast.crossed_verdict.word and rows[1]["new_images_verdict"] == ""
    assert float(first["holm_p"]) == comparison.contrasts[0].adjusted_p
    assert (rows[2]["metric"], rows[2]["low"], rows[2]["p"], rows[2]["verdict"]) == ("val_accuracy", "", "", "")


def test_json_is_plain_and_has_no_nan(tmp_path: Path, several: list[Run]) -> None:
    odd = ENVIRONMENT | {"load": math.nan}
    lost = write_run(tmp_path, "lost", [*DROPOUT[:4], math.nan], diverged={0}, environment=odd)
    comparison = compare([several[0], lost])
    found = json.loads(json.dumps(to_json_dict(comparison), allow_nan=False))
    assert (found["schema_version"], found["metric"], found["min_effect"]) == (2, "test_accuracy", 0.001)
    assert found["same"]["data"] == "9f3c2a7"
    assert found["baseline"]["values"]["test_accuracy"] == {str(seed): value for seed, value in enumerate(BASELINE)}
    (candidate,) = found["candidates"]
    assert (candidate["seeds"], candidate["diverged"]) == ([0, 1, 2, 3, 4], [0])
    assert candidate["environment"] == {"load": [None, None]}
    assert candidate["missing"] == {"test_accuracy": [4], "test_loss": [4]}
    row = candidate["metrics"]["test_accuracy"]
    assert (row["unit"], row["difference"]["n"], list(row["per_seed"])) == ("fraction", 3, ["1", "2", "3"])
    assert candidate["verdict"]["word"] == "worse"
    assert candidate["verdict"]["sentence"].endswith("; 1 of 5 seeds of lost diverged and left out")
    assert list(candidate["mcnemar"]) == ["1", "2", "3", "4"]
    assert json.loads(json.dumps(to_json_dict(compare(several, min_effect=0.01)), allow_nan=False))
