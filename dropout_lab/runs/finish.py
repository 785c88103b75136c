"""The final files of a run, made from the records of its seeds, and read back into records. No torch here."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.runs.checkpoint import Origin, Record
from dropout_lab.runs.read import Run, load
from dropout_lab.runs.row import COLUMNS, Outcome, Row
from dropout_lab.runs.summary import damaged, read_summary
from dropout_lab.storage import archive

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

PREDICTED = ("predictions", "probabilities")  # for the test images, by the weights of the last epoch


def metrics_file(records: Mapping[int, Record]) -> bytes:
    """Return the bytes of metrics.csv: every row, sorted by seed and epoch."""
    return table(COLUMNS, (row.values for _, record in sorted(records.items()) for row in record.rows))


def timing_file(records: Mapping[int, Record]) -> bytes:
    """Return the bytes of timing.csv: the wall-clock seconds of every row."""
    pairs = (pair for _, record in sorted(records.items()) for pair in zip(record.rows, record.seconds, strict=True))
    return table(("seed", "epoch", "seconds"), ((row.seed, row.epoch, seconds) for row, seconds in pairs))


def table(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> bytes:
    """Return a table as CSV bytes. Floats are written with `repr`: the shortest text that reads back exactly."""
    text = [",".join(columns), *(",".join(map(repr, line)) for line in lines)]
    return ("\n".join(text) + "\n").encode()


def weights_file(outcomes: Mapping[int, Outcome]) -> bytes:
    """Return all seeds' weights as safetensors bytes, named "<seed>.<last|best>.<layer>.<weight|bias>"."""
    weights: dict[str, np.ndarray] = {}
    for seed, outcome in outcomes.items():
        last_and_best = (name for name in outcome.arrays if name.startswith(("last.", "best.")))
        weights |= {f"{seed}.{name}": outcome.arrays[name] for name in last_and_best}
    return archive(weights)


def predictions_file(outcomes: Mapping[int, Outcome]) -> bytes:
    """Return the test predictions at the last epoch as npz bytes: seeds, labels, predictions, probabilities."""
    import numpy as np

    good = {seed: outcome.arrays for seed, outcome in outcomes.items() if outcome.arrays}
    stacked = {name: np.array([arrays[name] for arrays in good.values()]) for name in PREDICTED}
    labels = next((arrays["labels"] for arrays in good.values()), np.empty(0, np.int64))
    buffer = io.BytesIO()
    np.savez(buffer, seeds=np.array(list(good), np.int64), labels=labels, **stacked)  # type: ignore[arg-type]
    return buffer.getvalue()


def finished_records(path: Path, origin: Origin) -> dict[int, Record]:
    """Return the records of a finished run, else none. Raises `Refused` for damage, or for another origin."""
    if read_summary(path) is None:
        return {}
    run = load(path)
    origin.check(path, {"config": run.config.lasting_identity, "data": run.summary.data_sha256})
    try:
        return _records(run, origin)
    except (LookupError, ValueError) as error:  # each file is as it was written, but perhaps by another run
        raise damaged(path, "files", "do not belong together", repr(error)) from None


def _records(run: Run, origin: Origin) -> dict[int, Record]:
    outcomes = {seed: Outcome(facts, {}, origin.data) for seed, facts in run.summary.seeds.items()}
    for name, array in run.weights().items():
        seed, _, name_in_seed = name.partition(".")
        outcomes[int(seed)].arrays[name_in_seed] = array
    test = run.predictions()
    for index, seed in enumerate(test["seeds"].tolist()):
        outcomes[seed].arrays.update({"labels": test["labels"]} | {name: test[name][index] for name in PREDICTED})
    records = {seed: Record(outcome=outcome) for seed, outcome in outcomes.items()}
    for row in (Row(*line) for line in lines(run.metrics)):
        records[row.seed].rows.append(row)
    for seed, _, seconds in lines(run.timing):
        records[seed].seconds.append(seconds)
    return records


def lines(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Yield the lines of a table as plain tuples."""
    return table.itertuples(index=False, name=None)
