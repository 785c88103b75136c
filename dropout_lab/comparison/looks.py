"""Looks: at which seeds a verdict on a pair of runs was printed, so that a later one knows how often somebody looked.

    <runs>/_looks/<pair>.json     one small file for each pair, in the order in which verdicts were printed

<runs> is the runs directory of the command, and also that in which the runs are, if that is another one.

A pair is known by the identities of its two runs and by their data, never by names or places: a run that is renamed or
trained again to the same bytes is the same experiment, and was looked at before. So the file is in the runs directory
and not with the comparison, which may be deleted and made anew.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dropout_lab.errors import Failed
from dropout_lab.runs.find import home
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


UNREAD = Look("", ())  # what stands for looks that cannot be read: somebody looked, at any metric and any seeds


def pair(a: Run, b: Run) -> str:
    """Return what a pair of runs is known by, whichever of them is the baseline."""
    identities = sorted((a.summary.identity, b.summary.identity))
    return sha256("\n".join([*identities, *sorted({a.summary.data_sha256, b.summary.data_sha256})]).encode())[:24]


class Looks:
    """The looks that are remembered: in a runs directory, and in those where the compared runs are.

    So a comparison that is made from elsewhere counts as well. Without a runs directory, there are no looks and none is
    kept. lost: remarks, if looks could not be read or remembered. A verdict is shown all the same.
    """

    def __init__(self, runs: Path | None) -> None:
        self.runs = runs
        self.lost: tuple[str, ...] = ()

    def files(self, a: Run, b: Run) -> list[Path]:
        """Return where the looks at a pair of runs are kept."""
        if self.runs is None:
            return []
        places: dict[Path, Path] = {}
        for place in (self.runs, home(a.path), home(b.path)):
            places.setdefault(place.resolve(), place)
        return [place / FOLDER / f"{pair(a, b)}.json" for place in places.values()]

    def at(self, a: Run, b: Run) -> list[Look]:
        """Return the looks at a pair of runs, first to last. A file that cannot be read is a look at unknown seeds."""
        found: list[Look] = []
        for file in self.files(a, b):
            found += [UNREAD] if (known := _read(file)) is None else known
        return list(dict.fromkeys(found))

    def remember(self, a: Run, b: Run, look: Look) -> None:
        """Note a look, unless the same one was noted before. What cannot be written anywhere is a remark in `lost`."""
        failures = []
        for file in (files := self.files(a, b)):
            known = _read(file)
            if known and look in known:
                continue
            try:
                if known is None:
                    known = [UNREAD]
                    file.replace(file.with_suffix(".damaged"))
                    remark = (
                        f"{file}: cannot be read and is {file.stem}.damaged now; the verdict counts as a later look"
                    )
                    self.lost = (*self.lost, remark)
                make_directory(file.parent)
                atomic_write(file, as_json(as_dict([*known, look])).encode(), durable=False)
            except (Failed, OSError) as failed:
                failures.append(failed)
        if failures and len(failures) == len(files):
            remark = f"this look is not remembered, and the next verdict may count as a first one: {failures[0]}"
            self.lost = (*self.lost, remark)


def _read(file: Path) -> list[Look] | None:
    """Return the looks in a file, none if it is not there; None if it cannot be read."""
    if not os.path.lexists(file):
        return []
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        return [
            Look(
                str(look["metric"]),
                tuple(map(int, look["seeds"])),
                **{flag: look.get(flag) is True for flag in FLAGS},
            )
            for look in json.loads(read_file(file))["looks"]
        ]
    return None


def as_dict(looks: Sequence[Look]) -> dict[str, object]:
    """Return looks as the file holds them."""
    found = [
        {"metric": look.metric, "seeds": list(look.seeds)} | {flag: True for flag in FLAGS if getattr(look, flag)}
        for look in looks
    ]
    return {"format": FORMAT, "looks": found}
