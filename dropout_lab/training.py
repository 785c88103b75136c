"""READ FIRST: the epoch loop. Lanes go in, rows come out; no files, no printing.

`train` is a generator: after every epoch it yields an `Epoch` with one row per lane, and for every lane that ends one
`Ended`. Its caller records and shows them. Next stops: `network.py` (forward and backward), then `dropout.py` (masks).
While it trains, torch's number of threads changes (`threads.py`); at the end it is as it was found.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from torch import Tensor

from dropout_lab.config.settings import Config
from dropout_lab.cost import CHUNK, FEWEST_ROWS
from dropout_lab.data.datasets import Data
from dropout_lab.data.split import noisy, sample
from dropout_lab.dropout import DROPOUTS, MASKS, NONE, Draw, Noise, shares
from dropout_lab.network import ALIGNMENT, Network, cross_entropy, empty, empty_like, padded
from dropout_lab.optimizer import Optimizer, learning_rate_and_momentum
from dropout_lab.runs.row import Outcome, Row, Snapshot
from dropout_lab.runs.summary import DivergedSeed, FinishedSeed, Results
from dropout_lab.streams import stream
from dropout_lab.threads import Threads, denormals_flushed, usable_threads


@dataclass(frozen=True)
class Lane:
    """One network to train: a config, one seed, and the snapshot of an interrupted training to go on from."""

    config: Config
    seed: int
    snapshot: Snapshot | None = None

    def seed_of(self, purpose: str) -> int:
        """Return the seed that the stream `purpose` is drawn from: this lane's, unless its config says another."""
        return self.config.streams.seed_of(purpose, self.seed)


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    rows: the row of every lane that still trains. seconds: wall-clock time of the epoch, divided by the lanes.
    snapshot: returns what one lane needs to go on from here; call it before the next epoch starts.
    """

    rows: dict[int, Row]
    seconds: float
    snapshot: Callable[[int], Snapshot]


@dataclass(frozen=True)
class Ended:
    """The end of one lane, and its outcome."""

    lane: int
    outcome: Outcome


@torch.no_grad()
def train(lanes: Sequence[Lane], data: Data, device: str = "cpu", threads: int = 1) -> Iterator[Epoch | Ended]:
    """Train `lanes` side by side, and yield what happens. They share one `lane_key` and start from the same epoch.

    At most `threads` threads are used; the numbers do not depend on it.

    A lane whose loss is no longer finite ends at once as "diverged", and a lane that runs out of patience ends too; the
    others go on undisturbed. The test split is read once per lane, at its very end: with its last weights, and with
    those of its best epoch (lowest validation loss).
    """
    config = lanes[0].config
    threads = usable_threads(threads, (data.images.shape[1], *config.widths, data.classes))
    state, examples = State(lanes, data, device), Examples(lanes, data)
    batch, epochs = config.training.batch_size, config.training.epochs
    steps, sizes = examples.steps, state.network.sizes
    noises = [noise(lanes, layer, sizes, max(batch, FEWEST_ROWS), device) for layer in range(len(sizes) - 1)]
    unfinished = set(range(len(lanes)))
    first = lanes[0].snapshot.last.epoch + 1 if lanes[0].snapshot else 1

    with Threads(threads) as torch_threads:
        for epoch in range(first, epochs + 1):
            if stopped := state.out_of_patience(unfinished):
                yield from state.outcomes(stopped)
                unfinished.difference_update(stopped)
                if not unfinished:
                    return
            started = time.perf_counter()
            force = shares(config.dropout.schedule, config.dropout.cutoff, config.dropout.gamma, epoch, steps, epochs)
            masks = [layer.steps(epoch, force) if layer else repeat(NONE) for layer in noises]
            order = examples.shuffled(epoch).to(device)
            mini_batches = torch_threads.fastest(batches(data.images, examples.targets, order, batch), steps)
            moves = [learning_rate_and_momentum(config.training, epoch, step, steps) for step in range(steps)]
            with denormals_flushed():
                logits = train_epoch(state, mini_batches, masks, moves, config)
                losses, right = cross_entropy(logits, torch.take_along_dim(examples.labels, order, 1))
                clean = evaluate(state.network, *examples.clean)
                validation = evaluate(state.network, *examples.validation)
            rates = [lane.config.mean_rate * float(force.mean()) for lane in lanes]
            columns = means(losses), means(right), *clean, *validation, rates
            rows = [Row(lane.seed, epoch, *values) for lane, *values in zip(lanes, *columns, strict=True)]
            for lane in sorted(unfinished):
                if math.isfinite(rows[lane].train_loss) and math.isfinite(rows[lane].val_loss):
                    state.record(lane, rows[lane])
                else:
                    unfinished.remove(lane)
                    yield Ended(lane, diverged(losses[lane], batch, epoch, data))
            if not unfinished:
                return
            seconds = (time.perf_counter() - started) / len(lanes)
            yield Epoch({lane: rows[lane] for lane in sorted(unfinished)}, seconds, state.snapshot)

        yield from state.outcomes(sorted(unfinished))


def train_epoch(
    state: State,
    mini_batches: Iterable[tuple[Tensor, Tensor, int]],
    masks: Sequence[Iterator[Draw]],
    moves: Sequence[tuple[float, float]],
    config: Config,
) -> Tensor:
    """Run every step of one epoch, and return the logits of its steps, (lanes, examples, padded classes).

    The row's loss and accuracy are computed from these logits: with dropout on and while the weights move, as Keras
    logs them. `moves` holds the learning rate and the momentum of each step.
    """
    network, penalty = state.network, config.regularization
    logits = []
    for (x, targets, count), (learning_rate, momentum) in zip(mini_batches, moves, strict=True):
        output = network.forward(x, [cut(next(mask), x.shape[1]) for mask in masks])
        logits.append(output[:, :count])
        delta = torch.softmax(output, 2, out=empty_like(output)).sub_(targets).mul_(1 / count)
        if count < FEWEST_ROWS:
            delta[:, count:] = 0
        network.backward(delta)
        if penalty.l1 or penalty.l2:
            network.penalize(penalty.l1, penalty.l2)
        if penalty.weight_decay:
            network.decay(learning_rate * penalty.weight_decay)
        state.optimizer.step(learning_rate, momentum)
        if penalty.max_norm is not None:
            network.project(penalty.max_norm)
    return torch.cat(logits, 1)


def diverged(losses: Tensor, batch: int, epoch: int, data: Data) -> Outcome:
    """Return the outcome of a lane whose `losses` (examples,) in this epoch, or its validation loss, are not finite."""
    bad = (~torch.isfinite(losses)).nonzero()
    step = (int(bad[0]) if len(bad) else len(losses) - 1) // batch + 1
    return Outcome(DivergedSeed(epoch=epoch, step=step), {}, data.sha256)


class Examples:
    """The examples that lanes learn from and are evaluated on. If all lanes draw them alike, one copy stands for all.

    labels: (lanes or 1, n), of all training images, with label noise. targets: the same, one-hot, (lanes or 1, n,
    padded classes). clean: as many training images as there are validation images, the first ones; of a user's own
    data, whose file may be in order, a random sample. validation: with true labels. steps: of one epoch.
    """

    def __init__(self, lanes: Sequence[Lane], data: Data) -> None:
        settings = lanes[0].config.data
        drawn = [[lane.seed_of(purpose) for purpose in ("order", "split", "subset", "label noise")] for lane in lanes]
        self.orders, *seeds = zip(*(drawn[:1] if drawn.count(drawn[0]) == len(drawn) else drawn), strict=True)
        true_labels = data.labels.cpu().numpy()
        splits = [settings.parts.divide(true_labels, data.held_out, own) for own in zip(*seeds[:2], strict=True)]
        self.indices = [indices for indices, _ in splits]
        self.steps = -(-len(self.indices[0]) // lanes[0].config.training.batch_size)
        self.labels = data.labels[None]
        if settings.label_noise:
            self.labels = noisy(data.labels, self.indices, settings.label_noise, data.classes, seeds[2])
        self.targets = torch.nn.functional.one_hot(self.labels, padded(data.classes)).to(data.images.dtype)
        first = sample if settings.is_own else lambda indices, count: indices[:count]
        self.clean = select(data.images, self.labels, [first(indices, len(held_out)) for indices, held_out in splits])
        self.validation = select(data.images, data.labels[None], [held_out for _, held_out in splits])

    def shuffled(self, epoch: int) -> Tensor:
        """Return the order of this epoch's images, (lanes or 1, images), from the stream (seed, "order", epoch)."""
        pairs = zip(self.indices, self.orders, strict=True)
        orders = [stream(seed, "order", epoch).permutation(indices.numpy()) for indices, seed in pairs]
        return torch.from_numpy(np.stack(orders))


def batches(all_images: Tensor, all_targets: Tensor, order: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield the mini-batches of one epoch: images (lanes or 1, batch, inputs), targets (lanes or 1, batch, padded
    classes), and how many of these examples count.

    order: (lanes or 1, images), indices into all images (n, inputs) and into the targets, (lanes or 1, n, padded
    classes). Both are gathered into buffers that the next batch overwrites. The last batch may be smaller; a batch of
    fewer than 16 images is filled up with other images, which must have no part in the loss.
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


def select(images: Tensor, labels: Tensor, indices: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return images (lanes or 1, m, inputs) and labels (lanes or 1, m), at one list of m indices per lane, out of all
    images (n, inputs) and labels (lanes or 1, n). If all lanes have the same list, its images are there only once.
    """
    if all(torch.equal(other, indices[0]) for other in indices[1:]):
        indices = indices[:1]
    stacked = torch.stack(list(indices)).to(images.device)
    gathered = empty(images, len(indices), stacked.shape[1], images.shape[1])
    for of_lane, index in zip(gathered, stacked, strict=True):
        torch.index_select(images, 0, index, out=of_lane)
    return gathered, torch.take_along_dim(labels, stacked, 1)


def evaluate(
    network: Network, images: Tensor, labels: Tensor, parameters: Tensor | None = None
) -> tuple[list[float], list[float]]:
    """Return every lane's mean loss and accuracy with dropout off, by the network's parameters or `parameters`."""
    return score(predict(network, images, parameters), labels)


def score(logits: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """Return every lane's mean loss and accuracy from logits (lanes, images, classes)."""
    losses, right = cross_entropy(logits, labels)
    return means(losses), means(right)


def predict(network: Network, images: Tensor, parameters: Tensor | None = None) -> Tensor:
    """Return the logits (lanes, images, classes) with dropout off, computed a chunk of images at a time."""
    count = images.shape[1]
    if count < FEWEST_ROWS:
        images = torch.nn.functional.pad(images, (0, 0, 0, FEWEST_ROWS - count))
    chunks = images.tensor_split(-(-images.shape[1] // CHUNK), 1)  # of nearly one size, so none has too few images
    return torch.cat([network.predict(x, parameters=parameters) for x in chunks], 1)[:, :count]


def means(values: Tensor) -> list[float]:
    """Return each lane's mean. NumPy sums in float64, in the same order for any number of lanes."""
    return [float(of_lane.mean(dtype=np.float64)) for of_lane in values.cpu().numpy()]


def network(lanes: Sequence[Lane], data: Data, device: str = "cpu", products: torch.dtype | None = None) -> Network:
    """Return networks for `lanes` on `data`, with all weights 0; `products` is the type of training's products."""
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
    lanes: Sequence[Lane], layer: int, sizes: Sequence[int], examples: int, device: str = "cpu", purpose: str = MASKS
) -> Noise | None:
    """Return the noise of the input (layer 0) or of hidden layer 1, 2, ...; None if no lane has dropout there."""
    dropout, rates = lanes[0].config.dropout, rates_of(lanes, layer)
    if not any(rates):
        return None
    shape = (examples if dropout.mask == "example" else 1, DROPOUTS[dropout.kind].units(sizes, layer))
    return Noise(dropout.kind, rates, [lane.seed_of(purpose) for lane in lanes], layer, shape, device, purpose=purpose)


def at_test(lanes: Sequence[Lane], layer: int, device: str) -> Tensor | None:
    """Return the factor by which evaluation multiplies that layer's output, (lanes, 1, 1); None if it is 1."""
    factor = DROPOUTS[lanes[0].config.dropout.kind].at_test
    factors = [factor(rate) for rate in rates_of(lanes, layer)]
    return torch.tensor(factors, device=device).view(-1, 1, 1) if set(factors) != {1.0} else None


def rates_of(lanes: Sequence[Lane], layer: int) -> list[float]:
    """Return each lane's dropout rate on the input (layer 0) or of hidden layer 1, 2, ..."""
    return [(lane.config.dropout.input_rate, *lane.config.rates)[layer] for lane in lanes]


def cut(drawn: Draw, count: int) -> Draw:
    """Return the noise of the first `count` examples."""
    scale, shift = (part if part is None or part.shape[1] <= count else part[:, :count] for part in drawn)
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
            self.network.initialize(index, config.network.init, lane.seed_of("init"))
        self.best_parameters = self.parameters.detach().clone()
        self.restore([lane.snapshot.arrays for lane in lanes if lane.snapshot])

    def record(self, lane: int, row: Row) -> None:
        """Keep the row, and also the weights if its validation loss is the lowest so far."""
        self.last[lane], best = row, self.best[lane]
        if best is None or row.val_loss < best.val_loss:
            self.best[lane] = row
            self.best_parameters[lane] = self.parameters[lane]

    def out_of_patience(self, lanes: Iterable[int]) -> list[int]:
        """Return the lanes among `lanes` whose validation loss has had no new lowest value for `patience` epochs."""
        rows = ((lane, self.last[lane], self.best[lane]) for lane in sorted(lanes))
        patience = math.inf if self.patience is None else self.patience
        return [lane for lane, last, best in rows if last and best and last.epoch - best.epoch >= patience]

    def snapshot(self, lane: int) -> Snapshot:
        """Copy everything that one lane's training depends on. Random streams are named by epoch, so none is saved."""
        last, best = self.last[lane], self.best[lane]
        assert last and best, "a snapshot is taken after an epoch"
        arrays = {"parameters": self.parameters[lane], "best_parameters": self.best_parameters[lane]}
        for key, value in self.optimizer.state.items():
            arrays["optimizer." + key] = value[lane] if value.shape == self.parameters.shape else value
        return Snapshot(last, best, {key: value.detach().cpu().numpy().copy() for key, value in arrays.items()})

    def restore(self, saved: Sequence[Mapping[str, np.ndarray]]) -> None:
        """Continue from the arrays of one snapshot per lane; without any, stay at the first weights."""
        if not saved:
            return
        stacked = {key: torch.from_numpy(np.stack([arrays[key] for arrays in saved])) for key in saved[0]}
        self.parameters.copy_(stacked["parameters"])
        self.best_parameters.copy_(stacked["best_parameters"])
        for key, value in self.optimizer.state.items():
            saved_value = stacked["optimizer." + key]
            value.copy_(saved_value if value.shape == self.parameters.shape else saved_value[0])

    def outcomes(self, lanes: Iterable[int]) -> Iterator[Ended]:
        """Read the test split with the last weights and with the best ones, and yield the outcome of each of `lanes`.

        With patience, a lane ends with the weights of its best epoch: its last weights are its best ones.
        """
        data, network = self.data, self.network
        last_parameters = self.parameters.detach() if self.patience is None else self.best_parameters
        images, labels = data.test_images[None], data.test_labels[None]
        with denormals_flushed():  # as torch's other threads do, so that the number of threads makes no difference
            logits = predict(network, images, last_parameters)
            probabilities = torch.softmax(logits, 2)[..., : data.classes]
            at_last = list(zip(*score(logits, labels), strict=True))
            at_best = list(zip(*evaluate(network, images, labels, self.best_parameters), strict=True))
        for lane in lanes:
            last, best = self.last[lane], self.best[lane]
            assert last and best
            facts = FinishedSeed(
                epochs=last.epoch,
                best_epoch=best.epoch,
                last=final(last if self.patience is None else best, *at_last[lane]),
                best=final(best, *at_best[lane]),
            )
            arrays = self.weights("last", last_parameters, lane) | self.weights("best", self.best_parameters, lane)
            arrays["labels"] = data.test_labels.cpu().numpy()
            arrays["predictions"] = logits[lane].argmax(1).cpu().numpy()
            arrays["probabilities"] = probabilities[lane].cpu().numpy()
            yield Ended(lane, Outcome(facts, arrays, data.sha256))

    def weights(self, when: str, parameters: Tensor, lane: int) -> dict[str, np.ndarray]:
        """Copy a lane's weights in the form of `torch.nn.Linear`: "<when>.<layer>.weight" (out, in) and ".bias"."""
        named: dict[str, Tensor] = {}
        for layer, (weight, bias) in enumerate(zip(*self.network.layers(parameters), strict=True)):
            named |= {f"{when}.{layer}.weight": weight[lane].mT, f"{when}.{layer}.bias": bias[lane, 0]}
        return {name: np.array(tensor.cpu().numpy(), order="C") for name, tensor in named.items()}


def final(row: Row, test_loss: float, test_accuracy: float) -> Results:
    """Return what summary.json says about one epoch."""
    of_row = {"val_loss": row.val_loss, "val_accuracy": row.val_accuracy}
    return Results(**of_row, test_loss=test_loss, test_accuracy=test_accuracy)
