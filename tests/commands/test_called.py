"""The laws of names: runs that are shown together are told apart, and the files about two runs never meet."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from commandline import Lab
from comparable import write_run
from hypothesis import given
from hypothesis import strategies as st

from dropout_lab.commands import compare as comparing
from dropout_lab.commands import live_page, names, progress
from dropout_lab.config import resolve as configs
from dropout_lab.execution.units import EpochDone, Task
from dropout_lab.figures import plots
from dropout_lab.runs.find import called
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import Row
from dropout_lab.sweeps.plan import run_name
from dropout_lab.text import shortened

PART = st.sampled_from(["a", "b", "a_b", "a-vs-b"])


@pytest.fixture
def two(lab: Lab) -> Lab:
    """Two sweeps, small and big, each with a run rate-0.2."""
    for sweep, width, scores in ("small", 8, [0.9, 0.91, 0.92]), ("big", 99, [0.95, 0.96, 0.98]):
        write_run(lab.runs / sweep, "rate-0.2", scores, rate=0.2, network={"hidden": [width]})
        planned = f"name: {sweep}\nruns: [{{name: rate-0.2, settings: {{dropout.rate: 0.2}}, baseline: null}}]\n"
        (lab.runs / sweep / "sweep.yaml").write_text(planned)
    return lab


@given(st.lists(st.lists(PART, min_size=1, max_size=4).map("/".join), min_size=2, max_size=6, unique=True))
def test_every_run_has_a_name_of_its_own_and_no_longer_one_than_that_takes(paths: list[str]) -> None:
    found = [*called(Path("runs") / path for path in paths).values()]
    assert len({*found}) == len(paths)
    last = [path.rpartition("/")[2] for path in paths]
    for path, name in zip(paths, found, strict=True):
        assert f"/runs/{path}".endswith(f"/{name}") or name.endswith(f"runs/{path}")
        if last.count(path.rpartition("/")[2]) == 1:
            assert "/" not in name


def test_a_run_of_a_sweep_that_is_shown_alone_has_its_sweeps_name(two: Lab) -> None:
    small, single = two.runs / "small/rate-0.2", write_run(two.runs, "single", [0.9]).path
    assert called([small]) == {small: "small/rate-0.2"} and called([single]) == {single: "single"}
    assert called([small, single]) == {small: "rate-0.2", single: "single"}


def test_runs_of_one_name_are_told_apart_in_all_that_compare_says(two: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(plots, "comparison", lambda shown: drawn.append([run.name for run in shown]))
    line = "compare small/rate-0.2 big/rate-0.2"
    outcome = two(line, "--fail-if", "better", "--explain")
    assert outcome.out.startswith("baseline  small/rate-0.2  3 seeds (0-2)\ncandidate big/rate-0.2  3 seeds")
    assert outcome.code == 3 and "gate: " in outcome.err
    found = json.loads(two(line, "--json").out)
    assert [found["baseline"]["name"], found["candidates"][0]["name"]] == drawn[0] == ["small/rate-0.2", "big/rate-0.2"]
    (first, *_) = csv.DictReader(io.StringIO(two(line, "--csv").out))
    assert (first["baseline"], first["candidate"]) == ("small/rate-0.2", "big/rate-0.2")
    tripped = two(line, "--fail-if", "test_accuracy: rise > 0.1pp")
    assert "of big/rate-0.2 rose" in tripped.err and "against small/rate-0.2" in tripped.err
    several = (
        two("compare single small/rate-0.2 big/rate-0.2") if write_run(two.runs, "single", [0.9, 0.9, 0.91]) else None
    )
    assert several and all(f"\n{name} " in several.out for name in ("small/rate-0.2", "big/rate-0.2"))
    looks = json.loads((two.runs / "_comparisons/single-vs-small_rate-0.2-vs-big_rate-0.2/looks.json").read_text())
    assert looks.keys() == {"small/rate-0.2", "big/rate-0.2"}


def test_so_they_are_in_reports_pictures_and_progress(two: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    compose = plots.compose
    monkeypatch.setattr(
        plots, "compose", lambda figure, title, *more: (titles.append(title), compose(figure, title, *more))[1]
    )
    assert two("plot small/rate-0.2 big/rate-0.2").code == 0
    assert titles == ["small/rate-0.2", "big/rate-0.2", "small/rate-0.2 against big/rate-0.2"]
    write_run(two.runs, "single", [0.9, 0.9, 0.91])
    assert two("plot single small/rate-0.2").code == 0
    assert titles[3:] == ["single", "small/rate-0.2", "single against rate-0.2"]
    assert two("report small/rate-0.2 big/rate-0.2").code == 0
    assert "<title>small/rate-0.2 against big/rate-0.2" in (two.path / "report.html").read_text()


@pytest.mark.parametrize("line", ["plot", "evaluate", "compare single", "report single"])
@pytest.mark.parametrize("file", ["small/rate-0.2/weights.safetensors", "small/sweep.csv"])
def test_a_file_of_a_run_or_sweep_is_answered_with_its_name(line: str, file: str, two: Lab) -> None:
    """Other tools take the file of a network; as a config it would be refused with a line for each of its keys."""
    (two.runs / file).write_text("weights")
    write_run(two.runs, "single", [0.9, 0.9, 0.91])
    outcome, folder = two(f"{line} runs/{file}"), f"runs/{file.rpartition('/')[0]}"
    said = f"dropout-lab: error: command line: run: is a file of {folder}: name that (got runs/{file})\n"
    assert outcome.err == said and outcome.code == 2


def test_so_they_are_while_they_train(lab: Lab) -> None:
    config = configs.resolve({"training": {"epochs": 1}}, where="test", name="x")
    tasks = [Task(Job(lab.runs / sweep / "rate-0.2", config), 0) for sweep in ("small", "big")]
    epochs = {task.job.path: 1 for task in tasks}
    row = Row(0, 1, *[0.5] * 7)
    told = progress.Lines(progress.Tally(2), epochs)
    assert "  small/rate-0.2, 1 seed  " in str(told.of(EpochDone({tasks[0]: row}, 0.1)))
    told = progress.Lines(progress.Tally(2), epochs)
    assert "  2 networks  " in str(told.of(EpochDone(dict.fromkeys(tasks, row), 0.1)))
    board = progress.Board(epochs)
    assert [*board.names.values()] == ["small/rate-0.2", "big/rate-0.2"]
    shown = live_page._LivePage(lab.path / "page.html", str)
    shown.take(EpochDone(dict.fromkeys(tasks, row), 0.1))
    assert all(f"{sweep}/rate-0.2" in (lab.path / "page.html").read_text() for sweep in ("small", "big"))


def test_each_candidate_has_its_own_way_until_it_is_decided(two: Lab) -> None:
    write_run(two.runs, "single", [0.9, 0.9, 0.91, 0.9, 0.92, 0.91])
    for sweep in "small", "big":
        (two.runs / sweep / "rate-0.2").rename(two.path / sweep)
        write_run(
            two.runs / sweep,
            "rate-0.2",
            [0.95, 0.96, 0.98, 0.96, 0.97, 0.96],
            rate=0.2,
            network={"hidden": [len(sweep)]},
        )
    outcome = two("compare single small/rate-0.2 big/rate-0.2 --until-decided --max-seeds 6 --json")
    path = json.loads(outcome.out)["until_decided"]["path"]
    assert [point["candidate"] for point in path] == ["small/rate-0.2", "big/rate-0.2"]


def test_no_two_comparisons_share_a_directory() -> None:
    options = names.Options(Path("runs"), Path("data"))
    config = configs.resolve({}, where="test", name="x")
    runs = [Job(Path("runs") / path, config) for path in ("a", "b", "a-vs-b", "b-vs-b", "a/b")]
    chosen = [some for many in (1, 2, 3) for some in itertools.permutations(runs, many)]
    assert len({comparing.comparison_directory(some, options) for some in chosen}) == len(chosen)


def test_files_about_two_runs_never_meet(two: Lab, tmp_path: Path) -> None:
    options = names.Options(Path("runs"), Path("data"))
    word = names.label(Path("runs/small/rate-0.2"), options)
    assert word == "small_rate-0.2" == names.label(two.runs / "small/rate-0.2", options)  # however it is written
    write_run(two.runs, "small_rate-0.2", [0.9])
    both = [names.label(Path("runs") / name, options) for name in ("small/rate-0.2", "small_rate-0.2")]
    assert both[0] != both[1] == "small_rate-0.2" and both[0].startswith("small_rate-0.2-")
    elsewhere = [names.label(two.path / place / "rate-0.2", options) for place in ("x", "y")]
    assert len({*elsewhere}) == 2 and all(name.startswith("rate-0.2-") for name in elsewhere)
    assert not any(os.sep in name for name in [*both, *elsewhere])


def test_cut_names_are_those_of_before() -> None:
    assert shortened("x" * 70, "12345678", 64) == "x" * 55 + "-12345678"
    identity = "abcdef0123456789"
    assert run_name({"data.dataset": "y" * 80}, identity) == f"dataset-{'y' * 47}-abcdef01"
    options = names.Options(Path("runs"), Path("data"))
    config = configs.resolve({}, where="test", name="x")
    many = [Job(Path("runs") / f"{number}{'x' * 60}", config) for number in range(4)]
    joined = "-vs-".join(job.path.name for job in many)
    assert (
        comparing.comparison_directory(many, options).name == f"{joined[:200]}-{comparing.sha256(joined.encode())[:12]}"
    )
