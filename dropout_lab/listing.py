"""Runs as a person reads them: one run's result, and the list of those in a directory."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dropout_lab import runs, statistics
from dropout_lab.errors import LabError, printable
from dropout_lab.layout import table
from dropout_lab.runs import Run
from dropout_lab.wording import count, shown_seeds

SCHEMA_VERSION = 1
BLOCKS = "▁▂▃▄▅▆▇█"
SPARKS = 20  # characters of a sparkline
MEASURES = {
    "val_loss": "val loss",
    "val_accuracy": "val accuracy %",
    "test_loss": "test loss",
    "test_accuracy": "test accuracy %",
}


def run_as_dict(run: Run) -> dict[str, Any]:
    """Return a finished run as plain data: where it is, and every seed's result as in summary.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": run.name,
        "path": str(run.path),
        "identity": run.summary["identity"],
        "seeds": run.summary["seeds"],
        "mean": {
            when: {key: estimate.mean for key, estimate in _estimates(run, when).items()} for when in ("last", "best")
        },
    }


def run_as_text(run: Run) -> str:
    """Return what a run came to: means and spreads over its seeds, at the last and at the best epoch, and its files."""
    lines = [f"run       {run.name}  {count(len(run.seeds), 'seed')} ({shown_seeds(run.seeds)})"]
    lines += [f"diverged  seed {seed} at epoch {epoch}, step {step}" for seed, epoch, step in _diverged(run)]
    lines += ["", *table(_table(run), 100, fold=9), ""]
    lines.append(f"files     {run.path}: metrics.csv, curves.png, summary.json, weights.safetensors, predictions.npz")
    return "\n".join(lines)


def run_as_markdown(run: Run) -> str:
    """Return the table of `run_as_text` as Markdown."""
    head, *body = _table(run)
    rows = [head, ("---",) * len(head), *body]
    return f"**{run.name}**\n\n" + "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _table(run: Run) -> list[tuple[str, ...]]:
    last, best = _estimates(run, "last"), _estimates(run, "best")
    spread = " (± sd over seeds)" if len(run.seeds) > 1 else ""
    head = (f"mean{spread}", "last epoch", "best epoch (lowest val loss)")
    return [head, *((title, _shown(key, last), _shown(key, best)) for key, title in MEASURES.items())]


def _estimates(run: Run, when: str) -> dict[str, statistics.Estimate]:
    facts = [facts[when] for facts in run.summary["seeds"].values() if facts["status"] == "finished"]
    return {key: statistics.interval([fact[key] for fact in facts]) for key in MEASURES} if facts else {}


def _diverged(run: Run) -> list[tuple[str, int, int]]:
    seeds = run.summary["seeds"].items()
    return [(seed, facts["epoch"], facts["step"]) for seed, facts in seeds if facts["status"] == "diverged"]


def _shown(key: str, estimates: dict[str, statistics.Estimate]) -> str:
    if key not in estimates:
        return "-"
    factor, digits = (100, 2) if key.endswith("accuracy") else (1, 4)
    estimate = estimates[key]
    spread = f" ±{factor * estimate.sd:.{digits}f}" if estimate.sd is not None else ""
    return f"{factor * estimate.mean:.{digits}f}{spread}"


# The list of runs


def list_runs(directory: Path) -> list[dict[str, Any]]:
    """Return what is in a runs directory, newest first: finished, running, interrupted and damaged runs."""
    return [_describe(path, directory) for path in runs.find(directory)]


def _describe(path: Path, directory: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": str(path.relative_to(directory)), "path": str(path)}
    try:
        summary = runs.read_summary(path)
        curve = list(mean_curve(path / "metrics.csv"))
        seeds = summary["seeds"] if summary else {}
        test = [facts["last"]["test_accuracy"] for facts in seeds.values() if facts["status"] == "finished"]
        diverged = sum(facts["status"] == "diverged" for facts in seeds.values())
    except (LabError, OSError, ValueError, KeyError, TypeError) as error:
        return entry | {"status": "damaged", "reason": printable(str(error))}
    accuracy = sum(test) / len(test) if test else None
    return entry | {
        "status": runs.state(path),
        "seeds": len(seeds),
        "diverged": diverged,
        "epochs": len(curve),
        "test_accuracy": accuracy,
        "val_loss": curve,
    }


def mean_curve(metrics: Path) -> Iterable[float]:
    """Return the mean val_loss of each epoch over the seeds, read without pandas: a list should come at once."""
    totals: dict[int, list[float]] = {}
    if metrics.exists():
        with metrics.open(newline="") as file:
            for row in csv.DictReader(file):
                totals.setdefault(int(row["epoch"]), []).append(float(row["val_loss"]))
    return [sum(values) / len(values) for _, values in sorted(totals.items())]


def list_as_text(entries: Sequence[dict[str, Any]], width: int = 100) -> str:
    """Return the list as a table, with a sparkline of the mean val_loss."""
    lines: list[tuple[str, ...]] = [("run", "status", "seeds", "epochs", "test acc. %", "val loss")]
    for entry in entries:
        accuracy = entry.get("test_accuracy")
        lines.append(
            (
                entry["name"],
                entry["status"],
                str(entry.get("seeds", "-")),
                str(entry.get("epochs", "-")),
                "-" if accuracy is None else f"{100 * accuracy:.2f}",
                sparkline(entry.get("val_loss", [])) or entry.get("reason", ""),
            )
        )
    return "\n".join(table(lines, width, fold=6))


def sparkline(values: Sequence[float]) -> str:
    """Return the values as at most 20 small bars, lowest to highest."""
    if not values:
        return ""
    step = max(1, len(values) / SPARKS)
    chosen = [values[int(at * step)] for at in range(min(len(values), SPARKS))]
    low, high = min(chosen), max(chosen)
    return "".join(BLOCKS[int((value - low) / (high - low) * 7) if high > low else 0] for value in chosen)
