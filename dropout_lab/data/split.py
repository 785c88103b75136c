"""Which images train, which validate and which test, and which training labels are made wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dropout_lab.errors import Problem, Refused, shown
from dropout_lab.streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

FIXED = 0  # the seed of the draws that are the same for every network
TEST, VALIDATION, SAMPLE = range(3)  # what is drawn from the stream "division"
MOST_NAMED = 10  # classes in a message

Draw = tuple[int, int]  # the seeds that validation_from and train_from draw by
FIRST: Draw = (0, 0)


@dataclass(frozen=True)
class Parts:
    """What is read of a data set, and how it becomes training, validation and test images.

    target, drop, missing and test are of a table (tables.py): the column of the classes, those left out, what becomes
    of missing values, and the file for tests. test_from: of a user's own data without a test split. "stratified": a
    fifth of each class, drawn, the same for every seed; "random": a fifth, drawn so; "tail": the last fifth. The other
    fields are those of `split`.
    """

    test_from: str = "stratified"
    validation_fraction: float = 0.1
    validation_from: str = "tail"
    train_size: int | None = None
    train_from: str = "head"
    target: str | None = None
    drop: tuple[str, ...] = ()
    missing: str = "refuse"
    test: str | None = None

    @property
    def by_seed(self) -> bool:
        """Whether each seed trains on images of its own."""
        return self.validation_from == "random" or (self.train_from == "random" and self.train_size is not None)

    def left(self, count: int, held_out: int = 0) -> int:
        """Return how many of `count` images validation leaves; `held_out` of them come as validation images."""
        return count - held_out if held_out else math.floor(count * (1 - self.validation_fraction))

    def divide(self, labels: NDArray[Any], held_out: int, draw: Draw) -> tuple[Tensor, Tensor]:
        """Return the indices of the training and of the validation images that have these labels (n,)."""
        seed, subset_seed = draw
        how = "given" if held_out else self.validation_from
        of = len(labels) - held_out if held_out else len(labels), self.validation_fraction
        return split(*of, how, self.train_size, seed, self.train_from, subset_seed, labels)


AS_ALWAYS = Parts()


def split(
    count: int,
    fraction: float,
    how: str,
    train_size: int | None,
    seed: int,
    train_from: str = "head",
    subset_seed: int | None = None,
    labels: NDArray[Any] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the indices (int64) of the training images and of the validation images among `count` images.

    `how` chooses the validation images. "tail": the last `fraction` in file order, cut where Keras's validation_split
    cuts. "random": as many, drawn by `seed`; the training indices then come in random order, so that the first N of
    them are a random sample. "stratified": as many, drawn from the classes of `labels` (count,) in proportion, the same
    for every seed; the first N training indices then hold the classes in proportion too. "given": all images after the
    first `count`.

    `train_size` keeps so many training images (None: all), chosen by `train_from`. "head": the first ones. "random": a
    sample drawn by `subset_seed` (None: by `seed`); with the same seed, a smaller sample is part of a larger one.

    Raises Refused where either side would be empty, or fewer than `train_size` training images are left.
    """
    import numpy as np
    import torch

    cut = count if how == "given" else math.floor(count * (1 - fraction))
    if not (0 < cut < count or how == "given"):
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
    elif how in ("stratified", "given"):
        assert labels is not None
        generator = stream(FIXED, "division", VALIDATION)
        mixed = in_proportion(labels[:count], generator)
        held_out, rest = np.sort(mixed[: count - cut]), mixed[count - cut :]
        rest = rest[in_proportion(labels[rest], generator)]
        indices = np.concatenate([rest, np.arange(count, len(labels)) if how == "given" else held_out])
    else:
        raise ValueError(f"unknown split {how!r}")
    training = indices[:cut]
    if train_from == "random":
        training = stream(seed if subset_seed is None else subset_seed, "subset").permutation(training)
    return torch.from_numpy(training[:train_size]), torch.from_numpy(indices[cut:])


def a_fifth(labels: NDArray[Any], how: str) -> NDArray[Any]:
    """Return the indices, sorted, of the fifth of the images with the labels (n,) that tests, by Parts.test_from."""
    import numpy as np

    count = len(labels) // 5
    generator = stream(FIXED, "division", TEST)
    if how == "tail":
        return np.arange(len(labels) - count, len(labels))
    drawn = in_proportion(labels, generator) if how == "stratified" else generator.permutation(len(labels))
    return np.sort(drawn[:count])


def in_proportion(labels: NDArray[Any], generator: Any) -> NDArray[Any]:
    """Return a random order of the indices of `labels` (n,) whose every beginning holds the classes in proportion.

    One image of each class comes at the very end, so that what is taken from the beginning leaves some of each class.
    """
    import numpy as np

    order = generator.permutation(len(labels))
    _, classes, sizes = np.unique(labels[order], return_inverse=True, return_counts=True)
    by_class = np.argsort(classes, kind="stable")
    number = np.empty(len(labels), np.int64)  # of an image among those of its class, in the random order
    number[by_class] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    of_class = sizes[classes]
    place = (number + 0.5) / of_class + (number == of_class - 1)
    found: NDArray[Any] = order[np.argsort(place, kind="stable")]
    return found


def sample(indices: Tensor, count: int) -> Tensor:
    """Return up to `count` of the indices, drawn at random, the same ones for every seed."""
    import torch

    return torch.from_numpy(stream(FIXED, "division", SAMPLE).permutation(indices.numpy())[:count])


def check_classes(
    parts: Parts,
    labels: NDArray[Any],
    test_labels: NDArray[Any],
    held_out: int,
    draws: Iterable[Draw],
    names: Sequence[str] = (),
) -> list[str]:
    """Return a remark for each part that lacks a class of `labels`. `names` are those of the classes.

    Raises Refused if training lacks one: it could not be learned. Also if the tail that validates lacks one, and a
    stratified split would not.
    """
    import numpy as np

    notes: dict[str, None] = {}
    classes = np.unique(labels)
    for draw in draws if parts.by_seed else [FIRST]:
        training, validation = (labels[part.numpy()] for part in parts.divide(labels, held_out, draw))
        if (missing := np.setdiff1d(classes, training)).size:
            raise Refused(_untrained(parts, labels, missing, held_out, draw, names))
        if (missing := np.setdiff1d(classes, validation)).size:
            if parts.validation_from == "tail" and not held_out:
                by_class = split(len(labels), parts.validation_fraction, "stratified", None, FIXED, labels=labels)[1]
                if (curable := np.intersect1d(missing, labels[by_class.numpy()])).size:
                    reason = f"leaves no image of {named(curable, names)} to validate on; use stratified"
                    raise Refused(Problem("config", "data.validation_from", reason, "tail"))
            of_seed = f" of seed {draw[0]}" if parts.validation_from == "random" else ""
            notes[f"the {len(validation)} validation images{of_seed} hold none of {named(missing, names)}"] = None
    if (missing := np.setdiff1d(classes, test_labels)).size:
        notes[f"the {len(test_labels)} test images hold none of {named(missing, names)}"] = None
    return list(notes)


def _untrained(
    parts: Parts, labels: NDArray[Any], missing: NDArray[Any], held_out: int, draw: Draw, names: Sequence[str]
) -> Problem:
    """Return the problem that training lacks the classes `missing`: validation has them, or too few images are kept."""
    import numpy as np

    whole = Parts(validation_fraction=parts.validation_fraction, validation_from=parts.validation_from)
    left = labels[whole.divide(labels, held_out, draw)[0].numpy()]
    of_seed = f" with seed {draw[parts.validation_from != 'random']}" if parts.by_seed else ""
    reason = f"leaves no image of {named(missing, names)} to train on{of_seed}"
    if parts.train_size is not None and np.isin(missing, left).all():
        cure = "use a larger one" + ", or data.train_from: random" * (parts.train_from == "head")
        return Problem("config", "data.train_size", f"{reason}; {cure}", parts.train_size)
    cure = "use stratified" if parts.validation_from != "stratified" else "these classes have too few images"
    return Problem("config", "data.validation_from", f"{reason}; {cure}", parts.validation_from)


def named(classes: NDArray[Any], names: Sequence[str] = ()) -> str:
    """Return the classes as a phrase: "class 2", "the classes 0, 1 and 2". `names` are those of all classes."""
    words = [shown(names[one]) if names else str(int(one)) for one in classes[:MOST_NAMED]]
    if len(classes) > MOST_NAMED:
        words.append(f"{len(classes) - MOST_NAMED} more")
    return f"class {words[0]}" if len(words) == 1 else f"the classes {', '.join(words[:-1])} and {words[-1]}"


def noisy(labels: Tensor, indices: Sequence[Tensor], fraction: float, classes: int, seeds: Sequence[int]) -> Tensor:
    """Return `labels` (n,) as each seed sees them, (seeds, n): some labels at its `indices` get another class.

    The number of changed labels is `fraction` of the indices, rounded (ties to even). All other classes are equally
    likely. With the same seed, the labels changed at a smaller fraction are among those changed at a larger one.
    """
    import torch

    result = labels.repeat(len(seeds), 1)
    for seen, trained_on, seed in zip(result, indices, seeds, strict=True):
        generator = stream(seed, "label noise")
        chosen = torch.from_numpy(generator.permutation(trained_on.numpy())[: round(fraction * len(trained_on))])
        shift = torch.from_numpy(generator.integers(1, max(2, classes), len(chosen)))
        seen[chosen] = (seen[chosen] + shift.to(seen.device)) % classes
    return result
