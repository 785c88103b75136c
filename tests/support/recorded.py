"""A training without networks: rows, snapshots and outcomes follow from seed and epoch, and are recorded for real."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.runs.job import Job
from dropout_lab.runs.record import RunWriter, writing
from dropout_lab.runs.row import Outcome, Row, Snapshot
from dropout_lab.runs.summary import FinishedSeed, Results

EPOCHS = 3
DATA = "5" * 64  # the SHA-256 of data that there are not
ENVIRONMENT = {"device": "cpu"}


def config(seeds: Iterable[int] = (0,), **changes: Any) -> Config:
    mapping = {"data": {"dataset": "digits"}, "training": {"epochs": EPOCHS}, "seeds": list(seeds)} | changes
    return configs.resolve(mapping, where="test", name="run")


def row(seed: int, epoch: int) -> Row:
    return Row(seed, epoch, *np.random.default_rng((seed, epoch)).random(7).tolist())


def snapshot(seed: int, epoch: int, best: Row | None = None) -> Snapshot:
    arrays = {"parameters": np.full(5, epoch, np.float32), "optimizer.step": np.array(float(epoch), np.float32)}
    return Snapshot(row(seed, epoch), best or row(seed, 1), arrays)


def outcome(seed: int, data: str = DATA, epochs: int = EPOCHS) -> Outcome:
    result = Results(val_loss=0.1, val_accuracy=0.9, test_loss=0.2 + seed, test_accuracy=0.8)
    facts = FinishedSeed(epochs=epochs, best_epoch=1, last=result, best=result)
    random = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {
        f"{when}.{layer}.{name}": random.random(shape, np.float32)
        for when in ("last", "best")
        for layer in (0, 1)
        for name, shape in (("weight", (3, 4)), ("bias", (3,)))
    }
    arrays |= {"labels": np.arange(6), "predictions": np.arange(6)[::-1].copy(), "probabilities": random.random((6, 3))}
    return Outcome(facts, arrays, data)


def go_on(writer: RunWriter, told: Callable[[int, int], None] = lambda seed, epoch: None) -> None:
    """Train what is pending, each seed in turn, and tell of every epoch once it is recorded."""
    for seed in sorted(writer.pending()):
        going_on = writer.resume(seed)
        for epoch in range(1 + (going_on.last.epoch if going_on else 0), EPOCHS + 1):
            writer.add(row(seed, epoch), 0.5, snapshot(seed, epoch))
            told(seed, epoch)
            writer.write_tables()
        writer.end(seed, outcome(seed))
    if not writer.finished:
        writer.finish(ENVIRONMENT)


def train(path: Path, seeds: Iterable[int] = (0,), told: Callable[[int, int], None] = lambda seed, epoch: None) -> None:
    """Bring the run directory up to date with the config above."""
    with writing(Job(path, config(seeds)), DATA) as writer:
        go_on(writer, told)


def tree(path: Path) -> dict[str, str]:
    """Return what is in a directory: the SHA-256 of every file, the target of every link, by relative path."""
    found = {}
    for entry in sorted(path.rglob("*")):
        name = str(entry.relative_to(path))
        if entry.is_symlink():
            found[name] = f"-> {os.readlink(entry)}"
        else:
            found[name] = hashlib.sha256(entry.read_bytes()).hexdigest() if entry.is_file() else "directory"
    return {name: digest for name, digest in found.items() if not name.endswith(".lock")}
