"""The configs that come with the package: found by name in a checkout and in a wheel, after the user's own files."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from commandline import ROOT, Lab

from dropout_lab.config import resolve as configs
from dropout_lab.config import shipped
from dropout_lab.errors import Refused


@pytest.fixture
def bare(lab: Lab) -> Lab:
    """A directory without configs, as a user of a wheel has."""
    (lab.path / "configs").rename(lab.path.parent / f"{lab.path.name}-aside")
    return lab


def test_every_config_of_the_project_has_a_name() -> None:
    files = [ROOT / "configs" / f"{name}.yaml" for name in shipped.names()]
    assert files == sorted((ROOT / "configs").rglob("*.yaml"), key=lambda file: str(file.with_suffix("")))
    assert {"digits-baseline", "mnist-dropout", "claims/small"} <= {*shipped.names()}


def test_they_are_looked_for_in_the_package_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "package")
    assert shipped.folder() == tmp_path / "configs"
    (tmp_path / "package/configs").mkdir(parents=True)
    assert shipped.folder() == tmp_path / "package/configs"


def test_a_name_is_a_config_for_every_command_that_takes_one(bare: Lab) -> None:
    assert bare("validate digits-baseline").out.startswith("name: digits-baseline\n")
    for command in (
        "train digits-baseline",
        "sweep digits-baseline --rates 0.5",
        "compare digits-baseline digits-dropout",
    ):
        said = bare(f"{command} training.epochs=7 --dry-run")
        assert said.code == 0 and said.out.count("digits 128-128") and "7 epochs" in said.out, said


def test_a_path_comes_first_then_a_run_then_a_shipped_config(bare: Lab) -> None:
    def epochs(line: str) -> set[str]:
        return {line.split(" epochs")[0].split()[-1] for line in bare(line).out.splitlines() if " epochs" in line}

    compare = "compare digits-baseline digits-dropout --seeds 2 --dry-run"
    assert epochs(compare) == {"100"}
    assert bare("train digits-baseline training.epochs=2 network.hidden=[8] --quiet").code == 0
    assert epochs(compare) == {"2", "100"}
    (bare.path / "digits-baseline").write_text("data: {dataset: digits}\ntraining: {epochs: 3}\nname: own\n")
    assert epochs(compare) == {"3", "100"}
    assert epochs("train digits-baseline --dry-run") == {"3"}


def test_a_near_miss_is_answered_with_the_name(bare: Lab) -> None:
    for typed in "digits-droput", "configs/digits-dropout.yaml", "Digits-Dropout.yml":
        assert "no such file, did you mean digits-dropout? (got" in bare(f"train {typed}").err
    assert "did you mean digits-baseline?" in bare("compare digits-basline digits-dropout").err


def test_what_is_no_name_is_no_path_into_the_folder() -> None:
    for typed in "../configs/digits-dropout", "/digits-dropout", "digits-dropout.yaml", "":
        with pytest.raises(Refused):
            configs.load(Path(typed))
        assert shipped.file(typed) is None


@pytest.mark.slow
def test_a_wheel_works_in_an_empty_directory(tmp_path: Path) -> None:
    """Its files are where an installation would put them; the commands know no other."""
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "empty").mkdir()
    names = sorted(path.relative_to(tmp_path / "site") for path in (tmp_path / "site").iterdir())
    assert [str(name).partition("-")[0] for name in names] == ["dropout_lab", "dropout_lab"]
    run = "import sys; from dropout_lab import cli, __file__; print(__file__, file=sys.stderr); cli.main()"
    for line in (
        "compare digits-baseline digits-dropout --smoke",
        "reproduce S3 P10 --dry-run",
        "reproduce --list",
        "init --from mnist-dropout",
        "validate mnist-dropout.yaml",
        "sweep --rates 0.5 data.dataset=digits --smoke",
        "report digits-baseline-smoke digits-dropout-smoke",
    ):
        said = subprocess.run(
            [sys.executable, "-c", run, *line.split()],
            cwd=tmp_path / "empty",
            env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
            capture_output=True,
            text=True,
        )
        assert said.returncode == 0, f"{line}: {said.stderr}"
        assert said.stderr.startswith(str(tmp_path / "site")), said.stderr
