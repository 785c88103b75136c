"""dropout-lab, measured as its peers are: ours.py {one,sweep,wide} EPOCHS [JOBS] prints seconds per epoch and network.

The plan is carried out as the command line does it, in a new directory: evaluation, rows, checkpoints and final files
are part of the time, and there are as many worker processes as pay, or JOBS. Each one's first epoch is not counted.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean

from dropout_lab.commands import plan as plans
from dropout_lab.commands.names import Options
from dropout_lab.config.settings import Config
from dropout_lab.data import datasets as data
from dropout_lab.execution.execute import EpochDone, UnitFailed
from dropout_lab.runs.job import Job
from dropout_lab.sweeps import plan as sweeps

EVALUATION = ["data.validation_fraction=0.01"]  # little of it


def configs(name: str, epochs: int) -> list[Config]:
    """Return the article's network, its sweep of 6 rates x 4 seeds, or one wide network."""
    length = f"training.epochs={epochs}"
    if name == "sweep":
        planned = sweeps.plan(sweeps.article([length, "seeds=[0,1,2,3]"]), "0,0.1..0.5", name="sweep")
        return [member.config for member in planned.members]
    wide = ["network.hidden=[1024,1024,2048]", "training.batch_size=100", *EVALUATION]
    return [sweeps.article([length, "dropout.rate=0.5", *(wide if name == "wide" else [])])]


def measure(name: str, epochs: int, jobs: int | None = None) -> dict[str, float]:
    """Train and return the seconds per epoch and network, and how many processes trained.

    The clock of each process starts when its first unit of networks has finished an epoch; all stop at the end.
    """
    starts: dict[frozenset[object], float] = {}  # by unit: those that begin before any has ended
    networks, ended, now = 0, False, 0.0
    with tempfile.TemporaryDirectory() as runs:
        options = Options(runs=Path(runs), data=data.directory(None), jobs=jobs)
        steps = plans.plan([Job(Path(runs, config.name), config) for config in configs(name, epochs)], options)
        for event in plans.prepare(steps, options):
            if isinstance(event, UnitFailed):
                raise SystemExit(event.reason)
            if isinstance(event, EpochDone):
                now, unit = time.perf_counter(), frozenset(event.rows)
                if ended or unit in starts:
                    networks += len(unit)
                else:
                    starts[unit] = now
                ended = ended or any(row.epoch == epochs for row in event.rows.values())
    return {"per_epoch": (now - fmean(starts.values())) / networks, "processes": len(starts)}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], *map(int, sys.argv[2:]))))
