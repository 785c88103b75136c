"""READ FIRST: the epoch loop. Lanes in, rows out; no files, no printing, no global state.

`train` is a generator: after every epoch it yields an `Epoch` with a row per lane, and at the end one `Ended` per lane.
Whoever consumes it records and shows. Next stops: `network.py` (forward and backward), then `dropout.py` (masks).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from dropout_lab.config import Config
from dropout_lab.data import Data, split
from dropout_lab.dropout import DROPOUTS, Draw, Noise
from dropout_lab.network import ALIGNMENT, FEWEST_ROWS, NONE, Network, cross_entropy, empty, empty_like, padded
from dropout_lab.optimizer import Optimizer
from dropout_lab.runs import Outcome, Row, Snapshot
from dropout_lab.schedule import CHUNK
from dropout_lab.streams import stream

TRIAL = 8  # steps, at most, to tell which number of threads is faster

Item = TypeVar("Item")
Batch = tuple[Tensor, Tensor]  # images (lanes, rows, inputs) and labels (lanes, rows); 1 lane stands for all


@dataclass(frozen=True)
class Lane:
    """One network to train: a config, one seed, and where an interrupted training had come to."""

    config: Config
    seed: int
    snapshot: Snapshot | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch: the row of every lane still training, the wall-clock seconds of each one's share, and a way to save a
    lane as it is now (to be called before the next epoch starts)."""

    rows: dict[int, Row]
    seconds: float
    snapshot: Callable[[int], Snapshot]


@dataclass(frozen=True)
class Ended:
    """What became of one lane."""

    lane: int
    outcome: Outcome


@torch.no_grad()
def train(lanes: Sequence[Lane], data: Data, device: str = "cpu", threads: int = 1) -> Iterator[Epoch | Ended]:
    """Train `lanes`, which share one `lane_key` and start from the same epoch, and yield what happens.

    `threads` is the most that may be used; the numbers do not depend on it.

    A lane whose loss is no longer finite ends at once as "diverged"; the others go on undisturbed. The test split is
    read once, at the very end, with the last weights and with those of the best epoch (lowest validation loss).
    """
    if threads > 1 and not threads_flush(threads):  # before anything else here could start torch's threads
        threads = 1
    config = lanes[0].config
    state = State(lanes, data, device)
    if any(width % ALIGNMENT for width in state.network.sizes[:-1]):
        threads = min(threads, 2)  # of odd widths, products differ between 2 threads and 3 (docs/log.md)
    settings = config.data.validation_fraction, config.data.validation_from, config.data.train_size
    seeds = [lane.seed for lane in lanes]
    if len(set(seeds)) == 1:
        seeds = seeds[:1]  # all lanes see the same images in the same order: one copy stands for all
    splits = [split(len(data.images), *settings, seed) for seed in seeds]
    clean = select(data, [indices[: len(held_out)] for indices, held_out in splits])
    validation = select(data, [held_out for _, held_out in splits])
    noises = [noise(lanes, layer, width, device) for layer, width in enumerate(state.network.sizes[:-1])]
    targets = torch.nn.functional.one_hot(data.labels, padded(data.classes)).to(data.images.dtype)
    batch = config.training.batch_size
    steps = -(-len(splits[0][0]) // batch)
    training = set(range(len(lanes)))
    first = lanes[0].snapshot.last.epoch + 1 if lanes[0].snapshot else 1

    for epoch in range(first, config.training.epochs + 1):
        started = time.perf_counter()
        masks = [layer.steps(epoch, steps) if layer else repeat(NONE) for layer in noises]
        order = shuffled([indices for indices, _ in splits], seeds, epoch).to(device)
        mini_batches = paced(batches(data.images, targets, order, batch), steps, threads)
        with denormals_flushed():
            logits = train_epoch(state, mini_batches, masks, config)
            losses, right = cross_entropy(logits, data.labels[order])
            validated = evaluate(state.network, *clean), evaluate(state.network, *validation)
        numbers = means(losses), means(right), *validated[0], *validated[1]
        rows = [Row(lane.seed, epoch, *n) for lane, *n in zip(lanes, *numbers, strict=True)]
        for lane in sorted(training):
            if math.isfinite(rows[lane].train_loss) and math.isfinite(rows[lane].val_loss):
                state.record(lane, rows[lane])
            else:
                training.remove(lane)
                yield Ended(lane, diverged(losses[lane], batch, epoch, data))
        if not training:
            return
        seconds = (time.perf_counter() - started) / len(lanes)
        yield Epoch({lane: rows[lane] for lane in sorted(training)}, seconds, state.snapshot)

    yield from state.outcomes(sorted(training))


def train_epoch(
    state: State, mini_batches: Iterable[tuple[Tensor, Tensor, int]], masks: Sequence[Iterator[Draw]], config: Config
) -> Tensor:
    """Run every step of one epoch, and return the logits of its steps, (lanes, examples, padded classes).

    Loss and accuracy come of these: with dropout on and while the weights move, as Keras logs them.
    """
    network, penalty = state.network, config.regularization
    logits = []
    for x, targets, count in mini_batches:
        output = network.forward(x, [cut(next(mask), x.shape[1]) for mask in masks])
        logits.append(output[:, :count])
        delta = torch.softmax(output, 2, out=empty_like(output)).sub_(targets).mul_(1 / count)
        if count < FEWEST_ROWS:
            delta[:, count:] = 0
        network.backward(delta)
        if penalty.l1 or penalty.l2:
            network.penalize(penalty.l1, penalty.l2)
        state.optimizer.step()
        if penalty.max_norm is not None:
            network.project(penalty.max_norm)
    return torch.cat(logits, 1)


def diverged(losses: Tensor, batch: int, epoch: int, data: Data) -> Outcome:
    """Return the outcome of a lane whose `losses` (examples,) of this epoch, or its validation loss, are not finite."""
    bad = (~torch.isfinite(losses)).nonzero()
    step = (int(bad[0]) if len(bad) else len(losses) - 1) // batch + 1
    return Outcome({"status": "diverged", "epoch": epoch, "step": step}, {}, data.sha256)


def shuffled(indices: Sequence[Tensor], seeds: Sequence[int], epoch: int) -> Tensor:
    """Return each lane's images in the order of this epoch, (lanes, images), from streams (seed, "order", epoch)."""
    orders = [stream(seed, "order", epoch).permutation(own.numpy()) for own, seed in zip(indices, seeds, strict=True)]
    return torch.from_numpy(np.stack(orders))


def paced(steps: Iterable[Item], count: int, threads: int) -> Iterator[Item]:
    """Pass the `count` steps of an epoch on, with as many threads, at most `threads`, as got through a few soonest.

    A second thread helps a small network by a seventh where the core is free, and costs it a factor of ten where
    another program has it (docs/log.md), so every epoch finds out anew. No number depends on the outcome.
    """
    trial = max(1, min(TRIAL, count // 64))
    choices = [threads // 2**halvings for halvings in reversed(range(threads.bit_length()))]
    seconds = dict.fromkeys(choices, math.inf)
    chosen, started = 1, 0.0
    for number, item in enumerate(steps):
        turn, place = divmod(number, trial)
        if place == 0 and turn <= 2 * len(choices):
            now = time.perf_counter()
            if turn:
                seconds[chosen] = min(seconds[chosen], now - started)
            more = turn < 2 * len(choices)
            chosen = choices[turn % len(choices)] if more else min(choices, key=seconds.__getitem__)
            torch.set_num_threads(chosen)
            started = now
        yield item


@contextlib.contextmanager
def denormals_flushed() -> Iterator[None]:
    """Take numbers under 1e-38 for 0, as Keras does: the optimizer's averages of idle weights, which slow it by half.

    The flag is a thread's own, and new threads inherit it: torch's are to be started in here (`threads_flush`).
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@lru_cache
def threads_flush(threads: int) -> bool:
    """Start torch's threads, and return whether all take denormals for 0: not those that another program started."""
    before = torch.get_num_threads()
    tiny = torch.from_numpy(np.full(threads * 2**16, 1e-40, np.float32))
    torch.set_num_threads(threads)
    with denormals_flushed():
        tiny.mul_(0.5)
    torch.set_num_threads(before)
    return not tiny.view(torch.int32).any()


def batches(all_images: Tensor, all_targets: Tensor, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield the mini-batches of one epoch: images (lanes or 1, rows, inputs), targets (lanes or 1, rows, padded
    classes), and how many of the rows count.

    order: (lanes or 1, images), indices into all images (n, inputs) and targets (n, padded classes). Both are gathered
    into buffers that the next batch overwrites. The last batch may be smaller; one of fewer than 16 images is filled up
    with others, that must have no part in the loss.
    """
    lanes, inputs = len(order), all_images.shape[1]
    spare = ALIGNMENT // math.gcd(inputs, ALIGNMENT)  # every lane's images must be a multiple of this many rows
    most = -(-max(size, FEWEST_ROWS) // spare) * spare
    images, targets = (table.new_empty(lanes * most, table.shape[1]) for table in (all_images, all_targets))
    places: dict[int, tuple[Tensor, Tensor]] = {}  # by number of images: the parts of the buffers
    for index in torch.split(order, size, 1):
        count = index.shape[1]
        rows = max(count, FEWEST_ROWS)
        filled = -(-rows // spare) * spare
        if filled > count:
            index = torch.nn.functional.pad(index, (0, filled - count))
        index = index.reshape(-1)
        x = torch.index_select(all_images, 0, index, out=images[: lanes * filled])
        y = torch.index_select(all_targets, 0, index, out=targets[: lanes * filled])
        if count not in places:
            places[count] = x.view(lanes, filled, -1)[:, :rows], y.view(lanes, filled, -1)[:, :rows]
        yield *places[count], count


def select(data: Data, indices: Sequence[Tensor]) -> Batch:
    """Gather images and labels of one index list per lane; where all lanes have the same one, only once."""
    if all(torch.equal(other, indices[0]) for other in indices[1:]):
        indices = indices[:1]
    stacked = torch.stack(list(indices)).to(data.images.device)
    images = empty(data.images, len(indices), stacked.shape[1], data.images.shape[1])
    for own, index in zip(images, stacked, strict=True):
        torch.index_select(data.images, 0, index, out=own)
    return images, data.labels[stacked]


def evaluate(network: Network, images: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """Return the mean loss and the accuracy (0 to 1) of every lane with dropout off."""
    return score(predict(network, images), labels)


def score(logits: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """Return every lane's mean loss and accuracy from logits (lanes, images, classes)."""
    losses, right = cross_entropy(logits, labels)
    return means(losses), means(right)


def predict(network: Network, images: Tensor) -> Tensor:
    """Return the logits (lanes, images, classes) with dropout off, a chunk of images at a time."""
    count = images.shape[1]
    if count < FEWEST_ROWS:
        images = torch.nn.functional.pad(images, (0, 0, 0, FEWEST_ROWS - count))
    chunks = images.tensor_split(-(-images.shape[1] // CHUNK), 1)  # of nearly one size, so none has too few rows
    return torch.cat([network.predict(x) for x in chunks], 1)[:, :count]


def means(values: Tensor) -> list[float]:
    """Return each lane's mean, summed in float64 by NumPy: the same order of summation for any number of lanes."""
    return [float(row.mean(dtype=np.float64)) for row in values.cpu().numpy()]


def noise(lanes: Sequence[Lane], layer: int, width: int, device: str) -> Noise | None:
    """Return the dropout noise on the input (layer 0) or behind hidden layer 1, 2, ...; None where no lane has any."""
    config, rates = lanes[0].config, rates_of(lanes, layer)
    if not any(rates):
        return None
    rows = max(config.training.batch_size, FEWEST_ROWS) if config.dropout.mask == "example" else 1
    return Noise(config.dropout.kind, rates, [lane.seed for lane in lanes], layer, (rows, width), device)


def at_test(lanes: Sequence[Lane], layer: int, device: str) -> Tensor | None:
    """Return by what evaluation multiplies that layer's output, (lanes, 1, 1); None where by 1."""
    factor = DROPOUTS[lanes[0].config.dropout.kind].at_test
    factors = [factor(rate) for rate in rates_of(lanes, layer)]
    return torch.tensor(factors, device=device).view(-1, 1, 1) if set(factors) != {1.0} else None


def rates_of(lanes: Sequence[Lane], layer: int) -> list[float]:
    """Return each lane's dropout rate on the input (layer 0) or behind hidden layer 1, 2, ..."""
    return [(lane.config.dropout.input_rate, *lane.config.rates)[layer] for lane in lanes]


def cut(drawn: Draw, rows: int) -> Draw:
    """Return the noise of the first `rows` examples."""
    scale, shift = (part if part is None or part.shape[1] <= rows else part[:, :rows] for part in drawn)
    return scale, shift


class State:
    """What changes during training: the networks, their optimizer, and each lane's rows and best weights so far."""

    def __init__(self, lanes: Sequence[Lane], data: Data, device: str) -> None:
        """Start every lane from its first weights, or all from their snapshots."""
        config = lanes[0].config
        sizes = (data.images.shape[1], *config.network.hidden, data.classes)
        self.data = data
        self.network = Network(
            len(lanes),
            sizes,
            config.network.activation,
            config.dropout.placement,
            device=device,
            products=getattr(torch, config.training.precision),
        )
        self.network.at_test = [at_test(lanes, layer, device) for layer in range(len(sizes) - 1)]
        self.parameters = self.network.parameters
        assert self.parameters.grad is not None
        self.optimizer = Optimizer(config.training, self.parameters.data, self.parameters.grad)
        self.last: list[Row | None] = [lane.snapshot.last if lane.snapshot else None for lane in lanes]
        self.best: list[Row | None] = [lane.snapshot.best if lane.snapshot else None for lane in lanes]
        for index, lane in enumerate(lanes):
            self.network.initialize(index, config.network.init, lane.seed)
        self.best_parameters = self.parameters.detach().clone()
        self.restore([lane.snapshot.arrays for lane in lanes if lane.snapshot])

    def record(self, lane: int, row: Row) -> None:
        """Note the row, and keep the weights where its validation loss is the lowest so far."""
        self.last[lane], best = row, self.best[lane]
        if best is None or row.val_loss < best.val_loss:
            self.best[lane] = row
            self.best_parameters[lane] = self.parameters[lane]

    def snapshot(self, lane: int) -> Snapshot:
        """Copy all that this lane's training depends on. The random streams are named by epoch and need no saving."""
        last, best = self.last[lane], self.best[lane]
        assert last and best, "a snapshot is taken after an epoch"
        arrays = {"parameters": self.parameters[lane], "best_parameters": self.best_parameters[lane]}
        for key, value in self.optimizer.state.items():
            arrays["optimizer." + key] = value[lane] if value.shape == self.parameters.shape else value
        return Snapshot(last, best, {key: value.detach().cpu().numpy().copy() for key, value in arrays.items()})

    def restore(self, saved: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Go on from the arrays of one snapshot per lane; none at all is a fresh start."""
        if not saved:
            return
        stacked = {key: torch.from_numpy(np.stack([arrays[key] for arrays in saved])) for key in saved[0]}
        self.parameters.copy_(stacked["parameters"])
        self.best_parameters.copy_(stacked["best_parameters"])
        for key, value in self.optimizer.state.items():
            value.copy_(
                stacked["optimizer." + key] if value.shape == self.parameters.shape else stacked["optimizer." + key][0]
            )

    def outcomes(self, lanes: Iterable[int]) -> Iterator[Ended]:
        """Read the test split, with the last weights and with the best ones, and yield what each of `lanes` came to."""
        data, network = self.data, self.network
        images, labels = data.test_images[None], data.test_labels[None]
        logits = predict(network, images)
        at_last, weights = list(zip(*score(logits, labels), strict=True)), self.weights("last")
        last_parameters = self.parameters.detach().clone()
        self.parameters.copy_(self.best_parameters)
        at_best, best_weights = list(zip(*evaluate(network, images, labels), strict=True)), self.weights("best")
        self.parameters.copy_(last_parameters)
        for lane in lanes:
            last, best = self.last[lane], self.best[lane]
            assert last and best
            facts = {
                "status": "finished",
                "epochs": last.epoch,
                "best_epoch": best.epoch,
                "last": final(last, *at_last[lane]),
                "best": final(best, *at_best[lane]),
            }
            test = {
                "labels": data.test_labels,
                "predictions": logits[lane].argmax(1),
                "probabilities": torch.softmax(logits[lane], 1)[:, : data.classes],
            }
            arrays = {**weights[lane], **best_weights[lane], **{name: t.cpu().numpy() for name, t in test.items()}}
            yield Ended(lane, Outcome(facts, arrays, data.sha256))

    def weights(self, when: str) -> list[dict[str, np.ndarray]]:
        """Copy every lane's weights as `torch.nn.Linear` has them: "<when>.<layer>.weight" (out, in) and ".bias"."""
        layers = list(zip(self.network.weights, self.network.biases, strict=True))
        return [
            {
                name: np.array(array.cpu().numpy(), order="C")
                for layer, (weight, bias) in enumerate(layers)
                for name, array in (
                    (f"{when}.{layer}.weight", weight[lane].mT),
                    (f"{when}.{layer}.bias", bias[lane, 0]),
                )
            }
            for lane in range(len(self.parameters))
        ]


def final(row: Row, test_loss: float, test_accuracy: float) -> dict[str, float]:
    """Return what the summary says of one epoch."""
    return {
        "val_loss": row.val_loss,
        "val_accuracy": row.val_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
    }
