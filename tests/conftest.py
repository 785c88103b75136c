from __future__ import annotations

import os
from pathlib import Path

import pytest
from commandline import ROOT, Lab

# The networks of the tests are too small for two threads to pay, and on a busy machine two wait for each other. The
# test of the number of threads starts processes of its own.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("COLUMNS", None)  # the width of what is printed, which a test sets where it matters

PROCESSES = min(4, (os.cpu_count() or 1) + 1)  # one more than there are cores, for many tests wait
SHARED = {"browser", "shared"}  # fixtures that take long to make: all tests of one run in the process that has it


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in several processes; what is picked by its path runs in one, and so does `-n 0`."""
    option, whole = config.option, config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if hasattr(config, "workerinput") or not hasattr(option, "numprocesses"):  # one of those processes; no pytest-xdist
        return
    if option.numprocesses is None and whole and not option.usepdb:
        option.numprocesses = PROCESSES
    if option.numprocesses and option.dist == "no":
        option.dist = "loadgroup"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for name in SHARED.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(name))


@pytest.fixture(scope="session")
def mnist_directory() -> Path:
    """A folder with the real MNIST files: DROPOUT_LAB_DATA, or shared/data beside the repository."""
    for candidate in filter(None, (os.environ.get("DROPOUT_LAB_DATA"), ROOT.parent / "shared" / "data")):
        if (Path(candidate) / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
            return Path(candidate)
    pytest.skip("no MNIST files here: name their folder with DROPOUT_LAB_DATA")


@pytest.fixture
def lab(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The command line, in a directory of its own."""
    return Lab(tmp_path, capsys, monkeypatch)
