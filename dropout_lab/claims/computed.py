"""The judges of claims that need no training: they compute their evidence from the lab's own dropout and networks.

Each function returns the rulings on one claim of articles.py. Random numbers come from named streams, so the rulings
are the same every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dropout_lab.claims import theory
from dropout_lab.claims.criteria import exact, plain
from dropout_lab.claims.definition import Rulings
from dropout_lab.streams import stream

UNITS, STEPS = 1000, 4000
TOLERANCE = 1e-12


def theorem(name: str) -> Callable[[object], Rulings]:
    """Return the judge of one of theory.THEOREMS."""

    def judge(evidence: object) -> Rulings:
        result = theory.verify(name)
        measured = f"largest error {result.error:.1e} ({result.measured}; {result.enumerated})"
        return (exact(result.holds, measured, f"allowed {result.tolerance:.0e}"),)

    return judge


def scaled_pixels(evidence: object) -> Rulings:
    """S8: what `normalize(axis=1)` does to images (n, height, width)."""
    from dropout_lab.data.scale import SCALES

    raw = stream(0, "init").integers(0, 256, (50, 28, 28)).astype(np.float32)
    raw[:, :, :4] = 0  # columns without ink
    images = raw.copy()
    SCALES["column-l2"](images, images[:0], 255, np.arange(50))
    norms = np.sqrt((images.astype(np.float64) ** 2).sum(1))
    error, every = float(np.abs(norms[raw.any(1)] - 1).max()), "every inked column must have length 1"
    span = f"values from {images.min():.0f} to {images.max():.2f}"
    by_255 = float(np.abs(images - raw / 255).max())
    return (
        exact(images.min() >= 0 and images.max() <= 1, span, "every value must lie from 0 to 1", "from 0 to 1"),
        exact(by_255 < 0.01, f"off by up to {by_255:.2f}", "it must equal pixels / 255", "scaled as / 255 scales"),
        exact(error < 1e-6, f"off by up to {error:.0e}", every, "columns of length 1"),
    )


def placement(evidence: object) -> Rulings:
    """S9: dropout before or after the activation, with the same masks, forward and backward."""
    import torch

    from dropout_lab.network import ACTIVATIONS, Network

    generator = stream(0, "init")
    x = torch.from_numpy(generator.normal(size=(1, 32, 20)).astype(np.float32))
    mask = torch.from_numpy((generator.random((1, 32, 48)) < 0.5).astype(np.float32) * 2)
    same = {}
    for name in ACTIVATIONS:
        results = []
        for where in ("before", "after"):
            network = Network(1, (20, 48, 10), name, where)
            network.initialize(0, "lecun-normal", 0)
            with torch.no_grad():
                output = network.forward(x, [(None, None), (mask, None)])
                network.backward(torch.softmax(output, 2))
                results += [output.clone(), torch.cat([g.flatten() for g in network.weight_gradients])]
        same[name] = torch.equal(results[0], results[2]) and torch.equal(results[1], results[3])
    differ = [name for name in ("tanh", "sigmoid", "selu") if not same[name]]
    measured = f"relu {'the same' if same['relu'] else 'not the same'} to the last bit; different: {', '.join(differ)}"
    holds = same["relu"] and len(differ) == 3
    return (exact(holds, measured, "the place must not matter for relu, and must for the others"),)


def dropped(units: int, rate: float, steps: int = STEPS) -> NDArray[np.int64]:
    """Return how many of so many units are dropped at each step."""
    from dropout_lab.dropout import Noise

    noise = Noise("bernoulli", [rate], [0], 1, (1, units))
    return np.array([int((scale == 0).sum()) for scale, _ in noise.steps(1, np.ones(steps)) if scale is not None])


def binomial(evidence: object) -> Rulings:
    """S12: the number of units dropped is Binomial(n, rate): n rate on average, but in most steps not exactly."""
    results, good, hits, rates = [], True, 0, (0.1, 0.3, 0.5)
    for rate in rates:
        counts = dropped(UNITS, rate)
        mean, sd = UNITS * rate, math.sqrt(UNITS * rate * (1 - rate))
        close = abs(counts.mean() - mean) < 5 * sd / math.sqrt(STEPS) and abs(counts.std() / sd - 1) < 0.06
        good &= bool(close)
        hits += int((counts == round(mean)).sum())
        results.append(f"rate {rate:g}: {counts.mean():.1f} +- {counts.std():.1f} (binomial {mean:g} +- {sd:.1f})")
    share = hits / (STEPS * len(rates))
    return (
        exact(good, f"of {UNITS} units, {'; '.join(results)}", "mean and spread must be the binomial's", "on average"),
        exact(share > 0.999, f"exactly so in {100 * share:.1f} % of the steps", "it must be so every time", "exactly"),
    )


def exactly_one(evidence: object) -> Rulings:
    """S13: how often one of ten inputs is dropped at rate 0.1."""
    counts = dropped(10, 0.1)
    share = float((counts == 1).mean())
    chance = 10 * 0.1 * 0.9**9
    measured = f"exactly one in {100 * share:.1f} % of {STEPS} steps (binomial {100 * chance:.1f} %)"
    return (exact(share > 0.999, measured, "it must be one input every time"),)


def about_400(evidence: object) -> Rulings:
    """S18: how many of 1000 units are dropped at rate 0.4."""
    counts = dropped(1000, 0.4)
    near = float((np.abs(counts - 400) <= 40).mean())
    measured = f"{counts.mean():.1f} +- {counts.std():.1f}; within 40 of 400 in {100 * near:.1f} % of the steps"
    return (exact(near > 0.95, measured, "400 to within a tenth must be the rule"),)


def widened(evidence: object) -> Rulings:
    """S15: how many units a widened layer keeps on average, where n units were kept without dropout."""
    n, rates = 128, (0.2, 0.5)
    by_rate = {rate: n / rate * (1 - rate) for rate in rates}
    by_keep = {rate: n / (1 - rate) * (1 - rate) for rate in rates}

    def said(kept: dict[float, float]) -> str:
        return "; ".join(f"rate {rate:g}: {units:.0f} kept where there were {n}" for rate, units in kept.items())

    reason = f"as many units must be kept as without dropout, {n}"
    return (
        exact(all(abs(kept - n) < 1e-9 for kept in by_rate.values()), said(by_rate), reason, "n / rate"),
        exact(all(abs(kept - n) < 1e-9 for kept in by_keep.values()), said(by_keep), reason, "n / (1 - rate)"),
    )


def scaled_by(evidence: object) -> Rulings:
    """S16: what the test-time weights must be multiplied by; from the sum over all masks of one linear unit."""
    generator = stream(0, "init")
    x, w = generator.normal(size=10), generator.normal(size=10)
    sums, keeps = theory.masks(10) @ (x * w), (0.3, 0.8)

    def error(factor: Callable[[float], float]) -> float:
        return max(abs(float(theory.expectation(sums, keep)) - factor(keep) * float(x @ w)) for keep in keeps)

    errors = {"the rate": error(lambda keep: 1 - keep), "what is kept": error(lambda keep: keep)}
    reason = "the mean over all masks must be the scaled unit"
    return tuple(
        exact(error < TOLERANCE, f"off by {error:.1e} (2^10 masks, rates 0.7 and 0.2)", reason, f"weights times {name}")
        for name, error in errors.items()
    )


def expectation(evidence: object) -> Rulings:
    """S19: whether weights times keep give the mean of training, before an activation and after it."""
    generator = stream(1, "init")
    x, w, keep = generator.normal(size=10), generator.normal(size=10), 0.5
    sums = theory.masks(10) @ (x * w)
    scaled = keep * float(x @ w)
    before = abs(float(theory.expectation(sums, keep)) - scaled)
    after = abs(float(theory.expectation(np.maximum(sums, 0), keep)) - max(scaled, 0.0))
    reason = "the mean over all masks must be what the scaled weights give"
    return (
        exact(before < TOLERANCE, f"off by {before:.1e} (2^10 masks)", reason, "the sum of a unit"),
        exact(after < TOLERANCE, f"off by {after:.2f} (2^10 masks)", reason, "after relu"),
    )


def training_flag(evidence: object) -> Rulings:
    """S17: dropout works in training, not in prediction."""
    import torch

    from dropout_lab.dropout import Noise
    from dropout_lab.network import Network

    network = Network(1, (20, 48, 10))
    network.initialize(0, "glorot-uniform", 0)
    x = torch.from_numpy(stream(0, "init").normal(size=(1, 32, 20)).astype(np.float32))
    with torch.no_grad():
        outputs = [network.predict(x).clone() for _ in range(2)]
        steps = Noise("bernoulli", [0.5], [0], 1, (32, 48)).steps(1, np.ones(2))
        trained = [network.forward(x, [(None, None), draw]).clone() for draw in steps]
    same, different = torch.equal(*outputs), not torch.equal(*trained)
    passes = f"two training passes {'differ' if different else 'equal'}"
    measured = f"two predictions {'equal' if same else 'differ'}, {passes}"
    return (exact(same and different, measured, "predictions must be equal, training passes must not"),)


def updated(evidence: object) -> Rulings:
    """S20: whether the weights of a dropped unit move, with one mask for the batch."""
    import torch

    from dropout_lab.config.settings import TrainingConfig
    from dropout_lab.network import Network, cross_entropy
    from dropout_lab.optimizer import Optimizer

    x = torch.from_numpy(stream(0, "init").normal(size=(1, 32, 20)).astype(np.float32))
    labels = torch.arange(32)[None] % 10
    rulings = []
    for name, changes, decay in (
        ("plain SGD", {"optimizer": "sgd"}, 0.0),
        ("SGD with momentum", {"optimizer": "sgd", "momentum": 0.9}, 0.0),
        ("Adam", {"optimizer": "adam"}, 0.0),
        ("SGD with weight decay", {"optimizer": "sgd"}, 0.1),
    ):
        network = Network(1, (20, 48, 10))
        network.initialize(0, "glorot-uniform", 0)
        gradient = network.parameters.grad
        assert gradient is not None
        optimizer = Optimizer(TrainingConfig.model_validate(changes), network.parameters.data, gradient)
        with torch.no_grad():
            for step, gone in enumerate((slice(24, 48), slice(0, 24))):  # the second step drops the first half
                mask = torch.full((1, 1, 48), 2.0)
                mask[..., gone] = 0
                if step:
                    before = network.weights[0][0, :, :24].clone(), network.weights[1][0, :24].clone()
                logits = network.forward(x, [(None, None), (mask, None)])
                delta = torch.softmax(logits, 2) - torch.nn.functional.one_hot(labels, logits.shape[2])
                network.backward(delta / 32)
                if decay:
                    network.decay(0.1 * decay)
                optimizer.step(0.1, changes.get("momentum", 0.0))  # type: ignore[arg-type]
            after = network.weights[0][0, :, :24], network.weights[1][0, :24]
            still = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
            loss = float(cross_entropy(logits, labels)[0].mean())
        moved = max(float((a - b).abs().max()) for a, b in zip(before, after, strict=True))
        measured = f"the dropped units' weights moved by up to {moved:.1e} in that step (loss {loss:.2f})"
        rulings.append(exact(still, measured, "they must not move at all", name))
    return tuple(rulings)


def strongest(evidence: object) -> Rulings:
    """S24: at which rate the penalty of a linear regression is largest, in two readings."""
    keeps = np.linspace(0.05, 1, 96)
    found = theory.strength(keeps)
    top, effective = (1 - float(keeps[own.argmax()]) for own in (found.raw, found.effective))
    endless = bool((np.diff(found.effective) < 0).all())
    grows = "grows with the rate without end" if endless else f"is largest at {effective:.2f}"
    norms = ", ".join(plain(float(found.norm[np.abs(keeps - keep).argmin()])) for keep in (0.7, 0.5, 0.2))
    return (
        exact(abs(top - 0.5) < 1e-9, f"keep (1 - keep) is largest at rate {top:.2f}", "it must be 0.5", "raw weights"),
        exact(
            abs(effective - 0.5) < 1e-9,
            f"(1 - keep) / keep {grows}; |w~| at rates 0.3, 0.5, 0.8: {norms}",
            "it must be largest at rate 0.5",
            "the weights that the test network uses",
        ),
    )


def shrinkage(evidence: object) -> Rulings:
    """S25: with orthogonal inputs the solved weights are keep times those of least squares: they shrink on and on."""
    generator = stream(0, "init")
    inputs = np.linalg.qr(generator.normal(size=(40, 8)))[0]
    targets = inputs @ generator.normal(size=8) + generator.normal(size=40) / 10
    least_squares = inputs.T @ targets
    errors = [np.abs(theory.ridge(inputs, targets, keep) - keep * least_squares).max() for keep in (0.5, 0.3, 0.1)]
    measured = f"w~ = keep w to within {max(errors):.1e} at rates 0.5, 0.7 and 0.9: halving what is kept halves w~"
    grows = max(errors) < TOLERANCE
    return (exact(not grows, measured, "above 0.5 the weights must shrink no more", "linear regression, exact"),)


def unscaled_at_test(evidence: object) -> Rulings:
    """S28: the noise of Gaussian dropout has mean 1, so a linear layer needs no scaling at test."""
    from dropout_lab.dropout import Noise

    total = square = 0.0
    for scale, _ in Noise("gaussian", [0.5], [0], 1, (1, UNITS)).steps(1, np.ones(STEPS)):
        assert scale is not None
        total += float(scale.double().sum())
        square += float(scale.double().square().sum())
    count = UNITS * STEPS
    mean = total / count
    variance = square / count - mean**2
    measured = f"mean {mean:.5f}, variance {variance:.4f} of {count:,} draws at rate 0.5 (exact: 1 and 1)"
    return (exact(abs(mean - 1) < 5 / math.sqrt(count), measured, "the mean must be 1 to within 5 standard errors"),)


def gates(evidence: object) -> Rulings:
    """S29: dropping a unit drops all its connections at once, so two sums of the same inputs are not independent."""
    generator = stream(0, "init")
    x, w, v, keep = (*(generator.normal(size=8) for _ in range(3)), 0.5)
    masks = theory.masks(8)
    one, two = masks @ (x * w), masks @ (x * v)

    def mean(values: NDArray[np.float64]) -> float:
        return float(theory.expectation(values, keep))

    covariance = mean(one * two) - mean(one) * mean(two)
    variance = mean(one * one) - mean(one) ** 2
    connected = keep * (1 - keep) * float((x * w) @ (x * w))
    both = "dropping units and dropping connections must be one law"
    alone = f"variance {variance:.4f} by units, {connected:.4f} by connections"
    several = f"covariance of two {covariance:.4f} by units, 0 by connections"
    return (
        exact(abs(variance - connected) < TOLERANCE, alone, both, "one output unit"),
        exact(abs(covariance) < TOLERANCE, several, both, "several output units"),
    )
