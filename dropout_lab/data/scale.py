"""SCALES: how pixels become the numbers that a network sees. To add a scale, add one entry. Missing numbers too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK = 512  # images scaled at once, to keep temporary arrays small


def unit(train: NDArray[Any], test: NDArray[Any], full_scale: int, part: NDArray[Any]) -> None:
    """Divide by `full_scale`, the value of a fully inked pixel. It is 1 for floats, if they are from 0 to 1.

    Floats that are whole numbers from 0 to 255 count as bytes.
    """
    if full_scale == 1:
        low = min(float(chunk.min()) for chunk in _chunks(train, part))
        high = max(float(chunk.max()) for chunk in _chunks(train, part))
        if not 0 <= low <= high <= 1:
            if not (0 <= low <= high <= 255 and all((chunk % 1 == 0).all() for chunk in _chunks(train, part))):
                raise ValueError(
                    f"unit needs numbers from 0 to 1 or whole numbers from 0 to 255, not {low:g} to {high:g}; "
                    "use standardize, which scales every feature by itself"
                )
            full_scale = 255
    for images in (train, test):
        images /= full_scale


def column_l2(train: NDArray[Any], test: NDArray[Any], full_scale: int, part: NDArray[Any]) -> None:
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


def standardize(train: NDArray[Any], test: NDArray[Any], full_scale: int, part: NDArray[Any]) -> None:
    """Subtract each feature's mean over the training part, and divide by its standard deviation there, in both arrays.

    A feature that is constant there carries nothing: it becomes 0.
    """
    import numpy as np

    varies = np.logical_or.reduce([(chunk != train[part[0]]).any(axis=0) for chunk in _chunks(train, part)])
    if not varies.any():
        raise ValueError("standardize needs training images that are not all the same")
    mean = sum(chunk.sum(axis=0, dtype=np.float64) for chunk in _chunks(train, part)) / len(part)
    squares = sum(np.square(chunk - mean, dtype=np.float64).sum(axis=0) for chunk in _chunks(train, part))
    deviation = np.where(varies, np.sqrt(squares / len(part)), 1)
    for images in (train, test):
        for start in range(0, len(images), CHUNK):
            block = images[start : start + CHUNK]
            block -= mean
            block /= deviation
            block[:, ~varies] = 0


def fill(train: NDArray[Any], test: NDArray[Any], part: NDArray[Any]) -> None:
    """Replace each missing number (NaN) by the mean of its feature over the training part, in both arrays.

    Of a text column, whose inputs are 0 and 1, that is the share of each text. Raises ValueError if a feature has no
    number in the training part.
    """
    import numpy as np

    counts = sum((~np.isnan(chunk)).sum(axis=0) for chunk in _chunks(train, part))
    if not np.all(counts):
        raise ValueError(f"mean has no number to learn from in input {int(np.argmin(counts)) + 1} of the training part")
    means = sum(np.nansum(chunk, axis=0, dtype=np.float64) for chunk in _chunks(train, part)) / counts
    for images in (train, test):
        for start in range(0, len(images), CHUNK):
            block = images[start : start + CHUNK]
            np.copyto(block, means.astype(np.float32), where=np.isnan(block))


def _chunks(train: NDArray[Any], part: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield copies of the images at the indices `part`, a few at a time."""
    for start in range(0, len(part), CHUNK):
        yield train[part[start : start + CHUNK]]


# Each function changes two float32 arrays, (n, height, width) or (n, features), in place. `part` has the indices of the
# images in `train` that are trained on: what is learned of the numbers is learned from them. It raises ValueError if it
# cannot scale such images.
SCALES = {"unit": unit, "column-l2": column_l2, "standardize": standardize}
