"""The laws of the command line: what is asked for is done once, what is refused changes nothing, codes tell which."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from commands import REFUSAL, TINY, Lab
from comparable import write_run
from typer.main import get_command

from dropout_lab import cli, terminal

HEAVY = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "scipy", "sklearn", "rich")
NO_DEVICE = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, capsys, monkeypatch)


@pytest.fixture
def judged(lab: Lab) -> Lab:
    """A laboratory with two finished runs of five seeds; `drop` is 0.3 pp worse than `base`."""
    accuracies = [0.97, 0.972, 0.974, 0.971, 0.973]
    write_run(lab.runs, "base", accuracies)
    write_run(lab.runs, "drop", [value - shift for value, shift in zip(accuracies, (0.002, 0.004, 0.003, 0.003, 0.003))], rate=0.5)
    return lab


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words; the program itself has none."""
    root = get_command(cli.app)
    yield (), root
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        yield (name,), command
        for inner, below in getattr(command, "commands", {}).items():
            yield (name, inner), below


COMMANDS = dict(commands())


# Help


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_ends_with_an_example_that_parses(words: tuple[str, ...], lab: Lab) -> None:
    outcome = lab(*words, "--help")
    assert outcome.code == 0 and not outcome.err
    examples = re.findall(r"^    (dropout-lab .*)$", outcome.out.partition("Example:")[2], re.MULTILINE)
    assert examples
    for line in examples:
        program, *rest = shlex.split(re.split(" && | > (?!0)", line)[0])
        name = max((key for key in COMMANDS if tuple(rest[: len(key)]) == key), key=len)
        assert program == "dropout-lab" and name[: len(words)] == words
        with COMMANDS[name].make_context("x", rest[len(name) :]):  # raises where it does not parse
            pass


def test_one_line_about_every_command(lab: Lab) -> None:
    lines = lab("--help").out.partition("Commands:")[2].partition("Example:")[0].strip().splitlines()
    assert len(lines) == 10
    assert all(re.fullmatch(r" *\w+  +[A-Z].*\.", line) and "..." not in line for line in lines)


def test_version(lab: Lab) -> None:
    assert re.fullmatch(r"dropout-lab \d+\.\d+\.\d+\n", lab("--version").out)


# Refusals


REFUSED = [
    # the command line
    ("", "command: is missing"),
    ("trian", "command: no such command 'trian', did you mean 'train'?"),
    ("data fetsh", "command: no such command 'fetsh', did you mean 'fetch'?"),
    ("train", "CONFIG: is missing"),
    ("compare", "A B [C ...]: is missing"),
    ("train tiny.yaml --sedes 3", "--sedes: no such option, did you mean --seeds?"),
    ("schema extra", "command: got unexpected extra argument"),
    ("sweep --rates", "--rates: option '--rates' requires an argument"),
    ("sweep --rates 0.1 --jobs 0", "--jobs: "),
    ("sweep --rates 0.1 --jobs two", "--jobs: "),
    # configs
    ("train nowhere.yaml", "nowhere.yaml: file: no such file"),
    ("train tinny.yaml", "did you mean tiny.yaml?"),
    ("train empty.yaml", "empty.yaml: file: is empty"),
    ("validate list.yaml", "list.yaml:1: file: must be a mapping"),
    ("train unknown.yaml", "unknown.yaml:1: droput: unknown key, did you mean dropout?"),
    ("train wrong.yaml", "wrong.yaml:1: training.epochs: must be a whole number from 1 to 100000 (got three)"),
    ("train tiny.yaml training.epochs=3.0", "training.epochs: must be a whole number"),
    ("train tiny.yaml dropout.rate=1.5", "dropout.rate: must be a number from 0 to 1 (got 1.5)"),
    ("train tiny.yaml dropout.rate=-0.1", "dropout.rate: must be a number from 0 to 1 (got -0.1)"),
    ("train tiny.yaml dropout.rate=[0.1,0.2]", "dropout.rate: must be one number, or a list of exactly 1"),
    ("train tiny.yaml data.dataset=mnits", "data.dataset: must be one of"),
    ("train tiny.yaml data.dataset=none.npz", "data.dataset: no such file"),
    ("train tiny.yaml epochs", "epochs: must be written as KEY=VALUE"),
    ("train tiny.yaml --name ../x", "name: must be"),
    ("train tiny.yaml --name a/b", "name: must be"),
    ("train tiny.yaml --device gpu", "device: must be one of"),
    ("train tiny.yaml --device cuda", "device: this machine has no CUDA device"),
    ("train tiny.yaml --device cuda:3 --fresh", "device: this machine has no CUDA device"),
    ("train cuda.yaml", "config: device: this machine has no CUDA device"),
    ("init a/b", "name: must be"),
    ("init tiny", "tiny.yaml: file: exists already"),
    # ranges
    ("train tiny.yaml --seeds 0", "--seeds: must be 1 to 1000 seeds"),
    ("train tiny.yaml --seeds 3..1", "--seeds: must run upwards: write 1..3"),
    ("train tiny.yaml --seeds 1,1", "--seeds: must name every value only once"),
    ("sweep --rates 0.1..0.55", "--rates: needs a step"),
    ("sweep --rates abc", "--rates: must be a number or a range"),
    ("sweep --rates 1.5", "dropout.rate: must be a number from 0 to 1 (got 1.5)"),
    ("sweep", "--rates: is needed"),
    ("sweep --vary epochs", "--vary: must be KEY=V1,V2,.."),
    ("sweep --vary training.epochs=", "--vary: must not be empty"),
    ("sweep --vary training.epoch=1", "training.epoch: unknown key, did you mean training.epochs?"),
    ("sweep --vary seeds=[1],[2]", "--vary: must be a setting that decides the numbers"),
    ("sweep --rates 0.1 --vary dropout.rate=0.2", "--vary: must vary dropout.rate only once"),
    ("sweep --rates 0.1 --name ../x", "name: must be"),
    ("sweep tiny.yaml --rates 0.1 --name base", "runs/base: name: exists and is not a sweep"),
    # runs
    ("train tiny.yaml --name base", "runs/base: training.epochs: this run exists with another value (3)"),
    ("train tiny.yaml --name foreign", "runs/foreign: name: exists and is not a run directory"),
    ("train tiny.yaml --runs-dir tiny.yaml", "--runs-dir: must be a directory"),
    ("list --runs-dir tiny.yaml/runs", "--runs-dir: must be a directory"),
    ("plot nobody", "run: no run and no config file has this name"),
    ("plot tiny.yaml", "run: has no finished run"),
    ("compare base nobody", "run: no run and no config file has this name"),
    ("compare base dorp", "did you mean drop?"),
    ("compare base", "runs: must be 2 or more (got 1)"),
    ("compare base base", "runs: must be different ones"),
    ("compare base runs/base", "runs: must be different ones"),
    ("compare base drop --metric test_acc", "--metric: unknown metric, did you mean test_accuracy?"),
    ("compare base drop --min-effect 1", "--min-effect: must be a number with pp"),
    ("compare base drop --min-effect nan", "--min-effect: must be a number with pp"),
    ("compare base drop --metric test_loss --min-effect 1pp", "--min-effect: must be a number without a unit"),
    ("compare base drop --fail-if worse", "--fail-if: must read"),
    ("compare base drop --fail-if 'test_accuracy: drop > 0.2'", "--fail-if: test_accuracy is in percent"),
    ("compare base drop --json --md", "--json --csv --md: must be one of them"),
    ("compare base drop --out tiny.yaml", "--out: must be a directory"),
    ("compare base drop --device cuda", "device: this machine has no CUDA device"),
    ("compare base elsewhere", "elsewhere: data: must be the data of"),
    # data
    ("train mnist.yaml", "MNIST/raw: mnist: cannot be downloaded; put train-images-idx3-ubyte"),
    ("train mnist.yaml --fresh", "data.dataset=digits, which is bundled"),
    ("sweep --rates 0.1", "MNIST/raw: mnist: cannot be downloaded"),
    ("compare mnist.yaml base", "mnist: cannot be downloaded"),
    ("train short.yaml", "data.train_size: must be null or a whole number from 1 to"),
    ("sweep short.yaml --rates 0.1", "data.train_size: must be null or a whole number from 1 to"),
    ("data verify nothing", "data.dataset: must be one of"),
    ("data fetch none.npz", "none.npz: file: is not there"),
]
NEEDS_ARRAYS = ("short.yaml", "elsewhere", "tiny.yaml --name base")  # what these refuse is seen in the data
