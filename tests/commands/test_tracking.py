"""The laws of the events: TensorBoard reads what metrics.csv says, once per epoch, however the training went."""

from __future__ import annotations

import errno
import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from commandline import Lab
from comparable import write_run

from dropout_lab import api
from dropout_lab.commands import tracking
from dropout_lab.errors import Failed
from dropout_lab.execution import execute as execution
from dropout_lab.runs import read as runs
from dropout_lab.runs.row import COLUMNS, Row

needs_tensorboard = pytest.mark.skipif(
    find_spec("tensorboard") is None, reason="needs tensorboard: pip install -e '.[tensorboard]'"
)


def scalars(run: Path, seed: int) -> dict[str, dict[int, float]]:
    """What TensorBoard reads of one seed: by tag and step; a step that is there twice fails."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard" / f"seed-{seed}")).Reload()
    found = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert all(len(dict(pairs)) == len(pairs) for pairs in found.values())
    return {tag: dict(pairs) for tag, pairs in found.items()}


def check(path: Path) -> None:
    """Compare the events of every seed of a finished run with its files."""
    run = runs.load(path)
    for seed in run.seeds:
        found = scalars(path, seed)
        rows = run.metrics[run.metrics["seed"] == seed].set_index("epoch").drop(columns="seed")
        for column in rows:
            assert found.pop(str(column)) == pytest.approx(rows[column].to_dict(), rel=1e-6)
        facts = run.summary.finished[seed]
        assert found["test_accuracy"] == pytest.approx({facts.epochs: facts.last.test_accuracy})
        assert found["val_loss_at_best"] == pytest.approx({facts.epochs: facts.best.val_loss})
        assert len(found) == 6


def settings(path: Path, seed: int) -> dict[str, Any]:
    """The settings as TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    events = EventMultiplexer().AddRun(str(path / "tensorboard" / f"seed-{seed}"), "own").Reload()
    own = events.SummaryMetadata("own", metadata.SESSION_START_INFO_TAG)
    values = metadata.parse_session_start_info_plugin_data(own.plugin_data.content).hparams
    return {key: getattr(value, str(value.WhichOneof("kind"))) for key, value in values.items()}


@needs_tensorboard
def test_train_compare_and_sweep_write_what_metrics_csv_says(lab: Lab) -> None:
    assert lab("train tiny.yaml --seeds 2 --track tensorboard").code == 0
    assert lab("compare tiny.yaml configs/digits-baseline.yaml --smoke --track tensorboard").code == 0
    assert lab("sweep tiny.yaml --rates 0.5 --seeds 2 --jobs 2 --track tensorboard").code == 0
    names = ["tiny", "tiny-smoke", "digits-baseline-smoke", "tiny-sweep/rate-0", "tiny-sweep/rate-0.5"]
    for name in names:
        check(lab.runs / name)
    own = settings(lab.runs / "tiny", 1)
    assert (own["dropout.rate"], own["network.hidden"], own["data.dataset"], own["data.train_size"]) == (
        0.5,
        "[8]",
        "digits",
        "null",
    )


@needs_tensorboard
def test_the_numbers_do_not_depend_on_it(lab: Lab) -> None:
    lab("train tiny.yaml --name a --track tensorboard")
    lab("train tiny.yaml --name b")
    assert (lab.runs / "a/metrics.csv").read_bytes() == (lab.runs / "b/metrics.csv").read_bytes()
    assert not (lab.runs / "b/tensorboard").exists()


@needs_tensorboard
def test_what_was_trained_untracked_is_written_afterwards_and_nothing_twice(lab: Lab) -> None:
    lab("train tiny.yaml --seeds 1")
    lab("train tiny.yaml --seeds 2 --track tensorboard")
    check(lab.runs / "tiny")
    before = sorted((lab.runs / "tiny/tensorboard").rglob("*"))
    lab("train tiny.yaml --seeds 2 --track tensorboard")
    assert sorted((lab.runs / "tiny/tensorboard").rglob("*")) == before


@needs_tensorboard
@pytest.mark.parametrize("tracked_before", [True, False])
def test_epochs_that_come_again_are_there_once(tracked_before: bool, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.summary.writer import event_file_writer

    lab("train tiny.yaml training.epochs=4 --track tensorboard")
    run = runs.load(lab.runs / "tiny")
    shutil.rmtree(run.path / "tensorboard")
    rows = [Row(*row) for row in run.metrics.itertuples(index=False, name=None)]
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(9))  # 10 sorts before 9
    if tracked_before:
        events = tracking.Events(run.path, 0)
        for row in rows[:3]:
            events.add(row)
        events.close()
    resumed = tracking.Events(run.path, 0, first=2)
    for row in [*rows[1:3], *rows[1:]]:  # from the checkpoint after epoch 1, and once more after a worker died
        resumed.add(row)
    resumed.end(run.config, run.summary.seeds[0])
    tracking.complete(run)
    check(run.path)


@needs_tensorboard
def test_a_diverged_seed_has_its_epochs_and_no_results(lab: Lab) -> None:
    run = write_run(lab.runs, "toy", [0.97, 0.96], diverged=[1])
    tracking.complete(run)
    assert len(scalars(run.path, 0)["val_loss"]) == 3 and len(scalars(run.path, 0)) > len(scalars(run.path, 1))
    assert scalars(run.path, 1).keys() == {*COLUMNS[2:]}


@needs_tensorboard
def test_an_interruption_closes_the_files(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    original = execution.Writers.record

    def interrupted(self: execution.Writers, unit: Any, message: Any) -> Any:
        for event in original(self, unit, message):
            yield event
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(execution.Writers, "record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            api.train("tiny.yaml", track="tensorboard")
    assert scalars(lab.runs / "tiny", 0)["val_loss"].keys() == {1}
    lab("train tiny.yaml --track tensorboard")
    check(lab.runs / "tiny")


def interrupt(line: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command that trains, and interrupt it after one epoch."""
    original = execution.Writers.record

    def interrupted(self: execution.Writers, unit: Any, message: Any) -> Any:
        for event in original(self, unit, message):
            yield event
            raise Failed("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(execution.Writers, "record", interrupted)
        assert lab(line).code == 1


@needs_tensorboard
@pytest.mark.parametrize("tracked", ["ut", "tut", "utu", "tu"])  # each letter an epoch, the last one all that are left
def test_epochs_without_tracking_are_written_when_it_comes_back(
    tracked: str, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, option = "train tiny.yaml training.epochs=4 --seeds 2 --quiet", " --track tensorboard"
    for number, letter in enumerate(tracked[:-1], 1):
        interrupt(line + option * (letter == "t"), lab, monkeypatch)
        if letter == "t":
            assert scalars(lab.runs / "tiny", 0)["val_loss"].keys() == {*range(1, number + 1)}
    assert lab(line + option * (tracked[-1] == "t")).code == 0
    assert lab(line + option).code == 0
    check(lab.runs / "tiny")


@needs_tensorboard
def test_a_run_that_was_killed_before_its_table_was_written_is_complete_at_its_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt("train tiny.yaml --quiet", lab, monkeypatch)
    assert tracking.rows_before(lab.runs / "tiny", 0, 3) is None  # a cluster sends most epochs without a table
    monkeypatch.setattr(tracking, "rows_before", lambda path, seed, first: [] if first == 1 else None)
    assert lab("train tiny.yaml --track tensorboard --quiet").code == 0
    check(lab.runs / "tiny")


@needs_tensorboard
@pytest.mark.parametrize("missing", ["results", "an epoch"])
def test_events_that_lack_something_are_written_anew(missing: str, lab: Lab) -> None:
    run = write_run(lab.runs, "toy", [0.97])
    events = tracking.Events(run.path, 0)
    for row in tracking.rows_before(run.path, 0, 4) or ():
        if missing == "results" or row.epoch != 2:
            events.add(row)
    if missing == "results":
        events.close()
    else:
        events.end(run.config, run.summary.seeds[0])
    tracking.complete(run)
    check(run.path)


def test_a_comparison_is_shown_whatever_becomes_of_events(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise Failed("tensorboard: cannot be written: No space left on device")

    monkeypatch.setattr(tracking, "check", lambda tool: None)
    for broken in (("complete", fail), ("Events", fail)):
        monkeypatch.setattr(tracking, *broken)
    (lab.path / "none.yaml").write_text((lab.path / "tiny.yaml").read_text() + "dropout: {rate: 0}\n")
    lines = {
        "compare none.yaml tiny.yaml --seeds 2": "verdict",
        "compare none tiny --seeds 2": "verdict",
        "compare none tiny --fail-if inconclusive --seeds 2": "verdict",
        "sweep tiny.yaml --rates 0.5 --seeds 2": "chosen",
        "train tiny.yaml --seeds 2": "val loss",
    }
    for line, said in lines.items():
        outcome = lab(f"{line} --track tensorboard --quiet")
        assert said in outcome.out and outcome.code == (3 if "--fail-if" in line else 1), outcome
        assert outcome.err.count("error: tensorboard: cannot be written: No space left on device") == 1
    with pytest.warns(UserWarning, match="No space left"):
        api.train("tiny.yaml", seeds=2, track="tensorboard")


@needs_tensorboard
def test_events_that_cannot_be_written_are_a_failure(lab: Lab) -> None:
    lab("train tiny.yaml")
    (lab.runs / "tiny/tensorboard").write_text("in the way")
    outcome = lab("train tiny.yaml --track tensorboard")
    assert outcome.code == 1 and "tensorboard/seed-0: cannot be written" in outcome.err


@needs_tensorboard
@pytest.mark.parametrize("step", ["add_scalar", "close"])
def test_a_disk_that_is_full_is_a_failure_too(step: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils.tensorboard import SummaryWriter

    close = SummaryWriter.close

    def full(writer: SummaryWriter, *_: object, **__: object) -> None:
        close(writer)  # else its thread would go on
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SummaryWriter, step, full)
    outcome = lab("train tiny.yaml --track tensorboard --quiet")
    path = "runs/tiny/tensorboard/seed-0"
    assert outcome.code == 1 and f"error: {path}: cannot be written: No space left on device" in outcome.err


@pytest.mark.parametrize("line", ["train tiny.yaml", "compare tiny.yaml tiny.yaml", "sweep --rates 0.5"])
def test_refusals(line: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lab.tree()
    unknown = lab(f"{line} --track wandb")
    assert unknown.err == "dropout-lab: error: command line: --track: must be tensorboard (got wandb)\n"
    monkeypatch.setattr("dropout_lab.execution.machine.find_spec", lambda name: None)
    missing = lab(f"{line} --track tensorboard")
    reason = "needs the package tensorboard: pip install 'dropout-lab[tensorboard]'"
    assert missing.err == f"dropout-lab: error: command line: --track: {reason} (got tensorboard)\n"
    assert (unknown.code, missing.code) == (2, 2) and lab.tree() == before
