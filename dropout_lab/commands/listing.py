"""Runs as a person reads them: the result of one run, the list of all runs, and the plan of what to train."""

from __future__ import annotations

import csv
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dropout_lab.commands.names import Options
from dropout_lab.commands.result import Result, failed
from dropout_lab.comparison import inference as statistics
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.config.noted import Noted
from dropout_lab.config.settings import Config
from dropout_lab.config.strict_yaml import written
from dropout_lab.data.datasets import described
from dropout_lab.errors import Refused
from dropout_lab.execution.layout import Layout
from dropout_lab.runs.find import find, state
from dropout_lab.runs.read import Run, config_of
from dropout_lab.runs.summary import RESULTS, Results, check_hash, read_summary
from dropout_lab.storage import read_file
from dropout_lab.text import (
    SPARKS,
    Line,
    Parts,
    as_markdown,
    as_text,
    count,
    flow,
    labelled,
    named_seeds,
    shown_seeds,
    sparkline,
    table,
)

SCHEMA_VERSION = 1
ARRAYS = ("weights.safetensors", "predictions.npz")
UNFOLDED = 10_000  # columns: the lines of a plan are wrapped later, not cut into blocks


def run_as_dict(run: Run) -> dict[str, Any]:
    """Return a finished run as plain data: where it is, and every seed's result as in summary.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": run.name,
        "path": str(run.path),
        "identity": run.summary.identity,
        "seeds": {seed: facts.model_dump() for seed, facts in run.summary.seeds.items()},
        "mean": {
            when: {key: estimate.mean for key, estimate in _estimates(run, when).items()} for when in ("last", "best")
        },
    }


def as_result(run: Run, failures: Sequence[str] = (), lost: Sequence[str] = ()) -> Result[Run]:
    """Return a finished run as a command shows it, with a line for each failure; seeds that diverged are one."""
    advice = f"{run.path}: {named_seeds(run.diverged)} diverged; try a smaller training.learning_rate"
    return Result(
        run,
        lambda width: as_text(parts(run), width),
        lambda: run_as_dict(run),
        markdown=lambda: as_markdown(parts(run)),
        lost=lost,
        error=failed([*failures, *[advice] * bool(run.diverged)]),
    )


def parts(run: Run) -> Parts:
    """Return what a run is, which seeds diverged or stopped early, the results, and the files."""
    lines = [labelled("run", f"{run.name}  {count(len(run.seeds), 'seed')} ({shown_seeds(run.seeds)})")]
    for seed, lost in run.summary.diverged.items():
        at = f"seed {seed} at epoch {lost.epoch}" + (f", step {lost.step}" if lost.step else "")
        lines.append(labelled("diverged", at))
    source = run.summary.imported
    if source and isinstance(run.config, Noted):
        found = ", ".join(f"{measure} from {column}" for measure, column in source.columns.items())
        lines.append(labelled("imported", f"{count(len(source.files), 'file')}, {source.kind}: {found}"))
        noted = ", ".join(f"{key} {written(value)}" for key, value in run.config.conditions.items())
        lines.append(labelled("noted", f"{noted or 'nothing'}; all else is unknown"))
    planned = 0 if source else run.trained.training.epochs
    for seed, facts in run.summary.finished.items():
        if facts.epochs < planned:
            at = f"seed {seed} after epoch {facts.epochs} of {planned}, gone back to epoch {facts.best_epoch}"
            lines.append(labelled("stopped", at))
    files = ", ".join(
        ["metrics.csv", "curves.png", "summary.json", *(name for name in ARRAYS if name in run.summary.files)]
    )
    results = [_table(run)] if len(run.diverged) < len(run.seeds) else []
    return [*lines, *results, labelled("files", f"{run.path}: {files}")]


def _table(run: Run) -> list[tuple[str, ...]]:
    last, best = _estimates(run, "last"), _estimates(run, "best")
    spread = " (± sd over seeds)" if len(run.seeds) > 1 else ""
    head = (f"mean{spread}", "last epoch", "best epoch (lowest val loss)")
    return [head, *((METRICS[key].label, _shown(key, last), _shown(key, best)) for key in RESULTS)]


def _estimates(run: Run, when: str) -> dict[str, statistics.Estimate]:
    """Return the estimate of every measure that has a finite value."""
    results: list[Results] = [getattr(facts, when) for facts in run.summary.finished.values()]
    values = {key: [value for result in results if math.isfinite(value := getattr(result, key))] for key in RESULTS}
    return {key: statistics.interval(own) for key, own in values.items() if own}


def _shown(key: str, estimates: dict[str, statistics.Estimate]) -> str:
    return METRICS[key].shown_estimate(estimates[key]) if key in estimates else "-"


def listing(options: Options) -> Result[list[dict[str, Any]]]:
    """Return the runs in the runs directory as a command shows them."""
    entries = list_runs(options.runs)
    return Result(
        entries,
        lambda width: list_as_text(entries, width) if entries else "",
        lambda: {"schema_version": SCHEMA_VERSION, "runs": entries},
        hint=f"no runs in {options.runs}; make one with `dropout-lab train digits-dropout`",
    )


def list_runs(directory: Path) -> list[dict[str, Any]]:
    """Return what is in a runs directory, newest first: finished, running, interrupted and damaged runs."""
    return [_describe(path, directory) for path in find(directory)]


def _describe(path: Path, directory: Path) -> dict[str, Any]:
    entry = {"name": str(path.relative_to(directory)), "path": str(path)}
    try:
        return entry | _facts(path)
    except Refused as refused:
        return entry | {"status": "damaged", "reason": str(refused.problems[0])}
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return entry | {"status": "damaged", "reason": f"{path / 'metrics.csv'}: is no table of epochs"}


def _facts(path: Path) -> dict[str, Any]:
    """Return how far a run has come. Read without pandas, so that the list appears at once."""
    summary, metrics = read_summary(path), path / "metrics.csv"
    config = config_of(path, summary)
    unchecked = b"" if summary or not metrics.exists() else read_file(metrics)
    curve = mean_curve((check_hash(metrics, summary) if summary else unchecked).decode())
    test = [facts.last.test_accuracy for facts in summary.finished.values()] if summary else []
    test = [accuracy for accuracy in test if math.isfinite(accuracy)]
    return {
        "status": "imported" if summary and summary.imported else state(path),
        "seeds": len((summary and summary.seeds) or config.seeds),
        "diverged": len(summary.diverged) if summary else 0,
        "epochs": len(curve),
        "epochs_asked": len(curve) if isinstance(config, Noted) else config.training.epochs,
        "test_accuracy": sum(test) / len(test) if test else None,
        "val_loss": curve,
    }


def mean_curve(metrics: str) -> list[float]:
    """Return the mean val_loss of each epoch over the seeds, from the text of metrics.csv."""
    values: dict[int, list[float]] = {}
    for row in csv.DictReader(metrics.splitlines()):
        values.setdefault(int(row["epoch"]), []).append(float(row["val_loss"]))
    return [sum(own) / len(own) for _, own in sorted(values.items())]


def list_as_text(entries: Sequence[dict[str, Any]], width: int = 100) -> str:
    """Return the list as a table, with a sparkline of the mean val_loss, and below it what is wrong with which run."""
    lines: list[Line] = [("run", "status", "seeds", "epochs", "test acc. %", "val loss".ljust(SPARKS))]
    lines += [_line(entry) for entry in entries]
    wrong = [labelled("damaged", entry["reason"]) for entry in entries if "reason" in entry]
    return "\n".join([*table(lines, width), *[""] * bool(wrong), *flow(wrong, width)])


def _line(entry: dict[str, Any]) -> Line:
    if "reason" in entry:
        return entry["name"], entry["status"], "-", "-", "-", ""
    accuracy, epochs = entry["test_accuracy"], str(entry["epochs"])
    return (
        entry["name"],
        entry["status"],
        f"{entry['seeds']} ({entry['diverged']} diverged)" if entry["diverged"] else str(entry["seeds"]),
        epochs if entry["status"] in ("finished", "imported") else f"{epochs}/{entry['epochs_asked']}",
        "-" if accuracy is None else f"{100 * accuracy:.2f}",
        sparkline(entry["val_loss"]).ljust(SPARKS),
    )


def plan_as_text(
    plan: Sequence[tuple[Path, Config, Sequence[int]]], layouts: Mapping[str, Layout], width: int = 100
) -> str:
    """Return a line per run (directory, network, dropout, seeds to train), and a line per device on how it trains."""
    total = sum(len(missing) for _, _, missing in plan)
    head = f"plan: {count(len(plan), 'run')}, {count(total, 'network') if total else 'nothing'} to train"
    body = [(f"  {path}", *_conditions(config), _left(config, missing)) for path, config, missing in plan]
    how = [f"  on {device}: {layout}" for device, layout in layouts.items()]
    lines = table([("",) * len(body[0]), *body], UNFOLDED)[1:] if body else []
    made = [f"  {text}" for text in _tables(plan)]
    return "\n".join([head, *(part for line in [*lines, *made, *how] for part in wrapped(line, width))])


def wrapped(line: str, width: int) -> list[str]:
    """Wrap a line of a plan; its continuation lines are indented."""
    return textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)


def plan_as_dict(plan: Sequence[tuple[Path, Config, Sequence[int]]], layouts: Mapping[str, Layout]) -> dict[str, Any]:
    """Return the plan as plain data: each run's directory, its seeds, the seeds to train, and the layout."""
    runs = [{"path": str(path), "seeds": config.seeds, "to_train": tuple(missing)} for path, config, missing in plan]
    how = {device: asdict(layout) for device, layout in layouts.items()}
    made = {"tables": texts} if (texts := _tables(plan)) else {}
    return {"schema_version": SCHEMA_VERSION, "plan": runs, "layout": how, **made}


def _tables(plan: Sequence[tuple[Path, Config, Sequence[int]]]) -> list[str]:
    """Return a line for each table that is trained on: which inputs and classes its columns make."""
    used = dict.fromkeys((config.data.dataset, config.data.parts) for _, config, missing in plan if missing)
    return list(filter(None, dict.fromkeys(described(*of) for of in used)))


def _conditions(config: Config) -> tuple[str, str, str]:
    dropout = config.dropout
    hidden = "-".join(map(str, config.widths)) or "no hidden layer"
    what = [f"{dropout.kind} {written(dropout.rate)} {dropout.manner}".rstrip()] * any(config.rates)
    what += [f"input {written(dropout.input_rate)}"] * bool(dropout.input_rate)
    return (
        f"{Path(config.data.dataset).name} {hidden}",
        ", ".join(what) or "no dropout",
        count(config.training.epochs, "epoch"),
    )


def _left(config: Config, missing: Sequence[int]) -> str:
    return f"{named_seeds(config.seeds)} ({f'{len(missing)} to train' if missing else 'finished'})"
