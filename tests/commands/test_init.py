"""What init writes: every setting, a config of the package, or a pair that differs only in dropout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commandline import ROOT, Lab

from dropout_lab.config import resolve as configs
from dropout_lab.config import shipped
from dropout_lab.config.settings import SETTINGS, schema_of

DEFAULTS = configs.flatten(configs.resolve({}, where="defaults", name="x"))


def test_every_key_has_its_default_and_its_meaning(lab: Lab) -> None:
    lab("init toy")
    text = Path("toy.yaml").read_text()
    assert configs.flatten(configs.load(Path("toy.yaml"))) == DEFAULTS | {"name": "toy"}
    assert text.splitlines()[:2] == [
        "# yaml-language-server: $schema=./dropout-lab.schema.json",
        "# Train it with: dropout-lab train toy.yaml",
    ]
    assert max(map(len, text.splitlines())) <= 120
    for keys in SETTINGS:
        alike = [line for line in text.splitlines() if line.strip().startswith(f"{keys[-1]}: ")]  # of two sections
        assert any(line.endswith(f"# {schema_of(keys)['description']}") for line in alike)


@pytest.mark.parametrize("name", shipped.names())
def test_any_shipped_config_can_be_written(name: str, lab: Lab) -> None:
    said = lab(f"init --from {name}")
    file = Path(said.out.splitlines()[0])
    assert file.stem == name.rpartition("/")[2] and json.loads(Path(said.out.splitlines()[1]).read_text())
    written, own = configs.load(file), configs.load(ROOT / f"configs/{name}.yaml")
    assert written == own


def test_a_copy_has_the_name_that_it_is_given(lab: Lab) -> None:
    assert lab("init mine --from digits-dropout").out.splitlines()[0] == "mine.yaml"
    assert configs.load(Path("mine.yaml")).name == "mine"
    assert "# The bundled digits with half" in Path("mine.yaml").read_text()


@pytest.mark.parametrize(
    ("line", "stem"), [("--pair", "experiment"), ("mine --pair", "mine"), ("--from digits-dropout --pair", "digits")]
)
def test_a_pair_differs_only_in_dropout(line: str, stem: str, lab: Lab) -> None:
    files = [f"{stem}-baseline.yaml", f"{stem}-dropout.yaml"]
    assert lab(f"init {line}").out.splitlines() == [*files, "dropout-lab.schema.json"]
    baseline, dropout = (configs.flatten(configs.load(Path(file))) for file in files)
    assert {key for key in baseline if baseline[key] != dropout[key]} == {"name", "dropout.rate"}
    assert baseline["dropout.rate"] == 0 and f"compare {files[0]} {files[1]} --seeds 5" in Path(files[1]).read_text()
    assert lab(f"compare {files[0]} {files[1]} data.dataset=digits --seeds 5 --dry-run").code == 0


def test_a_pair_has_no_dropout_of_inputs_in_its_baseline(lab: Lab) -> None:
    lab("init two --from papers/hinton-2012-reduced --pair")
    assert configs.load(Path("two-baseline.yaml")).dropout.input_rate == 0
    assert configs.load(Path("two-dropout.yaml")).dropout.input_rate > 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--from mnist-droput", "--from: is no config that comes with the package, did you mean mnist-dropout?"),
        (
            "--from tiny.yaml",
            "--from: is no config that comes with the package; there are breast-cancer, claims/article, ",
        ),
        ("--from digits-baseline --pair", "--pair: needs a config with dropout"),
        (f"{'x' * 60} --pair", "NAME: must be 1 to 64"),
        ("tiny --pair", "tiny-dropout.yaml: file: exists already"),
    ],
)
def test_what_cannot_be_written_is_refused_and_changes_nothing(line: str, reason: str, lab: Lab) -> None:
    (lab.path / "tiny-dropout.yaml").touch()
    before = lab.tree()
    said = lab(f"init {line}")
    assert said.code == 2 and reason in said.err and lab.tree() == before
