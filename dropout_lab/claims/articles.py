"""The claims of the five articles, S1 to S30: first the judges, then ARTICLE_CLAIMS with the experiments.

A judge is small and pure: it picks the numbers that its claim is about, and criteria.py decides. The judges of claims
that need no run are in computed.py.
"""

from __future__ import annotations

import math
from statistics import fmean

from dropout_lab.claims import computed
from dropout_lab.claims.criteria import (
    Values,
    above,
    alike,
    below,
    higher,
    highest,
    lower,
    median_between,
    no_worse,
    percent,
    plain,
    points,
    slope,
)
from dropout_lab.claims.definition import Rulings, claim, rates
from dropout_lab.claims.evidence import Evidence, first_epoch, subtract, wrong

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of S10
SIZES = (1000, 5000, 20_000, 54_000)  # training images of S7
INPUT_RATES = (0.0, 0.1, 0.2, 0.5, 0.8, 0.95)  # of S14 and S26
HIGH = (0.5, 0.6, 0.7, 0.8)  # rates of S25
WIDTHS = (32, 64, 128, 256)  # of S30
CLEARLY = 0.005  # of the validation loss: what a rise (S2) or "clearly lower" (S3) must come to at least
GAINS = 0.001  # of accuracy: less than this is no gain (S7, S30)
FEW = " data.train_size={} data.train_from=random"  # of S7
FEWER = "data.train_size=20000"  # for experiments that would take too long with all images

BOTH = {"plain": "claims/article dropout.rate=0", "dropout": "claims/article dropout.rate=0.5"}
ALONE = {"plain": BOTH["plain"]}
INPUTS = {f"input {rate:g}": f"claims/article dropout.input_rate={rate:g}" for rate in INPUT_RATES}


def stops_after_3(e: Evidence) -> Rulings:
    curves = e.curves("plain", "val_loss")
    best = {seed: curve.index(min(curve)) + 1.0 for seed, curve in curves.items()}
    rise = {seed: curve[-1] - min(curve) for seed, curve in curves.items()}
    return (
        median_between(best, -math.inf, 4, reading="lowest in epoch 4 or before"),
        above(rise, CLEARLY, plain, reading="from there it rises up to the last epoch"),
    )


def clearly_lower(e: Evidence) -> Rulings:
    return tuple(
        lower(e.values("dropout", metric), e.values("plain", metric), CLEARLY, plain, reading=reading)
        for metric, reading in (("val_loss", "at the last epoch"), ("best_val_loss", "at each one's best epoch"))
    )


def converges_faster(e: Evidence) -> Rulings:
    curves = {name: e.curves(name, "val_accuracy") for name in BOTH}
    epochs = {name: {s: first_epoch(c, 0.97) for s, c in own.items()} for name, own in curves.items()}
    third = {name: {s: c[2] for s, c in own.items()} for name, own in curves.items()}
    return (
        lower(epochs["dropout"], epochs["plain"], 0.0, plain, reading="epochs to 97 % validation accuracy"),
        higher(third["dropout"], third["plain"], 0.0, points, reading="validation accuracy in epoch 3"),
    )


def about_98(e: Evidence) -> Rulings:
    own, other = e.values("dropout", "val_accuracy"), e.values("plain", "val_accuracy")
    best, rival = ({s: max(c) for s, c in e.curves(name, "val_accuracy").items()} for name in ("dropout", "plain"))
    return (
        above(own, 0.975, percent, reading="dropout reaches about 98 %"),
        higher(own, other, 0.0, points, reading="more than without, at the last epoch"),
        higher(best, rival, 0.0, points, reading="more than without, each at its best"),
    )


def not_very_different(e: Evidence) -> Rulings:
    return (alike(e.values("dropout", "test_accuracy"), e.values("plain", "test_accuracy"), 0.005, points),)


def grows_with_data(e: Evidence) -> Rulings:
    gains = [
        subtract(*(e.values(f"{name} {size}", "test_accuracy") for name in ("dropout", "plain"))) for size in SIZES
    ]
    text = ", ".join(f"{points(fmean(g.values()))} with {n:,}" for n, g in zip(SIZES, gains, strict=True) if g)
    per = above(slope([math.log10(size) for size in SIZES], gains), 0.0, points)
    lower_rate = subtract(e.values("rate 0.2", "test_accuracy"), e.values(f"plain {SIZES[-1]}", "test_accuracy"))
    return (
        per.told(
            f"gain {text} images; slope per tenfold data {per.measured}",
            "dropout's gain must grow with the number of images",
            "more images help",
        ),
        below(lower_rate, GAINS, points, "and a rate of 0.2 gains nothing either"),
    )


def half_is_a_good_default(e: Evidence) -> Rulings:
    def arms(net: str) -> dict[str, Values]:
        return {f"rate {rate:g}": e.values(f"{net} rate {rate:g}", "val_accuracy") for rate in RATES}

    return tuple(
        highest(arms(net), ["rate 0.5"], percent, margin=0.005, reading=units)
        for net, units in (("K", "128-128"), ("wide", "512-512 (20,000 images)"))
    )


def trusted_viewers(e: Evidence) -> Rulings:
    return (lower(e.ablation("dropout"), e.ablation("plain"), 0.0, points, "mean error while units are taken out"),)


def input_arms(e: Evidence) -> dict[str, Values]:
    return {name: e.values(name, "val_accuracy") for name in INPUTS}


def one_mask_a_batch(e: Evidence) -> Rulings:
    what = "a mask for a batch against one for each image"
    return (no_worse(wrong(e, "batch"), wrong(e, "dropout"), 0.002, points, what),)


def gap(e: Evidence, name: str) -> dict[int, float]:
    return subtract(e.values(name, "clean_train_accuracy"), e.values(name, "test_accuracy"))


def less_overfitting(e: Evidence) -> Rulings:
    return (lower(gap(e, "dropout"), gap(e, "plain"), 0.0, points, "clean training accuracy less test accuracy"),)


def no_more_above_half(e: Evidence) -> Rulings:
    gaps = [gap(e, f"rate {rate:g}") for rate in HIGH]
    text = ", ".join(f"{points(fmean(g.values()))} at {rate:g}" for rate, g in zip(HIGH, gaps, strict=True) if g)
    fall = below({seed: -value for seed, value in slope(HIGH, gaps).items()}, 0.002, points)
    return (
        *computed.shrinkage(e),
        fall.told(
            f"gap {text}; fall per unit of rate {fall.measured}",
            f"of the fall of the gap with the rate, {fall.reason}",
            "this network",
        ),
    )


def gaussian_matches(e: Evidence) -> Rulings:
    return (no_worse(wrong(e, "gaussian"), wrong(e, "bernoulli"), 0.002, points, "gaussian against bernoulli"),)


def bigger_nets(e: Evidence) -> Rulings:
    def gain(name: str) -> Values:
        own = [e.values(f"{name} {width}", "test_accuracy") for width in WIDTHS]
        return slope([math.log2(width) for width in WIDTHS], own)

    per = "slope of test accuracy per doubling"
    still = below(gain("l2"), GAINS, points)
    widest, rival = (e.values(f"{name} {WIDTHS[-1]}", "test_accuracy") for name in ("dropout", "l2"))
    return (
        still.told(f"{per} {still.measured}", reading="l2 gains nothing by width"),
        higher(gain("dropout"), gain("l2"), 0.0, points, per, "dropout gains more by width than l2"),
        higher(gain("dropout"), gain("plain"), 0.0, points, per, "and more than no regularization"),
        higher(widest, rival, 0.0, points, reading="the widest is better with dropout than with l2"),
    )


ARTICLE_CLAIMS = (
    claim("S1", lambda e: (above(e.values("plain", "test_accuracy"), 0.97, percent),), ALONE, seeds=8),
    claim("S2", stops_after_3, ALONE, seeds=8, draw="curves", rulings="parts"),
    claim("S3", clearly_lower, BOTH, seeds=8, draw="comparison"),
    claim("S4", converges_faster, BOTH, seeds=8),
    claim("S5", about_98, BOTH, seeds=8, rulings="parts"),
    claim("S6", not_very_different, BOTH, seeds=8),
    claim(
        "S7",
        grows_with_data,
        {
            f"{name} {size}": f"claims/article dropout.rate={rate}" + (FEW.format(size) if size < SIZES[-1] else "")
            for name, rate in (("plain", 0), ("dropout", 0.5))
            for size in SIZES
        }
        | rates("claims/article", [0.2]),
        draw="data sizes",
        rulings="parts",
    ),
    claim("S8", computed.scaled_pixels),
    claim("S9", computed.placement),
    claim(
        "S10",
        half_is_a_good_default,
        {f"K {name}": line for name, line in rates("claims/article", RATES).items()}
        | {f"wide {name}": line for name, line in rates("claims/wide", RATES, f"training.epochs=8 {FEWER}").items()},
        draw="sweep",
    ),
    claim("S11", trusted_viewers, BOTH, samples=1),
    claim("S12", computed.binomial),
    claim("S13", computed.exactly_one),
    claim("S14", lambda e: (highest(input_arms(e), ["input 0.8", "input 0.95"], percent),), INPUTS),
    claim("S15", computed.widened, rulings="first"),
    claim("S16", computed.scaled_by, rulings="first"),
    claim("S17", computed.training_flag),
    claim("S18", computed.about_400),
    claim("S19", computed.expectation),
    claim("S20", computed.updated),
    claim("S21", one_mask_a_batch, {"dropout": BOTH["dropout"], "batch": "claims/article dropout.mask=batch"}),
    claim("S22", less_overfitting, BOTH, seeds=8),
    claim("S23", computed.theorem("S23")),
    claim("S24", computed.strongest, draw="two readings"),
    claim("S25", no_more_above_half, rates("claims/article", HIGH)),
    claim("S26", lambda e: (highest(input_arms(e), ["input 0", "input 0.1", "input 0.2"], percent),), INPUTS),
    claim("S27", gaussian_matches, {"bernoulli": BOTH["dropout"], "gaussian": "claims/article dropout.kind=gaussian"}),
    claim("S28", computed.unscaled_at_test),
    claim("S29", computed.gates),
    claim(
        "S30",
        bigger_nets,
        {
            f"{name} {width}": f"claims/wide network.hidden=[{width},{width}] training.epochs=10 {FEWER} {changes}"
            for name, changes in (
                ("plain", "dropout.rate=0"),
                ("l2", "dropout.rate=0 regularization.l2=1e-5"),
                ("dropout", "network.widen=true"),
            )
            for width in WIDTHS
        },
        rulings="parts",
    ),
)
