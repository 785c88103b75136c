"""Every random number comes from a named stream, derived from (seed, purpose, ...) and never from global state.

Streams with different names are independent. So two runs that differ only in dropout share their first weights and
their batch order, and a resumed run needs no saved generator: epoch 7 draws from the stream of epoch 7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator

PURPOSES = {
    "init": 0,
    "order": 1,
    "masks": 2,
    "split": 3,
    "subset": 4,
    "label noise": 5,
    "evaluation": 6,
    "calibration": 7,
    "division": 8,
}


def stream(seed: int, purpose: str, *more: int) -> Generator:
    """Return a new generator, named by the seed, by `purpose` (a key of PURPOSES), and by `more` integers.

    SFC64 is the fastest of NumPy's generators. `SeedSequence` makes streams independent, however alike their names are.
    """
    from numpy.random import SFC64, Generator, SeedSequence

    return Generator(SFC64(SeedSequence([seed, PURPOSES[purpose], *more])))
