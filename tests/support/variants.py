"""Configs of small networks that differ in all that decides how they train."""

from __future__ import annotations

from typing import Any

from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config

DIGITS = {"data": {"dataset": "digits"}, "network": {"hidden": [97, 100]}, "training": {"epochs": 3}}
VARIANTS: dict[str, dict[str, Any]] = {
    "adam": {},
    "sgd with momentum": {"training": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9, "epochs": 3}},
    "plain sgd": {"training": {"optimizer": "sgd", "learning_rate": 0.1, "epochs": 3}},
    "rmsprop": {"training": {"optimizer": "rmsprop", "momentum": 0.5, "epochs": 3}},
    "penalties and max-norm": {"regularization": {"l1": 1e-4, "l2": 1e-4, "max_norm": 1.0}},
    "batch masks, before tanh": {
        "dropout": {"mask": "batch", "placement": "before"},
        "network": {"activation": "tanh"},
    },
    "input dropout, no hidden": {"dropout": {"input_rate": 0.2, "rate": 0.0}, "network": {"hidden": [64]}},
    "own split by seed": {"data": {"dataset": "digits", "validation_from": "random", "train_size": 500}},
    "five images in the last batch": {"data": {"dataset": "digits", "train_size": 485}},
    "batches of three": {"data": {"dataset": "digits", "train_size": 100}, "training": {"batch_size": 3, "epochs": 3}},
    "rounded products": {"training": {"precision": "bfloat16", "epochs": 3}, "dropout": {"input_rate": 0.1}},
    "scaled at test": {"dropout": {"kind": "bernoulli-scaled", "input_rate": 0.1}},
    "gaussian": {"dropout": {"kind": "gaussian", "placement": "before"}},
    "gaussian-additive": {"dropout": {"kind": "gaussian-additive", "input_rate": 0.2}},
    "alpha": {
        "dropout": {"kind": "alpha", "rate": 0.1},
        "network": {"activation": "selu", "init": "lecun-normal"},
    },
    "dropconnect": {"dropout": {"kind": "dropconnect", "mask": "batch"}},
    "dropconnect, mean weights": {"dropout": {"kind": "dropconnect", "mask": "batch", "samples": 1}},
    "dropconnect per example": {
        "data": {"dataset": "digits", "train_size": 200},
        "dropout": {"kind": "dropconnect"},
        "network": {"hidden": [33, 16]},
    },
    "early": {"dropout": {"schedule": "early", "cutoff": 2}},
    "early-linear": {"dropout": {"schedule": "early-linear", "cutoff": 2, "kind": "gaussian"}},
    "late": {"dropout": {"schedule": "late", "cutoff": 1}},
    "curriculum": {"dropout": {"schedule": "curriculum", "input_rate": 0.2}},
    "weight decay, keras's adam": {
        "regularization": {"weight_decay": 0.1},
        "training": {"epsilon_form": "keras", "decay": 0.9, "epochs": 3},
    },
    "nesterov, rising momentum": {
        "training": {
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "momentum_start": 0.5,
            "momentum_epochs": 2,
            "nesterov": True,
            "dampened": True,
            "decay_steps": 50,
            "epochs": 3,
        }
    },
    "keras's rmsprop": {"training": {"optimizer": "rmsprop", "epsilon_form": "keras", "epochs": 3}},
    "widened": {"network": {"hidden": [24, 40], "widen": True}, "dropout": {"rate": [0.25, 0.5]}},
    "own images and labels": {
        "data": {"dataset": "digits", "train_size": 500, "train_from": "random", "label_noise": 0.3}
    },
    "one unit": {"network": {"hidden": [97, 1]}},
    "ten units": {"network": {"hidden": [10, 7]}},
    "sigmoid": {"network": {"hidden": [48, 31], "activation": "sigmoid"}, "training": {"batch_size": 93, "epochs": 3}},
    "selu": {"network": {"hidden": [48, 31], "activation": "selu"}, "training": {"batch_size": 93, "epochs": 3}},
    "patience": {"training": {"patience": 1, "learning_rate": 0.05, "epochs": 9}},
    "odd sizes": {"network": {"hidden": [33]}, "training": {"batch_size": 50, "epochs": 3}},
}


def config(variant: dict[str, Any] | None = None, **more: Any) -> Config:
    mapping = {key: value | (variant or {}).get(key, {}) for key, value in (DIGITS | {"dropout": {}}).items()}  # type: ignore[operator]
    return configs.resolve(
        {**mapping, **{k: v for k, v in (variant or {}).items() if k not in mapping}, **more}, where="test", name="run"
    )
