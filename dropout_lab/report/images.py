"""Finds the test images that are hardest for a run, and turns each into a small PNG. Needs no torch."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dropout_lab.comparison.inference import entropy

SHOWN = 12  # images of each kind
LARGEST = 56  # pixels along a side; larger images lose pixels, so that a page stays small


@dataclass(frozen=True)
class Hard:
    """One test image, what the mean of the seeds' probabilities says of it, and how many seeds classify it wrongly."""

    number: int  # in the order of the file, from 0
    label: int
    prediction: int
    probability: float  # of the prediction
    entropy: float  # of the mean probabilities, nats
    wrong: int
    seeds: int

    @property
    def caption(self) -> str:
        """The text below the image."""
        classes = f"{self.label}" if self.label == self.prediction else f"{self.label}, taken for {self.prediction}"
        return f"{classes} ({100 * self.probability:.0f} %)"

    @property
    def about(self) -> str:
        """A description of the image."""
        return (
            f"test image {self.number}: label {self.label}, predicted {self.prediction} with probability "
            f"{self.probability:.3f}, entropy {self.entropy:.3f} nats, wrong in {self.wrong} of {self.seeds} seeds"
        )


def hardest(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[Hard], list[Hard]]:
    """Return the misclassified images, most confident first, and the most uncertain ones, highest entropy first.

    arrays: the predictions of a run. Both lists have at most SHOWN images, ordered by the mean probabilities of the
    seeds.
    """
    labels, each = arrays["labels"], arrays["predictions"]
    mean = arrays["probabilities"].mean(axis=0, dtype=np.float64)  # (images, classes)
    uncertainty = entropy(mean)
    chosen, sure = mean.argmax(axis=1), mean.max(axis=1)
    missed = np.flatnonzero(chosen != labels)

    def hard(number: int) -> Hard:
        wrong = int((each[:, number] != labels[number]).sum())
        facts = int(labels[number]), int(chosen[number]), float(sure[number]), float(uncertainty[number])
        return Hard(number, *facts, wrong, len(each))

    confident = missed[np.argsort(-sure[missed], kind="stable")]
    uncertain = np.argsort(-uncertainty, kind="stable")
    return [hard(int(n)) for n in confident[:SHOWN]], [hard(int(n)) for n in uncertain[:SHOWN]]


def picture(image: NDArray[np.uint8]) -> str:
    """Return a grey image (height, width) as a data URI of a PNG."""
    from PIL import Image

    step, content = -(-max(image.shape) // LARGEST), BytesIO()
    Image.fromarray(image[::step, ::step]).save(content, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def grey(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images as bytes, from 0 for the least number of all to 255 for the greatest."""
    low, high = float(images.min()), float(images.max())
    scale = 255 / (high - low) if high > low else 0.0
    return np.asarray(np.rint((images.astype(np.float32) - low) * scale), np.uint8)
