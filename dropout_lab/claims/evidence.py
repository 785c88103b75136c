"""Evidence: what the runs of a claim recorded, as the claim's judge asks for it, and what judges derive from it.

All values are by seed. A seed that diverged has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from dropout_lab.claims.criteria import Values
from dropout_lab.comparison.metrics import METRICS

if TYPE_CHECKING:
    from dropout_lab.evaluation.evaluate import Evaluation, NetworkEvaluation
    from dropout_lab.runs.read import Run

Curves = Mapping[int, Sequence[float]]  # by seed, a value for every epoch

TEST = 10_000  # test images of MNIST
TURNED = slice(3, 10)  # of evaluation.ANGLES: 45 to 135 degrees


class Evidence:
    """What the runs and evaluations of a claim recorded, by arm. For an arm without a run every mapping is empty."""

    def __init__(self, runs: Mapping[str, Run], evaluations: Mapping[str, Evaluation] = MappingProxyType({})) -> None:
        self._runs, self._evaluations = runs, evaluations

    def values(self, arm: str, metric: str) -> Values:
        """Return a metric of METRICS by seed."""
        return METRICS[metric].finite(self._runs[arm]) if arm in self._runs else {}

    def curves(self, arm: str, column: str) -> Curves:
        """Return a column of metrics.csv by seed, in the order of the epochs."""
        if arm not in self._runs:
            return {}
        rows = self._runs[arm].metrics
        finished = METRICS["val_loss"].finite(self._runs[arm])
        return {seed: rows[rows["seed"] == seed][column].tolist() for seed in finished}

    def averaging(self, arm: str) -> Mapping[int, tuple[Sequence[tuple[float, float]], float]]:
        """Return, by seed, mean and sd of the error of k = 1, 2, ... averaged passes, and that of weight scaling."""
        return {
            network.seed: ([(mean, sd) for mean, sd in network.averaging.tolist()], network.weight_scaling.error)
            for network in self._networks(arm)
        }

    def ablation(self, arm: str) -> Values:
        """Return, by seed, the mean test error while the most important units are taken out one after another."""
        return {network.seed: float(network.ablation[:, 1].mean()) for network in self._networks(arm)}

    def information(self, arm: str) -> tuple[Values, Values]:
        """Return, by seed, the mean mutual information of the images classified wrongly, and that of the others."""
        wrong, right = {}, {}
        for network in self._networks(arm):
            good = network.probabilities.argmax(1) == network.labels
            if good.all():
                continue
            wrong[network.seed] = float(network.information[~good].mean())
            right[network.seed] = float(network.information[good].mean())
        return wrong, right

    def rotation(self, arm: str) -> tuple[Values, Values]:
        """Return, by seed, the mutual information of an upright digit, and its mean turned by 45 to 135 degrees."""
        by_angle = {network.seed: network.rotated["information"] for network in self._networks(arm) if network.rotated}
        upright = {seed: float(information[0]) for seed, information in by_angle.items()}
        return upright, {seed: float(information[TURNED].mean()) for seed, information in by_angle.items()}

    def activity(self, arm: str) -> tuple[Values, Values]:
        """Return, by seed, the hidden units' mean output with dropout off, and the fraction of outputs that are 0."""
        means = {network.seed: network.activity.mean(0).tolist() for network in self._networks(arm)}
        return {seed: mean for seed, (mean, _) in means.items()}, {seed: zeros for seed, (_, zeros) in means.items()}

    def _networks(self, arm: str) -> Sequence[NetworkEvaluation]:
        return self._evaluations[arm].seeds if arm in self._evaluations else ()


def wrong(e: Evidence, name: str) -> dict[int, float]:
    """Return, by seed, the fraction of the test images that an arm classifies wrongly after the last epoch."""
    return {seed: 1 - accuracy for seed, accuracy in e.values(name, "test_accuracy").items()}


def first_epoch(curve: Sequence[float], level: float, falling: bool = False) -> float:
    """Return the first epoch (from 1) at `level` or above (falling: or below); one past the end if there is none."""
    reached = (value <= level if falling else value >= level for value in curve)
    return next((epoch for epoch, there in enumerate(reached, start=1) if there), len(curve) + 1)


def subtract(one: Values, other: Values) -> dict[int, float]:
    """Return one minus the other, for the seeds that both have."""
    return {seed: one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())}
