"""The picture of `theory.strength`: dropout at rate 0.5 regularizes most in one reading, and not in the other."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from dropout_lab.claims.theory import strength
from dropout_lab.figures.style import Entries, colours, compose, panels, styled

KEEPS = np.linspace(1, 0.01, 100)
HIGHEST = 3.0  # of the right panel; the penalty grows beyond it as the rate goes to 1

NOTES = (
    "Left: as long as the raw weights w stay as they are, dropout costs keep (1 - keep) |G w|^2, most at rate 0.5 "
    "(Baldi & Sadowski 2013). Right: the test net uses the weights w~ = keep w. In these the cost is "
    "((1 - keep) / keep) |G w~|^2, which has no maximum (Srivastava et al. 2014, 9.1): "
    "the higher the rate, the smaller the solved w~."
)


@styled
def two_readings() -> Figure:
    """Draw keep (1 - keep) on the left, (1 - keep) / keep and the norm of the solved weights on the right.

    Both against the dropout rate, 1 - keep; `theory.strength` says what they are and from which papers.
    """
    figure, (raw, effective) = panels("at fixed raw weights w", "in effective weights w~ = keep w", over="dropout rate")
    data, (_, red, grey, ink, blue) = strength(KEEPS), colours()[:5]
    rate, top = 1 - data.keep, int(data.raw.argmax())
    (at_fixed,) = raw.plot(rate, data.raw, "-", color=ink)
    (peak,) = raw.plot(rate[top], data.raw[top], "o", color=red)
    (penalty,) = effective.plot(rate, data.effective, "--", color=ink)
    (norm,) = effective.plot(rate, data.norm, "-", color=blue)
    for axis in (raw, effective):
        axis.axvline(rate[top], color=grey, linewidth=1, linestyle=":", zorder=1)
        axis.set_ylim(0)
        axis.set_xticks(np.linspace(0, 1, 11))
    effective.set_ylim(0, HIGHEST)
    entries: Entries = [
        (at_fixed, "penalty keep (1 - keep)"),
        (peak, f"its maximum, at rate {rate[top]:g}"),
        (penalty, "penalty (1 - keep) / keep"),
        (norm, "|w~| of the solved regression, without dropout 1"),
    ]
    facts = "linear regression with dropout on its inputs · keep = 1 - rate · G^2 = diag(X'X)"
    return compose(figure, "Is dropout strongest at 0.5?", facts, NOTES, entries)
