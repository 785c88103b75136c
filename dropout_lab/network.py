"""READ SECOND: forward and backward of many perceptrons side by side; the one place where dropout is applied.

A *lane* is one network. All lanes have one shape and every product is a batched one, so training 8 networks takes far
less than 8 times as long as training one. Forward and backward are written out: for a perceptron they are short, they
show exactly where a mask multiplies, and a step takes 0.6 of the time that autograd takes. Tests compare them with
autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from dropout_lab.dropout import NONE, SELU_LIMIT, SELU_SCALE, Draw, normal_parts
from dropout_lab.streams import stream

# A lane has the same bits alone, beside others, and with any number of threads. Two things are needed for that. Every
# lane's operands start at a multiple of 64 bytes: otherwise matrix products round in another way. Every product has at
# least FEWEST_ROWS examples (cost.py): with fewer than 12, the CPU's kernels divide their sums among threads.
# tests/test_training.py tests it; docs/log.md has the measurements.
ALIGNMENT = 16  # float32 numbers in 64 bytes

# torch's own sigmoid and selu round the last few numbers of a block in another way, and where blocks end depends on the
# other lanes and on the number of threads. tanh rounds all numbers alike, so both are written with tanh.


def _sigmoid(z: Tensor) -> Tensor:
    """1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2."""
    return z.mul_(0.5).tanh_().mul_(0.5).add_(0.5)


def _selu(z: Tensor) -> Tensor:
    """z or, below 0, alpha (exp(z) - 1), times the scale; exp(z) - 1 = 2 t / (1 - t) with t = tanh(z / 2)."""
    t = z.clamp(max=0).mul_(0.5).tanh_()
    return z.clamp_(min=0).mul_(SELU_SCALE).add_(t.div_(1 - t), alpha=-2 * SELU_LIMIT)


def _selu_slope(output: Tensor) -> Tensor:
    return torch.where(output > 0, SELU_SCALE, output - SELU_LIMIT)


# name -> (the activation, in place; its derivative, written in terms of its own output)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "relu": (torch.relu_, torch.sign),
    "tanh": (torch.tanh_, lambda output: 1 - output * output),
    "sigmoid": (_sigmoid, lambda output: output * (1 - output)),
    "selu": (_selu, _selu_slope),
    "identity": (lambda z: z, torch.ones_like),
}


def _uniform(limit: float) -> Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]:
    return lambda generator, shape: generator.uniform(-limit, limit, shape)


def _normal(deviation: float) -> Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]:
    return lambda generator, shape: deviation * generator.standard_normal(shape)


# name -> f(fan_in, fan_out) -> how a weight matrix is drawn. Biases start at 0, except with "pytorch".
INITS = {
    "glorot-uniform": lambda fan_in, fan_out: _uniform(math.sqrt(6 / (fan_in + fan_out))),  # Keras's default
    "lecun-normal": lambda fan_in, fan_out: _normal(math.sqrt(1 / fan_in)),  # which selu needs
    "pytorch": lambda fan_in, fan_out: _uniform(math.sqrt(1 / fan_in)),  # torch.nn.Linear, biases too
    "normal": lambda fan_in, fan_out: _normal(0.01),  # Hinton et al. 2012
}


def padded(size: int) -> int:
    """Return the smallest multiple of `ALIGNMENT` that is at least `size`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def empty(like: Tensor, lanes: int, rows: int, columns: int) -> Tensor:
    """Return an uninitialized tensor (lanes, rows, columns) in which every lane is aligned."""
    size = rows * columns
    if size % ALIGNMENT == 0:
        return like.new_empty(lanes, rows, columns)
    return like.new_empty(lanes, padded(size))[:, :size].view(lanes, rows, columns)


def empty_like(tensor: Tensor) -> Tensor:
    """Return an uninitialized tensor of this shape in which every lane is aligned."""
    lanes, rows, columns = tensor.shape
    return empty(tensor, lanes, rows, columns)


class Network:
    """`lanes` perceptrons with layer widths `sizes` = (inputs, hidden..., classes).

    The parameters of all lanes are one matrix (lanes, padded). Weights (lanes, in, out) and biases (lanes, 1, out) are
    aligned views into this matrix, and their gradients are views into its gradient.

    The last layer is filled up to a multiple of 16 columns, because products and softmax are then several times faster.
    The columns beyond the classes have weights 0 and bias -inf: probability 0 and gradient 0, so they never change.

    With `products` bfloat16, the products of training take weights and activations rounded to 8 bits, so gradients are
    off by 1 to 3 %. The weights themselves, the optimizer and `predict` stay in float32.

    With `samples`, noise and `at_test` are for the weights into a hidden layer, not for its outputs (DropConnect), and
    `predict` averages so many samples of each unit's output.
    """

    def __init__(
        self,
        lanes: int,
        sizes: Sequence[int],
        activation: str = "relu",
        placement: str = "after",
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        products: torch.dtype | None = None,
        samples: int | None = None,
    ) -> None:
        self.sizes, self.placement = tuple(sizes), placement
        self.samples = normal_parts(samples) if samples else []
        self._spaces: dict[tuple[str, int, int], Tensor] = {}
        self.at_test: list[Tensor | None] = [None] * (len(sizes) - 1)  # factors (lanes, 1, 1) of `predict`
        self.activation, self.slope = ACTIVATIONS[activation]
        widths = (*sizes[:-1], padded(sizes[-1]))
        shapes = [shape for a, b in pairwise(widths) for shape in ((a, b), (1, b))]
        starts = np.cumsum([0] + [padded(math.prod(shape)) for shape in shapes]).tolist()
        self.parameters = torch.nn.Parameter(torch.zeros(lanes, starts[-1], dtype=dtype, device=device))
        self.parameters.grad = torch.zeros_like(self.parameters)

        self._parts = list(zip(starts, shapes, strict=False))
        self._padded = self._views(self.parameters.data)
        self._padded_gradients = self._views(self.parameters.grad)
        self._padded[-1][..., sizes[-1] :] = -math.inf
        self.weights, self.biases = self.layers(self.parameters.data)
        self.weight_gradients, self.bias_gradients = self.layers(self.parameters.grad)
        self.rounded = products is not None and products != dtype
        self._factors, self._results = self._padded, self._padded_gradients  # of training's products
        if self.rounded:
            self._factors, self._results = ([t.to(products) for t in ts] for ts in (self._factors, self._results))

    def _views(self, parameters: Tensor) -> list[Tensor]:
        """Return views of `parameters` (lanes, padded): each layer's weights and its biases, in turn."""
        parts = ((at, at + math.prod(shape), shape) for at, shape in self._parts)
        return [parameters[:, start:end].view(len(parameters), *shape) for start, end, shape in parts]

    def layers(self, parameters: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return views of `parameters` (lanes, padded): weights and biases, without the columns beyond the classes."""
        used = [tensor[..., : self.sizes[index // 2 + 1]] for index, tensor in enumerate(self._views(parameters))]
        return used[::2], used[1::2]

    def initialize(self, lane: int, init: str, seed: int) -> None:
        """Draw the first weights of one lane, those of layer k from the stream (seed, "init", k)."""
        for layer, (fan_in, fan_out) in enumerate(pairwise(self.sizes)):
            draw, generator = INITS[init](fan_in, fan_out), stream(seed, "init", layer)
            weight, bias = self.weights[layer][lane], self.biases[layer][lane]
            weight.copy_(torch.from_numpy(draw(generator, (fan_in, fan_out))))
            bias.copy_(torch.from_numpy(draw(generator, (1, fan_out))) if init == "pytorch" else torch.zeros(1))

    def predict(self, x: Tensor, outputs: list[Tensor] | None = None, parameters: Tensor | None = None) -> Tensor:
        """Return the logits (lanes, batch, padded classes) of x (lanes or 1, batch, inputs) with dropout off.

        `outputs` takes what each hidden layer hands on, (lanes, batch, units). `parameters`, of the same shape, take
        the place of the network's own.
        """
        tensors = self._padded if parameters is None else self._views(parameters)
        h = x.expand(len(self.parameters), -1, -1)
        if self.at_test[0] is not None:
            h = torch.mul(x, self.at_test[0], out=empty_like(h))
        for weight, bias, factor in zip(tensors[:-2:2], tensors[1:-2:2], self.at_test[1:], strict=True):
            if self.samples and factor is not None:
                h = self._expected(weight, bias, h, factor)
            else:
                z = _affine(h, weight, bias)
                if self.placement == "before":
                    disturb(z, factor, None)
                h = self.activation(z)
                if self.placement == "after":
                    disturb(h, factor, None)
            if outputs is not None:
                outputs.append(h)
        return _affine(h, *tensors[-2:])

    def _expected(self, weight: Tensor, bias: Tensor, h: Tensor, keep: Tensor) -> Tensor:
        """Return the mean output of a hidden layer whose weights are kept with probability `keep`, (lanes, 1, 1).

        A unit's input u is nearly normal, N(keep W h + b, keep (1 - keep) (W * W)(h * h)). Its mean output is the mean
        of a(u) over samples of u (Wan et al. 2013, section 3.2). The samples here are `normal_parts`, which are not
        random; one sample alone gives the output of the mean weights. The sum starts with that output and adds each
        sample's difference from it, so with keep = 1 exactly nothing is added, to the last bit.
        """
        mean = _affine(h, torch.mul(weight, keep, out=empty_like(weight)), bias)
        middle = self.activation(mean.clone())
        if len(self.samples) == 1:
            return middle
        variances = torch.mul(weight.square(), keep * (1 - keep), out=empty_like(weight))
        deviation = _affine(torch.mul(h, h, out=empty_like(h)), variances, torch.zeros_like(bias)).sqrt_()
        rest = torch.zeros_like(mean)
        for sample in self.samples:
            rest += self.activation(mean + sample * deviation).sub_(middle)
        return middle.add_(rest, alpha=1 / len(self.samples))

    def forward(self, x: Tensor, noise: Sequence[Draw]) -> Tensor:
        """Return the logits (lanes, batch, padded classes) of x (lanes or 1, batch, inputs), ready for `backward`.

        noise: scale and shift (lanes, batch or 1, width) of the input and of each hidden layer; NONE is no dropout.
        For `backward`, the input of each layer and the slope of its output, dh/dz, are kept; the scale is a factor of
        this slope. With DropConnect, scale is (lanes, batch or 1, inputs * width), and the weights left are kept too.
        """
        h = x.expand(len(self.parameters), -1, -1)
        if noise[0] != NONE:
            h = disturb(empty_like(h).copy_(h), *noise[0])
        if self.rounded:
            torch._foreach_copy_(self._factors, self._padded)
            h = h.to(self._factors[0].dtype)
        self.inputs, self.slopes, self.left = [h], [], self._factors[::2]
        self.masks: list[Tensor | None] = [None] * len(self.left)
        for layer, (scale, shift) in enumerate(noise[1:]):
            if self.samples and scale is not None:
                self._disconnect(layer, scale)
                scale = None
            weight, bias = self.left[layer], self._factors[2 * layer + 1]
            z = _product(h, weight, bias, self._space("output", layer, h))
            if self.placement == "before":
                disturb(z, scale, shift)
            h = self.activation(z)
            slope = self.slope(h)
            if scale is not None:
                slope.mul_(scale)
            if self.placement == "after":
                disturb(h, scale, shift)
            self.inputs.append(h)
            self.slopes.append(slope)
        return _affine(h, *self._factors[-2:]).to(x.dtype)

    def backward(self, delta: Tensor) -> None:
        """Fill the gradients. `delta` is the gradient of the loss with respect to the logits, and has their shape."""
        delta = delta.to(self._factors[0].dtype)
        for layer in reversed(range(len(self.weights))):
            _outer_product(self.inputs[layer], delta, self.masks[layer], self._results[2 * layer])
            torch.sum(delta, 1, keepdim=True, out=self._results[2 * layer + 1])
            if layer:
                below = self._space("delta", layer - 1, delta)
                delta = _product_below(delta, self.left[layer], below).mul_(self.slopes[layer - 1])
        if self.rounded:
            torch._foreach_copy_(self._padded_gradients, self._results)

    def _disconnect(self, layer: int, mask: Tensor) -> None:
        """Keep a layer's mask, (lanes, batch or 1, inputs * width), and the weights that it leaves in this step."""
        weight = self._factors[2 * layer]
        mask = mask.view(len(weight), -1, *weight.shape[1:])
        if mask.shape[1] == 1:
            mask = mask[:, 0]
            self.left[layer] = torch.mul(weight, mask, out=empty_like(weight))
        else:
            self.left[layer] = weight[:, None] * mask
        self.masks[layer] = mask

    def _space(self, what: str, layer: int, like: Tensor) -> Tensor:
        """Return the buffer for `what` of a hidden layer, with the examples of `like`; each step overwrites it."""
        key = what, layer, like.shape[1]
        if key not in self._spaces:
            self._spaces[key] = empty(like, len(self.parameters), like.shape[1], self.sizes[layer + 1])
        return self._spaces[key]

    def decay(self, factor: float) -> None:
        """Multiply all weights, never biases, by 1 - factor (decoupled weight decay: Loshchilov & Hutter 2019)."""
        for weight in self.weights:
            weight.mul_(1 - factor)

    def penalize(self, l1: float, l2: float) -> None:
        """Add the gradients of l1 * sum|w| and l2 * sum w^2 over all weights, never biases (Keras's convention)."""
        for weight, gradient in zip(self.weights, self.weight_gradients, strict=True):
            if l2:
                gradient.add_(weight, alpha=2 * l2)
            if l1:
                gradient.add_(weight.sign(), alpha=l1)

    def project(self, max_norm: float) -> None:
        """Scale back every unit whose incoming weights are longer than `max_norm` (Hinton et al. 2012)."""
        for weight in self.weights:
            norm = weight.square().sum(1, keepdim=True).sqrt_()
            weight.mul_((max_norm / norm).clamp_(max=1.0))


def disturb(h: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    """Return h * scale + shift, in place."""
    if scale is not None:
        h.mul_(scale)
    if shift is not None:
        h.add_(shift)
    return h


def _affine(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias, h, weight, out=empty(h, len(weight), h.shape[1], weight.shape[2]))


# The products of one step. A weight of four dimensions, (lanes, batch, in, out), has a matrix for every example. Its
# products are written as sums: the bits of a batched matrix product would depend on the other lanes.


def _product(h: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """Return h weight + bias, (lanes, batch, out)."""
    if weight.dim() == 3:
        return torch.baddbmm(bias, h, weight, out=out)
    return torch.sum(h[..., None] * weight, 2, out=out).add_(bias)


def _product_below(delta: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """Return the gradient of a layer's input, (lanes, batch, in); `delta`: that of its output, (lanes, batch, out)."""
    if weight.dim() == 3:
        return torch.bmm(delta, weight.mT, out=out)
    return torch.sum(delta[:, :, None] * weight, 3, out=out)


def _outer_product(h: Tensor, delta: Tensor, mask: Tensor | None, out: Tensor) -> None:
    """Write the gradient of the weights, (lanes, in, out): that of the masked weights, times the mask."""
    if mask is None or mask.dim() == 3:
        torch.bmm(h.mT, delta, out=out)
        if mask is not None:
            out.mul_(mask)
    else:
        torch.sum(h[..., None] * delta[:, :, None] * mask, 1, out=out)


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses (lanes, examples) of logits (lanes, examples, classes), and which predictions are right (bool).

    labels: (lanes or 1, examples), int64. The loss of an example is -log of the probability of its label by softmax.
    """
    log_p, labels = torch.log_softmax(logits, 2), labels.expand(logits.shape[:2])
    return -log_p.gather(2, labels[..., None])[..., 0], logits.argmax(2) == labels
