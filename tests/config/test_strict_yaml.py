"""Strict YAML: what each scalar means, what is refused and on which line, and that nothing else ever happens."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dropout_lab.config.strict_yaml import BadYaml, is_text, read, read_value, read_values, scalar, written

MEANINGS: list[tuple[str, Any]] = [
    *((text, None) for text in ("", "~", "null", "Null", "NULL")),
    *((text, True) for text in ("true", "True", "TRUE")),
    *((text, False) for text in ("false", "False", "FALSE")),
    *((text, int(text)) for text in ("0", "7", "+5", "-5", "-0", "4294967296", "1" + "0" * 99)),
    *(
        (text, float(text))
        for text in ("0.5", ".5", "3.", "1e-3", "1E5", "1e+5", "-1.5e-05", "+.5e1", "0.0", "1.e3", "0e0")
    ),
    *(
        (text, text)
        for text in ("no", "yes", "on", "off", "y", "No", "2024-01-01", "2024-01-01T10:00:00", "nULL", "tRUE")
    ),
    *(
        (text, text)
        for text in ("e5", ".", "-", "+", ".e3", "1.2.3", "1e5.5", "inf", "nan", "3d", "1-2", "_1", "a_1", "=")
    ),
    *((text, text) for text in ("cuda:0", "a:b", "0.1..0.5", "../own.npz", "٣", "1/2", "50%", "--5")),
]
ODD_NUMBERS = [
    *("010", "-010", "00", "00.5", "01e1"),  # leading zeros
    *("1_000", "1_0.5", "0.1_5", "1_", "1e1_0"),  # underscores
    *("0x10", "0X1f", "-0x10", "0o17", "0b101", "0x"),  # other bases
    *("1:30", "1:30.5", "190:20:30", "-1:00"),  # base 60
    *("1,000", "1,5", "1e", "1e+"),  # other habits
]


@pytest.mark.parametrize(("text", "meaning"), MEANINGS)
def test_a_scalar_means_what_yaml_1_2_says(text: str, meaning: object) -> None:
    assert scalar(text) == meaning
    assert type(scalar(text)) is type(meaning)
    assert is_text(text) == isinstance(meaning, str)


@pytest.mark.parametrize("text", ODD_NUMBERS)
def test_a_number_is_plain_decimal(text: str) -> None:
    with pytest.raises(ValueError, match="^must be a plain decimal number "):
        scalar(text)
    assert not is_text(text)
    assert read(f"a: '{text}'".encode()).value == {"a": text}  # in quotes it is text


@pytest.mark.parametrize("text", [".inf", "-.INF", "+.Inf", ".nan", ".NaN", "1e309", "-1e999"])
def test_a_number_is_finite(text: str) -> None:
    with pytest.raises(ValueError, match="^must be a finite number$"):
        scalar(text)


def test_a_number_has_a_bounded_length() -> None:
    with pytest.raises(ValueError, match="^must be a number of at most 100 characters$"):
        scalar("9" * 5000)


def test_there_is_one_zero() -> None:
    assert math.copysign(1, scalar("-0.0")) == 1  # type: ignore[arg-type]


def test_every_key_and_item_has_its_line() -> None:
    document = read(b"# comment\na:\n  b: 1\n  c:\n  - x\n  -\n    y\nd: {e: [1,\n  2]}\n'f': |\n  text\n")
    assert document.value == {"a": {"b": 1, "c": ["x", "y"]}, "d": {"e": [1, 2]}, "f": "text\n"}
    assert document.lines == {
        (): 2, ("a",): 2, ("a", "b"): 3, ("a", "c"): 4, ("a", "c", 0): 5, ("a", "c", 1): 7,
        ("d",): 8, ("d", "e"): 8, ("d", "e", 0): 8, ("d", "e", 1): 9, ("f",): 10,
    }  # fmt: skip


def test_odd_numbers_and_duplicate_keys_do_not_end_the_reading() -> None:
    document = read(b"a: 010\nb: [1_0]\na: {c: 0x1}\nd: 4\n")
    assert document.value == {"a": None, "b": [None], "d": 4}
    assert [(fault.at, fault.line, fault.value) for fault in document.faults] == [
        (("a",), 1, "010"), (("b", 0), 2, "1_0"), (("a",), 3, "a"), (("a", "c"), 3, "0x1"),
    ]  # fmt: skip


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
STOPS = [
    (BOMB, ("a",), 1, "must not have an anchor (&)"),
    ("x: 1\na: *b", ("a",), 2, "must not be an alias (*): write the value again"),
    ("*a : 1", (), 1, "must not be an alias (*): write the value again"),
    ("&a a: 1", (), 1, "must not have an anchor (&)"),
    ("&a\na: 1", (), 1, "must not have an anchor (&)"),
    ("a: &x", ("a",), 1, "must not have an anchor (&)"),
    ("a: !!int 3", ("a",), 1, "must not have a tag (!)"),
    ("a: ! 3", ("a",), 1, "must not have a tag (!)"),
    ("a: !!float nan", ("a",), 1, "must not have a tag (!)"),
    ("!!map {a: 1}", (), 1, "must not have a tag (!)"),
    ("!!str a: 1", (), 1, "must not have a tag (!)"),
    ("a:\n- !!python/object/apply:os.system ['touch pwned']", ("a", 0), 2, "must not have a tag (!)"),
    ("a: !!timestamp 2024-99-99", ("a",), 1, "must not have a tag (!)"),
    ("<<: {a: 1}", (), 1, "must not merge (<<): write the keys out"),
    ("a:\n  1: 2", ("a",), 2, "must have text as keys"),
    ("010: 2", (), 1, "must have text as keys"),
    ("true: 2", (), 1, "must have text as keys"),
    ("? \n: 2", (), 1, "must have text as keys"),
    ("? [a]\n: 2", (), 1, "must have text as keys"),
    ("{[a]: 1}", (), 1, "must have text as keys"),
    ("a: 1\n---\nb: 2", (), 2, "must be one document"),
    ("a: 1\n...\n---\n...", (), 3, "must be one document"),
    ("%YAML 1.1\n---\na: no", (), 1, "must not hold directives (lines that begin with %)"),
    ("%TAG ! tag:x,2000:\n---\na: 1", (), 1, "must not hold directives (lines that begin with %)"),
    ("\n" + "[" * 60_000, ("...",), 2, "must not be nested deeper than 16 levels"),
    ("{a: " * 15_000, ("...",), 1, "must not be nested deeper than 16 levels"),
    ("- " * 30_000, ("...",), 1, "must not be nested deeper than 16 levels"),
    ("[a, " * 16_000, ("...",), 1, "must not be nested deeper than 16 levels"),
    ("a: \"\\ud83d\"", ("a",), 1, "must be whole characters, not half of a surrogate pair"),
    ('"\\ud83d": 1', (), 1, "must be whole characters, not half of a surrogate pair"),
    ("a: 1\nb: \x1b[31m", (), 2, "must not hold control characters"),
    ("a: '\ud83d".encode("utf-8", "surrogatepass"), (), 1, "must be UTF-8 text"),
    ("a: 1\nb: \"\\UFFFFFFFF\"", (), 2, "is not valid YAML: an escape or a number that is out of range"),
    ("a: \"\\U00110000\"", (), 1, "is not valid YAML: an escape or a number that is out of range"),
    (f"%YAML 1.{'9' * 5000}\n---\na: 1", (), 1, "is not valid YAML: an escape or a number that is out of range"),
    ("a: 'x\nb: 1\n", (), 3, "is not valid YAML: found unexpected end of stream"),
    ("a: [1,\nb: 1\n", (), 3, "is not valid YAML: expected ',' or ']', but got '<stream end>'"),
    ("a: 1\n  b: 1\n", (), 2, "is not valid YAML: mapping values are not allowed here"),
    ("a: 1\n b\nc", (), 3, "is not valid YAML: could not find expected ':'"),
    ("a: @x", (), 1, "is not valid YAML: found character '@' that cannot start any token"),
    ("a: `x", (), 1, "is not valid YAML: found character '`' that cannot start any token"),
    ("a: !<x y>", (), 1, "is not valid YAML: expected '>', but found ' '"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at", "line", "reason"), STOPS, ids=range(len(STOPS)))
def test_what_ends_the_reading(text: str | bytes, at: tuple[str | int, ...], line: int, reason: str) -> None:
    started = time.perf_counter()
    with pytest.raises(BadYaml) as caught:
        read(text if isinstance(text, bytes) else text.encode())
    (fault,) = caught.value.faults
    assert (fault.line, fault.reason) == (line, reason)
    assert fault.at == at or (at == ("...",) and len(fault.at) == 16)
    assert time.perf_counter() - started < 10


def test_the_document_at_the_limits_is_read() -> None:
    assert read(b"[" * 16 + b"]" * 16).value is not None
    assert read(b"a: " + b"x" * (64 * 1024 - 3)).value == {"a": "x" * (64 * 1024 - 3)}
    with pytest.raises(BadYaml, match="^must be at most 64 KiB$"):
        read(b"a: " + b"x" * (64 * 1024 - 2))


@pytest.mark.parametrize("odd", [AttributeError, IndexError, KeyError, OverflowError, RecursionError, ValueError])
def test_whatever_pyyaml_raises_is_one_fault(odd: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise odd("inside")

    monkeypatch.setattr(yaml.SafeLoader, "get_event", fail)
    with pytest.raises(BadYaml) as caught:
        read(b"a: 1")
    assert [fault.line for fault in caught.value.faults] == [1]


def test_values_on_the_command_line() -> None:
    assert read_values("1e-3, tanh, [64, 64], null, 'a,b'") == [0.001, "tanh", [64, 64], None, "a,b"]
    assert read_value(" [0.2,0.5] ") == [0.2, 0.5]
    assert read_value("{a: 1}") == {"a": 1}


NOT_VALUES = [
    *("", " ", ",", "1,", ",1", "1,,2", "]", "[", "1]", "[1", "]: [", "1] [2", "{", "}", "'", "%", "@"),
    *("a\n---\nb", "- 1", "&a 1", "*a", "!!int 1", "010", "\x00", "\udcff"),
    *("1 # one", "# one", "1] #", "] #", "#\x85", "1 # one\n", "1\n2"),  # a comment must not hide what was written
]


@pytest.mark.parametrize("text", NOT_VALUES)
def test_values_that_are_refused(text: str) -> None:
    with pytest.raises(BadYaml) as caught:
        read_values(text)
    assert [(fault.at, fault.line) for fault in caught.value.faults] == [((), None)]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3)))
def test_what_is_written_reads_back_the_same(value: object) -> None:
    assert same(read_value(written(value)), value)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(PLAIN)
def test_a_reader_of_yaml_1_1_agrees(value: object) -> None:
    assert same(yaml.safe_load(written(value)), value)


def same(a: object, b: object) -> bool:
    """Equal, and of equal types: 1 is not 1.0 and not True."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def test_written_is_as_plain_as_it_can_be() -> None:
    values = [
        0.1,
        1e-05,
        1e16,
        1e100,
        5,
        True,
        None,
        "glorot-uniform",
        "no",
        "2024-01-01",
        "a b",
        "1e5",
        "",
        "é",
        "\x1b",
    ]
    assert [written(value) for value in values] == [
        "0.1", "1.0e-05", "1.0e+16", "1.0e+100", "5", "true", "null", "glorot-uniform", '"no"', '"2024-01-01"', '"a b"',
        '"1e5"', '""', '"é"', '"\\u001b"',
    ]  # fmt: skip
    assert written({"a": (1, [2.0]), "b c": {}}) == '{a: [1, [2.0]], "b c": {}}'


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nothing_but_a_document_or_bad_yaml(data: bytes) -> None:
    try:
        document = read(data)
    except BadYaml as error:
        assert error.faults
    else:
        assert isinstance(document.value, dict | list | str | int | float | None)
