"""Small finished runs on disk whose numbers a test chooses seed by seed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dropout_lab import storage
from dropout_lab.config import resolve as configs
from dropout_lab.runs import read as runs
from dropout_lab.runs.read import Run
from dropout_lab.runs.row import COLUMNS
from dropout_lab.runs.summary import DivergedSeed, FinishedSeed, Results, SeedFacts, Summary
from dropout_lab.storage import sha256

ENVIRONMENT = {"dropout-lab": "0.3.0", "torch": "2.15.0", "python": "3.11.7", "device": "cpu", "git_commit": None}
EPOCHS = 3
IMAGES = 1000

ACCURACIES = (0.95, 0.97, 0.96)  # on validation


def write_run(
    directory: Path,
    name: str,
    accuracies: Sequence[float] | Mapping[int, float],
    *,
    rate: float = 0.0,
    diverged: Collection[int] = (),
    last_val_loss: float = 0.3,
    digest: str = "9f3c2a7",
    environment: Mapping[str, object] = ENVIRONMENT,
    **sections: Any,
) -> Run:
    """Write a run of 3 epochs with these test accuracies (multiples of 1/1000), by seed, and load it.

    The val loss is 0.4, 0.2, `last_val_loss` + seed / 100; the last clean train loss is 0.1; an epoch takes 2 s.
    Of the 1000 test images a network misses the first ones, so two networks differ only as they must.
    """
    by_seed = dict(accuracies) if isinstance(accuracies, Mapping) else dict(enumerate(accuracies))
    mapping = {"dropout": {"rate": rate}, "seeds": list(by_seed), "training": {"epochs": EPOCHS}, **sections}
    path = directory / name
    path.mkdir(parents=True)
    facts: dict[int, SeedFacts] = {}
    metrics, timing = [",".join(COLUMNS)], ["seed,epoch,seconds"]
    for seed, accuracy in by_seed.items():
        val = (0.4, 0.2, last_val_loss + seed / 100)
        for epoch in range(1, 2 if seed in diverged else EPOCHS + 1):
            metrics.append(
                f"{seed},{epoch},0.5,0.8,{0.4 - epoch / 10},0.9,{val[epoch - 1]},{ACCURACIES[epoch - 1]},{rate}"
            )
            timing.append(f"{seed},{epoch},2.0")
        last = Results(val_loss=val[2], val_accuracy=0.96, test_loss=1 - accuracy, test_accuracy=accuracy)
        best = Results(val_loss=0.2, val_accuracy=0.95, test_loss=0.15, test_accuracy=0.955)
        finished = FinishedSeed(epochs=EPOCHS, best_epoch=2, last=last, best=best)
        facts[seed] = DivergedSeed(epoch=2, step=7) if seed in diverged else finished
    (path / "metrics.csv").write_text("\n".join(metrics) + "\n")
    (path / "timing.csv").write_text("\n".join(timing) + "\n")
    config = configs.resolve(mapping, where="toy", name="toy", check_files=False)
    (path / "config.yaml").write_text(configs.to_yaml(config))
    good = [seed for seed in by_seed if seed not in diverged]
    misses = [round((1 - by_seed[seed]) * IMAGES) if np.isfinite(by_seed[seed]) else 0 for seed in good]
    predictions = np.array([np.arange(IMAGES) < count for count in misses], np.int64).reshape(len(good), IMAGES)
    np.savez(path / "predictions.npz", seeds=good, labels=np.zeros(IMAGES, np.int64), predictions=predictions)
    summary = Summary(
        name=name,
        identity=config.identity,
        data_sha256=digest,
        seeds=facts,
        environment=dict(environment),
        files={file.name: sha256(file.read_bytes()) for file in path.iterdir()},
    )
    write_summary(path, summary.model_dump())
    return runs.load(path)


def with_last(run: Run, **results: Mapping[int, float] | float) -> Run:
    """Return a run with other results at the last epoch: of all finished seeds, or of those in a mapping by seed."""
    seeds = dict(run.summary.seeds)
    for seed, facts in run.summary.finished.items():
        own = {key: value.get(seed) if isinstance(value, Mapping) else value for key, value in results.items()}
        changed = {key: value for key, value in own.items() if value is not None}
        seeds[seed] = facts.model_copy(update={"last": facts.last.model_copy(update=changed)})
    return replace(run, summary=run.summary.model_copy(update={"seeds": seeds}))


def write_summary(path: Path, summary: Mapping[str, object]) -> None:
    """Write and seal a summary, whatever it says."""
    body = json.dumps(summary, indent=1).removesuffix("\n}") + ",\n"
    (path / "summary.json").write_text(f'{body} "sha256": "{sha256(body.encode())}"\n}}\n')


def reseal(path: Path, **changes: object) -> None:
    """Change the summary of the run directory `path`, and seal it again: what only a forger would do."""
    summary = json.loads((path / "summary.json").read_text()) | changes
    summary.pop(storage.SEAL, None)
    write_summary(path, summary)


def forge(path: Path, name: str, content: bytes) -> None:
    """Replace a file of the run directory `path` by another that its summary agrees with."""
    (path / name).write_bytes(content)
    files = json.loads((path / "summary.json").read_text())["files"]
    reseal(path, files=files | {name: sha256(content)})
