"""The grammar of lists and ranges: exact in decimal, inclusive, and refused where it does not come out even."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropout_lab.config.ranges import MAX_VALUES, expand_numbers, expand_values, parse_seeds
from dropout_lab.errors import Refused


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.1..0.5", "0.1 0.2 0.3 0.4 0.5"),
        ("0..0.5:0.05", "0 0.05 0.1 0.15 0.2 0.25 0.3 0.35 0.4 0.45 0.5"),
        ("0,0.2..0.5", "0 0.2 0.3 0.4 0.5"),
        ("0.5,0.1", "0.5 0.1"),
        ("0.50", "0.5"),
        (" .5 , 1e-1 ", "0.5 0.1"),
        ("0..1", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1"),
        ("-0.1..0.1", "-0.1 0 0.1"),
        ("0.3..0.3", "0.3"),
        ("10..30:10", "10 20 30"),
        ("1e-5..3e-5:1e-5", "0.00001 0.00002 0.00003"),
        ("1e99..1e99", "1" + "0" * 99),
    ],
)
def test_numbers(text: str, numbers: str) -> None:
    assert " ".join(map(str, expand_numbers(text))) == numbers


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(-10_000, 10_000), st.integers(1, 500), st.integers(0, 200), st.integers(0, 6))
def test_a_range_is_exact_and_holds_both_ends(start: int, step: int, count: int, places: int) -> None:
    first, by = Decimal(start).scaleb(-places), Decimal(step).scaleb(-places)
    last = first + count * by
    assert expand_numbers(f"{first:f}..{last:f}:{by:f}") == tuple(first + k * by for k in range(count + 1))


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", [0, 1, 2, 3, 4]),
        ("1", [0]),
        ("0..4", [0, 1, 2, 3, 4]),
        ("0,3,7", [0, 3, 7]),
        ("7..7", [7]),
        ("7, 0..2", [7, 0, 1, 2]),
        ("0..6:3", [0, 3, 6]),
        ("4294967295..4294967295", [4_294_967_295]),
        ("1000", list(range(1000))),
        ("0..999", list(range(1000))),
    ],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == tuple(seeds)
    assert {type(seed) for seed in parse_seeds(text)} == {int}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("bernoulli,gaussian", ["bernoulli", "gaussian"]),
        ("[64,64],[128,128]", [[64, 64], [128, 128]]),
        ("[64, 64], []", [[64, 64], []]),
        ("0.1..0.3", [0.1, 0.2, 0.3]),
        ("0.1..0.3,0.5", [0.1, 0.2, 0.3, 0.5]),
        ("32,64,128", [32, 64, 128]),
        ("1..3:1", [1, 2, 3]),
        ("1.0..3.0:1.0", [1.0, 2.0, 3.0]),
        ("0..1:0.5", [0, 0.5, 1]),
        ("64.0", [64.0]),
        ("1e-3,1e-4", [0.001, 0.0001]),
        ("null,3.5", [None, 3.5]),
        ("true,1", [True, 1]),
        ("'0,1',x", ["0,1", "x"]),
        ("../a.npz,../b.npz", ["../a.npz", "../b.npz"]),
        ("no,2024-01-01,cuda:0", ["no", "2024-01-01", "cuda:0"]),
    ],
)
def test_values(text: str, values: list[object]) -> None:
    expanded = expand_values(text)
    assert list(expanded) == values
    assert list(map(type, expanded)) == list(map(type, values))


EMPTY = "holds an empty item: write a value before and after every comma"
NUMBER = "must be a number or a range such as 0.1..0.5 or 0..0.5:0.05"
SEED = "must be whole numbers or ranges of them, such as 0..4"
ONCE = "must name every value only once"
COUNT = "must be 1 to 1000 seeds; one seed alone is written as 7..7"
NOT_NUMBERS = [
    *("a", "010", "1_0", "0x1", "3.", "nan", "inf", "1e100", "٣"),
    *("0.1..", "..0.1", "0..1..2", "0..1:", "0 .. 1", "0..1;0.1"),
]
NOT_SEEDS = ["a", "-1", "0.5", "1e2", "01", "0..1.5", "+5", "٣"]

REFUSED: list[tuple[Callable[[str], Any], str, str]] = [
    (expand_numbers, "", "--rates: must not be empty (got )"),
    (expand_numbers, "0,,1", f"--rates: {EMPTY} (got 0,,1)"),
    (expand_numbers, "0,", f"--rates: {EMPTY} (got 0,)"),
    (expand_numbers, "0.1..0.55", "--rates: needs a step, since 0.1 does not divide it: write 0.1..0.55:STEP (got "
     "0.1..0.55)"),
    (expand_numbers, "0..1:0.3", "--rates: must end on a step: write 0..0.9:0.3 or 0..1.2:0.3 (got 0..1:0.3)"),
    (expand_numbers, "0.5..0.1", "--rates: must run upwards: write 0.1..0.5 (got 0.5..0.1)"),
    (expand_numbers, "0.5..0.1:0.2", "--rates: must run upwards: write 0.1..0.5:0.2 (got 0.5..0.1:0.2)"),
    (expand_numbers, "0..1:0", "--rates: must have a step above 0: write 0..1:STEP (got 0..1:0)"),
    (expand_numbers, "0..1:-0.1", "--rates: must have a step above 0: write 0..1:STEP (got 0..1:-0.1)"),
    (expand_numbers, "0.1,0.10", f"--rates: {ONCE} (got 0.1)"),
    (expand_numbers, "0.1..0.3,0.2", f"--rates: {ONCE} (got 0.2)"),
    (expand_numbers, "0,-0", f"--rates: {ONCE} (got 0)"),
    (expand_numbers, "0..100", "--rates: must be at most 1000 values: write a larger step (got 0..100)"),
    (expand_numbers, "0..1e99:1e-99", "--rates: must be at most 1000 values: write a larger step (got 0..1e99:1e-99)"),
    (expand_numbers, "0..99.8,100..100.9", "--rates: must be at most 1000 values (got 0..99.8,100..100.9)"),
    (expand_numbers, "9" * 41, f"--rates: must be numbers of at most 40 characters (got {'9' * 41})"),
    *((expand_numbers, bad, f"--rates: {NUMBER} (got {bad})") for bad in NOT_NUMBERS),
    (parse_seeds, "", "--seeds: must not be empty (got )"),
    (parse_seeds, "7,", "--seeds: ends in a comma: write one seed alone as 7..7 (got 7,)"),
    (parse_seeds, "0,1,", f"--seeds: {EMPTY} (got 0,1,)"),
    (parse_seeds, "0", f"--seeds: {COUNT} (got 0)"),
    (parse_seeds, "1001", f"--seeds: {COUNT} (got 1001)"),
    (parse_seeds, "9" * 5000, f"--seeds: {COUNT} (got {'9' * 57}...)"),
    (parse_seeds, "0..1000", "--seeds: must be at most 1000 values: write a larger step (got 0..1000)"),
    (parse_seeds, "0..998,1000..1001", "--seeds: must be at most 1000 values (got 0..998,1000..1001)"),
    (parse_seeds, "4294967296..4294967296", "--seeds: must be from 0 to 4294967295 (got 4294967296)"),
    (parse_seeds, "0,0", f"--seeds: {ONCE} (got 0)"),
    (parse_seeds, "4..0", "--seeds: must run upwards: write 0..4 (got 4..0)"),
    (parse_seeds, "0..5:2", "--seeds: must end on a step: write 0..4:2 or 0..6:2 (got 0..5:2)"),
    (parse_seeds, "0..4:0", "--seeds: must have a step above 0: write 0..4:STEP (got 0..4:0)"),
    *((parse_seeds, bad, f"--seeds: {SEED} (got {bad})") for bad in NOT_SEEDS),
    (expand_values, "a,", f"--vary: {EMPTY} (got a,)"),
    (expand_values, "a,,b", f"--vary: {EMPTY} (got a,,b)"),
    (expand_values, "", "--vary: must not be empty: write null for no value (got )"),
    (expand_values, "a,b,a", f"--vary: {ONCE} (got a)"),
    (expand_values, "1,1.0", f"--vary: {ONCE} (got 1.0)"),
    (expand_values, "[1],[1]", f"--vary: {ONCE} (got [1])"),
    (expand_values, "010", "--vary: must be a plain decimal number (no leading zeros, no 1_000, 0x10 or 1:30), or text "
     "in quotes (got 010)"),
    (expand_values, "*a", "--vary: must not be an alias (*): write the value again (got *a)"),
    (expand_values, "0.1..x", f"--vary: {NUMBER} (got 0.1..x)"),
    (expand_values, "0..0.5:0.2", "--vary: must end on a step: write 0..0.4:0.2 or 0..0.6:0.2 (got 0..0.5:0.2)"),
]  # fmt: skip


@pytest.mark.parametrize(("expand", "text", "line"), REFUSED, ids=range(len(REFUSED)))
def test_refusals_say_what_to_write(expand: Callable[[str], Any], text: str, line: str) -> None:
    with pytest.raises(Refused) as caught:
        expand(text)
    assert str(caught.value) == f"command line: {line}"


def test_the_option_can_be_named() -> None:
    for expand in expand_numbers, parse_seeds, expand_values:
        with pytest.raises(Refused, match="^command line: --other: "):
            expand("0..1:0", key="--other")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.sampled_from([expand_numbers, parse_seeds, expand_values]),
    st.text("0123456789.,:-+e[] a", max_size=20) | st.text(max_size=30),
)
def test_any_text_gives_distinct_values_or_a_refusal(expand: Callable[[str], Any], text: str) -> None:
    try:
        values = expand(text)
    except Refused as error:
        assert len(error.problems) == 1
    else:
        assert 1 <= len(values) <= MAX_VALUES
        assert all(values.count(value) == 1 or isinstance(value, bool | int) for value in values)
