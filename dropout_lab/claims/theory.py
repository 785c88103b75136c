"""The theorems of the papers about dropout, checked by summing over every mask in float64. Needs no data and no torch.

n units have 2^n masks m of zeros and ones. With keep = 1 - rate (the papers' p), a mask has the probability
keep^(units kept) (1 - keep)^(units dropped). So an expectation is a finite sum, exact except for rounding.

"What the papers say" has a function for each closed form. "The checks" compares each with that sum. THEOREMS names all
of them. T5 and T6 are approximations: their error is no rounding, but has an order or a bound, which the check states.
T8 compares two trainings, whose masks are drawn at random.

The masks are those of the papers, m itself. Inverted dropout, m / keep, is the same with `weights / keep` as `weights`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_softmax, softmax

from dropout_lab import text as layout
from dropout_lab.streams import stream

Array = NDArray[np.float64]

SCHEMA_VERSION = 1
KEEPS = (0.3, 0.5, 0.8)
INPUT_KEEP = 0.8  # in T8, beside KEEPS for the hidden layer
UNITS, EXAMPLES, OUTPUTS = 10, 6, 4
ROUNDING = 1e-12  # the largest error of an identity
SLOPE = 0.05  # the largest error of a fitted order
STEPS = 200  # of the two trainings of T8
EACH_KEEP = f"keep {', '.join(map(str, KEEPS))}"
ALL = f"2^{UNITS} masks, {EACH_KEEP}"

# T8: a setting of the inverted net is the one of the weight-scaling net times keep to this power.
POWERS = {
    "sgd": {"weights": 1, "learning_rate": 2, "max_norm": 1},
    "adam": {"weights": 1, "learning_rate": 1, "max_norm": 1, "epsilon": -1},
}
LEARNING_RATE = {"sgd": 0.1, "adam": 0.01}
MAX_NORM, EPSILON, MOMENTUM, BETAS = 1.0, 1e-3, 0.9, (0.9, 0.999)


class Outcome(NamedTuple):
    """What a check enumerated, what its `error` measures, the largest error it found, and the largest allowed."""

    enumerated: str
    measured: str
    error: float
    tolerance: float


@dataclass(frozen=True)
class Theorem:
    """What a paper proves, and the check of it, which draws the numbers it needs from a generator.

    statement: for a table, in at most 50 characters; sentences.csv has it in words.
    """

    statement: str
    source: str
    check: Callable[[Generator], Outcome]


@dataclass(frozen=True)
class Result:
    """A theorem and what its check found, as one flat record."""

    id: str
    statement: str
    source: str
    enumerated: str
    measured: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is no larger than allowed; an error that is not a number is not."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Strength:
    """How strongly dropout on the inputs of a linear regression regularizes it, (n,) each: for n values of `keep`.

    - raw: keep (1 - keep), the coefficient of |G w|^2 while the raw weights w stay as they are; largest at 0.5
      (Baldi & Sadowski 2013)
    - effective: (1 - keep) / keep, that of |G w~|^2 in the weights w~ = keep w of the test net; it grows as keep falls
      (Srivastava et al. 2014, section 9.1)
    - norm: |w~| of the solved regression, as a share of its value without dropout; it falls with keep
    """

    keep: Array
    raw: Array
    effective: Array
    norm: Array


# Every mask


def masks(units: int) -> Array:
    """Return all masks of so many units, (2^units, units), as zeros and ones."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(np.float64)


def probabilities(masks: Array, keep: float) -> Array:
    """Return P(m) = keep^(ones in m) (1 - keep)^(zeros in m) of masks (..., units), as (...)."""
    return np.asarray(np.where(masks == 1, keep, 1 - keep).prod(axis=-1))


def expectation(values: Array, keep: float) -> Array:
    """Return the sum over m of P(m) values[m]; values: (2^units, ...), in the order of `masks`; returns (...)."""
    return np.asarray(np.tensordot(probabilities(masks(len(values).bit_length() - 1), keep), values, axes=1))


def thinned(inputs: Array, weights: Array, bias: Array) -> Array:
    """Return (m * x) W + b of every mask m: (2^units, examples, outputs), from shapes as in `mean_net`."""
    return (masks(inputs.shape[1])[:, None] * inputs) @ weights + bias


# What the papers say


def mean_net(inputs: Array, weights: Array, bias: Array, keep: float) -> Array:
    """Return keep x W + b, what the mean net computes at test time (Hinton et al. 2012), as (examples, outputs).

    inputs: (examples, units), the layer that dropout thins; weights: (units, outputs); bias: (outputs,).
    """
    return keep * inputs @ weights + bias


def added_variance(inputs: Array, weights: Array, keep: float) -> Array:
    """Return Var[(m * x) W] = keep (1 - keep) x^2 W^2, squared element by element (Baldi & Sadowski 2013).

    Shapes as in `mean_net`. In effective weights w~ = keep w it reads ((1 - keep) / keep) x^2 w~^2.
    """
    return keep * (1 - keep) * inputs**2 @ weights**2


def ridge_loss(inputs: Array, targets: Array, weights: Array, keep: float) -> float:
    """Return |y - keep X w|^2 + keep (1 - keep) |G w|^2 with G^2 = diag(X'X) (Srivastava et al. 2014, section 9.1).

    inputs X: (examples, units); targets y: (examples,); weights w: (units,), as they are while masks fall on X.
    """
    lengths = np.sqrt(np.diag(inputs.T @ inputs))
    residual, pull = targets - keep * inputs @ weights, lengths * weights
    return float(residual @ residual + keep * (1 - keep) * pull @ pull)


def ridge(inputs: Array, targets: Array, keep: float) -> Array:
    """Return the w~ = keep w of the least `ridge_loss`, (units,): the weights that the test net uses.

    They minimize |y - X w~|^2 + ((1 - keep) / keep) |G w~|^2 (Srivastava et al. 2014, section 9.1). That is solved here
    times keep, so that keep may be 0, where w~ is 0 as well; keep = 1 is least squares.
    """
    square, products = inputs.T @ inputs, inputs.T @ targets
    return np.linalg.solve(keep * square + (1 - keep) * np.diag(np.diag(square)), keep * products).astype(np.float64)


def quadratic_penalty(inputs: Array, weights: Array, bias: Array, keep: float) -> Array:
    """Return s (1 - s) / 2 ((1 - keep) / keep) x^2 W^2 with s = sigmoid(x W + b), as (examples, outputs).

    What inverted dropout on x adds to the loss of a logistic unit, nearly (Wager et al. 2013). Shapes as in `mean_net`.
    """
    fires = expit(mean_net(inputs, weights, bias, 1.0))
    return fires * (1 - fires) / 2 * added_variance(inputs, weights / keep, keep)


def gaussian_loss(inputs: Array, weights: Array, bias: Array, keep: float) -> Array:
    """Return -log(sigmoid(c mu)) / c with c = (1 + pi s^2 / 8)^(-1/2), as (examples, outputs).

    Nearly E[-log sigmoid(z)], z being normal with the mean mu = keep x W + b and the variance s^2 = keep (1 - keep)
    x^2 W^2 of a thinned unit (Wang & Manning 2013). Shapes as in `mean_net`; the label -1 turns the sign of W and b.
    """
    shrink = 1 / np.sqrt(1 + np.pi / 8 * added_variance(inputs, weights, keep))
    return -log_expit(shrink * mean_net(inputs, weights, bias, keep)) / shrink


def gaussian_bound(inputs: Array, weights: Array, keep: float) -> tuple[Array, Array]:
    """Return bounds on the two errors of `gaussian_loss`, each (examples, outputs), from shapes as in `mean_net`.

    - c: K s with K = sqrt(pi / 8) log 2 - 1 / sqrt(2 pi). It is reached at mu = 0 as s grows; for other mu and s it is
      known by quadrature only, which is in the tests.
    - z being normal: sup|f'''| / 6 times the sum over units of E|d|^3 + E|g|^3, where f = -log sigmoid has sup|f'''| =
      1 / (6 sqrt 3), d is what the mask adds to the unit's term, and g is normal with d's variance (Lindeberg 1922).
    """
    normal = 2 * math.sqrt(2 / math.pi)  # E|g|^3 of a standard normal g
    cubes = keep * (1 - keep) * (keep**2 + (1 - keep) ** 2) + normal * (keep * (1 - keep)) ** 1.5
    steepest = math.sqrt(math.pi / 8) * math.log(2) - 1 / math.sqrt(2 * math.pi)
    by_shrinking = steepest * np.sqrt(added_variance(inputs, weights, keep))
    return by_shrinking, cubes * np.abs(inputs) ** 3 @ np.abs(weights) ** 3 / (6 * math.sqrt(3)) / 6


def ensemble_gradient(inputs: Array, weights: Array, targets: Array, keep: float) -> Array:
    """Return -(t - keep x W)_j keep x_i + keep (1 - keep) W_ij x_i^2, as (examples, units, outputs).

    The gradient by W of the mean net's error (t - keep x W)^2 / 2, and that of an L2 penalty (Baldi & Sadowski 2013).
    targets t: (examples, outputs); the other shapes as in `mean_net`.
    """
    residual = targets - keep * inputs @ weights
    decay = keep * (1 - keep) * weights * inputs[:, :, None] ** 2
    return decay - residual[:, None, :] * keep * inputs[:, :, None]


# The checks


def geometric_mean(generator: Generator) -> Outcome:
    """T1: softmax(keep h W + b)_c = G_c / sum(G), G_c = product over m of P_m(c)^P(m), for a hidden layer h.

    That is, the mean net is the normalized geometric mean of the thinned nets (Hinton et al. 2012). P_m: (examples,
    outputs), softmax of (m * h) W + b.
    """
    layer = _layer(generator)
    logs = log_softmax(thinned(*layer), axis=-1)
    differences = (
        softmax(mean_net(*layer, keep), axis=-1) - softmax(expectation(logs, keep), axis=-1) for keep in KEEPS
    )
    return Outcome(ALL, "largest difference", _largest(differences), ROUNDING)


def mean_log_probability(generator: Generator) -> Outcome:
    """T2: log softmax(keep h W + b)_c >= E[log P_m(c)] for every class c (Hinton et al. 2012); P_m as in T1."""
    layer = _layer(generator)
    logs = log_softmax(thinned(*layer), axis=-1)
    excess = (expectation(logs, keep) - log_softmax(mean_net(*layer, keep), axis=-1) for keep in KEEPS)
    return Outcome(ALL, "largest violation", _largest(np.maximum(value, 0) for value in excess), ROUNDING)


def squared_error(generator: Generator) -> Outcome:
    """T3: E[(t - out)^2] = (t - mean)^2 + keep (1 - keep) h^2 W^2 for linear outputs (Hinton et al. 2012).

    So the mean net's error is never above the thinned nets' mean error. With inverted masks the last term is
    ((1 - keep) / keep) h^2 W^2; both forms are checked. out: (2^units, examples, outputs).
    """
    hidden, weights, bias = _layer(generator)
    targets = generator.normal(size=(EXAMPLES, OUTPUTS))

    def difference(keep: float, used: Array) -> Array:
        mean = (targets - mean_net(hidden, used, bias, keep)) ** 2
        thin = expectation((targets - thinned(hidden, used, bias)) ** 2, keep)
        return thin - mean - added_variance(hidden, used, keep)

    differences = (difference(keep, used) for keep in KEEPS for used in (weights, weights / keep))
    return Outcome(f"{ALL}; raw and inverted", "largest difference", _largest(differences), ROUNDING)


def ridge_regression(generator: Generator) -> Outcome:
    """T4: E|y - (R * X) w|^2 is `ridge_loss`, and keep times its minimizer is `ridge` (Srivastava et al. 2014, 9.1).

    R: every (examples, units) matrix of zeros and ones. The minimizer comes from the normal equations of the sum.
    """
    shape = 4, 3
    inputs, targets, weights = (generator.normal(size=size) for size in (shape, shape[0], shape[1]))
    kept = masks(inputs.size).reshape(-1, *shape) * inputs
    losses = ((targets - kept @ weights) ** 2).sum(axis=1)
    squares, products = kept.transpose(0, 2, 1) @ kept, kept.transpose(0, 2, 1) @ targets

    def differences(keep: float) -> Array:
        solved = np.linalg.solve(expectation(squares, keep), expectation(products, keep))
        loss = expectation(losses, keep) - ridge_loss(inputs, targets, weights, keep)
        return np.append(keep * solved - ridge(inputs, targets, keep), loss)

    enumerated = f"2^{inputs.size} mask matrices, {EACH_KEEP}"
    return Outcome(enumerated, "largest difference", _largest(map(differences, KEEPS)), ROUNDING)


def adaptive_penalty(generator: Generator) -> Outcome:
    """T5, an approximation: E[-log sigmoid(z)] is -log sigmoid(x W + b) + `quadratic_penalty` (Wager et al. 2013).

    z = (m / keep * x) W + b. What is left over is of third order in W, the penalty being of second. As the rate falls,
    though, both are of first order: a drop becomes rarer then, not smaller, and their ratio does not vanish. The check
    fits both slopes on logarithmic scales, to the largest error over examples and outputs; each may be off its order, 3
    and 1, by `SLOPE`.
    """
    inputs, weights, bias = _layer(generator)

    def left_over(rate: float, shrink: float) -> float:
        small, keep = shrink * weights, 1 - rate
        added = expectation(-log_expit(thinned(inputs, small / keep, bias)), keep)
        added += log_expit(mean_net(inputs, small, bias, 1.0))
        return _largest([added - quadratic_penalty(inputs, small, bias, keep)])

    sizes, rate = 2.0 ** -np.arange(8, 13), 0.2
    leftovers = [[left_over(rate, size) for size in sizes], [left_over(size, 1.0) for size in sizes]]
    in_weights, in_rate = np.polyfit(np.log(sizes), np.log(leftovers).T, 1)[0]
    enumerated = f"2^{UNITS} masks; weights (at rate {rate}) and rates from {sizes[0]:.2g} to {sizes[-1]:.2g}"
    measured = f"largest distance of the slopes, {in_weights:.3f} in W and {in_rate:.3f} in the rate, from 3 and 1"
    return Outcome(enumerated, measured, _largest([np.array([in_weights - 3, in_rate - 1])]), SLOPE)


def fast_dropout(generator: Generator) -> Outcome:
    """T6, an approximation: E[-log sigmoid(z)], z = (m * x) W + b, is `gaussian_loss` to within `gaussian_bound`.

    Of the (examples, outputs) errors for each keep the one closest to its bound is given, with that bound as the
    tolerance: it holds for all of them, or for none (Wang & Manning 2013).
    """
    layer = _layer(generator)
    losses = -log_expit(thinned(*layer))
    errors = np.array([np.abs(expectation(losses, keep) - gaussian_loss(*layer, keep)) for keep in KEEPS])
    bounds = np.array([sum(gaussian_bound(*layer[:2], keep)) for keep in KEEPS])
    closest = np.argmax(errors / bounds)
    measured = f"deviation closest to its bound; the largest is {errors.max():.3f}"
    return Outcome(ALL, measured, float(errors.flat[closest]), float(bounds.flat[closest]))


def sigmoid_unit(generator: Generator) -> Outcome:
    """T7: G / (G + G') = sigmoid(E[S]), the normalized weighted geometric mean (Baldi & Sadowski 2013).

    S = (m * x) W + b; G = product over m of sigmoid(S)^P(m), G' that of (1 - sigmoid(S))^P(m); all (examples, outputs).
    """
    layer = _layer(generator)
    sums = thinned(*layer)

    def difference(keep: float) -> Array:
        on, off = np.exp(expectation(log_expit(sums), keep)), np.exp(expectation(log_expit(-sums), keep))
        return np.asarray(on / (on + off) - expit(mean_net(*layer, keep)))

    return Outcome(ALL, "largest difference", _largest(map(difference, KEEPS)), ROUNDING)


def reparametrization(generator: Generator) -> Outcome:
    """T8: a net V with raw masks, scaled by keep for the test, trains as the net U = keep V with inverted masks.

    Given U's settings by `POWERS`, for SGD with momentum and for Adam, both with max-norm; biases keep theirs. Dropout
    is on the inputs and on the hidden layer, where keep differs. The error is that of U against keep V, over all steps,
    relative to the largest entry of each layer. Weight scaling is that of Srivastava et al. 2014, section 4.
    """
    inputs, labels = generator.normal(size=(EXAMPLES, UNITS)), np.eye(OUTPUTS)[np.arange(EXAMPLES) % OUTPUTS]
    start = [generator.normal(size=(UNITS + 1, outputs)) for outputs in (UNITS, OUTPUTS)]
    every = masks(UNITS)

    def difference(rule: str, keeps: Sequence[float]) -> float:
        picks = [generator.choice(len(every), (STEPS, EXAMPLES), p=probabilities(every, keep)) for keep in keeps]
        drawn = [[_with_bias(every[pick[step]]) for pick in picks] for step in range(STEPS)]
        shares = [np.append(np.full(UNITS, keep), 1.0)[:, None] for keep in keeps]  # a bias is never dropped
        scaled = trajectory(rule, start, [np.ones_like(share) for share in shares], drawn, inputs, labels)
        inverted = trajectory(rule, start, shares, drawn, inputs, labels)
        pairs = ((u[i], shares[i] * v[i]) for u, v in zip(inverted, scaled, strict=True) for i in (0, 1))
        return _largest((u - scaled_v) / np.abs(scaled_v).max() for u, scaled_v in pairs)

    errors = np.array([difference(rule, (INPUT_KEEP, keep)) for rule in POWERS for keep in KEEPS])
    enumerated = f"{STEPS} steps of {' and '.join(POWERS)}, {EACH_KEEP} (hidden) and {INPUT_KEEP} (inputs)"
    return Outcome(enumerated, "largest relative difference", _largest([errors]), ROUNDING)


def expected_gradient(generator: Generator) -> Outcome:
    """S23: E[gradient by W of (t - (m * x) W)^2 / 2] is `ensemble_gradient` (Baldi & Sadowski 2013; article 004).

    For a mask the gradient is -(t - (m * x) W)_j m_i x_i: (2^units, examples, units, outputs) in all.
    """
    inputs, weights, bias = _layer(generator)
    targets = generator.normal(size=(EXAMPLES, OUTPUTS))
    residuals = targets - thinned(inputs, weights, 0 * bias)
    gradients = -residuals[:, :, None, :] * (masks(UNITS)[:, None] * inputs)[..., None]
    differences = (expectation(gradients, keep) - ensemble_gradient(inputs, weights, targets, keep) for keep in KEEPS)
    return Outcome(ALL, "largest difference", _largest(differences), ROUNDING)


HINTON, SRIVASTAVA, BALDI = "Hinton et al. 2012", "Srivastava et al. 2014", "Baldi & Sadowski 2013"

THEOREMS = {
    "T1": Theorem("softmax: mean net = geometric mean of all nets", HINTON, geometric_mean),
    "T2": Theorem("softmax: mean net's log-likelihood >= mean one", HINTON, mean_log_probability),
    "T3": Theorem("linear: mean net's error = mean one - variance", HINTON, squared_error),
    "T4": Theorem("linear regression: dropout = a ridge penalty", SRIVASTAVA, ridge_regression),
    "T5": Theorem("logistic: ~ quadratic penalty, error: order 3", "Wager et al. 2013", adaptive_penalty),
    "T6": Theorem("logistic: ~ Gaussian integral, within a bound", "Wang & Manning 2013", fast_dropout),
    "T7": Theorem("sigmoid: geometric mean = sigmoid of mean sum", BALDI, sigmoid_unit),
    "T8": Theorem("weight scaling trains as inverted dropout does", SRIVASTAVA, reparametrization),
    "S23": Theorem("linear: mean gradient = mean net's + L2 decay", BALDI, expected_gradient),
}


def verify(name: str, seed: int = 0) -> Result:
    """Check one of `THEOREMS`, on numbers drawn for it from `seed`."""
    theorem = THEOREMS[name]
    outcome = theorem.check(stream(seed, "init", list(THEOREMS).index(name)))
    return Result(name, theorem.statement, theorem.source, *outcome)


def verify_all(seed: int = 0) -> list[Result]:
    """Check all of `THEOREMS`."""
    return [verify(name, seed) for name in THEOREMS]


def as_text(results: Sequence[Result], width: int) -> str:
    """Return a table with one line for each theorem, folded where `width` columns do not hold it."""
    lines = [("", "", "", "error", "limit", "")]
    for result in results:
        numbers, word = (f"{result.error:.1e}", f"{result.tolerance:.1e}"), "HOLDS" if result.holds else "FAILS"
        lines.append((result.id, result.statement, result.source, *numbers, word))
    return "\n".join(layout.table(lines, width))


def as_dict(results: Sequence[Result]) -> dict[str, Any]:
    """Return the results as plain data."""
    theorems = [asdict(result) | {"holds": result.holds} for result in results]
    return {"schema_version": SCHEMA_VERSION, "theorems": theorems}


def strength(keeps: Iterable[float], seed: int = 0) -> Strength:
    """Return how strongly dropout regularizes at each of `keeps`, in (0, 1], in the two readings of "0.5 is strongest".

    The penalty of `ridge_loss` with raw weights w held fixed (Baldi & Sadowski 2013), and in the effective weights
    (Srivastava et al. 2014, section 9.1) with the solved `ridge` of 40 examples and 8 correlated inputs of length 1.
    """
    keep = np.array(list(keeps))
    generator = stream(seed, "init")
    inputs = generator.normal(size=(40, 8)) + generator.normal(size=(40, 1))
    inputs /= np.sqrt((inputs**2).sum(axis=0))  # so that G is the identity
    targets = inputs @ generator.normal(size=8) + generator.normal(size=40) / 10
    norm = np.array([np.linalg.norm(ridge(inputs, targets, share)) for share in (*keep, 1.0)])
    return Strength(keep, keep * (1 - keep), (1 - keep) / keep, norm[:-1] / norm[-1])


# Two trainings for T8


def trajectory(
    rule: str,
    start: Sequence[Array],
    shares: Sequence[Array],
    drawn: Sequence[Sequence[Array]],
    inputs: Array,
    labels: Array,
) -> list[list[Array]]:
    """Train a net of two layers, softmax at the end, on one batch; return its weights after every step.

    start: of each layer the weights, (units + 1, outputs), the last of them the biases. drawn: for every step and
    layer the masks, (examples, units + 1). inputs: (examples, units); labels: (examples, outputs), ones and zeros.
    shares: of each layer (units + 1, 1), what its masks are divided by, and the powers of which (`POWERS[rule]`) its
    settings are multiplied by: ones make the weight-scaling net, keep makes the inverted one.
    """
    power = POWERS[rule]
    weights = [share ** power["weights"] * layer for share, layer in zip(shares, start, strict=True)]
    first, second = ([np.zeros_like(layer) for layer in weights] for _ in range(2))
    history = []
    for step, kept in enumerate(drawn, start=1):
        noise = [mask / share.T for mask, share in zip(kept, shares, strict=True)]
        for i, gradient in enumerate(gradients(weights, noise, inputs, labels)):
            if rule == "sgd":
                move = first[i] = MOMENTUM * first[i] + gradient
            else:
                first[i] = BETAS[0] * first[i] + (1 - BETAS[0]) * gradient
                second[i] = BETAS[1] * second[i] + (1 - BETAS[1]) * gradient**2
                root = np.sqrt(second[i] / (1 - BETAS[1] ** step))
                move = first[i] / (1 - BETAS[0] ** step) / (root + EPSILON * shares[i] ** power["epsilon"])
            weights[i] = weights[i] - LEARNING_RATE[rule] * shares[i] ** power["learning_rate"] * move
            lengths = np.sqrt((weights[i][:-1] ** 2).sum(axis=0))  # of each unit's incoming weights
            weights[i][:-1] *= np.minimum(1, MAX_NORM * shares[i][0] ** power["max_norm"] / lengths)
        history.append(list(weights))
    return history


def gradients(weights: Sequence[Array], noise: Sequence[Array], inputs: Array, labels: Array) -> list[Array]:
    """Return the gradients of the mean cross-entropy by both layers' weights, in their shapes; ReLU in between.

    noise: what multiplies each layer's inputs, (examples, units + 1); labels: (examples, outputs), ones and zeros.
    """
    thinned_inputs = _with_bias(inputs) * noise[0]
    hidden = np.maximum(thinned_inputs @ weights[0], 0)
    thinned_hidden = _with_bias(hidden) * noise[1]
    error = (softmax(thinned_hidden @ weights[1], axis=1) - labels) / len(labels)
    back = (error @ weights[1].T * noise[1])[:, :-1] * (hidden > 0)
    return [thinned_inputs.T @ back, thinned_hidden.T @ error]


def _with_bias(inputs: Array) -> Array:
    """Return inputs (examples, units) with a column of ones at the end, which the bias multiplies."""
    return np.column_stack([inputs, np.ones(len(inputs))])


def _layer(generator: Generator) -> tuple[Array, Array, Array]:
    """Draw inputs (examples, units), weights (units, outputs) and a bias (outputs,)."""
    inputs, weights = generator.normal(size=(EXAMPLES, UNITS)), generator.normal(size=(UNITS, OUTPUTS))
    return inputs, weights / math.sqrt(UNITS / 4), generator.normal(size=OUTPUTS)


def _largest(values: Iterable[Array]) -> float:
    """Return the largest absolute value in all arrays; NaN if any is."""
    return float(np.max([np.abs(value).max() for value in values]))
