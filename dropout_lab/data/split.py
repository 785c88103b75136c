"""Which images train and which validate, and which training labels are made wrong. All of it is decided by the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dropout_lab.errors import Problem, Refused
from dropout_lab.streams import stream


def split(
    count: int,
    fraction: float,
    how: str,
    train_size: int | None,
    seed: int,
    train_from: str = "head",
    subset_seed: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the indices (int64) of the training images and of the validation images among `count` images.

    `how` chooses the validation images. "tail": the last `fraction` in file order, cut where Keras's validation_split
    cuts. "random": as many, drawn by `seed`; the training indices then come in random order, so that the first N of
    them are a random sample.

    `train_size` keeps so many training images (None: all), chosen by `train_from`. "head": the first ones. "random": a
    sample drawn by `subset_seed` (None: by `seed`); with the same seed, a smaller sample is part of a larger one.

    Raises Refused where either side would be empty, or fewer than `train_size` training images are left.
    """
    cut = math.floor(count * (1 - fraction))
    if not 0 < cut < count:
        reason = f"must leave some of {count} images to train on, and some to validate"
        raise Refused(Problem("config", "data.validation_fraction", reason, fraction))
    if train_size is not None and train_size > cut:
        reason = f"must be null or a whole number from 1 to {cut}, the training images that validation leaves"
        raise Refused(Problem("config", "data.train_size", reason, train_size))
    if how == "tail":
        indices = np.arange(count)
    elif how == "random":
        indices = stream(seed, "split").permutation(count)
        indices[cut:].sort()
    else:
        raise ValueError(f"unknown split {how!r}")
    training = indices[:cut]
    if train_from == "random":
        training = stream(seed if subset_seed is None else subset_seed, "subset").permutation(training)
    return torch.from_numpy(training[:train_size]), torch.from_numpy(indices[cut:])


def noisy(labels: Tensor, indices: Sequence[Tensor], fraction: float, classes: int, seeds: Sequence[int]) -> Tensor:
    """Return `labels` (n,) as each seed sees them, (seeds, n): some labels at its `indices` get another class.

    The number of changed labels is `fraction` of the indices, rounded (ties to even). All other classes are equally
    likely. With the same seed, the labels changed at a smaller fraction are among those changed at a larger one.
    """
    result = labels.repeat(len(seeds), 1)
    for seen, trained_on, seed in zip(result, indices, seeds, strict=True):
        generator = stream(seed, "label noise")
        chosen = torch.from_numpy(generator.permutation(trained_on.numpy())[: round(fraction * len(trained_on))])
        shift = torch.from_numpy(generator.integers(1, max(2, classes), len(chosen)))
        seen[chosen] = (seen[chosen] + shift.to(seen.device)) % classes
    return result
