"""Bytes on disk that survive a crash: atomic files, sealed archives of arrays, and a lock held by one writer."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.errors import Failed, Problem, Refused

if TYPE_CHECKING:
    import numpy as np


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a crash leaves the old file or the new one, never a part of it.

    Raises `Failed`, naming the path, where the file system refuses (full, read-only, no permission).
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # the same directory, or the rename is not atomic
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        raise Failed(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync_directory(path: Path) -> None:
    """Make names created, renamed or removed in `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def seal(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Pack JSON facts and arrays into bytes that begin with their own SHA-256, so that bit rot cannot pass unseen."""
    from safetensors.numpy import save

    body = save(dict(arrays), {"facts": json.dumps(facts)})
    return sha256(body).encode() + b"\n" + body


def unseal(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what `seal` packed. Raises ValueError where a single bit differs."""
    from safetensors.numpy import load

    digest, _, body = data.partition(b"\n")
    if digest != sha256(body).encode():
        raise ValueError("the checksum does not match")
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    return json.loads(header["__metadata__"]["facts"]), load(body)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock on the directory `path`. Raises `Refused` where another process holds it.

    The kernel lets go of the lock when the holder dies, however it dies; the process id inside is only for the message.
    """
    import fcntl

    with open(path / ".lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            reason = f"another dropout-lab process ({holder}) is writing here; wait for it or choose another --name"
            raise Refused(Problem(str(path), "lock", reason, str(path))) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def is_locked(path: Path) -> bool:
    """Say whether a living process holds the lock on the directory `path`."""
    import fcntl

    try:
        with open(path / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
