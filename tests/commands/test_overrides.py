"""KEY=VALUE words of `compare` and `sweep` change what is trained, as they do in `train`."""

from __future__ import annotations

import re

import pytest
from commandline import REFUSAL, Lab

import dropout_lab as package
from dropout_lab.config import resolve as configs


def epochs(lab: Lab, run: str) -> int:
    return configs.load(lab.runs / run / "config.yaml").training.epochs


def test_compare_trains_what_the_overrides_say(lab: Lab) -> None:
    (lab.path / "other.yaml").write_text((lab.path / "tiny.yaml").read_text() + "dropout: {rate: 0}\n")
    outcome = lab("compare other.yaml training.epochs=1 tiny.yaml network.hidden=[4] --quiet")
    assert outcome.code == 0 and "differs   dropout.rate 0.0 -> 0.5" in outcome.out
    assert epochs(lab, "tiny") == epochs(lab, "other") == 1
    again = lab("compare other tiny training.epochs=1 --quiet")
    assert again.code == 0, "a run that the override leaves as it is"
    before = lab.tree()
    refused = lab("compare other tiny training.epochs=3")
    assert refused.code == 2 and lab.tree() == before
    lines = refused.err.splitlines()
    assert len(lines) == 2 and all(re.fullmatch(REFUSAL, line) for line in lines)
    assert "training.epochs: this run exists with another value (1)" in lines[0]


def test_a_word_with_an_equals_sign_that_is_a_path_is_a_path(lab: Lab) -> None:
    (lab.path / "lr=1.yaml").write_text((lab.path / "tiny.yaml").read_text() + "name: one\n")
    assert lab("compare lr=1.yaml tiny.yaml training.epochs=1 --dry-run").code == 0
    wrong = lab("compare tiny.yaml other.yaml lr=2.yaml training.epoch=1")
    assert wrong.code == 2 and "training.epoch: unknown key" in wrong.err and "lr: unknown key" in wrong.err


@pytest.mark.parametrize("line", ["sweep tiny.yaml training.epochs=1", "sweep training.epochs=1 data.dataset=digits"])
def test_a_sweep_trains_what_the_overrides_say(line: str, lab: Lab) -> None:
    assert lab(f"{line} --rates 0.5 --name s --dry-run").out.count("1 epoch ") == 2


def test_in_python_they_are_a_keyword(lab: Lab) -> None:
    tiny = {"data": {"dataset": "digits"}, "network": {"hidden": [8]}}
    few = ["training.epochs=1"]
    table = package.sweep(tiny, [0.5], overrides=few, name="s")
    assert {run.run.config.training.epochs for run in table.lines if run.run} == {1}
    package.compare(tiny | {"name": "a"}, tiny | {"name": "b", "dropout": {"rate": 0}}, overrides=few)
    assert epochs(lab, "a") == 1
