"""The docs do not lie: what they show to type is run here, and what is generated from the code is up to date."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import Lab

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
SMALL = "data: {dataset: digits}\nnetwork: {hidden: [32]}\ntraining: {epochs: 20}\n"


def commands(page: Path) -> list[str]:
    """The lines of the page's blocks marked sh."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_what_a_page_shows_to_type_works_in_its_order(page: Path, lab: Lab) -> None:
    """With small configs under the same names: a network of 32 units on the digits."""
    for file in lab.path.glob("configs/*.yaml"):
        file.write_text(SMALL + "dropout: {rate: 0}\n" * ("baseline" in file.name))
    for line in commands(page):
        program, *words = shlex.split(line)
        if program == "dropout-lab":
            outcome = lab("", *words)
            assert outcome.code == 0, f"{line}\n{outcome.err}"
        else:
            assert program == "python", line
            subprocess.run([sys.executable, *words], check=True, cwd=lab.path)


def test_the_reference_is_what_the_code_says() -> None:
    reference = runpy.run_path(str(ROOT / "docs/reference.py"))["reference"]()
    assert reference == (ROOT / "docs/reference.md").read_text(), "run: python docs/reference.py"


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not [page.name for page in PAGES if f"docs/{page.name}" not in readme]


def test_the_files_and_tests_that_the_pages_name_exist() -> None:
    """The log and the changelog are left out: they also name what was there at their dates."""
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    for page in {*ROOT.glob("*.md"), *PAGES} - {ROOT / "CHANGELOG.md", ROOT / "docs/log.md"}:
        text = page.read_text()
        for path in re.findall(r"\b(?:dropout_lab|tests|docs|benchmarks|configs)/[\w/-]+\.\w+", text):
            assert (ROOT / path).exists(), f"{page.name}: {path}"
        for name in re.findall(r"`(test_\w+)\.\.\.`", text):
            assert f"def {name}" in tests, f"{page.name}: {name}"
