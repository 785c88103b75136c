"""Comparing runs: conditions first, pairs by seed, nothing dropped in silence, and no verdict by accident."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from comparable import ENVIRONMENT, write_run

from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison import verdict as wording
from dropout_lab.comparison.compare import Comparison, Contrast, compare
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.errors import Refused
from dropout_lab.text import shown_seeds

BASELINE = [0.975, 0.976, 0.974, 0.977, 0.973]
WORSE = [0.971, 0.973, 0.971, 0.972, 0.970]


# Metrics


@pytest.mark.parametrize("key", METRICS)
def test_every_metric_reads_a_number_for_every_finished_seed(tmp_path: Path, key: str) -> None:
    run = write_run(tmp_path, "a", BASELINE, diverged={2})
    values = METRICS[key].values(run)
    assert list(values) == [0, 1, 3, 4]
    assert all(type(seed) is int and type(value) is float for seed, value in values.items())
    assert METRICS[key].unit in ("%", "s", "epochs", "")


def test_metrics_are_what_their_names_say(tmp_path: Path) -> None:
    run = write_run(tmp_path, "a", {1: 0.975})
    found = {key: metric.values(run)[1] for key, metric in METRICS.items()}
    assert found == pytest.approx(
        {
            "test_accuracy": 0.975,
            "test_loss": 0.025,
            "val_accuracy": 0.96,
            "val_loss": 0.31,
            "best_val_loss": 0.2,
            "test_accuracy_at_best": 0.955,
            "test_loss_at_best": 0.15,
            "gap": 0.21,  # 0.31 at the last epoch, less a clean train loss of 0.1
            "overfitting": 0.11,  # 0.31 at the last epoch, less 0.2 at the second
            "clean_train_accuracy": 0.9,
            "epochs_to_97": 2.0,
            "seconds_per_epoch": 2.0,
        }
    )


def test_an_accuracy_that_is_never_reached_is_missing_only_where_something_reaches_it(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", WORSE, rate=0.5)
    b.metrics.loc[b.metrics["seed"] == 3, "val_accuracy"] = 0.9
    (contrast,) = compare([a, b]).contrasts
    assert contrast.rows["epochs_to_97"].difference.n == 4 and contrast.missing("epochs_to_97") == (3,)
    a.metrics["val_accuracy"] = b.metrics["val_accuracy"] = 0.9
    (contrast,) = compare([a, b]).contrasts
    assert "epochs_to_97" not in contrast.rows and contrast.missing("epochs_to_97") == ()


def test_metrics_are_shown_in_the_units_that_people_read() -> None:
    accuracy, loss, time = METRICS["test_accuracy"], METRICS["test_loss"], METRICS["seconds_per_epoch"]
    assert accuracy.shown(0.97514) == "97.51"
    assert accuracy.shown_difference(-0.0035, sign=True) == "-0.35 pp"
    assert loss.shown_difference(0.00114, sign=True) == "+0.0011"
    assert loss.shown(123456.7) == "1.235e+05"
    assert time.shown_difference(1.5) == "1.5000 s"
    assert METRICS["epochs_to_97"].shown_difference(1.5) == "1.50 epochs"
    assert (accuracy.label, METRICS["epochs_to_97"].label) == ("test accuracy %", "epochs to 97 % val")


# Conditions


def test_other_data_are_refused(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE, digest="0" * 64), write_run(tmp_path, "b", WORSE, digest="1" * 64)
    with pytest.raises(Refused) as caught:
        compare([a, b])
    assert str(caught.value) == (
        f"{b.path}: data: must be the data of {a.path} (mnist, sha256 000000000000): "
        "runs on different data cannot be compared (got mnist, sha256 111111111111)"
    )


def test_another_split_is_refused_and_every_problem_named(tmp_path: Path) -> None:
    a = write_run(tmp_path, "a", BASELINE)
    b = write_run(tmp_path, "b", WORSE, data={"validation_fraction": 0.2, "validation_from": "random"})
    c = write_run(tmp_path, "c", WORSE, data={"validation_from": "random"})
    with pytest.raises(Refused) as caught:
        compare([a, b, c], metric="test_acuracy", min_effect=-1.0)
    assert [(problem.where, problem.key) for problem in caught.value.problems] == [
        ("command line", "--metric"),
        ("command line", "--min-effect"),
        (str(b.path), "data.validation_fraction"),
        (str(b.path), "data.validation_from"),
        (str(c.path), "data.validation_from"),
    ]
    assert "unknown metric, did you mean test_accuracy? (got test_acuracy)" in str(caught.value)
    assert f"must be 0.1 as in {a.path} (got 0.2)" in str(caught.value)


def test_one_run_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="runs: must be two or more"):
        compare([write_run(tmp_path, "a", BASELINE)])


def test_what_differs_is_listed_and_what_is_not_dropout_pointed_out(tmp_path: Path) -> None:
    a = write_run(tmp_path, "a", BASELINE)
    other = ENVIRONMENT | {"torch": "2.16.0", "git_commit": "0123456789abcdef"}
    b = write_run(tmp_path, "b", WORSE, rate=0.5, data={"scale": "standardize"}, environment=other, device="cpu")
    comparison = compare([a, b])
    (contrast,) = comparison.contrasts
    assert contrast.differs == {"data.scale": ("unit", "standardize"), "dropout.rate": (0.0, 0.5)}
    assert contrast.beside == ("data.scale",)
    assert contrast.environment == {"torch": ("2.15.0", "2.16.0"), "git_commit": (None, "0123456789abcdef")}
    assert comparison.same == {"data": "9f3c2a7", "dropout-lab": "0.3.0", "python": "3.11.7", "device": "cpu"}
    assert "b differs in data.scale: the differences below are not the effect of dropout alone" in notes(contrast)
    assert wording.differences(contrast) == (
        "data.scale unit -> standardize, dropout.rate 0.0 -> 0.5, torch 2.15.0 -> 2.16.0, git_commit None -> 0123456"
    )


def notes(contrast: Contrast) -> list[str]:
    return list(wording.notes(Comparison("test_accuracy", 0.001, contrast.baseline, (contrast,), {})))


# Pairs


def test_two_runs_are_paired_by_seed(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", WORSE, rate=0.5)
    (contrast,) = compare([a, b]).contrasts
    row = contrast.rows["test_accuracy"]
    assert row.difference == statistics.paired(BASELINE, WORSE)
    assert row.per_seed == pytest.approx({0: -0.004, 1: -0.003, 2: -0.003, 3: -0.005, 4: -0.003})
    assert (contrast.verdict.word, contrast.adjusted_p) == ("worse", None)
    assert list(contrast.rows) == list(METRICS)
    assert notes(contrast) == []


def test_pairs_do_not_depend_on_the_order_of_the_seeds(tmp_path: Path) -> None:
    a = write_run(tmp_path, "a", dict(enumerate(BASELINE)))
    b = write_run(tmp_path, "b", dict(reversed(list(enumerate(WORSE)))))
    assert compare([a, b]).contrasts[0].rows["test_accuracy"].difference == statistics.paired(BASELINE, WORSE)
    c, d = write_run(tmp_path, "c", {8: 0.97, 1: 0.98, 40: 0.99}), write_run(tmp_path, "d", {40: 0.9, 8: 0.9, 1: 0.9})
    assert list(compare([c, d]).contrasts[0].rows["test_accuracy"].per_seed) == [1, 8, 40]


def test_seeds_without_a_partner_are_listed(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", {2: 0.971, 3: 0.972, 4: 0.970, 9: 0.5, 10: 0.5})
    (contrast,) = compare([a, b]).contrasts
    assert (contrast.common, contrast.rows["test_accuracy"].difference.n) == ((2, 3, 4), 3)
    assert (contrast.alone(contrast.baseline), contrast.alone(contrast.candidate)) == ((0, 1), (9, 10))
    assert notes(contrast) == ["a: no partner for seeds 0-1, left out", "b: no partner for seeds 9-10, left out"]


def test_diverged_seeds_are_counted_listed_and_left_out_as_pairs(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE, diverged={0}), write_run(tmp_path, "b", WORSE, diverged={0, 3})
    (contrast,) = compare([a, b]).contrasts
    assert (contrast.baseline.diverged, contrast.candidate.diverged) == ((0,), (0, 3))
    assert list(contrast.rows["test_accuracy"].per_seed) == list(contrast.images) == [1, 2, 4]
    assert notes(contrast) == [
        "a: 1 of 5 seeds diverged, left out of every number: 0",
        "b: 2 of 5 seeds diverged, left out of every number: 0, 3",
    ]
    assert wording.sentence(contrast).endswith(
        "; 1 of 5 seeds of a diverged and left out; 2 of 5 seeds of b diverged and left out"
    )


def test_a_candidate_that_always_diverged_has_no_rows_and_no_verdict(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", WORSE, diverged=range(5))
    (contrast,) = compare([a, b]).contrasts
    assert (contrast.rows, contrast.images, contrast.verdict.word) == ({}, {}, "none")
    assert wording.sentence(contrast).startswith(
        "no verdict: 0 seeds; 3 or more are needed; 5 of 5 seeds of b diverged"
    )


def test_a_value_that_is_not_finite_is_missing_not_zero(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", [*WORSE[:4], math.nan])
    (contrast,) = compare([a, b]).contrasts
    assert (contrast.rows["test_accuracy"].difference.n, contrast.rows["val_loss"].difference.n) == (4, 5)
    assert (contrast.missing("test_accuracy"), contrast.missing("val_loss")) == ((4,), ())
    assert notes(contrast) == ["b: nothing to compare for seed 4 in test accuracy, test loss"]


def test_no_seed_in_common_is_welch_and_says_so(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", dict(enumerate(WORSE, start=10)))
    (contrast,) = compare([a, b]).contrasts
    row = contrast.rows["test_accuracy"]
    assert row.difference == statistics.welch(BASELINE, WORSE)
    assert (contrast.common, row.per_seed, contrast.images) == ((), {}, {})
    assert notes(contrast) == ["b has no seed in common with a: Welch's interval of independent seeds"]


# Images


def test_mcnemar_of_every_pair_of_networks(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", WORSE)
    (contrast,) = compare([a, b]).contrasts
    right_a, right_b = np.arange(1000) >= 25, np.arange(1000) >= 29  # of seed 0
    assert contrast.images[0] == statistics.mcnemar(right_a, right_b)
    assert {seed: test.net for seed, test in contrast.images.items()} == {0: -4, 1: -3, 2: -3, 3: -5, 4: -3}
    assert wording.images(contrast) == "", "of several pairs the interval over seeds and images speaks"
    assert contrast.crossed and contrast.crossed.mean == pytest.approx(-0.0036)


def test_one_common_seed_is_about_two_networks(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", [0.975]), write_run(tmp_path, "b", [0.955])
    (contrast,) = compare([a, b]).contrasts
    assert wording.sentence(contrast) == "no verdict: 1 seed; 3 or more are needed"
    assert wording.images(contrast) == (
        "-20 net of 20 on which they disagree; exact McNemar p <.001, which is about these two networks, not the method"
    )


# Verdicts


@pytest.mark.parametrize(
    ("accuracies", "min_effect", "sentence"),
    [
        (WORSE, 0.001, "dropout.rate 0.5 is worse by 0.25 to 0.47 pp on test accuracy (margin 0.10 pp)"),
        ([0.98, 0.981, 0.98, 0.982, 0.98], 0.001, "is better by 0.45 to 0.67 pp on test accuracy (margin 0.10 pp)"),
        (WORSE, 0.005, "is equivalent to a on test accuracy: -0.47 to -0.25 pp (margin 0.50 pp)"),
        (WORSE[:2], 0.001, "no verdict: 2 seeds; 3 or more are needed"),
        (
            [x - 0.001 for x in BASELINE],
            0.001,
            "is worse by 0.04 to 0.16 pp on test accuracy, perhaps by less than the",
        ),
        (
            [0.974, 0.978, 0.971, 0.979, 0.972],
            0.001,
            "if trained again, on these 1,000 test images: inconclusive on test accuracy: dropout.rate 0.5 changes "
            "it by -0.29 to +0.25 pp (margin 0.10 pp)",
        ),
    ],
)
def test_the_verdict_in_words(tmp_path: Path, accuracies: list[float], min_effect: float, sentence: str) -> None:
    a, b = write_run(tmp_path, "a", BASELINE), write_run(tmp_path, "b", accuracies, rate=0.5)
    (contrast,) = compare([a, b], min_effect=min_effect).contrasts
    assert sentence in wording.sentence(contrast)


def test_a_lower_loss_is_better(tmp_path: Path) -> None:
    a, b = write_run(tmp_path, "a", WORSE), write_run(tmp_path, "b", BASELINE, regularization={"l2": 0.01})
    (contrast,) = compare([a, b], metric="test_loss", min_effect=0.001).contrasts
    assert wording.sentence(contrast) == (
        "if trained again: regularization.l2 0.01 is better by 0.0025 to 0.0047 on test loss (margin 0.0010)"
    )


def test_several_candidates_share_the_error_by_holm(tmp_path: Path) -> None:
    shifts = {"b": [3, 3, 5, 4, 1], "c": [1, 3, -1, 2, 2], "d": [0, 0, 0, 0, 0]}
    runs = [write_run(tmp_path, "a", BASELINE)]
    for name, shift in shifts.items():
        runs.append(write_run(tmp_path, name, [x - by / 1000 for x, by in zip(BASELINE, shift, strict=True)]))
    comparison = compare(runs, min_effect=0.0001)
    p_values = [contrast.rows["test_accuracy"].difference.p for contrast in comparison.contrasts]
    small, large, none = p_values
    assert small and large and none == 1.0  # all equal: half an image is all that is not known
    assert [contrast.adjusted_p for contrast in comparison.contrasts] == [3 * small, 2 * large, 1.0]
    assert [contrast.verdict.word for contrast in comparison.contrasts] == ["worse", "inconclusive", "inconclusive"]
    assert [contrast.family for contrast in comparison.contrasts] == [3, 3, 3]
    assert all(contrast.images == {} for contrast in comparison.contrasts)


def test_two_candidates_are_a_family_and_one_is_none(tmp_path: Path) -> None:
    values = {"a": [0.9, 0.91, 0.93], "b": [0.91, 0.93, 0.94], "c": [0.92, 0.92, 0.95]}
    runs = [write_run(tmp_path, name, own) for name, own in values.items()]
    first, second = (scipy.stats.ttest_rel(values[name], values["a"]).pvalue for name in "bc")
    assert second < first
    adjusted = [contrast.adjusted_p for contrast in compare(runs).contrasts]
    assert adjusted == pytest.approx([max(2 * second, first), 2 * second])
    assert [contrast.adjusted_p for contrast in compare(runs[:2]).contrasts] == [None]


def test_a_word_never_contradicts_its_interval(tmp_path: Path) -> None:
    """Holm's p may be below 5 % where the simultaneous interval includes 0: then the verdict is open."""
    shifts = [[30, 31, 29, 30, 30], [20, 21, 19, 20, 20], [0, 3, 3, 5, 4]]  # p = .023 for the last, also adjusted
    runs = [write_run(tmp_path, "a", BASELINE)]
    for name, shift in zip("bcd", shifts, strict=True):
        runs.append(write_run(tmp_path, name, [x - by / 1000 for x, by in zip(BASELINE, shift, strict=True)]))
    last = compare(runs).contrasts[-1]
    assert last.adjusted_p == pytest.approx(0.023, abs=0.001) and last.interval and last.interval[1] > 0
    assert last.verdict.word == "inconclusive"


def test_a_clear_interval_that_holm_holds_back_says_so(tmp_path: Path) -> None:
    shifts = [[3, 3, 5, 4, 0], [0, 3, 3, 5, 4], [4, 0, 3, 3, 5]]  # p = .023 each, .069 adjusted
    runs = [write_run(tmp_path, "a", BASELINE)]
    for name, shift in zip("bcd", shifts, strict=True):
        runs.append(write_run(tmp_path, name, [x - by / 1000 for x, by in zip(BASELINE, shift, strict=True)]))
    for contrast in compare(runs).contrasts:
        alone, together = contrast.rows["test_accuracy"].difference.interval, contrast.interval
        assert alone and alone[1] < 0 and together and together[1] > 0, "the intervals are simultaneous"
        assert contrast.adjusted_p == pytest.approx(0.069, abs=0.001) and contrast.verdict.word == "inconclusive"


@pytest.mark.parametrize(
    ("p", "text"), [(0.0004, "<.001"), (0.001, ".001"), (0.0081, ".008"), (0.5, ".500"), (1.0, "1.000")]
)
def test_p_values_as_journals_print_them(p: float, text: str) -> None:
    assert wording.shown_p(p) == text


@pytest.mark.parametrize(
    ("seeds", "text"), [((), ""), ((3,), "3"), ((0, 1), "0-1"), ((7, 0, 1, 2, 9, 10), "0-2, 7, 9-10")]
)
def test_seeds_as_ranges(seeds: tuple[int, ...], text: str) -> None:
    assert shown_seeds(seeds) == text
