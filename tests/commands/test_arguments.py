"""The law of the edge: whatever a program passes to the Python API is taken as it is meant, or refused by name."""

from __future__ import annotations

import decimal
import inspect
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from commandline import Lab
from comparable import write_run

import dropout_lab as api
from dropout_lab.commands import compare, plan, power
from dropout_lab.commands.arguments import CHECKS, _computed, plain
from dropout_lab.config import resolve as configs
from dropout_lab.errors import Failed, LabError, Refused
from dropout_lab.sweeps import plan as sweeps

TINY = {"data": {"dataset": "digits"}, "network": {"hidden": [8]}, "training": {"epochs": 1}}
FUNCTIONS: dict[str, tuple[Any, ...]] = {  # with what each is called, beside the parameter that is tried
    "train": (TINY,),
    "merge": ("all", "base", "drop"),
    "load": ("runs/base",),
    "compare": ("base", "drop"),
    "sweep": (TINY, [0.2]),
    "variance": (TINY,),
    "power": ("base", "drop"),
    "evaluate": ("base",),
    "plot": ("runs/base",),
}
PARAMETERS = [(name, key) for name in FUNCTIONS for key in inspect.signature(getattr(api, name)).parameters]


VALUES: list[Any] = [
    *(
        None,
        True,
        -1,
        1.5,
        float("nan"),
        "x",
        b"x",
        [],
        {},
        object(),
        [None],
        [1.5],
        ["x"],
        {1: 2},
        {"dropout.rate": 0.1},
    ),
    *(np.int64(2), np.float32(0.1), np.bool_(True), np.str_("x"), np.arange(2), np.array([[0.1, 0.2]]), np.array(3)),
    *(np.array(["x"]), np.datetime64("2026-01-01"), np.array([1j]), torch.tensor(2), torch.zeros(2, 2)),
    *(pd.Series([0, 1]), pd.DataFrame({"a": [1]}), pd.NA, decimal.Decimal("0.1"), {0, 1}, Path("x"), type),
]


@pytest.fixture
def two(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Two runs; whatever would be trained fails as soon as it is planned."""
    write_run(lab.runs, "base", [0.97, 0.972, 0.974, 0.971])
    write_run(lab.runs, "drop", [0.968, 0.968, 0.971, 0.968], rate=0.5)

    def planned(*_: object) -> None:
        raise Failed("planned")

    monkeypatch.setattr(plan, "prepare", planned)
    for module in (compare, plan, power):
        monkeypatch.setattr(module, "undrawn", lambda path, draw: [])
    return lab


def test_every_parameter_of_every_function_has_its_check() -> None:
    assert {*FUNCTIONS} == {name for name in api.__all__ if inspect.isfunction(getattr(api, name))}
    assert {key for _, key in PARAMETERS} == {*CHECKS}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "key"), PARAMETERS)
def test_no_value_of_any_parameter_is_a_type_error(name: str, key: str, two: Lab) -> None:
    function, given = getattr(api, name), list(FUNCTIONS[name])
    keys = list(inspect.signature(function).parameters)
    for value in [*VALUES, (number for number in (0, 1))]:
        called, more = [*given], {}
        if inspect.signature(function).parameters[key].kind is inspect.Parameter.VAR_POSITIONAL:
            called.append(value)
        elif keys.index(key) < len(given):
            called[keys.index(key)] = value
        else:
            more[key] = value
        try:
            function(*called, **more)
        except LabError as error:
            assert str(error) and "\n  " not in str(error), value
        except BaseException as error:
            raise AssertionError(f"{name}({key}={value!r}): {type(error).__name__}: {error}") from error


@pytest.mark.parametrize(
    "rates",
    [
        np.arange(0.1, 0.6, 0.1),
        np.arange(0.1, 0.6, 0.1).astype(np.float32),
        np.linspace(0.1, 0.5, 5),
        torch.arange(1, 6) / 10,
        pd.Series([0.1, 0.2, 0.3, 0.4, 0.5]),
        [number * 0.1 for number in range(1, 6)],
        (decimal.Decimal(number) / 10 for number in range(1, 6)),
    ],
)
def test_rates_that_were_computed_name_the_runs_of_those_that_are_meant(rates: Any) -> None:
    base = configs.resolve(TINY, where="here", name="base")
    planned = sweeps.plan(base, CHECKS["rates"](plain(rates)), name="s")
    assert [member.name for member in planned.members] == [f"rate-{rate}" for rate in ("0", 0.1, 0.2, 0.3, 0.4, 0.5)]


def test_numbers_of_other_libraries_are_those_of_python(lab: Lab) -> None:
    config = {
        "data": {"dataset": "digits"},
        "network": {"hidden": [np.int64(8)]},
        "training": {"epochs": np.uint8(1), "batch_size": torch.tensor(16), "learning_rate": np.float32(0.01)},
        "dropout": {"rate": np.array([0.25])},
    }
    run = api.train(config, seeds=np.arange(2), jobs=np.int16(1), quiet=np.bool_(True))
    meant = TINY | {"training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.01}, "dropout": {"rate": [0.25]}}
    assert run.seeds == (0, 1) and run.config.identity == api.train(meant, seeds=2, name="meant").config.identity
    assert api.train(config, seeds=np.int64(2)).seeds == api.train(config, seeds=pd.Series([1, 0])).seeds == (0, 1)
    one = api.sweep(
        TINY,
        np.array([0.3]),
        name=np.str_("s"),
        vary={"training.batch_size": np.array([16, 32]), "network.hidden": [np.array([8, 4])]},
    )
    assert len(one.lines) == 4 and one.lines[1].member.settings["network.hidden"] == [8, 4]
    assert api.sweep(TINY, vary="dropout.rate=0.3", name="t", overrides="training.batch_size=16").lines


@pytest.mark.parametrize("number", [0.1, 1 / 3, 0.1234567890123456, 5e-324, 1e300, 0.0, float("inf")])
def test_a_number_that_was_not_computed_keeps_every_bit(number: float) -> None:
    assert _computed(number) == number == plain(np.float64(number))


def test_a_refusal_names_every_parameter_of_a_wrong_type() -> None:
    with pytest.raises(Refused) as refused:
        api.train(TINY, seeds=1.5, fresh="yes", jobs=0, runs_dir=3)  # type: ignore[arg-type]
    assert [problem.key for problem in refused.value.problems] == ["seeds", "fresh", "runs_dir", "jobs"]
    assert str(refused.value.problems[3]) == "lab.train: jobs: must be a whole number from 1 to 256 (got 0)"
    with pytest.raises(TypeError, match="unexpected keyword argument 'sedes'"):
        api.train(TINY, sedes=1)  # type: ignore[call-arg]


def test_a_picture_is_of_one_comparison_or_of_runs(two: Lab) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = api.compare("base", "drop")
    for wrong in ((found, "runs/base"), ([],)):
        with pytest.raises(Refused, match="lab.plot: what"):
            api.plot(*wrong)


def test_warnings_point_at_the_line_that_called(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes from deep inside, one of a result, one from a context manager."""
    monkeypatch.setattr(plan, "undrawn", lambda path, draw: ["no picture"])
    here = inspect.currentframe()
    with pytest.warns(UserWarning, match="no picture") as noted:
        api.train(TINY)
    assert here and (noted[0].filename, noted[0].lineno) == (__file__, here.f_lineno - 1)
    (lab.runs / "_comparisons").write_text("in the way")
    with pytest.warns(UserWarning) as lost:
        api.compare(TINY, TINY | {"name": "b", "dropout": {"rate": 0}})
    assert {warning.lineno for warning in lost} == {here.f_lineno - 1}
    assert [str(warning.message) for warning in lost][-1].startswith("runs/_comparisons")
