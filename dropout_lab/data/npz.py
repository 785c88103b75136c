"""A user's own data set in one .npz file. It is checked in full before any number is used, and never unpickled.

    x_train          (n, features) or (n, height, width), uint8 (0..255) or floating point (taken as it is)
    y_train          (n,) integers: the classes 0, 1, .., each at least once
    x_test, y_test   the same for the test images; without them, a fifth of the images is the test split
    x_val, y_val     the same for the validation images, also called x_valid, y_valid and x_validation, y_validation;
                     without them, some of the training images validate

Other arrays in the file are not used, and named in a note.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dropout_lab.data import split
from dropout_lab.errors import Problem, Refused, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
LIMIT = 4 * 1024**3  # bytes of all arrays together; a number counts 4 bytes or more, because images become float32
NUMBERED = "numpy.unique(labels, return_inverse=True)[1] numbers classes"
VALIDATION = ("val", "valid", "validation")  # what follows x_ and y_ in the names of validation arrays

Finding = tuple[str, str, object]  # an array's name (or "file"), the rule it breaks, the value found


@dataclass(frozen=True)
class Header:
    """What an array's header declares, and how many bytes of numbers the archive holds for it (`stored`)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stored: int

    @property
    def count(self) -> int:
        return math.prod(self.shape)


class Stored(NamedTuple):
    """The arrays of a data set as they are stored. The last `held_out` training images came as validation images.

    given: the name of these, also where they are not used ("" if there are none). notes: remarks for the user. names:
    of the classes in order, where they are not just numbers. described: which inputs a table has, for the plan.
    """

    images: NDArray[Any]
    labels: NDArray[Any]
    test_images: NDArray[Any]
    test_labels: NDArray[Any]
    held_out: int = 0
    given: str = ""
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    described: str = ""

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """The images and labels that train, and those that test."""
        return self[:4]

    @classmethod
    def of(cls, arrays: tuple[NDArray[Any], ...]) -> Stored:
        """Return four arrays in the order of `arrays`, and nothing else."""
        images, labels, test_images, test_labels = arrays
        return cls(images, labels, test_images, test_labels)


def read(path: Path, parts: split.Parts = split.AS_ALWAYS) -> Stored:
    """Return what is in the file, with a test split. Its validation images are used if `parts` says "stratified".

    Raises Refused with every problem found in one of three steps: the headers (so that a small file cannot ask for much
    memory), the bytes, the numbers. Each step needs the one before it.
    """
    if not os.path.isfile(path):
        raise Refused(Problem(str(path), "file", "is not there or not a file", path.name))
    import numpy as np

    findings: list[Finding] = []
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises more than BadZipFile for hostile bytes
        raise Refused(Problem(str(path), "file", "is not a readable .npz archive", error)) from error
    with archive:
        _refuse(path, _bad_directory(path, archive))
        names = [member.removesuffix(".npy") for member in archive.namelist()]
        given = _given(names, findings)
        headers = _read_headers(archive, names, given, findings)
        _refuse(path, findings)
        _refuse(path, _bad_headers(headers))
        _refuse(path, _bad_counts(headers))
        arrays = _read_arrays(archive, headers, findings)
        _refuse(path, findings)
    _refuse(path, _bad_numbers(arrays))
    notes = []
    if unused := [shown(name) for name in names if name not in headers]:
        notes.append(f"{path}: not used: {', '.join(unused)}")
    x, y = arrays["x_train"], arrays["y_train"]
    if "x_test" in arrays:
        stored = Stored(x, y, arrays["x_test"], arrays["y_test"])
    else:
        stored = with_test_split(path, Stored(x, y, x[:0], y[:0]), parts)
        if given:
            notes.append(f"{path}: has no x_test: {len(stored.test_labels)} images of x_train are the test split")
    stored = stored._replace(given=given, notes=tuple(notes))
    if not (given and parts.validation_from == "stratified"):
        return stored
    x, y = (
        np.concatenate([of, arrays[f"{axis}_{given}"]]) for axis, of in (("x", stored.images), ("y", stored.labels))
    )
    return stored._replace(images=x, labels=y, held_out=len(arrays[f"x_{given}"]))


def with_test_split(path: Path, stored: Stored, parts: split.Parts) -> Stored:
    """Return data without a test split with a fifth of their images as one, chosen by `parts.test_from`.

    Raises Refused if that would leave no image of a class to learn.
    """
    import numpy as np

    x, y = stored.images, stored.labels
    tests = split.a_fifth(y, parts.test_from)
    rest = np.delete(y, tests)
    if not len(tests):
        raise Refused(
            Problem(str(path), "file", "must hold at least 5 images: a fifth of them is the test split", len(y))
        )
    if (missing := np.setdiff1d(y[tests], rest)).size:
        reason = f"would test on all images of {split.named(missing, stored.names)}; use stratified"
        raise Refused(Problem(str(path), "data.test_from", reason, parts.test_from))
    return stored._replace(images=np.delete(x, tests, axis=0), labels=rest, test_images=x[tests], test_labels=y[tests])


def _refuse(path: Path, findings: Iterable[Finding]) -> None:
    problems = [Problem(str(path), *finding) for finding in findings]
    if problems:
        raise Refused(*problems)


def _bad_directory(path: Path, archive: zipfile.ZipFile) -> Iterator[Finding]:
    """Compare the number of entries that zipfile found with the number that the archive's end declares.

    zipfile does not compare them. One flipped bit in the length of a comment can so hide entries, such as x_test.
    """
    with path.open("rb") as file:
        file.seek(-22 - len(archive.comment), os.SEEK_END)  # the end of central directory record
        (announced,) = struct.unpack_from("<H", file.read(22), offset=10)
    found = len(archive.infolist())
    if found != announced:
        yield "file", f"is damaged: it announces {announced} arrays", found


def _given(names: Sequence[str], findings: list[Finding]) -> str:
    """Return what validation arrays are called after x_ and y_, "" if there are none; report two kinds of them."""
    found = [kind for kind in VALIDATION if not {f"x_{kind}", f"y_{kind}"}.isdisjoint(names)]
    if len(found) > 1:
        findings.append((f"x_{found[1]}", f"must be the only validation images; x_{found[0]} is there too", [*names]))
    return found[0] if found else ""


def _read_headers(
    archive: zipfile.ZipFile, present: Sequence[str], given: str, findings: list[Finding]
) -> dict[str, Header]:
    """Return the headers of the arrays that are used; report missing and unreadable arrays in `findings`."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    headers = {}
    for name in (*ARRAYS, *((f"x_{given}", f"y_{given}") if given else ())):
        if name not in present:
            findings.extend(_missing(name, present))
            continue
        try:
            with archive.open(f"{name}.npy") as file:
                shape, _, dtype = readers[npy.read_magic(file)](file)
                headers[name] = Header(shape, dtype, archive.getinfo(f"{name}.npy").file_size - file.tell())
        except Exception as error:  # as above, and NumPy's parser does the same
            findings.append((name, "is not a readable array", error))
    return headers


def _missing(name: str, present: Sequence[str]) -> Iterator[Finding]:
    """Report an absent array. x_test and y_test may both be absent, if no other array has a similar name."""
    used = {*ARRAYS, *(f"{axis}_{kind}" for axis in "xy" for kind in VALIDATION)}
    others = [other for other in present if other not in used and name[0] in other.lower()]
    near = get_close_matches(name, others, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    kind = name[2:]
    if kind != "train" and not {f"x_{kind}", f"y_{kind}"}.isdisjoint(present):
        yield name, f"missing array: x_{kind} and y_{kind} come together{hint}", [*present]
    elif near or name.endswith("_train"):
        yield name, f"missing array{hint}", [*present]


def _bad_headers(headers: dict[str, Header]) -> Iterator[Finding]:
    """Check each array by itself: its type, its shape, and that the file holds the bytes that it declares."""
    for name, header in headers.items():
        dtype, shape = header.dtype, header.shape
        images = name.startswith("x")
        if dtype.hasobject:
            yield name, "holds Python objects, which are pickles and never read", dtype
        elif images and not (dtype == "uint8" or (dtype.kind == "f" and dtype.itemsize <= 8)):
            yield name, "must be uint8, float16, float32 or float64", dtype
        elif not images and dtype.kind not in "iu":
            yield name, f"must be of an integer type; {NUMBERED}", dtype
        elif header.stored != header.count * dtype.itemsize:
            yield name, f"declares {header.count * dtype.itemsize} bytes and does not hold as many", header.stored
        if images and len(shape) not in (2, 3):
            yield name, "must have the shape (n, features) or (n, height, width)", shape
        elif not images and len(shape) != 1:
            flat = "ravel()" if shape[1:] == (1,) else "argmax(axis=1), if they are one-hot,"
            yield name, "must have the shape (n,)" + f"; labels.{flat} has it" * (len(shape) == 2), shape
        elif min(shape) < 1:
            yield name, "is empty", shape


def _bad_counts(headers: dict[str, Header]) -> Iterator[Finding]:
    """Check that the arrays fit each other, and that they fit into memory together."""
    kinds = [name[2:] for name in headers if name.startswith("x")]
    for kind in kinds:
        images, labels = headers[f"x_{kind}"].shape[0], headers[f"y_{kind}"].shape[0]
        if images != labels:
            yield f"y_{kind}", f"must have one label for each of the {images} images in x_{kind}", labels
    count, *shape = headers["x_train"].shape
    if "x_test" not in headers and count < 5:
        yield "x_train", "must hold at least 5 images, for a fifth of them is the test split", count
    for name in (f"x_{kind}" for kind in kinds):
        if headers[name].shape[1:] != tuple(shape):
            yield name, f"images must have the shape of those in x_train, {tuple(shape)}", headers[name].shape[1:]
        if name[2:] in VALIDATION and headers[name].dtype != headers["x_train"].dtype:
            yield name, f"must be of the type of x_train, {headers['x_train'].dtype}", headers[name].dtype
    total = sum(header.count * max(header.dtype.itemsize, 4) for header in headers.values())
    if total > LIMIT:
        yield "file", f"the arrays must take at most {LIMIT} bytes as float32", total


def _read_arrays(
    archive: zipfile.ZipFile, headers: dict[str, Header], findings: list[Finding]
) -> dict[str, NDArray[Any]]:
    from numpy.lib import format as npy

    arrays = {}
    for name in headers:
        try:
            with archive.open(f"{name}.npy") as file:
                arrays[name] = npy.read_array(file, allow_pickle=False)  # at the last byte, zipfile checks the CRC
        except Exception as error:  # as above
            findings.append((name, "is damaged", error))
    return arrays


def _bad_numbers(arrays: dict[str, NDArray[Any]]) -> Iterator[Finding]:
    """Check the numbers of the images and of the labels."""
    import numpy as np

    for name, x in arrays.items():
        if name.startswith("x") and x.dtype.kind == "f":
            with np.errstate(over="ignore"):
                finite = np.isfinite(x.astype(np.float32, copy=False))
            if not finite.all():
                at = np.unravel_index(np.argmin(finite), x.shape)
                yield name, f"must be finite as float32, but is not at {[int(i) for i in at]}", float(x[at])
    found = np.unique(arrays["y_train"])
    classes = len(found)
    wrong = found[found != np.arange(classes)]
    if wrong.size:
        gap = int(np.flatnonzero(found != np.arange(classes))[0])
        reason = f"labels must be 0, 1, .., each of them at least once; there is no {gap}; {NUMBERED}"
        yield "y_train", reason, int(wrong[0])
    elif classes < 2:
        yield "y_train", "must hold at least two classes", classes
    for name, labels in arrays.items():
        if name.startswith("y") and (strange := np.setdiff1d(labels, found)).size:
            yield name, "labels must occur in y_train too", int(strange[0])
