"""CLAIMS: testable sentences of the literature, each with its source, its experiment and its criterion.

Sources: five articles (S), theorems (T) and papers (P). A claim is data: the runs that it needs ("arms": a config file
of configs/ with overrides) and a judge, a pure function of what these runs recorded. To add one: enter it in `CLAIMS`,
with its judge in judges.py or identities.py, and a config where it needs another experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dropout_lab import identities, judges, theory
from dropout_lab.judges import Evidence, Rulings

ARTICLES = {
    "000": "Masri, An intuitive explanation to dropout",
    "001": "Maklin, Dropout Keras layers explained",
    "002": "Lang, Unveiling the dropout layer",
    "003": "a study note, Dropout",
    "004": "Ranjan, Simplified math behind dropout",
}
HINTON, SRIVASTAVA = "Hinton et al. 2012", "Srivastava et al. 2014"


@dataclass(frozen=True)
class Arm:
    """One experiment: a file of configs/, without its suffix, and overrides such as "dropout.rate=0"."""

    config: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A sentence to be judged. published: what its source says in numbers, "" where it has none.

    samples: passes to average, K, where the arms' networks are to be evaluated; 0 where they are not. draw: how its
    runs are drawn, a key of PLOTS; "" where no picture says more than the numbers.
    """

    id: str
    source: str
    sentence: str
    judge: Callable[[Evidence], Rulings]
    arms: Mapping[str, Arm] = field(default_factory=dict)
    seeds: int = 5
    published: str = ""
    samples: int = 0
    draw: str = ""


def article(number: str) -> str:
    """Return the source of a claim of one of the five articles."""
    return f"{number}: {ARTICLES[number]}"


def arm(config: str, *changes: str) -> Arm:
    return Arm(config, changes)


def rates(config: str, values: Iterable[float], *changes: str) -> dict[str, Arm]:
    """Return an arm for each rate, by its name, "rate 0.5"."""
    return {f"rate {rate:g}": arm(config, f"dropout.rate={rate:g}", *changes) for rate in values}


ARTICLE = {"plain": arm("claims/article", "dropout.rate=0"), "dropout": arm("claims/article", "dropout.rate=0.5")}


FEWER = "data.train_size=20000"
UPDATES = 2000  # of P7, whatever the number of images


def keeps(config: str) -> dict[str, Arm]:
    """Return an arm for each share kept, by its name, "keep 0.5"."""
    return {f"keep {keep:g}": arm(config, f"dropout.rate={1 - keep:.1g}") for keep in judges.KEPT}


P1 = {
    "none": arm("papers/hinton-2012-reduced", "dropout.rate=0", "dropout.input_rate=0"),
    "hidden": arm("papers/hinton-2012-reduced", "dropout.input_rate=0"),
    "both": arm("papers/hinton-2012-reduced"),
}
INPUTS = {f"input {rate:g}": arm("claims/article", f"dropout.input_rate={rate:g}") for rate in judges.INPUT_RATES}
GAUSSIAN = {
    "bernoulli": arm("papers/srivastava-table10-reduced", "dropout.kind=bernoulli"),
    "gaussian": arm("papers/srivastava-table10-reduced"),
}
SIZE_ARMS = {
    f"{name} {size}": arm(
        "claims/article",
        f"dropout.rate={rate}",
        *(() if size == judges.SIZES[-1] else (f"data.train_size={size}", RANDOM)),
    )
    for RANDOM in ("data.train_from=random",)
    for name, rate in (("plain", 0), ("dropout", 0.5))
    for size in judges.SIZES
}
FIGURE_10 = {
    f"{name} {amount}": arm(
        "papers/srivastava-fig10-reduced",
        f"dropout.rate={rate}",
        f"data.train_size={amount}",
        f"training.epochs={UPDATES * 100 // amount}",
    )
    for name, rate in (("plain", 0), ("dropout", 0.5))
    for amount in judges.AMOUNTS
}
WIDTH_ARMS = {
    f"{name} {width}": arm("claims/wide", f"network.hidden=[{width},{width}]", "training.epochs=10", FEWER, *changes)
    for name, changes in (
        ("plain", ("dropout.rate=0",)),
        ("l2", ("dropout.rate=0", "regularization.l2=1e-5")),
        ("dropout", ("network.widen=true",)),
    )
    for width in judges.WIDTHS
}
CELLS = {
    name: arm(
        "claims/wide",
        "network.hidden=[256,256]",
        "training.optimizer=sgd",
        f"training.learning_rate={rate}",
        f"training.momentum={momentum}",
        f"regularization.max_norm={1.5 if norm else 'null'}",
        "training.epochs=30",
    )
    for name, (rate, momentum, norm) in judges.CELLS.items()
}
WAN = {
    f"{activation} {name}": arm("papers/wan-2013-reduced", f"network.activation={activation}", *changes)
    for activation in ("relu", "tanh")
    for name, changes in (
        ("none", ("dropout.kind=bernoulli", "dropout.rate=0")),
        ("dropout", ("dropout.kind=bernoulli",)),
        ("dropconnect", ()),
    )
}
TABLE_9 = {
    "dropout + max-norm": (),
    "dropout + l2": ("regularization.max_norm=null", "regularization.l2=1e-5"),
    "none": ("dropout.rate=0", "dropout.input_rate=0", "regularization.max_norm=null"),
    "l2": ("dropout.rate=0", "dropout.input_rate=0", "regularization.max_norm=null", "regularization.l2=1e-5"),
    "l1 and l2": (
        "dropout.rate=0",
        "dropout.input_rate=0",
        "regularization.max_norm=null",
        "regularization.l2=1e-5",
        "regularization.l1=1e-6",
    ),
    "max-norm": ("dropout.rate=0", "dropout.input_rate=0"),
}
SCHEDULED = {
    **{
        f"small {name}": arm("claims/small", *changes)
        for name, changes in (
            ("none", ("dropout.rate=0",)),
            ("early", ("dropout.rate=0.1", "dropout.schedule=early", "dropout.cutoff=10")),
        )
    },
    **{
        f"large {name}": arm(
            "claims/wide", "data.train_size=5000", "data.train_from=random", "training.epochs=40", *changes
        )
        for name, changes in (
            ("none", ("dropout.rate=0",)),
            ("late", ("dropout.schedule=late", "dropout.cutoff=10")),
        )
    },
}

_ALL = (
    Claim(
        "S1",
        article("001"),
        "Without dropout the network has more than 97 % test accuracy.",
        judges.reaches_97,
        {"plain": ARTICLE["plain"]},
        8,
        "> 97 %",
    ),
    Claim(
        "S2",
        article("001"),
        "Without dropout the validation loss stops falling after epoch 3.",
        judges.stops_after_3,
        {"plain": ARTICLE["plain"]},
        8,
        "epoch 3",
        draw="curves",
    ),
    Claim(
        "S3",
        article("001"),
        "With dropout 0.5 the validation loss is clearly lower.",
        judges.clearly_lower,
        ARTICLE,
        8,
        draw="comparison",
    ),
    Claim("S4", article("001"), "With dropout 0.5 training converges faster.", judges.converges_faster, ARTICLE, 8),
    Claim(
        "S5",
        article("001"),
        "Dropout reaches about 98 % validation accuracy, more than without.",
        judges.about_98,
        ARTICLE,
        8,
        "about 98 %",
    ),
    Claim(
        "S6",
        article("001"),
        "The test accuracy with dropout is not very different.",
        judges.not_very_different,
        ARTICLE,
        8,
        "within 0.5 pp",
    ),
    Claim("S7", article("001"), "That is because there are too few images.", judges.grows_with_data, SIZE_ARMS),
    Claim("S8", article("001"), "normalize(x, axis=1) scales the pixels to 0 to 1.", identities.scaled_pixels),
    Claim("S9", article("001"), "Dropout comes after the activation, but for relu.", identities.placement),
    Claim(
        "S10",
        f"{article('001')}; 004",
        "A rate of 0.5 is a good default for hidden layers.",
        judges.half_is_a_good_default,
        {f"K {name}": own for name, own in rates("claims/article", judges.RATES).items()}
        | {f"wide {name}": own for name, own in rates("claims/wide", judges.RATES, "training.epochs=8", FEWER).items()},
        draw="sweep",
    ),
    Claim(
        "S11",
        article("000"),
        "Without dropout a few units dominate (the trusted viewer).",
        judges.trusted_viewers,
        ARTICLE,
        samples=1,
    ),
    Claim("S12", article("000"), "A rate of x drops x % of the units at each step.", identities.binomial),
    Claim("S13", article("002"), "Of 10 inputs, a rate of 10 % drops one in each pass.", identities.exactly_one),
    Claim(
        "S14",
        article("002"),
        "For the input layer a dropout probability close to 1 is best.",
        judges.close_to_one,
        INPUTS,
        published="close to 1",
    ),
    Claim("S15", article("002"), "A layer is widened by dividing n by the dropout rate.", identities.widened),
    Claim("S16", article("002"), "At test the weights are scaled by the dropout rate.", identities.scaled_by),
    Claim("S17", article("002"), "Dropout works in training and not in prediction.", identities.training_flag),
    Claim("S18", article("003"), "Of 1000 units a rate of 0.4 drops about 400.", identities.about_400, published="400"),
    Claim("S19", article("003"), "At test, weights times p reproduce what training expects.", identities.expectation),
    Claim("S20", article("003"), "The weights of dropped units are not updated in that step.", identities.updated),
    Claim(
        "S21",
        article("003"),
        "One mask for a mini-batch will do.",
        judges.one_mask_a_batch,
        {"dropout": ARTICLE["dropout"], "batch": arm("claims/article", "dropout.mask=batch")},
    ),
    Claim("S22", f"{article('003')}; 004", "Dropout reduces overfitting.", judges.less_overfitting, ARTICLE, 8),
    Claim("S23", article("004"), theory.THEOREMS["S23"].statement.capitalize() + ".", identities.theorem("S23")),
    Claim(
        "S24", article("004"), "Regularization is strongest at a rate of 0.5.", identities.strongest, published="0.5"
    ),
    Claim(
        "S25",
        article("004"),
        "Rates above 0.5 do not regularize more.",
        judges.no_more_above_half,
        rates("claims/article", judges.HIGH),
    ),
    Claim(
        "S26",
        article("004"),
        "The rate of the input should be at most 0.2.",
        judges.at_most_a_fifth,
        INPUTS,
        published="0.2",
    ),
    Claim(
        "S27",
        article("004"),
        "Gaussian dropout is as good as Bernoulli dropout or better.",
        judges.gaussian_matches,
        {"bernoulli": ARTICLE["dropout"], "gaussian": arm("claims/article", "dropout.kind=gaussian")},
        published="0.95 against 1.08 %",
    ),
    Claim("S28", article("004"), "Gaussian dropout needs no scaling at test.", identities.unscaled_at_test),
    Claim("S29", article("004"), "The gates of dropout sit on each connection.", identities.gates),
    Claim("S30", article("004"), "l2 does not allow bigger networks; dropout does.", judges.bigger_nets, WIDTH_ARMS),
    *(
        Claim(name, theorem.source, f"{theorem.statement[0].upper()}{theorem.statement[1:]}.", identities.theorem(name))
        for name, theorem in theory.THEOREMS.items()
        if name.startswith("T")
    ),
    Claim(
        "P1",
        HINTON,
        "Dropout of 0.5 on the hidden layers lowers the errors, 0.2 on the pixels further.",
        judges.hidden_then_input,
        P1,
        3,
        "160, 130, 110 errors",
        draw="comparison",
    ),
    Claim(
        "P2",
        "an independent reproduction of " + HINTON,
        "Dropout loses early and wins late.",
        judges.crosses,
        {name: P1[name] for name in ("none", "hidden")},
        published="behind at epoch 20, ahead at 100",
        draw="comparison",
    ),
    Claim(
        "P3",
        f"{SRIVASTAVA}, table 9",
        "Dropout with max-norm has the fewest errors, then dropout with l2, max-norm, l2.",
        judges.table_9,
        {name: arm("papers/srivastava-table9-reduced", *changes) for name, changes in TABLE_9.items()},
        3,
        "1.05, 1.25, 1.35, 1.62 %",
    ),
    Claim(
        "P4",
        f"{SRIVASTAVA}, table 2",
        "Three layers of 1024, dropout and max-norm: 1.06 % errors (reduced: at most 1.4).",
        judges.near_106,
        {"net": arm("papers/srivastava-table2-reduced")},
        3,
        "1.06 %",
    ),
    Claim(
        "P5",
        f"{SRIVASTAVA}, figure 4",
        "Whatever the architecture, with dropout the errors are fewer than with any architecture without it.",
        judges.clusters,
        {
            f"{name} {shape}": arm(
                "claims/wide", f"network.hidden=[{','.join(map(str, hidden))}]", f"dropout.rate={rate}"
            )
            for name, rate in (("plain", 0), ("dropout", 0.5))
            for shape, hidden in judges.SHAPES.items()
        },
        3,
        "1.0 to 1.3 % against 1.7 to 1.8 %",
    ),
    Claim(
        "P6",
        f"{SRIVASTAVA}, table 10",
        "Gaussian noise is as good as Bernoulli's or better.",
        judges.gaussian_matches,
        GAUSSIAN,
        published="0.95 +- 0.04 against 1.08 +- 0.04 %",
    ),
    Claim(
        "P7",
        f"{SRIVASTAVA}, figure 10",
        "With 100 and 500 images dropout brings nothing; its gain peaks in the middle.",
        judges.gain_against_data,
        FIGURE_10,
        published="no gain at 100 and 500",
    ),
    Claim(
        "P8",
        f"{SRIVASTAVA}, figure 9a",
        "With n fixed the error is flat for keep 0.4 to 0.8 and rises below.",
        judges.flat_in_the_middle,
        keeps("papers/srivastava-fig9a-reduced"),
        draw="sweep",
    ),
    Claim(
        "P9",
        f"{SRIVASTAVA}, figure 9b",
        "With as many units kept, a small keep does better than with n fixed.",
        judges.rescued,
        {
            **keeps("papers/srivastava-fig9b-reduced"),
            "fixed 0.1": arm("papers/srivastava-fig9a-reduced", "dropout.rate=0.9"),
        },
        published="2.7 to 1.7 % at keep 0.1",
    ),
    Claim(
        "P10",
        f"{SRIVASTAVA}, figure 11",
        "The mean of about 50 passes is as good as weight scaling.",
        judges.fifty_passes,
        {"net": arm("papers/srivastava-fig11-reduced")},
        published="about 50",
        samples=100,
    ),
    Claim(
        "P12",
        f"{SRIVASTAVA}, section 11",
        "Dropout needs 2 to 3 times as much training.",
        judges.needs_longer,
        {name: P1[name] for name in ("none", "hidden")},
        published="2 to 3 times",
    ),
    Claim(
        "P13",
        f"{SRIVASTAVA}, appendix A",
        "A high learning rate and max-norm beat dropout alone.",
        judges.fast_and_constrained,
        CELLS,
    ),
    Claim(
        "P14",
        f"{SRIVASTAVA}, appendix A",
        "A net with n / keep units and dropout is no worse than one with n.",
        judges.twice_as_wide,
        {
            f"dropout {width}": arm("claims/wide", f"network.hidden=[{width},{width}]", "training.epochs=30")
            for width in judges.HALVES
        }
        | {
            f"plain {width // 2}": arm(
                "claims/wide", f"network.hidden=[{width // 2},{width // 2}]", "training.epochs=30", "dropout.rate=0"
            )
            for width in judges.HALVES
        },
    ),
    Claim(
        "P15",
        "Wan et al. 2013 (unconfirmed)",
        "DropConnect or dropout beat neither; with tanh DropConnect is best.",
        judges.dropconnect_order,
        WAN,
        published="relu 1.20, 1.28, 1.62 %; tanh 1.36, 1.58, 1.65 %",
    ),
    Claim(
        "P16",
        "Gal & Ghahramani 2016",
        "The passes disagree more about the images that the network gets wrong.",
        judges.uncertain_where_wrong,
        {"net": arm("papers/srivastava-fig11-reduced")},
        samples=100,
    ),
    Claim(
        "P17",
        "Liu et al. 2023",
        "Early dropout lowers the training loss of a net that underfits, late dropout the errors of one that overfits.",
        judges.early_and_late,
        SCHEDULED,
    ),
    Claim(
        "P18",
        "Morerio et al. 2017",
        "A curriculum of rates is at least as good as a constant rate.",
        judges.curriculum,
        {"constant": arm("claims/wide"), "curriculum": arm("claims/wide", "dropout.schedule=curriculum")},
        published="at worst equal",
    ),
)

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in _ALL}
GROUPS = {"articles": "S", "theory": "T", "papers": "P"}
