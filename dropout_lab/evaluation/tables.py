"""An evaluation as a table for people, as plain data, and as one line per test image."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from dropout_lab.comparison.inference import interval
from dropout_lab.evaluation.averaging import Array, Scores
from dropout_lab.evaluation.evaluate import Evaluation, NetworkEvaluation
from dropout_lab.evaluation.uncertainty import ANGLES
from dropout_lab.pages import as_html
from dropout_lab.text import Line, Parts, as_text, count, labelled, shown_seeds

SCHEMA_VERSION = 1
WIDTH = 100  # columns, where there is no terminal to ask
HEAD: Line = ("", "test error %", "test loss", "calibration error %", "if perfect %")
SCORES = ("error", "loss", "calibration_error", "if_perfect")  # in JSON and CSV
# Ways to get probabilities from one network
WAYS: dict[str, tuple[str, Callable[[NetworkEvaluation], Scores | None]]] = {
    "weight_scaling": ("{scaling}", lambda network: network.weight_scaling),
    "mean_weights": ("mean weights", lambda network: network.mean_weights),
    "monte_carlo": ("Monte-Carlo mean of {passes} passes", lambda network: network.monte_carlo),
    "geometric": ("geometric mean of {passes} passes", lambda network: network.geometric),
}


class ShownEvaluation(Evaluation):
    """An evaluation that a Python prompt or a notebook shows as a table."""

    def __repr__(self) -> str:
        return as_text(parts(self), WIDTH)

    def _repr_html_(self) -> str:
        return as_html(parts(self))


def parts(evaluation: Evaluation) -> Parts:
    """Return the name of the run, a table of scores, and notes on averaging, uncertainty and zeros."""
    run, seeds = evaluation.run, [network.seed for network in evaluation.seeds]
    spread = ", ± is sd over seeds" if len(seeds) > 1 else ""
    about = labelled("run", f"{run.name}  {count(len(seeds), 'seed')} ({shown_seeds(seeds)}){spread}")
    notes = [
        labelled("chance", calibrated(evaluation)),
        labelled("averaging", reached(evaluation)),
        labelled("uncertain", uncertain(evaluation)),
    ]
    if zeros := sparsity(evaluation):
        notes.append(labelled("zeros", zeros))
    return [about, [HEAD, *rows(evaluation)], *notes]


def rows(evaluation: Evaluation) -> list[Line]:
    """Return one line for each of WAYS, and for the networks of all seeds together."""
    lines: list[Line] = []
    for text, of in WAYS.values():
        if scored := [score for network in evaluation.seeds if (score := of(network))]:
            lines.append((text.format(scaling=evaluation.scaling, passes=evaluation.passes), *_cells(scored)))
    if evaluation.ensemble and evaluation.vote is not None:
        name = f"{len(evaluation.seeds)} networks"
        lines.append((f"{name}, mean", *_cells([evaluation.ensemble])))
        lines.append((f"{name}, majority vote", f"{100 * evaluation.vote:.2f}", "-", "-", "-"))
    return lines


def calibrated(evaluation: Evaluation) -> str:
    """Say what part of the calibration error a perfectly calibrated network would show too, by chance."""
    own, chance = (
        fmean(getattr(network.weight_scaling, key) for network in evaluation.seeds)
        for key in ("calibration_error", "if_perfect")
    )
    return (
        f"calibration error of {evaluation.scaling} {100 * own:.2f} %, of which perfect calibration would show "
        f"{100 * chance:.2f} % on {count(len(evaluation.labels), 'image')}"
    )


def reached(evaluation: Evaluation) -> str:
    """Say how many passes must be averaged for an error within one sd of that of weight scaling."""
    numbers = sorted(network.reached for network in evaluation.seeds if network.reached)
    scaling, most = evaluation.scaling, evaluation.samples
    if not numbers:
        return f"the mean of k passes stays off the error of {scaling} by more than one sd, up to k = {most}"
    low, high = numbers[0], numbers[-1]
    text = f"k = {low}" if low == high else f"k = {low} to {high}"
    missed = len(evaluation.seeds) - len(numbers)
    but = f" (with {count(missed, 'seed')} not up to k = {most})" if missed else ""
    return f"the mean of k passes comes within one sd of the error of {scaling} at {text}{but}"


def uncertain(evaluation: Evaluation) -> str:
    """Say how much the passes disagree about the images that the network gets wrong, and about the others."""
    right, wrong = [], []
    for network in evaluation.seeds:
        good = network.probabilities.argmax(1) == evaluation.labels
        right += network.information[good].tolist()
        wrong += network.information[~good].tolist()
    means = [f"{sum(values) / len(values):.4f}" if values else "-" for values in (wrong, right)]
    return f"mutual information {means[0]} where the network is wrong, {means[1]} where it is right (nats, mean)"


def sparsity(evaluation: Evaluation) -> str:
    """Say, for each hidden layer, what share of its outputs is 0, and their mean."""
    activity = evaluation.seeds[0].activity
    parts = [f"{100 * zeros:.1f} % of layer {n}" for n, (_, zeros) in enumerate(activity, 1)]
    means = [f"{mean:.3g}" for mean, _ in activity]
    return f"{', '.join(parts)}; mean output {', '.join(means)} (dropout off)" if parts else ""


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data, fractions from 0 to 1. Single images are in `images_csv`."""

    def scored(score: Scores | None) -> dict[str, Any] | None:
        if score is None:
            return None
        facts = {key: getattr(score, key) for key in SCORES}
        return {**facts, "reliability": _records(("count", "accuracy", "confidence"), score.bins)}

    seeds = {
        str(network.seed): {
            **{key: scored(of(network)) for key, (_, of) in WAYS.items()},
            "averaging": [
                {"k": k, "error": mean, "sd": sd} for k, (mean, sd) in enumerate(network.averaging.tolist(), start=1)
            ],
            "reached": network.reached,
            "mean_entropy": float(network.entropy.mean()),
            "mean_mutual_information": float(network.information.mean()),
            "ablation": _records(("k", "error", "random_error"), network.ablation),
        }
        for network in evaluation.seeds
    }
    first = evaluation.seeds[0]
    return {
        "schema_version": SCHEMA_VERSION,
        "name": evaluation.run.name,
        "path": str(evaluation.run.path),
        "identity": evaluation.run.summary.identity,
        "samples": evaluation.samples,
        "passes": evaluation.passes,
        "seeds": seeds,
        "scaling": evaluation.scaling,
        "rotated": first.rotated
        and {"angles": list(ANGLES)} | {key: array.tolist() for key, array in first.rotated.items() if key != "images"},
        "ensemble": scored(evaluation.ensemble),
        "vote": None if evaluation.vote is None else {"error": evaluation.vote},
        "zeros": [float(zeros) for _, zeros in first.activity],
        "mean_output": [float(mean) for mean, _ in first.activity],
    }


def scores_csv(evaluation: Evaluation) -> str:
    """Return one line per seed and way to get probabilities: the scores, fractions from 0 to 1."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("seed", "way", "images", *SCORES))
    for network in evaluation.seeds:
        for way, (_, of) in WAYS.items():
            if score := of(network):
                facts = (getattr(score, key) for key in SCORES)
                writer.writerow((network.seed, way, len(evaluation.labels), *facts))
    return buffer.getvalue()


def images_csv(evaluation: Evaluation) -> str:
    """Return one line per seed and test image: label, prediction, its probability, entropy and mutual information."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("seed", "image", "label", "prediction", "probability", "entropy", "mutual_information"))
    for network in evaluation.seeds:
        predicted, probability = network.probabilities.argmax(1), network.probabilities.max(1)
        columns = evaluation.labels, predicted, probability, network.entropy, network.information
        lines = zip(*(column.tolist() for column in columns), strict=True)
        writer.writerows((network.seed, number, *line) for number, line in enumerate(lines))
    return buffer.getvalue()


def _records(keys: Sequence[str], table: Array) -> list[dict[str, float]]:
    return [dict(zip(keys, line, strict=True)) for line in table.tolist()]


def _cells(scored: Sequence[Scores]) -> tuple[str, ...]:
    """Return the cells below HEAD: the means over networks."""
    percent = {key: _mean([100 * getattr(score, key) for score in scored], 2) for key in SCORES if key != "loss"}
    loss = _mean([score.loss for score in scored], 4)
    return percent["error"], loss, percent["calibration_error"], percent["if_perfect"]


def _mean(values: Sequence[float], digits: int) -> str:
    estimate = interval(values)
    return f"{estimate.mean:.{digits}f}" + ("" if estimate.sd is None else f" ±{estimate.sd:.{digits}f}")
