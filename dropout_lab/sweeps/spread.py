"""Where the spread of a crossing comes from: its networks measured, their variance divided; as a table and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dropout_lab.comparison.metrics import METRICS
from dropout_lab.comparison.variance import Component, Components, components
from dropout_lab.runs.read import Run
from dropout_lab.sweeps.crossing import Arm, Crossing
from dropout_lab.sweeps.plan import shown
from dropout_lab.text import Line, Parts, as_text, count, labelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA_VERSION = 1
TOLD = 0.01  # a stream that makes less of the spread is not worth a sentence
PAIRS = 10  # the number of pairs whose worth is said, as an example


@dataclass(frozen=True)
class Spread:
    """The networks of an arm: a value each, one axis for each stream, and what the streams contribute to their spread.

    missing: how many networks have no value, because they diverged, for example. Then there are no components.
    """

    arm: Arm
    values: NDArray[Any] = field(compare=False)
    components: Components | None
    missing: int

    @property
    def label(self) -> str:
        """What tells this arm from the others, such as "rate=0.5"; empty if it is the only one."""
        return ", ".join(f"{key.rpartition('.')[2]}={shown(value)}" for key, value in self.arm.settings.items())

    @property
    def pair(self) -> tuple[str, ...]:
        """The streams that the two runs of a pair share: all but the masks."""
        return tuple(stream for stream in self.arm.streams if stream != "masks")

    @property
    def correlation(self) -> float | None:
        """The correlation of two networks that share all streams but the masks; None if there are no masks to vary."""
        return self.components.shared(self.pair) if self.components and "masks" in self.arm.streams else None


@dataclass(frozen=True)
class Variance:
    """What `variance` found: of one metric, the spread of each arm of a crossing."""

    name: str
    metric: str
    levels: int
    spreads: tuple[Spread, ...]


def measure(crossing: Crossing, runs: Mapping[str, Run], metric: str) -> Variance:
    """Return the spread of every arm of `crossing`, from its finished runs by name."""
    return Variance(
        crossing.sweep.name,
        metric,
        crossing.levels,
        tuple(_spread(arm, crossing.levels, runs, metric) for arm in crossing.arms),
    )


def _spread(arm: Arm, levels: int, runs: Mapping[str, Run], metric: str) -> Spread:
    import numpy as np

    by_seed = [METRICS[metric].finite(runs[name]) for name in arm.names]
    cells = np.array([[own.get(seed, math.nan) for seed in range(levels)] for own in by_seed])
    values = cells.reshape((levels,) * len(arm.streams))
    missing = int(np.isnan(values).sum())
    return Spread(arm, values, None if missing else components(values, arm.streams), missing)


def to_text(found: Variance, width: int = 100) -> str:
    """Return what `parts` returns as text."""
    return as_text(parts(found), width)


def parts(found: Variance) -> Parts:
    """Return what was crossed, the table of components, and what follows for pairs and for fixed streams."""
    head = [
        labelled("variance", f"{found.name}: {count(found.levels, 'seed')} of each stream, every combination"),
        *(labelled("networks" * (number == 0), _networks(spread)) for number, spread in enumerate(found.spreads)),
    ]
    after = [
        labelled("x", "what only the combination of streams makes, beyond what each makes alone"),
        labelled("share", "of all parts; a part that is estimated below zero is shown as 0"),
        *(labelled("fixing", text) for spread in found.spreads if (text := _fixing(spread, found.metric))),
        *(labelled("pairing", text) for spread in found.spreads if (text := _pairing(spread))),
    ]
    return [*head, table(found), *after] if any(spread.components for spread in found.spreads) else head


def table(found: Variance) -> list[Line]:
    """Return the components of every arm: sd, 95 % interval and share; of several arms, side by side without shares."""
    shown = [spread for spread in found.spreads if spread.components]
    sets = sorted(dict.fromkeys(part.streams for spread in shown for part in _parts(spread)), key=len)
    lines: list[list[str]] = [[_unit(found.metric)], *([" x ".join(streams)] for streams in sets), ["one network"]]
    for spread in shown:
        by_streams = {part.streams: part for part in _parts(spread)}
        cells = [_cells(by_streams.get(streams), found.metric) for streams in sets]
        assert spread.components
        whole = (METRICS[found.metric].shown(spread.components.total), "", "")
        for line, (sd, interval, share) in zip(lines, [("sd", "95% CI", "share"), *cells, whole], strict=True):
            line += [f"{sd} {interval}".rstrip()] if len(shown) > 1 else [sd, interval, share]
        if len(shown) > 1:
            lines[0][-1] = f"{spread.label}: {lines[0][-1]}"
    return [tuple(line) for line in lines]


def _parts(spread: Spread) -> tuple[Component, ...]:
    return spread.components.parts if spread.components else ()


def _cells(part: Component | None, metric: str) -> tuple[str, str, str]:
    if part is None:
        return "-", "", ""
    shown = METRICS[metric].shown
    low, high = part.interval
    return shown(part.sd), f"[{shown(low)}, {shown(high)}]", f"{100 * part.share:.0f} %"


def _unit(metric: str) -> str:
    unit = "pp" if METRICS[metric].unit == "%" else METRICS[metric].unit
    return f"{METRICS[metric].title} {unit}".rstrip()


def _networks(spread: Spread) -> str:
    said = f"{spread.label}: " * bool(spread.label) + f"{spread.values.size:,} of {_and(spread.arm.streams)}"
    if spread.missing:
        return f"{said}; {spread.missing:,} without a value, so their spread cannot be divided"
    return said


def _and(words: tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _fixing(spread: Spread, metric: str) -> str:
    """Say how much of the spread is left if the stream that contributes most by itself is fixed."""
    found = spread.components
    if not found or not found.total or len(spread.arm.streams) < 2:
        return ""
    most = max((found.alone(stream) for stream in spread.arm.streams), key=lambda part: part.sd)
    if most.share < TOLD:
        return ""
    left = METRICS[metric].shown_difference(found.total * math.sqrt(1 - most.share))
    of = f"{spread.label}: " * bool(spread.label)
    return f"{of}with the seed of {most.streams[0]} fixed, an sd of {left} is left of {_shown(found, metric)}"


def _shown(found: Components, metric: str) -> str:
    return METRICS[metric].shown_difference(found.total)


def _pairing(spread: Spread) -> str:
    """Say what sharing all streams but the masks gains in a comparison of pairs."""
    r = spread.correlation
    if r is None or not spread.pair or r > 0.999:
        return ""
    of = f"{spread.label}: " * bool(spread.label)
    return (
        f"{of}networks that share {_and(spread.pair)} correlate by r = {r:.2f}, so n pairs are worth n / (1 - r) "
        f"unpaired seeds: {PAIRS} pairs, {PAIRS / (1 - r):.0f} seeds"
    )


def to_json_dict(found: Variance) -> dict[str, Any]:
    """Return the components of every arm and the value of every network as plain data, in the metric's stored unit."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": found.name,
        "metric": found.metric,
        "levels": found.levels,
        "arms": [_arm_as_dict(spread) for spread in found.spreads],
    }


def _arm_as_dict(spread: Spread) -> dict[str, Any]:
    found = spread.components
    return {
        "settings": dict(spread.arm.settings),
        "identity": spread.arm.config.identity,
        "streams": list(spread.arm.streams),
        "networks": int(spread.values.size),
        "missing": spread.missing,
        "mean": found.mean if found else None,
        "sd": found.total if found else None,
        "components": [
            {"streams": list(part.streams), "sd": part.sd, "interval": list(part.interval), "share": part.share}
            for part in _parts(spread)
        ],
        "pairing": {"shared": list(spread.pair), "correlation": spread.correlation},
        "values": spread.values.tolist(),
    }
