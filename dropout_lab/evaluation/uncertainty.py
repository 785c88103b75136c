"""Uncertainty: how much the passes with dropout on disagree, about the test images and about a turned digit."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import rotate

from dropout_lab.comparison.inference import entropy
from dropout_lab.config.settings import Config
from dropout_lab.cost import FEWEST_ROWS
from dropout_lab.data.datasets import Data
from dropout_lab.evaluation.averaging import Array, passes
from dropout_lab.network import Network
from dropout_lab.training import predict

ANGLES = tuple(range(0, 180, 15))  # degrees: the twelve digits of Gal & Ghahramani 2016, figure 4


def uncertainty(pool: Array) -> tuple[Array, Array]:
    """Return, of passes (passes, n, classes), predictive entropy and mutual information of prediction and mask.

    Both (n,), in nats (Gal & Ghahramani 2016).
    """
    total = entropy(pool.mean(0, dtype=np.float64))
    return total, np.maximum(0, total - sum(map(entropy, pool)) / len(pool))


def rotated(config: Config, seed: int, net: Network, data: Data, count: int) -> dict[str, Array] | None:
    """Return what the passes say about one test image turned by ANGLES: the first 1 (class 1) that is read correctly.

    "images" (angles, height, width), mean "probabilities" (angles, classes), "entropy" and "information" (angles,).
    Returns None if no such image is there, or images have no height and width.
    """
    ones = data.test_labels == min(1, data.classes - 1)
    chosen = (ones & (predict(net, data.test_images[None])[0].argmax(1) == data.test_labels)).nonzero()
    if len(data.shape) != 2 or not len(chosen):
        return None
    image = data.test_images[chosen[0, 0]].reshape(data.shape).numpy()
    turned = [rotate(image, angle, reshape=False, order=1, cval=float(image.min())) for angle in ANGLES]
    images = torch.from_numpy(np.stack(turned).reshape(len(ANGLES), -1))
    filled = torch.nn.functional.pad(images, (0, 0, 0, max(0, FEWEST_ROWS - len(images))))
    pool = np.stack([*passes(config, seed, net, filled, count, data.classes)])[:, : len(ANGLES)]
    entropy, information = uncertainty(pool)
    return {"images": np.stack(turned), "probabilities": pool.mean(0), "entropy": entropy, "information": information}
