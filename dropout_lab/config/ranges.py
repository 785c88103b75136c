"""Lists and ranges of values, as options write them: `0.1..0.5`, `0..0.5:0.05`, `0,0.2..0.5`.

A range includes both ends and is computed in decimal numbers. Nothing is rounded or guessed: if the step does not land
on the end, the range is refused, and the message says what to write. Every public function raises Refused, and names
the option `key`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal, localcontext
from typing import TypeVar

from dropout_lab.config.strict_yaml import BadYaml, read_values, written
from dropout_lab.errors import Problem, Refused

T = TypeVar("T")

MAX_VALUES = 1000
MAX_SEED = 2**32 - 1
MAX_LENGTH = 40  # characters of one number

EXACT = Context(prec=300)  # digits: enough for numbers of MAX_LENGTH characters with exponents of two digits
DECIMAL = r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"
NUMBER = re.compile(DECIMAL)
WHOLE = re.compile(r"0|[1-9][0-9]*")
RANGE = re.compile(rf"(?P<start>{DECIMAL})\.\.(?P<stop>{DECIMAL})(:(?P<step>{DECIMAL}))?")
RANGE_LIKE = re.compile(r"[-+]?\.?[0-9].*\.\..*")  # looks like a range: refused if it is none, not taken for text
WHOLE_ENDS = re.compile(r"[-+]?[0-9]+\.\.[-+]?[0-9]+(:.*)?")
SEEDS = re.compile(rf"({WHOLE.pattern})(\.\.({WHOLE.pattern})(:[0-9]+)?)?")
TENTH = Decimal("0.1")  # the step of a range that names none


def expand_numbers(text: str, *, key: str = "--rates") -> tuple[Decimal, ...]:
    """Return the numbers in `text`, in the order written. A range without a step has the step 0.1."""
    with _naming(key), localcontext(EXACT):
        return _distinct((number for item in _items(text) for number in _expand(item, TENTH)), text)


def parse_seeds(text: str, *, key: str = "--seeds") -> tuple[int, ...]:
    """Return the seeds in `text`. `5` means the five seeds 0..4; a range without a step has the step 1."""
    with _naming(key), localcontext(EXACT):
        if WHOLE.fullmatch(text.strip()):
            if not 1 <= Decimal(text) <= MAX_VALUES:
                raise ValueError(f"must be 1 to {MAX_VALUES} seeds; one seed alone is written as 7..7", text)
            return tuple(range(int(text)))
        if alone := re.fullmatch(r"\s*([0-9]+)\s*,\s*", text):
            raise ValueError(f"ends in a comma: write one seed alone as {alone[1]}..{alone[1]}", text)
        return _distinct((seed for item in _items(text) for seed in _seeds(item)), text)


def expand_values(text: str, *, key: str = "--vary") -> tuple[object, ...]:
    """Return the values in `text`: numbers, ranges, text and lists, such as `tanh`, `[64, 64]`, `0.1..0.3`.

    A whole number is an int if it is written without a point. In a range, so is every whole number if both ends are
    written without a point: `1..3:1`. All other numbers are floats.
    """
    with _naming(key), localcontext(EXACT):
        if text.strip() and re.search(r"(^|,)\s*(,|$)", text):
            raise ValueError("holds an empty item: write a value before and after every comma", text)
        return _distinct((value for item in read_values(text) for value in _values(item)), text)


def distinct(values: Iterable[T], *, key: str) -> tuple[T, ...]:
    """Return values that are Python objects already. As in the lists above, they must differ and not be too many."""
    with _naming(key):
        if not (found := tuple(values)):
            raise ValueError("must not be empty", "nothing")
        return _distinct(found, f"{len(found)} values")


def written_number(number: Decimal) -> str:
    """Return `number` as text, without an exponent and without needless zeros: 0.1, 64, 0.00001."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _items(text: str) -> list[str]:
    if not text.strip():
        raise ValueError("must not be empty", text)
    items = [item.strip() for item in text.split(",")]
    if "" in items:
        raise ValueError("holds an empty item: write a value before and after every comma", text)
    return items


def _seeds(item: str) -> Iterable[int]:
    if not SEEDS.fullmatch(item):
        raise ValueError("must be whole numbers or ranges of them, such as 0..4", item)
    for number in _expand(item, Decimal(1)):
        if number > MAX_SEED:
            raise ValueError(f"must be from 0 to {MAX_SEED}", written_number(number))
        yield int(number)


def _values(item: object) -> Iterable[object]:
    """Return the value `item` alone or, if it is the text of a range, the numbers of the range."""
    if not (isinstance(item, str) and RANGE_LIKE.fullmatch(item)):
        return [item]
    numbers = _expand(item, TENTH)
    whole = WHOLE_ENDS.fullmatch(item)
    return [int(number) if whole and number % 1 == 0 else float(number) for number in numbers]


def _expand(item: str, default_step: Decimal) -> Sequence[Decimal]:
    """Return the number in `item`, or the numbers of its range. Raises ValueError(reason, item)."""
    if NUMBER.fullmatch(item):
        return [_number(item)]
    parts = RANGE.fullmatch(item)
    if parts is None:
        raise ValueError("must be a number or a range such as 0.1..0.5 or 0..0.5:0.05", item)
    start, stop = _number(parts["start"]), _number(parts["stop"])
    step = _number(parts["step"]) if parts["step"] else default_step
    low, high, by = map(written_number, (min(start, stop), max(start, stop), step))
    if step <= 0:
        raise ValueError(f"must have a step above 0: write {low}..{high}:STEP", item)
    if start > stop:
        raise ValueError(f"must run upwards: write {low}..{high}" + (f":{by}" if parts["step"] else ""), item)
    steps, rest = divmod(stop - start, step)
    if steps >= MAX_VALUES:
        raise ValueError(f"must be at most {MAX_VALUES} values: write a larger step", item)
    if rest and not parts["step"]:
        raise ValueError(f"needs a step, since {by} does not divide it: write {low}..{high}:STEP", item)
    if rest:
        before, after = (written_number(start + count * step) for count in (steps, steps + 1))
        raise ValueError(f"must end on a step: write {low}..{before}:{by} or {low}..{after}:{by}", item)
    return [_tidy(start + count * step) for count in range(int(steps) + 1)]


def _number(text: str) -> Decimal:
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must be numbers of at most {MAX_LENGTH} characters", text)
    return _tidy(Decimal(text))


def _tidy(number: Decimal) -> Decimal:
    """Return `number` in its shortest plain form: 0.50 becomes 0.5, 1E+1 becomes 10, -0 becomes 0."""
    return Decimal(written_number(number)) + 0


def _distinct(values: Iterable[T], text: str) -> tuple[T, ...]:
    """Return the values. Refuses more than MAX_VALUES, and equal ones: 0.1 and 0.10, 1 and 1.0, but not 1 and true."""
    distinct: list[tuple[bool, T]] = []
    for value in values:
        if (isinstance(value, bool), value) in distinct:
            again = written_number(value) if isinstance(value, Decimal) else written(value)
            raise ValueError("must name every value only once", again)
        if len(distinct) == MAX_VALUES:
            raise ValueError(f"must be at most {MAX_VALUES} values", text)
        distinct.append((isinstance(value, bool), value))
    return tuple(value for _, value in distinct)


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Turn ValueError(reason, value), which the functions above raise, into a Refused that names `key`."""
    try:
        yield
    except BadYaml as error:
        raise Refused(*(Problem("command line", key, fault.reason, fault.value) for fault in error.faults)) from None
    except ValueError as error:
        reason, value = error.args
        raise Refused(Problem("command line", key, reason, value)) from None
