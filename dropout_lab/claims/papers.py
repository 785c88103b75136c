"""The claims of the papers, P1 to P18: first the judges, then PAPER_CLAIMS with the experiments.

A judge is small and pure: it picks the numbers that its claim is about, and criteria.py decides. The experiments are
reduced to what two cores can do; each file in configs/papers/ says how it differs from the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from dropout_lab.claims.articles import gaussian_matches
from dropout_lab.claims.criteria import (
    Ruling,
    Values,
    alike,
    below,
    between,
    higher,
    highest,
    lower,
    lowest,
    median_between,
    no_worse,
    percent,
    plain,
    points,
    too_few,
)
from dropout_lab.claims.definition import Rulings, claim
from dropout_lab.claims.evidence import TEST, Curves, Evidence, first_epoch, subtract, wrong
from dropout_lab.comparison.inference import FEWEST

SHAPES = {f"{layers} x {width}": ",".join([f"{width}"] * layers) for layers in (2, 3) for width in (256, 512)}  # of P5
AMOUNTS = (100, 500, 1000, 5000, 10_000, 50_000)  # training images of P7
UPDATES = 2000  # of P7, whatever the number of images
KEPT = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of P8 and P9
MIDDLE = (0.4, 0.5, 0.6, 0.7, 0.8)  # where figure 9a is flat
CELLS = {  # of P13: learning rate, momentum, and whether there is max-norm
    f"lr {rate:g}, momentum {momentum:g}, {'max-norm' if norm else 'free'}": (rate, momentum, norm)
    for rate in (0.05, 0.5)
    for momentum in (0.5, 0.95)
    for norm in (False, True)
}
HALVES = (64, 128, 256)  # widths of P14
TRIED = (0.01, 0.05)  # learning rates of P3
LONGER = (1.5, 5.0)  # times as many epochs: what P12 takes for "2 to 3"
LEVELS = (0.05, 0.01)  # of the clean training loss, that P12 counts epochs to

UNDROPPED, L2 = "dropout.rate=0 dropout.input_rate=0", "regularization.max_norm=null regularization.l2=1e-5"
FAMILIES = {  # of P3
    "dropout": {"dropout + max-norm": "", "dropout + l2": L2},
    "no dropout": {
        "none": f"{UNDROPPED} regularization.max_norm=null",
        "l2": f"{UNDROPPED} {L2}",
        "l1 and l2": f"{UNDROPPED} {L2} regularization.l1=1e-6",
        "max-norm": UNDROPPED,
    },
}
OVERFITTING = "claims/wide data.train_size=5000 data.train_from=random training.epochs=40"  # of P17

FIGURE_1 = {
    "none": f"papers/hinton-2012-reduced {UNDROPPED}",
    "hidden": "papers/hinton-2012-reduced dropout.input_rate=0",
    "both": "papers/hinton-2012-reduced",
}
LONG = {name: FIGURE_1[name] for name in ("none", "hidden")}
FIGURE_9A, FIGURE_9B = (
    {f"keep {keep:g}": f"papers/srivastava-fig9{letter}-reduced dropout.rate={1 - keep:.1g}" for keep in KEPT}
    for letter in "ab"
)
TABLE_10, HIDDEN_256 = "papers/srivastava-table10-reduced", "claims/wide network.hidden=[256]"  # of P6 and P11
FIGURE_11 = {"net": "papers/srivastava-fig11-reduced"}


def errors(value: float) -> str:
    return f"{TEST * value:.0f} errors"


def hidden_then_input(e: Evidence) -> Rulings:
    none, hidden, both = (wrong(e, name) for name in FIGURE_1)
    return (
        lower(hidden, none, 0.0, errors, "0.5 hidden against none", reading="dropout on the hidden layers"),
        lower(both, hidden, 0.0, errors, "with the pixels against without", reading="on the pixels besides"),
        below(both, 0.016, errors, reading="fewer than 160 errors"),
    )


def crosses(e: Evidence) -> Rulings:
    """P2: behind in the first 20 epochs, ahead in the last 20, by each seed's mean; and where the mean curves cross."""
    curves = {name: e.curves(name, "val_accuracy") for name in LONG}
    first, last = (
        {name: {seed: fmean(curve[part]) for seed, curve in own.items()} for name, own in curves.items()}
        for part in (slice(20), slice(-20, None))
    )
    none, hidden = ([fmean(values) for values in zip(*curves[name].values(), strict=True)] for name in LONG)
    behind = [epoch for epoch, (a, b) in enumerate(zip(none, hidden, strict=False), start=1) if b < a]
    count = f"in {len(behind)} of {len(hidden)} epochs, last in {behind[-1]}" if behind else "in no epoch"
    where = f"on the mean curve it is behind {count}"
    ahead = higher(last["hidden"], last["none"], 0.0, points, reading="ahead in the last 20")
    return (
        lower(first["hidden"], first["none"], 0.0, points, reading="behind in the first 20 epochs"),
        ahead.told(f"{ahead.measured}; {where}"),
    )


def needs_longer(e: Evidence) -> Rulings:
    """P12: how many epochs it takes to two levels of the clean training loss, and to the lowest validation loss."""
    losses = {name: e.curves(name, "clean_train_loss") for name in LONG}
    validation = {name: e.curves(name, "val_loss") for name in LONG}
    return (
        *(
            longer(losses, partial(first_epoch, level=level, falling=True), f"to a clean training loss of {level}")
            for level in LEVELS
        ),
        longer(validation, lowest_epoch, "to the lowest validation loss"),
    )


def lowest_epoch(curve: Sequence[float]) -> float:
    """Return the epoch of the minimum; one past the end if that is the last epoch, as the curve may fall further."""
    epoch = curve.index(min(curve)) + 1
    return epoch if epoch < len(curve) else epoch + 1


def longer(curves: Mapping[str, Curves], epochs: Callable[[Sequence[float]], float], reading: str) -> Ruling:
    """Rule on the ratio of two numbers of epochs. A number past the end was not reached, so it is a lower bound."""
    own = {name: {seed: epochs(curve) for seed, curve in of.items()} for name, of in curves.items()}
    late = [name for name, of in curves.items() if any(own[name][seed] > len(curve) for seed, curve in of.items())]
    ratio = {seed: own["hidden"][seed] / own["none"][seed] for seed in own["none"].keys() & own["hidden"].keys()}
    found = between(ratio, *LONGER)
    counted = [f"{'over ' * (name in late)}{fmean(of.values()):.1f} epochs ({name})" for name, of in own.items() if of]
    told = found.told(f"{', '.join(counted)}; ratio {found.measured}", reading=reading)
    surely = late == ["hidden"] and found.word == "FAILS" and min(ratio.values()) > LONGER[1]
    return replace(told, word="UNDECIDED") if late and not surely else told


def table_9(e: Evidence) -> Rulings:
    """P3: each line of the table with the learning rate that is better on validation."""
    best: dict[str, str] = {}
    for method in (name for group in FAMILIES.values() for name in group):
        accuracies = {f"{method}, lr {rate:g}": e.values(f"{method}, lr {rate:g}", "val_accuracy") for rate in TRIED}
        trained = {arm: fmean(values.values()) for arm, values in accuracies.items() if len(values) >= FEWEST}
        best[method] = max(trained or accuracies, key=lambda arm: trained.get(arm, 0.0))
    error_rates = {arm: wrong(e, arm) for arm in best.values()}
    family = [best[method] for method in FAMILIES["dropout"]]
    return (
        lowest(error_rates, [best["dropout + max-norm"]], percent, reading="dropout with max-norm has the fewest"),
        lowest(error_rates, family, percent, reading="any dropout against no dropout"),
    )


def clusters(e: Evidence) -> Rulings:
    """P5: the fewest validation errors of any epoch, for each network. The test images are read only at the end."""

    def fewest(name: str) -> dict[str, Values]:
        curves = {shape: e.curves(f"{name} {shape}", "val_accuracy") for shape in SHAPES}
        return {shape: {seed: 1 - max(curve) for seed, curve in own.items()} for shape, own in curves.items()}

    without, dropped = fewest("plain"), fewest("dropout")
    seeds = min(map(len, [*without.values(), *dropped.values()]))
    if seeds < FEWEST:
        return (too_few(seeds),)
    best = min(without, key=lambda shape: fmean(without[shape].values()))
    worst = max(dropped, key=lambda shape: fmean(dropped[shape].values()))
    what = f"the worst with dropout, {worst}, against the best without, {best}"
    return (lower(dropped[worst], without[best], 0.0, points, what),)


def gain_against_data(e: Evidence) -> Rulings:
    gains = {f"{n:,}": subtract(wrong(e, f"plain {n}"), wrong(e, f"dropout {n}")) for n in AMOUNTS}
    few, middle = list(gains)[:2], list(gains)[2:-1]
    return (
        *(below(gains[name], 0.005, points, reading=f"gain with {name} images") for name in few),
        highest(gains, middle, points, reading="the gain peaks in the middle"),
    )


def flat_in_the_middle(e: Evidence) -> Rulings:
    found = {keep: wrong(e, f"keep {keep:g}") for keep in KEPT}
    seeds = min(map(len, found.values()))
    if seeds < FEWEST:
        return (too_few(seeds),)
    text = ", ".join(f"{percent(fmean(own.values()))} at {keep:g}" for keep, own in found.items())
    low, high = (pick(MIDDLE, key=lambda keep: fmean(found[keep].values())) for pick in (min, max))
    flat = alike(found[high], found[low], 0.0025, points, "flat from 0.4 to 0.8")
    clean = {f"keep {keep:g}": e.values(f"keep {keep:g}", "clean_train_accuracy") for keep in KEPT}
    return (
        flat.told(f"{text}; keep {high:g} against {low:g}: {flat.measured}"),
        higher(found[0.1], found[0.5], 0.0, points, "keep 0.1 against 0.5", "worse where little is kept"),
        lowest(clean, ["keep 0.1"], percent, reading="as it underfits (clean training accuracy)"),
        higher(found[1.0], found[0.6], 0.0, points, "keep 1 against 0.6", "worse where all is kept"),
    )


def rescued(e: Evidence) -> Rulings:
    widened = {f"keep {keep:g}": wrong(e, f"keep {keep:g}") for keep in KEPT}
    best = [f"keep {keep:g}" for keep in (0.4, 0.5, 0.6, 0.7)]
    what = "keep 0.1 widened against not"
    return (
        lower(widened["keep 0.1"], wrong(e, "fixed 0.1"), 0.003, points, what, "fewer errors at keep 0.1"),
        lowest(widened, best, percent, reading="best from 0.4 to 0.7"),
    )


def fifty_passes(e: Evidence) -> Rulings:
    found = e.averaging("net")
    seeds = len(found)
    if seeds < FEWEST:
        return (too_few(seeds),)
    reached = {}
    for seed, (curve, scaling) in found.items():
        near = [k for k, (mean, sd) in enumerate(curve, start=1) if abs(mean - scaling) <= sd]
        reached[seed] = float(near[0]) if near else math.inf
    most = max(len(curve) for curve, _ in found.values())
    own = {k: {seed: curve[k - 1][0] for seed, (curve, _) in found.items()} for k in (1, 5, 20, 50, most) if k <= most}
    scaling_text = percent(fmean(scaling for _, scaling in found.values()))
    curve_text = ", ".join(f"{percent(fmean(values.values()))} with {k}" for k, values in own.items())
    first = median_between(reached, 20, 100, "as good as weight scaling from about 50 on")
    measured = f"first k within one sd of weight scaling ({scaling_text}): {first.measured}; error {curve_text}"
    return (
        lower(own[most], own[1], 0.0, points, f"{most} passes against 1", "the error falls with the passes"),
        first.told(measured, f"of k, {first.reason}"),
    )


def sparser(e: Evidence) -> Rulings:
    (inverted, zeros), (before, zeros_before) = e.activity("dropout"), e.activity("plain")
    scaled = {seed: value / 2 for seed, value in inverted.items()}  # times keep, which is 0.5
    return (
        lower(scaled, before, 0.0, plain, reading="lower mean output, in the paper's scale (times keep)"),
        lower(inverted, before, 0.0, plain, reading="lower mean output, in the scale of inverted dropout"),
        higher(zeros, zeros_before, 0.0, points, reading="more outputs are 0"),
        no_worse(wrong(e, "dropout"), wrong(e, "plain"), 0.005, points, reading="no more errors"),
    )


def fast_and_constrained(e: Evidence) -> Rulings:
    fast = [name for name, (rate, _, norm) in CELLS.items() if norm and rate == 0.5]
    return (lowest({name: wrong(e, name) for name in CELLS}, fast, percent),)


def twice_as_wide(e: Evidence) -> Rulings:
    def rule(wide: int, half: int) -> Ruling:
        return no_worse(
            wrong(e, f"dropout {wide}"), wrong(e, f"plain {half}"), 0.002, points, "", f"{wide} against {half}"
        )

    return tuple(rule(width, width // 2) for width in HALVES)


def dropconnect_order(e: Evidence) -> Rulings:
    relu, tanh = (
        {name: wrong(e, f"{activation} {name}") for name in ("none", "dropout", "dropconnect")}
        for activation in ("relu", "tanh")
    )
    return (
        highest(relu, ["none"], percent, reading="relu: most errors with neither"),
        lowest(tanh, ["dropconnect"], percent, reading="tanh: fewest with DropConnect"),
    )


def uncertain_where_wrong(e: Evidence) -> Rulings:
    (upright, turned), (wrong_ones, right_ones) = e.rotation("net"), e.information("net")
    what = "mutual information"
    return (
        higher(turned, upright, 0.0, plain, what, "of a 1 turned by 45 to 135 degrees, against upright"),
        higher(wrong_ones, right_ones, 0.0, plain, what, "of images read wrongly, against those read rightly"),
    )


def early_and_late(e: Evidence) -> Rulings:
    losses = {name: e.curves(f"small {name}", "clean_train_loss") for name in ("early", "none")}
    last = {name: {seed: curve[-1] for seed, curve in own.items()} for name, own in losses.items()}
    late, none = wrong(e, "large late"), wrong(e, "large none")
    return (
        lower(last["early"], last["none"], 0.0, plain, reading="early: lower training loss of an underfitting net"),
        lower(late, none, 0.0, points, reading="late: fewer errors of an overfitting net"),
    )


def curriculum(e: Evidence) -> Rulings:
    return (no_worse(wrong(e, "curriculum"), wrong(e, "constant"), 0.002, points),)


PAPER_CLAIMS = (
    claim("P1", hidden_then_input, FIGURE_1, seeds=3, draw="comparison", rulings="parts"),
    claim("P2", crosses, LONG, draw="comparison", rulings="parts"),
    claim(
        "P3",
        table_9,
        {
            f"{name}, lr {rate:g}": f"papers/srivastava-table9-reduced training.learning_rate={rate} {changes}"
            for rate in TRIED
            for family in FAMILIES.values()
            for name, changes in family.items()
        },
        seeds=3,
        rulings="parts",
    ),
    claim(
        "P4", lambda e: (below(wrong(e, "net"), 0.014, percent),), {"net": "papers/srivastava-table2-reduced"}, seeds=3
    ),
    claim(
        "P5",
        clusters,
        {
            f"{name} {shape}": f"claims/wide network.hidden=[{hidden}] dropout.rate={rate}"
            for name, rate in (("plain", 0), ("dropout", 0.5))
            for shape, hidden in SHAPES.items()
        },
        seeds=3,
    ),
    claim("P6", gaussian_matches, {"bernoulli": f"{TABLE_10} dropout.kind=bernoulli", "gaussian": TABLE_10}),
    claim(
        "P7",
        gain_against_data,
        {
            f"{name} {n}": f"papers/srivastava-fig10-reduced dropout.rate={rate} data.train_size={n} "
            f"training.epochs={UPDATES * 100 // n}"
            for name, rate in (("plain", 0), ("dropout", 0.5))
            for n in AMOUNTS
        },
        draw="data sizes",
        rulings="parts",
    ),
    claim("P8", flat_in_the_middle, FIGURE_9A, draw="sweep", rulings="parts"),
    claim("P9", rescued, FIGURE_9B | {"fixed 0.1": FIGURE_9A["keep 0.1"]}, draw="sweep", rulings="parts"),
    claim("P10", fifty_passes, FIGURE_11, samples=100, draw="averaging", rulings="parts"),
    claim("P11", sparser, {"plain": f"{HIDDEN_256} dropout.rate=0", "dropout": HIDDEN_256}, samples=1),
    claim("P12", needs_longer, LONG),
    claim(
        "P13",
        fast_and_constrained,
        {
            name: f"claims/wide network.hidden=[256,256] training.optimizer=sgd training.learning_rate={rate} "
            f"training.momentum={momentum} regularization.max_norm={1.5 if norm else 'null'} training.epochs=30"
            for name, (rate, momentum, norm) in CELLS.items()
        },
    ),
    claim(
        "P14",
        twice_as_wide,
        {
            f"{name} {units}": f"claims/wide network.hidden=[{units},{units}] training.epochs=30 {changes}"
            for width in HALVES
            for name, units, changes in (("dropout", width, ""), ("plain", width // 2, "dropout.rate=0"))
        },
        rulings="parts",
    ),
    claim(
        "P15",
        dropconnect_order,
        {
            f"{activation} {name}": f"papers/wan-2013-reduced network.activation={activation} {changes}"
            for activation in ("relu", "tanh")
            for name, changes in (
                ("none", "dropout.kind=bernoulli dropout.rate=0"),
                ("dropout", "dropout.kind=bernoulli"),
                ("dropconnect", ""),
            )
        },
        rulings="parts",
    ),
    claim("P16", uncertain_where_wrong, FIGURE_11, samples=100, draw="rotated", rulings="parts"),
    claim(
        "P17",
        early_and_late,
        {
            "small none": "claims/small dropout.rate=0",
            "small early": "claims/small dropout.rate=0.1 dropout.schedule=early dropout.cutoff=10",
            "large none": f"{OVERFITTING} dropout.rate=0",
            "large late": f"{OVERFITTING} dropout.schedule=late dropout.cutoff=10",
        },
        rulings="parts",
    ),
    claim("P18", curriculum, {"constant": "claims/wide", "curriculum": "claims/wide dropout.schedule=curriculum"}),
)
