"""A finished run looked at closely: weight scaling beside Monte-Carlo averaging, ensembles, uncertainty, features.

All of it is about the weights that training ended with and the test images, and changes nothing on disk. With dropout
on, a network is another one in every pass; what its passes say on average is what weight scaling approximates. Passes
have the full rates of the config, wherever a schedule may have ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import rotate
from torch import Tensor

from dropout_lab.comparison.inference import TINY, entropy
from dropout_lab.config.resolve import Config
from dropout_lab.cost import CHUNK, FEWEST_ROWS
from dropout_lab.data.datasets import Data
from dropout_lab.dropout import DROPOUTS, NONE, normal_parts
from dropout_lab.network import Network
from dropout_lab.runs.read import Run, damaged
from dropout_lab.streams import stream
from dropout_lab.training import Lane, cut, network, noise, paced, predict

POOL = 4  # times as many passes as are averaged, at most: draws of k of them are then nearly independent
DRAWS = 100  # sets of k passes, for each k
BINS = 15  # of confidence, for calibration (Guo et al. 2017)
ANGLES = tuple(range(0, 180, 15))  # degrees: the twelve digits of Gal & Ghahramani 2016, figure 4
POINTS = 33  # numbers of ablated units that are tried, at most
EVERY = 2.0  # seconds between two words on how far it is

Array = NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """How good probabilities are: fraction of errors, mean cross-entropy in nats, expected calibration error (0 to 1).

    bins: for each of the BINS of confidence, how many images fall into it, their accuracy and their mean confidence.
    """

    error: float
    loss: float
    calibration_error: float
    bins: Array  # (BINS, 3)


@dataclass(frozen=True)
class Close:
    """One seed's network, looked at closely.

    weight_scaling: what the network says with dropout off, as it was validated; for DropConnect that is moment
    matching, and mean_weights the other way.
    averaging: (K, 2), for k = 1..K passes the mean error of their averaged softmax outputs, and its sd over redraws.
    reached: the first k whose mean error is within one sd of weight scaling's, None where none is.
    entropy, information: (n,), of each test image in nats: predictive entropy, and the mutual information of prediction
    and mask, both over all passes (Gal & Ghahramani 2016).
    activity: (hidden layers, 2), of each layer's outputs for the test images, dropout off: mean, and share of 0.
    rotated: (angles, classes) mean probabilities of one test image turned by ANGLES, with its entropy and information,
    (angles,); None where images have no height and width.
    ablation: (points, 3), error on the test images where the k most important units of the first hidden layer are taken
    out: k, the error, and that without k random ones.
    """

    seed: int
    weight_scaling: Scores
    mean_weights: Scores | None
    monte_carlo: Scores
    geometric: Scores
    averaging: Array
    reached: int | None
    labels: Array  # (n,), of the test images
    probabilities: Array  # (n, classes), of weight scaling
    entropy: Array
    information: Array
    activity: Array
    rotated: Mapping[str, Array] | None
    ablation: Array


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found. The pictures are of the first seed's network.

    ensemble, vote: the networks of all seeds together, by the mean of their probabilities and by majority; None for one
    seed. Of a vote there is only the error.
    activations: of each hidden layer its outputs (n, units) with dropout off. images: the test images (n, inputs), as
    the network reads them; shape: their height and width, None where they have none.
    """

    run: Run
    samples: int
    passes: int
    labels: Array
    seeds: tuple[Close, ...]
    ensemble: Scores | None
    vote: float | None
    activations: tuple[Array, ...]
    features: Array  # (inputs, units), the weights into the first layer
    images: Array
    shape: tuple[int, int] | None

    @property
    def scaling(self) -> str:
        """What the prediction with dropout off is called."""
        dropout = self.run.config.dropout
        return DROPOUTS[dropout.kind].inference(dropout.samples)


def evaluate(run: Run, data: Data, samples: int, show: Callable[[str], None] = lambda text: None) -> Evaluation:
    """Evaluate every finished seed of `run` on the test images of `data`, which must be those of its training.

    samples: K, the most passes that are averaged; `show` is told how far it is, every few seconds.
    """
    seeds = [seed for seed in run.seeds if seed not in run.diverged]
    close = []
    for seed in seeds:
        close.append(_close(run, seed, data, samples, show))
    labels = data.test_labels.numpy()
    each = np.stack([own.probabilities for own in close])
    together = scores(each.mean(0), labels) if len(seeds) > 1 else None
    first = load(run, seeds[0], data)
    return Evaluation(
        run,
        samples,
        POOL * samples,
        labels,
        tuple(close),
        together,
        float((majority(each) != labels).mean()) if len(seeds) > 1 else None,
        tuple(t[0].numpy() for t in activations(first, data.test_images[None])),
        first.weights[0][0].numpy(),
        data.test_images.numpy(),
        (data.shape[0], data.shape[1]) if len(data.shape) == 2 else None,
    )


@torch.no_grad()
def load(run: Run, seed: int, data: Data) -> Network:
    """Return the network of one seed, with the weights that its training ended with.

    Raises `Refused` where the run's weights are not those of such a network.
    """
    result, weights = network([Lane(run.config, seed)], data), run.weights()
    for layer, (weight, bias) in enumerate(zip(result.weights, result.biases, strict=True)):
        for name, own in (("weight", weight[0].mT), ("bias", bias[0, 0])):
            key = f"{seed}.last.{layer}.{name}"
            stored = weights.get(key, np.empty(0))
            if stored.shape != own.shape or stored.dtype != np.float32 or not np.isfinite(stored).all():
                reason = f"must be finite float32 numbers in the shape {tuple(own.shape)}"
                raise damaged(run.path / "weights.safetensors", key, reason, f"{stored.dtype} {stored.shape}")
            own.copy_(torch.from_numpy(stored))
    return result


def _close(run: Run, seed: int, data: Data, samples: int, show: Callable[[str], None]) -> Close:
    net, labels, count = load(run, seed, data), data.test_labels.numpy(), POOL * samples
    images, classes = data.test_images, data.classes
    scaled = softmax(predict(net, images[None]), classes)[0]
    mean_weights = None
    if len(net.samples) > 1:
        plain = load(run, seed, data)
        plain.samples = normal_parts(1)
        mean_weights = scores(softmax(predict(plain, images[None]), classes)[0], labels)
    pool = np.empty((count, len(images), classes), np.float32)
    told = time.monotonic()
    for number, own in enumerate(passes(run.config, seed, net, images, count, classes), start=1):
        pool[number - 1] = own
        if number == count or time.monotonic() - told > EVERY:
            show(f"seed {seed}: pass {number} of {count}")
            told = time.monotonic()
    geometric = np.exp(sum(np.log(own.clip(TINY)) for own in pool) / count)
    curve = averaging(pool, labels, samples, stream(seed, "evaluation").permutation)
    weight_scaling = scores(scaled, labels)
    near = np.flatnonzero(np.abs(curve[:, 0] - weight_scaling.error) <= curve[:, 1])
    mean = pool.mean(0)
    return Close(
        seed,
        weight_scaling,
        mean_weights,
        scores(mean, labels),
        scores(geometric / geometric.sum(1, keepdims=True), labels),
        curve,
        int(near[0]) + 1 if len(near) else None,
        labels,
        scaled,
        *uncertainty(pool),
        np.array([(h.mean(), (h == 0).mean()) for h in (t[0].numpy() for t in activations(net, images[None]))]),
        _rotated(run.config, seed, net, data, count),
        ablation(net, data, stream(seed, "evaluation", 0, 0).permutation),
    )


@torch.no_grad()
def passes(config: Config, seed: int, net: Network, images: Tensor, count: int, classes: int) -> Iterator[Array]:
    """Yield the probabilities (images, classes) of `count` passes over images (n, inputs) with dropout on.

    Each pass draws from its own streams (seed, "evaluation", layer, pass). With `mask: batch` a pass has one mask.
    """
    kind, per_example = DROPOUTS[config.dropout.kind], config.dropout.mask == "example"
    few = kind.masks_all_weights(config.dropout.mask)
    rows = max(config.training.batch_size, FEWEST_ROWS) if few else CHUNK
    lane, chunks = Lane(config, seed), torch.split(images, rows)
    noises = [noise([lane], layer, net.sizes, rows, purpose="evaluation") for layer in range(len(net.sizes) - 1)]
    for number in paced(range(1, count + 1), count, torch.get_num_threads()):
        full = np.ones(len(chunks) if per_example else 1)
        masks = [layer.steps(number, full) if layer else repeat(NONE) for layer in noises]
        drawn = [next(mask) for mask in masks]
        parts = []
        for index, chunk in enumerate(chunks):
            if index and per_example:
                drawn = [next(mask) for mask in masks]
            parts.append(net.forward(chunk[None], [cut(own, len(chunk)) for own in drawn]))
        yield softmax(torch.cat(parts, 1), classes)[0]


def softmax(logits: Tensor, classes: int) -> Array:
    """Return the probabilities (lanes, n, classes) of logits (lanes, n, padded classes)."""
    result: Array = torch.softmax(logits, 2)[..., :classes].numpy()
    return result


def averaging(pool: Array, labels: Array, most: int, permutation: Callable[[int], Array]) -> Array:
    """Return mean and sd, (most, 2), of the error of k = 1..most averaged passes, over DRAWS random sets of k.

    pool: (passes, n, classes) probabilities, which are not changed. The sets are the beginnings of DRAWS random orders.
    """
    errors = np.empty((DRAWS, most))
    for draw in errors:
        total = np.zeros_like(pool[0])
        for k, chosen in enumerate(permutation(len(pool))[:most]):
            total += pool[chosen]
            draw[k] = (total.argmax(1) != labels).mean()
    return np.stack([errors.mean(0), errors.std(0, ddof=1)], 1)


def scores(probabilities: Array, labels: Array) -> Scores:
    """Return how good probabilities (n, classes) are for labels (n,).

    The calibration error is the mean distance of accuracy and confidence (the largest probability) over BINS equal bins
    of confidence, each with the weight of its images (Guo et al. 2017).
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    sums = [np.bincount(index, weights, BINS) for weights in (right, confidence)]
    accuracy, mean = (total / np.maximum(count, 1) for total in sums)
    loss = -np.log(probabilities[np.arange(len(labels)), labels].clip(TINY)).mean(dtype=np.float64)
    distance = (count * np.abs(accuracy - mean)).sum() / len(labels)
    return Scores(float((~right).mean()), float(loss), float(distance), np.stack([count, accuracy, mean], 1))


def uncertainty(pool: Array) -> tuple[Array, Array]:
    """Return predictive entropy and mutual information, (n,), in nats, of passes (passes, n, classes)."""
    total = entropy(pool.mean(0, dtype=np.float64))
    return total, np.maximum(0, total - sum(map(entropy, pool)) / len(pool))


def majority(probabilities: Array) -> Array:
    """Return the class (n,) that most of the networks choose, (networks, n, classes); of equal votes the probabler."""
    votes = np.eye(probabilities.shape[2])[probabilities.argmax(2)].sum(0)
    result: Array = (votes + probabilities.mean(0) / 2).argmax(1)
    return result


@torch.no_grad()
def activations(net: Network, images: Tensor) -> list[Tensor]:
    """Return the outputs (lanes, n, units) of every hidden layer for images (1, n, inputs), dropout off.

    They are what the next layer reads: in the papers' form of dropout, outputs times keep.
    """
    outputs: list[Tensor] = []
    net.predict(images, outputs)
    return outputs


@torch.no_grad()
def ablation(net: Network, data: Data, permutation: Callable[[int], Array]) -> Array:
    """Return (points, 3): k, and the test error without the k most important and without k random units of layer 1.

    A unit's importance is what it sends on: its mean absolute output over the first training images, times the norm of
    its outgoing weights. To take it out is to set these to 0, for as long as it takes. Without a hidden layer there are
    no points.
    """
    if len(net.sizes) == 2:
        return np.empty((0, 3))
    output = activations(net, data.images[None, : 10 * CHUNK])[0][0].abs().mean(0)
    order = (output * net.weights[1][0].norm(dim=1)).argsort(descending=True, stable=True)
    orders = order, torch.from_numpy(permutation(len(order)))
    outgoing = net.weights[1].clone()
    rows = []
    for k in np.unique(np.linspace(0, len(order), POINTS).round().astype(int)).tolist():
        errors = []
        for chosen in orders:
            net.weights[1][0, chosen[:k]] = 0
            wrong = predict(net, data.test_images[None])[0].argmax(1) != data.test_labels
            net.weights[1].copy_(outgoing)
            errors.append(float(wrong.double().mean()))
        rows.append((k, *errors))
    return np.array(rows)


def _rotated(config: Config, seed: int, net: Network, data: Data, count: int) -> dict[str, Array] | None:
    """Turn the first test image of a 1 (class 1) that is read as one, and say what the passes make of it."""
    wanted = data.test_labels == min(1, data.classes - 1)
    chosen = (wanted & (predict(net, data.test_images[None])[0].argmax(1) == data.test_labels)).nonzero()
    if len(data.shape) != 2 or not len(chosen):
        return None
    image = data.test_images[chosen[0, 0]].reshape(data.shape).numpy()
    turned = [rotate(image, angle, reshape=False, order=1, cval=float(image.min())) for angle in ANGLES]
    images = torch.from_numpy(np.stack(turned).reshape(len(ANGLES), -1))
    filled = torch.nn.functional.pad(images, (0, 0, 0, max(0, FEWEST_ROWS - len(images))))
    pool = np.stack([*passes(config, seed, net, filled, count, data.classes)])[:, : len(ANGLES)]
    entropy, information = uncertainty(pool)
    return {
        "images": np.stack(turned),
        "probabilities": pool.mean(0),
        "entropy": entropy,
        "information": information,
    }
