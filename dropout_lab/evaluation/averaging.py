"""Averaging: a network's passes with dropout on, the error of their mean, and the scores of any probabilities.

With dropout on, every pass is another network. Weight scaling approximates what the passes say on average. Passes have
the full rates of the config, also after a schedule that ends with lower ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dropout_lab.comparison.inference import TINY
from dropout_lab.config.settings import Config
from dropout_lab.cost import CHUNK, FEWEST_ROWS
from dropout_lab.dropout import DROPOUTS, NONE
from dropout_lab.network import Network
from dropout_lab.streams import stream
from dropout_lab.threads import Threads
from dropout_lab.training import Lane, cut, noise

DRAWS = 100  # sets of k passes, for each k
BINS = 15  # of confidence, for calibration (Guo et al. 2017)
SIMULATED = 400  # sets of labels that a perfectly calibrated network might have met

Array = NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """How good probabilities are: fraction of errors, mean cross-entropy in nats, expected calibration error (0 to 1).

    if_perfect: the calibration error that is expected from chance alone, see `if_perfect`.
    bins: for each of the BINS bins of confidence, its number of images, their accuracy and their mean confidence.
    """

    error: float
    loss: float
    calibration_error: float
    if_perfect: float
    bins: Array  # (BINS, 3)


@torch.no_grad()
def passes(config: Config, seed: int, net: Network, images: Tensor, count: int, classes: int) -> Iterator[Array]:
    """Yield the probabilities (images, classes) of `count` passes over images (n, inputs) with dropout on.

    Each pass draws from its own streams (seed, "evaluation", layer, pass). With `mask: batch` a pass has one mask.
    """
    kind, per_example = DROPOUTS[config.dropout.kind], config.dropout.mask == "example"
    few = kind.masks_all_weights(config.dropout.mask)
    size = max(config.training.batch_size, FEWEST_ROWS) if few else CHUNK
    lane, chunks = Lane(config, seed), torch.split(images, size)
    noises = [noise([lane], layer, net.sizes, size, purpose="evaluation") for layer in range(len(net.sizes) - 1)]
    with Threads(torch.get_num_threads()) as threads:
        for number in threads.fastest(range(1, count + 1), count):
            full_rates = np.ones(len(chunks) if per_example else 1)
            masks = [layer.steps(number, full_rates) if layer else repeat(NONE) for layer in noises]
            drawn = [next(mask) for mask in masks]
            logits = []
            for index, chunk in enumerate(chunks):
                if index and per_example:
                    drawn = [next(mask) for mask in masks]
                logits.append(net.forward(chunk[None], [cut(draw, len(chunk)) for draw in drawn]))
            yield softmax(torch.cat(logits, 1), classes)[0]


def softmax(logits: Tensor, classes: int) -> Array:
    """Return the probabilities (lanes, n, classes) of logits (lanes, n, padded classes)."""
    return np.asarray(torch.softmax(logits, 2)[..., :classes].numpy())


def averaging(pool: Array, labels: Array, most: int, permutation: Callable[[int], Array]) -> Array:
    """Return mean and sd, (most, 2), of the error of k = 1..most averaged passes, over DRAWS random sets of k passes.

    pool: (passes, n, classes), probabilities, which are not changed. Each set is the first k passes of a random order.
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

    Confidence is the largest probability. The calibration error is the mean distance between accuracy and confidence
    over BINS equal bins of confidence, weighted by the number of images in each (Guo et al. 2017).
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    count = np.bincount(index, minlength=BINS)
    sums = [np.bincount(index, weights, BINS) for weights in (right, confidence)]
    accuracy, mean = (total / np.maximum(count, 1) for total in sums)
    loss = -np.log(probabilities[np.arange(len(labels)), labels].clip(TINY)).mean(dtype=np.float64)
    distance = (count * np.abs(accuracy - mean)).sum() / len(labels)
    return Scores(
        error=float((~right).mean()),
        loss=float(loss),
        calibration_error=float(distance),
        if_perfect=if_perfect(confidence, index, stream(0, "calibration")),
        bins=np.stack([count, accuracy, mean], 1),
    )


def if_perfect(confidence: Array, index: Array, generator: np.random.Generator) -> float:
    """Return the mean calibration error if every probability were true, on as many images.

    confidence, index: (n,), of each image the largest probability and the bin. A network with true probabilities is
    right about an image with the probability that is its confidence; the mean is over SIMULATED draws of that. Chance
    alone moves accuracies in a bin away from their confidence, so this is far from 0 for a few hundred images.
    """
    draws = (
        np.bincount(index, (generator.random(len(index)) < confidence) - confidence, BINS) for _ in range(SIMULATED)
    )
    return float(np.mean([np.abs(off).sum() for off in draws])) / len(index)


def majority(probabilities: Array) -> Array:
    """Return the class (n,) that most networks choose by their probabilities, (networks, n, classes).

    If classes have equally many votes, the one with the highest mean probability is returned.
    """
    votes = np.eye(probabilities.shape[2])[probabilities.argmax(2)].sum(0)
    return np.asarray((votes + probabilities.mean(0) / 2).argmax(1))
