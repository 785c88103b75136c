"""The laws of the checkup: it finds what would keep runs from working, with exit code 1, and changes nothing."""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from commandline import Lab

from dropout_lab.commands import doctor as checkup
from dropout_lab.data.datasets import DATASETS
from dropout_lab.errors import Refused
from dropout_lab.execution import machine
from dropout_lab.execution.layout import ThisMachine


def test_a_healthy_machine_is_told_so_and_left_as_it_is(lab: Lab) -> None:
    before = lab.tree()
    outcome = lab("doctor")
    assert outcome.code == 0 and not outcome.err
    said = re.sub(r"\n +", " ", outcome.out)
    found = dict(re.findall(r"^(?:ok|--) +(dropout-lab|torch|packages|data \S+|runs|disk) +(.*)$", said, re.MULTILINE))
    assert found.keys() >= {"torch", "packages", "runs", "disk", *(f"data {name}" for name in DATASETS)}
    assert (
        metadata.version("torch") in found["torch"] and f"pydantic {metadata.version('pydantic')}" in found["packages"]
    )
    assert found["data digits"] == "verified"
    assert re.search(
        r"^-- +data mnist +not in .*`dropout-lab data fetch mnist` downloads it",
        said,
        re.MULTILINE,
    )
    report = json.loads(lab("doctor --json").out)
    assert report["schema_version"] == 1
    assert {finding["subject"]: finding["ok"] for finding in report["findings"]}["data mnist"] is None
    assert lab.tree() == before


def test_what_would_keep_runs_from_working_is_a_failure(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = lab.path / "cache/dropout-lab/MNIST/raw/train-images-idx3-ubyte"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"no images")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setattr(checkup, "ROOM", 2**70)
    outcome = lab("doctor")
    assert outcome.code == 1
    assert re.findall(r"^BAD +(\S+(?: mnist)?)", outcome.out, re.MULTILINE) == ["torchvision", "data mnist", "disk"]
    assert "dropout-lab: error: torchvision, data mnist, disk: needs attention" in outcome.err


def test_a_package_that_is_not_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=2", "no-such-package>=1", "pytest; extra == 'dev'"])
    finding = checkup._packages()
    assert finding.ok is False and finding.value == f"numpy {metadata.version('numpy')}, no no-such-package"


def test_a_place_that_cannot_be_written_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    place, _ = checkup._place(tmp_path / "not" / "yet")
    assert place.ok is False and place.value == f"{tmp_path} cannot be written: Permission denied"


@pytest.mark.parametrize(
    ("count", "device", "refused"), [(0, "cuda", "no CUDA device"), (1, "cuda:1", "1 CUDA device;")]
)
def test_a_gpu_that_is_not_there_is_refused(
    count: int, device: str, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cuda_count", lambda: count)
    with pytest.raises(Refused, match=f"command line: device: this machine has {refused}"):
        ThisMachine().likely(device, "command line")
    for fine in ("auto", "cpu", *(f"cuda:{number}" for number in range(count))):
        ThisMachine().likely(fine, "command line")
