"""A user's own table, one example a line: a .csv or .tsv file in UTF-8, or a .parquet file.

    the target      holds the classes, text or whole numbers; in order they are 0, 1, ..
    numbers         are inputs as they are; true and false in a .parquet file are 1 and 0
    text            is one-hot: each value that the file has becomes an input, which is 1 where an example has the value
    missing         an empty field, NA, N/A, NaN, null or ?; refused, unless `data.missing` says what becomes of it

The first line names the columns. Commas, semicolons, tabs or bars separate the fields. A file is read in pieces, so
that memory is needed for its numbers only. Every number is float32, and a missing one is NaN until `scale.py` fills it.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache, partial
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_lab.data.npz import LIMIT, Stored, with_test_split
from dropout_lab.data.split import Parts
from dropout_lab.errors import Problem, Refused, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUFFIXES = (".csv", ".tsv", ".parquet")
DELIMITERS = ",;\t|"
MISSING = frozenset({"", "na", "n/a", "nan", "null", "?"})  # in capital letters too
PIECE = 10_000  # examples in memory as text
MAX_VALUES = 1000  # different texts of one column, or classes
MOST_NAMED = 10  # columns or classes in a note
DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})")
SEPARATED = re.compile(r"[+-]?\d{1,3}([,.'_ \u00a0\u202f]\d{3})+([.,]\d+)?|[+-]?\d+,\d+")  # 1,234.5 or 3,5

Piece = tuple[Sequence[int], list[Any]]  # the lines of some examples (none: not known), and their values by column
Place = tuple[int | None, str]  # the line of a value, and the value


@dataclass
class Column:
    """One column: its blocks of numbers, or of codes into `texts`, as float32 with NaN where a value is missing.

    first_number, first_text: where the first of each is. absent: how many are missing, first_absent: where.
    """

    name: str
    blocks: list[NDArray[Any]] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)
    first_number: Place | None = None
    first_text: Place | None = None
    first_absent: int | None = None
    absent: int = 0
    fault: tuple[str, Place] | None = None

    def add(self, lines: Sequence[int], values: Sequence[str] | NDArray[Any]) -> None:
        """Take the values of the next examples, text or an array of numbers. A column with a fault takes no more."""
        import numpy as np

        if self.fault:
            return
        numbers, coded = values if isinstance(values, np.ndarray) else _numbers(values), False
        if numbers is None:
            values = [value.strip() for value in values]
            numbers, coded = self.read(lines, values)
        with np.errstate(over="ignore"):
            block = numbers.astype(np.float32)
        if (infinite := np.isinf(block)).any():
            at = int(np.argmax(infinite))
            self.fault = "must be finite as float32", (_at(lines, at), str(values[at]))
        if (missing := np.isnan(block)).any():
            block[missing] = np.nan  # one pattern of bits
            self.absent += int(missing.sum())
            self.first_absent = self.first_absent or _at(lines, int(np.argmax(missing)))
        if not (coded or missing.all() or self.first_number):
            at = int(np.argmin(missing))
            self.first_number = _at(lines, at), str(values[at])
        if self.first_number and self.first_text and not self.fault:
            (line, number), at_line = self.first_number, ""
            at_line = f" in line {line}" if line else ""
            reason = f"mixes numbers ({shown(number)}{at_line}) and text; make it one of both, or put it into data.drop"
            self.fault = reason, self.first_text
        self.blocks.append(block)

    def read(self, lines: Sequence[int], values: Sequence[str]) -> tuple[NDArray[Any], bool]:
        """Return the numbers of values that are not all numbers or, if there is text among them, the codes of it."""
        import numpy as np

        numbers: dict[str, float | None] = {value: _number(value) for value in {*values} if not _missing(value)}
        if None not in numbers.values():
            return np.array([numbers.get(value, math.nan) for value in values], np.float64), False
        for index, value in enumerate(values):
            if value not in numbers or value in self.texts:
                continue
            if numbers[value] is not None:
                self.first_number = self.first_number or (_at(lines, index), value)
                continue
            self.first_text = self.first_text or (_at(lines, index), value)
            if len(self.texts) == MAX_VALUES:
                reason = f"has more than {MAX_VALUES} different texts, too many for an input each; "
                self.fault = reason + "put the column into data.drop", (_at(lines, index), value)
                break
            self.texts[value] = len(self.texts)
        return np.array([self.texts.get(value, math.nan) for value in values], np.float64), True

    def checked(self) -> tuple[str, Place] | None:
        """Return what is wrong with the column as a whole, and where."""
        if self.first_text and DATE.fullmatch(self.first_text[1]):
            return "holds dates: turn them into numbers, such as days, or put it into data.drop", self.first_text
        if self.first_text and SEPARATED.fullmatch(self.first_text[1]):
            return "holds numbers with separators or decimal commas: write them as 1234.5", self.first_text
        if self.fault:
            return self.fault
        if not (self.first_text or self.first_number):
            return "holds no value at all; put it into data.drop", (None, "")
        return None


@dataclass
class Target:
    """The column of the classes: the code of each example's value in `values`, -1 where it is missing."""

    name: str
    blocks: list[NDArray[Any]] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    places: list[int | None] = field(default_factory=list)
    absent: int = 0
    first_absent: int | None = None
    fault: tuple[str, Place] | None = None

    def add(self, lines: Sequence[int], values: Sequence[str] | NDArray[Any]) -> None:
        """Take the values of the next examples."""
        import numpy as np

        if self.fault:
            return
        codes = np.full(len(values), -1)
        for index, value in enumerate(text.strip() for text in map(str, values)):
            if _missing(value):
                self.absent += 1
                self.first_absent = self.first_absent or _at(lines, index)
                continue
            if value not in self.values:
                self.values[value] = len(self.values)
                self.places.append(_at(lines, index))
            codes[index] = self.values[value]
        if len(self.values) > MAX_VALUES:
            self.fault = f"must hold classes, not more than {MAX_VALUES} different values", (None, value)
        self.blocks.append(codes)

    def classes(self) -> list[str]:
        """Return the names of the classes in order: whole numbers by size, text by alphabet. Raises ValueError."""
        numbers = {value: _number(value) for value in self.values}
        if not self.values or any(number is None for number in numbers.values()):
            return sorted(self.values)
        for value, number in numbers.items():
            if number is None or number % 1:  # infinity has no remainder that is a number, which is true
                raise ValueError("must hold classes, which are text or whole numbers", self.place(value))
        return [str(number) for number in sorted({int(number) for number in numbers.values() if number is not None})]

    def named(self, value: str, classes: Sequence[str]) -> str:
        """Return the class that a value of this column names: 3.0 is the class 3, where classes are numbers."""
        number = _number(value)
        return value if value in classes or number is None or number % 1 else str(int(number))

    def place(self, value: str) -> Place:
        """Return where the value is first."""
        return self.places[self.values[value]], value


@dataclass
class Table:
    """What was read of one file."""

    path: Path
    columns: list[Column]
    target: Target
    count: int = 0

    def add(self, piece: Piece) -> None:
        """Take some more examples. Raises Refused if their numbers would not fit into memory."""
        lines, values = piece
        for column, inputs in zip(self.columns, values, strict=False):
            column.add(lines, inputs)
        self.target.add(lines, values[-1])
        self.count += len(values[-1])
        if (size := 4 * self.count * len(self.columns)) > LIMIT:
            raise Refused(Problem(str(self.path), "file", f"must take at most {LIMIT} bytes as float32", size))

    def problems(self, missing: str) -> Iterator[Problem]:
        """Yield what is wrong with the columns, and what is missing where that is not allowed."""
        if not self.count:
            yield Problem(str(self.path), "file", "holds no example, only the names of columns", 0)
            return
        for column in self.columns:
            if fault := column.checked():
                yield self.problem(column.name, *fault)
            elif column.absent and missing == "refuse":
                yield self.absent(column, "data.missing: mean or drop-row says what to do")
        if self.target.fault:
            yield self.problem(self.target.name, *self.target.fault)
        elif self.target.absent and missing != "drop-row":
            yield self.absent(
                self.target, "a class cannot be made up, but data.missing: drop-row leaves such lines out"
            )

    def problem(self, column: str, reason: str, place: Place) -> Problem:
        return Problem(str(self.path), f"column {column}", reason, place[1], place[0])

    def absent(self, column: Column | Target, advice: str) -> Problem:
        many = "1 value is" if column.absent == 1 else f"{column.absent} values are"
        reason = f"{many} missing{' from here on' if column.absent > 1 and column.first_absent else ''}; {advice}"
        return self.problem(column.name, reason, (column.first_absent, f"{column.absent} missing"))


def read(path: Path, parts: Parts) -> Stored:
    """Return what is in the file, with a test split: that of the file `parts.test`, or one by `parts.test_from`.

    Raises Refused with every problem found, each with its line or column.
    """
    test = Path(parts.test) if parts.test is not None else None
    files = [(file, file.stat().st_mtime_ns, file.stat().st_size) for file in (path, test) if file and _there(file)]
    stored = _read(path, test, parts.target or "", parts.drop, parts.missing, tuple(files))
    if test is not None:
        return stored
    return with_test_split(path, stored, parts)


@lru_cache(maxsize=1)  # a long file is read several times by one command
def _read(path: Path, test: Path | None, target: str, drop: tuple[str, ...], missing: str, files: object) -> Stored:
    table = _table(path, target, drop, missing)
    classes = _classes(table)
    texts = {column.name: sorted(column.texts) for column in table.columns if column.texts}
    images, labels, dropped = _examples(table, classes, texts, missing)
    for index in sorted({*range(len(classes))} - {*labels.tolist()}):
        raise Refused(
            table.problem(target, f"data.missing: {missing} leaves no example of this class", (None, classes[index]))
        )
    stored = Stored(
        images, labels, images[:0], labels[:0], names=tuple(classes), described=described(table, texts, classes)
    )
    if test is None:
        return stored._replace(notes=tuple(dropped))
    other = _table(test, target, drop, missing, [column.name for column in table.columns])
    _refuse(_unlike(other, table, classes))
    notes = [*dropped, *_unseen(other, texts)]
    test_images, test_labels, dropped = _examples(other, classes, texts, missing)
    return stored._replace(test_images=test_images, test_labels=test_labels, notes=(*notes, *dropped))


def described(table: Table, texts: dict[str, list[str]], classes: Sequence[str]) -> str:
    """Return which inputs and classes are made of the columns."""
    numbers = len(table.columns) - len(texts)
    inputs = numbers + sum(map(len, texts.values()))
    hot = [f"{shown(name)} ({len(values)})" for name, values in texts.items()]
    said = f"{table.path}: {inputs} inputs: {numbers} column{'s' * (numbers != 1)} of numbers"
    said += f", one-hot {_listed(hot)}" if hot else ""
    return f"{said}; {len(classes)} classes of {shown(table.target.name)}: {_listed([shown(name) for name in classes])}"


def _listed(words: Sequence[str]) -> str:
    more = [f"{len(words) - MOST_NAMED} more"] if len(words) > MOST_NAMED else []
    return ", ".join([*words[:MOST_NAMED], *more])


def _there(path: Path) -> bool:
    if not os.path.isfile(path):
        raise Refused(Problem(str(path), "file", "is not there or not a file", path.name))
    return True


def _refuse(problems: Iterable[Problem]) -> None:
    if found := list(problems):
        raise Refused(*found)


def _table(path: Path, target: str, drop: tuple[str, ...], missing: str, columns: Sequence[str] | None = None) -> Table:
    """Read one file: all columns but those of `drop`, or the `columns` that another file has."""
    kind = _Parquet(path) if path.suffix == ".parquet" else _Text(path)
    wanted = [name for name in kind.names if name not in (*drop, target)] if columns is None else [*columns]
    _refuse(_bad_names(kind, target, drop if columns is None else (), wanted))
    table = Table(path, [Column(name) for name in wanted], Target(target))
    for piece in kind.pieces([kind.names.index(name) for name in (*wanted, target)]):
        table.add(piece)
    _refuse(table.problems(missing))
    return table


def _bad_names(kind: _Text | _Parquet, target: str, drop: Sequence[str], wanted: Sequence[str]) -> Iterator[Problem]:
    """Check the names of the columns against those that are asked for."""
    problem, names = partial(Problem, str(kind.path), line=kind.head), kind.names
    for key, name in (("data.target", target), *(("data.drop", name) for name in drop)):
        if name not in names:
            near = get_close_matches(name.lower(), [each.lower() for each in names], n=1)
            same = next((each for each in names if near and each.lower() == near[0]), None)
            hint = f"did you mean {shown(same)}?" if same else f"the columns are {_listed([*map(shown, names)])}"
            yield problem(key, f"no such column, {hint}", name)
    if target in drop:
        yield problem("data.drop", "must not hold the target", target)
    if not wanted:
        yield problem("file", "must have a column beside the target", names)
    uses = Counter(names)
    for name in dict.fromkeys((*wanted, target)):
        if name not in uses and name != target:
            yield problem(f"column {name}", "must be there too, as in the other file", _listed([*map(shown, names)]))
        elif not name:
            yield problem("file", 'column without a name: name it, or put "" into data.drop', names.index(name) + 1)
        elif uses[name] > 1:
            yield problem(f"column {name}", "must be the only column of this name", f"{uses[name]} columns")


def _classes(table: Table) -> list[str]:
    """Return the classes of the target in order. Raises Refused if it does not hold classes."""
    target = table.target
    try:
        classes = target.classes()
    except ValueError as error:
        raise Refused(table.problem(target.name, *error.args)) from None
    if len(classes) < 2:
        raise Refused(table.problem(target.name, "must hold at least two classes", (None, ", ".join(classes))))
    if 2 * len(classes) > table.count:
        reason = f"must hold classes, but has {len(classes)} different values in {table.count} lines"
        raise Refused(table.problem(target.name, reason, target.place(next(iter(target.values)))))
    return classes


def _unlike(other: Table, table: Table, classes: Sequence[str]) -> Iterator[Problem]:
    """Check that a file for tests has columns of the same kinds, and no class, that the first file lacks."""
    for column, first in zip(other.columns, table.columns, strict=True):
        place = (column.first_text if not first.texts else None) or (column.first_number if first.texts else None)
        if place:
            kind = "text" if first.texts else "numbers"
            yield other.problem(column.name, f"must hold {kind}, as in {table.path}", place)
    for value in other.target.values:
        if other.target.named(value, classes) not in classes:
            reason = f"must be one of the classes in {table.path}"
            yield other.problem(other.target.name, reason, other.target.place(value))


def _unseen(other: Table, texts: dict[str, list[str]]) -> Iterator[str]:
    """Yield a remark for each column with texts that have no input."""
    for column in other.columns:
        if unknown := [value for value in column.texts if value not in texts.get(column.name, ())]:
            words = _listed([shown(value) for value in unknown])
            yield f"{other.path}: column {shown(column.name)}: not in the training file, no input is 1: {words}"


def _examples(
    table: Table, classes: Sequence[str], texts: dict[str, list[str]], missing: str
) -> tuple[NDArray[Any], NDArray[Any], list[str]]:
    """Return the inputs (n, inputs) as float32 and the labels (n,) as int64; and a remark on lines left out."""
    import numpy as np

    width = sum(len(texts.get(column.name, [""])) for column in table.columns)
    if (size := 4 * table.count * width) > LIMIT:
        raise Refused(Problem(str(table.path), "file", f"must take at most {LIMIT} bytes as one-hot float32", size))
    images = np.empty((table.count, width), np.float32)
    at = count()
    for column in table.columns:
        values = np.concatenate(column.blocks)
        column.blocks.clear()
        if column.name not in texts:
            images[:, next(at)] = values
            continue
        for text in texts[column.name]:
            images[:, here := next(at)] = values == column.texts.get(text, -1)
            images[np.isnan(values), here] = np.nan
    number = {name: index for index, name in enumerate(classes)}
    codes = [number[table.target.named(value, classes)] for value in table.target.values]
    labels = np.array([*codes, -1])[np.concatenate(table.target.blocks)]  # the code -1 is the last: missing
    if missing != "drop-row":
        return images, labels, []
    whole = ~np.isnan(images).any(axis=1) & (labels >= 0)
    if whole.all():
        return images, labels, []
    said = f"{table.path}: {len(whole) - whole.sum()} of {len(whole)} examples are left out, which lack a value"
    return images[whole], labels[whole], [said]


def _numbers(values: Sequence[str]) -> NDArray[Any] | None:
    """Return texts as numbers if all are, else None. What Python would read as 1_000 is not."""
    import numpy as np

    try:
        numbers = np.array(list(map(float, values)), np.float64)
    except ValueError:
        return None
    return None if "_" in "".join(values) else numbers


def _number(text: str) -> float | None:
    """Return the number that a text is, or None."""
    found = _numbers([text])
    return None if found is None else float(found[0])


def _missing(text: str) -> bool:
    return text.lower() in MISSING


def _at(lines: Sequence[int], index: int) -> int | None:
    return lines[index] if lines else None


class _Text:
    """A .csv or .tsv file. head: the line that names the columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.delimiter = max(DELIMITERS, key=lambda one: len(next(self._lines(one, strict=False), (1, []))[1]))
        self.head, names = next(self._lines(self.delimiter), (1, []))
        self.names = [name.strip() for name in names]
        if not any(self.names):
            raise Refused(Problem(str(path), "file", "must begin with a line that names the columns", "nothing"))
        if all(_number(name) is not None for name in self.names):
            reason = "must begin with a line that names the columns, not with numbers"
            raise Refused(Problem(str(path), "file", reason, ", ".join(self.names), self.head))

    def _lines(self, delimiter: str, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
        """Yield the fields of each line that is not blank, with the number of the line that it begins in."""
        begins = 1
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=delimiter, strict=strict)
                for fields in reader:
                    if fields:
                        yield begins, fields
                    begins = reader.line_num + 1
        except UnicodeDecodeError:
            raise Refused(self._undecodable()) from None
        except csv.Error as error:
            reason = f"is no field of a table: {error}"
            raise Refused(Problem(str(self.path), "file", reason, f"line {begins}", begins)) from None

    def _undecodable(self) -> Problem:
        """Return the first line that is not UTF-8 as a problem."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    byte = f"byte {line[error.start]:#04x}"
                    return Problem(str(self.path), "file", "must be UTF-8 text; save it as UTF-8", byte, number)
        return Problem(str(self.path), "file", "must be UTF-8 text", "other bytes")

    def pieces(self, places: Sequence[int]) -> Iterator[Piece]:
        """Yield the values of the columns at `places`, some examples at a time."""
        lines = self._lines(self.delimiter)
        next(lines)
        while piece := list(islice(lines, PIECE)):
            for line, fields in piece:
                if len(fields) != len(self.names):
                    reason = f"must have {len(self.names)} fields, as many as the first line"
                    raise Refused(Problem(str(self.path), "file", reason, f"{len(fields)} fields", line))
            columns = list(zip(*(fields for _, fields in piece), strict=True))
            yield [line for line, _ in piece], [columns[place] for place in places]


class _Parquet:
    """A .parquet file, read with pyarrow."""

    head = None

    def __init__(self, path: Path) -> None:
        try:
            from pyarrow import parquet
        except ImportError:
            reason = "needs the package pyarrow: pip install 'dropout-lab[parquet]'"
            raise Refused(Problem(str(path), "file", reason, path.name)) from None
        self.path = path
        try:
            self.file = parquet.ParquetFile(path)
        except Exception as error:  # pyarrow raises more than its own errors for hostile bytes
            raise Refused(Problem(str(path), "file", "is not a readable .parquet file", str(error))) from error
        self.names: list[str] = self.file.schema_arrow.names

    def pieces(self, places: Sequence[int]) -> Iterator[Piece]:
        """Yield the values of the columns at `places`, some examples at a time."""
        names = [self.names[place] for place in places]
        try:
            for batch in self.file.iter_batches(PIECE, columns=names):
                yield [], [*(self._values(batch.column(name), name) for name in names[:-1]), self._classes(batch)]
        except Refused:
            raise
        except Exception as error:  # as above
            raise Refused(Problem(str(self.path), "file", "is damaged", str(error))) from error

    def _values(self, column: Any, name: str) -> NDArray[Any] | list[str]:
        """Return numbers as float64, NaN where one is missing, and anything else as text, "" where it is missing."""
        import pyarrow
        from pyarrow import types

        kind = column.type.value_type if types.is_dictionary(column.type) else column.type
        if types.is_temporal(kind):
            reason = "holds dates or times: turn them into numbers, such as days, or put it into data.drop"
            raise Refused(Problem(str(self.path), f"column {name}", reason, str(kind)))
        if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind):
            numbers: NDArray[Any] = column.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
            return numbers
        if not (
            types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind) or types.is_null(kind)
        ):
            raise Refused(Problem(str(self.path), f"column {name}", "must hold numbers or text", str(kind)))
        return [value or "" for value in column.to_pylist()]

    def _classes(self, batch: Any) -> list[str]:
        """Return the last column, the target, as text."""
        return ["" if value is None else str(value) for value in batch.column(batch.num_columns - 1).to_pylist()]
