"""A finished run looked at closely: one entry function, and what it finds.

Everything is about the weights that training ended with and the test images; nothing on disk changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from dropout_lab.comparison.inference import TINY
from dropout_lab.data.datasets import Data
from dropout_lab.dropout import DROPOUTS, normal_parts
from dropout_lab.evaluation.averaging import Array, Scores, averaging, majority, passes, scores, softmax
from dropout_lab.evaluation.features import ablation, activations
from dropout_lab.evaluation.uncertainty import rotated, uncertainty
from dropout_lab.network import Network
from dropout_lab.runs.read import Run
from dropout_lab.runs.summary import damaged
from dropout_lab.streams import stream
from dropout_lab.training import Lane, network, predict

POOL = 4  # passes per averaged pass: random sets of k among so many are nearly independent
EVERY = 2.0  # seconds between two messages about the passes done


@dataclass(frozen=True, kw_only=True)
class NetworkEvaluation:
    """One seed's network, looked at closely.

    weight_scaling: the network with dropout off, as it was validated; for DropConnect this is moment matching.
    mean_weights: DropConnect's other prediction; None for every other kind.
    monte_carlo, geometric: the arithmetic and the geometric mean of all passes.
    averaging: (K, 2), for k = 1..K passes the mean error of their averaged softmax outputs, and its sd over redraws.
    reached: the first k whose mean error is within one sd of weight scaling's; None if there is none.
    labels (n,), probabilities (n, classes): of the test images, the probabilities with dropout off.
    entropy, information: (n,), of each test image in nats: predictive entropy, and the mutual information of prediction
    and mask, both over all passes (Gal & Ghahramani 2016).
    activity: (hidden layers, 2), of each layer's outputs for the test images, dropout off: mean, and fraction of 0.
    rotated: one test image turned by ANGLES, see `rotated`; None if images have no height and width.
    ablation: (points, 3), test errors without some units of the first hidden layer: k, the error without the k most
    important ones, and without k random ones.
    """

    seed: int
    weight_scaling: Scores
    mean_weights: Scores | None
    monte_carlo: Scores
    geometric: Scores
    averaging: Array
    reached: int | None
    labels: Array
    probabilities: Array
    entropy: Array
    information: Array
    activity: Array
    rotated: Mapping[str, Array] | None
    ablation: Array


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluate` found. Activations and features are those of the first seed's network.

    samples: the most passes that are averaged. passes: all that were made.
    ensemble, vote: the networks of all seeds together, by the mean of their probabilities and by majority (its error);
    None for one seed.
    activations: of each hidden layer its outputs (n, units) with dropout off. features: the weights into the first
    layer, (inputs, units). images: the test images (n, inputs), as the network reads them; shape: their height and
    width, None if they have none.
    """

    run: Run
    samples: int
    passes: int
    labels: Array
    seeds: tuple[NetworkEvaluation, ...]
    ensemble: Scores | None
    vote: float | None
    activations: tuple[Array, ...]
    features: Array
    images: Array
    shape: tuple[int, int] | None

    @property
    def scaling(self) -> str:
        """What the prediction with dropout off is called."""
        dropout = self.run.trained.dropout
        return DROPOUTS[dropout.kind].inference(dropout.samples)


def evaluate(run: Run, data: Data, samples: int, show: Callable[[str], None] = lambda text: None) -> Evaluation:
    """Evaluate every finished seed of `run` on the test images of `data`, which must be the data of its training.

    samples: K, the most passes that are averaged. show: takes a message about the passes done, every few seconds.
    """
    seeds = [seed for seed in run.seeds if seed not in run.diverged]
    networks = tuple(_evaluate_network(run, seed, data, samples, show) for seed in seeds)
    labels = data.test_labels.numpy()
    probabilities = np.stack([network.probabilities for network in networks])
    several, first = len(seeds) > 1, load(run, seeds[0], data)
    return Evaluation(
        run=run,
        samples=samples,
        passes=POOL * samples,
        labels=labels,
        seeds=networks,
        ensemble=scores(probabilities.mean(0), labels) if several else None,
        vote=float((majority(probabilities) != labels).mean()) if several else None,
        activations=tuple(outputs[0].numpy() for outputs in activations(first, data.test_images[None])),
        features=first.weights[0][0].numpy(),
        images=data.test_images.numpy(),
        shape=(data.shape[0], data.shape[1]) if len(data.shape) == 2 else None,
    )


@torch.no_grad()
def load(run: Run, seed: int, data: Data) -> Network:
    """Return the network of one seed, with the weights that its training ended with.

    Raises `Refused` if the run's weights do not fit such a network.
    """
    result, weights = network([Lane(run.trained, seed)], data), run.weights()
    for layer, (weight, bias) in enumerate(zip(result.weights, result.biases, strict=True)):
        for name, tensor in (("weight", weight[0].mT), ("bias", bias[0, 0])):
            key = f"{seed}.last.{layer}.{name}"
            stored = weights.get(key, np.empty(0))
            if stored.shape != tensor.shape or stored.dtype != np.float32 or not np.isfinite(stored).all():
                reason = f"must be finite float32 numbers in the shape {tuple(tensor.shape)}"
                raise damaged(run.path / "weights.safetensors", key, reason, f"{stored.dtype} {stored.shape}")
            tensor.copy_(torch.from_numpy(stored))
    return result


def _evaluate_network(run: Run, seed: int, data: Data, samples: int, show: Callable[[str], None]) -> NetworkEvaluation:
    net, labels, images = load(run, seed, data), data.test_labels.numpy(), data.test_images
    probabilities = softmax(predict(net, images[None]), data.classes)[0]
    weight_scaling = scores(probabilities, labels)
    pool = _pool(run, seed, net, data, POOL * samples, show)
    curve = averaging(pool, labels, samples, stream(seed, "evaluation").permutation)
    near = np.flatnonzero(np.abs(curve[:, 0] - weight_scaling.error) <= curve[:, 1])
    geometric = np.exp(sum(np.log(one.clip(TINY)) for one in pool) / len(pool))
    entropy, information = uncertainty(pool)
    hidden = [outputs[0].numpy() for outputs in activations(net, images[None])]
    return NetworkEvaluation(
        seed=seed,
        weight_scaling=weight_scaling,
        mean_weights=_mean_weights(run, seed, data) if len(net.samples) > 1 else None,
        monte_carlo=scores(pool.mean(0), labels),
        geometric=scores(geometric / geometric.sum(1, keepdims=True), labels),
        averaging=curve,
        reached=int(near[0]) + 1 if len(near) else None,
        labels=labels,
        probabilities=probabilities,
        entropy=entropy,
        information=information,
        activity=np.array([(h.mean(), (h == 0).mean()) for h in hidden]),
        rotated=rotated(run.trained, seed, net, data, len(pool)),
        ablation=ablation(net, data, stream(seed, "evaluation", 0, 0).permutation),
    )


def _mean_weights(run: Run, seed: int, data: Data) -> Scores:
    """Return the scores of a network of DropConnect with its mean weights: one sample, the mean, of each output."""
    net = load(run, seed, data)
    net.samples = normal_parts(1)
    return scores(softmax(predict(net, data.test_images[None]), data.classes)[0], data.test_labels.numpy())


def _pool(run: Run, seed: int, net: Network, data: Data, count: int, show: Callable[[str], None]) -> Array:
    """Return the probabilities (count, n, classes) of `count` passes over the test images, and `show` how far it is."""
    pool = np.empty((count, len(data.test_images), data.classes), np.float32)
    told = time.monotonic()
    for number, one in enumerate(passes(run.trained, seed, net, data.test_images, count, data.classes), start=1):
        pool[number - 1] = one
        if number == count or time.monotonic() - told > EVERY:
            show(f"seed {seed}: pass {number} of {count}")
            told = time.monotonic()
    return pool
