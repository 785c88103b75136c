"""Looks: at which seeds a verdict on a pair of runs was printed, so that a later one knows how often somebody looked.

    <runs>/_looks/<pair>.json     one small file for each pair, in the order in which verdicts were printed

A pair is known by the identities of its two runs and by their data, never by names or places: a run that is renamed or
trained again to the same bytes is the same experiment, and was looked at before. So the file is in the runs directory
and not with the comparison, which may be deleted and made anew.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dropout_lab.errors import Failed
from dropout_lab.runs.read import Run
from dropout_lab.storage import as_json, atomic_write, make_directory, read_file, sha256

FOLDER = "_looks"  # in the runs directory
FORMAT = 1
FLAGS = ("sequential", "confirms")  # of a look; the file names those that are true


@dataclass(frozen=True)
class Look:
    """One verdict that was printed: the metric that was judged, and the seeds that it was judged on, in order.

    sequential: whether it was declared beforehand that seeds are added until the verdict is decided. confirms: whether
    it confirms a choice, on seeds that had no part in the choice.
    """

    metric: str
    seeds: tuple[int, ...]
    sequential: bool = False
    confirms: bool = False


def pair(a: Run, b: Run) -> str:
    """Return what a pair of runs is known by, whichever of them is the baseline."""
    identities = sorted((a.summary.identity, b.summary.identity))
    return sha256("\n".join([*identities, *sorted({a.summary.data_sha256, b.summary.data_sha256})]).encode())[:24]


class Looks:
    """The looks that are remembered in a runs directory; without one, there are none and none is kept.

    lost: a remark, if a look could not be remembered. A verdict is shown all the same, also on runs of somebody else.
    """

    def __init__(self, runs: Path | None) -> None:
        self.runs = runs
        self.lost: tuple[str, ...] = ()

    def file(self, name: str) -> Path | None:
        """Return where the looks at a pair are kept."""
        return self.runs / FOLDER / f"{name}.json" if self.runs else None

    def at(self, name: str) -> list[Look]:
        """Return the looks at a pair, first to last; what cannot be read is taken for no look."""
        file = self.file(name)
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            found = json.loads(read_file(file))["looks"] if file else []
            return [
                Look(
                    str(look["metric"]),
                    tuple(map(int, look["seeds"])),
                    **{flag: look.get(flag) is True for flag in FLAGS},
                )
                for look in found
            ]
        return []

    def remember(self, name: str, look: Look) -> None:
        """Note a look, unless the same one was noted before. What cannot be written is a remark in `lost`."""
        file, known = self.file(name), self.at(name)
        if file is None or look in known:
            return
        try:
            make_directory(file.parent)
            atomic_write(file, as_json(as_dict([*known, look])).encode(), durable=False)
        except Failed as failed:
            self.lost = (f"this look is not remembered, and the next verdict may count as a first one: {failed}",)


def as_dict(looks: Sequence[Look]) -> dict[str, object]:
    """Return looks as the file holds them."""
    found = [
        {"metric": look.metric, "seeds": list(look.seeds)} | {flag: True for flag in FLAGS if getattr(look, flag)}
        for look in looks
    ]
    return {"format": FORMAT, "looks": found}
