"""The edge of the Python API: what a caller gives, made plain and checked before a command sees it; and warnings.

A number, array, tensor or column of NumPy, torch or pandas becomes Python's own number or list, wherever it stands.
What then has a wrong type is refused under the name of its parameter: no function raises a TypeError for a value.
"""

from __future__ import annotations

import functools
import inspect
import os
import struct
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from dropout_lab.comparison.compare import Comparison
from dropout_lab.config.ranges import written_number
from dropout_lab.config.settings import Config
from dropout_lab.errors import Problem, Refused, each
from dropout_lab.execution.machine import without_lost_threads
from dropout_lab.runs.read import Run
from dropout_lab.sweeps.judge import SweepTable

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

SHORT = 12  # digits: a number that a computation moved by a few bits lies beside one of so many
FEW = 4  # bits of a double, in units of the last place
DOUBLE = 2.0**-52


def edge(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Make a function of the API take the values of other libraries. Raises `Refused` with all that have a wrong type.

    Each parameter is checked by its name, as CHECKS says.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        given = signature.bind(*args, **kwargs)

        def check(item: tuple[str, object]) -> object:
            name, value = item
            if value is None and signature.parameters[name].default is None:
                return None
            try:
                return CHECKS[name](plain(value))
            except ValueError as error:
                raise Refused(Problem(f"lab.{function.__name__}", name, str(error), value)) from None

        given.arguments = dict(zip(given.arguments, each(given.arguments.items(), check), strict=True))
        with without_lost_threads():
            return function(*given.args, **given.kwargs)

    return checked


CODE = edge(lambda: None).__code__  # of the function around each function of the API


def warn(text: str) -> None:
    """Warn of `text` at the line that called the API."""
    level, frame = 2, sys._getframe(0)
    while frame.f_back and frame.f_code is not CODE:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def plain(value: Any) -> Any:
    """Return a value of another library as Python's own, also inside lists, tuples and mappings."""
    if isinstance(value, Run | Config | Comparison | SweepTable | Path | bool | None):
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, torch's tensors, the columns of pandas
        single = str(getattr(value, "dtype", "")).endswith("float32")
        return _each_number(_single if single else lambda number: number, value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _each_number(change: Callable[[float], float], value: Any) -> Any:
    if isinstance(value, list):
        return [_each_number(change, item) for item in value]
    return change(value) if isinstance(value, float) else plain(value)


def _single(number: float) -> float:
    """Return the shortest decimal number that is this one in single precision: 0.1 for 0.10000000149011612."""
    bits = struct.pack("f", number)
    shorter = (float(f"{number:.{digits}g}") for digits in range(1, 9))
    return next((short for short in shorter if abs(short) < 3e38 and struct.pack("f", short) == bits), number)


def _computed(value: Any) -> Any:
    """Return numbers without what a computation left in their last bits: 0.3 for 3 * 0.1 = 0.30000000000000004."""
    if isinstance(value, list):
        return [_computed(item) for item in value]
    if not isinstance(value, float):
        return value
    short = float(f"{value:.{SHORT}g}")
    return short if abs(short - value) <= FEW * DOUBLE * abs(value) else value


# Checks: each takes a plain value and returns what the command takes. Raises ValueError with the rule.


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def _whole(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return value

    return check


def _any_whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("must be a whole number")
    return value


def _path(value: Any) -> Path | str:
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(found, str):
        raise ValueError("must be a path: text or a pathlib.Path")
    return value if isinstance(value, Path) else str(found)


def _list(value: Any, what: str) -> list[Any]:
    """Return a list of what can be gone through; text, a mapping, and what has no items are none."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise ValueError(f"must be {what}")
    return [plain(item) for item in value]


def _texts(value: Any) -> list[str]:
    what = 'a text such as "training.epochs=3", or a list of them'
    items = [value] if isinstance(value, str) else _list(value, what)
    if not all(isinstance(item, str) for item in items):
        raise ValueError(f"must be {what}")
    return [*map(str, items)]


def _seeds(value: Any) -> int | str | list[int]:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    what = 'a number of seeds, a text such as "0..4", or whole numbers'
    return [_whole(0, 2**32 - 1)(seed) for seed in _list(value, what)]


def _rates(value: Any) -> str | list[Any]:
    if isinstance(value, str):
        return value
    number = isinstance(value, int | float | Decimal)
    numbers = [value] if number else _list(value, 'a text such as "0.1..0.5", a number, or numbers')
    return [*map(_computed, numbers)]


def _vary(value: Any) -> list[str] | dict[str, Any]:
    if not isinstance(value, Mapping):
        return _texts(value)
    axes: dict[str, Any] = {}
    for key, values in value.items():
        if not isinstance(key, str):
            raise ValueError("must have settings as its keys, such as training.epochs")
        several = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
        axes[key] = values if isinstance(values, str) else _computed([*map(plain, values)] if several else [values])
    return axes


def _amount(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return written_number(Decimal(repr(value)))
    return _text(value)


def _amounts(value: Any) -> list[str]:
    alone = isinstance(value, str | int | float)
    return [_amount(item) for item in ([value] if alone else _list(value, 'a text such as "0.5pp", or several'))]


def _configured(value: Any) -> Any:
    if isinstance(value, Config | Mapping):
        return value
    try:
        return _path(value)
    except ValueError:
        raise ValueError("must be a config: a file, a mapping, or a config that is resolved") from None


def _run(value: Any) -> Any:
    if isinstance(value, Run):
        return value
    try:
        return _path(value)
    except ValueError:
        raise ValueError("must be a run, its directory or its name") from None


def _named(value: Any) -> Any:
    return value if isinstance(value, Run) else _configured(value)


def _shown(value: Any) -> Any:
    if isinstance(value, Comparison | SweepTable | Run | str | os.PathLike):
        return value
    return [_run(item) for item in _list(value, "a run, several runs, a comparison or a sweep")]


def _several(check: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    return lambda values: tuple(check(value) for value in values)


CHECKS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("fresh", "wait", "quiet", "until_decided", "baseline"), _flag),
    **dict.fromkeys(("name", "track", "device", "metric"), _text),
    **dict.fromkeys(("runs_dir", "data_dir", "out", "path"), _path),
    **dict.fromkeys(("tune_seeds", "max_seeds", "levels"), _any_whole),
    "jobs": _whole(1, 256),
    "samples": _whole(1, 1000),
    "seeds": _seeds,
    "rates": _rates,
    "vary": _vary,
    "tune": _vary,
    "overrides": _texts,
    "min_effect": _amount,
    "effects": _amounts,
    "config": _configured,
    "a": _named,
    "b": _named,
    "named": _several(_run),
    "run": _run,
    "what": _shown,
    "more": _several(_named),
    "others": _several(_run),
}
