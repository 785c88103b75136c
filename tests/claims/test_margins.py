"""Every judge of a claim with training, just inside and just outside of its margin.

A world here is exact: what a claim is about has a given mean and a given half-width of its 95 % interval over five
seeds. All bounds are written out, so that a judge with another margin, another arm or another sign fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.stats

from dropout_lab.claims.registry import CLAIMS

Seeds = Any  # a number for each of five seeds, (5,), or one number for all of them
SEEDS = 5
PATTERN = np.arange(SEEDS) - 2.0
PATTERN /= scipy.stats.t.ppf(0.975, SEEDS - 1) * PATTERN.std(ddof=1) / math.sqrt(SEEDS)  # interval of -1 to 1


def by_seed(values: Seeds) -> dict[int, float]:
    return dict(enumerate(np.broadcast_to(values, SEEDS).tolist()))


class World:
    """What runs would have recorded. table: by arm, or by (arm, metric), values; what is not in it is `otherwise`.

    curves: by arm, or by (arm, column), the values of every epoch. passes: by number of passes, from 1, their error.
    """

    def __init__(
        self,
        table: Mapping[Any, Seeds] | None = None,
        otherwise: float = 0.5,
        curves: Mapping[Any, Sequence[Seeds]] | None = None,
        passes: Sequence[Seeds] = (),
    ) -> None:
        self.table, self.otherwise, self._curves, self.passes = table or {}, otherwise, curves or {}, passes

    def values(self, arm: str, metric: str) -> dict[int, float]:
        return by_seed(self.table.get((arm, metric), self.table.get(arm, self.otherwise)))

    def curves(self, arm: str, column: str) -> dict[int, list[float]]:
        curve = self._curves.get((arm, column), self._curves.get(arm, [0.5] * 100))
        return {seed: [by_seed(values)[seed] for values in curve] for seed in range(SEEDS)}

    def averaging(self, arm: str) -> dict[int, tuple[list[tuple[float, float]], float]]:
        """The sd is 0.001 and weight scaling's error 0.02."""
        return {seed: ([(by_seed(own)[seed], 0.001) for own in self.passes], 0.02) for seed in range(SEEDS)}

    def ablation(self, arm: str) -> dict[int, float]:
        return self.values(arm, "ablation")

    def information(self, arm: str) -> tuple[dict[int, float], dict[int, float]]:
        return self.values("wrong", arm), self.values("right", arm)

    def rotation(self, arm: str) -> tuple[dict[int, float], dict[int, float]]:
        return self.values("upright", arm), self.values("turned", arm)

    def activity(self, arm: str) -> tuple[dict[int, float], dict[int, float]]:
        return self.values(arm, "mean"), self.values(arm, "zeros")


# What a ruling is about: from its bound, means and half-widths of the interval, and the words for them. Each word turns
# where the interval or the mean passes the bound, or 0, by a tenth of the half-width.
Cases = Callable[[float], list[tuple[float, float, str]]]


def above(bound: float) -> list[tuple[float, float, str]]:
    """The mean is above the bound: the whole interval is."""
    h = 1e-4
    sides = (1.1, "HOLDS"), (0.9, "UNDECIDED"), (-0.9, "UNDECIDED"), (-1.1, "FAILS")
    return [(bound + place * h, h, word) for place, word in sides]


def below(bound: float) -> list[tuple[float, float, str]]:
    return [(2 * bound - mean, half, word) for mean, half, word in above(bound)]


def beyond(margin: float) -> list[tuple[float, float, str]]:
    """A difference is more than chance, and more than the margin on average."""
    if not margin:
        return above(0.0)
    return [
        (1.02 * margin, 0.99 * margin, "HOLDS"),
        (1.02 * margin, 1.05 * margin, "UNDECIDED"),  # perhaps below 0
        (0.98 * margin, 0.05 * margin, "UNDECIDED"),  # perhaps above the margin
        (0.98 * margin, 0.01 * margin, "FAILS"),
    ]


def within(margin: float) -> list[tuple[float, float, str]]:
    """A difference is less than the margin, to either side."""
    h = margin / 10
    sides = (-1.1, "HOLDS"), (-0.9, "UNDECIDED"), (0.9, "UNDECIDED"), (1.1, "FAILS")
    return [(sign * (margin + place * h), h, word) for place, word in sides for sign in (1, -1)]


def beside(margin: float) -> list[tuple[float, float, str]]:
    """The same of a difference that is never negative."""
    return [(mean, half, word) for mean, half, word in within(margin) if mean > 0]


def as_good(margin: float) -> list[tuple[float, float, str]]:
    """It is worse by a standard error at most, which is 0.36 of a half-width, and surely by less than the margin."""
    return [
        (0.3 * 0.76 * margin, 0.76 * margin, "HOLDS"),  # up to 0.988 of the margin
        (0.3 * 0.78 * margin, 0.78 * margin, "UNDECIDED"),  # up to 1.014
        (0.34 * 0.1 * margin, 0.1 * margin, "HOLDS"),
        (0.38 * 0.1 * margin, 0.1 * margin, "UNDECIDED"),
        (0.9 * 0.1 * margin, 0.1 * margin, "UNDECIDED"),
        (1.1 * 0.1 * margin, 0.1 * margin, "FAILS"),
    ]


RATES = 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7
INPUTS = 0.0, 0.1, 0.2, 0.5, 0.8, 0.95
SIZES = 1000, 5000, 20_000, 54_000
AMOUNTS = 100, 500, 1000, 5000, 10_000, 50_000
KEPT = 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0
WIDTHS = 32, 64, 128, 256
CLEAN, TEST, VAL = "clean_train_accuracy", "test_accuracy", "val_accuracy"
RELU, TANH = (tuple(f"{name} {kind}" for kind in ("none", "dropout", "dropconnect")) for name in ("relu", "tanh"))
EARLY, NEVER = (("small early", "clean_train_loss"), ("small none", "clean_train_loss"))
FAST = "lr 0.5, momentum 0.5, max-norm", "lr 0.5, momentum 0.95, max-norm"
SLOW = "lr 0.05, momentum 0.95, max-norm", "lr 0.5, momentum 0.95, free", "lr 0.05, momentum 0.5, free"


def over(names: str, places: Sequence[float], values: Callable[[float], Seeds], metric: str = TEST) -> dict[Any, Seeds]:
    """Values of the arms "NAMES PLACE"."""
    return {(f"{names} {place:g}", metric): values(place) for place in places}


def best(arms: Sequence[str], first: str, second: str, metric: str, sign: int = 1) -> Callable[[Seeds], World]:
    """Two arms ahead of the others, the first by q ahead of the second. sign: -1 where least is best."""
    return lambda q: World(
        {(arm, metric): 0.9 - 0.01 * sign for arm in arms} | {(first, metric): 0.9 + sign * q, (second, metric): 0.9}
    )


def input_arms(first: float, second: float) -> Callable[[Seeds], World]:
    return best([f"input {rate:g}" for rate in INPUTS], f"input {first:g}", f"input {second:g}", VAL)


def half_beside(net: str, rival: float) -> Callable[[Seeds], World]:
    """S10: a rate of 0.5 is by q worse than another one, which is the best."""
    return lambda q: World(over(f"{net} rate", RATES, lambda r: {0.5: 0.9 - q, rival: 0.9}.get(r, 0.85), VAL))


def kept(first: float, second: float, metric: str = TEST, sign: int = 1) -> Callable[[Seeds], World]:
    return best([f"keep {keep:g}" for keep in KEPT], f"keep {first:g}", f"keep {second:g}", metric, sign)


def cells(first: str, second: str) -> Callable[[Seeds], World]:
    return best(list(CLAIMS["P13"].arms), first, second, TEST)


def table_9(first: str, second: str) -> Callable[[Seeds], World]:
    """The learning rate 0.05 is the better one on validation; with 0.01 the test images tell otherwise."""

    def world(q: Seeds) -> World:
        arms = list(CLAIMS["P3"].arms)
        better = {first: 0.98 + q, second: 0.98}
        test = {(arm, TEST): better.get(arm.partition(",")[0], 0.97) if arm.endswith("5") else 0.999 for arm in arms}
        return World(test | {(arm, VAL): 0.95 if arm.endswith("5") else 0.9 for arm in arms})

    return world


def shapes(worst: str, rival: str) -> Callable[[Seeds], World]:
    """Each is best in its second epoch of three."""

    def world(q: Seeds) -> World:
        all_dropout = {arm: [0.5, 0.99, 0.6] for arm in CLAIMS["P5"].arms if arm.startswith("dropout")}
        all_plain = {arm: [0.5, 0.93, 0.6] for arm in CLAIMS["P5"].arms if arm.startswith("plain")}
        named = {f"dropout {worst}": [0.5, 0.95 + q, 0.6], f"plain {rival}": [0.5, 0.95, 0.6]}
        return World(curves=all_dropout | all_plain | named)

    return world


def gains(most: int, rival: int) -> Callable[[Seeds], World]:
    """P7: with so many images the gain is by q larger than with so many others, which is larger than the rest."""
    return lambda q: World(
        over("plain", AMOUNTS, lambda n: 0.9)
        | over("dropout", AMOUNTS, lambda n: 0.92 + q if n == most else 0.92 if n == rival else 0.91)
    )


def flat(at: float) -> Callable[[Seeds], World]:
    """P8: one of the middle is by q worse than the rest of it; what lies outside is much worse."""
    return lambda q: World(
        over("keep", KEPT, lambda keep: 0.95 - q if keep == at else 0.95 if 0.4 <= keep <= 0.8 else 0.85)
    )


def apart(better: str, worse: str, metric: str = TEST, level: float = 0.9, sign: int = 1) -> Callable[[Seeds], World]:
    """The metric of one arm is by q above that of another; sign -1: below."""
    return lambda q: World({(better, metric): level + sign * q, (worse, metric): level})


def lower(least: str, other: str, metric: str = TEST, level: float = 0.9) -> Callable[[Seeds], World]:
    return apart(least, other, metric, level, -1)


def slopes(names: str, base: float, others: str, metric: str = TEST) -> Callable[[Seeds], World]:
    """S30: per doubling of the width one gains `base`, and the others less by q."""
    return lambda q: World(
        over(names, WIDTHS, lambda w: 0.8 + base * math.log2(w))
        | over(others, WIDTHS, lambda w: 0.8 + (base - q) * math.log2(w))
    )


def curved(**curves: Callable[[Seeds], Sequence[Seeds]]) -> Callable[[Seeds], World]:
    return lambda q: World(curves={arm: curve(q) for arm, curve in curves.items()})


# (claim, number of the ruling, kind of bound, bound, worlds in which what is ruled on is q)
QUANTITIES: list[tuple[str, int, Cases, float, tuple[Callable[[Seeds], World], ...]]] = [
    ("S1", 0, above, 0.97, (lambda q: World({("plain", TEST): q}),)),
    ("S2", 1, above, 0.005, (lambda q: World(curves={("plain", "val_loss"): [0.2, 0.1, 0.15, 0.1 + q]}),)),
    ("S3", 0, beyond, 0.005, (lower("dropout", "plain", "val_loss"),)),
    ("S3", 1, beyond, 0.005, (lower("dropout", "plain", "best_val_loss"),)),
    (
        "S4",
        1,
        beyond,
        0,
        (curved(dropout=lambda q: [0.8, 0.7, 0.9 + q, 0.1], plain=lambda q: [0.7, 0.8, 0.9, 0.95]),),
    ),
    ("S5", 0, above, 0.975, (lambda q: World({("dropout", VAL): q}),)),
    ("S5", 1, beyond, 0, (apart("dropout", "plain", VAL),)),
    ("S5", 2, beyond, 0, (curved(dropout=lambda q: [0.9, 0.96 + q, 0.7], plain=lambda q: [0.96, 0.8, 0.9]),)),
    ("S6", 0, within, 0.005, (apart("dropout", "plain"),)),
    (
        "S7",
        0,
        above,
        0,
        (lambda q: World(over("dropout", SIZES, lambda n: 0.5 + q * math.log10(n))),),
    ),
    ("S7", 1, below, 0.001, (apart("rate 0.2", "plain 54000"),)),
    ("S10", 0, as_good, 0.005, (half_beside("K", 0.3), half_beside("K", 0.7))),
    ("S10", 1, as_good, 0.005, (half_beside("wide", 0.0), half_beside("wide", 0.6))),
    ("S11", 0, beyond, 0, (lower("dropout", "plain", "ablation"),)),
    ("S14", 0, beyond, 0, (input_arms(0.8, 0.5), input_arms(0.95, 0.2))),
    ("S26", 0, beyond, 0, (input_arms(0.0, 0.5), input_arms(0.1, 0.95), input_arms(0.2, 0.5))),
    ("S21", 0, as_good, 0.002, (lower("batch", "dropout"),)),
    ("S22", 0, beyond, 0, (lower("dropout", "plain", CLEAN), apart("dropout", "plain", TEST))),
    (
        "S25",
        1,
        below,
        0.002,
        (lambda q: World(over("rate", (0.5, 0.6, 0.7, 0.8), lambda r: 0.9 + q * r)),),
    ),
    ("S27", 0, as_good, 0.002, (lower("gaussian", "bernoulli"),)),
    ("S30", 0, below, 0.001, (lambda q: World(over("l2", WIDTHS, lambda w: 0.8 + q * math.log2(w))),)),
    ("S30", 1, beyond, 0, (slopes("dropout", 0.01, "l2"),)),
    ("S30", 2, beyond, 0, (slopes("dropout", 0.01, "plain"),)),
    ("S30", 3, beyond, 0, (apart("dropout 256", "l2 256"),)),
    ("P1", 0, beyond, 0, (apart("hidden", "none"),)),
    ("P1", 1, beyond, 0, (apart("both", "hidden"),)),
    ("P1", 2, below, 0.016, (lambda q: World({("both", TEST): 1 - q}),)),
    ("P2", 0, beyond, 0, (curved(none=lambda q: [0.9] * 60, hidden=lambda q: [0.9 - q] * 20 + [0.95] * 40),)),
    ("P2", 1, beyond, 0, (curved(none=lambda q: [0.9] * 60, hidden=lambda q: [0.8] * 40 + [0.9 + q] * 20),)),
    ("P3", 0, beyond, 0, (table_9("dropout + max-norm", "dropout + l2"), table_9("dropout + max-norm", "max-norm"))),
    ("P3", 1, beyond, 0, (table_9("dropout + max-norm", "l2"), table_9("dropout + l2", "l1 and l2"))),
    ("P4", 0, below, 0.014, (lambda q: World({("net", TEST): 1 - q}),)),
    ("P5", 0, beyond, 0, (shapes("2 x 256", "3 x 512"), shapes("3 x 512", "2 x 512"))),
    ("P6", 0, as_good, 0.002, (lower("gaussian", "bernoulli"),)),
    ("P7", 0, below, 0.005, (apart("dropout 100", "plain 100"),)),
    ("P7", 1, below, 0.005, (apart("dropout 500", "plain 500"),)),
    ("P7", 2, beyond, 0, (gains(1000, 500), gains(5000, 50_000), gains(10_000, 50_000))),
    ("P8", 0, beside, 0.0025, (flat(0.4), flat(0.6), flat(0.8))),
    ("P8", 1, beyond, 0, (lower("keep 0.1", "keep 0.5"),)),
    ("P8", 2, beyond, 0, (kept(0.1, 0.2, CLEAN, -1),)),
    ("P8", 3, beyond, 0, (lower("keep 1", "keep 0.6"),)),
    ("P9", 0, beyond, 0.003, (apart("keep 0.1", "fixed 0.1"),)),
    ("P9", 1, beyond, 0, (kept(0.4, 0.3), kept(0.5, 0.9), kept(0.7, 0.8))),
    ("P10", 0, beyond, 0, (lambda q: World(passes=[0.03, *[0.001] * 98, 0.03 - q]),)),
    ("P11", 0, beyond, 0, (lambda q: World({("dropout", "mean"): 2 * (1 - q), ("plain", "mean"): 1}),)),
    ("P11", 1, beyond, 0, (lower("dropout", "plain", "mean"),)),
    ("P11", 2, beyond, 0, (apart("dropout", "plain", "zeros"),)),
    ("P11", 3, as_good, 0.005, (lower("dropout", "plain"),)),
    ("P13", 0, beyond, 0, tuple(cells(fast, slow) for fast in FAST for slow in SLOW)),
    ("P14", 0, as_good, 0.002, (lower("dropout 64", "plain 32"),)),
    ("P14", 1, as_good, 0.002, (lower("dropout 128", "plain 64"),)),
    ("P14", 2, as_good, 0.002, (lower("dropout 256", "plain 128"),)),
    ("P15", 0, beyond, 0, tuple(best(RELU, "relu none", rival, TEST, -1) for rival in RELU[1:])),
    ("P15", 1, beyond, 0, tuple(best(TANH, "tanh dropconnect", rival, TEST) for rival in TANH[:2])),
    ("P16", 0, beyond, 0, (apart("turned", "upright", "net"),)),
    ("P16", 1, beyond, 0, (apart("wrong", "right", "net"),)),
    ("P17", 0, beyond, 0, (lambda q: World(curves={EARLY: [0.1, 0.4 - q], NEVER: [0.1, 0.4]}),)),
    ("P17", 1, beyond, 0, (apart("large late", "large none"),)),
    ("P18", 0, as_good, 0.002, (lower("curriculum", "constant"),)),
]


def rows() -> list[Any]:
    return [
        pytest.param(id, number, world(mean + half * PATTERN), word, id=f"{id}-{number}-{index}-{mean:.5g}-{word}")
        for id, number, kind, bound, worlds in QUANTITIES
        for index, world in enumerate(worlds)
        for mean, half, word in kind(bound)
    ]


@pytest.mark.parametrize(("id", "number", "world", "word"), rows())
def test_a_word_turns_at_its_margin(id: str, number: int, world: World, word: str) -> None:
    """`number` is that of the ruling; S25's first needs no world."""
    ruling = CLAIMS[id].judge(world)[number]
    assert ruling.word == word, ruling


# Counts of epochs and of passes


def at(count: int, of: int = 10, low: float = 0.1, high: float = 0.2) -> list[float]:
    """A curve whose only low value is that of an epoch."""
    return [low if epoch == count else high for epoch in range(1, of + 1)]


def each(curves: Sequence[Sequence[float]]) -> list[Seeds]:
    """The values of every epoch from a curve for every seed."""
    return [np.array(values) for values in zip(*curves, strict=True)]


@pytest.mark.parametrize(
    ("lowest", "word"),
    [([4] * 5, "HOLDS"), ([1, 1, 2, 3, 4], "HOLDS"), ([1, 2, 3, 4, 5], "UNDECIDED"), ([5] * 5, "FAILS")],
)
def test_s2_is_about_the_lowest_of_four_epochs(lowest: list[int], word: str) -> None:
    world = World(curves={("plain", "val_loss"): each([at(epoch) for epoch in lowest])})
    assert CLAIMS["S2"].judge(world)[0].word == word


@pytest.mark.parametrize(
    ("dropout", "plain", "word"), [(3, 4, "HOLDS"), (3, 3, "UNDECIDED"), (4, 3, "FAILS"), (10, 11, "HOLDS")]
)
def test_s4_counts_epochs_up_to_97_percent(dropout: int, plain: int, word: str) -> None:
    """Exactly 0.97 is enough and 0.9699 is not; what is never reached counts as one epoch past the end, 11."""
    curves = {name: at(epoch, low=0.97, high=0.9699) for name, epoch in (("dropout", dropout), ("plain", plain))}
    assert CLAIMS["S4"].judge(World(curves=curves))[0].word == word


@pytest.mark.parametrize(
    ("first", "word"),
    [
        ([20] * 5, "HOLDS"),
        ([100] * 5, "HOLDS"),
        ([20, 40, 50, 70, 100], "HOLDS"),
        ([19] * 5, "FAILS"),
        ([19, 20, 50, 50, 50], "UNDECIDED"),
        ([101] * 5, "FAILS"),
        ([50, 50, 50, 50, 101], "UNDECIDED"),
    ],
)
def test_p10_counts_passes_up_to_one_sd_of_weight_scaling(first: list[int], word: str) -> None:
    """With an sd of 0.001 about 0.02, an error of 0.0209 is near and one of 0.0211 is not, from either side."""
    for near, far in ((0.0209, 0.0211), (0.0191, 0.0189)):
        world = World(passes=each([at(count, 110, near, far) for count in first]))
        assert CLAIMS["P10"].judge(world)[1].word == word


@pytest.mark.parametrize(
    ("none", "hidden", "word"),
    [
        (10, 16, "HOLDS"),
        (10, 49, "HOLDS"),
        (10, 15, "UNDECIDED"),
        (10, 50, "UNDECIDED"),
        (10, 14, "FAILS"),
        (10, 51, "FAILS"),
    ],
)
def test_p12_allows_ratios_from_one_and_a_half_to_five(none: int, hidden: int, word: str) -> None:
    for number, (column, low, high) in enumerate(
        (("clean_train_loss", 0.05, 0.0501), ("clean_train_loss", 0.01, 0.0101), ("val_loss", 0.1, 0.2))
    ):
        curves = {(name, column): at(epoch, 60, low, high) for name, epoch in (("none", none), ("hidden", hidden))}
        assert CLAIMS["P12"].judge(World(curves=curves))[number].word == word


@pytest.mark.parametrize(
    ("number", "column", "hidden", "word"),
    [
        (0, "clean_train_loss", 30, "HOLDS"),  # reached in the last epoch is reached
        (0, "clean_train_loss", 31, "UNDECIDED"),  # never reached: 31 or more
        (2, "val_loss", 29, "HOLDS"),
        (2, "val_loss", 30, "UNDECIDED"),  # a lower one may follow the last epoch
    ],
)
def test_p12_does_not_count_what_was_not_reached(number: int, column: str, hidden: int, word: str) -> None:
    curves = {(name, column): at(epoch, 30, 0.05) for name, epoch in (("none", 10), ("hidden", hidden))}
    assert CLAIMS["P12"].judge(World(curves=curves))[number].word == word


def test_every_ruling_of_a_trained_claim_has_its_margin_here() -> None:
    counted = {("S2", 0), ("S4", 0), ("P10", 1), ("P12", 0), ("P12", 1), ("P12", 2), ("S25", 0)}
    level = World(passes=[0.02] * 100)
    trained = {claim.id: len(claim.judge(level)) for claim in CLAIMS.values() if claim.arms}
    assert counted | {row[:2] for row in QUANTITIES} == {(id, n) for id, of in trained.items() for n in range(of)}
