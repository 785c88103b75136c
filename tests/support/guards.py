"""Mutations: a text in the package, what stands there instead, and the test that must fail then."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent


class Guard(NamedTuple):
    """A guard: its module, its text, what stands there when it is gone, and the tests, as `pytest -k` picks them.

    A module that ends in "/" is a room: the one file of it that has the text.
    """

    module: str
    text: str
    without: str
    tests: str


def place_of(tests: str) -> Path:
    """Return where a file of tests is: its name is the only one of its kind."""
    (found,) = (ROOT / "tests").rglob(tests)
    return found


def source_of(guard: Guard) -> Path:
    """Return the file that holds a guard, relative to the root."""
    package = ROOT / "dropout_lab"
    if not guard.module.endswith("/"):
        return Path(f"dropout_lab/{guard.module}.py")
    holding = [file for file in sorted((package / guard.module).glob("*.py")) if guard.text in file.read_text()]
    assert len(holding) == 1, f"{guard.text!r} is in {len(holding)} files of {guard.module}"
    return holding[0].relative_to(ROOT)


def check_place(guard: Guard) -> None:
    """Raise AssertionError where the text or the tests of a guard are no longer there.

    Raises SyntaxError where the module is no Python without the guard: then the tests would fail for that alone.
    """
    source = (ROOT / source_of(guard)).read_text()
    assert guard.text in source
    ast.parse(source.replace(guard.text, guard.without))
    tests, _, words = guard.tests.partition("::")
    assert words.split(" and ")[0].split(" or ")[0] in place_of(tests).read_text()


def run_without(guard: Guard, copy: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a guard in a copy of the package without it. Copies do not meet: many may run at once."""
    for folder in ("dropout_lab", "tests", "configs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, copy)
    file, (tests, _, words) = copy / source_of(guard), guard.tests.partition("::")
    source = file.read_text()
    assert guard.text in source, "the guard is written otherwise now"
    file.write_text(source.replace(guard.text, guard.without))
    which = [str(place_of(tests).relative_to(ROOT)), "-k", words, "-m", "not slow", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", *which],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=600,
    )
