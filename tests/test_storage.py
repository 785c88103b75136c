"""Files, seals and locks: whatever the disk, the power or another process does, what is read is what was written."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import re
import resource
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Lab
from hypothesis import given
from hypothesis import strategies as st

from dropout_lab import storage
from dropout_lab.errors import Failed, Refused
from dropout_lab.storage import (
    atomic_write,
    file_system,
    holder,
    locked,
    make_directory,
    remove_leftovers,
    seal,
    sha256,
    unseal,
)


@contextmanager
def program(source: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run Python source in a process of its own, with pipes to it; it is gone at the end."""
    command = [sys.executable, "-c", f"import sys, time\nfrom pathlib import Path\n{source}", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


# Atomic files


def test_write_fsync_rename_and_fsync_of_the_directory_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def spied_fsync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        calls.append(
            "fsync directory" if path == tmp_path else f"fsync {path.suffix} of {os.fstat(descriptor).st_size}"
        )
        fsync(descriptor)

    def spied_replace(source: Path, target: Path) -> None:
        calls.append(f"rename {source.suffix} to {target.name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "replace", spied_replace)
    atomic_write(tmp_path / "file", b"12345")
    assert calls == ["fsync .tmp of 5", "rename .tmp to file", "fsync directory"]
    assert (tmp_path / "file").read_bytes() == b"12345" and len(list(tmp_path.iterdir())) == 1


def failing(number: int) -> Callable[..., Any]:
    def fail(*arguments: Any, **named: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


class HalfWritten(io.FileIO):
    """A file on a disk that is full after three bytes."""

    def write(self, data: Any) -> int:
        super().write(bytes(data)[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_failure_at_any_step_leaves_the_old_file_and_nothing_else(
    step: str, number: int, old: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    if old is not None:
        file.write_bytes(old)
    with monkeypatch.context() as patch:
        if step == "write":
            number = errno.ENOSPC
            patch.setattr(storage, "open", HalfWritten, raising=False)
        elif step == "open":
            patch.setattr(storage, "open", failing(number), raising=False)
        else:
            patch.setattr(os, step, failing(number))
        with pytest.raises(Failed, match=f"{file}: cannot be written: {os.strerror(number)}"):
            atomic_write(file, b"new file")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == ([("file", old)] if old else [])


def test_a_directory_that_cannot_be_synced_is_a_failure_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "sync", failing(errno.EIO))
    with pytest.raises(Failed, match="file: cannot be written"):
        atomic_write(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The kernel refuses the second half of the file: a limit on file sizes does what a full disk would do."""
    atomic_write(tmp_path / "file", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Failed, match="file: cannot be written"):
            atomic_write(tmp_path / "file", bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_no_temporary_file_can_be_foretold_or_is_there_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in its place would lead what is written out of the directory."""
    names: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (names.append(old.name), replace(old, new)))
    for _ in range(2):
        atomic_write(tmp_path / "file", b"new")
    assert len({*names}) == 2
    monkeypatch.setattr(os, "urandom", bytes)
    atomic_write(tmp_path / "file", b"new")
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / names[-1]).symlink_to(tmp_path / "precious")
    with pytest.raises(Failed, match="file: cannot be written: File exists"):
        atomic_write(tmp_path / "file", b"newer")
    assert (tmp_path / "precious").read_bytes() == b"precious" and (tmp_path / "file").read_bytes() == b"new"


def test_a_writer_killed_at_any_time_leaves_a_whole_file(tmp_path: Path) -> None:
    source = """
from dropout_lab.storage import atomic_write
print(flush=True)
while True:
    for letter in b"ab":
        atomic_write(Path(sys.argv[1]), bytes([letter]) * 300_000)
"""
    for attempt in range(6):
        with program(source, tmp_path / "file") as process:
            answer(process)
            time.sleep(0.02 + attempt * 0.007)
        assert (tmp_path / "file").read_bytes() in (b"a" * 300_000, b"b" * 300_000)
    (tmp_path / ".file.123.tmp").write_bytes(b"torn")
    (tmp_path / ".other.123.tmp").write_bytes(b"another's")
    remove_leftovers(tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"file", ".other.123.tmp"}


def test_new_directories_are_durable_and_failures_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync", synced.append)
    make_directory(tmp_path / "a/b/c")
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a/b"} and (tmp_path / "a/b/c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match="file/below: cannot be created"):
        make_directory(tmp_path / "file/below")


# Seals

FACTS = {"rows": [[0, 1, 0.1, 1e-300]], "text": "a\n\u4e2d"}
ARRAYS = {"x": np.arange(3, dtype=np.float32), "step": np.array(2.0, np.float32), "i": np.array([[1], [2]])}


def test_what_is_sealed_comes_back() -> None:
    facts, arrays = unseal(seal(FACTS, ARRAYS))
    assert facts == FACTS and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)
    assert unseal(seal({}, {})) == ({}, {})
    transposed = np.arange(6).reshape(2, 3).T
    assert np.array_equal(unseal(seal({}, {"t": transposed}))[1]["t"], transposed)


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    sealed = seal(FACTS, ARRAYS)
    for at in range(len(sealed)):
        for bit in range(8):
            damaged = bytearray(sealed)
            damaged[at] ^= 1 << bit
            with pytest.raises(ValueError):
                unseal(bytes(damaged))
    for damaged in (*(sealed[:at] for at in range(len(sealed))), bytes(len(sealed)), sealed + b"\0", sealed * 2):
        with pytest.raises(ValueError):
            unseal(damaged)


@given(st.binary(max_size=300))
def test_bytes_that_only_have_the_right_checksum_are_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        unseal(sha256(body).encode() + b"\n" + body)


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "1",
        "{}",
        '{"__metadata__": 1}',
        '{"__metadata__": {"facts": 1}}',
        '{"__metadata__": {"facts": "1"}}',
        '{"__metadata__": {"facts": "{}"}, "x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}',
        '{"__metadata__": {"facts": ' + json.dumps("[" * 100_000) + "}}",
        "[" * 100_000,
    ],
)
def test_a_header_that_makes_no_sense_is_a_value_error(header: str) -> None:
    body = struct.pack("<Q", len(header)) + header.encode()
    with pytest.raises(ValueError):
        unseal(sha256(body).encode() + b"\n" + body)


# Locks

HOLD = """
from dropout_lab.storage import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
print("free", flush=True)
sys.stdin.readline()
"""


def test_a_lock_has_one_holder_and_its_message_names_the_process(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with program(HOLD, tmp_path) as process:
        assert answer(process) == "locked"
        assert holder(tmp_path) == str(process.pid)
        message = rf"lock: another dropout-lab process \({process.pid}\) is writing"
        with pytest.raises(Refused, match=message), locked(tmp_path):
            pass
        tell(process)
        assert answer(process) == "free"
        assert not holder(tmp_path)  # though the process is still there
        with locked(tmp_path):
            assert holder(tmp_path) == str(os.getpid())
            with pytest.raises(Refused, match=str(os.getpid())), locked(tmp_path):
                pass
    assert not holder(tmp_path)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with program(HOLD, tmp_path) as process:
        assert answer(process) == "locked"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not holder(tmp_path) and (tmp_path / ".lock").read_text() == str(process.pid)
        with locked(tmp_path):
            assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_of_eight_processes_one_wins(tmp_path: Path) -> None:
    source = """
from dropout_lab import storage
from dropout_lab.errors import Refused
storage.PATIENCE = 0.02
while sys.stdin.readline():
    try:
        with storage.locked(Path(sys.argv[1])):
            print("won", flush=True)
            sys.stdin.readline()
    except Refused:
        print("refused", flush=True)
        sys.stdin.readline()
"""
    with ExitStack() as stack:
        processes = [stack.enter_context(program(source, tmp_path)) for _ in range(8)]
        for _ in range(25):
            for process in processes:
                tell(process)
            assert sorted(map(answer, processes)) == ["refused"] * 7 + ["won"]
            for process in processes:
                tell(process)


def test_asking_who_holds_a_lock_does_not_keep_anyone_from_taking_it(tmp_path: Path) -> None:
    source = """
from dropout_lab.storage import holder
print(flush=True)
while True:
    holder(Path(sys.argv[1]))
"""
    with locked(tmp_path):
        pass
    with program(source, tmp_path) as process:
        answer(process)
        for _ in range(200):
            with locked(tmp_path):
                pass


def test_the_lock_is_of_the_directory_that_has_the_name_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process moves the directory aside (--fresh) just when we have opened its lock file."""
    run, aside, flock = tmp_path / "run", tmp_path / "run.old-1", fcntl.flock
    run.mkdir()

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        run.rename(aside)
        run.mkdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(run):
        assert holder(run) and not holder(aside)


def test_a_lock_file_that_leads_elsewhere_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(Failed, match="run: cannot be locked"), locked(tmp_path / "run"):
        pass
    assert (tmp_path / "precious").read_text() == "precious" and not holder(tmp_path / "run")


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_run_is_written_and_one_note_says_what_is_weaker(
    code: int, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(code))
    outcome = lab("sweep tiny.yaml --rates 0.2,0.3 --quiet")
    assert outcome.code == 0 and outcome.err.count("this file system has no locks") == 1, outcome.err
    assert re.search(r"note: /.* \(\w+\): this file system .* --runs-dir", outcome.err)
    checked = lab("doctor")
    assert re.search(r"^-- +file system +/.*has no locks", checked.out, re.MULTILINE)
    assert not holder(lab.runs / "tiny-sweep/rate-0.2")


def test_another_error_of_a_lock_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(Failed, match=f"cannot be locked: {os.strerror(errno.EIO)}"), locked(tmp_path):
        pass
    assert not holder(tmp_path)
    with pytest.raises(Failed, match="nowhere: cannot be locked"), locked(tmp_path / "nowhere"):
        pass


def test_a_directory_that_cannot_be_flushed_is_no_error_and_a_file_is(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on SMB, sshfs, vboxsf and 9p."""
    fsync, refused = os.fsync, {"directory"}

    def no_directories(descriptor: int) -> None:
        if ("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file") in refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", no_directories)
    assert lab("train tiny.yaml --quiet").code == lab("train tiny.yaml --fresh --quiet").code == 0
    assert lab("doctor").code == 0
    refused.add("file")
    with pytest.raises(OSError):
        storage.sync(lab.path / "tiny.yaml")
    outcome = lab("train tiny.yaml --name other --quiet")
    assert outcome.code == 1 and "cannot be written: Invalid argument" in outcome.err
    assert "BAD  file system" in lab("doctor").out


def test_a_file_system_has_a_name() -> None:
    assert re.fullmatch(r"/proc \(proc\)", file_system(Path("/proc/self")))
