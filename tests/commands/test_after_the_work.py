"""The laws of what comes after the work: a picture or file that cannot be written costs no result."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commandline import Lab
from comparable import write_run

import dropout_lab as api
from dropout_lab.commands import doctor, evaluate, tracking
from dropout_lab.errors import Failed
from dropout_lab.evaluation.evaluate import Evaluation
from dropout_lab.figures import plots, style

COMMAND = [sys.executable, "-m", "dropout_lab"]
STEERED = {
    "a backend that is not installed": {"MPLBACKEND": "module://no_such_package.backend"},
    "a backend that was renamed": {"MPLBACKEND": "Qt4Agg"},
    "settings that are no text": {"MATPLOTLIBRC": "settings"},
}


@pytest.fixture
def cannot_draw(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The command line, beside a matplotlib that raises what is no error of ours."""

    def draw(*_: Any) -> None:
        raise ValueError("Key backend: 'Qt4Agg' is not a valid value")

    monkeypatch.setattr(plots, "save", draw)
    return lab


def run(lab: Lab, line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *line.split()], env=os.environ | environment, capture_output=True, text=True)


@pytest.mark.parametrize("how", STEERED)
def test_nothing_that_steers_matplotlib_steers_the_command_line(how: str, lab: Lab) -> None:
    (lab.path / "settings").write_bytes(b"\xff\xfe\x00")
    write_run(lab.runs, "base", [0.9, 0.91])
    result = run(lab, "plot base", STEERED[how])
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert (lab.runs / "base/curves.png").exists()


def test_a_matplotlib_that_does_not_start_costs_a_picture_and_doctor_sees_it(lab: Lab) -> None:
    (lab.path / "matplotlibrc").write_bytes(b"\xff\xfe\x00")  # matplotlib reads this one first, whatever is set
    trained = run(lab, "train tiny.yaml --quiet", {})
    assert trained.returncode == 0 and "val loss" in trained.stdout
    assert "note: runs/tiny/curves.png: not written: UnicodeDecodeError" in trained.stderr
    checked = run(lab, "doctor", {})
    assert checked.returncode == 1 and "BAD  matplotlib" in checked.stdout


def test_a_picture_that_nobody_asked_for_is_noted(cannot_draw: Lab) -> None:
    lab = cannot_draw
    for line, picture in {
        "train tiny.yaml --seeds 2 --quiet": "runs/tiny/curves.png",
        "compare tiny configs/digits-dropout.yaml --smoke --quiet": "curves.png",
        "sweep tiny.yaml --rates 0.2 --seeds 2 --quiet": "sweep.png",
    }.items():
        outcome = lab(line)
        assert outcome.code == 0 and outcome.out and f"{picture}: not written: ValueError" in outcome.err, outcome


def test_one_that_was_asked_for_is_an_error_after_the_result(cannot_draw: Lab) -> None:
    lab = cannot_draw
    assert lab("train tiny.yaml --quiet").code == 0
    for line in ("evaluate tiny --samples 2 --quiet", "theory --out pictures"):
        outcome = lab(line)
        assert outcome.code == 1 and outcome.out and "error: " in outcome.err and "not written" in outcome.err
        assert "written   " not in outcome.err


def test_a_page_of_claims_that_cannot_be_written_costs_no_verdict(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from dropout_lab.claims import page

    monkeypatch.setattr(page, "picture", lambda judged: 1 / 0)
    outcome = lab("reproduce T1 --out page.html --quiet")
    assert outcome.code == 1 and "HOLDS" in outcome.out and "page.html: not written: ZeroDivisionError" in outcome.err


def test_events_that_cannot_be_written_cost_no_table(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab("train tiny.yaml --quiet").code == 0

    def fail(run: api.Run) -> None:
        raise Failed("runs/tiny/tensorboard: cannot be written: No space left on device")

    monkeypatch.setattr(tracking, "check", lambda tool: None)
    monkeypatch.setattr(tracking, "complete", fail)
    outcome = lab("train tiny.yaml --track tensorboard --quiet")
    assert outcome.code == 1 and "val loss" in outcome.out and "No space left" in outcome.err


def test_python_is_warned_of_files_that_were_not_written(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise Failed(f"{path}: cannot be written: No space left on device")

    found = api.train("tiny.yaml")
    monkeypatch.setattr(evaluate, "atomic_write", full)
    with pytest.warns(UserWarning, match=r"evaluation.json: cannot be written"):
        assert isinstance(api.evaluate(found, 2), Evaluation)


def test_doctor_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._matplotlib().ok
    monkeypatch.setattr(style, "panels", lambda *titles: 1 / 0)
    assert doctor._matplotlib().ok is False
