"""Features: what the hidden layers hand on, and the error without some units of the first one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dropout_lab.cost import CHUNK
from dropout_lab.data.datasets import Data
from dropout_lab.evaluation.averaging import Array
from dropout_lab.network import Network
from dropout_lab.training import predict

POINTS = 33  # numbers of ablated units that are tried, at most


@torch.no_grad()
def activations(net: Network, images: Tensor) -> list[Tensor]:
    """Return the outputs (lanes, n, units) of every hidden layer for images (1, n, inputs), dropout off.

    They are what the next layer reads: in the papers' form of dropout, the outputs times the fraction kept.
    """
    outputs: list[Tensor] = []
    net.predict(images, outputs)
    return outputs


@torch.no_grad()
def by_importance(net: Network, data: Data) -> Tensor:
    """Return the units of layer 1, the most important first.

    A unit's importance is its mean absolute output over the first training images, times the norm of its outgoing
    weights.
    """
    output = activations(net, data.images[None, : 10 * CHUNK])[0][0].abs().mean(0)
    order: Tensor = (output * net.weights[1][0].norm(dim=1)).argsort(descending=True, stable=True)
    return order


@torch.no_grad()
def ablation(net: Network, data: Data, permutation: Callable[[int], Array]) -> Array:
    """Return (points, 3): k, and the test error without the k most important and without k random units of layer 1.

    A unit's outgoing weights are set to 0 to take the unit out, and set back. A network without hidden layers has no
    points.
    """
    if len(net.sizes) == 2:
        return np.empty((0, 3))
    order = by_importance(net, data)
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
