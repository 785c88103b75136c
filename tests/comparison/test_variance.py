"""Variance components: a crossing whose components are known, the sums of squares by hand, and the coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dropout_lab.comparison.variance import components, mean_square

STREAMS = ("init", "order", "masks")
TRUE = {("init",): 0.5, ("order",): 0.2, ("masks",): 0.3, ("init", "masks"): 0.25, STREAMS: 0.7}


def crossing(random: np.random.Generator, levels: int) -> np.ndarray:
    """Values whose effects have the sds of TRUE."""
    values = np.zeros((levels,) * 3)
    for streams, sd in TRUE.items():
        shape = [levels if name in streams else 1 for name in STREAMS]
        values = values + random.normal(0, sd, shape)
    return values


def test_sums_of_squares_by_hand() -> None:
    values = np.array([[1.0, 3.0], [2.0, 8.0]])  # rows: init, columns: order; mean 3.5
    assert mean_square(values, (0,)) == pytest.approx(2 * ((2 - 3.5) ** 2 + (5 - 3.5) ** 2))
    assert mean_square(values, (1,)) == pytest.approx(2 * ((1.5 - 3.5) ** 2 + (5.5 - 3.5) ** 2))
    assert mean_square(values, (0, 1)) == pytest.approx(4 * 1.0)  # (1 - 2 - 1.5 + 3.5) ** 2 in each cell
    found = components(values, ("init", "order"))
    by = {part.streams: part.sd**2 for part in found.parts}
    assert by == pytest.approx({("init",): (9 - 4) / 2, ("order",): (16 - 4) / 2, ("init", "order"): 4.0})
    assert found.total**2 == pytest.approx(2.5 + 6 + 4) and found.mean == 3.5
    assert found.shared(["init"]) == pytest.approx(2.5 / 12.5)
    assert found.shared(["init", "order"]) == pytest.approx(1.0)


def test_the_squares_are_all_there_is() -> None:
    """Sums of squares over all sets are the whole sum of squares about the mean."""
    values = np.random.default_rng(0).normal(0, 1, (4, 4, 4))
    sets = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    total = sum(mean_square(values, chosen) * 3 ** len(chosen) for chosen in sets)
    assert total == pytest.approx(((values - values.mean()) ** 2).sum())


def test_known_components_are_found_without_bias() -> None:
    random = np.random.default_rng(1)
    found = [{part.streams: part.sd**2 for part in components(crossing(random, 8), STREAMS).parts} for _ in range(60)]
    for streams, sd in TRUE.items():
        mean = np.mean([one[streams] for one in found])
        assert mean == pytest.approx(sd**2, abs=0.05)


def test_the_whole_variance_is_found_without_bias_also_where_most_components_are_zero() -> None:
    random = np.random.default_rng(4)
    totals = [components(random.normal(0, 1, (3, 3, 3)), STREAMS).total ** 2 for _ in range(200)]
    assert np.mean(totals) == pytest.approx(1.0, abs=0.06)


def test_the_intervals_cover_the_truth() -> None:
    random, hits = np.random.default_rng(2), 0
    for _ in range(150):
        found = components(crossing(random, 5), STREAMS)
        hits += sum(
            part.interval[0] <= TRUE[part.streams] <= part.interval[1] for part in found.parts if part.streams in TRUE
        )
    assert 0.92 <= hits / (150 * len(TRUE)) <= 1.0


def test_a_component_is_not_negative_and_shares_add_up() -> None:
    found = components(np.random.default_rng(3).normal(0, 1, (3, 3, 3)), STREAMS)
    assert all(part.sd >= 0 for part in found.parts) and math.fsum(part.share for part in found.parts) == pytest.approx(
        1
    )
    assert found.alone("order").streams == ("order",)
    flat = components(np.ones((3, 3)), ("init", "order"))
    assert flat.total == 0 and all(part.share == 0 for part in flat.parts)


def test_the_shape_must_be_a_full_crossing() -> None:
    for shape in ((3, 2), (1, 1), (3,)):
        with pytest.raises(ValueError, match="one axis"):
            components(np.zeros(shape), ("init", "order"))
