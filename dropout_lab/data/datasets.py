"""DATASETS -> tensors and splits: everything in memory once, so that a batch is a selection of indices.

Adding a data set is one entry in DATASETS. Images stay in the order of their files: the first are the training images,
of which `split` sets some aside for validation; the test images are never among them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dropout_lab.data import npz
from dropout_lab.data.idx import FileReport, IdxSet
from dropout_lab.errors import Problem, Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CHUNK = 512  # images scaled at once, to keep temporary arrays small


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 pixels of 0..16, installed with the package.

    The split is fixed: in the order of the file the first 1,437 are the training images, the last 360 the test images.
    """

    name: str = "digits"
    title: str = "scikit-learn's handwritten digits"
    train_count: int = 1437
    test_count: int = 360
    shape: tuple[int, int] = (8, 8)
    classes: int = 10
    full_scale: int = 16

    def read(self, directory: Path) -> tuple[NDArray[Any], ...]:
        import numpy as np
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]

        bunch = load_digits()
        images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
        cut = self.train_count
        return images[:cut], labels[:cut], images[cut:], labels[cut:]

    def verify(self, directory: Path) -> list[FileReport]:
        path = self.fetch(directory)
        if not path.is_file():
            return [FileReport(path, None, "is missing: install scikit-learn again", missing=True)]
        return [FileReport(path, hashlib.sha256(path.read_bytes()).hexdigest(), None)]

    def fetch(self, directory: Path) -> Path:
        package = importlib.util.find_spec("sklearn")
        folder = Path(package.origin).parent if package and package.origin else Path("sklearn")
        return folder / "datasets" / "data" / "digits.csv.gz"


MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

Dataset = IdxSet | Digits

DATASETS: dict[str, Dataset] = {
    "mnist": IdxSet("mnist", "MNIST", "MNIST handwritten digits", sha256=MNIST_SHA256),
    "fashion-mnist": IdxSet("fashion-mnist", "FashionMNIST", "Fashion-MNIST clothing"),
    "kmnist": IdxSet("kmnist", "KMNIST", "Kuzushiji-MNIST, cursive Japanese"),
    "digits": Digits(),
}


class Dimensions(NamedTuple):
    """How large a data set is: numbers of training and test images, of numbers in an image, and of classes."""

    train: int
    test: int
    features: int
    classes: int


@dataclass(frozen=True, eq=False)
class Data:
    """A data set on its device: float32 images (n, features), int64 labels (n,) of 0..classes-1.

    `images` are all training images in file order, validation not yet set aside. `shape` is that of one image: (height,
    width) or (features,). `sha256` is one digest over the arrays as they are stored, whatever the scale.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    shape: tuple[int, ...]
    classes: int
    sha256: str


def dimensions(dataset: str) -> Dimensions:
    """Return how large a data set is, without torch; of those in DATASETS, without their files."""
    entry = _entry(dataset)
    if entry:
        return Dimensions(entry.train_count, entry.test_count, math.prod(entry.shape), entry.classes)
    path = Path(dataset)
    facts = path.stat() if os.path.isfile(path) else None
    return _npz_dimensions(path, facts and (facts.st_mtime_ns, facts.st_size, facts.st_ino))


@lru_cache
def _npz_dimensions(path: Path, version: object) -> Dimensions:
    images, labels, test_images, _ = npz.read(path)
    return Dimensions(len(images), len(test_images), math.prod(images.shape[1:]), int(labels.max()) + 1)


def load(dataset: str, scale: str, directory: Path, device: str = "cpu") -> Data:
    """Return the data set of that name, or in that .npz file, with every file verified and every image scaled.

    `scale`: a key of SCALES. Raises Refused for missing, corrupt or unsuitable data.
    """
    import numpy as np
    import torch

    entry, raw = _entry(dataset), _read(dataset, directory)
    full_scale = entry.full_scale if entry else 255 if raw[0].dtype == np.uint8 else 1
    shape = raw[0].shape[1:]
    images, test_images = (x.astype(np.float32) for x in raw[::2])
    try:
        SCALES[scale](images, test_images, full_scale)
    except ValueError as error:
        raise Refused(Problem(dataset, "data.scale", str(error), scale)) from error
    labels, test_labels = (y.astype(np.int64) for y in raw[1::2])

    def tensor(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device)

    return Data(
        images=tensor(images.reshape(len(images), -1)),
        labels=tensor(labels),
        test_images=tensor(test_images.reshape(len(test_images), -1)),
        test_labels=tensor(test_labels),
        shape=shape,
        classes=entry.classes if entry else int(labels.max()) + 1,
        sha256=_digest(raw),
    )


def test_images(dataset: str, directory: Path, sha256: str) -> NDArray[Any]:
    """Return the test images as they are stored, (n, height, width) or (n, features), without torch or a download.

    Raises Refused where they are missing, corrupt, or not those of the digest `sha256`.
    """
    for report in verify(dataset, directory):
        if report.problem:
            raise Refused(Problem(str(report.path), dataset, report.problem, report.sha256 or "nothing"))
    raw = _read(dataset, directory)
    if (found := _digest(raw)) != sha256:
        raise Refused(Problem(dataset, "sha256", f"must be {sha256[:12]}, the data of the run", found[:12]))
    return raw[2]


def split(
    count: int, fraction: float, how: str, train_size: int | None, seed: int, train_from: str = "head"
) -> tuple[Tensor, Tensor]:
    """Return int64 indices of the training and of the validation images among `count`.

    "tail": the last `fraction` in file order, cut where Keras's validation_split cuts. "random": as many, chosen by
    `seed`; the validation indices are sorted, the training indices in random order, so that their first N are a random
    sample. `train_size` keeps the first N training indices, `train_from` "random" a sample by `seed`, in random order;
    of one seed the smaller sample is part of the larger. Raises Refused where fewer are left, or one side is empty.
    """
    import numpy as np
    import torch

    from dropout_lab.streams import stream

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
        training = stream(seed, "subset").permutation(training)
    return torch.from_numpy(training[:train_size]), torch.from_numpy(indices[cut:])


class SplitRule(Protocol):
    """The settings that decide a split: those of `config.settings.DataConfig`."""

    @property
    def validation_fraction(self) -> float: ...
    @property
    def validation_from(self) -> str: ...
    @property
    def train_size(self) -> int | None: ...
    @property
    def train_from(self) -> str: ...


def split_as(rule: SplitRule, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return the `split` of `count` images that `rule` asks for."""
    chosen = rule.validation_fraction, rule.validation_from, rule.train_size
    return split(count, *chosen, seed, rule.train_from)


def noisy(labels: Tensor, indices: Sequence[Tensor], fraction: float, classes: int, seeds: Sequence[int]) -> Tensor:
    """Return `labels` (n,) as each seed sees them, (seeds, n): some of those at its `indices` are of another class.

    They are exactly `fraction` of the indices, to the nearest whole number (ties to even), and all other classes are
    equally likely. Of one seed those of a smaller fraction are among those of a larger.
    """
    import torch

    from dropout_lab.streams import stream

    result = labels.repeat(len(seeds), 1)
    for own, places, seed in zip(result, indices, seeds, strict=True):
        generator = stream(seed, "label noise")
        chosen = torch.from_numpy(generator.permutation(places.numpy())[: round(fraction * len(places))])
        shift = torch.from_numpy(generator.integers(1, max(2, classes), len(chosen)))
        own[chosen] = (own[chosen] + shift.to(own.device)) % classes
    return result


def directory(option: Path | None) -> Path:
    """Return where data sets are kept: `option`, else DROPOUT_LAB_DATA, else the user's cache directory."""
    if option is not None:
        return at_home(option)
    if chosen := os.environ.get("DROPOUT_LAB_DATA"):
        return at_home(chosen)
    cache = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(cache.removeprefix("~/")) / "dropout-lab"  # where no home is known: in this directory


def at_home(path: str | Path) -> Path:
    """Return `path` with ~ or ~user replaced by that home. Raises Refused where no such home is known."""
    expanded = os.path.expanduser(path)
    if str(expanded).startswith("~"):
        raise Refused(Problem("command line", "directory", "begins with a home that is not known", str(path)))
    return Path(expanded)


def fetch(dataset: str, directory: Path) -> Path:
    """Make sure that a data set is there and good, downloading it where that is possible, and return where it is.

    Raises Refused where it cannot be had, Failed where the disk is full.
    """
    entry = _entry(dataset)
    if entry is not None:
        return entry.fetch(directory)
    npz.read(Path(dataset))
    return Path(dataset)


def check(dataset: str, directory: Path) -> None:
    """Raise at once, without torch, what `load` would raise about the files: bad, or missing and not to be had."""
    entry = _entry(dataset)
    if entry is None:
        npz.read(Path(dataset))
    elif isinstance(entry, IdxSet):
        entry.check(directory)


def verify(dataset: str, directory: Path) -> list[FileReport]:
    """Check every file of a data set, and change nothing."""
    entry = _entry(dataset)
    if entry is not None:
        return entry.verify(directory)
    try:
        sha256 = _digest(npz.read(Path(dataset)))
    except Refused as refused:
        return [FileReport(Path(dataset), None, f"{problem.key}: {problem.reason}") for problem in refused.problems]
    return [FileReport(Path(dataset), sha256, None)]


def _read(dataset: str, directory: Path) -> tuple[NDArray[Any], ...]:
    """Return training images and labels, test images and labels, as they are stored."""
    entry = _entry(dataset)
    return npz.read(Path(dataset)) if entry is None else entry.read(directory)


def _entry(dataset: str) -> Dataset | None:
    """Return the entry in DATASETS; None for the path of an .npz file."""
    if dataset in DATASETS or dataset.endswith(".npz"):
        return DATASETS.get(dataset)
    near = get_close_matches(dataset, DATASETS, n=1)
    reason = f"must be one of {', '.join(DATASETS)} or the path of an .npz file"
    hint = f", did you mean {near[0]}?" if near else ""
    raise Refused(Problem("command line", "data.dataset", reason + hint, dataset))


def _digest(raw: tuple[NDArray[Any], ...]) -> str:
    """Return one SHA-256 over the types, shapes and bytes of the arrays."""
    import numpy as np

    digest = hashlib.sha256()
    for array in raw:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _unit(train: NDArray[Any], test: NDArray[Any], full_scale: int) -> None:
    """Divide by the value of a fully inked pixel; arrays of floats (`full_scale` 1) are taken as they are."""
    for x in (train, test):
        x /= full_scale


def _column_l2(train: NDArray[Any], test: NDArray[Any], full_scale: int) -> None:
    """Divide every column of every image by its L2 norm over the rows, as keras.utils.normalize(x, axis=1) does."""
    import numpy as np

    if train.ndim != 3:
        raise ValueError("column-l2 needs images with a height and a width; use unit or standardize")
    for x in (train, test):
        for start in range(0, len(x), CHUNK):
            block = x[start : start + CHUNK]  # (images, rows, columns)
            norms = np.sqrt(np.square(block, dtype=np.float64).sum(axis=1, keepdims=True))
            norms[norms == 0] = 1
            block /= norms.astype(np.float32)


def _standardize(train: NDArray[Any], test: NDArray[Any], full_scale: int) -> None:
    """Shift and divide by the mean and standard deviation of all training pixels, the test images as well."""
    import numpy as np

    chunks = range(0, len(train), CHUNK)
    mean = train.mean(dtype=np.float64)
    squares = sum(np.square(train[start : start + CHUNK] - mean, dtype=np.float64).sum() for start in chunks)
    deviation = math.sqrt(squares / train.size)
    if deviation == 0:
        raise ValueError("standardize needs training images that are not all of one value")
    for x in (train, test):
        x -= mean
        x /= deviation


# Each changes float32 arrays (n, height, width) or (n, features) in place, and raises ValueError where it does not fit.
SCALES = {"unit": _unit, "column-l2": _column_l2, "standardize": _standardize}
