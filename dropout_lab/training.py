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

from dropout_lab.config.resolve import Config
from dropout_lab.cost import CHUNK, FEWEST_ROWS
from dropout_lab.data.datasets import Data, noisy, split_as
from dropout_lab.dropout import DROPOUTS, MASKS, NONE, Draw, Noise, shares
from dropout_lab.network import ALIGNMENT, Network, cross_entropy, empty, empty_like, padded
from dropout_lab.optimizer import Optimizer, pace
from dropout_lab.runs.read import Outcome, Row, Snapshot
from dropout_lab.streams import stream

NARROW = 12  # units
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

    A lane whose loss is no longer finite ends at once as "diverged"; the others go on undisturbed, as they do where one
    runs out of patience. The test split is read once, at the very end of a lane, with its last weights and with those
    of its best epoch (lowest validation loss).
    """
    if threads > 1 and not threads_flush(threads):  # before anything else here could start torch's threads
        threads = 1
    config = lanes[0].config
    state = State(lanes, data, device)
    if any(width < NARROW for width in state.network.sizes[:-1]):
        threads = 1  # of widths under 12, products differ between 1 thread and 2 (docs/log.md)
    elif any(width % ALIGNMENT for width in state.network.sizes[:-1]):
        threads = min(threads, 2)  # of odd widths, between 2 threads and 3
    settings, dropout = config.data, config.dropout
    seeds = [lane.seed for lane in lanes]
    if len(set(seeds)) == 1:
        seeds = seeds[:1]  # all lanes see the same images in the same order: one copy stands for all
    splits = [split_as(settings, len(data.images), seed) for seed in seeds]
    labels = data.labels[None]
    if settings.label_noise:
        labels = noisy(data.labels, [indices for indices, _ in splits], settings.label_noise, data.classes, seeds)
    clean = select(data.images, labels, [indices[: len(held_out)] for indices, held_out in splits])
    validation = select(data.images, data.labels[None], [held_out for _, held_out in splits])
    targets = torch.nn.functional.one_hot(labels, padded(data.classes)).to(data.images.dtype)
    batch, epochs = config.training.batch_size, config.training.epochs
    sizes, examples = state.network.sizes, max(batch, FEWEST_ROWS)
    noises = [noise(lanes, layer, sizes, examples, device) for layer in range(len(sizes) - 1)]
    steps = -(-len(splits[0][0]) // batch)
    training = set(range(len(lanes)))
    first = lanes[0].snapshot.last.epoch + 1 if lanes[0].snapshot else 1

    for epoch in range(first, epochs + 1):
        if stopped := state.out_of_patience(training):
            yield from state.outcomes(stopped)
            training.difference_update(stopped)
            if not training:
                return
        started = time.perf_counter()
        force = shares(dropout.schedule, dropout.cutoff, dropout.gamma, epoch, steps, epochs)
        masks = [layer.steps(epoch, force) if layer else repeat(NONE) for layer in noises]
        order = shuffled([indices for indices, _ in splits], seeds, epoch).to(device)
        mini_batches = paced(batches(data.images, targets, order, batch), steps, threads)
        paces = [pace(config.training, epoch, step, steps) for step in range(steps)]
        with denormals_flushed():
            logits = train_epoch(state, mini_batches, masks, paces, config)
            losses, right = cross_entropy(logits, torch.take_along_dim(labels, order, 1))
            validated = evaluate(state.network, *clean), evaluate(state.network, *validation)
        rates = [lane.config.mean_rate * float(force.mean()) for lane in lanes]
        numbers = means(losses), means(right), *validated[0], *validated[1], rates
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
    state: State,
    mini_batches: Iterable[tuple[Tensor, Tensor, int]],
    masks: Sequence[Iterator[Draw]],
    paces: Sequence[tuple[float, float]],
    config: Config,
) -> Tensor:
    """Run every step of one epoch, and return the logits of its steps, (lanes, examples, padded classes).

    Loss and accuracy come of these: with dropout on and while the weights move, as Keras logs them. `paces` are the
    learning rate and the momentum of each step.
    """
    network, penalty = state.network, config.regularization
    logits = []
    for (x, targets, count), (rate, momentum) in zip(mini_batches, paces, strict=True):
        output = network.forward(x, [cut(next(mask), x.shape[1]) for mask in masks])
        logits.append(output[:, :count])
        delta = torch.softmax(output, 2, out=empty_like(output)).sub_(targets).mul_(1 / count)
        if count < FEWEST_ROWS:
            delta[:, count:] = 0
        network.backward(delta)
        if penalty.l1 or penalty.l2:
            network.penalize(penalty.l1, penalty.l2)
        if penalty.weight_decay:
            network.decay(rate * penalty.weight_decay)
        state.optimizer.step(rate, momentum)
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

    order: (lanes or 1, images), indices into all images (n, inputs) and into the targets of all lanes or of each one,
    (lanes or 1, n, padded classes). Both are gathered into buffers that the next batch overwrites. The last batch may
    be smaller; one of fewer than 16 images is filled up with others, that must have no part in the loss.
    """
    lanes, inputs = len(order), all_images.shape[1]
    starts = torch.arange(len(all_targets), device=order.device)[:, None] * len(all_images)
    all_targets = all_targets.flatten(0, 1)
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
        places_of_targets = index + starts if len(starts) > 1 else index
        x = torch.index_select(all_images, 0, index.reshape(-1), out=images[: lanes * filled])
        y = torch.index_select(all_targets, 0, places_of_targets.reshape(-1), out=targets[: lanes * filled])
        if count not in places:
            places[count] = x.view(lanes, filled, -1)[:, :rows], y.view(lanes, filled, -1)[:, :rows]
        yield *places[count], count


def select(images: Tensor, labels: Tensor, indices: Sequence[Tensor]) -> Batch:
    """Gather from images (n, inputs) and labels (lanes or 1, n) what is at one index list per lane; where all have the
    same list, its images only once."""
    if all(torch.equal(other, indices[0]) for other in indices[1:]):
        indices = indices[:1]
    stacked = torch.stack(list(indices)).to(images.device)
    gathered = empty(images, len(indices), stacked.shape[1], images.shape[1])
    for own, index in zip(gathered, stacked, strict=True):
        torch.index_select(images, 0, index, out=own)
    return gathered, torch.take_along_dim(labels, stacked, 1)


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


def network(lanes: Sequence[Lane], data: Data, device: str = "cpu", products: torch.dtype | None = None) -> Network:
    """Return networks for `lanes` on `data`, their weights still 0; `products` is the type of training's products."""
    config = lanes[0].config
    result = Network(
        len(lanes),
        (data.images.shape[1], *config.widths, data.classes),
        config.network.activation,
        config.dropout.placement,
        device=device,
        products=products,
        samples=DROPOUTS[config.dropout.kind].samples(config.dropout.samples),
    )
    result.at_test = [at_test(lanes, layer, device) for layer in range(len(result.sizes) - 1)]
    return result


def noise(
    lanes: Sequence[Lane], layer: int, sizes: Sequence[int], rows: int, device: str = "cpu", purpose: str = MASKS
) -> Noise | None:
    """Return the noise of `rows` examples on the input (layer 0), or behind or within hidden layer 1, 2, ..., of
    networks of these layer widths; None where no lane has any."""
    dropout, rates = lanes[0].config.dropout, rates_of(lanes, layer)
    if not any(rates):
        return None
    shape = (rows if dropout.mask == "example" else 1, DROPOUTS[dropout.kind].units(sizes, layer))
    return Noise(dropout.kind, rates, [lane.seed for lane in lanes], layer, shape, device, purpose=purpose)


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
        self.data, self.patience = data, config.training.patience
        self.network = network(lanes, data, device, getattr(torch, config.training.precision))
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

    def out_of_patience(self, lanes: Iterable[int]) -> list[int]:
        """Return those of `lanes` whose validation loss has not fallen for `patience` epochs."""
        rows = ((lane, self.last[lane], self.best[lane]) for lane in sorted(lanes))
        patience = math.inf if self.patience is None else self.patience
        return [lane for lane, last, best in rows if last and best and last.epoch - best.epoch >= patience]

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
        """Read the test split, with the last weights and with the best ones, and yield what each of `lanes` came to.

        With patience, training goes back to the best epoch at its end: what it ends with are the best weights.
        """
        data, network, lanes = self.data, self.network, list(lanes)
        if self.patience is not None:
            self.parameters[lanes] = self.best_parameters[lanes]
        images, labels = data.test_images[None], data.test_labels[None]
        with denormals_flushed():  # as torch's threads do it, so that their number does not show
            logits = predict(network, images)
            probabilities = torch.softmax(logits, 2)[..., : data.classes]
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
                "last": final(last if self.patience is None else best, *at_last[lane]),
                "best": final(best, *at_best[lane]),
            }
            test = {
                "labels": data.test_labels,
                "predictions": logits[lane].argmax(1),
                "probabilities": probabilities[lane],
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
