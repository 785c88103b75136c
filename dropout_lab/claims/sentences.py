"""What the literature says: its claims in their order, S1 to S30, T1 to T8 and P1 to P18.

articles.py, papers.py and theory.py have the judges and the experiments that decide them.
"""

from __future__ import annotations

from typing import NamedTuple

MASRI = "000: Masri, An intuitive explanation to dropout"
MAKLIN = "001: Maklin, Dropout Keras layers explained"
LANG = "002: Lang, Unveiling the dropout layer"
NOTE = "003: a study note, Dropout"
RANJAN = "004: Ranjan, Simplified math behind dropout"
HINTON, SRIVASTAVA, BALDI = "Hinton et al. 2012", "Srivastava et al. 2014", "Baldi & Sadowski 2013"


class Said(NamedTuple):
    """A source, a sentence of it, and the numbers that the source publishes; "" if it has none."""

    source: str
    sentence: str
    published: str = ""


SENTENCES = {
    "S1": Said(MAKLIN, "Without dropout the network has more than 97 % test accuracy.", "> 97 %"),
    "S2": Said(MAKLIN, "Without dropout the validation loss stops falling after epoch 3.", "epoch 3"),
    "S3": Said(MAKLIN, "With dropout 0.5 the validation loss is clearly lower."),
    "S4": Said(MAKLIN, "With dropout 0.5 training converges faster."),
    "S5": Said(MAKLIN, "Dropout reaches about 98 % validation accuracy, more than without.", "about 98 %"),
    "S6": Said(MAKLIN, "The test accuracy with dropout is not very different."),
    "S7": Said(MAKLIN, "Dropout does not raise the test accuracy, and the reason is that there are too few images."),
    "S8": Said(MAKLIN, "normalize(x, axis=1) scales the pixels to 0 to 1."),
    "S9": Said(MAKLIN, "Dropout comes after the activation, but for relu."),
    "S10": Said(f"{MAKLIN}; 004", "A rate of 0.5 is a good default for hidden layers."),
    "S11": Said(MASRI, "Without dropout a few units dominate (the trusted viewer)."),
    "S12": Said(MASRI, "A rate of x drops x % of the units at each step."),
    "S13": Said(LANG, "Of 10 inputs, a rate of 10 % drops one in each pass."),
    "S14": Said(LANG, "For the input layer a dropout probability close to 1 is best.", "close to 1"),
    "S15": Said(LANG, "A layer is widened by dividing n by the dropout rate."),
    "S16": Said(LANG, "At test the weights are scaled by the dropout rate."),
    "S17": Said(LANG, "Dropout works in training and not in prediction."),
    "S18": Said(NOTE, "Of 1000 units a rate of 0.4 drops about 400.", "400"),
    "S19": Said(NOTE, "At test, weights times p reproduce what training expects."),
    "S20": Said(NOTE, "The weights of dropped units are not updated in that step."),
    "S21": Said(NOTE, "One mask for a mini-batch will do."),
    "S22": Said(f"{NOTE}; 004", "Dropout reduces overfitting."),
    "S23": Said(RANJAN, "With linear units the mean gradient is that of the mean network and an l2 decay."),
    "S24": Said(RANJAN, "Regularization is strongest at a rate of 0.5.", "0.5"),
    "S25": Said(RANJAN, "Rates above 0.5 do not regularize more."),
    "S26": Said(RANJAN, "The rate of the input should be at most 0.2.", "0.2"),
    "S27": Said(RANJAN, "Gaussian dropout is as good as Bernoulli dropout or better.", "0.95 against 1.08 %"),
    "S28": Said(RANJAN, "Gaussian dropout needs no scaling at test."),
    "S29": Said(RANJAN, "The gates of dropout sit on each connection."),
    "S30": Said(RANJAN, "l2 does not allow bigger networks; dropout does."),
    "T1": Said(
        HINTON,
        "With one hidden layer and softmax the scaled network is the normalized geometric mean of all thinned ones.",
    ),
    "T2": Said(HINTON, "There its log-probability of a class is no less than the mean one of the thinned networks."),
    "T3": Said(
        HINTON, "With linear outputs its squared error is the mean one of the thinned networks less their variance."
    ),
    "T4": Said(SRIVASTAVA, "In linear regression dropout is a ridge penalty."),
    "T5": Said(
        "Wager et al. 2013",
        "In logistic regression dropout is nearly a quadratic penalty, but for third order in the weights.",
    ),
    "T6": Said(
        "Wang & Manning 2013",
        "In logistic regression the loss with dropout is nearly that of a Gaussian sum, with kappa = pi / 8.",
    ),
    "T7": Said(BALDI, "The normalized geometric mean of a sigmoid unit is the sigmoid of its mean sum."),
    "T8": Said(
        SRIVASTAVA, "A network that is scaled at test trains as one with inverted dropout, with its settings mapped."
    ),
    "P1": Said(
        f"{HINTON}, figure 1",
        "Dropout of 0.5 on the hidden layers lowers the errors, 0.2 on the pixels further.",
        "160, 130, 110 errors",
    ),
    "P2": Said(
        f"an independent reproduction of {HINTON}",
        "Dropout loses early and wins late.",
        "behind at epoch 20, ahead at 100",
    ),
    "P3": Said(
        f"{SRIVASTAVA}, table 9",
        "Dropout with max-norm has the fewest errors, and dropout fewer than any regularizer without it.",
        "dropout + max-norm 1.05, dropout + L2 1.25, max-norm 1.35, L2 1.62 %",
    ),
    "P4": Said(
        f"{SRIVASTAVA}, table 2",
        "Three layers of 1024, dropout and max-norm: 1.06 % errors (reduced: at most 1.4).",
        "1.06 %",
    ),
    "P5": Said(
        f"{SRIVASTAVA}, figure 4",
        "Whatever the architecture, with dropout the errors are fewer than with any architecture without it.",
        "1.0 to 1.3 % against 1.7 to 1.8 %",
    ),
    "P6": Said(
        f"{SRIVASTAVA}, table 10",
        "Gaussian noise is as good as Bernoulli's or better.",
        "0.95 +- 0.04 against 1.08 +- 0.04 %",
    ),
    "P7": Said(
        f"{SRIVASTAVA}, figure 10",
        "With 100 and 500 images dropout brings nothing; its gain peaks in the middle.",
        "no gain at 100 and 500",
    ),
    "P8": Said(
        f"{SRIVASTAVA}, figure 9a",
        "With n fixed the error is flat for keep 0.4 to 0.8 and rises on either side.",
        "flat from 0.4 to 0.8",
    ),
    "P9": Said(
        f"{SRIVASTAVA}, figure 9b",
        "With as many units kept, a small keep does better than with n fixed.",
        "2.7 to 1.7 % at keep 0.1",
    ),
    "P10": Said(
        f"{SRIVASTAVA}, figure 11", "It takes the mean of about 50 passes to be as good as weight scaling.", "about 50"
    ),
    "P11": Said(
        f"{SRIVASTAVA}, figure 8",
        "Dropout makes hidden units sparser (there of an auto-encoder, here of a classifier).",
        "mean output about 2.0 to 0.7",
    ),
    "P12": Said(f"{SRIVASTAVA}, section 11", "Dropout needs 2 to 3 times as much training.", "2 to 3 times"),
    "P13": Said(
        f"{SRIVASTAVA}, appendix A",
        "A high learning rate and max-norm beat dropout alone.",
        "1.25 % without, 1.06 % with max-norm",
    ),
    "P14": Said(f"{SRIVASTAVA}, appendix A", "A net with n / keep units and dropout is no worse than one with n."),
    "P15": Said(
        "Wan et al. 2013",
        "With relu a network without DropConnect and dropout has the most errors, with tanh DropConnect the fewest.",
        "relu 1.20, 1.28, 1.62 %; tanh 1.36, 1.58, 1.65 % (unconfirmed)",
    ),
    "P16": Said(
        "Gal & Ghahramani 2016",
        "The passes disagree about what the network does not know: turned digits, and those that it gets wrong.",
    ),
    "P17": Said(
        "Liu et al. 2023",
        "Early dropout lowers the training loss of a net that underfits, late dropout the errors of one that overfits.",
        "ImageNet accuracy 73.9 % none, 67.9 % standard, 74.3 % early",
    ),
    "P18": Said(
        "Morerio et al. 2017", "A curriculum of rates is at least as good as a constant rate.", "at worst equal"
    ),
}
