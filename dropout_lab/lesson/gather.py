"""What the runs of the lesson say, step by step, as plain data for its page.

Every number is a run's or the theory's.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dropout_lab.claims.theory import strength
from dropout_lab.comparison.inference import ALPHA, interval, t_quantile
from dropout_lab.comparison.metrics import METRICS
from dropout_lab.data import datasets
from dropout_lab.data.datasets import DATASETS, Data
from dropout_lab.errors import Problem, Refused
from dropout_lab.evaluation.evaluate import Evaluation, evaluate, load
from dropout_lab.evaluation.features import by_importance
from dropout_lab.lesson.plan import RATE, Story
from dropout_lab.lesson.quiz import quiz
from dropout_lab.report import curves as report
from dropout_lab.runs import read as runs
from dropout_lab.runs.read import Run
from dropout_lab.streams import stream
from dropout_lab.sweeps.plan import Member
from dropout_lab.text import shown_seeds

PIXELS = 240_000  # bytes of test images in the page, at most
SAMPLES = 50  # passes that are averaged, at most
CURVES = ("train_loss", "clean_train_loss", "val_loss", "clean_train_accuracy", "val_accuracy")

Show = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """The runs of a story, read from disk: by rate those with Bernoulli and those with Gaussian gates.

    stops: for "none" and "dropout" the first seed's runs by their epochs, the longest last. data: what they read.
    """

    bernoulli: Mapping[float, Run]
    gaussian: Mapping[float, Run]
    stops: Mapping[str, Mapping[int, Run]]
    data: Data
    seed: int

    @property
    def pair(self) -> dict[str, Run]:
        """The runs without dropout and with it."""
        return {"none": self.bernoulli[0.0], "dropout": self.bernoulli[RATE]}


def read(story: Story, runs_directory: Path, data_directory: Path) -> Trained:
    """Read the runs of a story. Raises `Refused` if one that the page draws has diverged."""

    def run(sweep: str, member: Member) -> Run:
        found = runs.load(runs_directory / sweep / member.name).only(member.config.seeds)
        if story.seed in found.diverged:
            reason = "diverged, and the lesson draws its network"
            raise Refused(Problem(str(found.path), f"seed {story.seed}", reason, story.seed))
        return found

    kinds = (
        {r: run(story.rates.name, story.of_rate(r, kind)) for r in story.all_rates}
        for kind in ("bernoulli", "gaussian")
    )
    bernoulli, gaussian = kinds
    stops = {}
    for name, rate in (("none", 0.0), ("dropout", RATE)):
        early = {epochs: run(story.stops.name, member) for epochs, member in sorted(story.stopped(rate).items())}
        last = bernoulli[rate]
        stops[name] = early | {last.trained.training.epochs: last}
    first = bernoulli[0.0]
    data = datasets.load(first.trained.data.dataset, first.trained.data.scale, data_directory)
    return Trained(bernoulli, gaussian, stops, data, story.seed)


def gather(trained: Trained, data_directory: Path, show: Show = lambda text: None) -> dict[str, Any]:
    """Return the data of the page, a part for each step. show: takes a message before each evaluation."""

    def evaluated(run: Run, samples: int) -> Evaluation:
        show(f"evaluates {run.path}, seeds {shown_seeds(run.seeds)}")
        return evaluate(run, trained.data, samples)

    evaluations = {name: evaluated(run, 1) for name, run in trained.pair.items()}
    averaged = evaluated(trained.pair["dropout"].only([trained.seed]), SAMPLES).seeds[0]
    shown = _shown(trained)
    return {
        "rate": RATE,
        "seed": trained.seed,
        "classes": trained.data.classes,
        "images": _images(trained, shown, data_directory),
        "nets": {name: _network(run, trained, shown) for name, run in trained.pair.items()},
        "epochs": _epochs(trained),
        "viewers": _viewers(trained, evaluations),
        "passes": {"errors": rounded(averaged.averaging), "scaled": averaged.weight_scaling.error},
        "rates": _rates(trained),
        "gates": _gates(trained),
        "seeds": _seeds(trained),
        "claims": quiz(_arms(trained), {"plain": evaluations["none"], "dropout": evaluations["dropout"]}),
    }


def packed(array: NDArray[Any]) -> str:
    """Return the bytes of an array, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def rounded(values: Any) -> Any:
    """Return numbers, or an array of them as nested lists, as those of a report are rounded."""
    if isinstance(values, float | int):
        return report.rounded(values)
    return [rounded(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values)]


def _shown(trained: Trained) -> int:
    """Return how many test images the page has: the first ones, all if they are small."""
    return min(len(trained.data.test_labels), max(1, PIXELS // trained.data.test_images.shape[1]))


def _images(trained: Trained, shown: int, directory: Path) -> dict[str, Any]:
    """Return test images as stored bytes, and the byte that stands for 1."""
    first = trained.pair["none"]
    dataset = first.trained.data.dataset
    stored = datasets.test_images(dataset, directory, first.summary.data_sha256)[:shown]
    height, width = trained.data.shape
    return {
        "height": height,
        "width": width,
        "full": DATASETS[dataset].full_scale,
        "pixels": packed(stored.astype(np.uint8)),
        "labels": trained.data.test_labels[:shown].tolist(),
        "tested": len(trained.data.test_labels),
    }


def _network(run: Run, trained: Trained, shown: int) -> dict[str, Any]:
    """Return one seed's weights, and what Python recorded that its network says of the images in the page.

    weights: of each layer (outputs, inputs), float32. order: the units of layer 1, the most important first.
    """
    weights, recorded = run.weights(), run.predictions()
    layers = len(run.trained.widths) + 1
    place = recorded["seeds"].tolist().index(trained.seed)
    return {
        "sizes": [trained.data.test_images.shape[1], *run.trained.widths, trained.data.classes],
        "weights": [packed(weights[f"{trained.seed}.last.{layer}.weight"]) for layer in range(layers)],
        "biases": [packed(weights[f"{trained.seed}.last.{layer}.bias"]) for layer in range(layers)],
        "recorded": packed(recorded["probabilities"][place, :shown].astype(np.float32)),
    }


def _epochs(trained: Trained) -> dict[str, Any]:
    """Return step 1: the drawn networks' curves, and at each stop what every test image is taken for."""
    parts: dict[str, Any] = {"stops": list(trained.stops["none"])}
    for name, run in trained.pair.items():
        rows = run.metrics[run.metrics["seed"] == trained.seed]
        read_as = [_predictions(stop, trained.seed) for stop in trained.stops[name].values()]
        labels = trained.data.test_labels.numpy()
        parts[name] = {
            **{key: rounded(rows[key].to_numpy()) for key in CURVES},
            "read": [own.tolist() for own in (whole[: _shown(trained)] for whole in read_as)],
            "misread": [int((whole != labels).sum()) for whole in read_as],
        }
    return parts


def _predictions(run: Run, seed: int) -> NDArray[Any]:
    arrays = run.predictions()
    return np.asarray(arrays["predictions"][arrays["seeds"].tolist().index(seed)])


def _viewers(trained: Trained, evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    """Return step 3: the accuracy of both drawn networks without k units of layer 1, and over the seeds its mean.

    order, random: the units, in the order in which they are taken out. out: the numbers k.
    """
    parts: dict[str, Any] = {}
    for name, run in trained.pair.items():
        own = next(network for network in evaluations[name].seeds if network.seed == trained.seed)
        every = np.array([network.ablation[:, 1:] for network in evaluations[name].seeds])  # (seeds, points, 2)
        net = load(run, trained.seed, trained.data)
        parts["out"] = own.ablation[:, 0].astype(int).tolist()
        parts[name] = {
            "order": by_importance(net, trained.data).tolist(),
            "random": stream(trained.seed, "evaluation", 0, 0).permutation(net.sizes[1]).tolist(),
            "important": rounded(1 - own.ablation[:, 1]),
            "at_random": rounded(1 - own.ablation[:, 2]),
            "mean": rounded(1 - every.mean((0, 1))),
        }
    return parts


def _rates(trained: Trained) -> dict[str, Any]:
    """Return step 5: by rate the mean curves, test error with its interval, and gap; and the theory's two penalties."""
    rates = list(trained.bernoulli)
    theory = strength([1 - rate for rate in rates])
    columns = ["train_loss", "clean_train_loss", "val_loss"]
    curves = []
    for run in trained.bernoulli.values():
        mean = run.metrics.groupby("epoch")[columns].mean()
        curves.append({key: rounded(mean[key].to_numpy()) for key in columns})
    return {
        "rates": rates,
        "curves": curves,
        "error": [_error(run) for run in trained.bernoulli.values()],
        "gaussian_error": [_error(run) for run in trained.gaussian.values()],
        "gap": [rounded(own["val_loss"][-1] - own["clean_train_loss"][-1]) for own in curves],
        "raw": rounded(theory.raw),
        "effective": rounded(theory.effective),
    }


def _error(run: Run) -> list[float]:
    """Return mean, lower and upper end of the 95 % interval of the test error over the seeds."""
    found = interval([1 - value for value in METRICS["test_accuracy"].finite(run).values()])
    return [rounded(found.mean), *rounded(found.interval or (found.mean, found.mean))]


def _gates(trained: Trained) -> dict[str, Any]:
    """Return step 6: of each rate above 0 the two values and chances of Bernoulli gates, and the sd of both kinds."""
    rates = [rate for rate in trained.bernoulli if rate]
    return {"rates": rates, "sd": [rounded((rate / (1 - rate)) ** 0.5) for rate in rates]}


def _seeds(trained: Trained) -> dict[str, Any]:
    """Return step 7: differences in test accuracy by seed, and the t quantiles of 1, 2, ... degrees of freedom."""
    near = min((rate for rate in trained.bernoulli if rate not in (0, RATE)), key=lambda rate: abs(rate - RATE))
    asked = (
        (f"dropout {RATE:g} against none", "dropout", "no dropout", trained.pair["none"], trained.pair["dropout"]),
        (
            "Gaussian gates against Bernoulli gates",
            "Gaussian",
            "Bernoulli",
            trained.pair["dropout"],
            trained.gaussian[RATE],
        ),
        (
            f"rate {near:g} against rate {RATE:g}",
            f"rate {near:g}",
            f"rate {RATE:g}",
            trained.pair["dropout"],
            trained.bernoulli[near],
        ),
    )
    pairs = []
    for title, better, worse, baseline, candidate in asked:
        before, after = (METRICS["test_accuracy"].finite(run) for run in (baseline, candidate))
        gains = {seed: rounded(100 * (after[seed] - before[seed])) for seed in before if seed in after}
        pairs.append({"title": title, "better": better, "worse": worse, "gains": gains})
    most = max(len(pair["gains"]) for pair in pairs)
    return {"pairs": pairs, "t": [rounded(t_quantile(df, ALPHA)) for df in range(1, most)]}


def _arms(trained: Trained) -> dict[str, Run]:
    """Return the runs by the names that the claims of the quiz give them."""
    plain, dropout = trained.pair.values()
    arms = {"plain": plain, "dropout": dropout, "bernoulli": dropout, "gaussian": trained.gaussian[RATE]}
    return arms | {f"rate {rate:g}": run for rate, run in trained.bernoulli.items()}
