"""The only global state of training: how many threads torch uses, and which numbers they take for 0.

`Threads` and `denormals_flushed` change them inside a `with`. No number that a run records depends on the threads.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Self, TypeVar

import numpy as np
import torch

from dropout_lab.network import ALIGNMENT

NARROW = 12  # units
TINY = 5e-324  # the smallest number there is; 0 in a product where denormals are flushed
TRIAL = 8  # steps, at most, to tell which number of threads is faster

Item = TypeVar("Item")


def usable_threads(threads: int, sizes: Sequence[int]) -> int:
    """Return how many of `threads` a network of these layer widths can use without a different bit in its numbers.

    Call it before anything else makes torch start its threads: they must flush denormals (`threads_flush`).
    """
    if threads > 1 and not threads_flush(threads):
        return 1
    if any(width < NARROW for width in sizes[:-1]):
        return 1  # with widths under 12, products differ between 1 thread and 2 (docs/log.md)
    if any(width % ALIGNMENT for width in sizes[:-1]):
        return min(threads, 2)  # with odd widths, products differ between 2 threads and 3
    return threads


class Threads:
    """Torch's number of threads, at most `most`: `fastest` changes it, and the end of the `with` sets it back.

    Between two steps, whatever else computes in this process has the number that the last step had.
    """

    def __init__(self, most: int) -> None:
        self.most, self.found = most, torch.get_num_threads()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        torch.set_num_threads(self.found)

    def fastest(self, steps: Iterable[Item], count: int) -> Iterator[Item]:
        """Yield the `count` items of `steps`: a few with each number of threads, then all with the fastest number.

        A second thread makes a small network faster by a seventh if its core is free, and slower by a factor of ten if
        another program uses that core (docs/log.md). So every epoch tries again.
        """
        trial = max(1, min(TRIAL, count // 64))
        choices = [self.most // 2**halvings for halvings in reversed(range(self.most.bit_length()))]
        seconds = dict.fromkeys(choices, math.inf)
        chosen, started = 1, 0.0
        for number, item in enumerate(steps):
            turn, place = divmod(number, trial)
            if place == 0 and turn <= 2 * len(choices):
                now = time.perf_counter()
                if turn:
                    seconds[chosen] = min(seconds[chosen], now - started)
                more = turn < 2 * len(choices)
                chosen = choices[turn % len(choices)] if more else min(choices, key=seconds.__getitem__)
                torch.set_num_threads(chosen)
                started = now
            yield item


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Take numbers under 1e-38 (denormals) for 0, as Keras does.

    The optimizer's averages of idle weights become so small, and computing with them makes it slower by half. The flag
    belongs to one thread, and new threads inherit it: torch's threads must be started in here (`threads_flush`).
    """
    found = TINY * 1.0 == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(found)


def start_as_found() -> None:
    """Start torch's threads now, in a program that is not ours: begun in a training, they would flush for ever.

    A training then uses one thread, unless the program's own threads flush denormals already.
    """
    torch.ones(torch.get_num_threads() * 2**16).mul_(1.0)


def threads_flush(threads: int) -> bool:
    """Start torch's threads, and return whether all take denormals for 0; those that were started before do not."""
    before = torch.get_num_threads()
    tiny = torch.from_numpy(np.full(threads * 2**16, 1e-40, np.float32))
    torch.set_num_threads(threads)
    with denormals_flushed():
        tiny.mul_(0.5)
    torch.set_num_threads(before)
    return not tiny.view(torch.int32).any()
