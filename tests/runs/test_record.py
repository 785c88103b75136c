"""The run directory: it can be gone on with at every moment, what is finished never changes, nothing is mixed up."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import SUPPORT, ordinary_user
from comparable import reseal
from recorded import DATA, ENVIRONMENT, EPOCHS, config, go_on, outcome, row, snapshot, train, tree

from dropout_lab import storage
from dropout_lab.config import resolve as configs
from dropout_lab.errors import Failed, Refused
from dropout_lab.runs import checkpoint as checkpoints
from dropout_lab.runs import read as runs
from dropout_lab.runs import record as recording
from dropout_lab.runs.checkpoint import Checkpoints, Origin, Record, pack, unpack
from dropout_lab.runs.find import state
from dropout_lab.runs.finish import metrics_file
from dropout_lab.runs.job import Job
from dropout_lab.runs.read import Run
from dropout_lab.runs.record import RunWriter, set_aside, writing
from dropout_lab.runs.row import COLUMNS, Outcome, Row
from dropout_lab.runs.summary import FORMAT, DivergedSeed, FinishedSeed, Summary, read_summary
from dropout_lab.storage import locked, seal, sha256

FILES = ["config.yaml", "metrics.csv", "predictions.npz", "summary.json", "timing.csv", "weights.safetensors"]


class Interrupted(Exception):
    """Ends a training in the middle."""


def interrupted(path: Path, seeds: list[int], at: tuple[int, int]) -> Path:
    """Train until the given (seed, epoch) is recorded."""

    def told(seed: int, epoch: int) -> None:
        if (seed, epoch) == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(path, seeds, told)
    return path


def reopened(path: Path, seeds: list[int]) -> RunWriter:
    with writing(Job(path, config(seeds)), DATA) as writer:
        return writer


@contextmanager
def refused(directory: Path, match: str) -> Iterator[None]:
    """Expect Refused and an untouched directory."""
    before = tree(directory)
    with pytest.raises(Refused, match=match):
        yield
    assert tree(directory) == before


def of_seed(path: Path, seed: int) -> list[str]:
    return [line for line in (path / "metrics.csv").read_text().splitlines() if line.startswith(f"{seed},")]


# Crashes


@pytest.mark.parametrize(
    ("fate", "before", "now"),
    [
        ("kill", "", "0,1"),
        ("kill", "0", "0,1"),  # seeds are added to a finished run
        ("kill", "0,1!", "0"),  # fewer seeds than are in training
        ("kill", "0,1!", "0,1"),
        ("kill", "0,2!", "1"),
        ("full", "0", "1,0"),
        ("full", "0,1!", "0"),
        ("broken", "0", "1,0"),
        ("broken", "0,1!", "0"),
    ],
)
def test_hit_at_any_change_it_loses_nothing_and_goes_on_to_the_same_bytes(
    fate: str, before: str, now: str, tmp_path: Path
) -> None:
    program = SUPPORT / "crashes.py"
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path  # hundreds of trainings wait for no disk
    with tempfile.TemporaryDirectory(dir=in_memory) as directory:
        command = [sys.executable, program, directory, fate, before, now]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 40


# Checkpoints


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) * 2 // 3] ^= 16
    file.write_bytes(bytes(data))


DAMAGES = [zeroed, cut, emptied, flipped]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_with_one_note(damage: Any, tmp_path: Path) -> None:
    train(tmp_path / "whole", [0, 1])
    path = interrupted(tmp_path / "run", [0, 1], (1, 2))
    damage(path / "checkpoint/seed-1")
    with writing(Job(path, config([0, 1])), DATA) as writer:
        (note,) = writer.checkpoints.notes
        assert note.startswith(f"{path}/checkpoint/seed-1: damaged checkpoint passed over (")
        assert note.endswith("); seed 1 goes on from the one before it, at epoch 1") and "\n" not in note
        going_on = writer.resume(1)
        assert going_on and going_on.last == row(1, 1)
        go_on(writer)
    for name in FILES[1:3]:
        assert (path / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EACCES, errno.EIO])
def test_a_checkpoint_that_cannot_be_read_now_is_kept(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be whole: the network is away, or a right is missing. To pass it over would remove it."""
    path = interrupted(tmp_path / "run", [0, 1], (1, 2))
    before = {file: file.read_bytes() for file in (path / "checkpoint").iterdir()}

    def away(file: Path) -> bytes:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "read_file", away)
        with pytest.raises(Failed, match=f"seed-0: cannot be read: {os.strerror(code)}; try again"):
            train(path, [0, 1])
    assert before == {file: file.read_bytes() for file in (path / "checkpoint").iterdir()}
    train(tmp_path / "whole", [0, 1])
    with writing(Job(path, config([0, 1])), DATA) as writer:
        go_on(writer)
    assert (path / "metrics.csv").read_bytes() == (tmp_path / "whole/metrics.csv").read_bytes()


def test_a_final_file_that_cannot_be_read_now_is_not_called_damaged(tmp_path: Path) -> None:
    train(path := tmp_path / "run", [0])
    for name in ("summary.json", "metrics.csv"):
        (path / name).chmod(0)
        with ordinary_user(), pytest.raises(Refused, match=f"{name}: file: cannot be read: Permission denied") as no:
            runs.load(path)
        assert "move" not in str(no.value)
        (path / name).chmod(0o644)


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_both_are_damaged_the_seed_starts_anew(damage: Any, tmp_path: Path) -> None:
    train(tmp_path / "whole", [0, 1])
    path = interrupted(tmp_path / "run", [0, 1], (1, 2))
    damage(path / "checkpoint/seed-1")
    damage(path / "checkpoint/seed-1.previous")
    with writing(Job(path, config([0, 1])), DATA) as writer:
        (note,) = writer.checkpoints.notes
        assert note.endswith("; seed 1 starts anew")
        assert writer.resume(1) is None and writer.pending() == {1}
        go_on(writer)
    assert (path / "metrics.csv").read_bytes() == (tmp_path / "whole/metrics.csv").read_bytes()


def test_a_damaged_file_never_takes_the_place_of_the_good_one_before_it(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "run", [0], (0, 2))
    good = (path / "checkpoint/seed-0.previous").read_bytes()
    flipped(path / "checkpoint/seed-0")
    with writing(Job(path, config([0])), DATA) as writer:
        writer.resume(0)
        writer.add(row(0, 2), 0.5, snapshot(0, 2))
        assert (path / "checkpoint/seed-0.previous").read_bytes() == good
    assert not reopened(path, [0]).checkpoints.notes


def test_killed_between_the_two_renames_of_a_checkpoint(tmp_path: Path) -> None:
    """The newest has become the previous one, and there is no newest: no epoch is lost."""
    path = interrupted(tmp_path / "run", [0], (0, 2))
    (path / "checkpoint/seed-0").replace(path / "checkpoint/seed-0.previous")
    writer = reopened(path, [0])
    assert writer.records[0].reached == 2 and not writer.checkpoints.notes


def test_a_loss_of_power_costs_what_was_not_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the disk was not waited for is empty afterwards: the file before is whole."""
    monkeypatch.setattr(checkpoints, "SYNC_EVERY", 1e9)
    flushed: set[int] = set()
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.add(os.fstat(descriptor).st_ino), fsync(descriptor)))
    path = interrupted(tmp_path / "run", [0, 1], (1, 3))
    saved = path / "checkpoint"
    assert {file.name for file in saved.iterdir() if file.stat().st_ino in flushed} == {
        "seed-0",  # it has ended
        "seed-0.previous",
        "seed-1.previous",
    }
    for file in (*saved.iterdir(), path / "metrics.csv", path / "timing.csv"):
        if file.stat().st_ino not in flushed:
            emptied(file)
    writer = reopened(path, [0, 1])
    assert writer.records[0].outcome and writer.records[1].reached == 1
    train(path, [0, 1])
    train(tmp_path / "whole", [0, 1])
    assert (path / "metrics.csv").read_bytes() == (tmp_path / "whole/metrics.csv").read_bytes()


def test_other_files_among_the_checkpoints_do_not_matter(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "run", [0], (0, 2))
    for name in ("seed-x", "seed-1.txt", "notes", "seed-\u0663", "seed-" + "9" * 30):
        (path / "checkpoint" / name).write_text("?")
    (path / "checkpoint/.seed-0.77.tmp").write_text("torn")
    assert list(reopened(path, [0]).records) == [0]
    assert not (path / "checkpoint/.seed-0.77.tmp").exists()


def test_a_record_comes_back_from_its_bytes() -> None:
    origin = Origin("identity", DATA)
    rows = [row(3, 1), replace(row(3, 2), clean_train_loss=math.inf)]
    for record in (
        Record(rows, [0.1, 0.2], replace(snapshot(3, 2), last=rows[1], best=rows[0])),
        Record(rows, [0.1, 0.2], None, outcome(3)),
        Record([], [], None, Outcome(DivergedSeed(epoch=1, step=5), {}, DATA)),
    ):
        again, found = unpack(pack(record, origin))
        assert found == vars(origin) and (again.rows, again.seconds) == (record.rows, record.seconds)
        for ours, theirs in ((record.snapshot, again.snapshot), (record.outcome, again.outcome)):
            assert (ours is None) == (theirs is None)
            if ours and theirs:
                assert replace(ours, arrays={}) == replace(theirs, arrays={})
                assert ours.arrays.keys() == theirs.arrays.keys()
                assert all(np.array_equal(array, theirs.arrays[name]) for name, array in ours.arrays.items())


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"rows": [], "seconds": []},
        {"origin": {}, "rows": [[1]], "seconds": [0.1], "outcome": {}},
        {"origin": {}, "rows": 1, "seconds": 1},
        {"origin": {"data": DATA}, "rows": [], "seconds": [], "last": 1, "best": 1},
        {"origin": {"data": DATA}, "rows": [], "seconds": []},
    ],
)
def test_what_is_sealed_but_no_record_is_a_value_error(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        unpack(seal(facts, {}))


# What is asked for


def test_seeds_are_added_and_the_finished_ones_stay(tmp_path: Path) -> None:
    path, whole = tmp_path / "run", tmp_path / "whole/run"
    train(path, [0])
    rows = of_seed(path, 0)
    assert Job(path, config([0, 1])).missing() == (1,) and not Job(path, config([0])).missing()
    with writing(Job(path, config([1])), DATA) as writer:
        assert not (path / "summary.json").exists() and state(path) == "running"
        assert configs.load(path / "config.yaml").seeds == (0, 1) and of_seed(path, 0) == rows
        assert writer.pending() == {1}
        go_on(writer)
    assert of_seed(path, 0) == rows and runs.load(path).seeds == (0, 1)
    train(whole, [1, 0])
    assert tree(path) == tree(whole)
    assert sorted(entry.name for entry in path.iterdir()) == [".lock", *FILES]


def test_fewer_seeds_than_are_in_training_leave_the_others_where_they_are(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "run", [0, 1, 2], (1, 2))
    train(path, [0])
    assert runs.load(path).seeds == (0,) and runs.load(path).config.seeds == (0,)
    checkpoints = Checkpoints(path, Origin(config().identity, DATA))
    assert checkpoints.read()[1].reached == 2
    told: list[tuple[int, int]] = []
    train(path, [0, 1, 2], lambda seed, epoch: told.append((seed, epoch)))
    assert told == [(1, 3), (2, 1), (2, 2), (2, 3)]
    train(tmp_path / "whole/run", [0, 1, 2])
    assert tree(path) == tree(tmp_path / "whole/run")


def test_the_order_of_the_seeds_does_not_matter(tmp_path: Path) -> None:
    train(tmp_path / "a/run", [0, 1, 2])
    train(tmp_path / "b/run", [2, 0, 1])
    for seed in (1, 2, 0):
        train(tmp_path / "c/run", [seed])
    assert tree(tmp_path / "a") == tree(tmp_path / "b") == tree(tmp_path / "c")


def test_what_another_process_has_finished_meanwhile_is_left_alone(tmp_path: Path) -> None:
    train(tmp_path / "run", [0, 1])
    before = tree(tmp_path)
    with writing(Job(tmp_path / "run", config([0])), DATA) as writer:
        assert writer.finished and not writer.pending()
    assert tree(tmp_path) == before


def test_a_run_of_another_config_is_refused_under_the_lock_too(tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    other = Job(tmp_path / "run", config([0, 1], dropout={"rate": 0.25}))
    with refused(tmp_path, r"dropout.rate: this run exists with another value \(0.5\).*got 0.25"):
        other.missing()
    with refused(tmp_path, "dropout.rate"), writing(other, DATA):
        pass
    assert not Job(tmp_path / "run", config([0], device="cpu")).missing()


def test_too_many_seeds_in_all_are_refused(tmp_path: Path) -> None:
    interrupted(tmp_path / "run", list(range(1000)), (0, 1))
    job = Job(tmp_path / "run", config([1000]))
    with refused(tmp_path, "seeds"):
        job.missing()
    with refused(tmp_path, "seeds"), writing(job, DATA):
        pass
    long = {"training": {"epochs": 100_000}}
    with writing(Job(tmp_path / "long", config(range(100), **long)), DATA):
        pass
    with refused(tmp_path, "epochs"):
        Job(tmp_path / "long", config([100], **long)).missing()


def test_seeds_that_only_the_checkpoints_know_count_as_well(tmp_path: Path) -> None:
    """A run that finished some of its seeds has the others in its checkpoints, not in its config.yaml."""
    path = interrupted(tmp_path / "run", list(range(1000)), (0, 1))
    for seed in range(1, 1000):
        shutil.copy(path / "checkpoint/seed-0", path / f"checkpoint/seed-{seed}")
    train(path, [0])
    with refused(tmp_path, "seeds"), writing(Job(path, config([0, 1000])), DATA):
        pass


def test_other_data_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    train(tmp_path / "finished", [0])
    interrupted(tmp_path / "interrupted", [0], (0, 2))
    interrupted(tmp_path / "both", [0, 1], (1, 2))
    for path in sorted(tmp_path.iterdir()):
        job = Job(path, config([0, 1, 2]))
        with refused(tmp_path, "data: the data changed since this run was begun"), writing(job, "6" * 64):
            pass
    with (
        writing(Job(tmp_path / "new", config([0])), DATA) as writer,
        pytest.raises(Failed, match="the data changed while seed 0 was training"),
    ):
        writer.resume(0)
        writer.end(0, outcome(0, data="6" * 64))


def test_a_config_edited_by_hand_does_not_go_on_from_the_old_ones_checkpoints(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "run", [0], (0, 2))
    edited = config([0], network={"hidden": [16]})
    (path / "config.yaml").write_text(configs.to_yaml(edited))
    with refused(tmp_path, "config: the config changed since this run was begun"), writing(Job(path, edited), DATA):
        pass


# Final files


def test_the_summary_says_what_is_documented(tmp_path: Path) -> None:
    train(tmp_path / "run", [1, 0])
    text = (tmp_path / "run/summary.json").read_text()

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    summary = json.loads(text, parse_constant=no_constant)
    assert summary.pop("sha256") == sha256("".join(text.splitlines(keepends=True)[:-2]).encode())
    assert summary.pop("seeds") == {str(seed): outcome(seed).facts.model_dump() for seed in (0, 1)}
    files = [name for name in FILES if name != "summary.json"]
    assert summary.pop("files") == {name: sha256((tmp_path / "run" / name).read_bytes()) for name in files}
    assert summary == {
        "format": FORMAT,
        "status": "finished",
        "name": "run",
        "identity": config().identity,
        "data_sha256": DATA,
        "environment": ENVIRONMENT,
    }
    run = runs.load(tmp_path / "run")
    assert run.metrics.to_dict("records") == [vars(row(s, e)) for s in (0, 1) for e in range(1, EPOCHS + 1)]
    assert (tmp_path / "run/metrics.csv").read_text().startswith(",".join(COLUMNS) + "\n0,1,0.")
    assert run.seconds == {0: 1.5, 1: 1.5} and not run.diverged
    for seed in (0, 1):
        arrays = outcome(seed).arrays
        assert np.array_equal(run.weights()[f"{seed}.best.1.bias"], arrays["best.1.bias"])
        assert np.array_equal(run.predictions()["probabilities"][seed], arrays["probabilities"])


def test_ten_thousand_doubles_come_back_from_metrics_csv_with_every_bit(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2**64, (1500, 7), np.uint64, endpoint=False)
    numbers = bits.view(np.float64)
    rows = [Row(0, epoch, *values) for epoch, values in enumerate(numbers.tolist(), start=1)]
    content = metrics_file({0: Record(rows)})
    (tmp_path / "metrics.csv").write_bytes(content)
    facts = outcome(0, epochs=1500).facts
    files = {"metrics.csv": sha256(content)}
    summary = Summary(name="run", identity="", data_sha256="", seeds={0: facts}, environment={}, files=files)
    read = Run(tmp_path, "run", config(), summary).metrics[list(COLUMNS[2:])].to_numpy()
    assert np.array_equal(read, numbers, equal_nan=True)


def test_results_that_are_not_finite_are_null_and_come_back_as_nan(tmp_path: Path) -> None:
    with writing(Job(tmp_path / "run", config([0])), DATA) as writer:
        writer.resume(0)
        for epoch in range(1, EPOCHS + 1):
            writer.add(row(0, epoch), 0.5, snapshot(0, epoch))
        facts = outcome(0).facts
        assert isinstance(facts, FinishedSeed)
        last = facts.last.model_copy(update={"test_loss": math.inf, "test_accuracy": math.nan})
        writer.end(0, replace(outcome(0), facts=facts.model_copy(update={"last": last})))
        writer.finish(ENVIRONMENT)
    assert '"test_loss": null' in (tmp_path / "run/summary.json").read_text()
    last = runs.load(tmp_path / "run").summary.finished[0].last
    assert math.isnan(last.test_loss) and math.isnan(last.test_accuracy) and last.val_loss == 0.1
    train(tmp_path / "run", [1])
    assert math.isnan(runs.load(tmp_path / "run").summary.finished[0].last.test_loss)


def test_diverged_seeds_have_no_arrays_and_stay_so_when_seeds_are_added(tmp_path: Path) -> None:
    diverged = DivergedSeed(epoch=2, step=5)
    with writing(Job(tmp_path / "run", config([0])), DATA) as writer:
        writer.resume(0)
        writer.add(row(0, 1), 0.5, snapshot(0, 1))
        writer.end(0, Outcome(diverged, {}, DATA))
        writer.finish(ENVIRONMENT)
    assert runs.load(tmp_path / "run").diverged == (0,)
    train(tmp_path / "run", [1])
    run = runs.load(tmp_path / "run")
    assert run.diverged == (0,) and run.seeds == (0, 1) and run.summary.seeds[0] == diverged
    assert run.predictions()["seeds"].tolist() == [1] and len(of_seed(run.path, 0)) == 1


def test_summary_json_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = recording.atomic_write

    def spied(path: Path, data: bytes, **how: bool) -> None:
        written.append(path.name)
        write(path, data, **how)

    monkeypatch.setattr(recording, "atomic_write", spied)
    with writing(Job(tmp_path / "run", config([0])), DATA) as writer:
        (tmp_path / "run/error.txt").write_text("what went wrong the last time")
        (tmp_path / "run/.metrics.csv.77.tmp").write_text("torn")
        go_on(writer)
    assert written[-1] == "summary.json" and set(written) == set(FILES)
    assert not (tmp_path / "run/error.txt").exists() and not (tmp_path / "run/checkpoint").exists()


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "run", [0], (0, 2))
    (path / ".weights.safetensors.77.tmp").write_text("torn")
    (path / ".curves.png.77.tmp").write_text("another process is drawing")
    train(path, [0])
    assert sorted(p.name for p in path.iterdir()) == [".curves.png.77.tmp", ".lock", *FILES]


@pytest.mark.parametrize("name", [name for name in FILES if name != "summary.json"])
@pytest.mark.parametrize("damage", [*DAMAGES, Path.unlink])
def test_a_file_that_is_not_as_it_was_written_is_refused_by_name(name: str, damage: Any, tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    damage(tmp_path / "run" / name)

    def read() -> None:
        run = runs.load(tmp_path / "run")
        _ = run.metrics, run.timing, run.weights(), run.predictions()

    with refused(
        tmp_path,
        f"{tmp_path}/run/{name}: (sha256|file): .*; move the run's directory away, as .dropout-lab train --fresh. does",
    ):
        read()
    gone = name == "config.yaml" and damage is Path.unlink
    match = "is not a run directory" if gone else f"run/{name}: (sha256|file)"
    with refused(tmp_path, match), writing(Job(tmp_path / "run", config([0, 1])), DATA):
        pass


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"format": None},
        {"files": []},
        {"files": {"../secret.txt": "0" * 64}},
        {"files": {"/dev/zero": "0" * 64}},
        {"seeds": [1]},
        {"seeds": {"x": {"status": "diverged", "epoch": 1, "step": 1}}},
        {"seeds": {"0": []}},
        {"seeds": {"0": {"status": "running"}}},
        {"seeds": {"0": {"status": "finished"}}},
        {"seeds": {"0": outcome(0).facts.model_dump() | {"last": {}}}},
        {"seeds": {"0": outcome(0).facts.model_dump() | {"best": 1}}},
        {"seeds": {"0": outcome(0).facts.model_dump() | {"epochs": 1e999}}},
        {"seeds": {"9" * 5000: outcome(0).facts.model_dump()}},
        {"data_sha256": None},
        {"environment": None},
        {"identity": None},
        {"status": "running"},
        {"seeds": {"0": outcome(0).facts.model_dump() | {"epochs": 3.0}}},
        {"seeds": {"0": outcome(0).facts.model_dump() | {"epochs": True}}},
        {"seeds": {"0": outcome(0).facts.model_dump() | {"epochs": 0}}},
    ],
)
def test_a_summary_that_makes_no_sense_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    file = tmp_path / "run/summary.json"
    reseal(file.parent, **change)
    with refused(tmp_path, f"{file}: (?!sha256)"):
        runs.load(tmp_path / "run")
    with refused(tmp_path, f"{file}: (?!sha256)"):
        Job(tmp_path / "run", config([0])).missing()


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000, '{"format": 1', "\ud800"])
def test_a_summary_that_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    (tmp_path / "run/summary.json").write_bytes(text.encode(errors="surrogatepass"))
    with refused(tmp_path, "summary.json: "):
        runs.load(tmp_path / "run")


def test_no_flipped_bit_in_a_summary_passes(tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    file = tmp_path / "run/summary.json"
    good = file.read_bytes()
    for number in range(8 * len(good)):
        damaged = bytearray(good)
        damaged[number // 8] ^= 1 << number % 8
        file.write_bytes(damaged)
        with pytest.raises(Refused):
            read_summary(tmp_path / "run")
    file.write_bytes(good)
    assert read_summary(tmp_path / "run")


def test_an_older_summary_without_a_seal_is_read_and_gets_one(tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    file = tmp_path / "run/summary.json"
    facts = json.loads(file.read_text())
    unsealed = {key: value for key, value in facts.items() if key != "sha256"}
    for forged in (facts | {"format": 2}, unsealed):
        file.write_text(json.dumps(forged))
        with refused(tmp_path, "sha256: does not match the lines above it"):
            runs.load(tmp_path / "run")
    file.write_text(json.dumps(unsealed | {"format": 2}))
    assert runs.load(tmp_path / "run").seeds == (0,)
    train(tmp_path / "run", [0, 1])
    assert json.loads(file.read_text())["format"] == FORMAT and storage.is_sealed_json(file.read_bytes())


@pytest.mark.parametrize("name", [*FILES, "checkpoint/seed-1"])
def test_what_may_never_end_is_not_read(name: str, tmp_path: Path) -> None:
    """A pipe or a device in the place of a file is refused, or passed over among the checkpoints."""
    path = interrupted(tmp_path / "run", [0, 1], (1, 2)) if "/" in name else tmp_path / "run"
    if not path.exists():
        train(path, [0])
    for put in (os.mkfifo, lambda file: file.symlink_to("/dev/zero")):
        (path / name).unlink()
        put(path / name)
        if "/" in name:
            assert "is not a regular file" in " ".join(RunWriter(Job(path, config([0, 1])), DATA).checkpoints.notes)
            break
        with pytest.raises(Refused):
            runs.load(path)
            Job(path, config([0])).missing()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    file = tmp_path / "run/summary.json"
    file.write_text(json.dumps({"format": FORMAT + 1, "anything": "else"}))
    with refused(tmp_path, rf"format: is newer than this dropout-lab \({FORMAT}\); upgrade it \(got {FORMAT + 1}\)"):
        runs.load(tmp_path / "run")


def test_an_unfinished_run_cannot_be_loaded(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "run", [0], (0, 2))
    with refused(tmp_path, "has no finished run"):
        runs.load(path)
    assert state(path) == "interrupted"


# Where


def test_what_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder/inside").mkdir(parents=True)
    (tmp_path / "checkpoint-only/checkpoint").mkdir(parents=True)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/.git").touch()
    train(tmp_path / "real", [0])
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("nowhere")
    interrupted(tmp_path / "inner", [0], (0, 2))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").touch()
    shutil.rmtree(tmp_path / "inner/checkpoint")
    (tmp_path / "inner/checkpoint").symlink_to("../elsewhere")
    for name in ("file", "folder", "checkpoint-only", "hidden", "link", "dangling", "inner"):
        job = Job(tmp_path / name, config([0, 1]))
        with refused(tmp_path, f"{name}: name: exists and is not a run directory"):
            job.missing()
        with refused(tmp_path, f"{name}: name: exists and is not a run directory"), writing(job, DATA):
            pass
        with refused(tmp_path, f"{name}: name: exists and is not a run directory"):
            set_aside(tmp_path / name)


def test_a_directory_whose_first_writer_was_killed_at_once_is_free(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked/.lock").write_text("77")
    (tmp_path / "locked/.config.yaml.77.tmp").write_text("da")
    for name in ("empty", "locked"):
        assert Job(tmp_path / name, config([0])).missing() == (0,)
        train(tmp_path / name, [0])
        assert sorted(entry.name for entry in (tmp_path / name).iterdir()) == [".lock", *FILES]


def test_a_directory_whose_name_is_no_run_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="name"), writing(Job(tmp_path / "my run", config([0])), DATA):
        pass
    assert not (tmp_path / "my run/config.yaml").exists()


def test_a_directory_that_cannot_be_made_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((Failed, Refused), match="file"), writing(Job(tmp_path / "file/run", config([0])), DATA):
        pass


def test_a_run_being_written_is_refused_with_the_process_in_the_message(tmp_path: Path) -> None:
    train(tmp_path / "run", [0])
    job = Job(tmp_path / "run", config([0, 1]))
    with locked(tmp_path / "run"):
        assert not Job(tmp_path / "run", config([0])).missing()  # what is finished can be read
        with refused(tmp_path, rf"another dropout-lab process \({os.getpid()}\)"):
            job.missing()
        with refused(tmp_path, rf"another dropout-lab process \({os.getpid()}\)"), writing(job, DATA):
            pass
        with refused(tmp_path, rf"another dropout-lab process \({os.getpid()}\)"):
            set_aside(tmp_path / "run")
    assert job.missing() == (1,)


def test_runs_set_aside_are_numbered(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        train(tmp_path / "run", [number])
        assert set_aside(tmp_path / "run") == tmp_path / f"run.old-{number}"
        assert runs.load(tmp_path / f"run.old-{number}").seeds == (number,) and not (tmp_path / "run").exists()
    shutil.rmtree(tmp_path / "run.old-2")
    interrupted(tmp_path / "run", [0], (0, 2))
    assert set_aside(tmp_path / "run") == tmp_path / "run.old-2"
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("what nobody can read: [")
    set_aside(tmp_path / "run")
    assert not (tmp_path / "run").exists()
