"""Numbers that are made wrong, one at a time, in a copy of the package: the test that watches over each must fail.

A constant, a sign, a divisor, an axis, two arrays, an off-by-one. `pytest -m long tests/test_number_mutations.py` tries
all; with pytest-xdist, `-n 2` tries two at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from guards import Guard, check_place, run_without

NUMBERS = {
    "ablation is read off the important units": Guard(
        "claims/", "network.ablation[:, 1].mean()", "network.ablation[:, 2].mean()", "test_by_hand.py::claim_asks"
    ),
    "wrong images are not the right ones": Guard(
        "claims/",
        "network.information[~good].mean()",
        "network.information[good].mean()",
        "test_by_hand.py::claim_asks",
    ),
    "a digit is turned by 45 to 135 degrees": Guard(
        "claims/evidence", "TURNED = slice(3, 10)", "TURNED = slice(2, 11)", "test_by_hand.py::claim_asks"
    ),
    "digits are turned in steps of 15 degrees": Guard(
        "evaluation/", "range(0, 180, 15)", "range(0, 120, 10)", "test_by_hand.py::digit_1"
    ),
    "importance has the norm of what a unit sends": Guard(
        "evaluation/", "(output * net.weights[1][0].norm(dim=1))", "output", "test_by_hand.py::ablation"
    ),
    "the most important units go first": Guard(
        "evaluation/", "argsort(descending=True, stable=True)", "argsort(stable=True)", "test_by_hand.py::ablation"
    ),
    "the sd of averaging has n - 1": Guard(
        "evaluation/", "errors.std(0, ddof=1)", "errors.std(0)", "test_by_hand.py::error_of_k"
    ),
    "an output is 0 or is not": Guard(
        "evaluation/", "(h.mean(), (h == 0).mean())", "(h.mean(), (h < 0.01).mean())", "test_by_hand.py::activity"
    ),
    "it is a 1 that is turned": Guard(
        "evaluation/", "min(1, data.classes - 1)", "min(2, data.classes - 1)", "test_by_hand.py::digit_1"
    ),
    "the digit turned is read as a 1": Guard(
        "evaluation/",
        "data.test_labels)).nonzero()",
        "data.test_labels) | True).nonzero()",
        "test_by_hand.py::digit_1",
    ),
    "four times as many passes as are averaged": Guard(
        "evaluation/", "POOL = 4", "POOL = 3", "test_by_hand.py::each_inference"
    ),
    "fifteen bins of confidence": Guard("evaluation/", "BINS = 15", "BINS = 10", "test_by_hand.py::each_inference"),
    "a hundred sets of passes": Guard("evaluation/", "DRAWS = 100", "DRAWS = 99", "test_by_hand.py::error_of_k"),
    "within one sd of weight scaling": Guard(
        "evaluation/",
        "weight_scaling.error) <= curve[:, 1]",
        "weight_scaling.error) <= 0 * curve[:, 1]",
        "test_by_hand.py::error_of_k",
    ),
    "the geometric mean is one of logarithms": Guard(
        "evaluation/",
        "np.log(one.clip(TINY)) for one in pool",
        "one.clip(TINY) for one in pool",
        "test_by_hand.py::each_inference",
    ),
    "the geometric mean is normalized": Guard(
        "evaluation/",
        "geometric / geometric.sum(1, keepdims=True)",
        "geometric / geometric.sum(0, keepdims=True)",
        "test_by_hand.py::each_inference",
    ),
    "mutual information is less the mean entropy": Guard(
        "evaluation/",
        "sum(map(entropy, pool)) / len(pool)",
        "sum(map(entropy, pool)) / (len(pool) - 1)",
        "test_by_hand.py::uncertainty",
    ),
    "the ensemble is the mean of all": Guard(
        "evaluation/",
        "scores(probabilities.mean(0), labels)",
        "scores(probabilities[0], labels)",
        "test_by_hand.py::together",
    ),
    "a vote is wrong or right": Guard(
        "evaluation/",
        "(majority(probabilities) != labels).mean()",
        "(majority(probabilities) == labels).mean()",
        "test_by_hand.py::together",
    ),
    "equal votes go to the probabler": Guard(
        "evaluation/", "probabilities.mean(0) / 2", "-probabilities.mean(0) / 2", "test_evaluation.py::equal_votes"
    ),
    "a bin counts with its images": Guard(
        "evaluation/",
        "(count * np.abs(accuracy - mean)).sum() / len(labels)",
        "np.abs(accuracy - mean).sum() / len(np.unique(index))",
        "test_by_hand.py::each_inference",
    ),
    "one mask a batch: 0.2 pp": Guard(
        "claims/",
        'wrong(e, "batch"), wrong(e, "dropout"), 0.002',
        'wrong(e, "batch"), wrong(e, "dropout"), 0.009',
        "test_margins.py::turns_at_its_margin and S21-0",
    ),
    "gaussian as good: 0.2 pp": Guard(
        "claims/",
        'wrong(e, "bernoulli"), 0.002',
        'wrong(e, "bernoulli"), 0.015',
        "test_margins.py::turns_at_its_margin and S27-0",
    ),
    "twice as wide: 0.2 pp": Guard(
        "claims/",
        'wrong(e, f"plain {half}"), 0.002',
        'wrong(e, f"plain {half}"), 0.009',
        "test_margins.py::turns_at_its_margin and P14-0",
    ),
    "curriculum: 0.2 pp": Guard(
        "claims/",
        'wrong(e, "constant"), 0.002',
        'wrong(e, "constant"), 0.015',
        "test_margins.py::turns_at_its_margin and P18-0",
    ),
    "about 50 passes: 20 at least": Guard(
        "claims/", "median_between(reached, 20, 100", "median_between(reached, 2, 100", "test_margins.py::p10_counts"
    ),
    "about 50 passes: 100 at most": Guard(
        "claims/", "median_between(reached, 20, 100", "median_between(reached, 20, 101", "test_margins.py::p10_counts"
    ),
    "one sd of weight scaling": Guard(
        "claims/", "abs(mean - scaling) <= sd", "abs(mean - scaling) <= 2 * sd", "test_margins.py::p10_counts"
    ),
    "at most 1.4 % errors": Guard(
        "claims/",
        'below(wrong(e, "net"), 0.014',
        'below(wrong(e, "net"), 0.019',
        "test_margins.py::turns_at_its_margin and P4-0",
    ),
    "fewer than 160 errors": Guard(
        "claims/", "below(both, 0.016", "below(both, 0.0162", "test_margins.py::turns_at_its_margin and P1-2"
    ),
    "more than 97 %": Guard(
        "claims/",
        '"test_accuracy"), 0.97, percent',
        '"test_accuracy"), 0.968, percent',
        "test_margins.py::turns_at_its_margin and S1-0",
    ),
    "epoch 4 or before": Guard(
        "claims/",
        "median_between(best, -math.inf, 4",
        "median_between(best, -math.inf, 5",
        "test_margins.py::s2_is_about",
    ),
    "clearly lower": Guard(
        "claims/", "CLEARLY = 0.005", "CLEARLY = 0.006", "test_margins.py::turns_at_its_margin and S3-1"
    ),
    "about 98 %": Guard(
        "claims/", "above(own, 0.975", "above(own, 0.97", "test_margins.py::turns_at_its_margin and S5-0"
    ),
    "the third epoch": Guard(
        "claims/", "{s: c[2] for", "{s: c[3] for", "test_margins.py::turns_at_its_margin and S4-1"
    ),
    "at 97 % or above": Guard(
        "claims/",
        "value <= level if falling else value >= level",
        "value <= level if falling else value > level",
        "test_margins.py::s4_counts",
    ),
    "the first epoch is 1": Guard(
        "claims/", "enumerate(reached, start=1)", "enumerate(reached, start=0)", "test_margins.py::p12_allows"
    ),
    "a gain of 0.1 pp": Guard(
        "claims/", "GAINS = 0.001", "GAINS = 0.002", "test_margins.py::turns_at_its_margin and S30-0"
    ),
    "as good as the best: 0.5 pp": Guard(
        "claims/",
        "margin=0.005, reading=units",
        "margin=0.009, reading=units",
        "test_margins.py::turns_at_its_margin and S10-1",
    ),
    "close to 1 is 0.8 or 0.95": Guard(
        "claims/", '["input 0.8", "input 0.95"]', '["input 0.95"]', "test_margins.py::turns_at_its_margin and S14-0"
    ),
    "a gap is training less test": Guard(
        "claims/",
        'subtract(e.values(name, "clean_train_accuracy"), e.values(name, "test_accuracy"))',
        'subtract(e.values(name, "test_accuracy"), e.values(name, "clean_train_accuracy"))',
        "test_margins.py::turns_at_its_margin and S22-0",
    ),
    "a fall is a negative slope": Guard(
        "claims/",
        "{seed: -value for seed, value in slope(HIGH",
        "{seed: value for seed, value in slope(HIGH",
        "test_margins.py::turns_at_its_margin and S25-1",
    ),
    "not very different: 0.5 pp": Guard(
        "claims/",
        'e.values("plain", "test_accuracy"), 0.005, points',
        'e.values("plain", "test_accuracy"), 0.006, points',
        "test_margins.py::turns_at_its_margin and S6-0",
    ),
    "the widest with dropout": Guard(
        "claims/",
        "higher(widest, rival, 0.0",
        "higher(rival, widest, 0.0",
        "test_margins.py::turns_at_its_margin and S30-3",
    ),
    "the first 20 epochs": Guard(
        "claims/",
        "(slice(20), slice(-20, None))",
        "(slice(21), slice(-20, None))",
        "test_margins.py::turns_at_its_margin and P2-0",
    ),
    "the last 20 epochs": Guard(
        "claims/",
        "(slice(20), slice(-20, None))",
        "(slice(20), slice(-21, None))",
        "test_margins.py::turns_at_its_margin and P2-1",
    ),
    "the better learning rate is the better one": Guard(
        "claims/", "trained.get(arm, 0.0))", "-trained.get(arm, 0.0))", "test_margins.py::turns_at_its_margin and P3-0"
    ),
    "any dropout is both kinds of it": Guard(
        "claims/",
        'for method in FAMILIES["dropout"]]',
        'for method in list(FAMILIES["dropout"])[1:]]',
        "test_margins.py::turns_at_its_margin and P3-1",
    ),
    "the fewest errors of any epoch": Guard(
        "claims/",
        "{seed: 1 - max(curve) for",
        "{seed: 1 - curve[-1] for",
        "test_margins.py::turns_at_its_margin and P5-0",
    ),
    "no gain with few images": Guard(
        "claims/",
        "below(gains[name], 0.005",
        "below(gains[name], 0.006",
        "test_margins.py::turns_at_its_margin and P7-0",
    ),
    "the middle of the amounts": Guard(
        "claims/", "list(gains)[2:-1]", "list(gains)[2:]", "test_margins.py::turns_at_its_margin and P7-2"
    ),
    "flat to within 0.25 pp": Guard(
        "claims/", "found[low], 0.0025", "found[low], 0.003", "test_margins.py::turns_at_its_margin and P8-0"
    ),
    "the middle goes from 0.4 to 0.8": Guard(
        "claims/",
        "MIDDLE = (0.4, 0.5, 0.6, 0.7, 0.8)",
        "MIDDLE = (0.5, 0.6, 0.7, 0.8)",
        "test_margins.py::turns_at_its_margin and P8-0",
    ),
    "rescued by 0.3 pp": Guard(
        "claims/",
        'wrong(e, "fixed 0.1"), 0.003',
        'wrong(e, "fixed 0.1"), 0.001',
        "test_margins.py::turns_at_its_margin and P9-0",
    ),
    "the paper's scale is times keep": Guard(
        "claims/",
        "value / 2 for seed, value in inverted",
        "value for seed, value in inverted",
        "test_margins.py::turns_at_its_margin and P11-0",
    ),
    "sparser and no worse: 0.5 pp": Guard(
        "claims/",
        'wrong(e, "plain"), 0.005, points',
        'wrong(e, "plain"), 0.01, points',
        "test_margins.py::turns_at_its_margin and P11-3",
    ),
    "two to three times is 1.5 to 5": Guard(
        "claims/", "LONGER = (1.5, 5.0)", "LONGER = (1.6, 5.0)", "test_margins.py::p12_allows"
    ),
    "levels of the training loss": Guard(
        "claims/", "LEVELS = (0.05, 0.01)", "LEVELS = (0.06, 0.01)", "test_margins.py::p12_allows"
    ),
    "a minimum at the end is none": Guard(
        "claims/", "return epoch if epoch < len(curve) else epoch + 1", "return epoch", "test_margins.py::p12_does_not"
    ),
    "uncertain where wrong": Guard(
        "claims/",
        "higher(wrong_ones, right_ones, 0.0",
        "higher(right_ones, wrong_ones, 0.0",
        "test_margins.py::turns_at_its_margin and P16-1",
    ),
    "the median is covered by 93 %": Guard(
        "claims/", "COVERED = 0.93", "COVERED = 0.7", "test_judging.py::order_statistics"
    ),
    "both ends of the median's interval": Guard(
        "claims/", "1 - 2 * sum(math.comb(n, k)", "1 - sum(math.comb(n, k)", "test_judging.py::order_statistics"
    ),
    "one standard error": Guard(
        "claims/", ">= -standard_error", ">= -2 * standard_error", "test_margins.py::turns_at_its_margin and S21-0"
    ),
    "a standard error is sd over the root of n": Guard(
        "claims/",
        "/ difference.n**0.5",
        "/ (difference.n - 1) ** 0.5",
        "test_margins.py::turns_at_its_margin and S21-0",
    ),
    "as good: not past the margin": Guard(
        "claims/",
        ">= -standard_error and low > -margin",
        ">= -standard_error",
        "test_margins.py::turns_at_its_margin and S21-0",
    ),
    "more than the margin on average": Guard(
        "claims/",
        "low > bound and (low + high) / 2 > bound + margin",
        "low > bound and high > bound + margin",
        "test_judging.py::decide_at",
    ),
    "an end at the bound excludes nothing": Guard(
        "claims/", "if low > bound and", "if low >= bound and", "test_judging.py::decide_at"
    ),
    "less than the margin fails": Guard(
        "claims/",
        '"FAILS" if high < bound + margin else',
        '"FAILS" if high < bound else',
        "test_margins.py::turns_at_its_margin and S3-0",
    ),
    "alike to either side": Guard(
        "claims/", "-margin < low and high < margin", "high < margin", "test_margins.py::turns_at_its_margin and S6-0"
    ),
    "below is above the other way": Guard(
        "claims/", "decide(-high, -low, -most)", "decide(low, high, -most)", "test_judging.py::between_two"
    ),
    "a slope is over the square of the places": Guard(
        "claims/", "strict=True)) / square", "strict=True)) / len(places)", "test_judging.py::slope_is"
    ),
    "a difference in words is candidate less baseline": Guard(
        "claims/", "paired(before, after)", "paired(after, before)", "test_judging.py::candidate_less"
    ),
    "400 to within a tenth": Guard(
        "claims/computed", "np.abs(counts - 400) <= 40", "np.abs(counts - 400) <= 60", "test_judging.py::s18_wants"
    ),
    "400 as a rule": Guard("claims/computed", "near > 0.95", "near > 0.5", "test_judging.py::s18_wants"),
    "a binomial's mean": Guard(
        "claims/computed", "< 5 * sd / math.sqrt(STEPS)", "< 50 * sd / math.sqrt(STEPS)", "test_judging.py::s12_wants"
    ),
    "a binomial's spread": Guard(
        "claims/computed",
        "counts.std() / sd - 1) < 0.06",
        "counts.std() / sd - 1) < 0.1",
        "test_judging.py::s12_wants",
    ),
    "one of ten every time": Guard(
        "claims/computed",
        "exact(share > 0.999, measured",
        "exact(share > 0.99, measured",
        "test_judging.py::s13_wants",
    ),
    "widened by what is kept": Guard(
        "claims/computed", "n / (1 - rate) * (1 - rate)", "n / (1 - rate) * rate", "test_judging.py::computed_is_told"
    ),
    "the mean net is keep times": Guard(
        "claims/theory",
        "return keep * inputs @ weights + bias",
        "return (1 - keep) * inputs @ weights + bias",
        "test_theory.py::every_theorem_holds and T1",
    ),
    "the variance of a mask": Guard(
        "claims/theory",
        "return keep * (1 - keep) * inputs**2",
        "return keep * inputs**2",
        "test_theory.py::every_theorem_holds and T3",
    ),
    "the penalty of ridge": Guard(
        "claims/theory",
        "keep * square + (1 - keep) * np.diag",
        "keep * square + keep * np.diag",
        "test_theory.py::ridge_is_scikit",
    ),
    "half the curvature": Guard(
        "claims/theory", "fires * (1 - fires) / 2", "fires * (1 - fires)", "test_theory.py::every_theorem_holds and T5"
    ),
    "rounding is 1e-12": Guard(
        "claims/theory", "ROUNDING = 1e-12", "ROUNDING = 1e-6", "test_judging.py::no_more_than_rounding"
    ),
    "an error as large as allowed": Guard(
        "claims/theory",
        "self.error <= self.tolerance",
        "self.error < self.tolerance",
        "test_judging.py::no_more_than_rounding",
    ),
    "Adam's correction in T8": Guard(
        "claims/theory",
        "np.sqrt(second[i] / (1 - BETAS[1] ** step))",
        "np.sqrt(second[i] / (1 - BETAS[0] ** step))",
        "test_theory.py::t8_are_torchs",
    ),
    "an L2 decay in the mean gradient": Guard(
        "claims/theory",
        "decay = keep * (1 - keep) * weights",
        "decay = keep * keep * weights",
        "test_theory.py::every_theorem_holds and S23",
    ),
    "the gradient is a batch's mean": Guard(
        "training", ".mul_(1 / count)", ".mul_(1 / output.shape[1])", "test_training_by_hand.py::regularized"
    ),
    "images that fill up have no part": Guard(
        "training", "delta[:, count:] = 0", "delta[:, :0] = 0", "test_training_by_hand.py::regularized"
    ),
    "weight decay goes with the learning rate": Guard(
        "training",
        "network.decay(learning_rate * penalty.weight_decay)",
        "network.decay(penalty.weight_decay)",
        "test_training_by_hand.py::regularized",
    ),
    "max-norm comes after the step": Guard(
        "training",
        "network.project(penalty.max_norm)",
        "network.project(2 * penalty.max_norm)",
        "test_training_by_hand.py::regularized",
    ),
    "every epoch has its order": Guard(
        "training", '"order", epoch)', '"order", 1)', "test_training_by_hand.py::regularized"
    ),
    "the best epoch has the lowest loss": Guard(
        "training", "row.val_loss < best.val_loss", "row.val_loss > best.val_loss", "test_training.py::scored_at"
    ),
    "patience is so many epochs": Guard(
        "training",
        "last.epoch - best.epoch >= patience",
        "last.epoch - best.epoch > patience",
        "test_training.py::patience_ends",
    ),
    "the step that diverged": Guard(
        "training",
        "len(losses) - 1) // batch + 1",
        "len(losses) - 1) // batch",
        "test_training_by_hand.py::step_that_diverged",
    ),
    "the rate in force is a mean": Guard(
        "training", "float(force.mean())", "float(force.max())", "test_training.py::row_says_which"
    ),
    "the best weights make the best scores": Guard(
        "training",
        "best=final(best, *at_best[lane])",
        "best=final(best, *at_last[lane])",
        "test_training.py::scored_at",
    ),
    "clean training images are the first": Guard(
        "training", "indices[:count]", "indices[1 : count + 1]", "test_training.py::columns_are_called"
    ),
    "relu's slope": Guard(
        "network",
        "(torch.relu_, torch.sign)",
        "(torch.relu_, torch.ones_like)",
        "test_network.py::gradients_equal_autograd",
    ),
    "tanh's slope": Guard("network", "1 - output * output", "1 - output", "test_network.py::gradients_equal_autograd"),
    "sigmoid's slope": Guard(
        "network", "output * (1 - output)", "output * (1 + output)", "test_network.py::gradients_equal_autograd"
    ),
    "selu below 0": Guard(
        "network", "alpha=-2 * SELU_LIMIT", "alpha=-SELU_LIMIT", "test_network.py::gradients_equal_autograd"
    ),
    "Glorot's spread": Guard(
        "network",
        "math.sqrt(6 / (fan_in + fan_out))",
        "math.sqrt(3 / (fan_in + fan_out))",
        "test_network.py::published_spread",
    ),
    "LeCun's spread": Guard(
        "network",
        "_normal(math.sqrt(1 / fan_in))",
        "_normal(math.sqrt(2 / fan_in))",
        "test_network.py::published_spread",
    ),
    "Hinton's spread": Guard("network", "_normal(0.01)", "_normal(0.1)", "test_network.py::published_spread"),
    "the gradient of l2 is twice the weight": Guard(
        "network", "alpha=2 * l2", "alpha=l2", "test_network.py::penalties_are"
    ),
    "the gradient of l1 is a sign": Guard(
        "network", "weight.sign(), alpha=l1", "weight.abs(), alpha=l1", "test_network.py::penalties_are"
    ),
    "max-norm is of incoming weights": Guard(
        "network",
        "weight.square().sum(1, keepdim=True)",
        "weight.square().sum(2, keepdim=True)",
        "test_network.py::max_norm_is",
    ),
    "weights decay": Guard(
        "network", "weight.mul_(1 - factor)", "weight.mul_(1 + factor)", "test_network.py::decoupled_weight"
    ),
    "DropConnect's variance": Guard(
        "network", "weight.square(), keep * (1 - keep)", "weight.square(), keep", "test_network.py::moments"
    ),
    "the mean of all samples": Guard(
        "network", "alpha=1 / len(self.samples)", "alpha=1 / (len(self.samples) + 1)", "test_network.py::moments"
    ),
    "inverted dropout divides by what is kept": Guard(
        "dropout",
        "torch.where(keep > 0, 1 / keep, 0.0)",
        "torch.where(keep > 0, 1 / (1 - keep), 0.0)",
        "test_dropout.py::zero_or_one_over_keep",
    ),
    "the variance of Gaussian dropout": Guard(
        "dropout", "(rates / (1 - rates)).sqrt()", "(rates * (1 - rates)).sqrt()", "test_dropout.py::gaussian_noise"
    ),
    "alpha dropout's factor": Guard(
        "dropout", "(1 + (1 - keep) * SELU_LIMIT**2)", "(1 + keep * SELU_LIMIT**2)", "test_dropout.py::alpha_is_torchs"
    ),
    "alpha dropout's base": Guard(
        "dropout", "base = -factor * (1 - keep)", "base = factor * (1 - keep)", "test_dropout.py::alpha_is_torchs"
    ),
    "early ends before the cutoff": Guard(
        "dropout", "gamma: t < cutoff", "gamma: t <= cutoff", "test_dropout.py::schedules_are"
    ),
    "late begins at the cutoff": Guard(
        "dropout", "gamma: t >= cutoff", "gamma: t > cutoff", "test_dropout.py::schedules_are"
    ),
    "early-linear is 0 at the last step": Guard(
        "dropout", "max(1, cutoff - 1)", "max(1, cutoff)", "test_dropout.py::schedules_are"
    ),
    "the curriculum's gamma": Guard(
        "dropout", "10 / (steps * epochs)", "1 / (steps * epochs)", "test_dropout.py::schedules_are"
    ),
    "parts of the normal distribution": Guard(
        "dropout", "(-count * np.diff(density))", "(-(count + 1) * np.diff(density))", "test_dropout.py::parts_of"
    ),
    "the papers' form is scaled at test": Guard(
        "dropout", "at_test=lambda rate: 1 - rate", "at_test=lambda rate: rate", "test_dropout.py::papers_form"
    ),
    "Adam's betas": Guard(
        "optimizer", "BETAS = 0.9, 0.999", "BETAS = 0.9, 0.99", "test_optimizer.py::rule_is_torch and adam"
    ),
    "RMSprop's rho": Guard("optimizer", "RHO = 0.9 ", "RHO = 0.99 ", "test_optimizer.py::rule_is_torch and rmsprop"),
    "epsilon in Keras's Adam": Guard(
        "optimizer", 'float(state["step"])) ** 0.5', 'float(state["step"]))', "test_optimizer.py::keras_adds"
    ),
    "epsilon in RMSprop": Guard(
        "optimizer",
        '.sqrt_() if self.config.epsilon_form == "keras"',
        '.sqrt_() if self.config.epsilon_form != "keras"',
        "test_optimizer.py::rmsprop_adds",
    ),
    "the learning rate falls from the first step": Guard(
        "optimizer", "(epoch - 1) * steps + step", "epoch * steps + step", "test_optimizer.py::rate_falls"
    ),
    "the learning rate falls after an epoch": Guard(
        "optimizer", "config.decay ** (epoch - 1)", "config.decay**epoch", "test_optimizer.py::hintons"
    ),
    "momentum rises from the first epoch": Guard(
        "optimizer",
        "(epoch - 1) / config.momentum_epochs",
        "epoch / config.momentum_epochs",
        "test_optimizer.py::hintons",
    ),
    "dampened is times 1 - momentum": Guard(
        "optimizer", "rate *= 1 - momentum", "rate *= momentum", "test_optimizer.py::hintons"
    ),
    "Nesterov's step": Guard(
        "optimizer", "add_(velocity, alpha=momentum)", "add_(velocity)", "test_optimizer.py::rule_is_torch and nesterov"
    ),
    "six operations per weight and image": Guard(
        "cost",
        "6 * config.training.batch_size / speed",
        "4 * config.training.batch_size / speed",
        "test_cost.py::seconds_are",
    ),
    "two of an evaluation": Guard("cost", "evaluated = 2 * size", "evaluated = size", "test_cost.py::seconds_are"),
    "the last batch is a step too": Guard(
        "cost",
        "math.ceil(images / config.training.batch_size)",
        "math.floor(images / config.training.batch_size)",
        "test_cost.py::seconds_are",
    ),
    "the last layer has weights": Guard(
        "cost", "*config.widths, of.classes)", "*config.widths)", "test_cost.py::weights_are"
    ),
    "eight copies of the weights": Guard(
        "cost", "4 * weights(config) * 8", "4 * weights(config) * 7", "test_cost.py::memory_grows"
    ),
    "95 % intervals": Guard("comparison/", "ALPHA = 0.05", "ALPHA = 0.1", "test_inference.py::paired_by_hand"),
    "80 % power": Guard("comparison/", "POWER = 0.8", "POWER = 0.9", "test_inference.py::needed_at_its_edges"),
    "sd has n - 1": Guard(
        "comparison/",
        "for value in values) / (n - 1))",
        "for value in values) / n)",
        "test_inference.py::paired_by_hand",
    ),
    "degrees of freedom of one group": Guard(
        "comparison/", "sd / math.sqrt(n), n - 1)", "sd / math.sqrt(n), n)", "test_inference.py::interval_is_scipys"
    ),
    "candidate less baseline": Guard(
        "comparison/",
        "[after - before for before, after in",
        "[before - after for before, after in",
        "test_inference.py::paired_by_hand",
    ),
    "Welch's degrees of freedom": Guard(
        "comparison/", "share_b**2 / (n_b - 1)", "share_b**2 / n_b", "test_inference.py::welch_is_scipys"
    ),
    "Holm's factor falls from the number of them": Guard(
        "comparison/",
        "(len(p_values) - rank) * p_values[index]",
        "(len(p_values) - rank - 1) * p_values[index]",
        "test_inference.py::holm_by_hand",
    ),
    "Holm's p-values do not fall": Guard(
        "comparison/", "running = max(running, min(1.0", "running = max(0.0, min(1.0", "test_inference.py::holm_by_hand"
    ),
    "McNemar's test has two sides": Guard(
        "comparison/", "min(1.0, 2 * float(bdtr(", "min(1.0, float(bdtr(", "test_inference.py::mcnemar_is"
    ),
    "a t test has two sides": Guard(
        "comparison/",
        "2 * float(stdtr(df, -abs(t)))",
        "float(stdtr(df, -abs(t)))",
        "test_inference.py::two_values_have",
    ),
    "entropy is in nats": Guard(
        "comparison/",
        "np.log(probabilities.clip(TINY))",
        "np.log2(probabilities.clip(TINY))",
        "test_by_hand.py::uncertainty",
    ),
    "the ends belong to the margin": Guard(
        "comparison/",
        "-margin <= low and high <= margin",
        "-margin < low and high < margin",
        "test_inference.py::interval_and_margin",
    ),
    "three seeds at least": Guard("comparison/", "FEWEST = 3", "FEWEST = 2", "test_comparison.py::verdict_in_words"),
    "power grows with the root of n": Guard(
        "comparison/", "effect * math.sqrt(n)", "effect * math.sqrt(n - 1)", "test_inference.py::power_is_scipys"
    ),
    "rounding is no spread": Guard(
        "comparison/", "ROUNDING = 1e-12", "ROUNDING = 1e-18", "test_inference.py::equal_differences"
    ),
    "a difference by seed has its sign": Guard(
        "comparison/",
        "after[seed] - before[seed] for seed in before",
        "before[seed] - after[seed] for seed in before",
        "test_comparison.py::paired_by_seed",
    ),
    "baseline and candidate of a row": Guard(
        "comparison/",
        "statistics.paired(x, y, steps",
        "statistics.paired(y, x, steps",
        "test_comparison.py::paired_by_seed",
    ),
    "two candidates are a family": Guard(
        "comparison/",
        "if len(tables) > 1 else {}",
        "if len(tables) > 2 else {}",
        "test_comparison.py::candidates_are_a_family",
    ),
    "who alone is right": Guard(
        "comparison/",
        "statistics.mcnemar(a[seed], b[seed])",
        "statistics.mcnemar(b[seed], a[seed])",
        "test_comparison.py::mcnemar_of",
    ),
    "0.1 pp matters": Guard(
        "comparison/", "MIN_EFFECT = 0.001", "MIN_EFFECT = 0.002", "test_sweep.py::marked_as_compare"
    ),
    "97 % is reached at 97 %": Guard(
        "comparison/",
        '["val_accuracy"] >= REACHED',
        '["val_accuracy"] > REACHED',
        "test_comparison.py::what_their_names",
    ),
    "the gap is validation less training": Guard(
        "comparison/",
        'rows["val_loss"].iloc[-1] - rows["clean_train_loss"]',
        'rows["val_loss"].iloc[-1] + rows["clean_train_loss"]',
        "test_comparison.py::what_their_names",
    ),
    "overfitting is from the lowest loss": Guard(
        "comparison/", 'rows["val_loss"].min()', 'rows["val_loss"].max()', "test_comparison.py::what_their_names"
    ),
    "seconds of one epoch": Guard(
        "comparison/",
        "seconds[seed] / facts.epochs",
        "seconds[seed] / (facts.epochs - 1)",
        "test_comparison.py::what_their_names",
    ),
    "the best loss is at the best epoch": Guard(
        "comparison/", '_at("best", "val_loss")', '_at("last", "val_loss")', "test_comparison.py::what_their_names"
    ),
    "0.2pp is 0.002": Guard(
        "comparison/",
        "Decimal(number) / 100 if percent",
        "Decimal(number) / 10 if percent",
        "test_gate.py::the_grammar",
    ),
    "a drop is negative": Guard(
        "comparison/", '{"drop": -mean, "rise": mean', '{"drop": mean, "rise": -mean', "test_gate.py::mean_difference"
    ),
    "exactly the limit is not more": Guard(
        "comparison/", "size <= self.limit * (1 + ROUNDING)", "size < self.limit", "test_gate.py::mean_difference"
    ),
    "the highest is chosen": Guard(
        "sweeps/", "return max(candidates", "return min(candidates", "test_sweep.py::choice_is_made_on"
    ),
    "the choice is made on validation": Guard(
        "sweeps/",
        'SELECTION = METRICS["val_accuracy"]',
        'SELECTION = METRICS["test_accuracy"]',
        "test_sweep.py::choice_is_made_on",
    ),
    "who diverged is not chosen": Guard(
        "sweeps/", "if line.val and not line.diverged", "if line.val", "test_sweep.py::never_chosen"
    ),
    "a sweep's differences are from the baseline": Guard(
        "sweeps/",
        "pairs = [(runs[base], runs[name])",
        "pairs = [(runs[name], runs[base])",
        "test_sweep.py::holm_covers",
    ),
    "Holm covers the family of a sweep": Guard(
        "comparison/",
        "statistics.holm(list(p_values.values()))",
        "list(p_values.values())",
        "test_sweep.py::holm_covers",
    ),
    "later looks are worth 2 %": Guard(
        "comparison/inference", "LATER = 0.02", "LATER = 0.03", "test_sweep.py::remembers_its_looks"
    ),
    "the mixture has variance 1": Guard(
        "comparison/inference", "MIXTURE = 1.0", "MIXTURE = 2.0", "test_inference.py::anytime_factor_is_the"
    ),
    "a mixture has the root of its spread": Guard(
        "comparison/inference",
        "(math.sqrt(spread) / alpha)",
        "(spread / alpha)",
        "test_inference.py::anytime_factor_is",
    ),
    "a family shares the first look's error": Guard(
        "comparison/inference", "ALPHA / family", "ALPHA", "test_inference.py::three_ways"
    ),
    "a family shares a later look's error": Guard(
        "comparison/inference", "else LATER) / family", "else LATER)", "test_inference.py::shares_the_error_of_every"
    ),
    "who declared it has 5 %": Guard(
        "comparison/inference",
        '(ALPHA if looked == "sequential"',
        '(LATER if looked == "sequential"',
        "test_looks.py::whoever_declared",
    ),
    "equal differences are known to half an image": Guard(
        "comparison/inference", "sd = smallest_step / 2", "sd = smallest_step", "test_inference.py::half_an_image"
    ),
    "equal gains are known to half an image": Guard(
        "comparison/inference", "(0.5 / m) ** 2", "(1 / m) ** 2", "test_inference.py::half_an_image"
    ),
    "the images have their part of the error": Guard(
        "comparison/inference", "math.sqrt(shared / (n * m))", "math.sqrt(shared / n)", "test_inference.py::crossed_is"
    ),
    "the images' mean square is less the rest": Guard(
        "comparison/inference", "max(images - rest, 0.0)", "max(images, 0.0)", "test_inference.py::crossed_is"
    ),
    "degrees of freedom of seeds and images": Guard(
        "comparison/inference", "(seeds**2 / (n - 1))", "(seeds**2 / n)", "test_inference.py::crossed_is"
    ),
    "the noise of the images is by their root": Guard(
        "comparison/inference", "noise=math.sqrt(rest / m)", "noise=math.sqrt(rest)", "test_inference.py::crossed_is"
    ),
    "80 % limits of a spread": Guard(
        "comparison/inference",
        "(1 - LIKELY) / 2, (1 + LIKELY) / 2",
        "1 - LIKELY, LIKELY",
        "test_power.py::paired_t_test",
    ),
    "seeds to add are less those there are": Guard(
        "comparison/inference", "max(1, needed - difference.n)", "max(1, needed)", "test_inference.py::range_of_seeds"
    ),
    "baseline and candidate over images": Guard(
        "comparison/compare",
        "statistics.crossed(np.stack([a[seed] for seed in seeds]), np.stack([b[seed]",
        "statistics.crossed(np.stack([b[seed] for seed in seeds]), np.stack([a[seed]",
        "test_comparison.py::mcnemar_of",
    ),
    "a margin is no less than one image": Guard(
        "comparison/compare", "max(MIN_EFFECT, steps", "min(MIN_EFFECT, steps", "test_looks.py::never_below_one_image"
    ),
    "a seed dominates from four times on": Guard(
        "comparison/compare", "DOMINATES = 4.0", "DOMINATES = 1.0", "test_looks.py::no_seed_of_an_ordinary"
    ),
    "a mean square is over its degrees of freedom": Guard(
        "comparison/variance",
        "values.shape[axis] - 1 for",
        "values.shape[axis] for",
        "test_variance.py::squares_by_hand",
    ),
    "components alternate in sign": Guard(
        "comparison/variance",
        "(-1) ** (len(other) - len(chosen)) * squares",
        "squares",
        "test_variance.py::squares_by_hand",
    ),
    "a component is over its repeats": Guard(
        "comparison/variance",
        "levels ** (count - len(chosen))",
        "levels ** len(chosen)",
        "test_variance.py::found_without_bias",
    ),
    "random units are not the important ones": Guard(
        "lesson/gather", "1 - own.ablation[:, 2]", "1 - own.ablation[:, 1]", "test_lesson.py::without_the_units"
    ),
    "the curves of the lesson are of the drawn seed": Guard(
        "lesson/gather",
        'run.metrics[run.metrics["seed"] == trained.seed]',
        'run.metrics[run.metrics["seed"] == trained.seed + 1]',
        "test_lesson.py::predict_what_python",
    ),
    "a gain of dropout is above 0": Guard(
        "lesson/gather",
        "100 * (after[seed] - before[seed])",
        "100 * (before[seed] - after[seed])",
        "test_lesson.py::intervals_of_the_seeds",
    ),
    "an interval of n seeds has n - 1 degrees of freedom": Guard(
        "lesson/gather", "t_quantile(df, ALPHA)", "t_quantile(df + 1, ALPHA)", "test_lesson.py::intervals_of_the_seeds"
    ),
    "the two penalties of the theory": Guard(
        "lesson/gather",
        '"raw": rounded(theory.raw)',
        '"raw": rounded(theory.effective)',
        "test_lesson.py::curves_errors_and_gaps",
    ),
    "a test error is over the seeds": Guard(
        "lesson/gather", "interval([1 - value for", "interval([value for", "test_lesson.py::curves_errors_and_gaps"
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_is_where_it_is_said_to_be(name: str) -> None:
    check_place(NUMBERS[name])


@pytest.mark.long
@pytest.mark.parametrize("name", NUMBERS)
def test_the_test_of_a_number_fails_with_another(name: str, tmp_path: Path) -> None:
    result = run_without(NUMBERS[name], tmp_path)
    assert result.returncode == 1, f"{name}: {result.stdout[-2000:]}{result.stderr[-500:]}"
