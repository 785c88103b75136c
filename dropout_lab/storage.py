"""Files that survive a crash: atomic writes, JSON and arrays sealed with their SHA-256, and a lock for one writer."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.errors import Failed, Problem, Refused

if TYPE_CHECKING:
    import numpy as np

SEAL = "sha256"  # the key of a JSON file's own digest
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # of NFS without lockd, Lustre, and some FUSE file systems
PATIENCE = 0.2  # seconds that `locked` keeps trying: a process that calls `holder` has the lock for an instant
WAITING = 0.5  # seconds between two tries of a process that waits for its turn
TURNS = threading.local()  # .paths: the directories that `turn` has given to this thread


@contextlib.contextmanager
def failing(path: Path, what: str) -> Iterator[None]:
    """Turn an error of the file system into `Failed`: "<path>: cannot be <what>: <the system's reason>"."""
    try:
        yield
    except OSError as error:
        raise Failed(f"{path}: cannot be {what}: {error.strerror or error}") from error


def atomic_write(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write `data` to `path` so that a crash leaves the old file or the new one, never a part of it.

    Without `durable` it does not wait for the disk: the promise then holds if the process dies, but not if the power is
    lost. Raises `Failed`, naming the path, if the file system refuses (full, read-only, no permission).
    """
    temporary = _temporary(path, os.urandom(8).hex())  # nobody can have put a link at this name
    try:
        with failing(path, "written"):
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            if durable:
                sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def read_file(path: Path) -> bytes:
    """Return the bytes of a regular file. Raises OSError for anything else: a pipe or a device may never end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file")
        try:
            return file.read()
        except MemoryError:
            raise OSError(errno.EFBIG, "is larger than the memory") from None


def remove(path: Path) -> None:
    """Remove a file durably, if it is there. Raises `Failed` if the file system refuses."""
    with failing(path, "removed"), contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed writers of `path` (its name may be a glob pattern) left behind.

    Hold the lock of the directory when you call this: a file that another process is writing now looks the same.
    """
    for leftover in path.parent.glob(_temporary(path, "*").name):
        with contextlib.suppress(OSError):
            leftover.unlink()


def _temporary(path: Path, mark: str) -> Path:
    return path.with_name(f".{path.name}.{mark}.tmp")  # in the same directory, or the rename would not be atomic


def make_directory(path: Path) -> None:
    """Create a directory and its parents, durably. Raises `Failed` if the file system refuses."""
    with failing(path, "created"):
        new = [directory for directory in (path, *path.parents) if not directory.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for directory in new:
            sync(directory.parent)


def sync(path: Path) -> None:
    """Flush to the disk: the bytes of a file, or the names created, renamed or removed in a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # which SMB, sshfs, vboxsf and 9p say of every directory
            raise
    finally:
        os.close(descriptor)


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def as_json(value: Mapping[str, Any]) -> str:
    """Return strict JSON text that ends in a newline; numbers that are not finite become null."""
    text = json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace").decode()  # bytes in a path that are not UTF-8 become escapes


def plain(value: object) -> object:
    """Return `value`, and all values in it, in the types that JSON has."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def archive(arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> bytes:
    """Return arrays as safetensors bytes."""
    import numpy as np
    from safetensors.numpy import save

    in_order = {name: np.asarray(array, order="C") for name, array in arrays.items()}  # `save` mixes up any other order
    return save(in_order, metadata)


def seal(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Pack JSON facts and arrays into bytes that begin with the SHA-256 of the rest, so that damage is noticed."""
    body = archive(arrays, {"facts": json.dumps(facts)})
    return sha256(body).encode() + b"\n" + body


def seal_json(facts: Mapping[str, Any]) -> bytes:
    """Return facts as JSON whose last key is the SHA-256 of all lines above it; infinities and NaN become null."""
    body = json.dumps(plain(facts), indent=1, allow_nan=False).removesuffix("\n}") + ",\n"
    return f'{body} "{SEAL}": "{sha256(body.encode())}"\n}}\n'.encode()


def is_sealed_json(data: bytes) -> bool:
    """Say whether `data` are bytes that `seal_json` returned."""
    body, _, digest = data.rpartition(f' "{SEAL}": '.encode())
    return digest == f'"{sha256(body)}"\n}}\n'.encode()


def unseal(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the facts and arrays that `seal` packed. Raises ValueError for other bytes, even if one bit differs."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    digest, _, body = data.partition(b"\n")
    if digest != sha256(body).encode():
        raise ValueError("the checksum does not match")
    try:
        header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
        return dict(json.loads(header["__metadata__"]["facts"])), load(body)
    except (SafetensorError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"not what `seal` writes: {error}") from None


@contextlib.contextmanager
def locked(path: Path, waits: Callable[[str], None] | None = None) -> Iterator[str | None]:
    """Hold the exclusive lock on the directory `path`. Raises `Refused` if it is held already, but not by `turn`.

    With `waits` it waits instead, and first calls `waits` with the id of the process that holds the lock. Gives None;
    where the file system has no locks, a note that says so. The kernel releases the lock when its holder dies. The
    process id in the lock file is only for messages.
    """
    if path.resolve() in _turns():
        yield None
        return
    with failing(path, "locked"):
        descriptor, weaker = _acquire(path, waits)
    try:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield weaker
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def turn(path: Path, waits: Callable[[str], None]) -> Iterator[None]:
    """Wait until the directory `path` is free, as `locked` says, and hold it; inside, this thread may lock it again.

    Raises `Refused` where the file system has no locks: then nobody can wait.
    """
    with locked(path, waits) as weaker:
        if weaker:
            reason = "needs locks, which this file system lacks: train runs of several names, then `dropout-lab merge`"
            raise Refused(Problem(str(path), "--wait", reason, weaker))
        place = path.resolve()
        _turns().add(place)
        try:
            yield
        finally:
            _turns().discard(place)


def _turns() -> set[Path]:
    turns: set[Path] = TURNS.__dict__.setdefault("paths", set())
    return turns


def file_system(path: Path) -> str:
    """Return the mount point and the type of the file system that holds `path`: "/home (nfs4)"."""
    place, found = path.resolve(), ("/", "unknown")
    with contextlib.suppress(OSError), open("/proc/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        for _, point, kind, *_ in map(str.split, mounts):
            point = point.replace("\\040", " ")
            if place.is_relative_to(point) and len(point) >= len(found[0]):
                found = point, kind
    return f"{found[0]} ({found[1]})"


def _acquire(path: Path, waits: Callable[[str], None] | None) -> tuple[int, str | None]:
    """Return a file descriptor that holds the lock of the directory that is at `path` now, and a note if none can."""
    patience, pause = time.monotonic() + PATIENCE, PATIENCE / 20
    while True:
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        weaker = None
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                weaker = f"{file_system(path)}: this file system has no locks: do not train a run there twice at once, "
                weaker += "or choose another place with --runs-dir"
            if os.path.samestat(os.fstat(descriptor), os.stat(path / ".lock")):  # the directory was not moved meanwhile
                return descriptor, weaker
        process = _process(descriptor)
        os.close(descriptor)
        if time.monotonic() > patience:
            if waits is None:
                raise in_use(path, process)
            waits(process)
            patience, pause = math.inf, WAITING
        time.sleep(pause)


def holder(path: Path) -> str | None:
    """Return the id of the living process that holds the lock on the directory `path`; None, also in our own `turn`."""
    if path.resolve() in _turns():
        return None
    try:
        descriptor = os.open(path / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _process(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def in_use(path: Path, process: str) -> Refused:
    """Return the refusal of a directory that is locked by `process`."""
    reason = f"another dropout-lab process ({process}) is writing here; wait for it, or choose another name"
    return Refused(Problem(str(path), "lock", reason, path.name))


def _process(descriptor: int) -> str:
    text = os.pread(descriptor, 20, 0)
    return text.decode() if text.isdigit() else "unknown"
