"""dropout-lab beside its peers, each row a ratio taken in one run, both programs by turns; README.md explains the rows.

bench.py [--peers-python PATH] [--only 1,5] [--json FILE] [--md FILE]      the table
bench.py scaling                                                          how the cost grows
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean, median
from textwrap import shorten
from typing import Any

from dropout_lab.data.datasets import directory as data_directory
from dropout_lab.execution.machine import cpu_model, git_commit

HERE = Path(__file__).resolve().parent
LAB = sys.executable
COMMAND = str(Path(LAB).with_name("dropout-lab"))
BASELINE = str(HERE.parent / "configs" / "mnist-baseline.yaml")
PACKAGES = ("dropout-lab", "torch", "torchvision", "keras", "tensorflow", "tensorflow-cpu", "jax", "optax", "numpy")
VERSIONS = """
import platform, sys
from importlib.metadata import distributions
found = {one.name.lower().replace("_", "-"): one.version for one in distributions()}
print("Python", platform.python_version())
for name in sys.argv[1:]:
    if name in found:
        print(name, found[name])
"""
ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}  # all on the CPU
MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes in the unit of ru_maxrss


class Skipped(Exception):
    """A program cannot be measured here, and why."""


@dataclass(frozen=True)
class Program:
    """A command; empty where its Python is absent. It may print JSON lines: {"epoch": .., "seconds": ..}, or values."""

    name: str
    command: tuple[str, ...]

    def run(self) -> dict[str, float]:
        """Run it in a new directory; return the values printed, its "wall" seconds, and "memory" in GB.

        "per_epoch" is its mean over the epochs but the first, in which programs compile. The memory is the peak of its
        largest process.
        """
        if not self.command:
            raise Skipped("needs --peers-python")
        with tempfile.TemporaryDirectory() as directory, Path(directory, "stderr").open("w+") as errors:
            started = time.perf_counter()
            try:
                process = subprocess.Popen(
                    self.command, cwd=directory, stdout=subprocess.PIPE, stderr=errors, text=True
                )
            except OSError as error:
                raise Skipped(f"cannot be started: {error.strerror}") from None
            with process:
                assert process.stdout
                output = process.stdout.read()
                _, status, usage = os.wait4(process.pid, 0)
                wall = time.perf_counter() - started
                process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                errors.seek(0)
                last = errors.read().strip().rpartition("\n")[2]
                raise Skipped(f"exit code {process.returncode}: {last}")
        values = {"wall": wall, "memory": usage.ru_maxrss * MAXRSS / 1e9}
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        if later := [line["seconds"] for line in lines if line.get("epoch", 1) > 1]:
            values["per_epoch"] = fmean(later)
        return values | {key: value for line in lines if "epoch" not in line for key, value in line.items()}


@dataclass(frozen=True)
class Row:
    """What is measured: a peer's `value` over ours, or our own alone; what it should come to; how it is written."""

    number: str
    what: str
    ours: Program
    peer: Program | None
    target: float | None
    stretch: float | None
    value: str = "per_epoch"
    peer_value: str = ""
    form: str = "{:.2f}x"


def rows(peers: str, epochs: int) -> list[Row]:
    """Return the table. Rows with the same program of ours are measured together."""

    def script(name: str, python: str, *arguments: object) -> Program:
        file, *others = map(str, arguments)
        return Program(name, (python, str(HERE / file), *others) if python else ())

    lengths = {"one": epochs, "sweep": epochs, "wide": 2}  # an epoch of the wide one takes ten seconds
    one, sweep, wide = (script(f"dropout-lab {name}", LAB, "ours.py", name, lengths[name]) for name in lengths)
    keras = "peers/keras_article.py"
    tensorflow = script("Keras on TensorFlow", peers, keras, "tensorflow", 0.5, epochs)
    jax = script("Keras on JAX", peers, keras, "jax", 0.5, epochs)
    article = script("Keras on JAX, 10 epochs", peers, keras, "jax", 0, 10)
    scan = script("JAX scan", peers, "peers/jax_scan.py", 0.5, epochs)
    loader = script("DataLoader loop", LAB, "peers/dataloader.py", 0.5, epochs)
    floor = script("floor", LAB, "peers/floor.py", "--widths=784,128,128,10", "--lanes=8")
    wide_sizes = ("--widths=784,1024,1024,2048,10", "--batch=100", "--images=59400", "--evaluated=1200")
    wide_floor = script("floor", LAB, "peers/floor.py", *wide_sizes)
    train = Program("dropout-lab train", (COMMAND, "train", BASELINE, "--runs-dir", "runs"))
    usage = Program("dropout-lab --help", (COMMAND, "--help"))
    return [
        Row("1", "one network, per epoch", one, tensorflow, 4.5, 6),
        Row("2", "one network, per epoch", one, jax, 1.3, 1.9),
        Row("2b", "one network, per epoch", one, loader, None, None),
        Row("3", "sweep of 24, per epoch and network", sweep, tensorflow, 7.5, 9),
        Row("4", "sweep of 24; the peer without validation", sweep, scan, 1.15, 1.5),
        Row("5", "sweep of 24: share of training's products", sweep, floor, 0.6, 0.8, form="{:.0%}"),
        Row("5b", "... and of evaluation's", sweep, floor, None, None, peer_value="evaluated", form="{:.0%}"),
        Row("6", "1024-1024-2048: share of training's products", wide, wide_floor, 0.8, 0.9, form="{:.0%}"),
        Row("6b", "... and of evaluation's", wide, wide_floor, None, None, peer_value="evaluated", form="{:.0%}"),
        Row("7", "train mnist-baseline, the whole command", train, article, 1.3, 2, "wall"),
        Row("8", "--help, the whole command", usage, None, 0.3, 0.2, "wall", form="{:.2f} s"),
        Row("9", "train mnist-baseline, peak memory", train, None, 1.2, 0.8, "memory", form="{:.2f} GB"),
    ]


Samples = dict[Program, list[dict[str, float]]]  # of each round; none of a program that was skipped


def measure(group: Sequence[Row], rounds: int) -> tuple[Samples, dict[Program, str]]:
    """Run our program and its peers by turns, every second round in reverse; return also why any were skipped."""
    samples: Samples = {program: [] for row in group for program in (row.ours, row.peer) if program}
    skipped: dict[Program, str] = {}
    for number in range(rounds):
        for program in list(samples)[:: -1 if number % 2 else 1]:
            if program not in skipped:
                say(f"round {number + 1} of {rounds}: {program.name}")
                try:
                    samples[program].append(program.run())
                except Skipped as reason:
                    skipped[program] = f"skipped: {program.name}: {reason}"
                    say(skipped[program])
    return samples, skipped


def result(row: Row, samples: Samples, skipped: dict[Program, str]) -> dict[str, Any]:
    """Return a row as JSON has it: the values of every round, their ratios, and what they reach."""
    facts: dict[str, Any] = {"row": row.number, "what": row.what, "peer": row.peer.name if row.peer else None}
    facts |= {"value": row.value, "target": row.target, "stretch": row.stretch}
    if reasons := [skipped[program] for program in (row.ours, row.peer) if program in skipped]:
        return facts | {"reached": reasons[0]}
    facts["ours"] = results = [sample[row.value] for sample in samples[row.ours]]
    sign = -1  # our own value should be small, a ratio large
    if row.peer:
        facts["theirs"] = [sample[row.peer_value or row.value] for sample in samples[row.peer]]
        sign, results = 1, [theirs / ours for theirs, ours in zip(facts["theirs"], results, strict=True)]
    goals = {"stretch": row.stretch, "target": row.target}
    reached = [name for name, goal in goals.items() if goal and sign * median(results) >= sign * goal]
    return facts | {"results": results, "reached": reached[0] if reached else "missed" if row.target else ""}


HEADER = ("row", "what", "ours", "peer", "theirs", "result", "spread", "target / stretch", "reached")


def cells(row: Row, facts: dict[str, Any]) -> list[str]:
    """Return a row as the table has it: medians, and the smallest and the largest result."""
    unit = "GB" if row.value == "memory" else "s"
    ours, theirs = (f"{median(facts[key]):.3f} {unit}" if key in facts else "" for key in ("ours", "theirs"))
    found = facts.get("results", [])
    middle, *spread = (row.form.format(one(found)) for one in (median, min, max)) if found else ("",)
    goals = " / ".join(row.form.format(goal) for goal in (row.target, row.stretch) if goal)
    reached = shorten(facts["reached"], 72).replace("|", "/")
    return [row.number, row.what, ours, facts["peer"] or "", theirs, middle, " .. ".join(spread), goals, reached]


def table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Return Markdown that is aligned, so that it can be read on a terminal as well."""
    texts = [list(header), *map(list, lines)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    texts.insert(1, ["-" * width for width in widths])
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in texts)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def versions(python: str) -> str:
    """Return the version of that Python, and of those PACKAGES that it has."""
    try:
        output = subprocess.run(
            [python, "-I", "-c", VERSIONS, *PACKAGES], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return ", ".join(output.splitlines())


def conditions(peers: str) -> dict[str, Any]:
    """Return what the numbers depend on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "date": date.today().isoformat(),
        "machine": f"{cpu_model()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.platform()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "commit": git_commit(),
        "lab": versions(LAB),
        "peers": versions(peers) if peers else "none",
    }


def compare(options: argparse.Namespace, peers: str) -> tuple[str, list[dict[str, Any]]]:
    """Measure the rows asked for; return the table, and what JSON has of it."""
    every = rows(peers, options.epochs)
    wanted = [row for row in every if not options.only or {row.number, row.number[0]} & {*options.only}]
    if not wanted:
        raise SystemExit(f"no such row; there are {', '.join(row.number for row in every)}")
    groups: dict[Program, list[Row]] = {}
    for row in wanted:
        groups.setdefault(row.ours, []).append(row)
    measured = {ours: measure(group, options.rounds) for ours, group in groups.items()}
    results = [result(row, *measured[row.ours]) for row in wanted]
    return table(HEADER, map(cells, wanted, results)), results


def scaling() -> tuple[str, dict[str, list[dict[str, float]]]]:
    """Measure how the cost grows; return the tables, and what JSON has of them."""
    from scaling import points

    tables: dict[str, list[dict[str, float]]] = {}
    for title, point in points():
        say(f"{title}: {point}")
        tables.setdefault(title, []).append(point)
    texts = (
        f"{title}\n\n{table(found[0], ([f'{value:.4g}' for value in point.values()] for point in found))}"
        for title, found in tables.items()
    )
    return "\n\n".join(texts), tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["rows", "scaling"], default="rows")
    parser.add_argument("--peers-python", type=Path, help="the Python that has keras, tensorflow, jax and optax")
    parser.add_argument("--data-dir", type=Path, help="the folder with MNIST/raw (default: where the lab keeps data)")
    parser.add_argument("--only", type=lambda text: text.replace(" ", "").split(","), help="rows, such as 1,5")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--epochs", type=int, default=5, help="of each program in the rows 1 to 6; the first is left out"
    )
    parser.add_argument("--quick", action="store_true", help="1 round of 3 epochs")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--md", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.epochs = 1, 3
    for file in options.md, options.json:
        if file and not file.parent.is_dir():
            parser.error(f"{file.parent} is no folder")
    if options.rounds < 1 or options.epochs < 2:
        parser.error("--rounds must be at least 1, --epochs at least 2")
    os.environ |= ENVIRONMENT | {"DROPOUT_LAB_DATA": str(data_directory(options.data_dir).absolute())}
    peers = str(options.peers_python.absolute()) if options.peers_python else ""  # not resolved: it may be a link
    facts = conditions(peers)
    text, results = scaling() if options.what == "scaling" else compare(options, peers)
    page = "\n".join(f"- {name}: {value}" for name, value in facts.items()) + f"\n\n{text}\n"
    print(page, end="")
    if options.md:
        options.md.write_text(page)
    if options.json:
        chosen = {"rounds": options.rounds, "epochs": options.epochs}
        options.json.write_text(json.dumps({**facts, **chosen, options.what: results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
