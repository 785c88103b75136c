"""A user's own table: what its columns become, and every way in which it is refused."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from commandline import REFUSAL, Lab, Outcome
from generated import refused
from mutated import mutate

from dropout_lab.data import datasets as data
from dropout_lab.data import tables
from dropout_lab.data.split import Parts
from dropout_lab.errors import Refused
from dropout_lab.runs import read as runs

PARTS = Parts(validation_from="stratified", target="kind")
LINES = [f"{i},{i % 7 / 7:.3f},{'red' if i % 3 else 'white'},{'ab'[i % 2]}" for i in range(40)]
CONFIG = "data: {dataset: own.csv, target: kind%s}\nnetwork: {hidden: [4]}\ntraining: {epochs: 1}\n"


def table(path: Path, lines: Sequence[str] = LINES, head: str = "id,size,color,kind") -> str:
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return str(path)


def changed(at: int, line: str) -> list[str]:
    """The lines of the table with another one; the first has the number 2 in the file."""
    return [line if index == at else own for index, own in enumerate(LINES)]


def read(path: str, **parts: object) -> tables.Stored:
    return tables.read(Path(path), Parts(**{"validation_from": "stratified", "target": "kind", **parts}))  # type: ignore[arg-type]


def notes(outcome: Outcome) -> list[str]:
    start = "dropout-lab: note: "
    return [line.removeprefix(start) for line in outcome.err.splitlines() if line.startswith(start)]


# ------------------------------------------------------------------------------------------------------------ columns


def test_numbers_are_inputs_as_they_are_and_each_text_is_an_input(tmp_path: Path) -> None:
    stored = read(table(tmp_path / "own.csv"), drop=("id",))
    assert stored.described.endswith(
        "own.csv: 3 inputs: 1 column of numbers, one-hot color (2); 2 classes of kind: a, b"
    )
    both, labels = np.concatenate([stored.images, stored.test_images]), [*stored.labels, *stored.test_labels]
    assert (both.dtype, len(stored.labels), len(stored.test_labels)) == (np.float32, 32, 8)
    expected = sorted((np.float32(f"{i % 7 / 7:.3f}"), i % 3 > 0, i % 3 == 0, i % 2) for i in range(40))
    assert sorted((*row, label) for row, label in zip(both, labels, strict=True)) == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_a_byte_order_mark_quotes_and_line_ends_do_not_matter(delimiter: str, tmp_path: Path) -> None:
    plain = read(table(tmp_path / "plain.csv"))
    fields = [line.split(",") for line in ("id,size,color,kind", *LINES)]
    text = "\r\n".join(delimiter.join(f'"{field}"' for field in line) for line in fields) + "\r\n\r\n"
    (tmp_path / "own.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    other = read(str(tmp_path / "own.csv"))
    assert data.digest(plain) == data.digest(other) and plain.names == other.names


def test_a_quoted_field_may_hold_delimiters_and_line_ends(tmp_path: Path) -> None:
    lines = changed(1, '1,0.1,"light\nred, or so",b')
    stored = read(table(tmp_path / "own.csv", lines))
    assert "one-hot color (3)" in stored.described
    with pytest.raises(Refused, match=r"own\.csv:5: column size: mixes numbers \(0\.000 in line 2\) and text"):
        read(table(tmp_path / "own.csv", [*lines[:2], "2,big,red,a", *lines[3:]]))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (("10", "9"), ("9", "10")),  # by size
        (("3.0", "4"), ("3", "4")),
        (("no", "yes"), ("no", "yes")),
        (("2b", "1"), ("1", "2b")),
        (("-1", "+1"), ("-1", "1")),
    ],
)
def test_classes_are_whole_numbers_or_text_in_order(values: tuple[str, str], names: object, tmp_path: Path) -> None:
    stored = read(table(tmp_path / "own.csv", [f"{i % 5},{values[i % 2]}" for i in range(20)], "size,kind"))
    assert stored.names == names and sorted({*stored.labels}) == [0, 1]


def test_many_examples_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line.replace("white", "") for line in LINES]
    whole = read(table(tmp_path / "own.csv", lines), missing="mean")
    monkeypatch.setattr(tables, "PIECE", 3)
    assert data.digest(whole) == data.digest(read(table(tmp_path / "again.csv", lines), missing="mean"))


def test_a_test_file_has_the_inputs_of_the_first(tmp_path: Path) -> None:
    first = table(tmp_path / "own.csv")
    test = table(tmp_path / "test.csv", ["b,red,0.5", "a,blue,1"], "kind,color,size")
    stored = read(first, drop=("id",), test=test)
    assert len(stored.images) == 40 and stored.test_labels.tolist() == [1, 0]
    assert stored.test_images.tolist() == [[0.5, 1, 0], [1, 0, 0]]
    assert stored.notes == (f"{test}: column color: not in the training file, no input is 1: blue",)


@pytest.mark.parametrize(
    ("lines", "head", "expected"),
    [
        (["0.5,red,c"], "size,color,kind", ":2: column kind: must be one of the classes in .*own.csv (got c)"),
        (["0.5,1,a"], "size,color,kind", ":2: column color: must hold text, as in .*own.csv (got 1)"),
        (["x,red,a"], "size,color,kind", ":2: column size: must hold numbers, as in .*own.csv (got x)"),
        (["red,a"], "color,kind", ":1: column size: must be there too, as in the other file (got color, kind)"),
        ([], "size,color,kind", ": file: holds no example, only the names of columns (got 0)"),
    ],
)
def test_an_unlike_test_file_is_refused(lines: list[str], head: str, expected: str, tmp_path: Path) -> None:
    first, test = table(tmp_path / "own.csv"), table(tmp_path / "test.csv", lines, head)
    with refused(tmp_path) as said:
        read(first, drop=("id",), test=test)
    assert re.search(expected.replace("(", r"\(").replace(")", r"\)"), said[0])


# ------------------------------------------------------------------------------------------------------------ missing


HOLES = changed(4, "4,,red,a")


@pytest.mark.parametrize("empty", ["", "NA", "nan", "NaN", "?", "null", " "])
def test_missing_values_are_refused_with_column_and_count(empty: str, tmp_path: Path) -> None:
    lines = changed(4, f"4,{empty},{empty},a")
    lines[9] = f"9,{empty},red,a"
    path = table(tmp_path / "own.csv", lines)
    with refused(tmp_path) as said:
        read(path)
    advice = "data.missing: mean or drop-row says what to do"
    assert [line.partition("own.csv")[2] for line in said] == [
        f":6: column size: 2 values are missing from here on; {advice} (got 2 missing)",
        f":6: column color: 1 value is missing; {advice} (got 1 missing)",
    ]


def test_drop_row_leaves_out_what_lacks_a_value(tmp_path: Path) -> None:
    lines = [*HOLES[:20], "20,1,red,", *HOLES[21:]]
    path = table(tmp_path / "own.csv", lines)
    stored = read(path, missing="drop-row")
    assert len(stored.labels) + len(stored.test_labels) == 38 and not np.isnan(stored.images).any()
    assert stored.notes == (f"{path}: 2 of 40 examples are left out, which lack a value",)
    with pytest.raises(Refused, match=r"own\.csv:22: column kind: 1 value is missing; a class cannot be made up"):
        read(path, missing="mean")
    with pytest.raises(Refused, match=r"column kind: data.missing: drop-row leaves no example of this class \(got b\)"):
        read(table(tmp_path / "own.csv", [line if i % 2 == 0 else f"{i},,red,b" for i, line in enumerate(LINES)]),
             missing="drop-row")  # fmt: skip


def test_a_mean_is_that_of_the_training_part_alone(tmp_path: Path) -> None:
    lines = [f"{'' if i % 5 == 0 else i},{'' if i % 4 == 0 else 'xy'[i % 3 == 0]},{i % 2}" for i in range(60)]
    path = table(tmp_path / "own.csv", lines, "size,color,kind")
    for how, draw in (("stratified", (0, 0)), ("random", (5, 0))):
        parts = Parts(validation_from=how, target="kind", missing="mean", test=path)
        stored = tables.read(Path(path), parts)
        training, _ = parts.divide(stored.labels, 0, draw)
        loaded = data.load(path, "standardize", tmp_path, parts=parts, draw=draw)
        means = np.nanmean(stored.images[training], axis=0, dtype=np.float64)
        sd = np.nanstd(np.where(np.isnan(stored.images), means, stored.images)[training], axis=0, dtype=np.float64)
        expected = np.where(np.isnan(stored.images), 0, (stored.images - means) / sd)
        assert torch.allclose(loaded.images, torch.from_numpy(expected).float(), atol=1e-5)
        assert torch.allclose(loaded.test_images, loaded.images)  # the same file
    lines = ["" + line[line.index(",") :] if i % 2 else line for i, line in enumerate(lines)]
    seen = read(path, missing="mean")
    assert np.isnan(seen.images).any()  # nothing is filled in before it is known what trains


def test_a_mean_needs_a_number_that_trains(tmp_path: Path) -> None:
    parts = Parts(validation_from="tail", validation_fraction=0.5, target="kind", missing="mean", test_from="tail")
    path = table(tmp_path / "own.csv", [f"{i if i == 20 else ''},{i % 2}" for i in range(40)], "size,kind")
    with refused(tmp_path) as said:
        data.load(path, "standardize", tmp_path, parts=parts)
    assert "data.missing: mean has no number to learn from in input 1 of the training part (got mean)" in said[0]


def test_seeds_with_means_of_their_own_never_share_lanes(tmp_path: Path) -> None:
    from dropout_lab.config.resolve import resolve

    settings = {"dataset": table(tmp_path / "own.csv", HOLES), "target": "kind", "missing": "mean"}
    draws = [
        {resolve({"data": settings | more}, where="here", name="toy").draw_of_numbers(seed) for seed in range(3)}
        for more in ({"validation_from": "random"}, {})
    ]
    assert list(map(len, draws)) == [3, 1]


# ------------------------------------------------------------------------------------------------------------ refused


NAMES = "id,size,color,kind"
HOSTILE: dict[str, tuple[str, str]] = {
    "an empty file": ("", "own.csv: file: must begin with a line that names the columns (got nothing)"),
    "no line but the first": (NAMES, "own.csv: file: holds no example, only the names of columns (got 0)"),
    "no names": ("1,2,3\n" * 9, "own.csv:1: file: must begin with a line that names the columns, not with numbers"),
    "the target alone": ("kind\na\nb\n" * 9, "own.csv:1: file: must have a column beside the target"),
    "a near miss": ("size,Kinds\n1,a\n", "own.csv:1: data.target: no such column, did you mean Kinds? (got kind)"),
    "no target": ("size,color\n1,a\n", "own.csv:1: data.target: no such column, the columns are size, color (got"),
    "two of one name": ("size,size,kind\n1,2,a\n", "own.csv:1: column size: must be the only column of this name (got"),
    "two targets": ("size,kind,kind\n1,2,a\n", "own.csv:1: column kind: must be the only column of this name (got 2"),
    "an index": (",size,kind\n1,2,a\n", 'own.csv:1: file: column without a name: name it, or put "" into data.drop'),
    "a constant target": (f"{NAMES}\n" + "1,2,red,a\n" * 9, "own.csv: column kind: must hold at least two classes (go"),
    "a measurement": ("size,kind\n1,2\n2,2.5\n", "own.csv:3: column kind: must hold classes, which are text or whole"),
    "a count": ("size,kind\n" + "".join(f"1,{i}\n" for i in range(99)), "but has 99 different values in 99 lines (got"),
    "99,999 classes": ("size,kind\n" + "".join(f"1,{i}\n" for i in range(99_999)), "must hold classes, not more than"),
    "dates": (f"{NAMES}\n1,2,2024-01-31,a\n1,2,31.12.2024,b\n", "own.csv:2: column color: holds dates: turn them into"),
    "mixed types": (f"{NAMES}\n1,2,red,a\n1,big,red,b\n", "own.csv:3: column size: mixes numbers (2 in line 2) and te"),
    "mixed, text first": (f"{NAMES}\n1,2,red,a\n1,2,7,b\n", "own.csv:2: column color: mixes numbers (7 in line 3) and"),
    "thousands": (f'{NAMES}\n1,2,red,a\n1,"1,234",red,b\n', "own.csv:3: column size: holds numbers with separators or"),
    "decimal commas": ("size;kind\n1,5;a\n2,5;b\n", "own.csv:2: column size: holds numbers with separators or decimal"),
    "underscores": ("size,kind\n1_000,a\n1,b\n", "own.csv:2: column size: holds numbers with separators"),
    "an infinity": ("size,kind\n1,a\n1e39,b\n", "own.csv:3: column size: must be finite as float32 (got 1e39)"),
    "100,000 categories": (
        "color,kind\n" + "".join(f"c{i},{i % 2}\n" for i in range(100_000)),
        "own.csv:1002: column color: has more than 1000 different texts, too many for an input each; put the "
        "column into data.drop (got c1000)",
    ),
    "a field too many": (f"{NAMES}\n1,2,red,a\n1,2,red,b,b\n", "own.csv:3: file: must have 4 fields, as many as the f"),
    "a field too few": (f"{NAMES}\n1,2,red,a\n1,2", "own.csv:3: file: must have 4 fields, as many as the first line ("),
    "an open quote": (f'{NAMES}\n1,2,"red,a\n1,2,red,b\n', "own.csv:2: file: is no field of a table: unexpected end o"),
    "no text": ("size,kind\n1,\udcff\n", "own.csv:2: file: must be UTF-8 text; save it as UTF-8 (got byte 0xff)"),
    "nothing but missing": ("size,color,kind\n,red,a\n,red,b\n", "own.csv: column size: holds no value at all; put it"),
    "few examples": ("size,kind\n1,a\n2,a\n3,b\n4,b\n", "own.csv: file: must hold at least 5 images: a fifth of them"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_table_is_refused_with_file_line_and_reason(name: str, lab: Lab) -> None:
    text, expected = HOSTILE[name]
    (lab.path / "own.csv").write_bytes(text.encode(errors="surrogateescape"))
    (lab.path / "own.yaml").write_text(CONFIG % "")
    before = lab.tree()
    outcome = lab("train own.yaml --quiet")
    assert outcome.code == 2 and f"{expected}" in outcome.err, outcome.err
    assert lab.tree() == before
    assert all(re.fullmatch(REFUSAL, line) for line in outcome.err.splitlines())


def test_every_column_with_a_fault_is_named(tmp_path: Path) -> None:
    path = table(tmp_path / "own.csv", ["x,2024-01-01,,a", "1,2024-01-01,red,b"])
    with refused(tmp_path) as said:
        read(path)
    assert [line.partition(": ")[2].partition(":")[0] for line in said] == ["column id", "column size", "column color"]


def test_columns_that_are_dropped_are_not_looked_at(tmp_path: Path) -> None:
    lines = [f"{i},2024-01-{i + 1:02},x{i},{'ab'[i % 2]},{i}" for i in range(20)]
    path = table(tmp_path / "own.csv", lines, ",when,size,kind,weight")
    assert read(path, drop=("", "when", "size")).images.shape == (16, 1)
    with refused(tmp_path) as said:
        read(path, drop=("Weigth", "when", "size", ""))
    assert "data.drop: no such column, did you mean weight? (got Weigth)" in said[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("target: null", "data.target: must name the column of the table that has the classes (got null)"),
        ("drop: [kind]", "data.drop: must not hold the target (got kind)"),
        ("missing: median", "data.missing: must be one of refuse, mean, drop-row, did you mean mean? (got median)"),
        ("test: own.npz", "data.test: must be the path of a .csv, .tsv or .parquet file or null (got own.npz)"),
        ("test: tests.csv", "data.test: no such file, did you mean test.csv? (got tests.csv)"),
        ("test: test.csv, test_from: random", "data.test_from: must be left out with data.test, which is the test"),
        ("dataset: digits", "data.target: must be left out with digits, which is no table (got kind)"),
    ],
)
def test_settings_that_a_table_cannot_have_are_refused(settings: str, expected: str, lab: Lab) -> None:
    for name in ("own", "test"):
        table(lab.path / f"{name}.csv")
    mapping = dict(item.split(": ", 1) for item in ["dataset: own.csv", "target: kind", *settings.split(", ")])
    inner = ", ".join(f"{key}: {value}" for key, value in mapping.items())
    (lab.path / "own.yaml").write_text(f"data: {{{inner}}}\n")
    outcome = lab("train own.yaml")
    assert outcome.code == 2 and expected in outcome.err, outcome.err


# -------------------------------------------------------------------------------------------------------------- runs


def test_a_table_trains_and_its_plan_names_its_inputs(lab: Lab) -> None:
    (lab.path / "project").mkdir()
    table(lab.path / "project/own.csv")
    (lab.path / "project/own.yaml").write_text(CONFIG % ", scale: standardize, test: own.csv")
    said = "project/own.csv: 4 inputs: 2 columns of numbers, one-hot color (2); 2 classes of kind: a, b"
    assert notes(lab("validate project/own.yaml")) == [said]
    assert said in re.sub(r"\s+", " ", lab("train project/own.yaml --dry-run").out)
    assert lab("train project/own.yaml --seeds 2 --quiet").code == 0
    run = runs.load(lab.runs / "own")
    folder = lab.path / "project"
    assert (run.config.data.dataset, run.config.data.test) == (str(folder / "own.csv"), str(folder / "own.csv"))
    assert lab("evaluate own --samples 2 --quiet").code == 0
    table(folder / "own.csv", changed(3, "3,0.5,red,a"))
    assert "own.csv has changed since" in lab("train project/own.yaml --seeds 2 --quiet").err


def test_a_class_of_one_example_is_noted_by_its_name(lab: Lab) -> None:
    table(lab.path / "own.csv", changed(7, "7,0.1,red,rare"))
    (lab.path / "own.yaml").write_text(CONFIG % ", scale: standardize")
    outcome = lab("train own.yaml --quiet")
    assert outcome.code == 0
    assert notes(outcome) == [
        "the 4 validation images hold none of class rare",
        "the 8 test images hold none of class rare",
    ]


def test_a_table_is_verified_with_its_target(lab: Lab) -> None:
    table(lab.path / "own.csv")
    outcome = lab("data verify own.csv")
    assert outcome.code == 2 and "must be read by a config, which has data.target" in outcome.err


def test_every_setting_of_a_table_counts(tmp_path: Path) -> None:
    from dropout_lab.config.resolve import resolve

    path, other = table(tmp_path / "own.csv"), table(tmp_path / "other.csv")
    base = {"dataset": path, "target": "kind"}
    settings: list[dict[str, object]] = [
        {},
        {"target": "color"},
        {"drop": ["id"]},
        {"missing": "mean"},
        {"test": other},
    ]
    configs = [resolve({"data": base | more}, where="here", name="toy") for more in settings]
    assert len({config.identity for config in configs}) == len({config.lasting_identity for config in configs}) == 5
    places = [base | {"dataset": f"{folder}/own.csv", "test": f"{folder}/t.csv"} for folder in "ab"]
    here, there = (
        resolve({"data": of | {"test_from": "stratified"}}, where="here", name="toy", check_files=False)
        for of in places
    )
    assert here.identity != there.identity and here.lasting_identity == there.lasting_identity


# ------------------------------------------------------------------------------------------------------------ parquet


def test_a_parquet_file_is_the_same_table(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    fields = [line.split(",") for line in HOLES]
    columns = {
        "id": [int(line[0]) for line in fields],
        "size": pyarrow.array([float(line[1]) if line[1] else None for line in fields], pyarrow.float32()),
        "color": pyarrow.array([line[2] for line in fields]).dictionary_encode(),
        "kind": [line[3] for line in fields],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "own.parquet")
    text, own = (
        read(path, missing="mean") for path in (table(tmp_path / "own.csv", HOLES), str(tmp_path / "own.parquet"))
    )
    assert data.digest(text) == data.digest(own) and text.names == own.names
    with pytest.raises(Refused, match=r"column size: 1 value is missing; data\.missing"):
        read(str(tmp_path / "own.parquet"))
    import datetime

    columns |= {"size": [datetime.date(2024, 1, 1)] * 40}
    parquet.write_table(pyarrow.table(columns), tmp_path / "own.parquet")
    with pytest.raises(Refused, match=r"column size: holds dates or times"):
        read(str(tmp_path / "own.parquet"))
    (tmp_path / "own.parquet").write_bytes(b"PAR1" * 9)
    with pytest.raises(Refused, match=r"is not a readable \.parquet file"):
        read(str(tmp_path / "own.parquet"))


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "own.parquet").write_bytes(b"PAR1")
    with pytest.raises(Refused, match=r"needs the package pyarrow: pip install 'dropout-lab\[parquet\]'"):
        read(str(tmp_path / "own.parquet"))


# --------------------------------------------------------------------------------------------------------------- fuzz


@pytest.mark.slow
def test_a_mutated_table_is_read_or_refused_in_words(tmp_path: Path) -> None:
    whole = Path(table(tmp_path / "whole.csv", LINES)).read_bytes()
    draw, outcomes = random.Random(18), {"read": 0, "refused": 0}
    path = tmp_path / "own.csv"
    for _ in range(2000):
        path.write_bytes(content := mutate(draw, whole))
        parts = Parts(validation_from="stratified", target="kind", missing=draw.choice(("refuse", "mean", "drop-row")))
        try:
            loaded = data.load(str(path), "standardize", tmp_path, parts=parts)
            assert torch.isfinite(loaded.images).all() and torch.isfinite(loaded.test_images).all()
            assert 0 <= int(loaded.labels.min()) < int(loaded.labels.max()) == loaded.classes - 1
            outcomes["read"] += 1
        except Refused as error:
            assert all(re.fullmatch(REFUSAL, f"dropout-lab: error: {line}") for line in str(error).splitlines()), error
            outcomes["refused"] += 1
        assert path.read_bytes() == content
    assert min(outcomes.values()) > 200, outcomes
