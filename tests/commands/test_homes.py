"""The law of paths: wherever a user gives one, ~ at its beginning is the user's home."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import typer
from commandline import Lab
from comparable import write_run

import dropout_lab as api
from dropout_lab import cli
from dropout_lab.commands import export
from dropout_lab.errors import Refused

# A line for each parameter that is a path, and the file that is then in the home.
LINES = {
    "train config": ("train ~/own.yaml --dry-run", "own.yaml"),
    "train runs_dir": ("train tiny.yaml --runs-dir=~/new --quiet", "new/tiny/summary.json"),
    "train live_page": ("train tiny.yaml --name x --quiet --live-page=~/train.html", "train.html"),
    "compare live_page": ("compare base drop --runs-dir=~/runs --live-page=~/compare.html", "compare.html"),
    "sweep live_page": ("sweep tiny.yaml --rates 0.2 --quiet --live-page=~/sweep.html", "sweep.html"),
    "variance config": ("variance ~/own.yaml --levels 2 --dry-run", "own.yaml"),
    "lesson out": ("lesson --out=~/lesson.html --dry-run", "own.yaml"),
    "compare out": ("compare base drop --runs-dir=~/runs --out=~/out", "out/comparison.json"),
    "sweep config": ("sweep ~/own.yaml --rates 0.2 --dry-run", "own.yaml"),
    "reproduce out": ("reproduce T1 --quiet --out=~/claims.html", "claims.html"),
    "sweep out": ("sweep tiny.yaml --rates 0.2 --quiet --out=~/swept", "swept/sweep.csv"),
    "evaluate out": ("evaluate ~/new/tiny --samples 2 --quiet --out=~/looked-at", "looked-at/scores.csv"),
    "plot out": ("plot ~/runs/base --out=~/drawn", "drawn/base.png"),
    "report out": ("report ~/runs/base ~/runs/drop --out=~/r.html", "r.html"),
    "theory out": ("theory --out=~/pictures", "pictures/theory.png"),
    "validate config": ("validate ~/own.yaml", "own.yaml"),
    "fetch data_dir": ("data fetch digits --data-dir=~/data", "own.npz"),
    "fetch dataset": ("data fetch ~/own.npz", "own.npz"),
    "verify dataset": ("data verify ~/own.npz", "own.npz"),
    "evaluate name": ("evaluate ~/new/tiny --samples 2 --quiet", "new/tiny/summary.json"),
    "plot names": ("plot ~/runs/base", "runs/base/curves.png"),
    "overrides": ("train tiny.yaml data.dataset=~/own.npz --name own --quiet", "own.npz"),
}


@pytest.fixture
def home(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, apart from the directory to work in, with runs, a config and a data set."""
    home = lab.path.with_name(lab.path.name + "-home")
    monkeypatch.setenv("HOME", str(home))
    write_run(home / "runs", "base", [0.9, 0.91])
    write_run(home / "runs", "drop", [0.8, 0.82], rate=0.5)
    rows = np.random.default_rng(0).random((40, 4), np.float32)
    np.savez(home / "own.npz", x_train=rows, y_train=np.arange(40) % 2)
    (home / "own.yaml").write_text("data: {dataset: ~/own.npz}\nnetwork: {hidden: [8]}\ntraining: {epochs: 1}\n")
    return home


def test_every_path_of_the_command_line_begins_at_home(home: Path, lab: Lab) -> None:
    for line, file in LINES.values():
        outcome = lab(line)
        assert outcome.code == 0 and (home / file).exists(), (line, outcome)
    assert not (lab.path / "~").exists()


def test_no_path_of_a_command_is_forgotten_here() -> None:
    shared = {"runs_dir", "data_dir"}  # of every command, and read by one function
    for command in (*cli.app.registered_commands, *cli.data_app.registered_commands):
        hints: dict[str, Any] = get_type_hints(command.callback)
        for name in inspect.signature(command.callback or typer.Typer).parameters:
            if name not in shared and hints[name] in (Path, Path | None):
                assert command.callback and f"{command.callback.__name__} {name}" in LINES


def test_every_path_of_python_begins_at_home(home: Path, lab: Lab) -> None:
    config = {"data": {"dataset": "~/own.npz"}, "network": {"hidden": [8]}, "training": {"epochs": 1}}
    run = api.train(config, runs_dir="~/mine", data_dir="~/data")
    assert api.train("~/own.yaml", runs_dir=Path("~/mine")).path.parent == run.path.parent == home / "mine"
    base = api.load("~/runs/base")
    api.compare(base, "~/runs/drop", out="~/compared", runs_dir="~/runs")
    assert (home / "compared/comparison.json").exists() and api.plot("~/runs/base", "~/runs/drop")
    api.evaluate("~/mine/own", 2, runs_dir="~/mine")
    assert not (lab.path / "~").exists()


def test_the_database_of_an_export_is_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "require", lambda *_, **__: None)
    assert export.database("mlflow:sqlite:///~/x.db") == home / "x.db"
    for user in ("~nobody-of-this-name", "~\0"):
        with pytest.raises(Refused, match="home that is not known"):
            export.database(f"mlflow:sqlite:///{user}/x.db")
