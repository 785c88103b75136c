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

from dropout_lab.data import npz, tables
from dropout_lab.data.idx import FileReport, IdxSet
from dropout_lab.data.npz import Stored
from dropout_lab.data.scale import SCALES, fill
from dropout_lab.data.split import (
    AS_ALWAYS,
    FIRST,
    FIXED,
    VALIDATION,
    Draw,
    Parts,
    a_fifth,
    check_classes,
    in_proportion,
)
from dropout_lab.errors import Problem, Refused
from dropout_lab.streams import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Bundled:
    """A data set that comes with scikit-learn, in `file`. full_scale: the value of a fully inked pixel."""

    name: str
    title: str
    train_count: int
    test_count: int
    shape: tuple[int, ...]
    classes: int
    file: str
    full_scale: int = 1

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
        return folder / "datasets" / "data" / self.file


class Digits(Bundled):
    """Handwritten digits, 8 x 8 pixels of 0..16: the first 1,437 train, the last 360 test."""

    def read(self, directory: Path) -> tuple[NDArray[Any], ...]:
        import numpy as np
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]

        bunch = load_digits()
        images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
        cut = self.train_count
        return images[:cut], labels[:cut], images[cut:], labels[cut:]


class Measured(Bundled):
    """A table of measurements, whose file is in the order of the classes.

    A fifth of each class tests. The others come in a random order whose end, which validates, has all classes.
    """

    def read(self, directory: Path) -> tuple[NDArray[Any], ...]:
        import numpy as np
        from sklearn import datasets  # type: ignore[import-untyped]

        x, y = getattr(datasets, f"load_{self.name.replace('-', '_')}")(return_X_y=True)
        x, y = x.astype(np.float32), y.astype(np.uint8)
        tests = a_fifth(y, "stratified")
        rest = np.delete(np.arange(len(y)), tests)
        rest = rest[in_proportion(y[rest], stream(FIXED, "division", VALIDATION))]
        return x[rest], y[rest], x[tests], y[tests]


MNIST_SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

OWN = "the path of an .npz, .csv, .tsv or .parquet file"
Dataset = IdxSet | Digits | Measured

DATASETS: dict[str, Dataset] = {
    "mnist": IdxSet("mnist", "MNIST", "MNIST handwritten digits", sha256=MNIST_SHA256),
    "fashion-mnist": IdxSet("fashion-mnist", "FashionMNIST", "Fashion-MNIST clothing"),
    "kmnist": IdxSet("kmnist", "KMNIST", "Kuzushiji-MNIST, cursive Japanese"),
    "digits": Digits("digits", "scikit-learn's handwritten digits", 1437, 360, (8, 8), 10, "digits.csv.gz", 16),
    "wine": Measured("wine", "wines of three growers, by 13 measurements", 143, 35, (13,), 3, "wine_data.csv"),
    "breast-cancer": Measured(
        "breast-cancer", "tumours, malignant or benign, by 30 measurements", 456, 113, (30,), 2, "breast_cancer.csv"
    ),
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
    remarks for the user. `names` are those of the classes, where they are not just numbers.
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
    names: tuple[str, ...] = ()


def dimensions(dataset: str, parts: Parts = AS_ALWAYS) -> Dimensions:
    """Return the size of a data set. This needs no torch and, for the data sets in DATASETS, none of their files."""
    entry = _registered(dataset)
    if entry:
        return Dimensions(entry.train_count, entry.test_count, math.prod(entry.shape), entry.classes)
    return _own_dimensions(dataset, parts, version(dataset, Path(), parts))


@lru_cache
def _own_dimensions(dataset: str, parts: Parts, version: object) -> Dimensions:
    stored = _read(dataset, parts)
    features, classes = math.prod(stored.images.shape[1:]), int(stored.labels.max()) + 1
    return Dimensions(len(stored.images), len(stored.test_images), features, classes, stored.held_out)


def located(dataset: str) -> str:
    """Return what two configs share if they name one data set: a name of DATASETS, or the absolute path of a file."""
    return dataset if dataset in DATASETS else os.path.abspath(at_home(dataset))


def version(dataset: str, directory: Path, parts: Parts = AS_ALWAYS) -> tuple[object, ...]:
    """Return what changes whenever a file of a data set is written anew, so that nobody goes on with the one before."""
    entry = _registered(dataset)
    files = own_files(dataset, parts) if entry is None else entry.files(directory)
    facts = [file.stat() if os.path.isfile(file) else None for file in files]
    return tuple(fact and (fact.st_mtime_ns, fact.st_size, fact.st_ino) for fact in facts)


def own_files(dataset: str, parts: Parts) -> list[Path]:
    """Return the files of a user's own data: the data set, and the file for tests if there is one."""
    return [at_home(name) for name in (dataset, parts.test) if name is not None]


def load(
    dataset: str, scale: str, directory: Path, device: str = "cpu", parts: Parts = AS_ALWAYS, draw: Draw = FIRST
) -> Data:
    """Return the data set called `dataset`, or in the file of one's own at that path: files verified, images scaled.

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
    key, value = "data.missing", parts.missing
    try:
        training = parts.divide(labels, stored.held_out, draw)[0].numpy()
        if parts.missing == "mean":
            fill(images, test_images, training)
        key, value = "data.scale", scale
        SCALES[scale](images, test_images, full_scale, training)
    except ValueError as error:
        raise Refused(Problem(dataset, key, str(error), value)) from error
    flat = images.reshape(len(images), -1), labels, test_images.reshape(len(test_images), -1), test_labels
    x, y, x_test, y_test = (torch.from_numpy(array).to(device) for array in flat)
    classes = entry.classes if entry else int(labels.max()) + 1
    return Data(x, y, x_test, y_test, shape, classes, digest(stored), *stored[4:8])


def check_parts(data: Data, parts: Parts, draws: Iterable[Draw]) -> list[str]:
    """Return remarks on how `parts` and these draws divide the data.

    Raises Refused if a class cannot be learned or judged so (split.py), or validation arrays would not be used.
    """
    if data.given and parts.validation_from != "stratified":
        reason = f"must be stratified or left out: the data bring validation images, x_{data.given}, which are used"
        raise Refused(Problem("config", "data.validation_from", reason, parts.validation_from))
    labels, test_labels = data.labels.cpu().numpy(), data.test_labels.cpu().numpy()
    return check_classes(parts, labels, test_labels, data.held_out, draws, data.names)


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
    _read(dataset, AS_ALWAYS)
    return at_home(dataset)


def check(dataset: str, directory: Path, parts: Parts = AS_ALWAYS) -> None:
    """Raise now, without torch, what `load` would raise: a file is bad, or is missing and cannot be downloaded."""
    entry = _registered(dataset)
    if entry is None:
        _read(dataset, parts)
    elif isinstance(entry, IdxSet):
        entry.check(directory)


def verify(dataset: str, directory: Path, parts: Parts = AS_ALWAYS) -> list[FileReport]:
    """Check every file of a data set. Changes nothing. The SHA-256 of a user's own is that of `load` with `parts`."""
    entry = _registered(dataset)
    if entry is not None:
        return entry.verify(directory)
    file = at_home(dataset)
    try:
        sha256 = digest(_read(dataset, parts))
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
    return _read(dataset, parts) if entry is None else Stored.of(entry.read(directory))


def _read(dataset: str, parts: Parts) -> Stored:
    """Return what is in a file of one's own. Raises Refused if it is missing or bad."""
    path = at_home(dataset)
    if path.suffix not in tables.SUFFIXES:
        return npz.read(path, parts)
    if parts.target is None:
        reason = "must be read by a config, which has data.target: dropout-lab validate CONFIG"
        raise Refused(Problem(str(path), "data.target", reason, "none"))
    return tables.read(path, parts)


def described(dataset: str, parts: Parts) -> str:
    """Return which inputs and classes a table has; "" for other data sets. Raises Refused if it is missing or bad."""
    return _read(dataset, parts).described if dataset.endswith(tables.SUFFIXES) else ""


def _registered(dataset: str) -> Dataset | None:
    """Return the entry in DATASETS, or None for the path of a file of one's own. Raises Refused for anything else."""
    if dataset in DATASETS or dataset.endswith((".npz", *tables.SUFFIXES)):
        return DATASETS.get(dataset)
    near = get_close_matches(dataset, DATASETS, n=1)
    reason = f"must be one of {', '.join(DATASETS)} or {OWN}"
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
