"""What `export` does: a finished run becomes an MLflow experiment of its name, with one MLflow run per seed.

The experiment of a run in a sweep is called SWEEP/RUN, for another sweep may have a run of the same name.
"""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.commands import plan as plans
from dropout_lab.commands.names import Options, check_directory, targets
from dropout_lab.commands.result import Result
from dropout_lab.comparison.metrics import results
from dropout_lab.config.resolve import flatten
from dropout_lab.config.strict_yaml import written
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import Failed, Problem, Refused
from dropout_lab.execution.machine import require
from dropout_lab.runs import read as runs
from dropout_lab.runs.read import Run
from dropout_lab.runs.row import COLUMNS
from dropout_lab.runs.summary import FinishedSeed
from dropout_lab.storage import make_directory, sha256
from dropout_lab.text import count

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = ("config.yaml", "summary.json", "curves.png")
FOLDER = "mlartifacts"  # beside the database, as MLflow's own server has it
DIGEST = "dropout_lab.digest"  # the tag by which a seed is found again
SQLITE = b"SQLite format 3\0"
ODD = re.compile("[?#%]")  # escaped in a URL, MLflow takes them for a folder of that name; not escaped, for the end
MOST = 1000  # metrics that MLflow takes at once


def export(name: str, target: str, options: Options) -> Result[list[int]]:
    """Give a finished run to another program, as `target` says: "mlflow:sqlite:///FILE.db". Returns the seeds added."""
    (job,) = targets([name], options)
    path = database(target)
    check_directory("--to", path.parent)
    (run,) = runs.told_apart([runs.load(job.path)])
    plans.draw_curves([run] if not (run.path / "curves.png").exists() else [], options.note)
    make_directory(path.parent)
    added = to_mlflow(run, path)
    known = len(run.seeds) - len(added)
    there = f", {count(known, 'seed')} there already" if known else ""
    text = f"{path}: experiment {run.name}: {count(len(added), 'seed')} added{there}"
    return Result(added, lambda width: text, written=f"{path}; files in {path.parent / FOLDER}")


def database(target: str) -> Path:
    """Return the file that `--to` names. Raises `Refused` for any other target or file, and if MLflow is missing."""
    match = re.fullmatch(r"mlflow:sqlite:///([^?#%]+)", target)
    if match is None:
        raise Refused(Problem("command line", "--to", "must be mlflow:sqlite:///FILE.db", target))
    path = at_home(match[1])
    if ODD.search(str(path)):
        raise Refused(Problem("command line", "--to", "must not be in a home whose name has ?, # or %", str(path)))
    try:
        with path.open("rb") as file:
            foreign = file.read(len(SQLITE)) not in (SQLITE, b"")
    except FileNotFoundError:
        foreign = False
    except OSError as error:
        raise Refused(Problem("command line", "--to", f"cannot be read: {error.strerror}", target)) from None
    if foreign:
        raise Refused(Problem("command line", "--to", "must be an SQLite database, or a new file", target))
    for package in ("mlflow", "sqlalchemy", "alembic"):
        require(package, "--to", target, extra="mlflow")
    return path


def to_mlflow(run: Run, path: Path) -> list[int]:
    """Add those seeds of a finished run that the MLflow database `path` lacks; return them. Raises `Failed`."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read as MLflow is imported: nothing leaves this machine
    import sqlalchemy
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it reports every table that it creates
    absolute = path.resolve()
    url = f"sqlite:///{path if ODD.search(str(absolute)) else absolute}"
    try:
        client = MlflowClient(url, url)
        found = client.get_experiment_by_name(run.name)
        beside = (absolute.parent / FOLDER).as_uri()
        experiment = found.experiment_id if found else client.create_experiment(run.name, beside)
        return [seed for seed in run.seeds if _add(client, experiment, run, seed)]
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        raise Failed(f"{path}: MLflow says: {error}") from error


def _add(client: MlflowClient, experiment: str, run: Run, seed: int) -> bool:
    """Add one seed, unless it is complete there. What an interrupted export left behind is deleted first."""
    from mlflow.entities import Metric, Param

    facts = run.summary.seeds[seed]
    rows = run.metrics[run.metrics["seed"] == seed]
    content = [run.summary.identity, run.summary.data_sha256, seed, facts.model_dump(), rows.to_csv(index=False)]
    digest = sha256(json.dumps(content).encode())
    for same in client.search_runs([experiment], f"tags.`{DIGEST}` = '{digest}'"):
        if same.info.status != "RUNNING":
            return False
        client.delete_run(same.info.run_id)
    tags = {
        DIGEST: digest,
        "dropout_lab.identity": run.summary.identity,
        "dropout_lab.data_sha256": run.summary.data_sha256,
        "dropout_lab.seed": str(seed),
        "dropout_lab.status": facts.status,
        **{f"environment.{key}": str(value) for key, value in run.summary.environment.items()},
    }
    ended = round((run.path / "summary.json").stat().st_mtime * 1000)  # in milliseconds, as MLflow counts
    began = ended - round(run.seconds.get(seed, 0) * 1000)
    own = client.create_run(experiment, began, tags, f"{run.name} seed {seed}").info.run_id
    each = ((column, row) for _, row in rows.iterrows() for column in COLUMNS[2:])
    curves = [Metric(column, float(row[column]), ended, int(row["epoch"])) for column, row in each]
    if isinstance(facts, FinishedSeed):
        curves += [Metric(key, value, ended, facts.epochs) for key, value in results(facts).items()]
    params = [Param(key, written(value)) for key, value in flatten(run.config).items() if key != "seeds"]
    client.log_batch(own, params=[*params, Param("seed", str(seed))])
    for first in range(0, len(curves), MOST):
        client.log_batch(own, curves[first : first + MOST])
    for path in filter(Path.exists, (run.path / name for name in ARTIFACTS)):
        client.log_artifact(own, str(path))
    client.set_terminated(own, "FINISHED" if facts.status == "finished" else "FAILED", ended)
    return True
