"""The law of data: what is trained now is never judged with runs that were made on other data, and says so before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commandline import Lab
from comparable import ENVIRONMENT, write_run

from dropout_lab import api
from dropout_lab.claims import experiment as claims
from dropout_lab.claims.registry import CLAIMS
from dropout_lab.config import resolve as configs
from dropout_lab.data import datasets as data
from dropout_lab.runs.checkpoint import begun_on
from dropout_lab.runs.record import RunWriter
from dropout_lab.sweeps import judge
from dropout_lab.sweeps import plan as sweeps

OWN = "data: {dataset: own.npz}\nnetwork: {hidden: [4]}\ntraining: {epochs: 1}\n"
SAID = "own.npz: has changed since this run was made, and runs on different data cannot be compared"
TODO = "put the old data back, choose another name, or move the run's directory away"


def write_data(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    np.savez(path, x_train=random.random((60, 6), np.float32), y_train=np.arange(60) % 2)


@pytest.fixture
def own(lab: Lab) -> Lab:
    """The command line beside own.npz and own.yaml."""
    write_data(lab.path / "own.npz", 0)
    (lab.path / "own.yaml").write_text(OWN)
    return lab


def refused(own: Lab, *lines: str) -> None:
    """Check that each line is refused for the data, says what to do, and changes nothing."""
    for line in lines:
        before = own.tree()
        outcome = own(line)
        assert outcome.code == 2 and SAID in outcome.err and TODO in outcome.err, (line, outcome)
        assert own.tree() == before, line


def test_a_sweep_is_refused_before_it_trains_beside_runs_on_other_data(own: Lab) -> None:
    assert own("sweep own.yaml --rates 0.2 --seeds 2").code == 0
    write_data(own.path / "own.npz", 1)
    refused(
        own,
        "sweep own.yaml --rates 0.2,0.4 --seeds 2",
        "sweep own.yaml --rates 0.2,0.4 --seeds 2 --no-baseline",
        "sweep own.yaml --rates 0.2,0.4 --seeds 2 --dry-run",
        "sweep own.yaml --rates 0.2 --seeds 3",
    )


def test_so_are_all_commands_that_train_beside_runs(own: Lab) -> None:
    (own.path / "none.yaml").write_text(OWN + "dropout: {rate: 0}\n")
    assert own("train own.yaml --seeds 2 --quiet").code == 0
    write_data(own.path / "own.npz", 1)
    refused(
        own,
        "train own.yaml --seeds 3",
        "compare own none.yaml",
        "compare none.yaml own --until-decided",
        "compare own.yaml none.yaml --seeds 2 --dry-run",
    )
    assert own("train own.yaml --seeds 3 --fresh --quiet").code == 0  # and what is moved away is in nobody's way


def test_a_confirmation_is_refused_before_it_trains(own: Lab) -> None:
    assert own("sweep own.yaml --rates 0.2,0.4,0.6 training.learning_rate=1 --no-baseline --seeds 2 --quiet").code == 0
    write_data(own.path / "own.npz", 1)
    outcome = own("sweep own.yaml --rates 0.2,0.4,0.6 training.learning_rate=1 --seeds 2 --confirm --quiet")
    assert outcome.code == 2 and SAID in outcome.err


def test_so_is_a_run_that_was_interrupted_on_other_data(own: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "write_tables", lambda writer: (_ for _ in ()).throw(KeyboardInterrupt))
        own("sweep own.yaml --rates 0.2 training.epochs=3")
    assert begun_on(own.runs / "own-sweep/rate-0.2") and not begun_on(own.runs / "own-sweep/rate-0.4")
    write_data(own.path / "own.npz", 1)
    refused(own, "sweep own.yaml --rates 0.2 training.epochs=3")


def test_two_files_may_hold_the_same_data_and_must(own: Lab) -> None:
    for name, seed in ("copy", 0), ("other", 1):
        write_data(own.path / f"{name}.npz", seed)
        (own.path / f"{name}.yaml").write_text(OWN.replace("own.npz", f"{name}.npz"))
    said = "own.npz as in runs/own, or hold the same data, or the runs cannot be compared"
    assert said in own("compare own.yaml other.yaml").err and not own.runs.exists()
    assert own("train own.yaml --quiet").code == 0
    outcome = own("compare own other.yaml")
    assert outcome.code == 2 and said in outcome.err and not (own.runs / "other").exists()
    assert own("compare own copy.yaml --quiet").code == 0


def test_a_claim_is_not_judged_by_runs_on_other_data(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "sha256_now", lambda name, directory, parts: "2" * 64)
    settings = claims.config(next(iter(CLAIMS["P1"].arms.values())))
    write_run(lab.runs, "there", [0.9], digest="1" * 64, **settings.model_dump(mode="json", exclude={"name", "seeds"}))
    outcome = lab("reproduce P1 --seeds 1 --dry-run")
    assert outcome.code == 2 and "there: mnist: has changed since" in outcome.err


def test_nothing_is_chosen_from_runs_on_different_data(own: Lab) -> None:
    assert own("sweep own.yaml --rates 0.2 --no-baseline --quiet").code == 0
    write_data(own.path / "own.npz", 1)
    assert own("sweep own.yaml --rates 0.4 --no-baseline --quiet").code == 0
    outcome = own("sweep own.yaml --rates 0.2,0.4 --no-baseline --quiet")
    assert outcome.code == 2 and "runs on different data cannot be compared" in outcome.err


def test_what_is_finished_is_shown_with_a_note(own: Lab) -> None:
    assert own("sweep own.yaml --rates 0.2 --quiet").code == 0
    write_data(own.path / "own.npz", 1)
    outcome = own("sweep own.yaml --rates 0.2 --quiet")
    assert outcome.code == 0 and outcome.err.count("note: runs/own-sweep/rate-0") == 2
    (own.path / "own.npz").unlink()  # a finished run needs no data
    assert own("report own-sweep").code == 0


def test_what_is_trained_in_one_program_is_trained_on_the_file_as_it_is(own: Lab) -> None:
    digests = []
    for seed in (0, 1):
        write_data(own.path / "own.npz", seed)
        digests.append(api.train("own.yaml", name=f"seed-{seed}").summary.data_sha256)
        assert digests[-1] == data.sha256_now("own.npz", Path())
    assert len({*digests}) == 2


def test_what_does_not_forbid_is_said_before_the_numbers(lab: Lab, tmp_path: Path) -> None:
    planned = sweeps.plan(configs.resolve({}, where="test", name="base"), "0.2,0.4,0.6", name="s")
    runs = {}
    for member in planned.members:
        later = ENVIRONMENT | {"torch": "2.99.0"} if member.name in ("rate-0.2", "rate-0.6") else ENVIRONMENT
        rate = member.settings["dropout.rate"]
        runs[member.name] = write_run(tmp_path, member.name, [0.9, 0.91], rate=rate, environment=later)
    table = judge.judge(planned, runs)
    said = "note rate-0.2, rate-0.6: made otherwise than the baseline, torch 2.15.0 -> 2.99.0 run seeds"
    assert said in " ".join(judge.to_text(table).split())
    assert judge.to_json_dict(table)["runs"][1]["environment"] == {"torch": ("2.15.0", "2.99.0")}


def test_runs_on_different_data_are_not_drawn_together(lab: Lab) -> None:
    for name, digest in ("a", "1" * 64), ("b", "2" * 64):
        write_run(lab.runs, name, [0.9], digest=digest)
    outcome = lab("plot a b")
    assert outcome.code == 0 and outcome.out.splitlines() == ["runs/a/curves.png", "runs/b/curves.png"]
    assert "note: not drawn together: runs/b: data: must be the data of runs/a" in outcome.err
