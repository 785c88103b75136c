"""A run that was imported is compared, listed, drawn and judged; what nobody knows of it stays unknown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commandline import Lab

import dropout_lab as lab_api
from dropout_lab.runs import read as runs

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
SEEDS = "--seed-from 'seed(\\d+)'"
ARMS = {"plain": "0.0", "dropout": "0.5"}


@pytest.fixture
def logs(lab: Lab) -> Lab:
    """A directory with Keras's logs of two arms, plain/ and dropout/."""
    for arm in ARMS:
        shutil.copytree(SAMPLES / "keras" / arm, lab.path / arm)
    return lab


def line(arm: str, more: str = "") -> str:
    """The import of one arm."""
    files = " ".join(f"{arm}/seed{seed}.csv" for seed in range(5))
    return f"import {arm} {files} {SEEDS} --set dropout.rate={ARMS[arm]} {more}"


def predictions(arm: str) -> str:
    return " ".join(f"--predictions {arm}/seed{seed}-test.csv" for seed in range(5))


def both(logs: Lab, with_predictions: bool = False) -> None:
    for arm in ARMS:
        outcome = logs(line(arm, predictions(arm) if with_predictions else ""))
        assert outcome.code == 0, outcome.err


def test_what_is_imported_is_what_was_logged(logs: Lab) -> None:
    outcome = logs(line("plain"))
    assert outcome.code == 0 and "noted     dropout.rate 0.0; all else is unknown" in outcome.out
    run = lab_api.load(logs.runs / "plain")
    assert run.seeds == (0, 1, 2, 3, 4) and run.summary.imported is not None
    for seed in run.seeds:
        logged = [text.split(",") for text in (logs.path / f"plain/seed{seed}.csv").read_text().splitlines()[1:]]
        rows = run.metrics[run.metrics["seed"] == seed]
        assert rows["val_loss"].tolist() == [float(cells[4]) for cells in logged]
        assert rows["clean_train_loss"].isna().all() and rows["rate"].isna().all()
    assert set(run.summary.imported.files) == {f"plain/seed{seed}.csv" for seed in range(5)}


def test_what_is_unknown_is_called_unknown(logs: Lab) -> None:
    logs(line("plain", "--set data.dataset=mine --set model=wide"))
    run = runs.load(logs.runs / "plain")
    flat = run.config.flat()  # type: ignore[union-attr]
    known = {key for key, value in flat.items() if value != "unknown"}
    assert known == {"name", "seeds", "dropout.rate", "data.dataset", "model"}
    assert run.summary.data_sha256 == "unknown" and not run.summary.environment


def test_two_imported_runs_are_compared(logs: Lab) -> None:
    both(logs)
    outcome = logs("compare plain dropout")
    assert outcome.code == 0, outcome.err
    assert "differs   dropout.rate 0.0 -> 0.5" in outcome.out
    assert "were imported" in outcome.out and "is unknown" in outcome.out
    assert "on val accuracy" in outcome.out and "test accuracy" not in outcome.out  # the first that was logged
    assert "dropout.rate 0.5 is" not in outcome.out  # what else differs is unknown: the run is judged, not the rate
    as_json = json.loads(logs("compare plain dropout --json").out)
    assert as_json["metric"] == "val_accuracy" and as_json["same"] == {}
    assert as_json["baseline"]["imported"] is True


def test_predictions_give_the_crossed_interval_and_mcnemar(logs: Lab) -> None:
    both(logs, with_predictions=True)
    outcome = logs("compare plain dropout --fail-if 'test_accuracy: below 10 %'")
    assert outcome.code == 0, outcome.err
    assert "on these 200 test images" in outcome.out and "on new images too" in outcome.out
    assert "exact McNemar" in logs("compare plain dropout --seeds 0..0").out
    labels = [text.split(",") for text in (logs.path / "plain/seed0-test.csv").read_text().splitlines()[1:]]
    facts = runs.load(logs.runs / "plain").summary.finished[0]
    assert facts.last.test_accuracy == sum(a == b for a, b in labels) / 200


def test_gates_list_plot_report_and_export_work(logs: Lab) -> None:
    both(logs)
    assert logs("compare plain dropout --fail-if 'val_loss: change > 0.0'").code == 3
    assert logs("compare plain dropout --fail-if 'gap: rise > 0.1'").code == 3  # cannot be judged
    listed = logs("list").out
    assert listed.count("imported") == 2 and "█" in listed
    assert logs("plot plain dropout").code == 0
    assert logs("report plain dropout").code == 0
    page = (logs.path / "report.html").read_text()
    assert "dropout-lab import plain plain/seed0.csv" in page and "dropout-lab train" not in page
    assert logs("power plain dropout --metric val_loss").code == 0


def test_an_imported_run_beside_one_of_ours(logs: Lab) -> None:
    logs(line("plain"))
    outcome = logs("compare plain tiny.yaml --seeds 0..2 --metric val_loss")
    assert outcome.code == 0, outcome.err
    assert "plain was imported" in outcome.out and "not in the logs of plain: test accuracy" in outcome.out.replace(
        "\n          ", " "
    )


@pytest.mark.parametrize(
    "words",
    [
        "train runs/plain/config.yaml",
        "train tiny.yaml --name plain",
        "evaluate plain",
        "compare plain dropout --until-decided",
        "compare plain dropout --tune training.learning_rate=0.1,0.2",
        "compare plain dropout --smoke",
        "compare plain dropout training.epochs=3",
        "merge other plain dropout",
    ],
)
def test_what_would_train_is_refused_with_the_reason(words: str, logs: Lab) -> None:
    both(logs)
    before = logs.tree()
    outcome = logs(words)
    assert outcome.code == 2 and "imported" in outcome.err, outcome.err
    assert logs.tree() == before


def test_seeds_that_were_not_imported_are_refused(logs: Lab) -> None:
    both(logs)
    outcome = logs("compare plain dropout --seeds 7")
    assert outcome.code == 2 and "must be seeds of this run, which was imported and has 0-4" in outcome.err
    assert logs("compare plain dropout --seeds 3").code == 0


def test_the_same_logs_again_change_nothing(logs: Lab) -> None:
    logs(line("plain"))
    before = logs.tree()
    assert logs(line("plain")).code == 0
    assert logs.tree() == before
    refused = logs(line("plain", "--set model=wide"))
    assert refused.code == 2 and "exists with other content" in refused.err
    assert logs.tree() == before
    assert logs(line("plain", "--set model=wide --fresh")).code == 0
    assert (logs.runs / "plain.old-1").is_dir()


def test_the_same_log_is_the_same_experiment_whatever_is_noted(logs: Lab) -> None:
    """So looks are remembered, and adding seeds makes no verdict dishonest."""
    both(logs)
    logs("compare plain dropout --seeds 3")
    files = " ".join(f"plain/seed{seed}.csv" for seed in range(4))
    logs(f"import again {files} --set model=wide")
    assert "compared before at 3" in logs("compare again dropout --seeds 0..3").out.replace("\n          ", " ")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("import plain plain/seed0.csv plain/seed0.csv", "is the same as"),
        ("import plain plain/seed0.csv plain/none.csv", "is not there"),
        ("import 'a/b' plain/seed0.csv", "NAME: must be"),
        ("import plain plain/seed0.csv --seed-from 'sed(\\d+)'", "must find a whole number"),
        ("import plain plain/seed0.csv --seed-from 'seed'", "with a group"),
        ("import plain plain/seed0.csv --seed-from '('", "must be a regular expression"),
        ("import plain plain/seed0.csv dropout/seed0.csv --seed-from 'seed(\\d+)'", "has the seed 0, as"),
        ("import plain plain/seed0.csv --set dropout.rat=0.5", "did you mean dropout.rate"),
        ("import plain plain/seed0.csv --set rate", "must read KEY=VALUE"),
        ("import plain plain/seed0.csv --set seeds=3", "is no condition"),
        ("import plain plain/seed0.csv --set a=1 --set a=2", "only once"),
        (
            "import plain plain/seed0.csv --predictions plain/seed0-test.csv --predictions plain/seed1-test.csv",
            "one for",
        ),
        ("import plain plain/seed0.csv --predictions plain/seed0.csv", "there is no such column"),
        ("import plain plain/seed0.csv --column val_loss=x", "there is no such column"),
        ("import configs plain/seed0.csv --runs-dir .", "exists already"),
    ],
)
def test_what_cannot_be_imported_is_refused_and_nothing_is_changed(words: str, reason: str, logs: Lab) -> None:
    before = logs.tree()
    outcome = logs(words)
    assert outcome.code == 2 and reason in outcome.err, outcome.err
    assert logs.tree() == before


def test_predictions_must_be_of_the_same_images_and_networks(logs: Lab) -> None:
    one, other = logs.path / "plain/seed0-test.csv", logs.path / "plain/seed1-test.csv"
    head, first, *rest = other.read_text().splitlines()
    other.write_text("\n".join([head, *rest, first]) + "\n")
    said = f"--predictions {one.name} --predictions {other.name}"
    outcome = logs(f"import p plain/seed0.csv plain/seed1.csv {said.replace('seed', 'plain/seed')}")
    assert outcome.code == 2 and "must have the labels of" in outcome.err
    logs(f"import a plain/seed0.csv --predictions {one}")
    logs(f"import b plain/seed1.csv --predictions {other}")
    outcome = logs("compare a b")
    assert outcome.code == 2 and "must be of the test images of" in outcome.err


def test_a_diverged_log_is_a_diverged_seed(logs: Lab) -> None:
    path = logs.path / "plain/seed3.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:5], "4,0.1,nan,0.1,nan", "5,0.1,nan,0.1,nan"]) + "\n")
    both(logs)
    run = runs.load(logs.runs / "plain")
    assert run.diverged == (3,) and run.summary.diverged[3].epoch == 5 and run.summary.diverged[3].step is None
    outcome = logs("compare plain dropout")
    assert outcome.code == 1 and "1 of 5 seeds diverged" in outcome.out
    assert "seed 3 at epoch 5" in logs(line("plain")).out
