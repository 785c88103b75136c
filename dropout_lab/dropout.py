"""READ THIRD: every kind of dropout, and the only place that draws a mask.

A kind of dropout turns its input x into

    y = x * scale          (during training; evaluation leaves x as it is)

where `scale` is random. The gradient with respect to x is the incoming one times the same `scale`, which is why
`network.py` needs nothing else to train with any kind. To add one: write its function, enter it in `DROPOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dropout_lab.streams import stream

if TYPE_CHECKING:
    from torch import Tensor, dtype

WORDS = 2**32  # a mask compares one 32-bit random word per unit with a threshold
BLOCK = 2**17  # words drawn at once: half a megabyte, so that they and the scales stay in the cache


Fill = Callable[["Tensor", "Tensor"], "Tensor"]  # (words, out) -> out, filled with the scales


@dataclass(frozen=True)
class Kind:
    """One kind of dropout: what it is called in a table, its largest rate, and how random words become a scale."""

    title: str
    max_rate: float
    scale: Callable[[Tensor, dtype], Fill]  # (rates, float type) -> what fills a block of scales from random words


def bernoulli(rates: Tensor, dtype: dtype) -> Fill:
    """Inverted dropout, the form of Keras and PyTorch: scale = m / (1 - rate), where P(m = 1) = 1 - rate.

    rates: float64 in [0, 1], one per lane. The function returned takes words, int32, uniform over all 32-bit values,
    (steps, lanes or 1, batch, units), and fills an `out` (steps, lanes, batch, units). The mean of scale is 1, its
    variance rate / (1 - rate); at rate 0 it is 1, at rate 1 everything is dropped.
    """
    import torch

    keep = (1 - rates).view(-1, 1, 1)
    last = (keep * WORDS).round() - WORDS // 2 - 1  # as a signed word: P(word <= last) = keep to within 2**-33
    limit = last.clamp(min=-WORDS // 2).to(torch.int32)
    factor = torch.where(keep > 0, 1 / keep, 0.0).to(dtype)
    return lambda words, out: torch.le(words, limit, out=out).mul_(factor)


DROPOUTS = {"bernoulli": Kind("inverted (Bernoulli)", 1.0, bernoulli)}


class Noise:
    """The scales of one layer for many lanes, drawn for a block of steps at a time.

    Each lane draws from its own stream (seed, "masks", layer, epoch), whatever its neighbours do, and at rate 0 it
    draws nothing. Lanes that differ only in rate compare the same words with different thresholds, so what is kept at a
    high rate is kept at every lower one.
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
        """Prepare masks of `shape` (batch, units) for one lane per seed; a batch of 1 is one mask for all examples."""
        import torch

        self.layer = layer
        self.seeds = {lane: seed for lane, (seed, rate) in enumerate(zip(seeds, rates, strict=True)) if rate > 0}
        shared = len({*self.seeds.values()}) == 1
        if shared:
            self.seeds = {0: next(iter(self.seeds.values()))}  # one row of words for all lanes
        self.units = shape[0] * shape[1]
        self.block = max(1, BLOCK // (len(seeds) * self.units))
        rows = 1 if shared else len(seeds)
        self.words = torch.zeros(self.block, rows, (self.units + 1) // 2 * 2, dtype=torch.int32)
        self.scales = torch.empty(self.block, len(seeds), *shape, dtype=dtype, device=device)
        self.fill = DROPOUTS[kind].scale(torch.tensor(rates, dtype=torch.float64, device=device), self.scales.dtype)

    def steps(self, epoch: int, count: int) -> Iterator[Tensor]:
        """Yield the scale (lanes, batch, units) of each of the `count` steps of `epoch`; each is valid for one step."""
        import numpy as np

        raw = {seed: stream(seed, "masks", self.layer, epoch).bit_generator for seed in self.seeds.values()}
        words = self.words.numpy()
        for first in range(0, count, self.block):
            drawn = {seed: generator.random_raw(words[:, 0].size // 2) for seed, generator in raw.items()}
            for row, seed in self.seeds.items():
                words[:, row] = drawn[seed].view(np.int32).reshape(self.block, -1)
            used = self.words[..., : self.units].view(self.block, -1, *self.scales.shape[2:])
            yield from self.fill(used.to(self.scales.device), self.scales)[: count - first]
