"""Which runs the lesson needs: two sweeps of one config. No torch.

The first sweep has every rate, with Bernoulli and with Gaussian gates. The second one trains the first seed's network
for fewer epochs, without dropout and with it. A training of 5 epochs is the beginning of a longer one, so the page can
show what a network misread on its way.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from dropout_lab.config import resolve as configs
from dropout_lab.config import shipped
from dropout_lab.errors import Problem, Refused
from dropout_lab.sweeps import plan as sweeps
from dropout_lab.sweeps.plan import Member, Sweep

SEEDS = {"digits": 10, "mnist": 5}  # by data set
RATE = 0.5  # of the network that the page draws
RATES = "0.1..0.8"
KINDS = "dropout.kind=bernoulli,gaussian"
STOPS = 1, 2, 3, 5, 8, 12, 20, 30, 40  # epochs; the last stop is the config's own number of epochs


@dataclass(frozen=True)
class Story:
    """The runs of a lesson: `rates` has one for every rate and kind, `stops` one for every smaller number of epochs.

    commands: the command that trains each of the two. places: the options that say where runs and data are. seed: of
    the network that the page draws.
    """

    rates: Sweep
    stops: Sweep
    commands: tuple[str, str]
    places: tuple[str, ...]
    seed: int

    @property
    def all_rates(self) -> list[float]:
        """The rates, from 0 on."""
        return sorted({member.config.mean_rate for member in self.rates.members})

    def of_rate(self, rate: float, kind: str = "bernoulli") -> Member:
        """Return the run of a rate and a kind; without dropout there is one run for both kinds."""
        found = (member for member in self.rates.members if member.config.mean_rate == rate)
        return next(member for member in found if not rate or member.config.dropout.kind == kind)

    def about(self, command: str, rates: Sequence[float], *more: str) -> str:
        """Return a command about the runs of some rates, as it is typed."""
        names = [f"{self.rates.name}/{self.of_rate(rate).name}" for rate in rates]
        return shlex.join(["dropout-lab", command, *names, *more, *self.places])

    def stopped(self, rate: float) -> dict[int, Member]:
        """Return the runs at a rate that stop early, by their epochs."""
        members = (member for member in self.stops.members if member.config.mean_rate == rate)
        return {member.config.training.epochs: member for member in members}


def story(
    dataset: str,
    words: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    device: str | None = None,
    places: Sequence[str] = (),
) -> Story:
    """Plan the runs of the lesson about a data set of SEEDS, its config changed by KEY=VALUE words.

    places: options, as typed, that the commands on the page need, too. Raises `Refused` for another data set.
    """
    if dataset not in SEEDS:
        raise Refused(Problem("command line", "--dataset", f"must be {' or '.join(SEEDS)}", dataset))
    named, numbers = f"lesson-{dataset}", tuple(range(SEEDS[dataset]) if seeds is None else seeds)
    base = configs.load(
        shipped.FOLDER / f"{named}.yaml", words, {"seeds": numbers} | ({"device": device} if device else {})
    )
    first = configs.changed(base, {"seeds": numbers[:1]})
    epochs = [stop for stop in STOPS if stop < base.training.epochs] or [1]
    asked = (
        (base, RATES, KINDS, base.name),
        (first, f"{RATE:g}", f"training.epochs={','.join(map(str, epochs))}", f"{base.name}-epochs"),
    )
    rates, stops = (sweeps.plan(config, values, [vary], name=name) for config, values, vary, name in asked)
    commands = [
        ["dropout-lab", "sweep", named, *words, "--rates", values, "--vary", vary]
        + ["--seeds", typed(config.seeds), "--name", name, *places]
        for config, values, vary, name in asked
    ]
    return Story(rates, stops, (shlex.join(commands[0]), shlex.join(commands[1])), tuple(places), numbers[0])


def typed(seeds: Sequence[int]) -> str:
    """Return seeds as the command line takes them."""
    first, last = seeds[0], seeds[-1]
    return f"{first}..{last}" if list(seeds) == list(range(first, last + 1)) else ",".join(map(str, seeds))
