"""A page of the curves so far, which reloads itself while networks train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from dropout_lab import pages
from dropout_lab.report.curves import over_seeds, section
from dropout_lab.runs.row import Row


def page(runs: Mapping[str, Sequence[Row]], epochs: Mapping[str, int], every: float) -> str:
    """Return the page about the rows of each run by name; `epochs` are those of one network, `every` is in seconds."""
    import numpy as np
    import pandas as pd

    named = []
    for name, rows in runs.items():
        table = pd.DataFrame([asdict(row) for row in rows]).replace([np.inf, -np.inf], np.nan)
        named.append((name, over_seeds(table.assign(gap=table["val_loss"] - table["clean_train_loss"]))))
    reached = [f"{name}: epoch {curves.epochs[-1]} of {epochs[name]}" for name, curves in named]
    title = " and ".join(runs) if 0 < len(runs) < 3 else f"{len(runs)} runs" if runs else "Networks"
    return pages.page("live.html", title=f"{title} in training", reached=reached, every=every, **section(named))
