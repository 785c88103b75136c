"""The law of other people's runs: results are shown where nothing can be written; --out takes the files elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Lab, ordinary_user
from comparable import write_run

import dropout_lab as api
from dropout_lab.comparison.looks import FOLDER

SWEEP = "sweep tiny.yaml --rates 0.2 --seeds 2 --name sw"
FIVE, WORSE = [0.96, 0.97, 0.968, 0.97, 0.972], [0.95, 0.952, 0.955, 0.951, 0.957]
LINES = {  # a command, a text of its result, and the files that it then writes into --out
    "compare base drop": ("verdict", ("comparison.json", "comparison.csv", "curves.png", "looks.json")),
    f"{SWEEP} --quiet": ("sweep     sw", ("looks.json", "sweep.csv", "sweep.png")),
    "evaluate sw/rate-0.2 --samples 2 --quiet": (
        "run       sw/rate-0.2",
        ("evaluation.json", "images.csv", "scores.csv"),
    ),
    "plot base drop sw": ("", ("base.png", "drop.png", "base-vs-drop.png", "sw.png")),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with two runs and a sweep."""
    runs = tmp_path_factory.mktemp("archive") / "runs"
    for run in (write_run(runs, "base", FIVE), write_run(runs, "drop", WORSE, rate=0.5)):
        (run.path / "curves.png").touch()
    tiny = {"data": {"dataset": "digits"}, "network": {"hidden": [8]}, "training": {"epochs": 2}}
    api.sweep(tiny, [0.2], seeds=2, name="sw", runs_dir=runs)
    return runs


@pytest.fixture
def archive(trained: Path, lab: Lab) -> Iterator[Lab]:
    """The command line of somebody who may read these runs and not write."""
    lab.runs.symlink_to(trained)
    folders = [trained, *(path for path in trained.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    before = sorted(trained.rglob("*"))
    with ordinary_user():
        yield lab
    for folder in folders:
        folder.chmod(0o755)
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize("line", LINES)
def test_results_are_shown_first_and_then_what_could_not_be_written(line: str, archive: Lab) -> None:
    shown, _ = LINES[line]
    outcome = archive(line)
    assert outcome.code == 1 and shown in outcome.out and "written   " not in outcome.err, outcome
    assert "error: runs/" in outcome.err and "Permission denied" in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize("line", LINES)
def test_with_out_everything_is_written_elsewhere(line: str, archive: Lab) -> None:
    shown, files = LINES[line]
    outcome = archive(f"{line} --out pictures/here")
    there = {path.name for path in (archive.path / "pictures/here").iterdir()}
    assert outcome.code == 0 and shown in outcome.out and {*files} <= there, outcome


@pytest.mark.parametrize("line", [line for line in LINES if "plot" not in line])
def test_data_are_shown_as_text_is(line: str, archive: Lab) -> None:
    outcome = archive(f"{line} --json")
    assert outcome.code == 1 and json.loads(outcome.out)["schema_version"] and "Permission denied" in outcome.err


def test_a_look_that_is_not_remembered_is_said_and_costs_nothing(archive: Lab) -> None:
    said = f"note: this look is not remembered, and the next verdict may count as a first one: runs/{FOLDER}: cannot be"
    for line in ("compare base drop --out here", "report base drop", "report base drop --out page/of.html"):
        outcome = archive(line)
        assert outcome.code == 0 and outcome.err.count(said) == 1, outcome
    assert (archive.path / "report.html").stat().st_size and (archive.path / "page/of.html").stat().st_size
    with pytest.warns(UserWarning, match="this look is not remembered"):
        assert api.compare("base", "drop", out="there").contrasts[0].verdict.word == "worse"


def test_seeds_until_it_is_decided_are_shown_too(archive: Lab) -> None:
    outcome = archive("compare base drop --until-decided --max-seeds 5")
    assert outcome.code == 1 and "verdict" in outcome.out and "narrowed" in outcome.out, outcome
    assert "note: runs/_comparisons" in outcome.err


def test_a_page_that_cannot_be_written_is_a_failure(archive: Lab) -> None:
    outcome = archive("report base drop --out runs/page.html")
    assert outcome.code == 1 and "runs/page.html: cannot be written: Permission denied" in outcome.err


def test_python_has_out_as_well(archive: Lab) -> None:
    tiny = "tiny.yaml"
    api.sweep(tiny, [0.2], seeds=2, name="sw", out="swept")
    api.evaluate("sw/rate-0.2", 2, out="looked-at")
    assert (archive.path / "swept/sweep.csv").exists() and (archive.path / "looked-at/scores.csv").exists()
    with pytest.warns(UserWarning, match=r"runs/sw/sweep\.\w+: cannot be \w+: Permission denied"):
        assert len(api.sweep(tiny, [0.2], seeds=2, name="sw").lines) == 2


def test_pictures_of_one_name_do_not_replace_each_other(lab: Lab) -> None:
    for place in ("one", "two"):
        write_run(lab.path / place, "base", FIVE)
    assert lab("plot one/base two/base --out pictures").code == 0
    assert len({path.name for path in (lab.path / "pictures").iterdir()}) == 3


@pytest.mark.parametrize("line", [*LINES, "report base drop"])
def test_a_file_in_the_way_of_out_is_refused(line: str, archive: Lab) -> None:
    outcome = archive(f"{line} --out tiny.yaml/here.html")
    assert outcome.code == 2 and "--out: must be a directory, but tiny.yaml is none" in outcome.err
