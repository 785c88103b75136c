"""A run made of what another program logged, one curve a seed. What the logs do not tell is NaN, never made up."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dropout_lab.config.noted import UNKNOWN, Noted
from dropout_lab.logs.curve import Curve
from dropout_lab.logs.predicted import Predicted
from dropout_lab.runs.checkpoint import Record
from dropout_lab.runs.finish import metrics_file, timing_file
from dropout_lab.runs.merge import whole
from dropout_lab.runs.read import Run, load
from dropout_lab.runs.row import Row
from dropout_lab.runs.summary import DivergedSeed, FinishedSeed, Imported, Results, SeedFacts, Summary
from dropout_lab.storage import atomic_write, sha256


@dataclass(frozen=True)
class Logged:
    """All that is imported. curves: by seed; predicted: by seed, or empty; source: files and columns, for the record.

    noted: the conditions, with the name and the seeds of the run.
    """

    noted: Noted
    curves: Mapping[int, Curve]
    predicted: Mapping[int, Predicted]
    source: Imported


def write_imported(path: Path, logged: Logged) -> Run:
    """Write the run `path`, and return it. It is there whole, or not at all. Raises `Refused` if something is there."""
    files, summary = contents(logged)
    with whole(path) as directory:
        for name, data in files.items():
            atomic_write(directory / name, data)
        atomic_write(directory / "summary.json", summary.to_bytes())
    return load(path)


def is_same(run: Run, logged: Logged) -> bool:
    """Say whether a run is what importing `logged` would make."""
    files, summary = contents(logged)
    return run.summary == summary and run.summary.files == {name: sha256(data) for name, data in files.items()}


def contents(logged: Logged) -> tuple[dict[str, bytes], Summary]:
    """Return the bytes of each file of the run, and its summary."""
    rows = {seed: _rows(seed, curve) for seed, curve in sorted(logged.curves.items())}
    records = {seed: Record(own) for seed, own in rows.items()}
    first = {0: replace(records[min(records)], rows=[replace(row, seed=0) for row in records[min(records)].rows])}
    facts = {seed: _facts(curve, logged.predicted.get(seed)) for seed, curve in sorted(logged.curves.items())}
    files = {
        "config.yaml": logged.noted.to_yaml().encode(),
        "metrics.csv": metrics_file(records),
        "timing.csv": timing_file({}),
    }
    predicted = {seed: own for seed, own in sorted(logged.predicted.items()) if isinstance(facts[seed], FinishedSeed)}
    if predicted:
        files["predictions.npz"] = _predictions(predicted)
    summary = Summary(
        name=logged.noted.name,
        identity=sha256(metrics_file(first)),
        data_sha256=UNKNOWN,
        seeds=facts,
        environment={},
        files={name: sha256(data) for name, data in files.items()},
        imported=logged.source,
    )
    return files, summary


def _rows(seed: int, curve: Curve) -> list[Row]:
    """Return a row for each epoch; a seed that diverged ends there, as one of ours does."""
    epochs = curve.epochs[: curve.diverged]
    return [Row(seed, epoch, **values, rate=math.nan) for epoch, values in enumerate(epochs, start=1)]


def _facts(curve: Curve, predicted: Predicted | None) -> SeedFacts:
    if curve.diverged:
        return DivergedSeed(epoch=curve.diverged, step=None)
    losses = {epoch: values["val_loss"] for epoch, values in enumerate(curve.epochs, start=1)}
    best = min((epoch for epoch, loss in losses.items() if math.isfinite(loss)), key=losses.__getitem__, default=None)
    test = {"test_loss": math.nan, "test_accuracy": math.nan}
    reached = {**test, **curve.test} | ({"test_accuracy": predicted.accuracy} if predicted else {})
    return FinishedSeed(
        epochs=len(curve.epochs),
        best_epoch=best,
        last=_results(curve.epochs[-1], reached),
        best=_results(curve.epochs[best - 1], test) if best else _results({}, test),
    )


def _results(epoch: Mapping[str, float], test: Mapping[str, float]) -> Results:
    val = {key: epoch.get(key, math.nan) for key in ("val_loss", "val_accuracy")}
    return Results(**val, **test)


def _predictions(predicted: Mapping[int, Predicted]) -> bytes:
    """Return npz bytes as of a trained run, but for the probabilities."""
    import numpy as np

    buffer = io.BytesIO()
    labels = next(iter(predicted.values())).labels
    stacked = np.array([own.predictions for own in predicted.values()], np.int64)
    np.savez(buffer, seeds=np.array(list(predicted), np.int64), labels=np.array(labels, np.int64), predictions=stacked)
    return buffer.getvalue()
