"""What strangers leave in a runs directory, and surroundings that nobody would choose: nothing lost, nobody let in."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import REFUSAL, TINY, Lab, ordinary_user
from comparable import forge, reseal, write_run
from processes import below, listening
from safetensors.numpy import load, save

from dropout_lab import storage, terminal
from dropout_lab.commands import listing
from dropout_lab.data import datasets as data
from dropout_lab.errors import Refused
from dropout_lab.execution import machine

HOSTILE = "x\x1b[31m\x1b]0;pwned\x07\x9b\u202e"


def errors(lab: Lab, line: str) -> tuple[int, list[str]]:
    """Run a command that must not succeed; return its code and what it refused, in the contract's form if it did."""
    before = lab.tree()
    outcome = lab(line)
    found = [text for text in outcome.err.splitlines() if text.startswith("dropout-lab: error: ")]
    assert outcome.code in (1, 2) and found and "Traceback" not in outcome.err, outcome
    if outcome.code == 2:
        assert all(re.fullmatch(REFUSAL, text) for text in found) and lab.tree() == before, outcome
    return outcome.code, found


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs them leaves trained runs for the others."""
    return tmp_path_factory.mktemp("trained") / "runs"


@pytest.fixture
def trained(lab: Lab, kept: Path) -> Lab:
    """A laboratory with two runs that were really trained."""
    if kept.exists():
        shutil.copytree(kept, lab.runs)
        return lab
    for name, rate in (("base", 0), ("drop", 0.5)):
        assert lab(f"train tiny.yaml --seeds 2 --name {name} dropout.rate={rate} --quiet").code == 0
    shutil.copytree(lab.runs, kept)
    return lab


# Good runs beside bad ones


def test_a_damaged_run_is_left_out_of_a_comparison_and_named(lab: Lab) -> None:
    for name in ("base", "one", "two"):
        write_run(lab.runs, name, [0.9, 0.91, 0.92], rate=0.5 * (name != "base"))
    alone = lab("compare base two --json --out alone")
    with (lab.runs / "one/metrics.csv").open("a") as file:
        file.write("9,1,0,0,0,0,0,0,0\n")
    outcome = lab("compare base one two --json --out together")
    assert outcome.code == 1 and outcome.out == alone.out
    assert "dropout-lab: error: runs/one/metrics.csv: sha256: differs" in outcome.err
    gated = lab("compare base one two --out gated --fail-if 'test_accuracy: drop > 0pp'")
    assert gated.code == 1 and "runs/one/metrics.csv" in gated.err
    (lab.runs / "begun").mkdir()
    (lab.runs / "begun/config.yaml").write_text("a: [")
    begun = lab("compare base two begun --json --out together")
    assert begun.code == 1 and begun.out == alone.out and "error: runs/begun/config.yaml:1: file: is not" in begun.err
    for line in ("compare one two base", "compare base one", "compare base one nobody"):
        code, found = errors(lab, line)
        assert code == 2, found
    assert [line.split()[:2] for line in lab("list").out.splitlines() if line.startswith("one")] == [["one", "damaged"]]


# Forged files: their seals are right, what they say is not


def arrays(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        found = load(content)
        change(found)
        return bytes(save({name: np.ascontiguousarray(array) for name, array in found.items()}))

    return changed


FIRST = "0.last.0.weight"
WEIGHTS = {
    "missing": arrays(lambda found: found.pop(FIRST)),
    "nan": arrays(lambda found: found[FIRST].__setitem__((0, 0), np.nan)),
    "double": arrays(lambda found: found.update({FIRST: found[FIRST].astype(np.float64)})),
    "integers": arrays(lambda found: found.update({FIRST: found[FIRST].astype(np.int64)})),
    "turned": arrays(lambda found: found.update({FIRST: found[FIRST].T})),
    "one that would be spread": arrays(lambda found: found.update({FIRST: found[FIRST][:1, :1]})),
    "empty": lambda content: b"",
    "cut": lambda content: content[:-7],
    "long header": lambda content: (2**62).to_bytes(8, "little") + content[8:],
    "pickle": lambda content: b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch pwned\x85R.",
    "a zip": lambda content: b"PK\x03\x04" + content,
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_forged_weights_are_refused(case: str, trained: Lab) -> None:
    file = trained.runs / "drop/weights.safetensors"
    forge(file.parent, file.name, WEIGHTS[case](file.read_bytes()))
    code, (line, *_) = errors(trained, "evaluate drop --quiet --samples 2")
    assert code == 2 and line.startswith("dropout-lab: error: runs/drop/weights.safetensors: "), line
    assert not (trained.path / "pwned").exists()


def test_files_of_different_runs_do_not_become_one(trained: Lab) -> None:
    """Each is as it was written and in its place, but another run's: seeds are not added to that."""
    assert trained("train tiny.yaml --seeds 5,7 --name other --quiet").code == 0
    for name in ("weights.safetensors", "predictions.npz", "metrics.csv", "timing.csv"):
        shutil.copytree(trained.runs / "drop", trained.runs / "mixed")
        forge(trained.runs / "mixed", name, (trained.runs / "other" / name).read_bytes())
        code, (line, *_) = errors(trained, "train tiny.yaml --seeds 3 --name mixed dropout.rate=0.5 --quiet")
        assert code == 2 and line.startswith("dropout-lab: error: runs/mixed"), line
        shutil.rmtree(trained.runs / "mixed")


@pytest.mark.parametrize("shape", [(0,), (1,), (7, 7), (2**20,)])
def test_a_forged_checkpoint_fails_in_a_line(shape: tuple[int, ...], trained: Lab) -> None:
    """Its seal is right and its arrays are no network's: a failure, and the other runs of the sweep go on."""
    from dropout_lab.config.resolve import load as load_config
    from dropout_lab.runs.checkpoint import Checkpoints, Origin, Record, pack
    from dropout_lab.runs.row import Row, Snapshot

    path = trained.runs / "drop"
    summary = json.loads((path / "summary.json").read_text())
    origin, row = Origin(summary["identity"], summary["data_sha256"]), Row(0, 1, 1, 0, 1, 0, 1, 0, 0.5)
    (path / "summary.json").unlink()
    checkpoints = Checkpoints(path, origin)
    checkpoints.prepare()
    forged = Record([row], [0.1], Snapshot(row, row, {"parameters": np.zeros(shape, np.float32)}))
    (path / "checkpoint/seed-0").write_bytes(pack(forged, origin))
    assert load_config(path / "config.yaml").identity == summary["identity"]
    code, found = errors(trained, "train tiny.yaml --seeds 2 --name drop dropout.rate=0.5 --quiet")
    assert code == 1 and len(found) == 1 and "runs/drop seed 0" in found[0], found


SWEEPS = {
    "deep": "[" * 5000,
    "tag": 'name: !!python/object/apply:os.system ["touch pwned"]',
    "alias": "a: &a [1]\nruns: *a",
    "no mapping": "runs: 5",
    "no names": "name: x\nruns: [{}]",
    "outside": "name: x\nruns: [{name: ../../base, settings: {}, baseline: null}]",
    "names that are no text": "name: [[x]]\nruns: [{name: rate-0.5, settings: {dropout.rate: 0.5}, baseline: null}]",
    "settings that are no text": "name: x\nruns: [{name: rate-0.5, settings: [[x]], baseline: null}]",
    "a baseline that is no text": "name: x\nruns: [{name: rate-0.5, settings: {}, baseline: [[x]]}]",
    "a merge": "name: x\nruns: [{name: rate-0.5, settings: {<<: {a: 1}}, baseline: null}]",
    "a mapping as name": "name: x\nruns: [{name: {}, settings: {}, baseline: null}]",
    "not text": b"\xff",
    "empty": "",
    "a date": "name: x\nruns: 2024-99-99",
}


@pytest.mark.parametrize("case", SWEEPS)
def test_a_forged_sweep_is_refused(case: str, lab: Lab) -> None:
    write_run(lab.runs, "base", [0.9])
    write_run(lab.runs / "s", "rate-0.5", [0.9], rate=0.5)
    text = SWEEPS[case]
    (lab.runs / "s/sweep.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    (lab.runs / "s/sweep.csv").write_text("run,seed\n../../base,0\nrate-0.5,0\n")
    code, (line,) = errors(lab, "plot s")
    assert code == 2 and "runs/s: sweep: must hold sweep.yaml and sweep.csv" in line
    assert not (lab.path / "pwned").exists()


# Names, links and text


def test_neither_odd_names_nor_links_are_followed(lab: Lab) -> None:
    write_run(lab.path / "elsewhere", "secret", [0.9])
    write_run(lab.runs, "good", [0.9])
    shutil.copytree(lab.runs / "good", lab.runs / "s/rate-0")
    (lab.runs / "s/sweep.yaml").write_text("name: s\n")
    for place in (lab.runs, lab.runs / "s"):
        shutil.copytree(lab.runs / "good", place / HOSTILE)
        shutil.copytree(lab.runs / "good", place / "a\nfake  finished")
        (place / "link").symlink_to(lab.path / "elsewhere/secret")
    assert sorted(entry["name"] for entry in json.loads(lab("list --json").out)["runs"]) == ["good", "s/rate-0"]
    before = lab.tree()
    outcome = lab("train tiny.yaml --name link")
    assert outcome.code == 2 and "exists and is not a run directory" in outcome.err and lab.tree() == before
    (lab.path / "runs2").symlink_to(lab.path / "elsewhere")
    assert "secret" in lab("list --runs-dir runs2").out, "the person may name a link"


def test_nothing_is_written_through_a_link_in_the_runs_directory(trained: Lab) -> None:
    """A link of a stranger's, in the place of a directory that a command makes; the results would land elsewhere."""
    elsewhere = trained.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "sweep.yaml").write_text("name: s\n")
    shutil.copytree(trained.runs / "drop", elsewhere / "rate-0.5")
    lines = {
        "_comparisons": "compare base drop",
        "_comparisons/base-vs-drop": "plot base drop",
        "_evaluations": "evaluate drop --samples 2 --quiet",
        "_evaluations/drop": "evaluate drop --samples 2 --quiet",
        "s": "sweep tiny.yaml --rates 0.5 --name s --quiet",
        "drop/tensorboard": "train tiny.yaml --name drop --seeds 3 dropout.rate=0.5 --quiet",
        "drop/tensorboard/seed-2": "train tiny.yaml --name drop --seeds 3 dropout.rate=0.5 --quiet",
        "drop/checkpoint": "train tiny.yaml --name drop --seeds 3 dropout.rate=0.5 --quiet",
    }
    for name, line in lines.items():
        link = trained.runs / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(elsewhere)
        code, (text, *_) = errors(trained, line)
        assert code == 2 and ("is a link" in text or "is not a run directory" in text), (line, text)
        link.unlink()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["rate-0.5", "sweep.yaml"]


def test_no_name_steers_the_terminal(lab: Lab) -> None:
    write_run(lab.path / HOSTILE, "a", [0.9])
    write_run(lab.path / HOSTILE, "b", [0.9])
    for line in ("list", "list --json", "compare a b", "compare a b --json", "report a b", "plot a b", "doctor"):
        outcome = lab(line, "--runs-dir", HOSTILE)
        assert outcome.code == 0 and all(c.isprintable() or c == "\n" for c in outcome.out + outcome.err), line
        if "--json" in line:
            assert line == "compare a b --json" or json.loads(outcome.out)["runs"][0]["path"] == f"{HOSTILE}/b"


def test_a_refusal_is_one_line_whatever_path_it_tells_of(lab: Lab) -> None:
    outcome = lab("report nobody --runs-dir", "a\nb")
    assert outcome.code == 2 and re.fullmatch(REFUSAL + "\n", outcome.err)


def test_steering_characters_become_escapes_that_json_reads() -> None:
    everything = "".join(map(chr, range(0x3000))) + "ключ 中 🎲"
    text = terminal.harmless(everything.replace("\\", ""))
    assert json.loads(json.dumps({"a": HOSTILE}, ensure_ascii=False)) == json.loads(
        terminal.harmless(json.dumps({"a": HOSTILE}, ensure_ascii=False))
    )
    left = {c for c in text if ord(c) < 32 or 0x7F <= ord(c) < 0xA0}
    assert left == {"\t", "\n"} and "ключ 中 🎲" in text and "\u202e" not in text


# Surroundings


COMMAND = [sys.executable, "-m", "dropout_lab"]
PLACES: dict[str, dict[str, str | None]] = {
    "LC_ALL=C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no HOME": {"HOME": None, "XDG_CACHE_HOME": None},
    "HOME that is not there": {"HOME": "/nonexistent", "XDG_CACHE_HOME": None},
    "another zone": {"TZ": "Asia/Kathmandu"},
    "a zone that is none": {"TZ": "Nowhere/" + "x" * 500},
    "one column": {"COLUMNS": "1"},
    "no number of columns": {"COLUMNS": "many"},
    "a dumb terminal": {"TERM": "dumb", "COLUMNS": "-5"},
    "no temporary directory": {"TMPDIR": "/nonexistent"},
}


@pytest.mark.parametrize("place", PLACES)
def test_where_it_runs_does_not_matter(place: str, lab: Lab) -> None:
    """Runs and results have Cyrillic letters and spaces in their paths; stdin is closed."""
    runs = lab.path / "мои запуски"
    write_run(runs, "base", [0.9, 0.91])
    write_run(runs, "drop", [0.8, 0.82], rate=0.5)
    write_run(runs / "s", "rate-0.5", [0.8, 0.82], rate=0.5)
    member = "runs: [{name: rate-0.5, settings: {dropout.rate: 0.5}, baseline: null}]"
    (runs / "s/sweep.yaml").write_text(f"name: развёртка\n{member}\n", encoding="utf-8")
    environment = {**os.environ, **PLACES[place], "DROPOUT_LAB_RUNS": str(runs)}
    for line in ("list", "report base drop s --out отчёт.html"):
        result = subprocess.run(
            [*COMMAND, *line.split()],
            env={key: value for key, value in environment.items() if value is not None},
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        assert result.returncode == 0, result.stderr
        assert b"Traceback" not in result.stderr
    page = (lab.path / "отчёт.html").read_text(encoding="utf-8")
    assert "мои запуски" in page or place == "LC_ALL=C", "where Python knows no letters but ASCII's, these are escaped"


def test_a_directory_whose_name_is_no_text(lab: Lab) -> None:
    """Such as one in Cyrillic letters where the locale is C: bytes that Python cannot decode."""
    where = Path("запуски \udcff".encode("utf-8", "surrogateescape").decode("ascii", "surrogateescape"))
    for name in ("base", "drop"):
        write_run(lab.path / where, name, [0.9, 0.8], rate=0.5 * (name == "drop"))
    lab.monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(lab.path / "summary.md"))
    lines = ("compare base drop", "compare base drop --json", "report base drop", "plot base drop", "list --json")
    for line in (*lines, "train tiny.yaml --quiet"):
        outcome = lab(line, "--runs-dir", str(where))
        assert outcome.code == 0, outcome
        assert "--json" not in line or json.loads(outcome.out)
    json.loads((lab.path / where / "_comparisons/base-vs-drop/comparison.json").read_text())


def test_training_in_a_directory_with_spaces_and_cyrillic(lab: Lab) -> None:
    folder = lab.path / "папка с пробелом"
    folder.mkdir()
    (folder / "конфиг.yaml").write_text(TINY + "name: run\n", encoding="utf-8")
    rows = np.random.default_rng(0).random((40, 4), np.float32)
    np.savez(folder / "мои данные.npz", x_train=rows, y_train=np.arange(40) % 2)
    own = ["data.dataset=папка с пробелом/мои данные.npz", "--runs-dir", str(folder / "запуски"), "--quiet"]
    assert lab("train", str(folder / "конфиг.yaml"), *own).code == 0
    for line in ("evaluate run --samples 2 --quiet", "plot run", "list"):
        assert lab(line, "--runs-dir", str(folder / "запуски")).code == 0


@pytest.mark.parametrize("variable", ["HOME", "nobody"])
def test_a_home_that_is_not_known(variable: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> Any:
        raise KeyError

    for name in ("getpwuid", "getpwnam"):
        monkeypatch.setattr(f"pwd.{name}", unknown)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert lab("data where").out == ".cache/dropout-lab\n"
    for line in ("list --runs-dir ~/runs", "data where --data-dir ~nobody/x"):
        code, (text,) = errors(lab, line)
        assert code == 2 and "begins with a home that is not known" in text
    with pytest.raises(Refused):
        data.at_home("~nobody")


def test_a_clock_that_jumps_changes_no_number(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lab("train tiny.yaml --quiet").code == 0
    draw = random.Random(0)
    monkeypatch.setattr("time.time", lambda: draw.uniform(-1e9, 1e11))
    monkeypatch.setattr("time.time_ns", lambda: draw.randrange(-(10**18), 10**18))
    assert lab("train tiny.yaml --name jumpy --quiet").code == 0
    os.utime(lab.runs / "jumpy", (-5e8, 2**33))
    assert (lab.runs / "jumpy/metrics.csv").read_bytes() == (lab.runs / "tiny/metrics.csv").read_bytes()
    assert lab("list").out.splitlines()[1].startswith("jumpy ") and lab("compare tiny jumpy").code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("line", "code"),
    [("list >/dev/full", 1), ("nothing 2>/dev/full", 2), ("list 2>/dev/full", 0), ("list >&- 2>&-", 0)],
)
def test_streams_that_take_nothing(line: str, code: int, lab: Lab) -> None:
    write_run(lab.runs, "base", [0.9])
    result = subprocess.run(f"exec {' '.join(COMMAND)} {line}", shell=True, capture_output=True, text=True)
    assert result.returncode == code and "Traceback" not in result.stderr, result.stderr


def test_a_training_goes_on_though_nobody_can_be_told(lab: Lab) -> None:
    result = subprocess.run(f"exec {' '.join(COMMAND)} train tiny.yaml 2>/dev/full", shell=True, capture_output=True)
    assert result.returncode == 0 and (lab.runs / "tiny/summary.json").exists()


def test_read_only_directories_are_named_and_left_alone(trained: Lab) -> None:
    where = trained.path / "locked"
    where.mkdir()
    shutil.copytree(trained.runs, where / "runs")
    shutil.copy(trained.path / "tiny.yaml", where)
    for path in (where, *where.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {str(path): path.read_bytes() for path in where.rglob("*") if path.is_file()}
    lines = {
        "train tiny.yaml --name new --quiet": (1, "runs/new: cannot be created: Permission denied"),
        "train tiny.yaml --name drop --seeds 3 dropout.rate=0.5 --quiet": (1, "runs/drop: cannot be locked"),
        "train tiny.yaml --name drop --fresh": (1, "runs/drop: cannot be locked: Permission denied"),
        "compare base drop": (1, "base-vs-drop: cannot be created: Permission denied"),
        "compare base drop --out {}/out": (1, "out: cannot be created: Permission denied"),
        "report base drop --out {}/x.html": (1, "x.html: cannot be written: Permission denied"),
        "plot base": (1, "curves.png: cannot be written: Permission denied"),
        "list": (0, ""),
    }
    shown = {}
    trained.monkeypatch.chdir(where)
    for line in lines:
        with ordinary_user():
            shown[line] = trained(line.format(where))
    trained.monkeypatch.chdir(trained.path)
    assert {str(path): path.read_bytes() for path in where.rglob("*") if path.is_file()} == before
    for line, (code, words) in lines.items():
        assert shown[line].code == code and words in shown[line].err, (line, shown[line])
    for path in (where, *where.rglob("*")):
        path.chmod(0o755)


def test_what_cannot_be_removed_is_named(trained: Lab) -> None:
    (trained.runs / "drop/curves.png").unlink()
    (trained.runs / "drop/curves.png").mkdir()
    code, found = errors(trained, "train tiny.yaml --name drop --seeds 3 dropout.rate=0.5 --quiet")
    assert code == 1 and found == ["dropout-lab: error: runs/drop/curves.png: cannot be removed: Is a directory"]


# Memory and divergence


def test_a_plan_that_memory_cannot_hold_is_refused_before_it_starts(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 100 * 2**20)
    for line in (
        "train tiny.yaml",
        "sweep tiny.yaml --rates 0.1,0.2 --jobs 2",
        "compare tiny.yaml configs/digits-dropout.yaml",
    ):
        code, (text,) = errors(lab, line)
        assert code == 2 and "this machine: free memory: is too little for this plan" in text


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_that_cannot_be_had_costs_one_run(lab: Lab) -> None:
    """The system refuses 700 MiB more than the imports took; the plan was told that there is plenty."""
    program = """
import resource, sys
import matplotlib.pyplot, pandas, safetensors.numpy, sklearn.datasets, torch
from dropout_lab import cli, shell
from dropout_lab.execution import execute as execution
from dropout_lab.figures import plots
from dropout_lab.execution import machine
machine.available_memory = lambda: 2**50
used = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20,) * 2)
sys.argv = ["dropout-lab", *sys.argv[1:]]
sys.exit(shell.run(cli.app))
"""
    line = "sweep tiny.yaml --vary network.hidden=[8],[9000,9000] --rates 0.5 --no-baseline --name s --quiet --jobs 1"
    result = subprocess.run([sys.executable, "-c", program, *line.split()], capture_output=True, text=True)
    found = [text for text in result.stderr.splitlines() if "error" in text]
    assert result.returncode == 1 and len(found) == 1, result.stderr
    assert "hidden-9000-9000_rate-0.5 seed 0" in found[0] and "allocate" in found[0]
    assert (lab.runs / "s/hidden-8_rate-0.5/summary.json").exists()
    assert "allocate" in (lab.runs / "s/hidden-9000-9000_rate-0.5/error.txt").read_text()


def test_what_memory_cannot_hold_elsewhere_is_one_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(listing, "list_runs", greedy)
    code, (text,) = errors(lab, "list")
    assert code == 1 and "out of memory" in text


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_networks_that_diverge_change_no_byte_of_the_others(jobs: int, lab: Lab) -> None:
    """Learning rates of 1e6 and 1e30 beside a good one, in one sweep."""
    wild = "training.learning_rate=0.1,1e6,1e30"
    (lab.path / "sgd.yaml").write_text(TINY.replace("epochs: 2", "epochs: 2, optimizer: sgd"))
    swept = lab(f"sweep sgd.yaml --rates 0.2 --vary {wild} --seeds 2 --name wild --jobs {jobs} --quiet")
    assert swept.code == 0 and "diverged" in swept.out
    good = "wild/learning-rate-0.1_rate-0.2"
    alone = "train sgd.yaml training.learning_rate=0.1 dropout.rate=0.2 --seeds 2 --name alone --quiet"
    assert lab(alone).code == 0
    for name in ("metrics.csv", "weights.safetensors", "predictions.npz"):
        assert (lab.runs / good / name).read_bytes() == (lab.runs / "alone" / name).read_bytes(), name
    entries = {entry["name"]: entry for entry in json.loads(lab("list --json").out)["runs"]}
    assert sum(entry["diverged"] for entry in entries.values()) >= 4 and entries[good]["diverged"] == 0


# Nobody is let in


@pytest.mark.slow
def test_nothing_listens(lab: Lab) -> None:
    program = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as control:
        assert control.stdout
        control.stdout.readline()
        assert len(listening([control.pid])) == 1, "the look itself works"
        control.kill()
    line = "sweep tiny.yaml --rates 0.1,0.2,0.3 --jobs 2 --seeds 3"
    looks = 0
    with subprocess.Popen([*COMMAND, *line.split()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            assert not listening([process.pid, *below(process.pid)])
            looks += 1
            time.sleep(0.05)
    assert process.returncode == 0 and looks > 20


def test_what_is_sealed_is_what_was_written(tmp_path: Path) -> None:
    write_run(tmp_path, "run", [0.9])
    text = (tmp_path / "run/summary.json").read_bytes()
    assert storage.is_sealed_json(text) and not storage.is_sealed_json(text + b"\n")
    reseal(tmp_path / "run", name="another")
    assert storage.is_sealed_json((tmp_path / "run/summary.json").read_bytes())


SWALLOWED = """
import gc, os, signal, sys, time
from dropout_lab import shell
sys.unraisablehook = shell._swallowed
signal.signal(signal.SIGINT, shell._interrupt)
sent = []
def hook(phase, info):
    if not sent:
        sent.append(True)
        os.kill(os.getpid(), signal.SIGINT)
gc.callbacks.append(hook)
try:
    gc.collect()
    time.sleep(20)
    print("went on")
except shell.Interrupted:
    print("interrupted")
"""


def test_a_signal_that_a_hook_of_a_library_swallows_is_sent_again() -> None:
    """Dask looks at the garbage collector, and Python drops an exception that is raised there."""
    ended = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True, check=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("interrupted\n", "")
