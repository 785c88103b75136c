"""READ THIRD: every kind of dropout, and the only place that draws a mask.

In training, a kind of dropout turns its input x into

    y = x * scale + shift

where scale, shift or both are random; evaluation leaves x as it is, or multiplies it by a constant. The gradient with
respect to x is the incoming one times the same scale, which is why `network.py` needs nothing else to train with any
kind. To add one: write its function, enter it in `DROPOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dropout_lab.streams import stream

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor, dtype

WORDS = 2**32  # a mask compares one 32-bit random word per unit with a threshold
BLOCK = 2**17  # numbers drawn at once: half a megabyte, so that they and the scales stay in the cache
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
SELU_LIMIT = -SELU_SCALE * SELU_ALPHA  # selu of minus infinity

Draw = tuple["Tensor | None", "Tensor | None"]  # scale and shift; None stands for 1, and for 0
Fill = Callable[["Tensor", "Tensor", "Tensor"], Draw]  # random numbers, and two tensors to fill


@dataclass(frozen=True)
class Kind:
    """One kind of dropout.

    title: what it is called in a table. below_one: whether its rate must be, for its noise grows without bound.
    normals: whether it takes standard normal numbers, float32, or else words, int32, uniform over all 32-bit values.
    prepare: from the rates, float64, one per lane, and the float type, what turns such numbers, (steps, lanes or 1,
    batch, units), into noise, (steps, lanes, batch, units). at_test: the factor of evaluation, given a rate. needs: the
    settings that the network must have with it; because: why.
    """

    title: str
    prepare: Callable[[Tensor, dtype], Fill]
    below_one: bool = True
    normals: bool = False
    at_test: Callable[[float], float] = lambda rate: 1.0
    needs: Mapping[str, str] = field(default_factory=dict)
    because: str = ""


def kept(rates: Tensor) -> tuple[Tensor, Tensor]:
    """Return the fraction kept, (lanes, 1, 1), and the largest signed word that is kept with this probability.

    It is exact to within 2**-33. At rate 0 all words are kept; at rate 1 one in 2**32 is, and must be multiplied by 0.
    """
    import torch

    keep = (1 - rates).view(-1, 1, 1)
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
    """The papers' form: scale = m, and evaluation multiplies by 1 - rate (Srivastava et al. 2014, section 4)."""
    import torch

    keep, last = kept(rates)
    factor = (keep > 0).to(dtype)
    return lambda words, scale, shift: (torch.le(words, last, out=scale).mul_(factor), None)


def gaussian(rates: Tensor, dtype: dtype) -> Fill:
    """Multiplicative noise (Srivastava et al. 2014, section 10): scale = 1 + s z, s^2 = rate / (1 - rate), z ~ N(0, 1).

    Mean and variance are those of `bernoulli`; nothing is exactly 0, and with probability Phi(-1 / s) a sign turns.
    """
    import torch

    deviation = (rates / (1 - rates)).sqrt().view(-1, 1, 1).to(dtype)
    return lambda normals, scale, shift: (torch.mul(normals, deviation, out=scale).add_(1), None)


def gaussian_additive(rates: Tensor, dtype: dtype) -> Fill:
    """Additive noise (Keras's GaussianNoise): shift = rate * z, z ~ N(0, 1). The rate is a standard deviation here."""
    import torch

    deviation = rates.view(-1, 1, 1).to(dtype)
    return lambda normals, scale, shift: (None, torch.mul(normals, deviation, out=shift))


def alpha(rates: Tensor, dtype: dtype) -> Fill:
    """Alpha dropout (Klambauer et al. 2017), for selu: what is dropped becomes selu's limit l, then mean and variance
    are restored: y = A (m x + (1 - m) l) + B, A = ((1 - rate) (1 + rate l^2))^(-1/2), B = -A rate l.

    An input of mean 0 and variance 1 keeps both exactly.
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


DROPOUTS = {
    "bernoulli": Kind("inverted (Bernoulli)", bernoulli, below_one=False),
    "bernoulli-scaled": Kind("Bernoulli, scaled at test", bernoulli_scaled, below_one=False, at_test=lambda r: 1 - r),
    "gaussian": Kind("Gaussian, multiplicative", gaussian, normals=True),
    "gaussian-additive": Kind("Gaussian, additive", gaussian_additive, below_one=False, normals=True),
    "alpha": Kind(
        "alpha, for selu",
        alpha,
        needs={"activation": "selu", "init": "lecun-normal"},
        because="which keeps mean and variance of nothing else",
    ),
}


class Noise:
    """The noise of one layer for many lanes, drawn for a block of steps at a time.

    Each lane draws from its own stream (seed, "masks", layer, epoch), whatever its neighbours do, and at rate 0 it
    draws nothing. Lanes of one seed read the same numbers, so what is kept at a high rate is kept at every lower one.
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
    ) -> None:
        """Prepare noise of `shape` (batch, units) for one lane per seed; a batch of 1 is one mask for all examples."""
        import torch

        self.layer, self.kind = layer, DROPOUTS[kind]
        self.seeds = {lane: seed for lane, (seed, rate) in enumerate(zip(seeds, rates, strict=True)) if rate > 0}
        shared = len({*self.seeds.values()}) == 1
        if shared:
            self.seeds = {0: next(iter(self.seeds.values()))}  # one row of numbers for all lanes
        self.units = shape[0] * shape[1]
        self.block = max(1, BLOCK // (len(seeds) * self.units))
        size = self.block, 1 if shared else len(seeds), (self.units + 1) // 2 * 2
        self.numbers = torch.zeros(size, dtype=torch.float32 if self.kind.normals else torch.int32)
        self.scale, self.shift = torch.empty(2, self.block, len(seeds), *shape, dtype=dtype, device=device)
        self.fill = self.kind.prepare(torch.tensor(rates, dtype=torch.float64, device=device), self.scale.dtype)

    def steps(self, epoch: int, count: int) -> Iterator[Draw]:
        """Yield scale and shift, (lanes, batch, units), of each of the `count` steps of `epoch`, valid for one step."""
        generators = {seed: stream(seed, "masks", self.layer, epoch) for seed in self.seeds.values()}
        numbers = self.numbers.numpy()
        for first in range(0, count, self.block):
            drawn = {seed: self.draw(generator) for seed, generator in generators.items()}
            for row, seed in self.seeds.items():
                numbers[:, row] = drawn[seed]
            used = self.numbers[..., : self.units].view(self.block, -1, *self.scale.shape[2:])
            scale, shift = self.fill(used.to(self.scale.device), self.scale, self.shift)
            for step in range(min(self.block, count - first)):
                yield scale if scale is None else scale[step], shift if shift is None else shift[step]

    def draw(self, generator: Generator) -> NDArray[Any]:
        """Return the random numbers of one block, (steps, numbers of a step)."""
        import numpy as np

        steps, _, size = self.numbers.shape
        if self.kind.normals:
            return generator.standard_normal((steps, size), dtype=np.float32)
        raw: NDArray[Any] = generator.bit_generator.random_raw(steps * size // 2)  # each holds two words
        return raw.view(np.int32).reshape(steps, size)
