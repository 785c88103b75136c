"""A user's own data set in one .npz file. It is checked in full before any number is used, and never unpickled.

    x_train          (n, features) or (n, height, width), uint8 (0..255) or floating point (taken as it is)
    y_train          (n,) integers: the classes 0, 1, .., each at least once
    x_test, y_test   the same for the test images; without them, the last fifth of the arrays is the test split

Other arrays in the file are ignored.
"""

from __future__ import annotations

import math
import os
import struct
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.errors import Problem, Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
LIMIT = 4 * 1024**3  # bytes of all arrays together; a number counts 4 bytes or more, because images become float32
FIFTH = "the last fifth of the arrays is the test split: shuffle them, or add x_test and y_test"

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


def read(path: Path) -> tuple[NDArray[Any], ...]:
    """Return x_train, y_train, x_test, y_test as they are stored.

    Raises Refused with every problem found in one of three steps: the headers (so that a small file cannot ask for much
    memory), the bytes, the numbers. Each step needs the one before it.
    """
    if not os.path.isfile(path):
        raise Refused(Problem(str(path), "file", "is not there or not a file", path.name))
    findings: list[Finding] = []
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises more than BadZipFile for hostile bytes
        raise Refused(Problem(str(path), "file", "is not a readable .npz archive", error)) from error
    with archive:
        _refuse(path, _bad_directory(path, archive))
        headers = _read_headers(archive, findings)
        _refuse(path, findings)
        _refuse(path, _bad_headers(headers))
        _refuse(path, _bad_counts(headers))
        arrays = _read_arrays(archive, headers, findings)
        _refuse(path, findings)
    whole = "x_test" not in arrays
    if whole:
        test_count = len(arrays["y_train"]) // 5
        for axis in "xy":
            array = arrays[f"{axis}_train"]
            arrays[f"{axis}_train"], arrays[f"{axis}_test"] = array[:-test_count], array[-test_count:]
    _refuse(path, _bad_numbers(arrays, note=f" ({FIFTH})" if whole else ""))
    return tuple(arrays[name] for name in ARRAYS)


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


def _read_headers(archive: zipfile.ZipFile, findings: list[Finding]) -> dict[str, Header]:
    """Return the headers of the arrays in ARRAYS; report missing and unreadable arrays in `findings`."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    present = [member.removesuffix(".npy") for member in archive.namelist()]
    headers = {}
    for name in ARRAYS:
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


def _missing(name: str, present: list[str]) -> Iterator[Finding]:
    """Report an absent array. x_test and y_test may both be absent, if no other array has a similar name."""
    others = [other for other in present if other not in ARRAYS and name[0] in other.lower()]
    near = get_close_matches(name, others, n=1)
    hint = f", did you mean {near[0]}?" if near else ""
    if name.endswith("_test") and not {"x_test", "y_test"}.isdisjoint(present):
        yield name, f"missing array: x_test and y_test come together{hint}", present
    elif near or name.endswith("_train"):
        yield name, f"missing array{hint}", present


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
            yield name, "must be of an integer type", dtype
        elif header.stored != header.count * dtype.itemsize:
            yield name, f"declares {header.count * dtype.itemsize} bytes and does not hold as many", header.stored
        if images and len(shape) not in (2, 3):
            yield name, "must have the shape (n, features) or (n, height, width)", shape
        elif not images and len(shape) != 1:
            yield name, "must have the shape (n,)", shape
        elif min(shape) < 1:
            yield name, "is empty", shape


def _bad_counts(headers: dict[str, Header]) -> Iterator[Finding]:
    """Check that the arrays fit each other, and that they fit into memory together."""
    for split in ("train", "test"):
        if f"x_{split}" in headers:
            images, labels = headers[f"x_{split}"].shape[0], headers[f"y_{split}"].shape[0]
            if images != labels:
                yield f"y_{split}", f"must have one label for each of the {images} images in x_{split}", labels
    count, *shape = headers["x_train"].shape
    if "x_test" not in headers:
        if count < 5:
            yield "x_train", "must hold at least 5 images, for the last fifth is the test split", count
    elif headers["x_test"].shape[1:] != tuple(shape):
        yield "x_test", f"images must have the shape of those in x_train, {tuple(shape)}", headers["x_test"].shape[1:]
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


def _bad_numbers(arrays: dict[str, NDArray[Any]], note: str) -> Iterator[Finding]:
    """Check the numbers of the images and of the labels; `note` is added to what is wrong with labels."""
    import numpy as np

    for name in ("x_train", "x_test"):
        x = arrays[name]
        if x.dtype.kind == "f":
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
        yield "y_train", f"labels must be 0, 1, .., each of them at least once; there is no {gap}{note}", int(wrong[0])
    elif classes < 2:
        yield "y_train", f"must hold at least two classes{note}", classes
    strange = np.setdiff1d(arrays["y_test"], found)
    if strange.size:
        yield "y_test", f"labels must occur in y_train too{note}", int(strange[0])
