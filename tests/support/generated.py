"""Small data files made on the spot, and the check that a refusal leaves a folder as it was."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dropout_lab.data.datasets import DATASETS
from dropout_lab.data.idx import FILES, SUMS, IdxSet
from dropout_lab.errors import Refused

IDX_SETS = ("mnist", "fashion-mnist", "kmnist")


def tree(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything under `directory`: of files the mode, the time of modification and the contents."""
    paths = [directory, *sorted(directory.rglob("*"))]
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else (0, 0, b"")
        for path in paths
    }


@contextmanager
def refused(directory: Path) -> Iterator[list[str]]:
    """Expect Refused and an untouched `directory`; the lines of the message come in the list that is yielded."""
    before = tree(directory)
    lines: list[str] = []
    with pytest.raises(Refused) as caught:
        yield lines
    lines.extend(str(problem) for problem in caught.value.problems)
    assert tree(directory) == before


def idx_contents(train: int = 60, test: int = 20, seed: int = 0) -> dict[str, bytes]:
    """Four small files in the IDX format with random images and all ten labels."""
    draw = np.random.default_rng(seed)
    contents = {}
    for prefix, count in (("train", train), ("t10k", test)):
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        contents[f"{prefix}-images-idx3-ubyte"] = struct.pack(">4I", 2051, count, 28, 28) + images.tobytes()
        contents[f"{prefix}-labels-idx1-ubyte"] = struct.pack(">2I", 2049, count) + labels.tobytes()
    return contents


def digests(contents: dict[str, bytes]) -> tuple[str, ...]:
    return tuple(hashlib.sha256(contents[name]).hexdigest() for name in FILES)


def install(contents: dict[str, bytes], directory: Path, folder: str, sums: bool = False) -> Path:
    """Write the files where torchvision keeps them; `sums` adds the SHA256SUMS that a download leaves."""
    raw = directory / folder / "raw"
    raw.mkdir(parents=True)
    for name, content in contents.items():
        (raw / name).write_bytes(content)
    if sums:
        (raw / SUMS).write_text("".join(f"{d}  {n}\n" for n, d in zip(FILES, digests(contents), strict=True)))
    return raw


def changed(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


def shrink(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Make the registry's IDX sets small: 60 and 20 generated images. Only mnist is pinned, as in the real registry."""
    contents = idx_contents()
    for name in IDX_SETS:
        entry = DATASETS[name]
        assert isinstance(entry, IdxSet)
        pinned = digests(contents) if entry.sha256 else ()
        monkeypatch.setitem(DATASETS, name, replace(entry, train_count=60, test_count=20, sha256=pinned))
    return contents


def arrays(
    count: int = 30, test: int | None = None, shape: tuple[int, ...] = (4, 3), dtype: str = "u1"
) -> dict[str, Any]:
    draw = np.random.default_rng(1)

    def images(n: int) -> np.ndarray:
        return draw.integers(1, 256, (n, *shape)).astype(dtype)

    made = {"x_train": images(count), "y_train": np.arange(count) % 3}
    return made if test is None else {**made, "x_test": images(test), "y_test": np.arange(test) % 3}


def save(path: Path, compressed: bool = False, **contents: Any) -> str:
    (np.savez_compressed if compressed else np.savez)(path, allow_pickle=True, **contents)
    return str(path)
