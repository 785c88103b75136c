"""Write docs/reference.md from the code: `python docs/reference.py`. A test holds the two together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.main import get_command

from dropout_lab.claims.registry import CLAIMS
from dropout_lab.claims.theory import THEOREMS
from dropout_lab.cli import app
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.terms import WORDS
from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import SETTINGS, schema_of
from dropout_lab.config.strict_yaml import written
from dropout_lab.data.datasets import DATASETS
from dropout_lab.data.scale import SCALES
from dropout_lab.dropout import DROPOUTS, SCHEDULES
from dropout_lab.figures.plots import PLOTS
from dropout_lab.runs.row import COLUMNS
from dropout_lab.text import markdown_row

TARGET = Path(__file__).with_name("reference.md")


def reference() -> str:
    """Return the whole page."""
    parts = [
        "# Reference",
        "",
        "Made from the code by `python docs/reference.py`.",
        "",
        "## Commands",
        *commands(),
        "## Config keys",
        "",
        *table(("key", "default", "meaning"), keys()),
        "## What there is to choose from",
        "",
        *table(("kind of dropout", ""), ((f"`{name}`", kind.title) for name, kind in DROPOUTS.items())),
        "Schedules: " + ", ".join(f"`{name}`" for name in SCHEDULES) + ".",
        "Scales: " + ", ".join(f"`{name}`" for name in SCALES) + ".",
        "",
        *table(
            ("data set", "", "training", "test"),
            ((f"`{n}`", d.title, f"{d.train_count:,}", f"{d.test_count:,}") for n, d in DATASETS.items()),
        ),
        *table(
            ("metric", "", "better is", "meaning"),
            ((f"`{n}`", m.label, "higher" if m.higher_is_better else "lower", m.about) for n, m in METRICS.items()),
        ),
        *table(("word of a comparison", "meaning"), WORDS.items()),
        *table(("plot", ""), ((f"`{name}`", plot.about) for name, plot in PLOTS.items())),
        *table(("theorem", ""), ((name, theorem.statement) for name, theorem in THEOREMS.items())),
        *table(("claim", "", "source"), ((name, c.sentence, c.source) for name, c in CLAIMS.items())),
        "Columns of metrics.csv: " + ", ".join(f"`{name}`" for name in COLUMNS) + ".",
    ]
    return "\n".join(parts) + "\n"


def commands() -> list[str]:
    """Return the help of every command, in order."""
    lines: list[str] = []
    root: Any = get_command(app)
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        for words, own in [(name, command)] if not inner else [(f"{name} {n}", c) for n, c in inner.items()]:
            context = own.make_context(f"dropout-lab {words}", [], resilient_parsing=True)
            context.terminal_width = context.max_content_width = 100
            lines += ["", f"### dropout-lab {words}", "", "```", own.get_help(context).strip(), "```"]
    return [*lines, ""]


def keys() -> list[tuple[str, ...]]:
    """Return a row for every key of a config."""
    defaults = configs.flatten(configs.resolve({}, where="defaults", name="x"))
    rows = []
    for at in SETTINGS:
        key = ".".join(at)
        default = "the file's stem" if key == "name" else written(defaults[key])
        rows.append((f"`{key}`", f"`{default}`", schema_of(at[:-1])["properties"][at[-1]]["description"]))
    return rows


def table(head: tuple[str, ...], rows: Any) -> list[str]:
    """Return a Markdown table and an empty line."""
    body = [markdown_row(cell.replace("|", "\\|") for cell in row) for row in rows]
    return [markdown_row(head), markdown_row("---" for _ in head), *body, ""]


if __name__ == "__main__":
    TARGET.write_text(reference())
