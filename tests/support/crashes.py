"""A program that ends a training at every single thing that it does to a file, and checks what is left.

    crashes.py DIRECTORY FATE BEFORE NOW

These things are: to open for writing, to write (half of it is written), to flush, to rename, to remove, to make and to
remove directories. FATE is kill (SIGKILL arrives before), full (from there on, the disk refuses them all) or broken
(this one fails with an I/O error, and no other). BEFORE and NOW are lists of seeds such as 0,1: those trained before
(with a `!` at the end: the last one was interrupted), and those asked for now. Prints how many places there are; an
AssertionError says what did not hold.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from recorded import DATA, config, train, tree

from dropout_lab import storage
from dropout_lab.errors import Failed
from dropout_lab.runs import read as runs
from dropout_lab.runs.checkpoint import Checkpoints, Origin
from dropout_lab.runs.find import is_run, state
from dropout_lab.runs.finish import metrics_file
from dropout_lab.runs.job import Job

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


class Interrupted(Exception):
    """Ends a training in the middle."""


def begin(path: Path, before: str) -> None:
    """Make the run directory as it was before."""
    seeds = [int(seed) for seed in before.strip("!").split(",") if seed]

    def told(seed: int, epoch: int) -> None:
        if before.endswith("!") and (seed, epoch) == (seeds[-1], 2):
            raise Interrupted

    if seeds:
        try:
            train(path, seeds, told)
        except Interrupted:
            return


def hit(fate: str, number: int, path: Path, seeds: list[int]) -> tuple[bool, dict[int, int]]:
    """Train in a child process in which the `number`-th thing done to a file under `path` is not to be.

    Return whether it came so far, and the last epoch of every seed that it had told of.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        count = 0

        def place(*whatever: object) -> None:
            nonlocal count
            count += 1
            if count >= number and fate == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if count == number and fate == "broken":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (opened or event in CHANGES) and str(arguments[0]).startswith(str(path)):
                place()

        class Torn(io.FileIO):
            def write(self, data: Any) -> int:
                super().write(data[: len(data) // 2])
                place()
                return len(data) // 2 + super().write(data[len(data) // 2 :])

        def told(seed: int, epoch: int) -> None:
            os.write(writer, b"%d %d\n" % (seed, epoch))

        sys.addaudithook(hook)
        os.fsync = place
        storage.open = Torn  # type: ignore[attr-defined]
        with contextlib.suppress(Failed):  # anything else is printed, and ends in an exit code of 1
            train(path, seeds, told)
        os._exit(2 if count >= number else 0)
    os.close(writer)
    with open(reader) as file:
        last = {int(seed): int(epoch) for seed, epoch in map(str.split, file)}
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL if fate == "kill" else 2), (number, code)
    return code != 0, last


def rows(path: Path) -> set[bytes]:
    """Return the lines of metrics.csv that are safe in a run directory, whatever state it is in."""
    checkpoints = Checkpoints(path, Origin(config().identity, DATA))
    safe = set(metrics_file(checkpoints.read()).splitlines())
    assert not checkpoints.damaged
    if is_run(path) and state(path) == "finished":
        run = runs.load(path)
        assert len(run.metrics) and len(run.timing) and run.weights() and run.predictions()
        safe.update((path / "metrics.csv").read_bytes().splitlines())
    return safe


def main(directory: Path, fate: str, before: str, now: str) -> None:
    os.fsync = lambda descriptor: None  # the kernel lives on when a process dies
    seeds = [int(seed) for seed in now.split(",")]
    whole, start, path = directory / "whole/run", directory / "start/run", directory / "killed/run"
    begin(whole, before)
    train(whole, seeds)
    goal = tree(whole)
    begin(start, before)
    safe_before = rows(start) if start.exists() else set()
    number = 1
    while True:
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir()
        if start.exists():
            shutil.copytree(start, path)
        ended, last = hit(fate, number, path, seeds)
        if not ended:
            break
        safe = rows(path)
        assert safe_before <= safe, number
        for seed, epoch in last.items():
            assert any(line.startswith(b"%d,%d," % (seed, epoch)) for line in safe), (number, seed, epoch)
        cleared = bool(Job(path, config(seeds)).missing())  # if not, it was hit as it removed the checkpoints
        train(path, seeds)
        found, expected = ({n: d for n, d in t.items() if cleared or "checkpoint" not in n} for t in (tree(path), goal))
        assert found == expected, (number, found.items() ^ expected.items())
        number += 1
    print(number - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
