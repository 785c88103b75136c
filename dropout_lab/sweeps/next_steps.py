"""The commands that a user may want to run after a sweep, as text to copy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from dropout_lab.sweeps.judge import SweepTable
from dropout_lab.sweeps.plan import RATE

Step = tuple[str, str]  # why, and the command


def after_sweep(table: SweepTable, words: Sequence[str], rates: str | None, places: Sequence[str]) -> list[Step]:
    """Return the steps that may follow a sweep; none if no run was chosen.

    `words` are the command line of the sweep, `rates` is the value of its --rates, and `places` are the options that
    say where runs and data are.
    """
    chosen = table.chosen and table.chosen.member
    if not chosen:
        return []
    steps: list[Step] = []
    if table.to_confirm and "--confirm" not in words:
        steps.append(("see whether the choice holds, on fresh seeds", shlex.join([*words, "--confirm"])))
    run = f"{table.sweep.name}/{chosen.name}"
    steps.append(("look at the chosen run", shlex.join([words[0], "evaluate", run, *places])))
    if rates is not None and (between := ",".join(f"{rate:g}" for rate in finer(table))):
        steps.append(
            (f"try rates around {chosen.settings[RATE]:g}", shlex.join(_replaced(words, f"{rates},{between}")))
        )
    return steps


def finer(table: SweepTable) -> list[float]:
    """Return the rates halfway from the chosen rate to its neighbours; beyond the highest rate, half a step up."""
    tried = {member.settings.get(RATE) for member in table.sweep.members}
    numbers = sorted(float(rate) for rate in tried if isinstance(rate, int | float))
    chosen = table.chosen and table.chosen.member.settings.get(RATE)
    if not isinstance(chosen, int | float):
        return []
    below = max((rate for rate in numbers if rate < chosen), default=0.0)
    above = min((rate for rate in numbers if rate > chosen), default=min(2 * chosen - below, 1.0))
    around = ((below + chosen) / 2, (chosen + above) / 2)
    return [round(rate, 4) for rate in around if round(rate, 4) not in (*numbers, 0.0, 1.0)]


def _replaced(words: Sequence[str], rates: str) -> Iterator[str]:
    """Yield the words of a command line with other rates. The sweep keeps its name, so no run is trained twice."""
    before = ""
    for word in words:
        yield rates if before == "--rates" else f"--rates={rates}" if word.startswith("--rates=") else word
        before = word
