"""The laws of the export: MLflow's own client reads what the run says, and nothing is there twice."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from commandline import Lab
from comparable import write_run

from dropout_lab.commands import export
from dropout_lab.config import resolve as configs
from dropout_lab.runs import read as runs
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import COLUMNS

needs_mlflow = pytest.mark.skipif(
    any(find_spec(package) is None for package in ("mlflow", "sqlalchemy", "alembic")),
    reason="needs MLflow: pip install -e '.[mlflow]'",
)
pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own
TO = "--to mlflow:sqlite:///sub/lab.db"
SAID = "written   sub/lab.db; files in sub/mlartifacts\n"
ODD = "a%20b?c#d"


def client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{Path.cwd()}/sub/lab.db", f"sqlite:///{Path.cwd()}/sub/lab.db")


def exported(name: str) -> list[Any]:
    """The MLflow runs of an experiment, by seed."""
    found = client().search_runs([client().get_experiment_by_name(name).experiment_id])
    return sorted(found, key=lambda own: int(own.data.params["seed"]))


@needs_mlflow
@pytest.mark.slow
def test_mlflows_client_reads_what_the_run_says(lab: Lab) -> None:
    lab("train tiny.yaml --seeds 2")
    outcome = lab(f"export tiny {TO}")
    assert (outcome.code, outcome.out, outcome.err) == (0, "sub/lab.db: experiment tiny: 2 seeds added\n", SAID)
    run = runs.load(lab.runs / "tiny")
    found = exported("tiny")
    assert [own.info.run_name for own in found] == ["tiny seed 0", "tiny seed 1"]
    for seed, own in enumerate(found):
        assert own.info.status == "FINISHED" and own.info.start_time < own.info.end_time
        assert own.data.params.keys() == {*configs.flatten(run.config), "seed"} - {"seeds"}
        assert (own.data.params["dropout.rate"], own.data.params["network.hidden"]) == ("0.5", "[8]")
        facts = run.summary.finished[seed]
        assert own.data.metrics["test_accuracy"] == facts.last.test_accuracy
        assert own.data.metrics["test_loss_at_best"] == facts.best.test_loss
        for column in COLUMNS[2:]:
            rows = run.metrics[run.metrics["seed"] == seed].set_index("epoch")[column]
            history = client().get_metric_history(own.info.run_id, column)
            assert {point.step: point.value for point in history} == rows.to_dict()
        assert own.data.tags["dropout_lab.identity"] == run.config.identity
        assert own.data.tags["dropout_lab.data_sha256"] == run.summary.data_sha256
        assert own.data.tags["environment.torch"] == run.summary.environment["torch"]
        names = [file.path for file in client().list_artifacts(own.info.run_id)]
        assert sorted(names) == sorted(export.ARTIFACTS)
        kept = Path(own.info.artifact_uri.removeprefix("file://"))
        assert kept.is_relative_to(lab.path / "sub" / export.FOLDER)
        assert all((kept / name).read_bytes() == (run.path / name).read_bytes() for name in names)


@needs_mlflow
@pytest.mark.slow
def test_runs_of_one_name_in_two_sweeps_are_two_experiments(lab: Lab) -> None:
    for sweep in "small", "big":
        write_run(lab.runs / sweep, "rate-0.2", [0.9], rate=0.2)
        (lab.runs / sweep / "sweep.yaml").write_text(f"name: {sweep}\nruns: [{{name: rate-0.2}}]\n")
        assert f"experiment {sweep}/rate-0.2: 1 seed added" in lab(f"export {sweep}/rate-0.2 {TO}").out
        (found,) = exported(f"{sweep}/rate-0.2")
        assert found.info.run_name == f"{sweep}/rate-0.2 seed 0"


@needs_mlflow
@pytest.mark.slow
def test_nothing_is_there_twice_and_what_was_cut_short_is_replaced(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab("train tiny.yaml --seeds 2")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def fail(*arguments: object) -> None:
        raise MlflowException("no room")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", fail)
        outcome = lab(f"export tiny {TO}")
        assert outcome.code == 1 and "sub/lab.db: MLflow says: no room" in outcome.err
    lab(f"export tiny {TO}")
    first = [own.info.run_id for own in exported("tiny")]
    assert lab(f"export runs/tiny {TO}").out == "sub/lab.db: experiment tiny: 0 seeds added, 2 seeds there already\n"
    assert [own.info.run_id for own in exported("tiny")] == first and len(first) == 2
    lab("train tiny.yaml --seeds 3")
    assert "1 seed added, 2 seeds there already" in lab(f"export tiny {TO}").out
    lab("train tiny.yaml training.epochs=1 --fresh")
    assert "1 seed added" in lab(f"export tiny {TO}").out
    assert [own.data.params["seed"] for own in exported("tiny")] == ["0", "0", "1", "2"]


@needs_mlflow
@pytest.mark.slow
def test_a_diverged_seed_has_failed(lab: Lab) -> None:
    write_run(lab.runs, "toy", [0.97, 0.96], diverged=[1])
    assert lab(f"export toy {TO}").code == 0
    good, bad = exported("toy")
    assert (good.info.status, bad.info.status) == ("FINISHED", "FAILED")
    assert bad.data.tags["dropout_lab.status"] == "diverged" and "test_loss" not in bad.data.metrics
    assert (lab.runs / "toy/curves.png").is_file()


@needs_mlflow
@pytest.mark.slow
def test_an_odd_working_directory_holds_all_that_is_written(lab: Lab) -> None:
    write_run(lab.runs, "toy", [0.97])
    (lab.path / ODD).mkdir()
    lab.monkeypatch.chdir(lab.path / ODD)
    for found in ("1 seed added", "0 seeds added, 1 seed there already"):
        outcome = lab(f"export ../runs/toy {TO}")
        assert outcome.code == 0 and found in outcome.out
    kept = lab.path / ODD / "sub" / export.FOLDER
    assert {file.name for file in kept.rglob("*.*")} >= {"config.yaml", "summary.json"}
    assert {path.name for path in lab.path.iterdir()} == {"configs", "runs", "tiny.yaml", ODD}


@needs_mlflow
def test_the_url_of_a_database_is_its_path(lab: Lab) -> None:
    import mlflow
    import sqlalchemy

    def look(*urls: str) -> None:
        assert {Path(str(sqlalchemy.make_url(url).database)).resolve() for url in urls} == {Path("lab.db").resolve()}
        raise mlflow.exceptions.MlflowException("seen")

    write_run(lab.runs, "toy", [0.97])
    for name in (ODD, "папка с пробелом"):
        (lab.path / name).mkdir()
        lab.monkeypatch.chdir(lab.path / name)
        lab.monkeypatch.setattr(mlflow, "MlflowClient", look)
        assert lab("export ../runs/toy --to mlflow:sqlite:///lab.db").err.endswith("MLflow says: seen\n")
    lab.monkeypatch.setenv("HOME", str(lab.path / ODD))
    assert "--to: must not be in a home" in lab("export ../runs/toy --to mlflow:sqlite:///~/lab.db").err


@pytest.fixture
def unchanged(lab: Lab) -> Iterator[Lab]:
    """A laboratory with a finished run and an unfinished one, in which nothing may change."""
    write_run(lab.runs, "toy", [0.97])
    (lab.runs / "half").mkdir()
    config = configs.load(Path("tiny.yaml"))
    (lab.runs / "half/config.yaml").write_text(configs.to_yaml(Job(lab.runs / "half", config).config))
    (lab.path / "text.db").write_text("no database, but a text")
    (lab.path / "file").write_text("")
    before = lab.tree()
    yield lab
    assert lab.tree() == before


@pytest.mark.parametrize(
    "target", ["wandb:x", "mlflow", "mlflow:http://host", "mlflow:sqlite:///", "mlflow:sqlite:///a?b"]
)
def test_other_targets_are_refused(target: str, unchanged: Lab) -> None:
    outcome = unchanged("export toy --to", target)
    expected = f"dropout-lab: error: command line: --to: must be mlflow:sqlite:///FILE.db (got {target})\n"
    assert (outcome.code, outcome.err) == (2, expected)


@needs_mlflow
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"export half {TO}", "runs/half: run: has no finished run (no summary.json) (got runs/half)"),
        (f"export nothing {TO}", "command line: run: no run and no config has this name"),
        ("export toy --to mlflow:sqlite:///text.db", "--to: must be an SQLite database, or a new file"),
        ("export toy --to mlflow:sqlite:///runs", "--to: cannot be read: Is a directory"),
        ("export toy --to mlflow:sqlite:///file/x.db", "--to: "),
        ("export toy", "--to: "),
    ],
)
def test_other_refusals(line: str, reason: str, unchanged: Lab) -> None:
    outcome = unchanged(line)
    assert outcome.code == 2 and reason in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize("package", ["mlflow", "sqlalchemy", "alembic"])
def test_a_missing_package_is_refused(package: str, unchanged: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dropout_lab.execution.machine.find_spec", lambda name: None if name == package else True)
    outcome = unchanged(f"export toy {TO}")
    assert outcome.code == 2
    assert f"--to: needs the package {package}: pip install 'dropout-lab[mlflow]' (got mlflow:" in outcome.err
