"""The images that every peer trains on, read from the same four files as the lab reads, with NumPy alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

TRAIN = 54_000  # the rest of the 60,000 training images, the last tenth, is for validation
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "dropout-lab"
DIRECTORY = Path(os.environ.get("DROPOUT_LAB_DATA") or CACHE).expanduser()


def read(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the uint8 images (n, 28, 28) and labels (n,) of "train" or "t10k"."""
    images, labels = (
        np.fromfile(DIRECTORY / "MNIST" / "raw" / f"{part}-{kind}-ubyte", np.uint8)[header:]
        for kind, header in (("images-idx3", 16), ("labels-idx1", 8))
    )
    return images.reshape(-1, 28, 28), labels
