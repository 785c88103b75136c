"""Jobs of one small network, and what is reported while they train."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.execution.execute import EpochDone, Event, UnitFailed, execute
from dropout_lab.execution.sources import Here
from dropout_lab.execution.units import Task
from dropout_lab.runs.job import Job

EPOCHS = 4


def config(seeds: Iterable[int] = (0,), epochs: int = EPOCHS, momentum: float = 0.0, **sections: Any) -> Config:
    """A small network; jobs that differ in momentum make units of their own."""
    training = {"epochs": epochs, "optimizer": "sgd", "learning_rate": 0.1, "momentum": momentum}
    mapping = {"data": {"dataset": "digits"}, "network": {"hidden": [16]}, "training": training, **sections}
    return configs.resolve(mapping | {"seeds": list(seeds)}, where="test", name="run")


def metrics(job: Job) -> bytes:
    return (job.path / "metrics.csv").read_bytes()


def undisturbed(directory: Path, job: Job) -> bytes:
    """The metrics.csv of a job that is trained elsewhere, and left in peace."""
    elsewhere = Job(directory / "undisturbed" / job.path.name, job.config)
    assert not [event for event in execute([elsewhere], Here(directory)) if isinstance(event, UnitFailed)]
    return metrics(elsewhere)


def epochs_of(events: Iterable[Event]) -> dict[Task, list[int]]:
    epochs = defaultdict(list)
    for event in events:
        if isinstance(event, EpochDone):
            for task, row in event.rows.items():
                epochs[task].append(row.epoch)
    return epochs


def failures(events: Iterable[Event]) -> list[UnitFailed]:
    return [event for event in events if isinstance(event, UnitFailed)]
