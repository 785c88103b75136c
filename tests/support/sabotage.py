"""A data directory whose arrival in a worker process makes the training there go wrong, in the way it is told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

AFTER = 2  # epochs of a unit, before it goes wrong


class Sabotaged(type(Path())):  # type: ignore[misc]
    """The path of a directory that is pickled with the fate of each unit, found by its momentum.

    A fate is "once" (the worker is killed, the first time), "always" (every time), "asleep", "error" or "refused".
    """

    fates: Mapping[float, str]

    def __reduce__(self) -> tuple[Any, ...]:
        return arm, (str(self), dict(self.fates))


def sabotaged(directory: Path, fates: Mapping[float, str]) -> Sabotaged:
    path = Sabotaged(directory)
    path.fates = fates
    return path


def arm(directory: str, fates: Mapping[float, str]) -> Path:
    """Called in the worker process: replace its training."""
    from dropout_lab.errors import Problem, Refused
    from dropout_lab.execution import workers
    from dropout_lab.training import Lane

    train = workers.train

    def broken(lanes: Sequence[Lane], *how: Any) -> Iterator[Any]:
        momentum = lanes[0].config.training.momentum
        fate, mark = fates.get(momentum, ""), Path(directory, f"killed-{momentum}")
        for done, event in enumerate(train(lanes, *how), start=1):
            yield event
            if done != AFTER:
                continue
            if fate == "always" or (fate == "once" and not mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if fate == "asleep":
                time.sleep(600)
            if fate == "error":
                raise RuntimeError("out of memory, let us say\nand a second line")
            if fate == "refused":
                raise Refused(Problem("data", "file", "was replaced by rubbish", "x"))

    workers.train = broken
    return Path(directory)
