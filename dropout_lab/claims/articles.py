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
from dropout_lab.claims.definition import Claim, Rulings, arm, rates
from dropout_lab.claims.evidence import Evidence, first_epoch, subtract, wrong
from dropout_lab.claims.theory import THEOREMS

ARTICLES = {
    "000": "Masri, An intuitive explanation to dropout",
    "001": "Maklin, Dropout Keras layers explained",
    "002": "Lang, Unveiling the dropout layer",
    "003": "a study note, Dropout",
    "004": "Ranjan, Simplified math behind dropout",
}

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of S10
SIZES = (1000, 5000, 20_000, 54_000)  # training images of S7
INPUT_RATES = (0.0, 0.1, 0.2, 0.5, 0.8, 0.95)  # of S14 and S26
HIGH = (0.5, 0.6, 0.7, 0.8)  # rates of S25
WIDTHS = (32, 64, 128, 256)  # of S30
CLEARLY = 0.005  # of the validation loss: what a rise (S2) or "clearly lower" (S3) must come to at least
GAINS = 0.001  # of accuracy: less than this is no gain (S7, S30)
FEWER = "data.train_size=20000"  # for experiments that would take too long with all images

BOTH = {"plain": arm("claims/article", "dropout.rate=0"), "dropout": arm("claims/article", "dropout.rate=0.5")}
INPUTS = {f"input {rate:g}": arm("claims/article", f"dropout.input_rate={rate:g}") for rate in INPUT_RATES}


def article(number: str) -> str:
    """Return the source of a claim of one of the five articles."""
    return f"{number}: {ARTICLES[number]}"


def reaches_97(e: Evidence) -> Rulings:
    return (above(e.values("plain", "test_accuracy"), 0.97, percent),)


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


def close_to_one(e: Evidence) -> Rulings:
    return (highest(input_arms(e), ["input 0.8", "input 0.95"], percent),)


def at_most_a_fifth(e: Evidence) -> Rulings:
    return (highest(input_arms(e), ["input 0", "input 0.1", "input 0.2"], percent),)


def one_mask_a_batch(e: Evidence) -> Rulings:
    return (
        no_worse(
            wrong(e, "batch"), wrong(e, "dropout"), 0.002, points, "a mask for a batch against one for each image"
        ),
    )


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
    Claim(
        "S1",
        article("001"),
        "Without dropout the network has more than 97 % test accuracy.",
        reaches_97,
        {"plain": BOTH["plain"]},
        seeds=8,
        published="> 97 %",
    ),
    Claim(
        "S2",
        article("001"),
        "Without dropout the validation loss stops falling after epoch 3.",
        stops_after_3,
        {"plain": BOTH["plain"]},
        seeds=8,
        published="epoch 3",
        draw="curves",
        rulings="parts",
    ),
    Claim(
        "S3",
        article("001"),
        "With dropout 0.5 the validation loss is clearly lower.",
        clearly_lower,
        BOTH,
        seeds=8,
        draw="comparison",
    ),
    Claim("S4", article("001"), "With dropout 0.5 training converges faster.", converges_faster, BOTH, seeds=8),
    Claim(
        "S5",
        article("001"),
        "Dropout reaches about 98 % validation accuracy, more than without.",
        about_98,
        BOTH,
        seeds=8,
        published="about 98 %",
        rulings="parts",
    ),
    Claim(
        "S6",
        article("001"),
        "The test accuracy with dropout is not very different.",
        not_very_different,
        BOTH,
        seeds=8,
    ),
    Claim(
        "S7",
        article("001"),
        "Dropout does not raise the test accuracy, and the reason is that there are too few images.",
        grows_with_data,
        {
            f"{name} {size}": arm(
                "claims/article",
                f"dropout.rate={rate}",
                *(() if size == SIZES[-1] else (f"data.train_size={size}", "data.train_from=random")),
            )
            for name, rate in (("plain", 0), ("dropout", 0.5))
            for size in SIZES
        }
        | {"rate 0.2": arm("claims/article", "dropout.rate=0.2")},
        draw="data sizes",
        rulings="parts",
    ),
    Claim("S8", article("001"), "normalize(x, axis=1) scales the pixels to 0 to 1.", computed.scaled_pixels),
    Claim("S9", article("001"), "Dropout comes after the activation, but for relu.", computed.placement),
    Claim(
        "S10",
        f"{article('001')}; 004",
        "A rate of 0.5 is a good default for hidden layers.",
        half_is_a_good_default,
        {f"K {name}": own for name, own in rates("claims/article", RATES).items()}
        | {f"wide {name}": own for name, own in rates("claims/wide", RATES, "training.epochs=8", FEWER).items()},
        draw="sweep",
    ),
    Claim(
        "S11",
        article("000"),
        "Without dropout a few units dominate (the trusted viewer).",
        trusted_viewers,
        BOTH,
        samples=1,
    ),
    Claim("S12", article("000"), "A rate of x drops x % of the units at each step.", computed.binomial),
    Claim("S13", article("002"), "Of 10 inputs, a rate of 10 % drops one in each pass.", computed.exactly_one),
    Claim(
        "S14",
        article("002"),
        "For the input layer a dropout probability close to 1 is best.",
        close_to_one,
        INPUTS,
        published="close to 1",
    ),
    Claim(
        "S15",
        article("002"),
        "A layer is widened by dividing n by the dropout rate.",
        computed.widened,
        rulings="first",
    ),
    Claim(
        "S16",
        article("002"),
        "At test the weights are scaled by the dropout rate.",
        computed.scaled_by,
        rulings="first",
    ),
    Claim("S17", article("002"), "Dropout works in training and not in prediction.", computed.training_flag),
    Claim("S18", article("003"), "Of 1000 units a rate of 0.4 drops about 400.", computed.about_400, published="400"),
    Claim("S19", article("003"), "At test, weights times p reproduce what training expects.", computed.expectation),
    Claim("S20", article("003"), "The weights of dropped units are not updated in that step.", computed.updated),
    Claim(
        "S21",
        article("003"),
        "One mask for a mini-batch will do.",
        one_mask_a_batch,
        {"dropout": BOTH["dropout"], "batch": arm("claims/article", "dropout.mask=batch")},
    ),
    Claim("S22", f"{article('003')}; 004", "Dropout reduces overfitting.", less_overfitting, BOTH, seeds=8),
    Claim(
        "S23",
        article("004"),
        THEOREMS["S23"].sentence,
        computed.theorem("S23"),
    ),
    Claim(
        "S24",
        article("004"),
        "Regularization is strongest at a rate of 0.5.",
        computed.strongest,
        published="0.5",
        draw="two readings",
    ),
    Claim(
        "S25",
        article("004"),
        "Rates above 0.5 do not regularize more.",
        no_more_above_half,
        rates("claims/article", HIGH),
    ),
    Claim(
        "S26",
        article("004"),
        "The rate of the input should be at most 0.2.",
        at_most_a_fifth,
        INPUTS,
        published="0.2",
    ),
    Claim(
        "S27",
        article("004"),
        "Gaussian dropout is as good as Bernoulli dropout or better.",
        gaussian_matches,
        {"bernoulli": BOTH["dropout"], "gaussian": arm("claims/article", "dropout.kind=gaussian")},
        published="0.95 against 1.08 %",
    ),
    Claim("S28", article("004"), "Gaussian dropout needs no scaling at test.", computed.unscaled_at_test),
    Claim("S29", article("004"), "The gates of dropout sit on each connection.", computed.gates),
    Claim(
        "S30",
        article("004"),
        "l2 does not allow bigger networks; dropout does.",
        bigger_nets,
        {
            f"{name} {width}": arm(
                "claims/wide", f"network.hidden=[{width},{width}]", "training.epochs=10", FEWER, *changes
            )
            for name, changes in (
                ("plain", ("dropout.rate=0",)),
                ("l2", ("dropout.rate=0", "regularization.l2=1e-5")),
                ("dropout", ("network.widen=true",)),
            )
            for width in WIDTHS
        },
        rulings="parts",
    ),
)
