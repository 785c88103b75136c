"""Whatever a file holds, it is read or refused: in the contract's lines, at once, in little memory, with no trace left.

The long parts (10,000 configs, 300 of them through the command; 500 run directories) are marked long.
"""

from __future__ import annotations

import json
import random
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import matplotlib
import numpy as np
import pytest
from commandline import CONFIGS, REFUSAL, TINY, Lab
from comparable import forge, reseal, write_run
from hypothesis import given, settings
from hypothesis import strategies as st
from mutated import damage, mutate

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import SETTINGS, json_schema
from dropout_lab.config.strict_yaml import written
from dropout_lab.errors import Refused
from dropout_lab.runs import read as runs

SEEDS = [TINY.encode(), *(file.read_bytes() for file in sorted(CONFIGS.rglob("*.yaml")))]
EVERYTHING = configs.to_yaml(configs.resolve({}, where="defaults", name="x")).encode()
LINE = re.compile(REFUSAL.removeprefix("dropout-lab: error: "))
FONTS = matplotlib.get_cachedir()  # where matplotlib keeps a list of fonts, which it makes once on a machine
SECONDS, MEGABYTES = 8, 300  # of a processor's time, four times what is promised: the machine may be busy; of memory


def outcome(text: bytes, path: Path) -> str:
    """Load a config file and say what came of it; whatever is not promised fails here."""
    path.write_bytes(text)
    started = time.process_time()
    try:
        config = configs.load(path)
    except Refused as refused:
        for line in str(refused).split("\n"):
            assert LINE.fullmatch(line) and line.isprintable() and len(line) < 1200, line
        return "refused"
    else:
        path.write_text(configs.to_yaml(config))
        assert configs.load(path) == config
        return "accepted"
    finally:
        assert time.process_time() - started < SECONDS, text


def fuzz(count: int, path: Path) -> Counter[str]:
    """Load `count` mutated configs; the mutations are the same every time."""
    draw = random.Random(0)
    return Counter(outcome(mutate(draw, draw.choice([*SEEDS, EVERYTHING])), path) for _ in range(count))


@pytest.mark.parametrize("count", [800, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_mutated_config_is_read_or_refused(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = fuzz(count, tmp_path / "config.yaml")
    print(dict(found))
    assert found["refused"] > count / 4 and found["accepted"] > count / 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024, "kilobytes"
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner))
keys = st.sampled_from(sorted({str(key) for at in SETTINGS for key in at})) | st.text(max_size=8)
mappings = st.dictionaries(keys, values | st.dictionaries(keys, values, max_size=4), max_size=4)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(mappings)
def test_any_mapping_is_a_config_or_refused(mapping: dict[str, Any]) -> None:
    try:
        configs.resolve(mapping, where="test", name="x", check_files=False)
    except Refused as refused:
        assert all(LINE.fullmatch(line) and line.isprintable() for line in str(refused).split("\n"))


WRONG = (
    None,
    True,
    -1,
    0,
    1.5,
    3.0,
    10**30,
    "",
    "text",
    "\x1b[31m",
    "é\u202e",
    [],
    ["a", -1],
    [[1]],
    {"a": 1},
    "a" * 99,
)
SCHEMA = jsonschema.Draft202012Validator(json_schema())
CRAFTED = [
    (at, value)
    for at in SETTINGS
    for value in WRONG
    if not SCHEMA.is_valid({at[0]: value} if len(at) == 1 else {at[0]: {at[1]: value}})
]


def test_what_the_schema_forbids_is_refused_by_its_key(tmp_path: Path) -> None:
    """The JSON Schema, read by another library, is the judge of hundreds of wrong values, one for one key each."""
    assert len(CRAFTED) > 400
    path = tmp_path / "x.yaml"
    for at, value in CRAFTED:
        *section, key = map(str, at)
        path.write_text("".join(f"{name}:\n  " for name in section) + f"{key}: {written(value)}\n")
        with pytest.raises(Refused) as caught:
            configs.load(path)
        (problem, *_) = caught.value.problems
        assert (problem.key, problem.line) == (".".join((*section, key)), len(at)), (at, value)


# Through the command


MEASURED = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
errors = process.stderr.read()
_, status, usage = os.wait4(process.pid, 0)
seconds, megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
print(json.dumps([os.waitstatus_to_exitcode(status), errors, seconds, megabytes]))
os._exit(0)
"""


def run_limited(*words: str) -> tuple[int, str, float, float]:
    """Run the command in a process; return its code, stderr, seconds of processor time, and megabytes.

    A small process starts it: what the kernel calls its peak begins with the size of the one that starts it.
    """
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", "dropout_lab", *words]
    measured = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    code, errors, seconds, megabytes = json.loads(measured)
    return code, errors, seconds, megabytes


def bomb() -> bytes:
    """Nine to the ninth values, by aliases of aliases."""
    lines = (f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    return ("a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(lines)).encode()


NASTY = [
    bomb(),
    b"[" * 65_000,
    b"seeds: [" + b"0," * 32_000 + b"0]",
    b"network: {hidden: [" + b"16384, " * 32 + b"]}",
    b"".join(b"k%d: 1\n" % number for number in range(6000)),
    b"data: {dataset: " + b"a/" * 20_000 + b".npz}",
    b"data: {dataset: " + b"a" * 300 + b".npz}",
]


def check_limited(texts: list[bytes], lab: Lab) -> Counter[int]:
    codes: Counter[int] = Counter()
    for text in texts:
        (lab.path / "bad.yaml").write_bytes(text)
        before = lab.tree()
        code, errors, seconds, megabytes = run_limited("train", "bad.yaml", "--dry-run")
        assert code in (0, 2) and lab.tree() == before, (code, errors)
        assert code == 0 or all(re.fullmatch(REFUSAL, line) for line in errors.splitlines()), errors
        assert seconds < SECONDS and megabytes < MEGABYTES, (text[:200], seconds, megabytes)
        codes[code] += 1
    return codes


def test_nasty_configs_are_refused_at_once_in_little_memory(lab: Lab) -> None:
    assert check_limited(NASTY, lab) == {2: len(NASTY)}


@pytest.mark.long
def test_mutated_configs_through_the_command(lab: Lab) -> None:
    draw = random.Random(1)
    codes = check_limited([mutate(draw, draw.choice([*SEEDS, EVERYTHING])) for _ in range(300)], lab)
    print(dict(codes))
    assert codes[2] > 100


# Run directories


READS = ("list", "train tiny.yaml --seeds 2 --dry-run", "compare good bad --quiet")
ALL = (*READS, "list --json", "report good bad", "plot bad", "evaluate bad --quiet --samples 2")


@pytest.mark.parametrize(
    ("count", "lines"), [(40, READS), pytest.param(500, ALL, marks=pytest.mark.long)], ids=["quick", "slow"]
)
def test_a_mutated_run_is_read_or_named(count: int, lines: tuple[str, ...], lab: Lab) -> None:
    """Of most mutations the seals know; of the others only whether the files make sense together."""
    (lab.path / "tiny.yaml").write_text(TINY + "name: bad\n")
    assert (
        lab("train tiny.yaml --seeds 2").code == lab("train tiny.yaml --seeds 2 --name good dropout.rate=0").code == 0
    )
    path, draw, codes = lab.runs / "bad", random.Random(2), Counter[tuple[str, int]]()
    sound = {file.name: file.read_bytes() for file in path.iterdir() if file.name not in (".lock", "curves.png")}
    for _ in range(count):
        for name, content in sound.items():
            (path / name).write_bytes(content)
        name = draw.choice(sorted(sound))
        content = mutate(draw, sound[name])
        forged = draw.random() < 0.7
        if name != "summary.json" and forged:
            forge(path, name, content)
        else:
            (path / name).write_bytes(content)
        if name == "summary.json" and forged and isinstance(facts := as_json(content), dict):
            reseal(path, **facts)
        for line in lines:
            before = lab.tree()
            said = lab(line)
            codes[line.split()[0], said.code] += 1
            context = (name, content[:3000], line, said)
            refusals = [text for text in said.err.splitlines() if text.startswith("dropout-lab: error: ")]
            assert said.code in (0, 1, 2) and bool(refusals) == (said.code > 0), context
            assert all(re.fullmatch(REFUSAL, text) for text in refusals) or said.code == 1, context
            assert all(c.isprintable() or c == "\n" for c in said.out + said.err), context
            assert said.code != 2 or lab.tree() == before, context
            assert line != "list" or re.search("^good +finished", said.out, re.MULTILINE), context
            assert "report" not in line or said.code < 2, context
    print(dict(codes))


def as_json(data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def test_no_flipped_bit_in_a_finished_run_passes(lab: Lab) -> None:
    """300 single-bit flips and 100 cuts, over all its files: all of them are noticed by whoever loads the run."""
    assert lab("train tiny.yaml").code == 0
    path, draw = lab.runs / "tiny", random.Random(3)
    files = sorted(file for file in path.iterdir() if file.name not in (".lock", "curves.png"))
    for trial in range(400):
        file = draw.choice(files)
        good = file.read_bytes()
        file.write_bytes(damage(draw, good, cut=trial >= 300))
        with pytest.raises(Refused, match=str(file)):
            runs.load(path)
        file.write_bytes(good)
    assert runs.load(path).seeds == (0,)


# Command lines

STRANGE = [
    *("", " ", "-", "--", "-1", "0", "1", "5", "0..4", "4..0", "1,1", "0..1:0", "1e999", "nan", "inf", "9" * 400, "="),
    *("a=b", "a.b=c", "training.epochs=1", "training.epochs=[", "dropout.rate=1e-400", "name=..", "seeds=[[]]"),
    *("data.dataset=../../etc/passwd", "~nobody/x", "/dev/null", "/dev/null/x", "/proc/self/mem", ".", "..", "runs"),
    *(
        "good",
        "good/",
        "./runs/good",
        "tiny.yaml",
        "tiny.yaml/",
        "x" * 5000,
        "x/" * 3000,
        "\x1b[31m",
        "a\nb",
        "é\u202e",
    ),
    *("\udcff", "{}", "%s", "$(touch pwned)", "'; touch pwned", "test_accuracy: drop > 0pp", "mlflow:sqlite:///x.db"),
    *("test_accuracy: drop > 1e9pp", "tensorboard", "cuda", "cpu", "--help"),
]
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("--seeds", "--name", "--runs-dir", "--device", "--track", "--smoke", "--fresh", "--json"),
    "compare": ("--seeds", "--metric", "--min-effect", "--fail-if", "--out", "--runs-dir", "--smoke", "--csv", "--md"),
    "sweep": ("--rates", "--vary", "--seeds", "--jobs", "--lanes", "--name", "--runs-dir", "--device", "--no-baseline"),
    "evaluate": ("--samples", "--runs-dir", "--data-dir"),
    "plot": ("--format", "--style", "--size", "--runs-dir"),
    "report": ("--out", "--runs-dir", "--data-dir"),
    "export": ("--to", "--runs-dir"),
    "list": ("--runs-dir", "--json"),
    "validate": (),
    "init": (),
    "schema": (),
    "theory": ("--out",),
    "data where": ("--data-dir",),
    "data verify": ("--data-dir",),
}
TRAINS = ("train", "compare", "sweep")  # these only plan here
DRAWS = ("plot", "report", "evaluate", "theory", "export")  # these are slow where they find something to do


@pytest.mark.parametrize("count", [250, pytest.param(5000, marks=pytest.mark.long)])
def test_any_command_line_is_done_or_refused(count: int, lab: Lab) -> None:
    write_run(lab.runs, "good", [0.9, 0.8])
    draw, codes = random.Random(4), Counter[int]()
    form = re.compile(r"dropout-lab: error: .+: .+: .+ \(got .*\)")  # some of these words are paths with a colon
    for _ in range(count):
        command = draw.choice(list(COMMANDS))
        words = draw.choices(STRANGE, k=draw.choice((0, 1, 1, 2, 3)))
        for option in draw.sample(COMMANDS[command], min(len(COMMANDS[command]), draw.choice((0, 1, 1, 2)))):
            words += [option, draw.choice(STRANGE)]
        if command in DRAWS and not {*words} & {*STRANGE} - {"good", "./runs/good", "good/"}:
            continue
        before = lab.tree()
        said = lab(command, *words, *["--dry-run"] * (command in TRAINS))
        codes[said.code] += 1
        context = command, words, said
        refusals = [text for text in said.err.splitlines() if text.startswith("dropout-lab: error: ")]
        assert said.code in (0, 1, 2) and (said.code == 0 or refusals), context
        assert said.code != 2 or (lab.tree() == before and all(map(form.fullmatch, refusals))), context
        assert all(c.isprintable() or c == "\n" or "\ud800" <= c <= "\udfff" for c in said.out + said.err), context
    assert codes[2] > count / 2 and not (lab.path / "pwned").exists()
    print(dict(codes))


def test_every_sort_of_refusal_is_at_once_and_in_little_memory(lab: Lab) -> None:
    for name in ("base", "drop", "cut"):
        write_run(lab.runs, name, [0.9, 0.8])
    (lab.runs / "cut/summary.json").write_bytes(b"[" * 10**6)
    (lab.runs / "s").mkdir()
    (lab.runs / "s/sweep.yaml").write_bytes(b"{a: " * 10**5)
    np.savez(lab.path / "pickled.npz", x_train=np.array([print], object), y_train=np.zeros(1, int))
    np.savez_compressed(lab.path / "bomb.npz", x_train=np.zeros((2**17, 2**11), np.uint8), y_train=np.zeros(9, int))
    lab.monkeypatch.setenv("MPLCONFIGDIR", FONTS)
    lines = [
        *(f"train tiny.yaml data.dataset={name}.npz" for name in ("pickled", "bomb", "nowhere")),
        *(
            "compare base cut",
            "report cut",
            "plot cut",
            "evaluate cut",
            "plot s",
            "compare base nobody",
            "export cut --to x",
        ),
        *(
            "sweep tiny.yaml --rates 0..1:1e-9",
            "reproduce nothing",
            "train tiny.yaml --name ../x",
            "list --runs-dir tiny.yaml",
        ),
    ]
    for line in lines:
        before = lab.tree()
        code, said, seconds, megabytes = run_limited(*line.split())
        assert code == 2 and lab.tree() == before and "Traceback" not in said, (line, said)
        assert seconds < SECONDS and megabytes < MEGABYTES, (line, seconds, megabytes)
