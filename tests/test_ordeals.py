"""The ordeals of ordeals.py, with a few blows each: enough to see that it works and that what it checks holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from commandline import SUPPORT
from ordeals import ORDEALS

QUICK = ("killed", "at_once")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in QUICK else pytest.mark.long) for name in ORDEALS]
)
def test_a_real_training_comes_through(name: str) -> None:
    program = SUPPORT / "ordeals.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, program, name, "2"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    if "PermissionError" in result.stderr:
        pytest.skip(result.stderr.splitlines()[-1])
    assert result.returncode == 0, result.stderr
    assert re.search(rf"^\| {name} \| [a-z]+: [2-9]", result.stdout, re.MULTILINE)
