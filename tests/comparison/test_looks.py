"""Looks: how often somebody has looked at a pair of runs is remembered, and decides which interval is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from comparable import write_run

from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison import verdict as wording
from dropout_lab.comparison.compare import Comparison, Contrast, compare, remember
from dropout_lab.comparison.inference import paired
from dropout_lab.comparison.looks import FOLDER, Look, Looks, pair
from dropout_lab.comparison.tables import to_json_dict, to_text
from dropout_lab.runs.read import Run, load

BEFORE = [0.975, 0.976, 0.974, 0.977, 0.973, 0.975, 0.976, 0.974]
SHIFTS = [-2, -1, -4, -3, -2, -1, -3, -2]  # images of 1,000


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Run, Run]:
    after = [accuracy + shift / 1000 for accuracy, shift in zip(BEFORE, SHIFTS, strict=True)]
    return write_run(tmp_path, "a", BEFORE), write_run(tmp_path, "b", after, rate=0.5)


def look(runs: tuple[Run, Run], n: int, looks: Looks, metric: str = "test_accuracy") -> Contrast:
    """Compare the first n seeds, and remember it as the commands do."""
    (contrast,) = compare([run.only(range(n)) for run in runs], metric=metric, looks=looks).contrasts
    looks.remember(*runs, Look(metric, contrast.judged))
    return contrast


def test_the_first_look_has_the_t_interval_and_later_ones_the_anytime_interval(
    runs: tuple[Run, Run], tmp_path: Path
) -> None:
    looks = Looks(tmp_path)
    first, second = look(runs, 5, looks), look(runs, 8, looks)
    assert first.first_look and first.interval == first.rows["test_accuracy"].difference.interval
    difference = second.rows["test_accuracy"].difference
    assert not second.first_look and second.before == (Look("test_accuracy", (0, 1, 2, 3, 4)),)
    assert second.interval == difference.anytime(0.02) and second.fixed_interval == difference.interval
    sentence = wording.sentence(second)
    assert "had 8 seeds been fixed beforehand" in sentence and "compared before at 5" in sentence
    assert "whenever you stop (95 %)" in sentence


def test_the_same_seeds_again_are_no_new_look(runs: tuple[Run, Run], tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    once, again = look(runs, 5, looks), look(runs, 5, looks)
    assert again.first_look and again.verdict == once.verdict and again.interval == once.interval
    assert looks.at(*runs) == [Look("test_accuracy", (0, 1, 2, 3, 4))]
    look(runs, 8, looks)
    assert look(runs, 5, looks).first_look, "what was seen first was seen with these seeds"
    assert not look(runs, 6, looks).first_look


def test_other_seeds_of_the_same_number_are_a_new_look(runs: tuple[Run, Run], tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    look(runs, 4, looks)
    (contrast,) = compare([run.only(range(4, 8)) for run in runs], looks=looks).contrasts
    assert not contrast.first_look


def test_a_confirmation_on_fresh_seeds_is_an_experiment_of_its_own(runs: tuple[Run, Run], tmp_path: Path) -> None:
    """Its first look has the t interval; confirmed again, or on seeds that somebody has seen, it has not."""
    looks = Looks(tmp_path)
    look(runs, 3, looks)

    def confirmed(*seeds: int) -> Contrast:
        (contrast,) = compare([run.only(seeds) for run in runs], looks=looks, confirms=True).contrasts
        return contrast

    assert confirmed(3, 4, 5).looked == "first" and confirmed(2, 3, 4).looked == "later"
    looks.remember(*runs, Look("test_accuracy", (3, 4, 5), confirms=True))
    assert confirmed(3, 4, 5).looked == "first", "the same again is no new look"
    assert confirmed(6, 7).looked == "later", "what did not confirm is not tried again on other seeds"
    assert look(runs, 8, looks).looked == "later"


def test_a_pair_is_known_by_what_was_trained_not_by_name_or_place(runs: tuple[Run, Run], tmp_path: Path) -> None:
    after = [accuracy + shift / 1000 for accuracy, shift in zip(BEFORE, SHIFTS, strict=True)]
    elsewhere = write_run(tmp_path / "x", "c", BEFORE), write_run(tmp_path / "x", "d", after, rate=0.5)
    assert pair(*runs) == pair(*elsewhere) == pair(*reversed(runs))
    other_rate = write_run(tmp_path / "y", "d", after, rate=0.4)
    other_data = write_run(tmp_path / "z", "d", after, rate=0.5, digest="0000000")
    assert len({pair(*runs), pair(runs[0], other_rate), pair(other_data, other_data)}) == 3
    looks = Looks(tmp_path)
    look(runs, 5, looks)
    assert not look(elsewhere, 8, looks).first_look


def test_another_metric_is_a_look_of_its_own_and_is_counted(runs: tuple[Run, Run], tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    look(runs, 5, looks)
    second = look(runs, 8, looks, "test_loss")
    assert second.first_look
    third = compare(list(runs), metric="gap", looks=looks)
    assert any("gap is the third metric judged for this pair" in note for note in wording.notes(third))
    assert not any("metric judged" in note for note in wording.notes(compare(list(runs), looks=looks)))


def test_without_a_place_nothing_is_remembered(runs: tuple[Run, Run]) -> None:
    looks = Looks(None)
    look(runs, 5, looks)
    assert look(runs, 8, looks).first_look


@pytest.mark.parametrize("content", ["", "[]", '{"looks": 5}', '{"looks": [{"metric": "x"}]}', "[" * 9999])
def test_looks_that_cannot_be_read_count_and_are_kept_aside(
    content: str, runs: tuple[Run, Run], tmp_path: Path
) -> None:
    """Somebody looked, and nobody knows how often: the interval is one that holds at every number of seeds."""
    looks = Looks(tmp_path)
    (file,) = looks.files(*runs)
    file.parent.mkdir()
    file.write_text(content)
    contrast = look(runs, 5, looks)
    assert contrast.looked == "later" and "compared before at an unknown number of seeds" in wording.sentence(contrast)
    assert file.parent.name == FOLDER and file.with_suffix(".damaged").read_text() == content
    assert len(looks.lost) == 1 and "cannot be read" in looks.lost[0]
    again = Looks(tmp_path)
    assert look(runs, 5, again).looked == look(runs, 8, again).looked == "later", "also the next time"
    assert not again.lost and file.with_suffix(".damaged").read_text() == content, "the new file is whole and stays"


def test_looks_from_another_runs_directory_count(runs: tuple[Run, Run], tmp_path: Path) -> None:
    """They are kept where the runs are, too; a run of a sweep is in the directory of its sweep."""
    elsewhere = Looks(tmp_path / "elsewhere")
    look(runs, 5, elsewhere)
    assert look(runs, 8, Looks(tmp_path)).looked == "later"
    (tmp_path / "s").mkdir()
    (tmp_path / "s/sweep.yaml").write_text("")
    a, b = write_run(tmp_path / "s", "a", BEFORE, rate=0.1), write_run(tmp_path / "s", "b", BEFORE, rate=0.2)
    assert elsewhere.files(a, b)[1:] == Looks(tmp_path).files(a, b)


def test_a_fixed_look_is_not_taken_back_by_a_declaration(runs: tuple[Run, Run], tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    look(runs, 5, looks)
    (contrast,) = compare(list(runs), looks=looks, sequential=True).contrasts
    assert contrast.looked == "later" and contrast.interval == contrast.rows["test_accuracy"].difference.anytime(0.02)
    (same,) = compare([run.only(range(5)) for run in runs], looks=looks, sequential=True).contrasts
    assert same.looked == "later" and "a number that was fixed" in wording.sentence(same)


def test_a_verdict_that_a_gate_asks_for_is_a_look(runs: tuple[Run, Run], tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    five = [run.only(range(5)) for run in runs]
    remember(compare(five, looks=looks), five, looks, ["test_loss"])
    assert {known.metric for known in looks.at(*runs)} == {"test_accuracy", "test_loss"}
    (contrast,) = compare(list(runs), looks=looks).contrasts
    assert contrast.on("test_loss").looked == "later" and contrast.on("val_loss").looked == "first"


def test_whoever_declared_it_has_the_anytime_interval_at_once(runs: tuple[Run, Run]) -> None:
    (contrast,) = compare(list(runs), sequential=True).contrasts
    assert contrast.interval == contrast.rows["test_accuracy"].difference.anytime(0.05)
    assert "95 %, whenever you stop" in wording.sentence(contrast)


def test_few_seeds_leave_a_later_interval_without_an_end(runs: tuple[Run, Run], tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    look(runs, 3, looks)
    contrast = look(runs, 4, looks)
    assert contrast.interval is None and contrast.verdict.word == "inconclusive"
    assert "leave the interval without an end" in wording.sentence(contrast)


# The other words


def judged(tmp_path: Path, after: list[float], **more: object) -> Comparison:
    a = write_run(tmp_path, "a", BEFORE[: len(after)])
    return compare([a, write_run(tmp_path, "b", after, **more)])  # type: ignore[arg-type]


def test_the_margin_is_never_below_one_image(runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare(list(runs)).min_effect == 0.001  # of 1,000 test images
    assert compare(list(runs), min_effect=0.0002).min_effect == 0.0002
    assert compare(list(runs), metric="test_loss").min_effect == 0.0
    monkeypatch.setattr("dropout_lab.comparison.compare.MIN_EFFECT", 0.0001)
    assert compare(list(runs)).min_effect == 0.001


def test_a_candidate_that_diverges_more_often_gets_no_good_word(tmp_path: Path) -> None:
    comparison = judged(tmp_path, [0.98, 0.981, 0.98, 0.982, 0.98], diverged=[1])
    (contrast,) = comparison.contrasts
    assert contrast.withheld and contrast.verdict.word == "none"
    assert "1 of 5 seeds of b diverged" in wording.sentence(contrast)
    assert "would flatter it" in wording.sentence(contrast)
    (back,) = compare([load(tmp_path / "b"), load(tmp_path / "a")]).contrasts
    assert not back.withheld and back.verdict.word == "worse"


def test_a_seed_that_dominates_the_interval_is_named(tmp_path: Path) -> None:
    after = [accuracy - 0.001 - seed / 10_000 for seed, accuracy in enumerate(BEFORE[:6])]
    after[4] = 0.1  # it collapsed
    comparison = judged(tmp_path, after)
    assert comparison.contrasts[0].dominating == 4
    assert any(
        "seed 4 dominates the interval; the others differ by -0.12 pp" in note for note in wording.notes(comparison)
    )


def test_no_seed_of_an_ordinary_comparison_dominates(runs: tuple[Run, Run]) -> None:
    assert compare(list(runs)).contrasts[0].dominating is None


def test_new_images_are_a_question_of_their_own(runs: tuple[Run, Run]) -> None:
    (contrast,) = compare(list(runs)).contrasts
    inner, outer = contrast.interval, contrast.crossed_interval
    assert inner and outer and outer[0] <= inner[0] and inner[1] <= outer[1]
    said = wording.new_images(contrast)
    assert said.startswith("on new images too: ") and "from the seeds" in said and "from the images" in said
    assert wording.new_images(compare(list(runs), metric="test_loss").contrasts[0]) == ""


def test_where_the_images_leave_more_than_the_margin_no_seeds_will_do(runs: tuple[Run, Run]) -> None:
    (contrast,) = compare(list(runs), min_effect=0.0005).contrasts
    crossed = contrast.crossed
    assert crossed and crossed.images_half > 0.0005
    if contrast.crossed_verdict.word == "inconclusive":
        assert "no number of seeds will do" in wording.new_images(contrast)
        needed = wording.rounded(crossed.images_needed(0.0005) or 0)
        assert f"about {needed:,} test images would" in wording.new_images(contrast)


def test_the_advice_names_its_question(tmp_path: Path) -> None:
    (contrast,) = judged(tmp_path, [0.974, 0.978, 0.971, 0.979, 0.972]).contrasts
    said = wording.advice(contrast)
    assert "to find a difference of the margin" in said and "of the size seen (-0.02 pp)" in said
    assert "to show that both are as good" in said
    low = contrast.more_seeds(0.001).low
    assert low and f"about {wording.rounded(low):,} to " in said
    assert contrast.crossed and contrast.crossed.noise > 0
    assert wording.advice(judged(tmp_path / "x", [0.9] * 5).contrasts[0]) == "", "nothing is open"


def test_a_second_sentence_speaks_of_overfitting(tmp_path: Path) -> None:
    a = write_run(tmp_path, "a", BEFORE[:5], last_val_loss=0.6)
    b = write_run(tmp_path, "b", BEFORE[:5], last_val_loss=0.3, rate=0.5)
    (contrast,) = compare([a, b]).contrasts
    assert wording.overfitting(contrast) == "", "all differences are equal here, and have no interval"
    uneven = {
        key: replace(row, difference=paired([0.3, 0.31, 0.29, 0.3, 0.32], [0.1, 0.12, 0.09, 0.1, 0.1]))
        for key, row in contrast.rows.items()
        if key in ("gap", "overfitting")
    }
    said = wording.overfitting(replace(contrast, rows=contrast.rows | uneven))
    assert said.startswith("dropout.rate 0.5 overfits clearly less: gap (clean) ") and "rise of val loss" in said
    mixed = uneven | {"gap": replace(uneven["gap"], difference=paired([0.1, 0.12, 0.09], [0.3, 0.31, 0.29]))}
    assert "less in one way and more in another" in wording.overfitting(replace(contrast, rows=contrast.rows | mixed))
    wide = {key: replace(row, difference=paired([0.1, 0.3, 0.2], [0.3, 0.1, 0.21])) for key, row in uneven.items()}
    assert wording.overfitting(replace(contrast, rows=contrast.rows | wide)).startswith("not told apart")


def test_json_has_both_questions_and_the_looks(runs: tuple[Run, Run], tmp_path: Path) -> None:
    looks = Looks(tmp_path)
    look(runs, 5, looks)
    comparison = compare(list(runs), looks=looks)
    (candidate,) = to_json_dict(comparison)["candidates"]
    verdict, images = candidate["verdict"], candidate["new_images"]
    assert verdict["first_look"] is False and verdict["looks"] == [
        {"metric": "test_accuracy", "seeds": [0, 1, 2, 3, 4], "sequential": False, "confirms": False}
    ]
    assert verdict["interval"][0] < verdict["fixed_interval"][0] < verdict["fixed_interval"][1] < verdict["interval"][1]
    assert images["verdict"]["word"] and images["images"] == 1000 and images["interval"]
    assert "on new images too" in to_text(comparison)


def test_the_whole_family_shares_the_error(tmp_path: Path) -> None:
    a = write_run(tmp_path, "a", BEFORE)
    others = [
        write_run(tmp_path, name, [accuracy - by / 1000 for accuracy in BEFORE], rate=by / 10)
        for name, by in zip("bcd", (1, 2, 3), strict=True)
    ]
    comparison = compare([a, *others])
    for contrast in comparison.contrasts:
        difference = contrast.rows["test_accuracy"].difference
        assert contrast.interval == difference.around(statistics.ALPHA / 3)
    assert any("the intervals are simultaneous: all 3 hold together" in note for note in wording.notes(comparison))
