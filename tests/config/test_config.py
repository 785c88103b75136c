"""The laws of a config: every problem at once, each in one line with its place; what is written reads back the same."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dropout_lab.config.resolve import flatten, load, resolve, to_yaml
from dropout_lab.config.settings import RUN_NAME, SETTINGS, Config, TrainingConfig, json_schema, schema_of
from dropout_lab.data.datasets import DATASETS
from dropout_lab.data.split import split
from dropout_lab.dropout import DROPOUTS
from dropout_lab.errors import Refused

STREAMS = [f"streams.{name}" for name in ("init", "order", "masks", "subset", "split", "label_noise")]
DEFAULTS = {
    "name": "toy",
    "data.dataset": "mnist",
    "data.validation_fraction": 0.1,
    "data.validation_from": "tail",
    "data.test_from": "tail",
    "data.scale": "unit",
    "data.train_size": None,
    "data.train_from": "head",
    "data.label_noise": 0.0,
    "data.target": None,
    "data.drop": [],
    "data.missing": "refuse",
    "data.test": None,
    "network.hidden": [128, 128],
    "network.activation": "relu",
    "network.init": "glorot-uniform",
    "network.widen": False,
    "dropout.kind": "bernoulli",
    "dropout.rate": 0.5,
    "dropout.input_rate": 0.0,
    "dropout.placement": "after",
    "dropout.mask": "example",
    "dropout.schedule": "constant",
    "dropout.cutoff": None,
    "dropout.gamma": None,
    "dropout.samples": 10,
    "regularization.l1": 0.0,
    "regularization.l2": 0.0,
    "regularization.max_norm": None,
    "regularization.weight_decay": 0.0,
    "training.epochs": 10,
    "training.batch_size": 32,
    "training.optimizer": "adam",
    "training.learning_rate": 0.001,
    "training.decay": 1.0,
    "training.decay_steps": None,
    "training.momentum": 0.0,
    "training.momentum_start": None,
    "training.momentum_epochs": 500,
    "training.nesterov": False,
    "training.dampened": False,
    "training.epsilon_form": "pytorch",
    "training.patience": None,
    "training.precision": "float32",
    **dict.fromkeys(STREAMS),
    "seeds": [0],
    "device": "auto",
}  # design.md, section 3

OTHER = {
    "name": "2024-01-01",
    "data.dataset": "digits",
    "data.validation_fraction": 1 / 3,
    "data.validation_from": "random",
    "data.test_from": "tail",
    "data.scale": "column-l2",
    "data.train_size": 500,
    "data.train_from": "random",
    "data.label_noise": 0.25,
    "data.target": None,  # tests/data/test_own_tables.py changes those of tables
    "data.drop": [],
    "data.missing": "refuse",
    "data.test": None,
    "network.hidden": [64, 32],
    "network.activation": "tanh",
    "network.init": "normal",
    "network.widen": True,
    "dropout.kind": "bernoulli",
    "dropout.rate": [0.1 + 0.2, 1e-05],
    "dropout.input_rate": 0.2,
    "dropout.placement": "before",
    "dropout.mask": "batch",
    "dropout.schedule": "late",
    "dropout.cutoff": 2,
    "dropout.gamma": 0.001,
    "dropout.samples": 1,
    "regularization.l1": 1e-300,
    "regularization.l2": 5e-324,
    "regularization.max_norm": 3.0,
    "regularization.weight_decay": 0.01,
    "training.epochs": 3,
    "training.batch_size": 100,
    "training.optimizer": "sgd",
    "training.learning_rate": 0.1,
    "training.decay": 0.998,
    "training.decay_steps": 10000,
    "training.momentum": 0.95,
    "training.momentum_start": 0.5,
    "training.momentum_epochs": 20,
    "training.nesterov": True,
    "training.dampened": True,
    "training.epsilon_form": "pytorch",
    "training.patience": 7,
    "training.precision": "bfloat16",
    **dict.fromkeys(STREAMS, 4294967295),
    "seeds": [4294967295, 0, 7],
    "device": "cuda:1",
}  # a second value for every key


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        (mapping.setdefault(section, {}) if section else mapping)[name] = value
    return mapping


def refused(text: str | bytes, *overrides: str) -> list[str]:
    """Return the lines that refuse the text as the file toy.yaml."""
    Path("toy.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(Refused) as caught:
        load(Path("toy.yaml"), overrides)
    return str(caught.value).splitlines()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


TOP = "name, data, network, dropout, regularization, training, streams, seeds, device"
ACTIVATIONS = "relu, tanh, sigmoid, selu, identity"
DATA = f"must be one of {', '.join(DATASETS)} or the path of an .npz, .csv, .tsv or .parquet file"
GPU = "must be one of auto, cpu, cuda or cuda:N with the number of a GPU"
NAME = "must be null or 1 to 64 of A-Z a-z 0-9 . _ - with a letter or digit first, in quotes where it is a number"
SEEDS = "must be a list of 1 to 1000 different whole numbers from 0 to 4294967295"
SEED = "every item must be a whole number from 0 to 4294967295"
HIDDEN = "must be a list of at most 32 whole numbers from 1 to 16384"
RATE = "must be a number from 0 to 1"
RATES = f"{RATE} or a list of at most 32 numbers from 0 to 1"
DECIMAL = "must be a plain decimal number (no leading zeros, no 1_000, 0x10 or 1:30), or text in quotes"
EPOCHS = "must be a whole number from 1 to 100000"
STEP = "must be a number above 0 and at most 1e+30"
POSITIVE = "must be a number above 0 and at most 1000"
FRACTION = "must be a number above 0 and at most 0.9"
MAPPING = "must be a mapping of keys to values, such as `seeds: [0]`"
TRAINING = ", ".join(TrainingConfig.model_fields)

BAD = [
    # the file as a whole
    ("", ": file: is empty: write at least one key, such as `seeds: [0]` (got toy.yaml)"),
    ("# only a comment\n", ": file: is empty: write at least one key, such as `seeds: [0]` (got toy.yaml)"),
    ("null", f":1: file: {MAPPING} (got null)"),
    ("\n- a\n- b", f":2: file: {MAPPING} (got [a, b])"),
    ("mnist", f":1: file: {MAPPING} (got mnist)"),
    ("'1'", f':1: file: {MAPPING} (got "1")'),
    ("010", f":1: file: {DECIMAL} (got 010)"),
    ("#" * 65_537, ": file: must be at most 64 KiB (got toy.yaml)"),
    (b"seeds: [0]\nname: \xff", ":2: file: must be UTF-8 text (got byte 0xff)"),
    ("seeds: [0]".encode("utf-16"), ":1: file: must be UTF-8 text (got byte 0xff)"),
    ("seeds: [0]\nname: a\x00b", ":2: file: must not hold control characters (got U+0000)"),
    ("seeds: [0]\n---\nseeds: [1]", ":2: file: must be one document (got ---)"),
    ("training:\n\tepochs: 1", ":2: file: is not valid YAML: found character '\\t' that cannot start any token: "
     "indent with spaces, not tabs (got epochs: 1)"),
    ("a: b: c", ":1: file: is not valid YAML: mapping values are not allowed here (got a: b: c)"),
    # keys
    ("lr: 1", f":1: lr: unknown key, must be one of {TOP} (got 1)"),
    ("training: {lr: 1}", f":1: training.lr: unknown key, must be one of {TRAINING} (got 1)"),
    ("epochs: 3", ":1: epochs: unknown key, did you mean training.epochs? (got 3)"),
    ("hiden: [3]", ":1: hiden: unknown key, did you mean network.hidden? (got [3])"),
    ("training:\n  epoch: 3", ":2: training.epoch: unknown key, did you mean training.epochs? (got 3)"),
    ("training:\n  rate: 0.1", ":2: training.rate: unknown key, did you mean dropout.rate? (got 0.1)"),
    ("training:\n  seeds: [1]", ":2: training.seeds: unknown key, did you mean seeds? (got [1])"),
    ("traning:\n  epochs: 3", ":1: traning: unknown key, did you mean training? (got {epochs: 3})"),
    ("Seeds: [1]", ":1: Seeds: unknown key, did you mean seeds? (got [1])"),
    ("training.epochs: 3", ":1: training.epochs: unknown key, did you mean `training:` and below it, indented, "
     "`epochs:`? (got 3)"),
    (f"{'k' * 200}: 1", f":1: {'k' * 57}...: unknown key, must be one of {TOP} (got 1)"),
    ('"\\e[31m": "\\e[0m"', f":1: \\x1b[31m: unknown key, must be one of {TOP} (got \\x1b[0m)"),
    ("seeds: [0]\nseeds: [1]", ":2: seeds: is given twice, first on line 1 (got seeds)"),
    ("data:\n  scale: unit\n  scale: unit", ":3: data.scale: is given twice, first on line 2 (got scale)"),
    ("1: 2", ":1: file: must have text as keys (got 1)"),
    ("data: {null: 2}", ":1: data: must have text as keys (got null)"),
    ("data:\n  <<: {scale: unit}", ":2: data: must not merge (<<): write the keys out (got <<)"),
    # sections
    ("training:", f":1: training: must be a section with the keys {TRAINING} (leave it out for the defaults) "
     "(got null)"),
    ("\ntraining: [epochs]", f":2: training: must be a section with the keys {TRAINING} (leave it out for the "
     "defaults) (got [epochs])"),
    # name
    ("name: a/b", f":1: name: {NAME} (got a/b)"),
    ("name: ../../etc", f":1: name: {NAME} (got ../../etc)"),
    ("name: .hidden", f":1: name: {NAME} (got .hidden)"),
    ("name: ''", f':1: name: {NAME} (got "")'),
    ("name: 'a '", f':1: name: {NAME} (got "a ")'),
    ("name: 7", f":1: name: {NAME} (got 7)"),
    ("name: true", f":1: name: {NAME} (got true)"),
    ("name: [a]", f":1: name: {NAME} (got [a])"),
    (f"name: {'a' * 65}", f":1: name: {NAME} (got {'a' * 57}...)"),
    # data
    ("data: {dataset: minst}", f":1: data.dataset: {DATA}, did you mean mnist? (got minst)"),
    ("data: {dataset: imagenet}", f":1: data.dataset: {DATA} (got imagenet)"),
    ("data: {dataset: 5}", f":1: data.dataset: {DATA} (got 5)"),
    ('data: {dataset: "a\\nb.npz"}', f":1: data.dataset: {DATA} (got a\\nb.npz)"),
    ('data: {dataset: "a\\ab.npz"}', f":1: data.dataset: {DATA} (got a\\x07b.npz)"),
    ("data: {dataset: own.npz}", ":1: data.dataset: no such file (got own.npz)"),
    (
        "data: {test_from: random}",
        ":1: data.test_from: must be left out with mnist, which has a test split of its own (got random)",
    ),
    ("data: {validation_fraction: 0}", f":1: data.validation_fraction: {FRACTION} (got 0)"),
    ("data: {validation_fraction: 0.91}", f":1: data.validation_fraction: {FRACTION} (got 0.91)"),
    ("data: {validation_fraction: 1e-17}", ":1: data.validation_fraction: must set at least one of the 60000 training "
     "images aside (got 1.0e-17)"),
    ("data: {validation_from: head}", ":1: data.validation_from: must be one of tail, random, stratified (got head)"),
    ("data: {scale: no}", ":1: data.scale: must be one of unit, column-l2, standardize (got no)"),
    ("data: {scale: column_l2}", ":1: data.scale: must be one of unit, column-l2, standardize, did you mean column-l2? "
     "(got column_l2)"),
    ("data: {train_size: 0}", ":1: data.train_size: must be a whole number of at least 1 or null (got 0)"),
    ("data: {train_size: all}", ":1: data.train_size: must be a whole number of at least 1 or null (got all)"),
    ("data: {train_size: 54001}", ":1: data.train_size: must be null or a whole number from 1 to 54000, the training "
     "images that validation leaves (got 54001)"),
    ("data: {dataset: digits, train_size: 1294}", ":1: data.train_size: must be null or a whole number from 1 to 1293, "
     "the training images that validation leaves (got 1294)"),
    # network
    ("network: {hidden: 128}", f":1: network.hidden: {HIDDEN} (got 128)"),
    ("network: {hidden: '[1]'}", f":1: network.hidden: {HIDDEN} (got \"[1]\")"),
    (f"network: {{hidden: {[1] * 33}}}", f":1: network.hidden: {HIDDEN} (got {str([1] * 33)[:57]}...)"),
    ("network:\n  hidden:\n    - 8\n    - 0", ":4: network.hidden: every item must be a whole number from 1 to 16384 "
     "(got 0)"),
    ("network: {hidden: [16385]}", ":1: network.hidden: every item must be a whole number from 1 to 16384 (got 16385)"),
    ("network: {hidden: [16384, 16384]}", ":1: network.hidden: must make a network of at most 100000000 parameters, "
     "not 281477130 (got [16384, 16384])"),
    ("network: {activation: ReLU}", f":1: network.activation: must be one of {ACTIVATIONS}, did you mean relu? "
     "(got ReLU)"),
    ("network: {activation: null}", f":1: network.activation: must be one of {ACTIVATIONS} (got null)"),
    ("network: {init: glorot_uniform}", ":1: network.init: must be one of glorot-uniform, lecun-normal, pytorch, "
     "normal, did you mean glorot-uniform? (got glorot_uniform)"),
    # dropout
    ("dropout: {kind: magic}", f":1: dropout.kind: must be one of {', '.join(DROPOUTS)} (got magic)"),
    ("dropout: {rate: 1.5}", f":1: dropout.rate: {RATE} (got 1.5)"),
    ("dropout: {rate: -0.1}", f":1: dropout.rate: {RATE} (got -0.1)"),
    ("dropout: {rate: yes}", f":1: dropout.rate: {RATES} (got yes)"),
    ("dropout: {rate: true}", f":1: dropout.rate: {RATES} (got true)"),
    ("dropout: {rate: '0.5'}", f':1: dropout.rate: {RATES} (got "0.5")'),
    ("dropout: {rate: 0.1..0.5}", f':1: dropout.rate: {RATES} (got 0.1..0.5)'),
    ("dropout: {rate: [0.5]}", ":1: dropout.rate: must be one number, or a list of exactly 2: one per hidden layer "
     "(got [0.5])"),
    ("network: {hidden: []}\ndropout: {rate: [0.5]}", ":2: dropout.rate: must be one number, or a list of exactly 0: "
     "one per hidden layer (got [0.5])"),
    ("dropout:\n  rate: [0.5,\n    1.1]", f":3: dropout.rate: every item {RATE} (got 1.1)"),
    ("dropout: {input_rate: [0.2]}", f":1: dropout.input_rate: {RATE} (got [0.2])"),
    ("dropout: {placement: Befor}", ":1: dropout.placement: must be one of after, before, did you mean before? "
     "(got Befor)"),
    ("dropout: {mask: unit}", ":1: dropout.mask: must be one of example, batch (got unit)"),
    # regularization
    ("regularization: {l1: -1}", ":1: regularization.l1: must be a number from 0 to 1000 (got -1)"),
    ("regularization: {l2: 1000.5}", ":1: regularization.l2: must be a number from 0 to 1000 (got 1000.5)"),
    ("regularization: {max_norm: 0}", f":1: regularization.max_norm: {POSITIVE} or null (got 0)"),
    # training
    ("training: {epochs: 0}", f":1: training.epochs: {EPOCHS} (got 0)"),
    ("training: {epochs: 100001}", f":1: training.epochs: {EPOCHS} (got 100001)"),
    ("training: {epochs: 3.0}", f":1: training.epochs: {EPOCHS} (got 3.0)"),
    ("training: {epochs: '3'}", f':1: training.epochs: {EPOCHS} (got "3")'),
    ("training: {epochs: true}", f":1: training.epochs: {EPOCHS} (got true)"),
    ("training: {epochs: 1e1}", f":1: training.epochs: {EPOCHS} (got 10.0)"),
    ("training: {epochs: 010}", f":1: training.epochs: {DECIMAL} (got 010)"),
    ("training: {epochs: 1_000}", f":1: training.epochs: {DECIMAL} (got 1_000)"),
    ("training: {epochs: 0x10}", f":1: training.epochs: {DECIMAL} (got 0x10)"),
    ("training: {epochs: 0o17}", f":1: training.epochs: {DECIMAL} (got 0o17)"),
    ("training: {epochs: 1:30}", f":1: training.epochs: {DECIMAL} (got 1:30)"),
    ("training:\n  epochs: 1,000", f":2: training.epochs: {DECIMAL} (got 1,000)"),
    ("training: {epochs: " + "9" * 5000 + "}", f":1: training.epochs: must be a number of at most 100 characters "
     f"(got {'9' * 57}...)"),
    ("training: {batch_size: 65537}", ":1: training.batch_size: must be a whole number from 1 to 65536 (got 65537)"),
    ("training: {optimizer: Adamm}", ":1: training.optimizer: must be one of adam, sgd, rmsprop, did you mean adam? "
     "(got Adamm)"),
    ("training: {learning_rate: 0.0}", f":1: training.learning_rate: {STEP} (got 0.0)"),
    ("training: {learning_rate: .inf}", ":1: training.learning_rate: must be a finite number (got .inf)"),
    ("training: {learning_rate: .NaN}", ":1: training.learning_rate: must be a finite number (got .NaN)"),
    ("training: {learning_rate: 1e999}", ":1: training.learning_rate: must be a finite number (got 1e999)"),
    ("training: {learning_rate: nan}", f":1: training.learning_rate: {STEP} (got nan)"),
    ("training: {momentum: 0.9}", ":1: training.momentum: must be 0 with the optimizer adam: only sgd and rmsprop use "
     "momentum (got 0.9)"),
    ("training: {momentum: 1, optimizer: sgd}", ":1: training.momentum: must be a number of at least 0 and below 1 "
     "(got 1)"),
    # seeds and device
    ("seeds: 5", f":1: seeds: {SEEDS} (got 5)"),
    ("seeds: []", f":1: seeds: {SEEDS} (got [])"),
    ("seeds: 0..4", f":1: seeds: {SEEDS} (got 0..4)"),
    (f"seeds: {['a'] * 1001}", f":1: seeds: {SEEDS} (got {('[' + 'a, ' * 30)[:57]}...)"),
    ("seeds: [3, 1, 3]", ":1: seeds: must name every seed only once (got 3)"),
    ("seeds: [-1]", f":1: seeds: {SEED} (got -1)"),
    ("seeds: [4294967296]", f":1: seeds: {SEED} (got 4294967296)"),
    ("seeds: [true]", f":1: seeds: {SEED} (got true)"),
    (f"training: {{epochs: 100000}}\nseeds: {list(range(101))}", ":1: training.epochs: must be at most 99009 with 101 "
     "seeds, for 10000000 epochs in all (got 100000)"),
    ("device: gpu", f":1: device: {GPU} (got gpu)"),
    ("device: cuda:-1", f":1: device: {GPU}, did you mean cuda? (got cuda:-1)"),
    ("device: CUDA", f":1: device: {GPU}, did you mean cuda? (got CUDA)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), BAD, ids=range(len(BAD)))
def test_a_bad_config_is_refused_in_one_line(text: str | bytes, line: str) -> None:
    assert refused(text) == [f"toy.yaml{line}"]


def test_no_wording_of_pydantic_or_python_reaches_the_user() -> None:
    for _, line in BAD:
        assert not any(words in line for words in ("Input should", "Value error", "valid tuple", "None", "True"))


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
training:
  momentum: 0.9         # not with adam
  epochs: 1_000
  batch_size: true
network: {hidden: [0, 64, -1]}
dropout: {kind: bernouli, rate: 7}
foo: 1
foo: 2
"""
    width = "every item must be a whole number from 1 to 16384"
    assert refused(text, "seeds=[1, 1]", "epochs=3", "device") == [
        "toy.yaml:2: training.momentum: must be 0 with the optimizer adam: only sgd and rmsprop use momentum (got 0.9)",
        f"toy.yaml:3: training.epochs: {DECIMAL} (got 1_000)",
        "toy.yaml:4: training.batch_size: must be a whole number from 1 to 65536 (got true)",
        f"toy.yaml:5: network.hidden: {width} (got 0)",
        f"toy.yaml:5: network.hidden: {width} (got -1)",
        f"toy.yaml:6: dropout.kind: must be one of {', '.join(DROPOUTS)}, did you mean bernoulli? (got bernouli)",
        f"toy.yaml:6: dropout.rate: {RATE} (got 7)",
        "toy.yaml:8: foo: is given twice, first on line 7 (got foo)",
        "command line: epochs: unknown key, did you mean training.epochs? (got 3)",
        "command line: device: must be written as KEY=VALUE, such as training.epochs=3 (got device)",
        "command line: seeds: must name every seed only once (got 1)",
    ]


def test_a_rule_between_keys_waits_until_each_of_them_is_right() -> None:
    assert refused("dropout: {rate: [0.5]}\nnetwork: {hidden: 3}") == [f"toy.yaml:2: network.hidden: {HIDDEN} (got 3)"]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["training.epochs=0"], f"training.epochs: {EPOCHS} (got 0)"),
        (["training.epochs=1_0"], f"training.epochs: {DECIMAL} (got 1_0)"),
        (["training.epochs="], "training.epochs: must not be empty: write null for no value (got )"),
        (["training.epochs=3,"], "training.epochs: must not end in a comma (got 3,)"),
        (["training.epochs=3,4"], "training.epochs: must be one value: write a list as [1, 2], text with commas in "
         "quotes (got 3,4)"),
        (["training.epochs=3 # three"], "training.epochs: is not valid YAML: expected ',' or ']', but got "
         "'<stream end>' (got 3 # three)"),
        (["training.epochs=&a 3"], "training.epochs: must not have an anchor (&) (got &a 3)"),
        (["training.epochs"], "training.epochs: must be written as KEY=VALUE, such as training.epochs=3 (got "
         "training.epochs)"),
        (["=3"], "=3: must be written as KEY=VALUE, such as training.epochs=3 (got =3)"),
        (["training=3"], "training: must be one key of the section, such as training.epochs (got 3)"),
        (["training.epoch=3"], "training.epoch: unknown key, did you mean training.epochs? (got 3)"),
        (["trainig.epochs=3"], "trainig.epochs: unknown key, did you mean training.epochs? (got 3)"),
        (["epochs=3"], "epochs: unknown key, did you mean training.epochs? (got 3)"),
        (["a.b.c=3"], f"a.b.c: unknown key, must be one of {TOP} (got 3)"),
        (["name=../x"], f"name: {NAME} (got ../x)"),
        (["network.hidden=[64]"], "dropout.rate: must be one number, or a list of exactly 1: one per hidden layer (got "
         "[0.1, 0.2])"),
        (["dropout.rate=[0.1, 2]"], f"dropout.rate: every item {RATE} (got 2)"),
        (["seeds=[0, -1]"], f"seeds: {SEED} (got -1)"),
        (["device=\x1b[31m"], "device: must not hold control characters (got \\x1b[31m)"),
        (["device=\udcff"], "device: must not hold control characters (got \\udcff)"),
    ],
)  # fmt: skip
def test_a_problem_of_an_override_is_on_the_command_line(overrides: list[str], line: str) -> None:
    assert refused("dropout: {rate: [0.1, 0.2]}", *overrides) == [f"command line: {line}"]


def test_overrides_win_over_the_file_and_the_later_over_the_earlier() -> None:
    Path("toy.yaml").write_text("training: {epochs: 0}\ndropout: {rate: 0.1}")
    overrides = ["training.epochs=2", "training.epochs=3", "network.hidden=[64, 32, 16]", "dropout.rate=[0.2, 0.5, 1]"]
    config = load(Path("toy.yaml"), [*overrides, "data.train_size=null", "name=2024-01-01", 'device="cpu"'])
    assert (config.training.epochs, config.network.hidden, config.rates) == (3, (64, 32, 16), (0.2, 0.5, 1.0))
    assert (config.name, config.device) == ("2024-01-01", "cpu")


def test_an_override_does_not_mend_a_broken_section() -> None:
    line = f"training: must be a section with the keys {TRAINING} (leave it out for the defaults) (got 5)"
    assert refused("training: 5", "training.epochs=3") == [f"toy.yaml:1: {line}"]


class TestFile:
    def test_missing_with_the_nearest_file(self) -> None:
        Path("configs").mkdir()
        Path("configs/mnist-dropout.yaml").touch()
        for typed in "mnist-droput.yaml", "mnist-droput", "configs/MNIST-dropout.yml":
            with pytest.raises(Refused) as caught:
                load(Path(typed))
            hint = "no such file, did you mean configs/mnist-dropout.yaml?"
            assert str(caught.value) == f"{typed}: file: {hint} (got {typed})"

    @pytest.mark.parametrize("typed", ["nowhere.yaml", "no/where.yaml", "a\0b", "x" * 5000, ""])
    def test_missing(self, typed: str) -> None:
        with pytest.raises(Refused, match="file: (no such file|cannot be read: |must be a file, not a directory)"):
            load(Path(typed))

    def test_not_a_regular_file(self, folder: Path) -> None:
        os.mkfifo("pipe.yaml")
        for path, reason in (folder, "a file, not a directory"), (Path("pipe.yaml"), "a regular file"):
            with pytest.raises(Refused) as caught:
                load(path)
            assert str(caught.value).startswith(f"{path}: file: must be {reason} (got ")

    def test_unreadable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("toy.yaml").touch()

        def denied(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)
        with pytest.raises(Refused, match=r"^toy\.yaml: file: cannot be read: Permission denied \(got toy\.yaml\)$"):
            load(Path("toy.yaml"))

    def test_the_name_is_the_stem_or_must_be_set(self) -> None:
        Path("my file.yaml").write_text("seeds: [1]")
        with pytest.raises(Refused) as caught:
            load(Path("my file.yaml"))
        reason = f"must be set: the file's stem cannot be the name, which {NAME}"
        assert str(caught.value) == f"my file.yaml: name: {reason} (got my file)"
        assert load(Path("my file.yaml"), ["name=mine"]).name == "mine"
        Path("toy.yaml").write_text("name: null")
        assert load(Path("toy.yaml")).name == "toy"

    def test_a_byte_order_mark_and_windows_line_ends_are_fine(self) -> None:
        Path("toy.yaml").write_bytes("\ufeffseeds: [1]\r\ndevice: cpu\r\n".encode())
        assert (load(Path("toy.yaml")).seeds, load(Path("toy.yaml")).device) == ((1,), "cpu")

    def test_an_npz_of_the_users_own(self) -> None:
        Path("toy.yaml").write_text("data: {dataset: own.npz, train_size: 70000}\nnetwork: {hidden: [16384]}")
        assert load(Path("toy.yaml"), check_files=False).data.dataset == "own.npz"
        Path("my-own.npz").touch()
        with pytest.raises(Refused, match=r"data\.dataset: no such file, did you mean my-own\.npz\?"):
            load(Path("toy.yaml"))
        Path("own.npz").touch()
        assert load(Path("toy.yaml")).data.train_size == 70_000


class TestConfig:
    def test_the_defaults_are_those_of_the_contract(self) -> None:
        flat = flatten(resolve({}, where="here", name="toy"))
        assert flat == DEFAULTS
        assert list(flat) == list(DEFAULTS)
        assert [type(value) for value in flat.values()] == [type(value) for value in DEFAULTS.values()]

    def test_types_are_strict_but_an_int_is_fine_for_a_float(self) -> None:
        config = resolve({"dropout": {"rate": 0}, "training": {"learning_rate": 1}}, where="here", name="toy")
        assert [type(x) for x in (config.dropout.rate, config.training.learning_rate)] == [float, float]

    def test_rates_has_one_rate_per_hidden_layer(self) -> None:
        def rates(hidden: list[int], rate: object) -> tuple[float, ...]:
            mapping = {"network": {"hidden": hidden}, "dropout": {"rate": rate}}
            return resolve(mapping, where="here", name="toy").rates

        assert rates([8, 8, 8], 0.3) == (0.3, 0.3, 0.3)
        assert rates([8, 8], [0, 1]) == (0.0, 1.0)
        assert rates([], 0.5) == rates([], []) == ()

    def test_it_is_frozen_and_hashable(self) -> None:
        config = resolve({}, where="here", name="toy")
        with pytest.raises(ValueError):
            config.training.epochs = 3  # type: ignore[misc]
        assert {config, resolve({}, where="there", name="toy")} == {config}

    @pytest.mark.parametrize("kind", [kind for kind in DROPOUTS if DROPOUTS[kind].below_one])
    def test_a_rate_is_below_one_where_noise_has_no_bound(self, kind: str) -> None:
        network = "\nnetwork: {activation: selu, init: lecun-normal}"
        reason = f"must be below 1 with the kind {kind}, whose noise has no bound there"
        assert refused(f"dropout:\n  kind: {kind}\n  rate: 1\n  input_rate: 1{network}") == [
            f"toy.yaml:3: dropout.rate: {reason} (got 1.0)",
            f"toy.yaml:4: dropout.input_rate: {reason} (got 1.0)",
        ]
        assert refused(f"dropout: {{kind: {kind}, rate: [0, 1]}}{network}") == [
            f"toy.yaml:1: dropout.rate: {reason} (got [0.0, 1.0])"
        ]

    def test_alpha_needs_selu_and_its_first_weights(self) -> None:
        reason = "with the kind alpha, which keeps mean and variance of nothing else"
        assert refused("dropout:\n  kind: alpha\nnetwork: {activation: tanh}") == [
            f"toy.yaml:2: network.init: must be lecun-normal {reason} (got glorot-uniform)",
            f"toy.yaml:3: network.activation: must be selu {reason} (got tanh)",
        ]

    @pytest.mark.parametrize("kind", DROPOUTS)
    def test_every_kind_says_what_it_needs_and_why(self, kind: str) -> None:
        other: dict[tuple[str, str], object] = {
            ("network", "activation"): "tanh",
            ("network", "init"): "normal",
            ("network", "widen"): True,
            ("dropout", "input_rate"): 0.25,
            ("dropout", "placement"): "before",
            ("dropout", "schedule"): "curriculum",
            ("training", "precision"): "bfloat16",
        }
        needs = DROPOUTS[kind].needs
        mapping: dict[str, Any] = {"dropout": {"kind": kind}, "network": {}, "training": {}}
        for section, key in needs:
            mapping[section][key] = needs[section, key]
        resolve(mapping, where="here", name="toy")
        for section, key in needs:
            with pytest.raises(Refused) as caught:
                resolve(mapping | {section: mapping[section] | {key: other[section, key]}}, where="here", name="toy")
            (problem,) = caught.value.problems
            assert problem.key == f"{section}.{key}"
            assert f"with the kind {kind}, {DROPOUTS[kind].because}" in problem.reason and DROPOUTS[kind].because

    @pytest.mark.parametrize(
        "text, problem",
        [
            ("dropout: {schedule: early}", "dropout.cutoff: must be a number of epochs with the schedule early"),
            ("dropout: {rate: 1}\nnetwork: {widen: true}", "dropout.rate: must be below 1 with network.widen, which "),
            ("training: {nesterov: true}", "training.nesterov: must be false with the optimizer adam: only sgd uses "),
            ("training: {optimizer: sgd, nesterov: true}", "training.nesterov: must be false without momentum (got "),
            ("training: {optimizer: sgd, dampened: true}", "training.dampened: must be false without momentum (got "),
            (
                "training: {optimizer: sgd, momentum_start: 0.5}",
                "training.momentum_start: must be null or a number up to the momentum that it rises to, 0.0 (got 0.5)",
            ),
            ("training: {dampened: true}", "training.dampened: must be false with the optimizer adam: only sgd uses "),
            ("training: {momentum_start: 0.5}", "training.momentum_start: must be null with the optimizer adam: only "),
            (
                "training: {optimizer: sgd, epsilon_form: keras}",
                "training.epsilon_form: must be pytorch with the optimizer sgd: only adam and rmsprop use epsilon_form",
            ),
            (
                "network: {hidden: [8000, 8000], widen: true}\ndropout: {rate: 0.5}",  # 16,000 each
                "network.hidden: must make a network of at most 100000000 parameters, not 268736010 (got [8000, 8000])",
            ),
        ],
    )
    def test_what_does_not_go_together_is_refused_with_the_reason(self, text: str, problem: str) -> None:
        (line,) = refused(text)
        assert problem in line

    @pytest.mark.parametrize("dataset", ["mnist", "digits"])
    @pytest.mark.parametrize("fraction", [0.1, 0.2, 1 / 3, 0.7, 0.9])
    def test_train_size_reaches_to_all_that_the_split_leaves(self, dataset: str, fraction: float) -> None:
        left = len(split(DATASETS[dataset].train_count, fraction, "tail", None, 0)[0])
        data = {"dataset": dataset, "validation_fraction": fraction}
        assert resolve({"data": data | {"train_size": left}}, where="here", name="toy").data.train_size == left
        with pytest.raises(Refused, match=f"from 1 to {left}, "):
            resolve({"data": data | {"train_size": left + 1}}, where="here", name="toy")

    def test_resolve_names_where_the_mapping_came_from(self) -> None:
        with pytest.raises(Refused) as caught:
            resolve({"training": {"epochs": 0}, 5: 6}, ["seeds=3"], where="sweep", name="toy")  # type: ignore[dict-item]
        assert [(problem.where, problem.key, problem.line) for problem in caught.value.problems] == [
            ("sweep", "training.epochs", None),
            ("sweep", "5", None),
            ("command line", "seeds", None),
        ]


class TestIdentity:
    def identity(self, text: str) -> str:
        Path("toy.yaml").write_text(text)
        return load(Path("toy.yaml")).identity

    def test_spelling_does_not_count(self) -> None:
        same = [
            "dropout: {rate: 0.1}\ntraining: {epochs: 3, learning_rate: 1.0}",
            "# why\ntraining:\n  learning_rate: 1\n  epochs: 3 # three\ndropout:\n  rate: 1e-1\n",
            "training: {learning_rate: 1e0, epochs: +3}\ndropout: {rate: .1, kind: bernoulli, input_rate: -0.0}",
            "name: other\nseeds: [1, 2]\ndevice: cpu\ndropout: {rate: 0.10}\ntraining: {epochs: 3, learning_rate: 1}",
        ]
        assert len({self.identity(text) for text in same}) == 1

    def test_minus_zero_is_zero(self) -> None:
        identities = {
            resolve({"dropout": {"rate": [zero] * 2}}, where="", name="x").identity for zero in (0, 0.0, -0.0)
        }
        assert len(identities) == 1

    @pytest.mark.parametrize("key", [key for key in DEFAULTS if DEFAULTS[key] != OTHER[key]])
    def test_every_other_key_counts(self, key: str) -> None:
        base = nested(OTHER | {"dropout.rate": 0.25})
        changed = nested(OTHER | {"dropout.rate": 0.25} | {key: 0.125 if key == "dropout.rate" else DEFAULTS[key]})
        for mapping in base, changed:
            if key == "training.optimizer":  # only sgd and rmsprop have them
                mapping["training"] |= {"momentum": 0, "momentum_start": None, "nesterov": False, "dampened": False}
            if key == "training.momentum":
                mapping["training"] |= {"nesterov": False, "dampened": False, "momentum_start": None}
            if key == "dropout.cutoff":
                mapping["dropout"]["schedule"] = "constant"
        identities = {resolve(mapping, where="here", name="toy").identity for mapping in (base, changed)}
        assert len(identities) == (1 if key in ("name", "seeds", "device") else 2)

    def test_it_is_a_constant_of_this_format(self) -> None:
        """Run directories in the field hold it: a change here makes every old run another experiment."""
        changed = {"network": {"hidden": [64]}, "dropout": {"rate": 0.2}, "training": {"epochs": 3}}
        identity = resolve(changed, where="here", name="toy").identity
        assert identity == "ea5c9c208f1edd989556652bf4f22187129ced46f6b03b57c626856424548d43"


def finite(low: float, high: float, **more: Any) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, **more)


LARGE = [name for name, entry in DATASETS.items() if entry.train_count > 1000]  # enough for every train_size below
CONFIGS = st.builds(
    lambda layers, rate, **flat: nested(
        flat_keys(flat) | {"network.hidden": layers, "dropout.rate": rate if rate is not None else [0.1] * len(layers)}
    ),
    layers=st.lists(st.integers(1, 300), max_size=4),
    rate=st.none() | finite(0, 1),
    data__dataset=st.sampled_from([*LARGE, "my data/#1.npz", "no.npz", 'it\'s: "x".npz', "ünï.npz"]),
    data__validation_fraction=finite(0.001, 0.9),
    data__train_size=st.none() | st.integers(1, 100),
    dropout__input_rate=finite(0, 1),
    regularization__l1=finite(0, 1000),
    regularization__max_norm=st.none() | finite(0, 1000, exclude_min=True),
    training__optimizer=st.sampled_from(["sgd", "rmsprop"]),
    training__learning_rate=finite(0, 1000, exclude_min=True),
    training__momentum=finite(0, 1, exclude_max=True),
    training__precision=st.sampled_from(["float32", "bfloat16"]),
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5, unique=True),
    name=st.from_regex(RUN_NAME, fullmatch=True),
    device=st.sampled_from(["auto", "cpu", "cuda", "cuda:0", "cuda:15"]),
)


def flat_keys(flat: dict[str, Any]) -> dict[str, Any]:
    return {key.replace("__", "."): value for key, value in flat.items()}


class TestYaml:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(CONFIGS)
    @example(nested(OTHER))
    def test_what_is_written_reads_back_equal(self, mapping: dict[str, Any]) -> None:
        config = resolve(mapping, where="here", name="toy", check_files=False)
        Path("copy.yaml").write_text(to_yaml(config), encoding="utf-8")
        again = load(Path("copy.yaml"), check_files=False)
        assert again == config
        assert again.identity == config.identity
        assert to_yaml(again) == to_yaml(config)

    def test_other_readers_of_yaml_take_it_for_the_same(self) -> None:
        import yaml  # PyYAML reads YAML 1.1, where 1e-05 and 2024-01-01 would be something else

        config = resolve(nested(OTHER), where="here", name="toy")
        assert yaml.safe_load(to_yaml(config)) == nested(OTHER)

    def test_the_text_is_plain(self) -> None:
        text = to_yaml(resolve({"training": {"learning_rate": 1e-5}}, where="here", name="toy"))
        assert text.startswith("name: toy\ndata:\n  dataset: mnist\n  validation_fraction: 0.1\n")
        assert "network:\n  hidden: [128, 128]\n" in text
        assert "  learning_rate: 1.0e-05\n" in text
        assert text.endswith("seeds: [0]\ndevice: auto\n")


def is_for_editors(line: str) -> bool:
    """Say whether a schema can know it: not YAML's own troubles, rules between keys, or that 3.0 is no integer."""
    beyond = (
        ": file: ",
        "plain decimal",
        "finite",
        "100 characters",
        "exactly",
        "leaves",
        "aside",
        "parameters",
        " with ",
    )
    found = "(got 3.0)", "(got 10.0)", "twice", "<<", "no such file", "text as keys", "\\n", "x07"
    return not any(
        words in line.replace("with the number", "").replace("with a letter", "") for words in beyond + found
    )


class TestSchema:
    def test_it_is_a_json_schema_that_the_defaults_satisfy(self) -> None:
        schema = json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        for flat in DEFAULTS, DEFAULTS | {"name": None}, OTHER, OTHER | {"data.dataset": "own.npz"}:
            jsonschema.validate(nested(flat), schema)
        jsonschema.validate({}, schema)
        assert json.loads(json.dumps(schema)) == schema

    @pytest.mark.parametrize("keys", SETTINGS, ids=".".join)
    def test_every_setting_has_its_default_and_one_line_of_meaning(self, keys: tuple[str, ...]) -> None:
        schema = schema_of(keys)
        assert schema["default"] == (None if keys == ("name",) else DEFAULTS[".".join(keys)])
        assert "\n" not in schema["description"]
        choices = [name for option in schema.get("anyOf", [schema]) for name in option.get("enum", ()) if name]
        assert all(name in schema["description"] for name in choices)

    @pytest.mark.parametrize("text", [text for text, line in BAD if is_for_editors(line)])
    def test_editors_refuse_what_we_refuse(self, text: str) -> None:
        import yaml

        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(text), json_schema())


class TestHostile:
    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    def test_any_bytes_give_a_config_or_a_refusal(self, data: bytes) -> None:
        self.check(data)

    WORDS = [
        *("seeds", "training", "epochs", "a", ": ", ":\n  ", "\n", "\n  ", "- ", "? ", "[", "]", "{", "}", ", "),
        *("0", "1e-3", "010", "1_0", "~", "null", "true", ".inf", "'", '"', "\\", "\\U", "\\x", "F", "|\n", ">\n"),
        *("&x ", "*x", "!!int ", "!", "<<", "---\n", "...\n", "%YAML 1.2\n", "=", "@", "`"),
        *("#", " #", "\t", "\ufeff", "\x85", "\u2028"),
    ]

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.lists(st.sampled_from(WORDS), max_size=25).map("".join))
    def test_any_yaml_gives_a_config_or_a_refusal(self, text: str) -> None:
        self.check(text.encode())

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.sampled_from([*DEFAULTS, "x", ""]), st.text(max_size=60) | st.lists(st.sampled_from(WORDS)).map("".join))
    def test_any_override_gives_a_config_or_a_refusal(self, key: str, text: str) -> None:
        self.check(b"seeds: [0]", f"{key}={text}")

    VALUES = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([-0.0, 1e308]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(st.dictionaries(st.sampled_from([*DEFAULTS, "data", "training", "x.y"]), VALUES, max_size=4))
    def test_any_mapping_gives_a_config_or_a_refusal(self, flat: dict[str, Any]) -> None:
        mapping: dict[str, Any] = {}
        for key, value in flat.items():
            section, _, name = key.rpartition(".")
            inner = mapping.setdefault(section, {}) if section else mapping
            if isinstance(inner, dict):
                inner[name] = value
        try:
            config = resolve(mapping, where="here", name="toy", check_files=False)
        except Refused as error:
            self.check_lines(error)
        else:
            assert all(math.isfinite(x) for x in (config.training.learning_rate, *config.rates))

    def check(self, data: bytes, *overrides: str) -> None:
        Path("toy.yaml").write_bytes(data)
        try:
            assert isinstance(load(Path("toy.yaml"), overrides), Config)
        except Refused as error:
            self.check_lines(error)

    def check_lines(self, error: Refused) -> None:
        assert error.problems
        lines = str(error).split("\n")
        assert len(lines) == len(error.problems)
        assert all(line.isprintable() and "Input should" not in line for line in lines)
        assert len(set(lines)) == len(lines) or "every item" in str(error)


def test_a_long_file_of_mistakes_is_read_in_reasonable_time() -> None:
    lines = refused("\n".join(f"k{number}: 0" for number in range(2000)))
    assert len(lines) == 2000
    assert lines[-1].startswith("toy.yaml:2000: k1999: unknown key")


def test_the_import_brings_no_heavy_library() -> None:
    code = "import sys, dropout_lab.config; print({'torch', 'numpy', 'pandas', 'scipy', 'sklearn'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
