"""READ THIRD: every kind of dropout, and the only place that draws a mask.

In training, a kind of dropout turns its input x, the outputs of a layer, into

    y = x * scale + shift

where scale, shift or both are random. Evaluation leaves x as it is, or multiplies it by a constant. The gradient with
respect to x is the gradient with respect to y times the same scale, so `network.py` can train with any kind and knows
none. With DropConnect, x is the weights into a layer. To add a kind: write its function and enter it in `DROPOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import TYPE_CHECKING, Any

from dropout_lab.streams import stream

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor, dtype


MASKS = "masks"  # the purpose of their streams in training
WORDS = 2**32  # a mask compares one 32-bit random word per unit with a threshold
BLOCK = 2**17  # numbers drawn at once: half a megabyte, so that they and the scales stay in the cache
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
SELU_LIMIT = -SELU_SCALE * SELU_ALPHA  # selu of minus infinity

Draw = tuple["Tensor | None", "Tensor | None"]  # scale and shift; None stands for 1, and for 0
NONE: Draw = (None, None)  # no dropout
Fill = Callable[["Tensor", "Tensor", "Tensor"], Draw]  # random numbers, and two tensors to fill


@dataclass(frozen=True)
class Kind:
    """One kind of dropout, and all that the rest of the lab asks about it.

    title: its name in a table.
    prepare: takes the rates, float64, (lanes,) or (steps, lanes), and the float type; returns a function that turns
    random numbers (steps, lanes or 1, batch, units) into noise (steps, lanes, batch, units).
    below_one: whether its rate must be below 1, because its noise grows without bound.
    normals: whether its random numbers are standard normal, float32; if not, they are uniform words, int32.
    at_test: takes a rate, returns the factor by which evaluation multiplies.
    only_scales: whether there is no shift, and the scale is never below 0; then relu(x * scale) = relu(x) * scale.
    of_weights: whether it drops the weights into a hidden layer, and not the layer's outputs. Only this class reads it.
    needs: the settings, by section and key, that a config with this kind must have; because: the reason.
    """

    title: str
    prepare: Callable[[Tensor, dtype], Fill]
    below_one: bool = True
    normals: bool = False
    at_test: Callable[[float], float] = lambda rate: 1.0
    only_scales: bool = False
    of_weights: bool = False
    needs: Mapping[tuple[str, str], object] = field(default_factory=dict)
    because: str = ""

    @property
    def has_placement(self) -> bool:
        """Whether it can come before or after the activation."""
        return not self.of_weights

    def units(self, sizes: Sequence[int], layer: int) -> int:
        """Return how many numbers the noise of hidden layer 1, 2, ... has for one example; of the input with layer 0.

        sizes: the layers' widths, from the input on.
        """
        return sizes[layer - 1] * sizes[layer] if self.of_weights else sizes[layer]

    def samples(self, samples: int) -> int | None:
        """Return how many `samples` of each unit's output a network averages at test; None: it has no such average."""
        return samples if self.of_weights else None

    def inference(self, samples: int) -> str:
        """Return the name of the prediction with dropout off."""
        if not self.of_weights:
            return "weight scaling"
        return f"moment matching, {samples} samples" if samples > 1 else "mean weights"

    def masks_all_weights(self, mask: str) -> bool:
        """Return whether every example has a mask of all weights, which takes much memory. mask: example or batch."""
        return self.of_weights and mask == "example"

    def mask_bytes(self, sizes: Sequence[int], rates: Sequence[float]) -> int:
        """Return about how many bytes one step's masks of weights take for one example; 0 if outputs are dropped.

        sizes: the widths of the input and of the hidden layers. rates: of each hidden layer.
        """
        if not self.of_weights:
            return 0
        weights = [a * b for (a, b), rate in zip(pairwise(sizes), rates, strict=True) if rate > 0]
        return 4 * (4 * sum(weights) + 3 * max(weights, default=0))  # the largest layer's gradient takes three more

    def shared_by_lanes(self, rates: Sequence[float]) -> float | tuple[float, ...]:
        """Return what of the hidden layers' `rates` lanes must have in common to train side by side.

        With masks of weights, a layer of rate 0 is computed in another way.
        """
        return tuple(float(rate > 0) for rate in rates) if self.of_weights else 0.0


def kept(rates: Tensor) -> tuple[Tensor, Tensor]:
    """Return the fraction kept, (..., 1, 1), and the largest signed word that is kept with this probability.

    The probability is exact to within 2**-33. At rate 0 all words are kept. At rate 1 one word in 2**32 is kept, so the
    caller must multiply by 0.
    """
    import torch

    keep = (1 - rates)[..., None, None]
    last = (keep * WORDS).round() - WORDS // 2 - 1
    return keep, last.clamp(min=-WORDS // 2).to(torch.int32)


def bernoulli(rates: Tensor, dtype: dtype) -> Fill:
    """Inverted dropout, the form of Keras and PyTorch: scale = m / (1 - rate), where P(m = 1) = 1 - rate.

    The mean of scale is 1, its variance rate / (1 - rate); at rate 1 everything is dropped.
    """
    import torch

    keep, last = kept(rates)
    factor = torch.where(keep > 0, 1 / keep, 0.0).to(dtype)
    return lambda words, scale, shift: (torch.le(words, last, out=scale).mul_(factor), None)


def bernoulli_scaled(rates: Tensor, dtype: dtype) -> Fill:
    """The papers' form: scale = m, and evaluation multiplies by 1 - rate (Srivastava et al. 2014, section 4).

    Applied to weights, this is DropConnect (Wan et al. 2013): y = a((M * W) x + b), with M not scaled; b has no mask.
    """
    import torch

    keep, last = kept(rates)
    factor = (keep > 0).to(dtype)
    return lambda words, scale, shift: (torch.le(words, last, out=scale).mul_(factor), None)


def gaussian(rates: Tensor, dtype: dtype) -> Fill:
    """Multiplicative noise (Srivastava et al. 2014, section 10): scale = 1 + s z, s^2 = rate / (1 - rate), z ~ N(0, 1).

    Mean and variance are those of `bernoulli`. Nothing is exactly 0; with probability Phi(-1 / s) the sign changes.
    """
    import torch

    deviation = (rates / (1 - rates)).sqrt()[..., None, None].to(dtype)
    return lambda normals, scale, shift: (torch.mul(normals, deviation, out=scale).add_(1), None)


def gaussian_additive(rates: Tensor, dtype: dtype) -> Fill:
    """Additive noise (Keras's GaussianNoise): shift = rate * z, z ~ N(0, 1). The rate is a standard deviation here."""
    import torch

    deviation = rates[..., None, None].to(dtype)
    return lambda normals, scale, shift: (None, torch.mul(normals, deviation, out=shift))


def alpha(rates: Tensor, dtype: dtype) -> Fill:
    """Alpha dropout (Klambauer et al. 2017), for selu: a dropped output becomes selu's limit l, then mean and variance
    are restored: y = A (m x + (1 - m) l) + B, A = ((1 - rate) (1 + rate l^2))^(-1/2), B = -A rate l.

    If x has mean 0 and variance 1, y has them too, exactly.
    """
    import torch

    keep, last = kept(rates)
    factor = (keep * (1 + (1 - keep) * SELU_LIMIT**2)).rsqrt()
    base = -factor * (1 - keep) * SELU_LIMIT
    factor, dropped, base = (t.to(dtype) for t in (factor, factor * SELU_LIMIT, base))

    def fill(words: Tensor, scale: Tensor, shift: Tensor) -> Draw:
        torch.le(words, last, out=scale)
        torch.sub(1, scale, out=shift).mul_(dropped).add_(base)
        return scale.mul_(factor), shift

    return fill


DROPS_NO_UNIT: Any = {"needs": {("network", "widen"): False}, "because": "which drops no unit"}

DROPOUTS = {
    "bernoulli": Kind("inverted (Bernoulli)", bernoulli, below_one=False, only_scales=True),
    "bernoulli-scaled": Kind(
        "Bernoulli, scaled at test",
        bernoulli_scaled,
        below_one=False,
        at_test=lambda rate: 1 - rate,
        only_scales=True,
        needs={("dropout", "schedule"): "constant"},
        because="whose weights are scaled for one rate",
    ),
    "gaussian": Kind("Gaussian, multiplicative", gaussian, normals=True, **DROPS_NO_UNIT),
    "gaussian-additive": Kind("Gaussian, additive", gaussian_additive, below_one=False, normals=True, **DROPS_NO_UNIT),
    "alpha": Kind(
        "alpha, for selu",
        alpha,
        needs={("network", "activation"): "selu", ("network", "init"): "lecun-normal"},
        because="which keeps mean and variance of nothing else",
    ),
    "dropconnect": Kind(
        "DropConnect",
        bernoulli_scaled,
        below_one=False,
        at_test=lambda rate: 1 - rate,
        of_weights=True,
        needs={
            ("dropout", "input_rate"): 0,
            ("dropout", "placement"): "after",
            ("dropout", "schedule"): "constant",
            ("network", "widen"): False,
            ("training", "precision"): "float32",
        },
        because="which drops the weights into each hidden layer",
    ),
}


# Each schedule takes the steps done before, t (steps,), the cutoff in steps, and gamma; it returns the share of the
# rates that is in force, (steps,). Early and late dropout are those of Liu et al. 2023; early-linear is 0 at the last
# step before the cutoff. In the curriculum of Morerio et al. 2017 keep(t) = (1 - keep) exp(-gamma t) + keep: at step t
# the rate is rate (1 - exp(-gamma t)).


def _curriculum(t: NDArray[Any], cutoff: int, gamma: float) -> NDArray[Any]:
    import numpy as np

    return -np.expm1(-gamma * t)


SCHEDULES: dict[str, Callable[[NDArray[Any], int, float], NDArray[Any]]] = {
    "constant": lambda t, cutoff, gamma: t >= 0,
    "early": lambda t, cutoff, gamma: t < cutoff,
    "early-linear": lambda t, cutoff, gamma: (t < cutoff) * (1 - t / max(1, cutoff - 1)),
    "late": lambda t, cutoff, gamma: t >= cutoff,
    "curriculum": _curriculum,
}
CUT = ("early", "early-linear", "late")  # schedules that need a cutoff


def shares(schedule: str, cutoff: int | None, gamma: float | None, epoch: int, steps: int, epochs: int) -> NDArray[Any]:
    """Return the share of the rates, 0 to 1, in force at each of the `steps` of `epoch` (from 1), float64.

    schedule: a key of SCHEDULES. cutoff: in epochs. gamma: per step; None stands for 10 / (steps * epochs).
    """
    import numpy as np

    t = np.arange((epoch - 1) * steps, epoch * steps, dtype=np.float64)
    gamma = 10 / (steps * epochs) if gamma is None else gamma
    return SCHEDULES[schedule](t, (cutoff or 0) * steps, gamma).astype(np.float64)


def normal_parts(count: int) -> list[float]:
    """Return the means of `count` equally likely parts of the standard normal distribution, in order.

    The mean of these values is exactly that of the distribution; if `count` is even, the mean of the positive values is
    exactly that of its positive half.
    """
    import numpy as np
    from scipy.special import ndtri

    density = np.exp(-np.square(ndtri(np.arange(count + 1) / count)) / 2) / np.sqrt(2 * np.pi)
    parts: list[float] = (-count * np.diff(density)).tolist()
    return parts


class Noise:
    """The noise of one layer for many lanes, drawn for a block of steps at a time.

    Each lane draws from its own stream (seed, purpose, layer, epoch), whatever the other lanes do; a lane of rate 0
    draws nothing. Lanes of one seed read the same numbers: a unit that is kept at a high rate is kept at a lower one.
    """

    def __init__(
        self,
        kind: str,
        rates: Sequence[float],
        seeds: Sequence[int],
        layer: int,
        shape: tuple[int, int],
        device: str = "cpu",
        dtype: dtype | None = None,
        purpose: str = MASKS,
    ) -> None:
        """Prepare noise of `shape` (batch, units) for one lane per seed; a batch of 1 is one mask for all examples."""
        import torch

        self.layer, self.kind, self.purpose = layer, DROPOUTS[kind], purpose
        self.seeds = {lane: seed for lane, (seed, rate) in enumerate(zip(seeds, rates, strict=True)) if rate > 0}
        shared = len({*self.seeds.values()}) == 1
        if shared:
            self.seeds = {0: next(iter(self.seeds.values()))}  # one set of numbers for all lanes
        self.units = shape[0] * shape[1]
        self.block = max(1, BLOCK // (len(seeds) * self.units))
        size = self.block, 1 if shared else len(seeds), (self.units + 1) // 2 * 2
        self.numbers = torch.zeros(size, dtype=torch.float32 if self.kind.normals else torch.int32)
        self.scale, self.shift = torch.empty(2, self.block, len(seeds), *shape, dtype=dtype, device=device)
        self.rates = torch.tensor(rates, dtype=torch.float64, device=device)
        self.fill = self.kind.prepare(self.rates, self.scale.dtype)

    def steps(self, epoch: int, shares: NDArray[Any]) -> Iterator[Draw]:
        """Yield scale and shift, (lanes, batch, units), of each step of `epoch`. The next step overwrites them.

        shares: (steps,), the share of the rates in force at each step.
        """
        if not shares.any():
            yield from repeat(NONE, len(shares))
            return
        generators = {seed: stream(seed, self.purpose, self.layer, epoch) for seed in self.seeds.values()}
        numbers = self.numbers.numpy()
        for first in range(0, len(shares), self.block):
            drawn = {seed: self.draw(generator) for seed, generator in generators.items()}
            for lane, seed in self.seeds.items():
                numbers[:, lane] = drawn[seed]
            used = self.numbers[..., : self.units].view(self.block, -1, *self.scale.shape[2:])
            block = shares[first : first + self.block]
            scale, shift = self.filling(block)(used.to(self.scale.device), self.scale, self.shift)
            for step in range(len(block)):
                yield scale if scale is None else scale[step], shift if shift is None else shift[step]

    def filling(self, shares: NDArray[Any]) -> Fill:
        """Return the function that turns a block's numbers into noise, with these shares, (steps,), of the rates."""
        import numpy as np
        import torch

        if (shares == 1).all():
            return self.fill
        padded = torch.from_numpy(np.resize(shares, self.block)).to(self.rates.device)
        return self.kind.prepare(padded[:, None] * self.rates, self.scale.dtype)

    def draw(self, generator: Generator) -> NDArray[Any]:
        """Return the random numbers of one block, (steps, numbers of a step)."""
        import numpy as np

        steps, _, size = self.numbers.shape
        if self.kind.normals:
            return generator.standard_normal((steps, size), dtype=np.float32)
        raw: NDArray[Any] = generator.bit_generator.random_raw(steps * size // 2)  # each holds two words
        return raw.view(np.int32).reshape(steps, size)
