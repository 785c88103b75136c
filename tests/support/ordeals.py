"""Real trainings, killed and interrupted at random times; each must come to the bytes of one that was left in peace.

    python tests/support/ordeals.py             all of them, as the table of docs/reliability.md; takes about 20 minutes
    python tests/support/ordeals.py killed 3    one of them, with 3 blows

Every function takes an empty directory and how many blows to give, and returns what it counted. An AssertionError says
what did not hold. Where a blow falls follows from a fixed stream, and from how fast the machine is at that moment.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from processes import below
from recorded import tree

from dropout_lab import cli, storage
from dropout_lab.commands import progress
from dropout_lab.execution import execute as execution
from dropout_lab.runs import read as runs
from dropout_lab.runs.checkpoint import unpack
from dropout_lab.runs.find import is_run, state

TRAIN = "train digits.yaml training.epochs=40 --seeds 4 --device cpu"
SWEEP = "sweep digits.yaml --rates 0,0.2,0.5 --seeds 2 --jobs 2 --device cpu"
CONFIG = "data: {dataset: digits}\nnetwork: {hidden: [24, 16]}\ntraining: {epochs: 100}\n"
DEADLINE = 120.0  # seconds: a busy machine is slow, a hang would be for ever
SHOWN = progress.shown
Counts = dict[str, float]


class Lab:
    """A directory in which the command line is run, each time in a process and a group of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "digits.yaml").write_text(CONFIG)

    def start(self, line: str) -> int:
        """Fork, so that torch is imported once for all; return the process's id."""
        child = os.fork()
        if child:
            with contextlib.suppress(OSError):
                os.setpgid(child, child)  # whichever of the two comes first
            return child
        code = 70
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            os.chdir(self.directory)
            log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout, sys.stderr = io.TextIOWrapper(io.FileIO(1, "w")), io.TextIOWrapper(io.FileIO(2, "w"))
            sys.argv = ["dropout-lab", *line.split()]
            progress.shown = telling
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def run(self, line: str) -> str:
        """Run a command to its end, which must be a good one."""
        code = ended(self.start(line))
        assert code == 0, self.log
        return self.log


def ended(process: int, seconds: float = DEADLINE) -> int:
    """Wait for a process and return its exit code, negative for a signal."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    raise AssertionError(f"the process did not end in {seconds:.0f} s")


def group_is_gone(group: int, seconds: float = DEADLINE) -> float:
    """Wait until no process of a group is left; return how long that took."""
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return time.monotonic() - started
        time.sleep(0.01)
    raise AssertionError("a worker outlived its parent")


def finished(run: Path) -> bool:
    return run.is_dir() and is_run(run) and state(run) == "finished"


def safe_epochs(run: Path) -> dict[int, int]:
    """Return the epochs of every seed that a run directory holds, finished or not; every file of it must be whole."""
    if finished(run):
        metrics = runs.load(run).metrics
        return {int(seed): int(own["epoch"].max()) for seed, own in metrics.groupby("seed")}
    safe = {}
    for file in sorted((run / "checkpoint").glob("seed-*")) if run.is_dir() else ():
        record, _ = unpack(file.read_bytes())
        seed = int(re.findall(r"[0-9]+", file.name)[0])
        safe[seed] = max(safe.get(seed, 0), len(record.rows) if record.outcome else record.reached)
    return safe


@contextlib.contextmanager
def telling(*plan: Any) -> Iterator[Callable[[execution.Event], None]]:
    """Show what happens as ever, and tell of every epoch of every seed."""
    with SHOWN(*plan) as show:

        def tell(event: execution.Event) -> None:
            show(event)
            for task, row in event.rows.items() if isinstance(event, execution.EpochDone) else ():
                print(f"told of seed {task.seed} epoch {row.epoch}", file=sys.stderr, flush=True)

        yield tell


def lost_epochs(log: str, safe: Mapping[int, int]) -> int:
    """Return how many epochs were told of that are not safe."""
    told = {int(s): int(e) for s, e in re.findall(r"^told of seed (\d+) epoch (\d+)$", log, re.MULTILINE)}
    return sum(max(0, epoch - safe.get(seed, 0)) for seed, epoch in told.items())


def in_peace(directory: Path, line: str, run: str) -> tuple[dict[str, str], float]:
    """Return what a command leaves when nothing disturbs it, and how many seconds it takes."""
    lab, started = Lab(directory / "peace"), time.monotonic()
    lab.run(line)
    return facts(lab.directory / "runs" / run), time.monotonic() - started


def facts(directory: Path) -> dict[str, str]:
    """Return the digests of what must be the same bytes: no clock and no machine is in these files."""
    names = ("metrics.csv", "weights.safetensors", "predictions.npz", "config.yaml", "sweep.csv")
    return {name: digest for name, digest in tree(directory).items() if name.endswith(names)}


def accept(path: Path, expected: dict[str, str]) -> None:
    """What was interrupted came to what it comes to in peace, and left nothing half written; make room for the next."""
    assert facts(path) == expected
    assert not [*path.rglob("*.tmp"), *path.rglob("checkpoint")]
    shutil.rmtree(path)


def killed(directory: Path, times: int) -> Counts:
    """SIGKILL at a random time, again and again, until the training is done; then another training."""
    expected, seconds = in_peace(directory, TRAIN, "digits")
    at_random, lab, blows, trainings, lost = random.Random(0), Lab(directory / "killed"), 0, 0, 0
    run = lab.directory / "runs/digits"
    while blows < times or run.exists():
        process = lab.start(TRAIN)
        time.sleep(at_random.uniform(0, seconds) if blows < times else 0)
        if blows < times:
            os.kill(process, signal.SIGKILL)
        code = ended(process)
        blows += code == -signal.SIGKILL
        safe = safe_epochs(run)
        lost += lost_epochs(lab.log, safe)
        lab.run("list --json")
        if code == 0:
            accept(run, expected)
            trainings += 1
    assert not lost, f"{lost} epochs were told of and not saved"
    return {"kills": blows, "trainings": trainings, "epochs lost": lost}


def interrupted(directory: Path, times: int) -> Counts:
    """SIGINT, SIGTERM or SIGHUP at a random time, once or twice, to the process or to its group, with workers."""
    expected, seconds = in_peace(directory, SWEEP, "digits-sweep")
    at_random, lab, blows, sweeps, longest = random.Random(1), Lab(directory / "interrupted"), 0, 0, 0.0
    sweep = lab.directory / "runs/digits-sweep"
    while blows < times or sweep.exists():
        process = lab.start(SWEEP)
        number = at_random.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        send, twice = at_random.choice([os.kill, os.killpg]), at_random.random() < 0.3
        if blows < times:
            time.sleep(at_random.uniform(0.2, seconds))
            with contextlib.suppress(ProcessLookupError):
                send(process, number)
                if twice:
                    time.sleep(at_random.uniform(0, 0.2))
                    send(process, number)
        started = time.monotonic()
        code = ended(process)
        longest = max(longest, time.monotonic() - started) if code else longest
        group_is_gone(process)
        assert longest < 5
        assert code in (0, 128 + number, -number if twice else 0), (code, number, lab.log)
        if code == 128 + number and "plan:" in lab.log and not twice:
            assert "Go on with\n  dropout-lab sweep digits.yaml" in lab.log or "epoch" not in lab.log, lab.log
        blows += code != 0
        lab.run("list --json")
        if code == 0:
            accept(sweep, expected)
            sweeps += 1
    return {"signals": blows, "sweeps": sweeps, "slowest end, s": round(longest, 1)}


def driver_killed(directory: Path, times: int) -> Counts:
    """SIGKILL to the parent of two workers at random times, until the sweep is done."""
    expected, seconds = in_peace(directory, SWEEP, "digits-sweep")
    at_random, lab, blows, sweeps, longest = random.Random(2), Lab(directory / "driver"), 0, 0, 0.0
    sweep, before = lab.directory / "runs/digits-sweep", {}
    while blows < times or sweep.exists():
        process = lab.start(SWEEP)
        if blows < times:
            time.sleep(at_random.uniform(0.2, seconds))
            os.kill(process, signal.SIGKILL)
        code = ended(process)
        longest = max(longest, group_is_gone(process)) if code else longest
        assert code in (0, -signal.SIGKILL), (code, lab.log)
        blows += code != 0
        for run, own in before.items():  # what was finished is never touched again
            assert facts(run) == own
        before = {run: facts(run) for run in sorted(sweep.glob("rate-*")) if finished(run)}
        if code == 0:
            rows = list(csv.DictReader((sweep / "sweep.csv").read_text().splitlines()))
            assert len({(row["run"], row["seed"]) for row in rows}) == len(rows) == 6
            accept(sweep, expected)
            sweeps, before = sweeps + 1, {}
    return {"kills": blows, "sweeps": sweeps, "slowest end of the workers, s": round(longest, 1)}


def workers_killed(directory: Path, times: int) -> Counts:
    """SIGKILL to one of the two workers at a random time of each sweep: the sweep ends well all the same."""
    expected, seconds = in_peace(directory, SWEEP, "digits-sweep")
    at_random, lab, blows, sweeps = random.Random(3), Lab(directory / "workers"), 0, 0
    sweep = lab.directory / "runs/digits-sweep"
    while blows < times:
        process = lab.start(SWEEP)
        time.sleep(at_random.uniform(0.3, 0.8) * seconds)
        workers = [pid for pid, command in below(process).items() if "spawn_main" in command]
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(at_random.choice(sorted(workers)), signal.SIGKILL)
                blows += 1
        assert ended(process) == 0, lab.log
        accept(sweep, expected)
        sweeps += 1
    return {"kills": blows, "sweeps": sweeps, "networks lost": 0}


def at_once(directory: Path, times: int) -> Counts:
    """Two processes train the same run at the same time: one complete directory, and no word that is not true."""
    expected, seconds = in_peace(directory, TRAIN, "digits")
    at_random, labs = random.Random(4), [Lab(directory / "at-once") for _ in range(2)]
    run, refused = labs[0].directory / "runs/digits", 0
    for _ in range(times):
        processes = []
        for lab in labs:
            processes.append(lab.start(TRAIN))
            time.sleep(at_random.uniform(0, seconds / 2))
        codes = sorted(map(ended, processes))
        assert codes in ([0, 0], [0, 2]), (codes, labs[0].log)
        refused += codes[1] == 2
        assert not storage.holder(run)
        accept(run, expected)
    return {"rounds": times, "refused": refused}


def disk_full(directory: Path, times: int) -> Counts:
    """Train on file systems of so many sizes, most of them too small; then give them room, and train again."""
    expected, _ = in_peace(directory, TRAIN, "digits")
    needed = sum(file.stat().st_size + 4096 for file in (directory / "peace/runs").rglob("*"))
    lab, small, failed, lost = Lab(directory / "full"), directory / "small", 0, 0
    small.mkdir()
    for number in range(times):
        mount("-t", "tmpfs", "-o", f"size={40_000 + 3 * needed * number // (2 * times)}", "tmpfs", str(small))
        try:
            run = small / "runs/digits"
            code = ended(lab.start(f"{TRAIN} --runs-dir {small}/runs"))
            safe = safe_epochs(run)
            if code:
                errors = [line for line in lab.log.splitlines() if line.startswith("dropout-lab: error: ")]
                assert code == 1 and len(errors) == 1 and str(small) in errors[0], lab.log
                assert errors[0].endswith("No space left on device") and "Traceback" not in lab.log, lab.log
                lost += lost_epochs(lab.log, safe)
                failed += 1
            mount("-o", "remount,size=64m", str(small))
            lab.run(f"{TRAIN} --runs-dir {small}/runs")
            assert facts(run) == expected and not list(run.rglob("*.tmp"))
        finally:
            subprocess.run(["umount", str(small)], check=True)
    assert failed and not lost, (failed, lost)
    return {"sizes": times, "too small": failed, "epochs lost": lost}


def mount(*words: str) -> None:
    """Mount a file system. Raises `PermissionError` where this is not allowed."""
    if subprocess.run(["mount", *words], stderr=subprocess.DEVNULL).returncode:
        raise PermissionError("mounting a file system is not permitted here")


ORDEALS: dict[str, tuple[Callable[[Path, int], Counts], int]] = {
    "killed": (killed, 100),
    "interrupted": (interrupted, 50),
    "driver_killed": (driver_killed, 20),
    "workers_killed": (workers_killed, 20),
    "at_once": (at_once, 50),
    "disk_full": (disk_full, 50),
}


def main(chosen: str = "", times: str = "") -> None:
    import dropout_lab.figures.plots
    import dropout_lab.sweeps.judge  # noqa: F401, once for all the forks

    print("| ordeal | what was counted | s |\n|---|---|---|")
    for name, (ordeal, usual) in ORDEALS.items():
        if chosen not in ("", name):
            continue
        with tempfile.TemporaryDirectory() as directory:
            started = time.monotonic()
            counts = ordeal(Path(directory), int(times or usual))
            took = time.monotonic() - started
            print(f"| {name} | {', '.join(f'{what}: {n}' for what, n in counts.items())} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
