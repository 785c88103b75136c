"""What the training of one network costs: seconds, weights and bytes of memory, from its config alone. No torch."""

from __future__ import annotations

import math
from itertools import pairwise

from dropout_lab.config.settings import Config
from dropout_lab.dropout import DROPOUTS

SPEED = 1e11  # floating-point operations per second of a core in a training's products
STEP, MOVED = 4e-5, 1e-9  # seconds that a step takes beside its products: in all, and for each weight (docs/log.md)
TORCH = 560 * 2**20  # bytes of a process that has imported torch and trains nothing
CHUNK = 1000  # images that an evaluation holds at once
FEWEST_ROWS = 16  # examples in a product: fewer are padded, as kernels for fewer than 12 round otherwise (network.py)


def seconds(config: Config, speed: float = SPEED) -> float:
    """Return about how many seconds one seed of `config` takes on one core.

    `speed` is the core's floating-point operations per second. A step takes 6 operations for each weight and image, and
    `MOVED` seconds for each weight. At its end an epoch evaluates the validation images and as many training images: 2
    operations for each weight and image. Trainings took 0.75 to 1.2 times the result (docs/log.md).
    """
    of, size = config.data.size, weights(config)
    validation = of.held_out or of.train * config.data.validation_fraction
    images = min(config.data.train_size or of.train, of.train - validation)
    step = STEP + size * (6 * config.training.batch_size / speed + MOVED)
    evaluated = 2 * size * (validation + min(images, validation)) / speed
    return config.training.epochs * (math.ceil(images / config.training.batch_size) * step + evaluated)


def weights(config: Config) -> int:
    """Return how many weights a network has on its data, biases not counted."""
    of = config.data.size
    return sum(a * b for a, b in pairwise((of.features, *config.widths, of.classes)))


def memory(config: Config, lanes: int) -> int:
    """Return about how many bytes a process holds while it trains `lanes` networks of `config` side by side."""
    of, hidden, batch = config.data.size, config.widths, config.training.batch_size
    own = "random" in (config.data.validation_from, config.data.train_from)  # then each lane evaluates its own images
    held_out = 2 * (of.train - config.data.parts.left(of.train, of.held_out)) * (lanes if own else 1)
    images = 4 * of.features * (of.train * 1.25 + of.test * 1.25 + held_out)  # stored as bytes, used as float32
    parameters = 4 * weights(config) * 8  # weights, gradients, two moments, best weights, copies to save
    logits = 4 * max(16, of.classes) * 4 * of.train  # of one epoch, with the arrays computed from them
    step = 4 * batch * (of.features + 8 * sum(hidden)) + 4 * CHUNK * 2 * max(hidden, default=0)
    step += 4 * 4 * batch * of.features * (config.dropout.input_rate > 0)  # random numbers, scale, shift, result
    examples = max(batch, FEWEST_ROWS) if config.dropout.mask == "example" else 1
    masks = examples * DROPOUTS[config.dropout.kind].mask_bytes((of.features, *hidden), config.rates)
    noise = 4 * 17 * of.train * (config.data.label_noise > 0)  # each lane's labels and targets
    return int(TORCH + images + lanes * (parameters + logits + step + masks + noise))
