"""A user's own .npz: what it may hold, and every way in which it is refused."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generated import arrays, refused, save
from mutated import damage

from dropout_lab.data import datasets as data
from dropout_lab.data import npz
from dropout_lab.data.npz import NUMBERED
from dropout_lab.data.split import Parts
from dropout_lab.errors import Refused

# ------------------------------------------------------------------------------------------------- a file of one's own


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (12,)])
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "f8", ">f4"])
def test_an_npz_of_ones_own(compressed: bool, shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    made = arrays(30, 9, shape, dtype)
    loaded = data.load(save(tmp_path / "own.npz", compressed, **made, more=np.arange(3)), "unit", tmp_path)
    assert (loaded.shape, loaded.classes) == (shape, 3)
    assert loaded.images.dtype == torch.float32 and loaded.images.is_contiguous()
    expected = made["x_train"].reshape(30, -1).astype(np.float32) / np.float32(255)
    assert np.array_equal(loaded.images.numpy(), expected)  # whole numbers up to 255 are bytes, however they are stored
    assert np.array_equal(loaded.test_labels.numpy(), made["y_test"])
    assert loaded.labels.dtype == torch.int64


def test_without_test_arrays_the_last_fifth_is_the_test_split_if_asked(tmp_path: Path) -> None:
    made = arrays(33, dtype="f4")
    loaded = data.load(save(tmp_path / "own.npz", **made), "unit", tmp_path, parts=Parts(test_from="tail"))
    assert (len(loaded.images), len(loaded.test_images)) == (27, 6)
    both = torch.cat([loaded.images, loaded.test_images]).numpy()
    assert np.array_equal(both, made["x_train"].reshape(33, -1) / np.float32(255))
    assert np.array_equal(torch.cat([loaded.labels, loaded.test_labels]).numpy(), made["y_train"])


def test_the_layout_in_memory_does_not_matter(tmp_path: Path) -> None:
    made = arrays(30, 9)
    swapped = {name: np.asfortranarray(array) for name, array in made.items()}
    first, second = (
        data.load(save(tmp_path / name, **each), "column-l2", tmp_path)
        for name, each in (("c.npz", made), ("f.npz", swapped))
    )
    assert torch.equal(first.images, second.images) and first.sha256 == second.sha256


@pytest.mark.parametrize("part", ["x_train", "y_train", "x_test", "y_test"])
def test_the_digest_covers_every_array(part: str, tmp_path: Path) -> None:
    made = arrays(30, 9)
    first = data.load(save(tmp_path / "a.npz", **made), "unit", tmp_path)
    made[part] = made[part].copy()
    made[part].flat[:2] = made[part].flat[1::-1]
    assert data.load(save(tmp_path / "b.npz", **made), "unit", tmp_path).sha256 != first.sha256


def test_verify_and_fetch_check_a_file_of_ones_own(tmp_path: Path) -> None:
    path = save(tmp_path / "own.npz", **arrays())
    (report,) = data.verify(path, tmp_path)
    assert report.ok and report.sha256 == data.load(path, "unit", tmp_path).sha256
    assert data.fetch(path, tmp_path) == Path(path)
    save(tmp_path / "own.npz", x_train=np.ones(3), y_train=np.ones(3))
    assert [report.problem for report in data.verify(path, tmp_path)] == [
        "x_train: must have the shape (n, features) or (n, height, width)",
        f"y_train: must be of an integer type; {NUMBERED}",
    ]
    with refused(tmp_path):
        data.fetch(path, tmp_path)


GIB = 1024**3


def with_value(array: np.ndarray, at: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


def hostile() -> dict[str, tuple[dict[str, Any], list[str]]]:
    made, full = arrays(), arrays(30, 9)
    x, y = made["x_train"], made["y_train"]
    floats = x.astype("f8")
    return {
        "nothing": ({}, ["x_train: missing array (got [])", "y_train: missing array (got [])"]),
        "near misses": (
            {"X_train": x, "y_trian": y},
            [
                "x_train: missing array, did you mean X_train? (got ['X_train', 'y_trian'])",
                "y_train: missing array, did you mean y_trian? (got ['X_train', 'y_trian'])",
            ],
        ),
        "a near miss of x_test": (
            {**made, "X_test": x},
            ["x_test: missing array, did you mean X_test? (got ['x_train', 'y_train', 'X_test'])"],
        ),
        "one of a pair": (
            {**made, "x_test": x},
            ["y_test: missing array: x_test and y_test come together (got ['x_train', 'y_train', 'x_test'])"],
        ),
        "types": (
            {"x_train": x.astype("i4"), "y_train": y.astype("f4"), "x_test": x.astype("g"), "y_test": y > 0},
            [
                "x_train: must be uint8, float16, float32 or float64 (got dtype('int32'))",
                f"y_train: must be of an integer type; {NUMBERED} (got dtype('float32'))",
                "x_test: must be uint8, float16, float32 or float64 (got dtype('float128'))",
                f"y_test: must be of an integer type; {NUMBERED} (got dtype('bool'))",
            ],
        ),
        "objects": (
            {"x_train": x.astype(object), "y_train": y},
            ["x_train: holds Python objects, which are pickles and never read (got dtype('O'))"],
        ),
        "shapes": (
            {"x_train": x[0, 0], "y_train": y[:, None]},
            [
                "x_train: must have the shape (n, features) or (n, height, width) (got (3,))",
                "y_train: must have the shape (n,); labels.ravel() has it (got (30, 1))",
            ],
        ),
        "one-hot": (
            {"x_train": x, "y_train": np.eye(3, dtype=int)[y]},
            ["y_train: must have the shape (n,); labels.argmax(axis=1), if they are one-hot, has it (got (30, 3))"],
        ),
        "no dimension": (
            {"x_train": np.uint8(1), "y_train": np.int64(1)},
            [
                "x_train: must have the shape (n, features) or (n, height, width) (got ())",
                "y_train: must have the shape (n,) (got ())",
            ],
        ),
        "empty": (
            {"x_train": x[:, :0], "y_train": y[:0]},
            ["x_train: is empty (got (30, 0, 3))", "y_train: is empty (got (0,))"],
        ),
        "counts": (
            {**full, "y_train": y[:29], "y_test": y[:10]},
            [
                "y_train: must have one label for each of the 30 images in x_train (got 29)",
                "y_test: must have one label for each of the 9 images in x_test (got 10)",
            ],
        ),
        "test shape": (
            {**full, "x_test": full["x_test"].transpose(0, 2, 1)},
            ["x_test: images must have the shape of those in x_train, (4, 3) (got (3, 4))"],
        ),
        "too few": (
            {"x_train": x[:4], "y_train": y[:4]},
            ["x_train: must hold at least 5 images, for a fifth of them is the test split (got 4)"],
        ),
        "nan and inf": (
            {"x_train": with_value(floats, (3, 2, 1), np.nan), "y_train": y}
            | {"x_test": with_value(floats, (0, 0, 2), -np.inf), "y_test": y},
            [
                "x_train: must be finite as float32, but is not at [3, 2, 1] (got nan)",
                "x_test: must be finite as float32, but is not at [0, 0, 2] (got -inf)",
            ],
        ),
        "beyond float32": (
            {"x_train": with_value(floats, (29, 0, 0), 1e39), "y_train": y},
            ["x_train: must be finite as float32, but is not at [29, 0, 0] (got 1e+39)"],
        ),
        "labels from one": (
            {**full, "y_train": y + 1},
            [
                f"y_train: labels must be 0, 1, .., each of them at least once; there is no 0; {NUMBERED} (got 1)",
                "y_test: labels must occur in y_train too (got 0)",
            ],
        ),
        "negative label": (
            {**full, "y_train": with_value(y, (0,), -1)},
            [f"y_train: labels must be 0, 1, .., each of them at least once; there is no 0; {NUMBERED} (got -1)"],
        ),
        "giant label": (
            {**full, "y_train": with_value(y, (0,), 2**62)},
            [f"y_train: labels must be 0, 1, .., each of them at least once; there is no 3; {NUMBERED} (got {2**62})"],
        ),
        "one class": (
            {"x_train": x, "y_train": 0 * y},
            ["y_train: must hold at least two classes (got 1)"],
        ),
        "strange test label": (
            {**full, "y_test": with_value(full["y_test"], (4,), 7)},
            ["y_test: labels must occur in y_train too (got 7)"],
        ),
    }


@pytest.mark.parametrize("case", hostile())
def test_a_bad_npz_is_refused_with_every_problem(case: str, tmp_path: Path) -> None:
    contents, expected = hostile()[case]
    path = save(tmp_path / "own.npz", **contents)
    with refused(tmp_path) as lines:
        data.load(path, "unit", tmp_path)
    assert lines == [f"{path}: {line}" for line in expected]


def member(descr: str, shape: str, body: bytes = b"", version: int = 1) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + body


def zipped(path: Path, compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return str(path)


def labels(count: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(count) % 3)
    return buffer.getvalue()


def test_a_header_cannot_ask_for_much_memory(tmp_path: Path) -> None:
    """A bomb of 300 bytes that declares 8 TiB, and an honest archive of too much (its bytes need not exist here)."""
    bomb = member("'|u1'", str((30, 2**40)), b"\0" * 100)
    path = zipped(tmp_path / "bomb.npz", x_train=bomb, y_train=labels(30))
    with refused(tmp_path) as lines:
        data.load(path, "unit", tmp_path)
    assert lines == [f"{path}: x_train: declares {30 * 2**40} bytes and does not hold as many (got 100)"]


def test_too_much_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    assert npz.LIMIT == 4 * GIB
    path = save(tmp_path / "own.npz", **arrays())
    monkeypatch.setattr(npz, "LIMIT", 30 * 12 * 4 + 30 * 8)  # uint8 images count as the float32 that they become
    data.load(path, "unit", tmp_path)
    monkeypatch.setattr(npz, "LIMIT", npz.LIMIT - 1)
    monkeypatch.setattr(np.lib.format, "read_array", pytest.fail)
    with refused(tmp_path) as lines:
        data.load(path, "unit", tmp_path)
    assert lines == [f"{path}: file: the arrays must take at most 1679 bytes as float32 (got 1680)"]


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"not an array",
        member("'|u1'", "(30, 2)", bytes(60))[:20],
        member("'|u1'", "(" * 3000),
        member("'|u1'", "{[]: 1}"),
        member("'|u1'", "9" * 5000),
        member("'no such type'", "(30, 2)"),
        member("__import__('os')", "(30, 2)"),
        member("'|u1'", "(30, 2)", bytes(60), version=3),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
    ],
)
def test_a_hostile_header_is_refused(header: bytes, tmp_path: Path) -> None:
    path = zipped(tmp_path / "own.npz", x_train=header, y_train=labels(30))
    with refused(tmp_path) as lines:
        data.load(path, "unit", tmp_path)
    assert len(lines) == 1 and lines[0].startswith(f"{path}: x_train: is not a readable array (got ")


def test_negative_dimensions_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "own.npz", x_train=member("'|u1'", "(-5, -2)", bytes(10)), y_train=labels(30))
    with refused(tmp_path) as lines:
        data.load(path, "unit", tmp_path)
    assert lines == [f"{path}: x_train: is empty (got (-5, -2))"]


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = pickle.dumps(np.array([Trap()], dtype=object))
    objects = np.array([Trap()], dtype=object)
    for path in (
        save(tmp_path / "objects.npz", x_train=objects, y_train=objects),
        zipped(tmp_path / "lying.npz", x_train=member("'|O'", "(1, 1)", trap), y_train=trap),
        zipped(tmp_path / "fields.npz", x_train=member("[('a', '|O')]", "(1, 1)", trap), y_train=labels(1)),
    ):
        with refused(tmp_path):
            data.load(path, "unit", tmp_path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is not there or not a file"),
        (b"", "is not a readable .npz archive"),
        (b"PK\x05\x06", "is not a readable .npz archive"),
        (b"\x93NUMPY plain array", "is not a readable .npz archive"),
        ("folder", "is not there or not a file"),
        ("pipe", "is not there or not a file"),
    ],
)
def test_what_is_no_npz_is_refused(content: bytes | str | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        os.mkfifo(path) if content == "pipe" else path.mkdir()
    with refused(tmp_path) as lines:
        data.load(str(path), "unit", tmp_path)
    assert len(lines) == 1 and lines[0].startswith(f"{path}: file: {reason} (got ")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_npz_never_gives_other_numbers(compressed: bool, tmp_path: Path) -> None:
    """300 single-bit flips and 100 truncations: refused, or (a date, say) without any effect on the arrays."""
    path = tmp_path / "own.npz"
    save(path, compressed, **arrays(30, 9))
    good, digest = path.read_bytes(), data.load(str(path), "unit", tmp_path).sha256
    draw = random.Random(0)
    refusals = 0
    for trial in range(400):
        path.write_bytes(damage(draw, good, cut=trial >= 300))
        try:
            assert data.load(str(path), "unit", tmp_path).sha256 == digest
        except Refused:
            refusals += 1
    assert refusals > 300
