"""DATASETS: every data set by name, loaded whole into memory, so that a batch is a selection of indices.

To add a data set, add one entry to DATASETS. Validation images are taken from the training images (data/split.py).
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dropout_lab.data import npz
from dropout_lab.data.idx import FileReport, IdxSet
from dropout_lab.data.npz import Stored
from dropout_lab.data.scale import SCALES
from dropout_lab.data.split import AS_ALWAYS, FIRST, Draw, Parts, check_classes
from dropout_lab.errors import Problem, Refused

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits, 8 x 8 pixels of 0..16: the first 1,437 train, the last 360 test."""

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

    def files(self, directory: Path) -> list[Path]:
        return [self.fetch(directory)]

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
    """The size of a data set: training images, test images, numbers in one image (features), and classes.

    `held_out` of the training images come as validation images; 0: they are chosen.
    """

    train: int
    test: int
    features: int
    classes: int
    held_out: int = 0


@dataclass(frozen=True, eq=False)
class Data:
    """A data set on its device: float32 images (n, features), int64 labels (n,) from 0 to classes - 1.

    `images` are all training images in file order; those to validate on are still among them. `shape` is the shape of
    one image: (height, width) or (features,). `sha256` is the digest of the stored arrays, so no scale changes it.
    The last `held_out` images came as validation images; `given` is what the file calls these, used or not. `notes` are
    remarks for the user.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    shape: tuple[int, ...]
    classes: int
    sha256: str
    held_out: int = 0
    given: str = ""
    notes: tuple[str, ...] = ()


def dimensions(dataset: str, parts: Parts = AS_ALWAYS) -> Dimensions:
    """Return the size of a data set. This needs no torch and, for the data sets in DATASETS, none of their files."""
    entry = _registered(dataset)
    if entry:
        return Dimensions(entry.train_count, entry.test_count, math.prod(entry.shape), entry.classes)
    return _npz_dimensions(at_home(dataset), parts, version(dataset, Path()))


@lru_cache
def _npz_dimensions(path: Path, parts: Parts, version: object) -> Dimensions:
    stored = npz.read(path, parts)
    features, classes = math.prod(stored.images.shape[1:]), int(stored.labels.max()) + 1
    return Dimensions(len(stored.images), len(stored.test_images), features, classes, stored.held_out)


def located(dataset: str) -> str:
    """Return what two configs share if they name one data set: a name of DATASETS, or the absolute path of a file."""
    return dataset if dataset in DATASETS else os.path.abspath(at_home(dataset))


def version(dataset: str, directory: Path) -> tuple[object, ...]:
    """Return what changes whenever a file of a data set is written anew, so that nobody goes on with the one before."""
    entry = _registered(dataset)
    files = [at_home(dataset)] if entry is None else entry.files(directory)
    facts = [file.stat() if os.path.isfile(file) else None for file in files]
    return tuple(fact and (fact.st_mtime_ns, fact.st_size, fact.st_ino) for fact in facts)


def load(
    dataset: str, scale: str, directory: Path, device: str = "cpu", parts: Parts = AS_ALWAYS, draw: Draw = FIRST
) -> Data:
    """Return the data set called `dataset`, or in the .npz file at that path: files verified, images scaled.

    `scale` is a key of SCALES, `directory` is where data sets are kept. What a scale learns of the numbers it learns
    from the images that are trained on, as `parts` and `draw` divide them. Raises Refused for missing, corrupt or
    unsuitable data.
    """
    import numpy as np
    import torch

    entry, stored = _registered(dataset), _stored(dataset, directory, parts)
    full_scale = entry.full_scale if entry else 255 if stored.images.dtype == np.uint8 else 1
    shape = stored.images.shape[1:]
    images, test_images = stored.images.astype(np.float32), stored.test_images.astype(np.float32)
    labels, test_labels = stored.labels.astype(np.int64), stored.test_labels.astype(np.int64)
    try:
        SCALES[scale](images, test_images, full_scale, parts.divide(labels, stored.held_out, draw)[0].numpy())
    except ValueError as error:
        raise Refused(Problem(dataset, "data.scale", str(error), scale)) from error
    flat = images.reshape(len(images), -1), labels, test_images.reshape(len(test_images), -1), test_labels
    x, y, x_test, y_test = (torch.from_numpy(array).to(device) for array in flat)
    classes = entry.classes if entry else int(labels.max()) + 1
    return Data(x, y, x_test, y_test, shape, classes, digest(stored), *stored[4:])


def check_parts(data: Data, parts: Parts, draws: Iterable[Draw]) -> list[str]:
    """Return remarks on how `parts` and these draws divide the data.

    Raises Refused if a class cannot be learned or judged so (split.py), or validation arrays would not be used.
    """
    if data.given and parts.validation_from != "stratified":
        reason = f"must be stratified or left out: the data bring validation images, x_{data.given}, which are used"
        raise Refused(Problem("config", "data.validation_from", reason, parts.validation_from))
    labels, test_labels = data.labels.cpu().numpy(), data.test_labels.cpu().numpy()
    return check_classes(parts, labels, test_labels, data.held_out, draws)


def test_images(dataset: str, directory: Path, sha256: str, parts: Parts = AS_ALWAYS) -> NDArray[Any]:
    """Return the stored test images, (n, height, width) or (n, features). Refuses any but those of `sha256`."""
    for report in verify(dataset, directory, parts):
        if report.problem:
            raise Refused(Problem(str(report.path), dataset, report.problem, report.sha256 or "nothing"))
    stored = _stored(dataset, directory, parts)
    if (found := digest(stored)) != sha256:
        raise Refused(Problem(dataset, "sha256", f"must be {sha256[:12]}, the data of the run", found[:12]))
    return stored.test_images


def directory(option: Path | None) -> Path:
    """Return where data sets are kept: `option` if given, else DROPOUT_LAB_DATA, else the user's cache directory."""
    if option is not None:
        return at_home(option)
    if chosen := os.environ.get("DROPOUT_LAB_DATA"):
        return at_home(chosen)
    cache = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(cache.removeprefix("~/")) / "dropout-lab"  # if no home is known, ~ is left: the current directory


def at_home(path: str | Path) -> Path:
    """Return a path that a user gave, with ~ or ~user at its beginning replaced by that user's home.

    Raises Refused if that home is not known.
    """
    try:
        expanded = os.path.expanduser(path)
    except ValueError:  # no user's name has this character
        expanded = str(path)
    if str(expanded).startswith("~"):
        raise Refused(Problem("command line", "path", "begins with a home that is not known", str(path)))
    return Path(expanded)


def found_again(dataset: str, beside: Path) -> str:
    """Return where the file is that a run in the directory `beside` was trained on, or `dataset` if it is nowhere.

    A run keeps the full path. If nothing is there, the run or its whole project was moved or copied: then the end of
    the path is looked for in `beside` and in the directories above it, so that project/own.npz is found from
    project/runs/own. Whoever reads the data compares their digest with the run's.
    """
    if dataset in DATASETS or os.path.isfile(at_home(dataset)):
        return dataset
    steps = Path(dataset).parts
    for above in (here := Path(os.path.abspath(beside)), *here.parents):
        for first in range(1 if Path(dataset).is_absolute() else 0, len(steps)):
            if os.path.isfile(place := above.joinpath(*steps[first:])):
                return str(place)
    return dataset


def fetch(dataset: str, directory: Path) -> Path:
    """Make sure that a data set is there and good, and return where it is. A missing one is downloaded, if possible.

    Raises Refused where there is no good copy and no download, Failed where the disk is full.
    """
    entry = _registered(dataset)
    if entry is not None:
        return entry.fetch(directory)
    npz.read(at_home(dataset))
    return at_home(dataset)


def check(dataset: str, directory: Path) -> None:
    """Raise now, without torch, what `load` would raise: a file is bad, or is missing and cannot be downloaded."""
    entry = _registered(dataset)
    if entry is None:
        npz.read(at_home(dataset))
    elif isinstance(entry, IdxSet):
        entry.check(directory)


def verify(dataset: str, directory: Path, parts: Parts = AS_ALWAYS) -> list[FileReport]:
    """Check every file of a data set. Changes nothing. The SHA-256 of a user's own is that of `load` with `parts`."""
    entry = _registered(dataset)
    if entry is not None:
        return entry.verify(directory)
    file = at_home(dataset)
    try:
        sha256 = digest(npz.read(file, parts))
    except Refused as refused:
        return [FileReport(file, None, f"{problem.key}: {problem.reason}") for problem in refused.problems]
    return [FileReport(file, sha256, None)]


def sha256_now(dataset: str, directory: Path, parts: Parts = AS_ALWAYS) -> str | None:
    """Return the digest that `Data.sha256` would have if it were loaded now; None if it is missing or bad."""
    reports = verify(dataset, directory, parts)
    if any(report.problem for report in reports):
        return None
    return digest(_stored(dataset, directory, parts)) if dataset in DATASETS else reports[0].sha256


def _stored(dataset: str, directory: Path, parts: Parts) -> Stored:
    """Return the arrays of a data set as they are stored."""
    entry = _registered(dataset)
    return npz.read(at_home(dataset), parts) if entry is None else Stored.of(entry.read(directory))


def _registered(dataset: str) -> Dataset | None:
    """Return the entry in DATASETS, or None for the path of an .npz file. Raises Refused for anything else."""
    if dataset in DATASETS or dataset.endswith(".npz"):
        return DATASETS.get(dataset)
    near = get_close_matches(dataset, DATASETS, n=1)
    reason = f"must be one of {', '.join(DATASETS)} or the path of an .npz file"
    hint = f", did you mean {near[0]}?" if near else ""
    raise Refused(Problem("command line", "data.dataset", reason + hint, dataset))


def digest(stored: Stored) -> str:
    """Return one SHA-256 over the types, shapes and bytes of the arrays, and the number of validation images given."""
    import numpy as np

    total = hashlib.sha256()
    for array in stored.arrays:
        total.update(f"{array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).data)
    if stored.held_out:
        total.update(f"{stored.held_out} validate\n".encode())
    return total.hexdigest()
