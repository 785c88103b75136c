"""SCALES: how pixels become the numbers that a network sees. To add a scale, add one entry."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 512  # images scaled at once, to keep temporary arrays small


def unit(train: NDArray[Any], test: NDArray[Any], full_scale: int) -> None:
    """Divide by `full_scale`, the value of a fully inked pixel. It is 1 for floats, which are taken as they are."""
    for images in (train, test):
        images /= full_scale


def column_l2(train: NDArray[Any], test: NDArray[Any], full_scale: int) -> None:
    """Divide every column of every image by its L2 norm over the rows, as keras.utils.normalize(x, axis=1) does."""
    import numpy as np

    if train.ndim != 3:
        raise ValueError("column-l2 needs images with a height and a width; use unit or standardize")
    for images in (train, test):
        for start in range(0, len(images), CHUNK):
            block = images[start : start + CHUNK]  # (images, rows, columns)
            norms = np.sqrt(np.square(block, dtype=np.float64).sum(axis=1, keepdims=True))
            norms[norms == 0] = 1
            block /= norms.astype(np.float32)


def standardize(train: NDArray[Any], test: NDArray[Any], full_scale: int) -> None:
    """Subtract the mean of all training pixels and divide by their standard deviation, in both arrays."""
    import numpy as np

    chunks = range(0, len(train), CHUNK)
    mean = train.mean(dtype=np.float64)
    squares = sum(np.square(train[start : start + CHUNK] - mean, dtype=np.float64).sum() for start in chunks)
    deviation = math.sqrt(squares / train.size)
    if deviation == 0:
        raise ValueError("standardize needs training images that are not all of one value")
    for images in (train, test):
        images -= mean
        images /= deviation


# Each function changes two float32 arrays, (n, height, width) or (n, features), in place. It raises ValueError if it
# cannot scale such images.
SCALES = {"unit": unit, "column-l2": column_l2, "standardize": standardize}
