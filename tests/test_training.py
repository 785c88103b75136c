"""Training: the bytes of a run do not depend on how it was scheduled, and every number is the one it is called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commandline import Lab
from variants import VARIANTS, config

from dropout_lab import threads as torch_threads
from dropout_lab import training
from dropout_lab.commands import listing
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.config import resolve as configs
from dropout_lab.config.settings import Config
from dropout_lab.data.datasets import load
from dropout_lab.execution import execute as execution
from dropout_lab.execution import units
from dropout_lab.execution.sources import Here, Processes
from dropout_lab.network import ACTIVATIONS, Network
from dropout_lab.runs import read as runs
from dropout_lab.runs.find import state
from dropout_lab.runs.job import Job
from dropout_lab.runs.row import Row, Snapshot
from dropout_lab.runs.summary import DivergedSeed
from dropout_lab.text import as_text
from dropout_lab.threads import Threads, denormals_flushed
from dropout_lab.training import Epoch, Lane, evaluate, train


def run(directory: Path, wanted: Config, seeds: list[int], jobs: int = 1, name: str = "run") -> bytes:
    """Bring one run up to date and return its metrics.csv."""
    wanted = wanted.model_copy(update={"seeds": tuple(seeds), "name": name})
    source = Here(directory / "data") if jobs == 1 else Processes(directory / "data", jobs)
    for _ in execution.execute([Job(directory / name, wanted)], source):
        pass
    return (directory / name / "metrics.csv").read_bytes()


def of_seed(metrics: bytes, seed: int) -> list[bytes]:
    return [line for line in metrics.splitlines() if line.startswith(b"%d," % seed)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_lane_has_the_same_bytes_alone_and_beside_others(variant: str, tmp_path: Path) -> None:
    wanted = config(VARIANTS[variant])
    together = run(tmp_path / "together", wanted, [0, 1, 2, 3, 4, 5, 6, 7])
    for seed in (0, 5):
        alone = run(tmp_path / f"alone{seed}", wanted, [seed])
        assert of_seed(together, seed) == alone.splitlines()[1:]


def test_other_rates_beside_do_not_matter(tmp_path: Path) -> None:
    jobs = [Job(tmp_path / f"rate{rate}", config(dropout={"rate": rate}, name=f"rate{rate}")) for rate in (0, 0.2, 0.5)]
    for _ in execution.execute(jobs, Here(tmp_path)):
        pass
    for job in jobs:
        alone = run(tmp_path / "alone", job.config, [0], name=job.path.name)
        assert (job.path / "metrics.csv").read_bytes() == alone


def rows_of(directory: Path, wanted: Config, seed: int) -> list[Row]:
    data = load("digits", "unit", directory)
    return [event.rows[0] for event in train([Lane(wanted, seed)], data) if isinstance(event, Epoch)]


FROM_RANDOM = {"train_size": 300, "train_from": "random", "validation_from": "random"}
DRAWN: dict[str, Any] = {"data": {"dataset": "digits", "label_noise": 0.2, **FROM_RANDOM}}
STREAMS = ("init", "order", "masks", "subset", "split", "label_noise")


def test_a_stream_is_drawn_from_the_seed_that_the_config_names(tmp_path: Path) -> None:
    """The first weights of seed 3, the rest of seed 5; and with all streams of seed 3, seed 5 is seed 3."""
    plain, data = config(DRAWN), load("digits", "unit", tmp_path)
    fixed = config(DRAWN, streams={"init": 3})
    first, other, mixed = (
        training.State([lane], data, "cpu").parameters for lane in (Lane(plain, 3), Lane(plain, 5), Lane(fixed, 5))
    )
    assert torch.equal(first, mixed) and not torch.equal(other, mixed)
    here, there = training.Examples([Lane(fixed, 5)], data), training.Examples([Lane(plain, 5)], data)
    assert torch.equal(here.shuffled(2), there.shuffled(2)) and torch.equal(here.labels, there.labels)
    everything = config(DRAWN, streams=dict.fromkeys(STREAMS, 3))
    values = [
        [tuple(vars(row).values())[1:] for row in rows_of(tmp_path, *lane)] for lane in ((everything, 5), (plain, 3))
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize("name", STREAMS)
def test_each_stream_makes_a_difference_of_its_own(name: str, tmp_path: Path) -> None:
    assert rows_of(tmp_path, config(DRAWN), 5) == rows_of(tmp_path, config(DRAWN, streams={name: 5}), 5)
    assert rows_of(tmp_path, config(DRAWN), 5) != rows_of(tmp_path, config(DRAWN, streams={name: 3}), 5)


def test_other_streams_beside_do_not_matter(tmp_path: Path) -> None:
    """Lanes that share some streams, and lanes that share none, have the bytes that they have alone."""
    chosen = [{}, {"init": 3}, {"order": 3}, {"init": 3, "order": 3}, {"masks": 3}, {"subset": 1, "label_noise": 2}]
    jobs = [Job(tmp_path / f"{i}", config(DRAWN, streams=own, name=f"{i}")) for i, own in enumerate(chosen)]
    assert len(units.plan(jobs, lanes=6)) == 1
    for _ in execution.execute(jobs, Here(tmp_path)):
        pass
    for job in jobs:
        assert (job.path / "metrics.csv").read_bytes() == run(tmp_path / "alone", job.config, [0], name=job.path.name)


def test_seeds_at_once_one_by_one_and_in_two_processes(tmp_path: Path) -> None:
    wanted = config()
    at_once = run(tmp_path / "at-once", wanted, [0, 1, 2, 3, 4])
    for seed in (3, 0, 4, 1, 2):
        one_by_one = run(tmp_path / "one-by-one", wanted, [seed])
    assert one_by_one == at_once
    assert run(tmp_path / "jobs", wanted, list(range(10)), jobs=2).startswith(at_once)
    for name in ("weights.safetensors", "predictions.npz"):
        assert (tmp_path / "at-once/run" / name).read_bytes() == (tmp_path / "one-by-one/run" / name).read_bytes()


THREADED = """
import sys, torch
from hashlib import sha256
from pathlib import Path
from dropout_lab import training
from dropout_lab.config.resolve import resolve
from dropout_lab.data.datasets import load
def forced(threads, steps, count):  # as if the most were always the fastest
    torch.set_num_threads(threads.most)
    return steps
training.Threads.fastest = forced
data = load("digits", "unit", Path())
for hidden in ([64, 64], [7], [33, 10], [97, 1], [5, 64], [250]):
    training_ = {"epochs": 6, "learning_rate": 0.05}
    mapping = {"data": {"dataset": "digits"}, "network": {"hidden": hidden}, "training": training_}
    mapping["dropout"] = {"rate": 0.0}
    config = resolve(mapping, where="test", name="run")
    for event in training.train([training.Lane(config, 0)], data, threads=int(sys.argv[1])):
        if isinstance(event, training.Ended):
            digests = {name: sha256(array.tobytes()).hexdigest() for name, array in event.outcome.arrays.items()}
            print(hidden, event.outcome.facts, digests)
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_the_number_of_threads_does_not_matter() -> None:
    """Not even for narrow layers, nor for the probabilities of the test images, some of which are denormal."""
    results = []
    for threads in ("1", "2"):
        arguments = [sys.executable, "-c", THREADED, threads]
        environment = os.environ | {"OMP_NUM_THREADS": "2"}
        results.append(subprocess.run(arguments, check=True, env=environment, capture_output=True, text=True).stdout)
    assert results[0] == results[1] and results[0].count("probabilities") == 6


@pytest.mark.parametrize(
    "variant",
    [
        "adam",
        "sgd with momentum",
        "plain sgd",
        "rmsprop",
        "dropconnect",
        "early-linear",
        "curriculum",
        "weight decay, keras's adam",
        "nesterov, rising momentum",
        "own images and labels",
        "patience",
    ],
)
@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_resume_from_every_epoch_is_exact(variant: str, rate: float) -> None:
    wanted = config(VARIANTS[variant]).model_copy(update={"seeds": (0,)})
    wanted = wanted.model_copy(update={"dropout": wanted.dropout.model_copy(update={"rate": rate})})
    data = load("digits", "unit", Path())
    whole, snapshots = [], []
    for event in train([Lane(wanted, 0)], data):
        if isinstance(event, Epoch):
            whole.append(event.rows[0])
            snapshots.append(event.snapshot(0))
    for done, snapshot in enumerate(snapshots, 1):
        resumed = [e.rows[0] for e in train([Lane(wanted, 0, snapshot)], data) if isinstance(e, Epoch)]
        assert whole[done:] == resumed


def test_resume_without_the_optimizers_state_is_noticed() -> None:
    """The negative control of the test above: were the state not needed, that test would show nothing."""
    data, wanted = load("digits", "unit", Path()), config()
    events = [event for event in train([Lane(wanted, 0)], data) if isinstance(event, Epoch)]
    snapshot = next(iter(train([Lane(wanted, 0)], data))).snapshot(0)  # type: ignore[union-attr]
    kept = {key: array for key, array in snapshot.arrays.items() if not key.startswith("optimizer.exp_avg")}
    kept |= {key: np.zeros_like(array) for key, array in snapshot.arrays.items() if key.startswith("optimizer.exp_avg")}
    broken = Snapshot(snapshot.last, snapshot.best, kept)
    resumed = [event.rows[0] for event in train([Lane(wanted, 0, broken)], data) if isinstance(event, Epoch)]
    assert resumed != [event.rows[0] for event in events[1:]]


LONG = ["training.epochs=40", "network.hidden=[256,256]"]  # long enough to be killed in


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The metrics.csv of a training that nobody kills."""
    whole = configs.load(Path("configs/digits-dropout.yaml"), LONG)
    return run(tmp_path_factory.mktemp("whole"), whole, [0, 1, 2], name="digits-dropout")


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_and_resumed_is_the_same_bytes(kill: int, left_alone: bytes, lab: Lab) -> None:
    command = ["train", "configs/digits-dropout.yaml", *LONG, "--seeds", "3", "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "dropout_lab", *command], stderr=subprocess.PIPE, text=True)
    checkpoint = lab.runs / "digits-dropout/checkpoint/seed-2"
    deadline = time.monotonic() + 60
    while not checkpoint.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    process.send_signal(kill)  # in the first of 40 epochs or the next
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (-kill if kill == signal.SIGKILL else 128 + kill)
    if kill != signal.SIGKILL:
        assert "Go on with\n  dropout-lab train configs/digits-dropout.yaml" in errors
    assert state(lab.runs / "digits-dropout") == "interrupted"
    assert lab("", *command).code == 0
    assert (lab.runs / "digits-dropout/metrics.csv").read_bytes() == left_alone


def test_runs_that_differ_in_rate_share_first_weights_and_batch_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = Network.forward

    def spy(self: Network, x: torch.Tensor, scales: Any) -> torch.Tensor:
        first.append((self.parameters.detach().clone(), x.clone()))
        return forward(self, x, scales)

    monkeypatch.setattr(Network, "forward", spy)
    steps = []
    for rate in (0.0, 0.5):
        first.clear()
        next(iter(train([Lane(config(dropout={"rate": rate}), 3)], load("digits", "unit", Path()))))
        steps.append(list(first))
    assert torch.equal(steps[0][0][0], steps[1][0][0])  # weights before the first step
    assert not torch.equal(steps[0][1][0], steps[1][1][0])  # and after it
    assert all(torch.equal(a[1], b[1]) for a, b in zip(*steps, strict=True))  # every batch of the epoch


def test_a_row_says_what_its_columns_are_called() -> None:
    """The losses of one epoch, recomputed with torch.nn from the weights that the snapshot holds."""
    data, wanted = load("digits", "unit", Path()), config(dropout={"rate": 0.0}, training={"epochs": 2})
    for event in train([Lane(wanted, 0)], data):
        if not isinstance(event, Epoch):
            continue
        network = Network(1, (64, 97, 100, 10))
        with torch.no_grad():
            network.parameters.copy_(torch.from_numpy(event.snapshot(0).arrays["parameters"])[None])
            model = torch.nn.Sequential(
                *[
                    m
                    for w, b in zip(network.weights, network.biases, strict=True)
                    for m in (linear(w, b), torch.nn.ReLU())
                ][:-1]
            )
            row = event.rows[0]
            for images, labels, loss, accuracy in (
                (data.images[1293:], data.labels[1293:], row.val_loss, row.val_accuracy),
                (data.images[:144], data.labels[:144], row.clean_train_loss, row.clean_train_accuracy),
            ):
                logits = model(images)
                assert float(torch.nn.functional.cross_entropy(logits, labels)) == pytest.approx(loss, rel=1e-5)
                assert float((logits.argmax(1) == labels).double().mean()) == accuracy


def linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(*weight.shape[1:])
    layer.weight.copy_(weight[0].T)
    layer.bias.copy_(bias[0, 0])
    return layer


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_training_equals_torch_nn_and_torch_optim(optimizer: str) -> None:
    """Two epochs against a plain loop with autograd, separate parameters and the same batches."""
    data = load("digits", "unit", Path())
    wanted = config(dropout={"rate": 0.0}, training={"epochs": 2, "optimizer": optimizer, "learning_rate": 0.01})
    lanes = [Lane(wanted, seed) for seed in (0, 4)]
    rows = [event.rows[1] for event in train(lanes, data) if isinstance(event, Epoch)]

    network = Network(1, (64, 97, 100, 10))
    with torch.no_grad():
        network.initialize(0, "glorot-uniform", 4)
        layers = [linear(w, b) for w, b in zip(network.weights, network.biases, strict=True)]
    model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    make = {
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "sgd": lambda p: torch.optim.SGD(p, lr=0.01),
        "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, eps=1e-8),
    }
    steps = make[optimizer](model.parameters())
    from dropout_lab.streams import stream

    for row in rows:
        order = torch.from_numpy(stream(4, "order", row.epoch).permutation(np.arange(1293)))
        losses = []
        for batch in order.split(32):
            steps.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(data.images[batch]), data.labels[batch])
            loss.backward()
            steps.step()
            losses.append(float(loss.detach()) * len(batch))
        assert sum(losses) / 1293 == pytest.approx(row.train_loss, rel=1e-4)


@pytest.mark.parametrize(
    "one, other, first, second",
    [
        ("early", "constant", {"cutoff": 3}, {}),
        ("late", "constant", {"cutoff": 0}, {}),
        ("early", "constant", {"cutoff": 0}, {"rate": 0.0}),
        ("late", "constant", {"cutoff": 3}, {"rate": 0.0}),
    ],
)
def test_schedules_that_come_to_the_same_give_the_same_bytes(
    one: str, other: str, first: dict[str, Any], second: dict[str, Any], tmp_path: Path
) -> None:
    configs = [config(dropout={"schedule": name} | more) for name, more in ((one, first), (other, second))]
    results = [run(tmp_path / str(number), own, [0, 1]) for number, own in enumerate(configs)]
    assert results[0] == results[1]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_activation_depends_on_threads_or_on_what_is_beside(activation: str) -> None:
    """torch.sigmoid and torch.selu do: they round the last numbers of a thread's part otherwise."""
    z = torch.randn(6, 250, 250, generator=torch.Generator().manual_seed(0)) * 2
    apply, _ = ACTIVATIONS[activation]
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results += [apply(z.clone()), torch.stack([apply(own.clone()) for own in z])]
        results.append(torch.stack([apply(row.clone()) for row in z.flatten(0, 1)]).view(z.shape))
    torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_the_row_says_which_rate_was_in_force() -> None:
    data = load("digits", "unit", Path())
    wanted = config(dropout={"rate": [0.2, 0.6], "schedule": "early-linear", "cutoff": 2})
    rows = [event.rows[0] for event in train([Lane(wanted, 0)], data) if isinstance(event, Epoch)]
    steps = np.linspace(0.4, 0, 2 * 41).reshape(2, 41).mean(1)
    assert [row.rate for row in rows] == pytest.approx([*steps, 0.0])
    for dropout, rate in ({"rate": 0.0, "input_rate": 0.3}, 0.3), ({"rate": 0.5, "input_rate": 0.3}, 0.5):
        assert next(iter(train([Lane(config(dropout=dropout), 0)], data))).rows[0].rate == rate  # type: ignore[union-attr]


def test_t8_the_papers_form_and_the_inverted_one_follow_the_same_trajectory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights U = keep V, learning rate keep^2 (not for biases), max-norm c keep: facts of the papers' recipes."""
    data, keep = load("digits", "unit", Path()), 0.5
    sgd = {"optimizer": "sgd", "momentum": 0.9, "epochs": 3}
    rates = {"rate": 1 - keep, "input_rate": 1 - keep}
    raw = config(
        dropout={"kind": "bernoulli-scaled"} | rates,
        regularization={"max_norm": 1.2},
        training=sgd | {"learning_rate": 0.2},
    )
    inverted = config(
        dropout=rates, regularization={"max_norm": 1.2 * keep}, training=sgd | {"learning_rate": 0.2 * keep**2}
    )
    ours = [event for event in train([Lane(raw, 0)], data) if isinstance(event, Epoch)]
    initialize, backward = Network.initialize, Network.backward

    def mapped(self: Network, lane: int, init: str, seed: int) -> None:
        initialize(self, lane, init, seed)
        for weight in self.weights:
            weight[lane] *= keep

    def unmapped_biases(self: Network, delta: torch.Tensor) -> None:
        backward(self, delta)
        for gradient in self.bias_gradients:
            gradient /= keep**2

    monkeypatch.setattr(Network, "initialize", mapped)
    monkeypatch.setattr(Network, "backward", unmapped_biases)
    theirs = [event for event in train([Lane(inverted, 0)], data) if isinstance(event, Epoch)]
    for a, b in zip(ours, theirs, strict=True):
        assert vars(a.rows[0]) == pytest.approx(vars(b.rows[0]), rel=1e-3)
    assert ours[-1].rows[0].train_loss < ours[0].rows[0].train_loss
    network = Network(1, (64, 97, 100, 10))
    lengths = []
    with torch.no_grad():
        for event in (ours[-1], theirs[-1]):
            network.parameters.copy_(torch.from_numpy(event.snapshot(0).arrays["parameters"])[None])
            lengths.append([float(weight.norm(dim=1).max()) for weight in network.weights])
    assert lengths[1] == pytest.approx([keep * length for length in lengths[0]], rel=1e-3)
    assert max(lengths[0]) == pytest.approx(1.2, rel=1e-5)  # the constraint has had its part


def test_patience_ends_a_lane_at_its_best_epoch_and_disturbs_nobody(tmp_path: Path) -> None:
    wanted = config(dropout={"rate": 0.0}, training={"epochs": 60, "patience": 3, "learning_rate": 0.02})
    run(tmp_path, wanted, [0, 1, 2, 3])
    stopped = runs.load(tmp_path / "run")
    free = config(dropout={"rate": 0.0}, training={"epochs": 60, "learning_rate": 0.02})
    run(tmp_path, free, [0, 1, 2, 3], name="free")
    whole, weights = runs.load(tmp_path / "free").metrics, stopped.weights()
    ends = []
    for seed, facts in stopped.summary.finished.items():
        rows = stopped.metrics[stopped.metrics["seed"] == seed]
        same = whole[(whole["seed"] == seed) & (whole["epoch"] <= len(rows))]
        assert rows.to_numpy().tolist() == same.to_numpy().tolist()
        best = rows["val_loss"].tolist().index(rows["val_loss"].min()) + 1
        assert facts.best_epoch == best and facts.epochs == len(rows) == best + 3
        assert facts.last == facts.best
        for name in ("0.weight", "2.bias"):
            assert np.array_equal(weights[f"{seed}.last.{name}"], weights[f"{seed}.best.{name}"])
        ends.append(len(rows))
    assert len(set(ends)) > 1 and max(ends) < 60  # each in its own time
    assert set(METRICS["overfitting"].values(stopped).values()) == {0.0}  # of the weights that are kept
    for seed, gap in METRICS["gap"].values(stopped).items():
        (row,) = stopped.metrics.query(
            f"seed == {seed} and epoch == {stopped.summary.finished[seed].best_epoch}"
        ).itertuples()
        assert gap == row.val_loss - row.clean_train_loss
    assert "stopped" in as_text(listing.parts(stopped), 100)


def test_noisy_labels_are_learned_by_heart_and_validated_against_the_true_ones(tmp_path: Path) -> None:
    """Of the labels as trained a network that knew the digits would get 0.6 right."""
    noise = {"dataset": "digits", "label_noise": 0.4, "train_size": 300}
    run(tmp_path, config(data=noise, dropout={"rate": 0.0}, training={"epochs": 80}), [0, 1])
    last = runs.load(tmp_path / "run").metrics.groupby("seed").tail(1)
    assert (last["clean_train_accuracy"] > 0.8).all() and (last["val_accuracy"] < 0.75).all()


def test_a_diverging_lane_ends_and_the_others_do_not_notice(tmp_path: Path) -> None:
    wanted = config(dropout={"rate": 0.0}, training={"optimizer": "sgd", "learning_rate": 1e30, "epochs": 2})
    with torch.no_grad():
        events = list(train([Lane(wanted, 0)], load("digits", "unit", Path())))
    (ended,) = events
    assert isinstance(ended, execution.Ended)
    assert isinstance(ended.outcome.facts, DivergedSeed) and ended.outcome.facts.epoch == 1
    assert 1 <= ended.outcome.facts.step <= 41
    run(tmp_path, wanted, [0, 1])
    finished = runs.load(tmp_path / "run")
    assert finished.diverged == (0, 1) and (tmp_path / "run/metrics.csv").read_text().count("\n") == 1


def test_rows_of_a_diverged_neighbour_stay_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lane of two is poisoned after its first epoch: the other's rows equal those of training alone."""
    data, wanted = load("digits", "unit", Path()), config()
    alone = [event.rows[0] for event in train([Lane(wanted, 1)], data) if isinstance(event, Epoch)]
    from dropout_lab import training

    record = training.State.record

    def poison(self: training.State, lane: int, row: Row) -> None:
        record(self, lane, row)
        if lane == 0:
            self.parameters[0] = float("nan")

    monkeypatch.setattr(training.State, "record", poison)
    events = list(train([Lane(wanted, 0), Lane(wanted, 1)], data))
    rows = [event.rows for event in events if isinstance(event, Epoch)]
    assert [list(row) for row in rows] == [[0, 1], [1], [1]]
    assert [row[1] for row in rows] == alone
    ended = [event for event in events if isinstance(event, execution.Ended)]
    assert [(event.lane, event.outcome.facts.status) for event in ended] == [(0, "diverged"), (1, "finished")]
    assert ended[0].outcome.facts == DivergedSeed(epoch=2, step=1)


def test_test_split_is_scored_at_the_last_and_at_the_best_epoch(tmp_path: Path) -> None:
    run(tmp_path, config(training={"epochs": 25}, dropout={"rate": 0.0}), [0])
    finished = runs.load(tmp_path / "run")
    facts, weights, test = finished.summary.finished[0], finished.weights(), finished.predictions()
    curve = finished.metrics["val_loss"].tolist()
    assert facts.best_epoch == 1 + int(np.argmin(curve)) and facts.epochs == 25
    data = load("digits", "unit", Path())
    for when, result in (("last", facts.last), ("best", facts.best)):
        network = Network(1, (64, 97, 100, 10))
        with torch.no_grad():
            for layer in range(3):
                network.weights[layer][0] = torch.from_numpy(weights[f"0.{when}.{layer}.weight"]).T
                network.biases[layer][0, 0] = torch.from_numpy(weights[f"0.{when}.{layer}.bias"])
            loss, accuracy = evaluate(network, data.test_images[None], data.test_labels[None])
            assert (result.test_loss, result.test_accuracy) == (loss[0], accuracy[0])
        epoch = facts.best_epoch if when == "best" else 25
        assert result.val_loss == curve[epoch - 1]
    assert test["probabilities"].shape == (1, 360, 10) and (test["labels"] == data.test_labels.numpy()).all()
    assert (test["predictions"] == test["probabilities"].argmax(2)).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_agrees_with_the_cpu() -> None:
    """Same streams, other kernels: losses of the first epochs agree to 1e-3 relative."""
    wanted = config()
    curves = []
    for device in ("cpu", "cuda"):
        events = train([Lane(wanted, 0), Lane(wanted, 1)], load("digits", "unit", Path(), device), device)
        curves.append([event.rows[1].val_loss for event in events if isinstance(event, Epoch)])
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)


@pytest.mark.parametrize("slow", [1, 2])
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_each_epoch_finds_out_how_many_threads_are_faster(slow: int) -> None:
    used = []
    with Threads(2) as threads:
        for _ in threads.fastest(range(256), 256):
            used.append(torch.get_num_threads())
            time.sleep(0.004 if used[-1] == slow else 0.001)
        assert list(Threads(1).fastest(range(5), 5)) == [0, 1, 2, 3, 4]
    assert used[:16] == [1] * 4 + [2] * 4 + [1] * 4 + [2] * 4  # two trials of each
    assert set(used[16:]) == {3 - slow}


@pytest.mark.parametrize("until", ["the end", "its first epoch", "an error"])
def test_torchs_number_of_threads_is_set_back(until: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a training ends, and also after the passes of an evaluation."""
    found = torch.get_num_threads()
    data, wanted = load("digits", "unit", Path()), config(training={"epochs": 2})
    torch.set_num_threads(3)
    try:
        events = train([Lane(wanted, 0)], data)
        next(events)
        assert torch.get_num_threads() == 1, "the control: training has changed it"
        if until == "the end":
            list(events)
        elif until == "an error":
            monkeypatch.setattr(training, "train_epoch", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                next(events)
        else:
            events.close()  # type: ignore[attr-defined]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(found)


@pytest.mark.parametrize("hidden, most", [([32, 48], 8), ([97, 32], 2)])
def test_a_network_with_an_odd_width_uses_two_threads_at_most(
    hidden: list[int], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For 3 threads and more split its products elsewhere, and so round them differently."""
    asked: list[int] = []
    monkeypatch.setattr(torch_threads, "threads_flush", lambda threads: True)
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    wanted = config(network={"hidden": hidden}, training={"epochs": 1})
    assert len(list(train([Lane(wanted, 0)], load("digits", "unit", Path()), threads=8))) == 2
    assert asked.pop() == torch.get_num_threads() and max(asked) == most


def test_denormals_are_flushed_in_training_and_nowhere_else() -> None:
    flushed = []
    for event in train([Lane(config(training={"epochs": 1}), 0)], load("digits", "unit", Path())):
        flushed.append(float(torch.tensor([1e-40]).mul(1.0)) == 0)
        assert isinstance(event, Epoch | execution.Ended)
    assert flushed == [False, False] and np.float32(1e-40) * np.float32(1) > 0
    with denormals_flushed():
        with denormals_flushed():
            pass
        assert float(torch.tensor([1e-40]).mul(1.0)) == 0  # a program that flushes them goes on doing so


THREADS = """
import sys, torch
torch.set_num_threads(2)
if sys.argv[1] == "late":
    torch.rand(2**21).mul_(2)  # another program has started torch's threads, which do not flush
from dropout_lab.threads import threads_flush
print(threads_flush(2), torch.get_num_threads())
"""


@pytest.mark.parametrize("when, flush", [("early", "True"), ("late", "False")])
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_threads_that_do_not_flush_denormals_are_found_out(when: str, flush: str) -> None:
    """With them a lane would not have the same bits with 1 thread and with 2; so train() uses one."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    found = subprocess.run(
        [sys.executable, "-c", THREADS, when], env=environment, check=True, capture_output=True, text=True
    )
    assert found.stdout.split() == [flush, "2"]


TWO = """
import sys, torch
from pathlib import Path
torch.set_num_threads(2)  # it starts with 1 where two cores are two halves of one
asked, set_num_threads = [], torch.set_num_threads
torch.set_num_threads = lambda number: (asked.append(number), set_num_threads(number))
from dropout_lab.config import resolve as configs
from dropout_lab.execution import execute as execution
from dropout_lab.execution import units
from dropout_lab.execution.sources import Here
from dropout_lab.runs.job import Job
mapping = {"data": {"dataset": "digits"}, "network": {"hidden": [1024, 1024]}, "training": {"epochs": 1}}
job = Job(Path(sys.argv[1]) / "run", configs.resolve(mapping, where="test", name="run"))
for _ in execution.execute([job], Here(Path(sys.argv[1]))):
    pass
print(asked.count(2))
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_a_process_of_its_own_tries_two_threads(tmp_path: Path) -> None:
    """Nothing on the way to the first step starts torch's threads too early."""
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    found = subprocess.run(
        [sys.executable, "-c", TWO, tmp_path], env=environment, check=True, capture_output=True, text=True
    )
    assert int(found.stdout) >= 5  # to start them, to set back what was found twice, and in two trials
