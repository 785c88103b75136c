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
import numpy as np
import pytest
import yaml
from commandline import REFUSAL, TINY, Lab
from comparable import write_run
from typer.main import get_command

from dropout_lab import cli, terminal
from dropout_lab.commands import compare as comparing
from dropout_lab.commands import names as targets
from dropout_lab.config import resolve as configs
from dropout_lab.runs.job import Job

COMMAND = f"{sys.executable} -m dropout_lab"
HEAVY = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "scipy", "sklearn", "rich")


@pytest.fixture
def judged(lab: Lab) -> Lab:
    """A laboratory with two finished runs of five seeds; `drop` is 0.3 pp worse than `base`."""
    accuracies = [0.97, 0.972, 0.974, 0.971, 0.973]
    write_run(lab.runs, "base", accuracies)
    write_run(
        lab.runs,
        "drop",
        [value - shift for value, shift in zip(accuracies, (0.002, 0.004, 0.003, 0.003, 0.003), strict=True)],
        rate=0.5,
    )
    return lab


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The summary page of a GitHub job."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    return tmp_path / "summary.md"


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
    outcome = lab("", *words, "--help")
    assert outcome.code == 0 and not outcome.err
    examples = re.findall(r"^    (dropout-lab .*)$", outcome.out.partition("Example:")[2], re.MULTILINE)
    assert examples
    for line in examples:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", line)
        assert not re.search(r"[][*?(){}^#]|=~", bare), "which a shell would expand, zsh first of all"
        program, *rest = shlex.split(re.split(" && | > (?!0)", line)[0])
        name = max((key for key in COMMANDS if tuple(rest[: len(key)]) == key), key=len)
        assert program == "dropout-lab" and name[: len(words)] == words
        with COMMANDS[name].make_context("x", rest[len(name) :]):  # raises where it does not parse
            pass


def test_one_line_about_every_command(lab: Lab) -> None:
    lines = lab("--help").out.partition("Commands:")[2].partition("Example:")[0].strip().splitlines()
    assert len(lines) == 21
    assert all(re.fullmatch(r" *\w+  +[A-Z].*\.", line) and "..." not in line for line in lines)


def test_version(lab: Lab) -> None:
    assert re.fullmatch(r"dropout-lab \d+\.\d+\.\d+\n", lab("--version").out)
    assert lab("-V").out == lab("--version").out


def test_help_is_a_command_too(lab: Lab) -> None:
    for words in COMMANDS:
        assert lab("help", *words) == lab("", *words, "--help")


def test_a_shell_completes_commands_and_options(lab: Lab) -> None:
    words = {"dropout-lab tra": "train", "dropout-lab train --se": "--seeds"}
    for line, found in words.items():
        typed = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_DROPOUT_LAB_COMPLETE": "complete_bash"}
        done = subprocess.run(shlex.split(COMMAND), env=os.environ | typed, capture_output=True, text=True)
        assert done.stdout.split() == [found]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_of_one_value_is_refused_when_it_is_given_twice(words: tuple[str, ...], lab: Lab) -> None:
    for option in COMMANDS[words].params:
        if option.param_type_name == "option" and not (option.is_flag or option.multiple):
            twice = [part for value in ("a", "b") for part in (option.opts[0], value)]
            outcome = lab("", *words, *twice)
            assert outcome.code == 2 and f"{option.opts[0]}: must be given once" in outcome.err


# Refusals


REFUSED = [
    # the command line
    ("", "command: is missing"),
    ("trian", "command: no such command 'trian', did you mean 'train'"),
    ("data fetsh", "command: no such command 'fetsh', did you mean 'fetch'?"),
    ("train", "CONFIG: is missing"),
    ("compare", "A B [C ...] [KEY=VALUE ...]: is missing"),
    ("train tiny.yaml --sedes 3", "--sedes: no such option, did you mean --seeds?"),
    (
        "train tiny.yaml --seed 42",
        "--seed: no such option, did you mean --seeds?; for the seed 42 alone write --seeds 42..42",
    ),
    ("train tiny.yaml --seed=42", "--seeds 42..42"),
    ("train tiny.yaml training.nesterov=yes", "training.nesterov: must be true or false (got yes)"),
    ("help trian", "command: no such command 'trian', did you mean 'train'"),
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
    ("init a/b", "NAME: must be"),
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
    ("plot nobody", "run: no run and no config has this name"),
    ("plot tiny.yaml", "run: has no finished run"),
    ("compare base nobody", "run: no run and no config has this name"),
    ("compare base dorp", "did you mean drop?"),
    ("compare base", "runs: must be 2 or more (got 1)"),
    ("compare base base", "runs: must be different ones"),
    ("compare base runs/base", "runs: must be different ones"),
    ("compare base drop --metric test_acc", "--metric: unknown metric, did you mean test_accuracy?"),
    ("compare base drop --min-effect 1", "--min-effect: must be a number with pp"),
    ("compare base drop --min-effect nan", "--min-effect: must be a number with pp"),
    ("compare base drop --metric test_loss --min-effect 1pp", "--min-effect: must be a number without a unit"),
    ("compare base drop --fail-if worst", "--fail-if: must read"),
    ("compare base drop --fail-if 'test_accuracy: drop > 0.2'", "--fail-if: test_accuracy is in percent"),
    ("compare base drop --json --md", "--json --csv --md: must be one of them"),
    ("compare base drop --out tiny.yaml", "--out: must be a directory"),
    ("compare base drop --device cuda", "device: this machine has no CUDA device"),
    ("compare base elsewhere", "elsewhere: data: must be the data of"),
    ("compare base tiny.yaml", "tiny: data.dataset: must be mnist as in runs/base"),
    ("compare base half.yaml --dry-run", "half: data.validation_fraction: must be 0.1 as in runs/base"),
    ("report nobody", "run: no run and no sweep has this name"),
    ("report dorp", "did you mean drop?"),
    ("report base --out page.txt", "--out: must be a file that ends in .html"),
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


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, whatever this machine has, and no GPU."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("dropout_lab.execution.machine.cuda_count", lambda: 0)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def full(judged: Lab, offline: None) -> Lab:
    """A laboratory with something of everything that can be refused."""
    files = {
        "empty.yaml": "",
        "list.yaml": "- 1\n",
        "unknown.yaml": "droput: {rate: 0.5}\n",
        "wrong.yaml": "training: {epochs: three}\n",
        "cuda.yaml": TINY + "device: cuda\n",
        "half.yaml": "data: {validation_fraction: 0.5}\n",
        "mnist.yaml": "training: {epochs: 1}\n",
        "short.yaml": "data: {dataset: short.npz, train_size: 5000}\n",
    }
    for name, text in files.items():
        (judged.path / name).write_text(text)
    np.savez(judged.path / "short.npz", x_train=np.zeros((50, 4), np.float32), y_train=np.arange(50) % 2)
    (judged.runs / "foreign").mkdir()
    (judged.runs / "foreign" / "thesis.txt").write_text("mine")
    write_run(judged.runs, "elsewhere", [0.9, 0.9], digest="other data")
    return judged


@pytest.mark.parametrize(("line", "expected"), REFUSED, ids=[line or "nothing" for line, _ in REFUSED])
def test_a_refusal_says_what_where_and_why_and_changes_nothing(line: str, expected: str, full: Lab) -> None:
    before = full.tree()
    outcome = full(line)
    errors = [text for text in outcome.err.splitlines() if text.startswith("dropout-lab: error: ")]
    assert outcome.code == 2 and outcome.out == ""
    assert any(expected in text for text in errors), outcome.err
    assert all(re.fullmatch(REFUSAL, text) for text in errors)
    assert "Traceback" not in outcome.err
    assert full.tree() == before


def test_neither_help_nor_a_refusal_nor_a_plan_imports_what_is_heavy(full: Lab) -> None:
    """One process runs them all; what only the numbers in a data file can tell is not among them."""
    lines = [line for line, _ in REFUSED if "short.yaml" not in line]
    lines += [" ".join((*words, "--help")) for words in COMMANDS]
    lines += ["sweep --rates 0.1..0.5 --dry-run", "train tiny.yaml --dry-run", "list", "validate tiny.yaml", "schema"]
    program = f"""
import json, shlex, socket, sys
from dropout_lab import cli, shell
def refuse(*_, **__): raise OSError()
socket.getaddrinfo = refuse
for line in json.loads(sys.stdin.read()):
    sys.argv = ["dropout-lab", *shlex.split(line)]
    code = shell.run(cli.app)
    heavy = [name for name in {HEAVY} if name in sys.modules]
    assert not heavy and code in (0, 2), (line, code, heavy)
"""
    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(lines),
        env=environment | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr[-2000:]


def test_every_problem_is_named_at_once(full: Lab) -> None:
    outcome = full("train", "wrong.yaml", "--name", "../x", "--device", "gpu", "dropout.rate=2", "seed=3", "a b")
    keys = ["seed", "a b", "dropout.rate", "name", "device", "training.epochs"]
    assert outcome.code == 2
    assert sorted(re.findall(r"^dropout-lab: error: [^ ]+(?: line)?: ([^:]+):", outcome.err, re.MULTILINE)) == sorted(
        keys
    )
    outcome = full("compare nobody base no-one empty.yaml")
    assert len(outcome.err.splitlines()) == 3


def test_hostile_words_are_shown_on_one_line_and_cut(full: Lab) -> None:
    for line, word in (("train tiny.yaml --name", "a\nb\x1b[31m" * 50), ("compare base", "x\x1b]0;y\x07" * 50)):
        outcome = full(line, word)
        (line,) = outcome.err.splitlines()
        assert outcome.code == 2 and line.isprintable()
        assert len(line.rpartition("(got ")[2]) <= 61


@pytest.mark.parametrize("words", ["compare {} base", "list --runs-dir {}", "compare base drop --out {}", "init {}"])
def test_a_name_longer_than_any_file_may_have_is_refused(words: str, full: Lab) -> None:
    assert full(words.format("a" * 5000)).code == 2


# Training


def test_training_is_done_once_and_its_result_can_be_read(lab: Lab) -> None:
    first = lab("train tiny.yaml --seeds 2")
    assert first.code == 0
    assert first.err.splitlines()[0] == "plan: 1 run, 2 networks to train"
    assert re.search(r"^epoch 2/2  tiny, 2 seeds  loss \d\.\d+, .* 0 s left$", first.err, re.MULTILINE)
    assert re.search(r"^test accuracy % +\d+\.\d\d ±\d+\.\d\d +\d+\.\d\d ±\d+\.\d\d$", first.out, re.MULTILINE)
    files = re.search(r"^files +(runs/tiny): (.*)$", first.out, re.MULTILINE)
    assert files and all((Path(files[1]) / name).is_file() for name in files[2].split(", "))
    before = lab.tree()
    again = lab("train tiny.yaml --seeds 2")
    assert (again.code, again.out) == (0, first.out)
    assert again.err.startswith("plan: 1 run, nothing to train\n") and "\nepoch" not in again.err
    assert lab.tree() == before


def test_more_seeds_leave_the_rows_of_the_finished_ones_alone(lab: Lab) -> None:
    lab("train tiny.yaml")
    rows, picture = (lab.runs / "tiny/metrics.csv").read_text().splitlines(), lab.runs / "tiny/curves.png"
    of_one = picture.read_bytes()
    lab("train tiny.yaml --seeds 0..1")
    assert picture.read_bytes() != of_one
    assert (lab.runs / "tiny/metrics.csv").read_text().splitlines()[: len(rows)] == rows
    assert "seeds 0-1 (finished)" in lab("train tiny.yaml --seeds 2 --dry-run").out
    assert "seeds 5, 7 (2 to train)" in lab("train tiny.yaml --seeds 5,7 --dry-run").out


def test_overrides_and_options_win_over_the_file_and_a_dry_run_creates_nothing(lab: Lab) -> None:
    before = lab.tree()
    outcome = lab("train tiny.yaml training.epochs=3 training.epochs=1 dropout.rate=[0.25] --name other --dry-run")
    assert outcome.code == 0 and not outcome.err
    assert outcome.out.splitlines()[1].split("  ")[1:] == [
        "runs/other",
        "digits 8",
        "bernoulli [0.25] after",
        "1 epoch",
        "seed 0 (1 to train)",
    ]
    assert lab.tree() == before


def test_fresh_moves_the_old_run_aside(lab: Lab) -> None:
    lab("train tiny.yaml training.epochs=1")
    old = {path.name: path.read_bytes() for path in (lab.runs / "tiny").iterdir() if path.name != ".lock"}
    refused = lab("train tiny.yaml")
    assert refused.code == 2 and "--fresh" in refused.err
    assert lab("train tiny.yaml --fresh").code == 0
    assert {path.name: path.read_bytes() for path in (lab.runs / "tiny.old-1").iterdir() if path.name != ".lock"} == old
    assert "2 epochs" in lab("train tiny.yaml --dry-run").out


def test_json_is_strict_and_alone_on_stdout_and_quiet_is_quiet(lab: Lab) -> None:
    outcome = lab("train tiny.yaml --json --quiet")
    report = json.loads(outcome.out, parse_constant=lambda word: pytest.fail(word))
    assert [line.split()[0] for line in outcome.err.splitlines()] == ["plan:", "runs/tiny", "on"]  # no progress
    assert report["schema_version"] == 1
    assert report["mean"]["last"]["test_accuracy"] == report["seeds"]["0"]["last"]["test_accuracy"]


def test_a_diverged_run_fails_and_says_what_to_try(lab: Lab) -> None:
    line = "train tiny.yaml training.learning_rate=1e30 training.optimizer=sgd --seeds 2"
    for outcome in (lab(line), lab(line)):
        assert outcome.code == 1
        assert "runs/tiny: seeds 0-1 diverged; try a smaller training.learning_rate" in outcome.err
        assert re.findall(r"^diverged  seed (\d) at epoch 1, step \d+$", outcome.out, re.MULTILINE) == ["0", "1"]
    assert json.loads(lab(line, "--json").out)["mean"] == {"last": {}, "best": {}}
    assert "2 (2 diverged)" in lab("list").out


def test_a_smoke_run_is_small_and_has_no_verdict(lab: Lab, summary: Path) -> None:
    assert "--seeds: must be left out" in lab("train tiny.yaml --smoke --seeds 7").err
    outcome = lab("train tiny.yaml --smoke")
    assert outcome.code == 0
    assert "1 epoch  seeds 0-1 (2 to train)" in outcome.err
    assert outcome.out.splitlines()[-1] == "smoke run: no statistical verdict"
    page = summary.read_text()
    assert page.startswith("- **run** tiny-smoke  2 seeds (0-1)\n\n| mean") and page.endswith(
        "no statistical verdict\n\n"
    )
    assert "smoke run" in lab("train tiny.yaml --smoke --json").err
    plan = lab("compare configs/mnist-baseline.yaml configs/mnist-dropout.yaml --smoke --dry-run").out
    assert "runs/mnist-baseline-smoke" in plan and "seeds 0-1" in plan
    assert targets.smoke(configs.load(Path("configs/mnist-dropout.yaml"))).data.train_size == 2000


# Comparing


def test_compare_prints_the_verdict_and_writes_its_files(judged: Lab) -> None:
    text = judged("compare base runs/drop")
    assert text.code == 0
    said = " ".join(text.out.split())
    assert re.search(r" verdict .*: dropout.rate 0.5 is worse by 0.2\d to 0.3\d pp on test accuracy", said)
    folder = judged.runs / "_comparisons/base-vs-drop"
    assert {path.name for path in folder.iterdir()} == {"comparison.json", "comparison.csv", "curves.png", "looks.json"}
    assert "written   runs/_comparisons/base-vs-drop: " in text.err
    forms = {form: judged("compare", "base", "drop", form, "--quiet").out for form in ("--json", "--csv", "--md")}
    assert json.loads(forms["--json"])["candidates"][0]["verdict"]["word"] == "worse"
    assert json.loads(forms["--json"]) == json.loads((folder / "comparison.json").read_text())
    assert forms["--csv"] == (folder / "comparison.csv").read_text()
    assert ": dropout.rate 0.5 is worse" in forms["--md"]


def test_compare_writes_where_it_is_told_and_on_the_seeds_that_it_is_told(judged: Lab) -> None:
    outcome = judged("compare base drop --seeds 1..3 --out a/b --json")
    assert json.loads(outcome.out)["candidates"][0]["common_seeds"] == [1, 2, 3]
    assert (judged.path / "a/b/comparison.json").is_file() and not (judged.runs / "_comparisons").exists()


def test_a_gate_trips_after_the_results_are_written(judged: Lab, summary: Path) -> None:
    line = "compare base drop --out out --fail-if"
    assert judged(line, "test_accuracy: drop > 0.5pp").code == 0
    summary.unlink()
    outcome = judged(line, "test_accuracy: drop > 0.2pp")
    assert outcome.code == 3 and "verdict" in outcome.out
    assert "dropout-lab: gate: test accuracy of drop dropped by 0.3 pp against base (limit 0.2 pp)" in outcome.err
    assert (judged.path / "out/comparison.json").is_file()
    page = summary.read_text()
    assert "| test accuracy % |" in page and "**Gate tripped**: test accuracy of drop" in page


def test_compare_trains_configs_that_have_no_finished_run(lab: Lab) -> None:
    (lab.path / "none.yaml").write_text(TINY + "dropout: {rate: 0}\n")
    outcome = lab("compare none.yaml tiny.yaml --seeds 3 --min-effect 50pp")
    assert outcome.code == 0 and "6 networks to train" in outcome.err
    said = " ".join(outcome.out.split())
    assert re.search(r" verdict .*: dropout.rate 0.5 is (equivalent|inconclusive|worse|better)", said)
    again = lab("compare none tiny --seeds 3 --min-effect 50pp")
    assert again.out == outcome.out and "nothing to train" in again.err
    smoke = lab("compare none.yaml tiny.yaml --smoke")
    assert smoke.code == 0 and "none-smoke  2 seeds (0-1)" in smoke.out
    assert smoke.out.splitlines()[-1] == "smoke run: no statistical verdict"


@pytest.mark.parametrize("width", [60, 100])
def test_what_is_printed_fits_the_terminal(judged: Lab, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = ("compare base drop", "compare base drop --metric test_loss", "list", "doctor", "reproduce --list")
    for line in (*lines, "sweep tiny.yaml --rates 0..0.9 --vary network.hidden=[8,8,8],[9] --seeds 30 --dry-run"):
        for shown in judged(line).out.splitlines():
            assert len(shown) <= width, (line, shown)


def test_comparisons_of_runs_with_one_name_in_two_sweeps_do_not_meet(lab: Lab) -> None:
    options = targets.Options(Path("runs"), Path("data"))
    jobs = [Job(Path("runs") / sweep / "rate-0.5", configs.resolve({}, where="", name="x")) for sweep in ("a", "b")]
    assert comparing.comparison_directory(jobs, options).name == "a_rate-0.5-vs-b_rate-0.5"
    many = [Job(Path("runs") / f"{number}{'x' * 60}", jobs[0].config) for number in range(9)]
    names = {comparing.comparison_directory(many[:count], options).name for count in range(2, 10)}
    assert len(names) == 8 and max(map(len, names)) < 255


# The other commands


def test_plot_draws_every_run_and_all_together(judged: Lab) -> None:
    outcome = judged("plot base runs/drop")
    assert outcome.out.splitlines() == [
        "runs/base/curves.png",
        "runs/drop/curves.png",
        "runs/_comparisons/base-vs-drop/curves.png",
    ]
    assert all(Path(line).read_bytes().startswith(b"\x89PNG") for line in outcome.out.splitlines())


def test_validate_prints_the_whole_config_which_validates_again(lab: Lab) -> None:
    outcome = lab("validate tiny.yaml dropout.rate=0.3")
    (lab.path / "tiny2.yaml").write_text(outcome.out)
    assert yaml.safe_load(outcome.out)["dropout"]["rate"] == 0.3
    assert lab("validate tiny2.yaml").out == outcome.out


@pytest.mark.parametrize("name", [None, "mine", "mine.yaml", "mine.yml", "2024", "true"])
def test_init_writes_a_config_that_validates_and_never_overwrites(name: str | None, lab: Lab) -> None:
    line = f"init {name or ''}"
    outcome = lab(line)
    stem = re.sub(r"\.ya?ml$", "", name or "experiment")
    assert outcome.out.splitlines() == [f"{stem}.yaml", "dropout-lab.schema.json"]
    assert lab("validate", f"{stem}.yaml").code == 0
    assert json.loads(Path("dropout-lab.schema.json").read_text()) == json.loads(lab("schema").out)
    before = lab.tree()
    assert lab(line).code == 2 and lab.tree() == before


def test_what_init_writes_trains(lab: Lab) -> None:
    lab("init")
    assert lab("train experiment.yaml data.dataset=digits training.epochs=1").code == 0


def test_the_schema_is_valid_and_every_config_of_the_project_follows_it(lab: Lab) -> None:
    schema = json.loads(lab("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for file in (lab.path / "configs").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"dropout": {"rate": 1.5}}, schema)


def test_data_where_verify_and_fetch(lab: Lab, offline: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab("data where").out == f"{lab.path}/cache/dropout-lab\n"
    monkeypatch.setenv("DROPOUT_LAB_DATA", "elsewhere")
    assert lab("data where").out == "elsewhere\n"
    assert lab("data where --data-dir here").out == "here\n"
    digits = lab("data verify digits")
    assert digits.code == 0 and re.fullmatch(r"[0-9a-f]{64}  .*digits.csv.gz  ok\n", digits.out)
    assert lab("data fetch digits").out.strip() == digits.out.split()[1]
    missing = lab("data verify mnist")
    assert missing.code == 2
    assert missing.out.count("is missing") == missing.err.count("`dropout-lab data fetch mnist` downloads it") == 4


# Streams and signals: these need processes of their own


def start(line: str) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "dropout_lab", *shlex.split(line)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_reader_that_leaves_early_does_not_change_the_exit_code(judged: Lab) -> None:
    for line, code in (("schema", 0), ("compare base drop --fail-if 'test_accuracy: drop > 0.2pp'", 3)):
        with start(line) as process:
            assert process.stdout and process.stderr
            process.stdout.close()
            errors = process.stderr.read()
        assert process.returncode == code
        assert not re.search("Traceback|Exception|Broken", errors)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_results_that_cannot_be_written_are_a_failure(lab: Lab) -> None:
    result = subprocess.run(f"exec {COMMAND} schema >/dev/full", shell=True, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr == "dropout-lab: error: standard output: cannot be written: No space left on device\n"


def test_closed_streams_and_narrow_encodings_do_no_harm(judged: Lab) -> None:
    closed = subprocess.run(f"exec {COMMAND} nothing 2>&-", shell=True, capture_output=True, text=True)
    assert (closed.returncode, closed.stdout) == (2, "")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    ascii_only = subprocess.run([*COMMAND.split(), "list"], env=environment, capture_output=True)
    assert ascii_only.returncode == 0 and ascii_only.stdout.isascii()
    terminal.prepare()
    assert "35.97 ±2.16  ▁█ é".encode("ascii", "dropout-lab") == rb"35.97 +-2.16  _# \xe9"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_training_says_how_to_go_on_and_goes_on(number: int, code: int, lab: Lab) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    line, metrics = "train tiny.yaml network.hidden=[512] training.epochs=120 --name it", lab.runs / "it/metrics.csv"
    with start(f"{line} --fresh") as process:
        while not metrics.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        out, errors = process.communicate()
    signal.signal(signal.SIGHUP, before)
    assert (process.returncode, out) == (code, "")
    assert errors.endswith(f"Go on with\n  dropout-lab {shlex.join(shlex.split(line))}\n")
    rows = metrics.read_text()
    done = len(rows.splitlines()) - 1
    assert re.search(rf"^it +interrupted +1 +{done}/120 ", lab("list").out, re.MULTILINE)
    again = lab(line)
    assert again.code == 0 and "epoch 1/120" not in again.err
    assert metrics.read_text().startswith(rows)


def test_nohup_is_heeded(lab: Lab) -> None:
    line = f"train tiny.yaml network.hidden=[512] training.epochs=30 --runs-dir {lab.runs}"
    process = subprocess.Popen(["nohup", *COMMAND.split(), *line.split()], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    while "epoch" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGHUP)
    process.communicate()
    assert process.returncode == 0


def test_a_summary_page_that_cannot_be_written_is_no_failure(judged: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/nowhere/summary.md")
    outcome = judged("compare base drop")
    assert outcome.code == 0 and "warning: /nowhere/summary.md: no summary written" in outcome.err


def test_a_gate_that_is_empty_or_on_a_smoke_run_is_refused(judged: Lab) -> None:
    assert judged("compare base drop --fail-if ''").code == 2
    assert judged("compare base drop --smoke --fail-if 'test_accuracy: drop > 1pp'").code == 2


def test_a_plan_as_json(lab: Lab) -> None:
    plan = json.loads(lab("train tiny.yaml --seeds 2 --dry-run --json").out)
    how = plan.pop("layout")["cpu"]
    assert plan == {"schema_version": 1, "plan": [{"path": "runs/tiny", "seeds": [0, 1], "to_train": [0, 1]}]}
    assert (how["processes"], how["lanes"]) == (1, 2) and 2**28 < how["memory"] < 2**30
    sweep = json.loads(lab("sweep --rates 0.1..0.5 --dry-run --json").out)
    assert [run["path"] for run in sweep["plan"]][:2] == ["runs/mnist-sweep/rate-0", "runs/mnist-sweep/rate-0.1"]


def test_a_diverged_comparison_fails_after_its_results(lab: Lab) -> None:
    wild = "training.learning_rate=1e30 training.optimizer=sgd"
    lab(f"train tiny.yaml --name a {wild}")
    lab(f"train tiny.yaml --name b {wild} dropout.rate=0.2")
    outcome = lab("compare a b")
    assert outcome.code == 1 and "runs/a: seed 0 diverged" in outcome.err and outcome.out


def test_a_run_that_lacks_a_file_is_not_called_finished(judged: Lab) -> None:
    next((judged.runs / "base").glob("timing.csv")).unlink()
    outcome = judged("compare base drop")
    assert outcome.code == 2 and "timing.csv" in outcome.err and "--fresh" in outcome.err
