"""The criteria of the claims that need runs: what an arm recorded in, rulings out. claims.py names them.

Every function is pure and small: it picks the numbers that its claim is about, and leaves the verdict to criteria.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Protocol

from dropout_lab import identities
from dropout_lab.criteria import (
    OPPOSITE,
    Ruling,
    Values,
    Word,
    above,
    alike,
    exact,
    higher,
    highest,
    lower,
    percent,
    plain,
    points,
    slope,
    too_few,
)
from dropout_lab.statistics import FEWEST

Rulings = tuple[Ruling, ...]
Curves = Mapping[int, Sequence[float]]  # by seed, a value for every epoch

TEST = 10_000  # test images of MNIST
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of S10
SIZES = (1000, 5000, 20_000, 54_000)  # training images of S7
INPUT_RATES = (0.0, 0.1, 0.2, 0.5, 0.8, 0.95)  # of S14 and S26
HIGH = (0.5, 0.6, 0.7, 0.8)  # rates of S25
WIDTHS = (32, 64, 128, 256)  # of S30
SHAPES = {f"{layers} x {width}": (width,) * layers for layers in (2, 3) for width in (256, 512)}  # of P5
AMOUNTS = (100, 500, 1000, 5000, 10_000, 50_000)  # training images of P7
KEPT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of P8 and P9
CELLS = {  # of P13: learning rate, momentum, and whether there is max-norm
    f"lr {rate:g}, momentum {momentum:g}, {'max-norm' if norm else 'free'}": (rate, momentum, norm)
    for rate in (0.05, 0.5)
    for momentum in (0.5, 0.95)
    for norm in (False, True)
}
HALVES = (64, 128, 256)  # widths of P14


class Evidence(Protocol):
    """What the arms of a claim recorded."""

    def values(self, arm: str, metric: str) -> Values:
        """Return a metric of METRICS by seed."""

    def curves(self, arm: str, column: str) -> Curves:
        """Return a column of metrics.csv by seed, in the order of the epochs."""

    def averaging(self, arm: str) -> Mapping[int, tuple[Sequence[tuple[float, float]], float]]:
        """Return by seed mean and sd of the error of k averaged passes, k = 1, 2, ..., and weight scaling's error."""

    def ablation(self, arm: str) -> Values:
        """Return by seed the mean error over all numbers of important units taken out."""

    def information(self, arm: str) -> tuple[Values, Values]:
        """Return by seed the mean mutual information of the images that are wrong, and of those that are right."""


# The articles


def reaches_97(e: Evidence) -> Rulings:
    return (above(e.values("plain", "test_accuracy"), 0.97, percent),)


def stops_after_3(e: Evidence) -> Rulings:
    curves = e.curves("plain", "val_loss")
    if len(curves) < FEWEST:
        return (too_few(dict.fromkeys(curves, 0.0)),)
    best = {seed: curve.index(min(curve)) + 1 for seed, curve in ((s, list(c)) for s, c in curves.items())}
    rise = [curve[-1] - min(curve) for curve in curves.values()]
    middle, spread = median(best.values()), stdev(rise)
    measured = (
        f"lowest in epoch {middle:g} (median; {', '.join(map(str, sorted(best.values())))}); "
        f"from there {plain(fmean(rise))} +- {plain(spread)} up to the last epoch"
    )
    rises = fmean(rise) > 2 * spread
    return (exact(middle <= 4 and rises, measured, "the median must be 4 or less, the rise above two sd"),)


def clearly_lower(e: Evidence) -> Rulings:
    return (
        lower(
            e.values("dropout", "val_loss"), e.values("plain", "val_loss"), 0.005, plain, reading="at the last epoch"
        ),
        lower(
            e.values("dropout", "best_val_loss"),
            e.values("plain", "best_val_loss"),
            0.005,
            plain,
            reading="at each one's best epoch",
        ),
    )


def first_epoch(curve: Sequence[float], level: float) -> float:
    """Return the first epoch (from 1) at `level` or above; one more than there are where none is."""
    return next((epoch for epoch, value in enumerate(curve, start=1) if value >= level), len(curve) + 1)


def converges_faster(e: Evidence) -> Rulings:
    curves = {name: e.curves(name, "val_accuracy") for name in ("dropout", "plain")}
    epochs = {name: {s: first_epoch(c, 0.97) for s, c in own.items()} for name, own in curves.items()}
    third = {name: {s: c[2] for s, c in own.items()} for name, own in curves.items()}
    return (
        lower(epochs["dropout"], epochs["plain"], 0.0, plain, reading="epochs to 97 % validation accuracy"),
        higher(third["dropout"], third["plain"], 0.0, points, reading="validation accuracy in epoch 3"),
    )


def about_98(e: Evidence) -> Rulings:
    own, other = e.values("dropout", "val_accuracy"), e.values("plain", "val_accuracy")
    return (
        above(own, 0.975, percent, reading="dropout reaches about 98 %"),
        higher(own, other, 0.0, points, reading="more than without"),
    )


def not_very_different(e: Evidence) -> Rulings:
    return (alike(e.values("dropout", "test_accuracy"), e.values("plain", "test_accuracy"), 0.005, points),)


def grows_with_data(e: Evidence) -> Rulings:
    gains = []
    for size in SIZES:
        own, other = (e.values(f"{name} {size}", "test_accuracy") for name in ("dropout", "plain"))
        gains.append({seed: own[seed] - other[seed] for seed in own.keys() & other.keys()})
    text = ", ".join(f"{points(fmean(g.values()))} of {n:,}" for n, g in zip(SIZES, gains, strict=True) if g)
    ruling = above(slope([math.log10(size) for size in SIZES], gains), 0.0, points)
    measured = f"gain {text}; slope per tenfold data {ruling.measured}"
    return (Ruling(ruling.word, measured, "dropout's gain must grow with the number of images"),)


def half_is_a_good_default(e: Evidence) -> Rulings:
    def arms(net: str) -> dict[str, Values]:
        return {f"rate {rate:g}": e.values(f"{net} rate {rate:g}", "val_accuracy") for rate in RATES}

    return tuple(
        highest(arms(net), ["rate 0.5"], percent, within=True, reading=units)
        for net, units in (("K", "128-128"), ("wide", "512-512 (20,000 images)"))
    )


def trusted_viewers(e: Evidence) -> Rulings:
    return (lower(e.ablation("dropout"), e.ablation("plain"), 0.0, points, "mean error while units are taken out"),)


def input_arms(e: Evidence) -> dict[str, Values]:
    return {f"input {rate:g}": e.values(f"input {rate:g}", "val_accuracy") for rate in INPUT_RATES}


def close_to_one(e: Evidence) -> Rulings:
    return (highest(input_arms(e), ["input 0.8", "input 0.95"], percent),)


def at_most_a_fifth(e: Evidence) -> Rulings:
    return (highest(input_arms(e), ["input 0", "input 0.1", "input 0.2"], percent),)


def one_mask_a_batch(e: Evidence) -> Rulings:
    return (alike(e.values("batch", "test_accuracy"), e.values("dropout", "test_accuracy"), 0.002, points),)


def gap(e: Evidence, name: str) -> Values:
    clean, test = e.values(name, "clean_train_accuracy"), e.values(name, "test_accuracy")
    return {seed: clean[seed] - test[seed] for seed in clean.keys() & test.keys()}


def less_overfitting(e: Evidence) -> Rulings:
    return (lower(gap(e, "dropout"), gap(e, "plain"), 0.0, points, "clean training accuracy less test accuracy"),)


def no_more_above_half(e: Evidence) -> Rulings:
    gaps = [gap(e, f"rate {rate:g}") for rate in HIGH]
    slopes = slope(HIGH, gaps)
    text = ", ".join(f"{points(fmean(g.values()))} at {rate:g}" for rate, g in zip(HIGH, gaps, strict=True) if g)
    falling = above({seed: -value for seed, value in slopes.items()}, 0.0, points)
    word = OPPOSITE[falling.word]
    reason = "the gap must not go on falling with the rate"
    return (
        *identities.shrinkage(e),
        Ruling(word, f"gap {text}; fall per unit of rate {falling.measured}", reason, "this network"),
    )


def bigger_nets(e: Evidence) -> Rulings:
    def gain(name: str) -> Values:
        own = [e.values(f"{name} {width}", "test_accuracy") for width in WIDTHS]
        return slope([math.log2(width) for width in WIDTHS], own)

    return tuple(
        higher(gain("dropout"), gain(name), 0.0, points, f"slope of test accuracy per doubling, dropout against {text}")
        for name, text in (("plain", "no regularization"), ("l2", "l2"))
    )


# The papers


def errors(value: float) -> str:
    return f"{TEST * value:.0f} errors"


def wrong(e: Evidence, name: str) -> Values:
    return {seed: 1 - accuracy for seed, accuracy in e.values(name, "test_accuracy").items()}


def hidden_then_input(e: Evidence) -> Rulings:
    none, hidden, both = (wrong(e, name) for name in ("none", "hidden", "both"))
    return (
        lower(hidden, none, 0.0, errors, "0.5 hidden against none", reading="dropout on the hidden layers"),
        lower(both, hidden, 0.0, errors, "with the pixels against without", reading="on the pixels besides"),
        above({seed: -value for seed, value in both.items()}, -0.016, errors, reading="160 errors or fewer"),
    )


def mean_curve(curves: Curves) -> list[float]:
    return [fmean(values) for values in zip(*curves.values(), strict=True)]


def crosses(e: Evidence) -> Rulings:
    none, hidden = (e.curves(name, "val_accuracy") for name in ("none", "hidden"))
    if min(len(none), len(hidden)) < FEWEST:
        return (too_few(dict.fromkeys(hidden, 0.0)),)
    ahead = [a >= b for a, b in zip(mean_curve(hidden), mean_curve(none), strict=True)]
    last_behind = max((epoch for epoch, good in enumerate(ahead, start=1) if not good), default=0)
    behind = fmean(not good for good in ahead[:19])
    measured = f"ahead for good from epoch {last_behind + 1}; behind in {100 * behind:.0f} % of the first 19 epochs"
    never = last_behind == len(ahead)
    if never:
        measured = f"never ahead for good in {len(ahead)} epochs; behind in {sum(not good for good in ahead)} of them"
    holds = not never and last_behind + 1 >= 20 and behind > 0.5
    return (
        exact(holds, measured, "on the mean validation curve dropout must pass between epochs 20 and 100, for good"),
    )


def needs_longer(e: Evidence) -> Rulings:
    curves = {name: e.curves(name, "clean_train_loss") for name in ("none", "hidden")}
    if min(map(len, curves.values())) < FEWEST:
        return (too_few(dict.fromkeys(curves["none"], 0.0)),)
    level = 0.05
    epochs = {
        name: {s: first_epoch([-value for value in curve], -level) for s, curve in own.items()}
        for name, own in curves.items()
    }
    ratio = {s: epochs["hidden"][s] / epochs["none"][s] for s in epochs["none"].keys() & epochs["hidden"].keys()}
    low = above(ratio, 1.5)
    high = above({seed: -value for seed, value in ratio.items()}, -5.0)
    word = low.word if low.word != "HOLDS" else high.word
    text = f"to a clean training loss of {level}: {low.measured} times as many epochs"
    return (Ruling(word, text, "the ratio must lie from 1.5 to 5"),)


FAMILIES = {
    "dropout": ("dropout + max-norm", "dropout + l2"),
    "no dropout": ("none", "l2", "l1 and l2", "max-norm"),
}


def table_9(e: Evidence) -> Rulings:
    own = {name: {s: -v for s, v in wrong(e, name).items()} for group in FAMILIES.values() for name in group}
    means = {name: fmean(values.values()) for name, values in own.items() if len(values) >= FEWEST}
    if len(means) < len(own):
        return (too_few({}),)
    best = max(means, key=means.__getitem__)
    order = ", ".join(f"{name} {percent(-mean)}" for name, mean in sorted(means.items(), key=lambda item: -item[1]))
    first = exact(best == "dropout + max-norm", order, "dropout with max-norm must have the fewest errors", "the order")
    second = highest(own, FAMILIES["dropout"], percent, reading="dropout against none")
    return first, second


def near_106(e: Evidence) -> Rulings:
    return (above({seed: -value for seed, value in wrong(e, "net").items()}, -0.014, percent),)


def clusters(e: Evidence) -> Rulings:
    """Of each network the fewest validation errors of any epoch; the test images are read but once."""

    def fewest(name: str) -> dict[str, Values]:
        curves = {shape: e.curves(f"{name} {shape}", "val_accuracy") for shape in SHAPES}
        return {shape: {seed: 1 - max(curve) for seed, curve in own.items()} for shape, own in curves.items() if own}

    plain_ones, dropped = fewest("plain"), fewest("dropout")
    if not plain_ones or not dropped:
        return (too_few({}),)
    best = min(plain_ones, key=lambda shape: fmean(plain_ones[shape].values()))
    worst = max(dropped, key=lambda shape: fmean(dropped[shape].values()))
    what = f"the worst with dropout, {worst}, against the best without, {best}"
    return (lower(dropped[worst], plain_ones[best], 0.0, points, what),)


def gaussian_matches(e: Evidence) -> Rulings:
    ours, other = wrong(e, "gaussian"), wrong(e, "bernoulli")
    found = lower(ours, other, 0.0, points, "gaussian against bernoulli")
    if found.word == "FAILS" or len(ours) < FEWEST:
        return (found,)
    seeds = sorted(ours.keys() & other.keys())
    differences = [ours[seed] - other[seed] for seed in seeds]
    within = fmean(differences) <= stdev(differences) / math.sqrt(len(seeds))
    word: Word = "HOLDS" if within else "UNDECIDED"
    return (Ruling(word, found.measured, "its mean error must be no more than one standard error above"),)


def gains(e: Evidence) -> list[Values]:
    result: list[Values] = []
    for amount in AMOUNTS:
        plain_error, dropout_error = (wrong(e, f"{name} {amount}") for name in ("plain", "dropout"))
        result.append(
            {seed: plain_error[seed] - dropout_error[seed] for seed in plain_error.keys() & dropout_error.keys()}
        )
    return result


def gain_against_data(e: Evidence) -> Rulings:
    found = gains(e)
    if any(len(own) < FEWEST for own in found):
        return (too_few(found[0]),)
    text = ", ".join(f"{points(fmean(own.values()))} of {n:,}" for n, own in zip(AMOUNTS, found, strict=True))
    small = [alike(own, dict.fromkeys(own, 0.0), 0.005, points) for own in found[:2]]
    words = {ruling.word for ruling in small}
    word: Word = "HOLDS" if words == {"HOLDS"} else "FAILS" if "FAILS" in words else "UNDECIDED"
    middle = {f"{n:,}": own for n, own in zip(AMOUNTS, found, strict=True)}
    peak = highest(middle, [f"{n:,}" for n in AMOUNTS[1:-1]], points, reading="the gain peaks in the middle")
    return (
        Ruling(
            word, f"gain {text}", "the gain with 100 and 500 images must lie within 0.5 pp of 0", "none with few images"
        ),
        peak,
    )


def flat_in_the_middle(e: Evidence) -> Rulings:
    means = {keep: wrong(e, f"keep {keep:g}") for keep in KEPT}
    if any(len(own) < FEWEST for own in means.values()):
        return (too_few(means[0.5]),)
    middle = [fmean(means[keep].values()) for keep in KEPT if 0.4 <= keep <= 0.8]
    clean = {keep: e.values(f"keep {keep:g}", "clean_train_accuracy") for keep in KEPT}
    lowest = min(KEPT, key=lambda keep: fmean(clean[keep].values()))
    text = ", ".join(f"{percent(fmean(own.values()))} at {keep:g}" for keep, own in means.items())
    return (
        exact(max(middle) - min(middle) < 0.0025, text, "errors at keep 0.4 to 0.8 must be within 0.25 pp", "flat"),
        higher(means[0.1], means[0.5], 0.0, points, "keep 0.1 against 0.5", reading="worse where little is kept"),
        exact(
            lowest == 0.1, f"lowest clean training accuracy at keep {lowest:g}", "it must be at 0.1", "as it underfits"
        ),
    )


def rescued(e: Evidence) -> Rulings:
    fixed, widened = wrong(e, "fixed 0.1"), wrong(e, "keep 0.1")
    errors_by_keep = {f"keep {keep:g}": wrong(e, f"keep {keep:g}") for keep in KEPT}
    negative = {name: {seed: -value for seed, value in own.items()} for name, own in errors_by_keep.items()}
    return (
        lower(widened, fixed, 0.003, points, "keep 0.1 widened against not", reading="fewer errors at keep 0.1"),
        highest(
            negative,
            [f"keep {k:g}" for k in (0.4, 0.5, 0.6, 0.7)],
            percent,
            within=True,
            reading="best from 0.4 to 0.7",
        ),
    )


def fifty_passes(e: Evidence) -> Rulings:
    found = e.averaging("net")
    if len(found) < FEWEST:
        return (too_few(dict.fromkeys(found, 0.0)),)
    reached = {}
    for seed, (curve, scaling) in found.items():
        near = [k for k, (mean, sd) in enumerate(curve, start=1) if abs(mean - scaling) <= sd]
        reached[seed] = float(near[0]) if near else math.inf
    most = max(len(curve) for curve, _ in found.values())
    text = ", ".join("more" if math.isinf(k) else f"{k:.0f}" for k in sorted(reached.values()))
    means = {k: fmean(curve[k - 1][0] for curve, _ in found.values()) for k in (1, 5, 20, 50, most) if k <= most}
    curve_text = ", ".join(f"{percent(mean)} with {k}" for k, mean in means.items())
    scaling_text = percent(fmean(scaling for _, scaling in found.values()))
    good = 20 <= median(reached.values()) <= 100
    falls = all(a >= b for a, b in zip(list(means.values()), list(means.values())[1:], strict=False))
    measured = f"first k within one sd of weight scaling ({scaling_text}): {text}; error {curve_text}"
    return (exact(good and falls, measured, "the median k must lie from 20 to 100, the error fall with k"),)


def fast_and_constrained(e: Evidence) -> Rulings:
    own = {name: {s: -v for s, v in wrong(e, name).items()} for name in CELLS}
    return (highest(own, [name for name, (rate, _, norm) in CELLS.items() if norm and rate == 0.5], percent),)


def twice_as_wide(e: Evidence) -> Rulings:
    return tuple(
        lower(
            wrong(e, f"dropout {width}"),
            wrong(e, f"plain {width // 2}"),
            0.0,
            points,
            reading=f"{width} against {width // 2}",
        )
        for width in HALVES
    )


def dropconnect_order(e: Evidence) -> Rulings:
    relu = {name: {s: -v for s, v in wrong(e, f"relu {name}").items()} for name in ("none", "dropout", "dropconnect")}
    tanh = {name: {s: -v for s, v in wrong(e, f"tanh {name}").items()} for name in ("none", "dropout", "dropconnect")}
    return (
        highest(relu, ["dropout", "dropconnect"], percent, reading="relu: worst with neither"),
        highest(tanh, ["dropconnect"], percent, reading="tanh: best with DropConnect"),
    )


def uncertain_where_wrong(e: Evidence) -> Rulings:
    wrong_ones, right_ones = e.information("net")
    return (higher(wrong_ones, right_ones, 0.0, plain, "mutual information where wrong against where right"),)


def early_and_late(e: Evidence) -> Rulings:
    losses = {name: e.curves(f"small {name}", "clean_train_loss") for name in ("early", "none")}
    last = {name: {seed: curve[-1] for seed, curve in own.items()} for name, own in losses.items()}
    return (
        lower(last["early"], last["none"], 0.0, plain, reading="early: lower training loss of an underfitting net"),
        lower(
            wrong(e, "large late"),
            wrong(e, "large none"),
            0.0,
            points,
            reading="late: fewer errors of an overfitting net",
        ),
    )


def curriculum(e: Evidence) -> Rulings:
    ours, other = wrong(e, "curriculum"), wrong(e, "constant")
    found = lower(ours, other, 0.0, points)
    if found.word != "UNDECIDED" or len(ours) < FEWEST:
        return (found,)
    seeds = sorted(ours.keys() & other.keys())
    differences = [ours[seed] - other[seed] for seed in seeds]
    if fmean(differences) <= stdev(differences) / math.sqrt(len(seeds)):
        return (Ruling("HOLDS", found.measured, "its mean error must be no more than one standard error above"),)
    return (found,)
