"""Every random number comes from a named stream, derived from (seed, purpose, ...) and never from global state.

Streams with different names are independent, so two runs that differ only in dropout share their first weights and
their batch order, and a resumed run needs no saved generator: epoch 7 draws from the stream of epoch 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

PURPOSES = {"init": 0, "order": 1, "masks": 2, "split": 3, "subset": 4, "label noise": 5, "evaluation": 6}


def stream(seed: int, purpose: str, *more: int) -> Generator:
    """Return a fresh generator for `purpose`, a key of PURPOSES, further named by integers.

    SFC64 is the fastest of NumPy's generators; `SeedSequence` keeps streams of neighbouring names apart.
    """
    from numpy.random import SFC64, Generator, SeedSequence

    return Generator(SFC64(SeedSequence([seed, PURPOSES[purpose], *more])))
