"""What other programs logged is read as it was logged: their own files, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from dropout_lab.errors import Refused
from dropout_lab.logs import columns
from dropout_lab.logs.curve import Curve, curve
from dropout_lab.logs.predicted import predicted
from dropout_lab.logs.read import READERS, read

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
HEAD = "epoch,accuracy,loss,val_accuracy,val_loss\n"


def read_curve(path: Path, *told: str, percent: bool = False) -> Curve:
    """The curve in a file, with the columns told as on the command line."""
    where = columns.parse(told)
    return curve(read(path, where), where, percent=percent)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("loss", "train_loss"),
        ("acc", "train_accuracy"),
        ("accuracy", "train_accuracy"),
        ("val_acc", "val_accuracy"),
        ("valid_loss", "val_loss"),
        ("eval_accuracy", "val_accuracy"),
        ("eval/loss", "val_loss"),
        ("Loss/validation", "val_loss"),
        ("train_loss_epoch", "train_loss"),
        ("validation/epoch_loss", "val_loss"),
        ("val_sparse_categorical_accuracy", "val_accuracy"),
        ("test_acc", "test_accuracy"),
        ("train_loss_step", None),
        ("val_aux_loss", None),
        ("val_loss_accuracy", None),
        ("train_val_loss", None),
        ("val", None),
        ("lr", None),
    ],
)
def test_a_column_is_known_by_the_words_of_its_name(name: str, measure: str | None) -> None:
    assert columns.measure_of(name) == measure


def test_keras_is_read_as_it_was_logged() -> None:
    found = read_curve(SAMPLES / "keras/plain/seed0.csv")
    lines = (SAMPLES / "keras/plain/seed0.csv").read_text().splitlines()
    head, first, last = (line.split(",") for line in (lines[0], lines[1], lines[-1]))
    assert len(found.epochs) == len(lines) - 1 and first[0] == "0"  # Keras counts from 0
    assert found.epochs[0]["val_loss"] == float(first[head.index("val_loss")])
    assert found.epochs[-1]["train_accuracy"] == float(last[head.index("accuracy")])
    assert math.isnan(found.epochs[0]["clean_train_loss"]) and not found.test and found.diverged is None


def test_lightning_is_read_epoch_by_epoch_and_its_test_is_no_epoch() -> None:
    found = read_curve(SAMPLES / "lightning/seed0.csv")
    assert [round(values["val_loss"], 4) for values in found.epochs] == [2.1909, 2.0956, 1.9973, 1.8948]
    assert found.columns["train_loss"] == "train_loss_epoch"  # and not the loss of single batches
    assert found.epochs[0]["train_loss"] == 2.2846930027008057
    assert found.test == {"test_loss": 1.906469702720642, "test_accuracy": 0.5799999833106995}


def test_a_trainer_state_has_no_mean_of_the_whole_training_as_an_epoch() -> None:
    path = SAMPLES / "transformers/seed0/trainer_state.json"
    history = json.loads(path.read_text())["log_history"]
    found = read_curve(path)
    evaluated = [entry for entry in history if "eval_loss" in entry]
    assert [values["val_loss"] for values in found.epochs] == [entry["eval_loss"] for entry in evaluated]
    logged = [entry["loss"] for entry in history if "loss" in entry and entry["epoch"] <= 1]
    assert found.epochs[0]["train_loss"] == sum(logged) / len(logged)
    assert found.columns["train_loss"] == "loss" and "train_loss" in history[-1]


def test_epochs_that_count_from_1_are_left_so(tmp_path: Path) -> None:
    found = read_curve(written(tmp_path / "a.csv", "epoch,val_loss\n1,0.5\n2,0.4\n"))
    assert [values["val_loss"] for values in found.epochs] == [0.5, 0.4]


def test_what_was_not_logged_is_nan_and_never_made_up(tmp_path: Path) -> None:
    found = read_curve(written(tmp_path / "a.csv", HEAD + "0,.5,1.5,NA,NA\n1,.6,1.4,.5,1.6\n3,.7,1.3,,\n"))
    assert [values["train_loss"] for values in found.epochs][:2] == [1.5, 1.4]
    assert math.isnan(found.epochs[0]["val_loss"]) and math.isnan(found.epochs[2]["train_loss"])
    assert found.diverged is None


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [("1 2 3", None), ("1 nan nan", 2), ("inf 2 3", None), ("1 2 inf", 3), ("nan nan nan", 1), ("1 nan -", 2)],
)
def test_a_loss_that_is_never_finite_again_has_diverged(losses: str, diverged: int | None, tmp_path: Path) -> None:
    lines = [f"{i},{'' if loss == '-' else loss},1" for i, loss in enumerate(losses.split())]
    found = read_curve(written(tmp_path / "a.csv", "\n".join(["epoch,loss,val_accuracy", *lines])))
    assert found.diverged == diverged


def test_a_table_may_have_a_mark_of_utf8_other_delimiters_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("\ufeffepoch;val_loss\r\n0;0.5\r\n\r\n1;0.25\r\n".encode())
    assert [values["val_loss"] for values in read_curve(path).epochs] == [0.5, 0.25]


def test_percentages_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "epoch,val_acc\n0,97.5\n")
    assert read_curve(path, percent=True).epochs[0]["val_accuracy"] == 0.975
    with pytest.raises(Refused, match=r"a\.csv:2: val_acc: must be a fraction from 0 to 1; with --percent"):
        read_curve(path)


def test_a_column_that_is_told_comes_before_one_that_is_known(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "epoch,val_loss,v2\n0,1,2\n")
    assert read_curve(path, "val_loss=v2").epochs[0]["val_loss"] == 2
    assert read_curve(path, "clean_train_loss=v2").epochs[0]["clean_train_loss"] == 2
    rounds = written(tmp_path / "b.csv", "round,val_loss\n0,1\n1,3\n")
    assert len(read_curve(rounds, "epoch=round").epochs) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "file: must be a head and one line or more"),
        (HEAD, "file: must be a head and one line or more"),
        (HEAD + "0,.5,1,.5,1\n1,.5,1\n", "a.csv:3: line: must have 5 cells"),
        (HEAD + "0,.5,1,.5,high\n", "a.csv:2: val_loss: must be a number, or empty"),
        (HEAD + "0,.5,1,.5,1_0\n", "a.csv:2: val_loss: must be a number"),
        (HEAD + "0,.5,1,.5,1\n1,.5,1,.5,1\n0,.5,1,.5,1\n", "a.csv:4: epoch: must rise from line to line"),
        (HEAD + "0,.5,1,.5,1\n0,.5,1,.5,1\n", "a.csv:3: epoch: must rise from line to line"),
        (HEAD + "x,.5,1,.5,1\n", "a.csv:2: epoch: must be a whole number"),
        (HEAD + "0.5,.5,1,.5,1\n", "a.csv:2: epoch: must be a whole number"),
        (HEAD + "-1,.5,1,.5,1\n", "a.csv:2: epoch: must be a whole number"),
        (HEAD + "99999999,.5,1,.5,1\n", "a.csv:2: epoch: must be a whole number"),
        ("val_loss\n1\n", "a.csv:1: epoch: there is no column of the epoch"),
        ("epoch,lr\n0,1\n", "columns: no column is known by its name"),
        ("epoch,val_loss,val_loss\n0,1,1\n", "a.csv:1: columns: must have different names"),
        ("epoch,val_loss,eval_loss\n0,1,1\n", "val_loss: could be in several columns; say which with --column"),
        ("epoch,val_loss\n0,\n", "columns: must have a value in one epoch or more"),
        ('epoch,val_loss\n0,"1\n', "file: is no CSV table"),
        ("\x00", "file: must be a head and one line or more"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=reason.replace(".", r"\.")):
        read_curve(written(tmp_path / "a.csv", text))


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"log_history": []}', '{"log_history": [1]}', '{"log_history": 3}', "[" * 5000],
)
def test_what_is_no_trainer_state_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="must be a trainer_state.json with a log_history"):
        read_curve(written(tmp_path / "trainer_state.json", text))


def test_a_file_that_is_not_there_or_no_text_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Refused, match="is not there"):
        read_curve(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_bytes(b"epoch,val_loss\n0,\xff\n")
    with pytest.raises(Refused, match=r"a\.csv:2: file: must be UTF-8 text"):
        read_curve(tmp_path / "a.csv")
    monkeypatch.setattr("dropout_lab.logs.read.LARGEST", 10)
    with pytest.raises(Refused, match="must be at most"):
        read_curve(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("val_loss", "must read MEASURE=NAME"),
        ("=x", "must read MEASURE=NAME"),
        ("val_los=x", "did you mean val_loss"),
        ("rate=x", "a measure is epoch"),
    ],
)
def test_a_bad_column_is_refused(word: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        columns.parse([word])
    with pytest.raises(Refused, match="must name val_loss only once"):
        columns.parse(["val_loss=a", "val_loss=b"])
    with pytest.raises(Refused, match="there is no such column: did you mean valid_loss"):
        columns.chosen(["valid_loss"], {"val_loss": "vald_loss"}, "a.csv")


def test_predictions_are_read_and_counted(tmp_path: Path) -> None:
    found = predicted(written(tmp_path / "p.csv", "id,prediction,label\na,3,3\nb,1,2\nc,0,0.0\n"))
    assert found.labels == (3, 2, 0) and found.predictions == (3, 1, 0) and found.accuracy == 2 / 3
    with pytest.raises(Refused, match=r"p\.csv:3: label: must be a class, as a whole number"):
        predicted(written(tmp_path / "p.csv", "label,prediction\n1,1\ncat,1\n"))
    with pytest.raises(Refused, match="there is no such column"):
        predicted(written(tmp_path / "p.csv", "label,said\n1,1\n"))


def test_every_reader_says_what_it_knows(tmp_path: Path) -> None:
    assert all(not reader.knows(tmp_path / "nothing.json") for reader in READERS.values())
