"""Power: seeds for an effect, from the spread that was seen, never below the noise of the images."""

from __future__ import annotations

from pathlib import Path

import pytest
import scipy.stats
from comparable import write_run

from dropout_lab.comparison.compare import Contrast, compare
from dropout_lab.comparison.inference import seeds_needed
from dropout_lab.comparison.power import power

BEFORE = [0.975, 0.976, 0.974, 0.977, 0.973]


def contrast(tmp_path: Path, after: list[float]) -> Contrast:
    (found,) = compare([write_run(tmp_path, "a", BEFORE[: len(after)]), write_run(tmp_path, "b", after)]).contrasts
    return found


def test_the_seeds_for_an_effect_are_those_of_the_paired_t_test(tmp_path: Path) -> None:
    found = contrast(tmp_path, [0.971, 0.978, 0.970, 0.979, 0.969])
    assert found.row and found.row.difference.sd
    answer = power(found, [0.001, 0.005])
    assert answer.seeds == 5 and answer.sd == max(found.row.difference.sd, found.noise)
    assert [one.effect for one in answer.needed] == [0.001, 0.005]
    for one in answer.needed:
        assert one.seeds == seeds_needed(answer.sd, one.effect)
        assert one.low and one.seeds and one.high and one.low <= one.seeds <= one.high
        assert one.equal == seeds_needed(answer.sd, one.effect, equal=True)
    chi = scipy.stats.chi2.ppf([0.9, 0.1], 4)
    assert answer.limits == pytest.approx([max(answer.noise, answer.sd * (4 / q) ** 0.5) for q in chi])


def test_power_grows_with_the_seeds_and_reaches_four_fifths_where_it_is_said(tmp_path: Path) -> None:
    answer = power(contrast(tmp_path, [0.971, 0.978, 0.970, 0.979, 0.969]), [0.004])
    needed = answer.needed[0].seeds
    assert needed
    before, there = answer.curve(0.004, [needed - 1, needed])
    assert before < 0.8 <= there
    assert answer.curve(0.004) == sorted(answer.curve(0.004))


def test_without_an_effect_margins_and_the_size_seen_are_shown(tmp_path: Path) -> None:
    found = contrast(tmp_path, [0.971, 0.978, 0.970, 0.979, 0.969])
    effects = [one.effect for one in power(found).needed]
    assert effects == sorted(effects) and 0.001 in effects
    assert found.row and any(effect == abs(found.row.difference.mean) for effect in effects)


def test_a_lucky_spread_is_not_believed(tmp_path: Path) -> None:
    found = contrast(tmp_path, [0.974, 0.975, 0.9731, 0.976, 0.972])
    answer = power(found, [0.001])
    assert answer.noise > 0 and answer.sd >= answer.noise


@pytest.mark.parametrize("after", [[0.97], [0.97, 0.98]])
def test_too_few_pairs_tell_no_spread(tmp_path: Path, after: list[float]) -> None:
    with pytest.raises(ValueError, match="three pairs"):
        power(contrast(tmp_path, after))
