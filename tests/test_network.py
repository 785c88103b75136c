"""The written-out forward and backward against torch autograd, and the layout that keeps every lane's bits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from dropout_lab.dropout import NONE
from dropout_lab.network import ACTIVATIONS, ALIGNMENT, INITS, Network, cross_entropy

SIZES = (13, 7, 5, 4)
LANES, BATCH = 3, 6
REFERENCE = {
    "relu": torch.nn.functional.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "selu": torch.nn.functional.selu,
    "identity": lambda z: z,
}


def a_network(activation: str = "relu", placement: str = "after", dtype: torch.dtype = torch.float64) -> Network:
    network = Network(LANES, SIZES, activation, placement, dtype)
    for lane in range(LANES):
        network.initialize(lane, "pytorch", lane)
    return network


def a_batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(LANES, BATCH, SIZES[0], generator=generator, dtype=dtype)
    y = torch.randint(0, SIZES[-1], (LANES, BATCH), generator=generator)
    masks = [(torch.rand(LANES, BATCH, n, generator=generator) < 0.6).to(dtype) / 0.6 for n in SIZES[:-1]]
    return x, y, masks  # type: ignore[return-value]


def by_autograd(network: Network, x: Tensor, y: Tensor, scales: list[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
    """The same networks as anyone would write them, one lane after another, differentiated by torch."""
    activation = next(REFERENCE[name] for name, (f, _) in ACTIVATIONS.items() if f is network.activation)
    weights = [w.detach().clone().requires_grad_() for w in network.weights]
    biases = [b.detach().clone().requires_grad_() for b in network.biases]
    total, logits = torch.zeros((), dtype=x.dtype), []
    for lane in range(len(x)):
        own = [scale if scale is None else scale[lane] for scale in scales]
        h = x[lane] if own[0] is None else x[lane] * own[0]
        for w, b, scale in zip(weights[:-1], biases[:-1], own[1:], strict=True):
            z = h @ w[lane] + b[lane]
            if scale is not None and network.placement == "before":
                z = z * scale
            h = activation(z)
            if scale is not None and network.placement == "after":
                h = h * scale
        logits.append(h @ weights[-1][lane] + biases[-1][lane])
        total = total + torch.nn.functional.cross_entropy(logits[-1], y[lane])
    total.backward()
    return torch.stack(logits), [t.grad for pair in zip(weights, biases, strict=True) for t in pair]  # type: ignore[misc]


def run_backward(network: Network, x: Tensor, y: Tensor, scales: list[Tensor | None]) -> Tensor:
    logits = network.forward(x, [(scale, None) for scale in scales])
    network.backward((torch.softmax(logits, 2) - torch.nn.functional.one_hot(y, logits.shape[2])) / BATCH)
    return logits[..., : SIZES[-1]]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("masked", list(itertools.product([False, True], repeat=3)), ids=str)
@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@torch.no_grad()
def test_gradients_equal_autograd(
    activation: str, placement: str, masked: tuple[bool, ...], dtype: torch.dtype, tolerance: float
) -> None:
    network = a_network(activation, placement, dtype)
    x, y, masks = a_batch(dtype)
    scales = [mask if use else None for mask, use in zip(masks, masked, strict=True)]
    logits = run_backward(network, x, y, scales)
    with torch.enable_grad():
        expected_logits, expected = by_autograd(network, x, y, scales)
    gradients = [g for pair in zip(network.weight_gradients, network.bias_gradients, strict=True) for g in pair]
    for got, wanted in zip([logits, *gradients], [expected_logits, *expected], strict=True):
        assert (got - wanted).abs().max() <= tolerance * wanted.abs().max()


@torch.no_grad()
def test_rounded_products_give_gradients_that_are_off_by_a_few_percent() -> None:
    """And weights that are moved, and predicted with, unrounded."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 64, 200, generator=generator), torch.randint(0, 4, (2, 64), generator=generator)
    scales = [None, *((torch.rand(2, 64, n, generator=generator) < 0.5) * 2.0 for n in (96, 80))]
    gradients = []
    for products in (torch.float32, torch.bfloat16):
        network = Network(2, (200, 96, 80, 4), products=products)
        for lane in range(2):
            network.initialize(lane, "glorot-uniform", lane)
        run_backward(network, x, y, scales)
        gradients.append(torch.cat([gradient.flatten() for gradient in network.weight_gradients]))
        assert gradients[-1].dtype == network.parameters.dtype == torch.float32
    error = float((gradients[0] - gradients[1]).norm() / gradients[0].norm())
    assert 1e-3 < error < 0.03
    plain = Network(2, (200, 96, 80, 4))
    plain.parameters.copy_(network.parameters)
    assert torch.equal(plain.predict(x), network.predict(x))


@torch.no_grad()
def test_relu_does_not_care_where_the_mask_multiplies() -> None:
    results = []
    for placement in ("before", "after"):
        network = a_network("relu", placement, torch.float32)
        x, y, masks = a_batch(torch.float32)
        logits = run_backward(network, x, y, masks)
        results.append((logits, network.parameters.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])  # type: ignore[arg-type]


def connected(samples: int = 1, rate: float = 0.4) -> Network:
    network = Network(LANES, SIZES, dtype=torch.float64, samples=samples)
    for lane in range(LANES):
        network.initialize(lane, "pytorch", lane)
    keep = torch.full((LANES, 1, 1), 1 - rate, dtype=torch.float64)
    network.at_test = [None, keep, keep]
    return network


@pytest.mark.parametrize("rows", [1, BATCH])
@torch.no_grad()
def test_dropconnects_gradients_equal_autograd(rows: int) -> None:
    """With a mask per example, and with one per batch; of the weights into every hidden layer, never of biases."""
    network = connected()
    x, y, _ = a_batch()
    generator = torch.Generator().manual_seed(3)
    shapes = list(itertools.pairwise(SIZES[:-1]))
    masks = [(torch.rand(LANES, rows, a, b, generator=generator) < 0.6).double() for a, b in shapes]
    logits = network.forward(x, [NONE, *((mask.flatten(2), None) for mask in masks)])
    network.backward((torch.softmax(logits, 2) - torch.nn.functional.one_hot(y, logits.shape[2])) / BATCH)
    with torch.enable_grad():
        weights = [w.detach().clone().requires_grad_() for w in network.weights]
        biases = [b.detach().clone().requires_grad_() for b in network.biases]
        h = x
        for w, b, mask in zip(weights, biases, masks, strict=False):
            h = torch.relu(torch.einsum("lbi,lbio->lbo", h, w[:, None] * mask.expand(-1, BATCH, -1, -1)) + b)
        expected = h @ weights[-1] + biases[-1]
        torch.nn.functional.cross_entropy(expected.flatten(0, 1), y.flatten(), reduction="sum").div(BATCH).backward()
    assert torch.allclose(logits[..., : SIZES[-1]], expected, rtol=1e-12)
    for got, wanted in zip(network.weight_gradients, weights, strict=True):
        assert torch.allclose(got, wanted.grad, rtol=1e-10, atol=1e-14)  # type: ignore[arg-type]
    for got, wanted in zip(network.bias_gradients, biases, strict=True):
        assert torch.allclose(got, wanted.grad, rtol=1e-10, atol=1e-14)  # type: ignore[arg-type]


@torch.no_grad()
def test_dropconnects_inference_has_the_moments_of_all_masks_and_the_normals_mean_output() -> None:
    """Of one unit with 10 weights all 2^10 masks; of relu's output the closed form m Phi(m / s) + s phi(m / s)."""
    generator = torch.Generator().manual_seed(5)
    x, w = (torch.randn(10, generator=generator, dtype=torch.float64) for _ in range(2))
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=10)), dtype=torch.float64)
    for keep in (0.3, 0.5, 0.8):
        chances = keep ** masks.sum(1) * (1 - keep) ** (10 - masks.sum(1))
        inputs = masks @ (x * w)
        mean = float(chances @ inputs)
        deviation = math.sqrt(float(chances @ (inputs - mean) ** 2))
        ratio = mean / deviation
        exact = mean * stats.norm.cdf(ratio) + deviation * stats.norm.pdf(ratio)
        results = []
        for samples in (1, 10, 1000):
            network = Network(1, (10, 1, 1), dtype=torch.float64, samples=samples)
            network.at_test = [None, torch.full((1, 1, 1), keep, dtype=torch.float64)]
            network.weights[0][0, :, 0], network.weights[1][0] = w, 1.0
            results.append(float(network.predict(x[None, None].expand(1, 16, 10))[0, 0, 0]))
        assert results[0] == pytest.approx(max(mean, 0), rel=1e-12)  # of the mean weights
        assert results[1] == pytest.approx(exact, rel=0.02)
        assert results[2] == pytest.approx(exact, rel=1e-5)


@torch.no_grad()
def test_dropconnect_that_drops_nothing_is_a_plain_network() -> None:
    x, _, _ = a_batch()
    plain = a_network()
    for samples in (1, 7):
        network = connected(samples, rate=0.0)
        assert torch.equal(network.predict(x), plain.predict(x))
        ones = [torch.ones(LANES, 1, a * b, dtype=torch.float64) for a, b in itertools.pairwise(SIZES[:-1])]
        assert torch.equal(network.forward(x, [NONE, *((one, None) for one in ones)]), plain.predict(x))


@torch.no_grad()
def test_decoupled_weight_decay_is_torchs_and_spares_biases() -> None:
    network = a_network()
    weights = [w.clone() for w in network.weights]
    biases = [torch.ones_like(b) for b in network.biases]
    for bias in network.biases:
        bias.fill_(1)
    optimizer = torch.optim.AdamW(weights, lr=0.01, weight_decay=0.3)
    for w in weights:
        w.grad = torch.zeros_like(w)
    optimizer.step()
    network.decay(0.01 * 0.3)
    for got, wanted in zip(network.weights, weights, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-14)
    assert all(torch.equal(got, wanted) for got, wanted in zip(network.biases, biases, strict=True))


@torch.no_grad()
def test_prediction_is_training_without_masks() -> None:
    network = a_network()
    x, _, _ = a_batch()
    assert torch.equal(network.predict(x), network.forward(x, [NONE] * 3))
    assert torch.equal(network.predict(x[:1])[2], network.predict(x[:1].expand(LANES, -1, -1).contiguous())[2])


@torch.no_grad()
def test_every_view_is_aligned_and_the_padding_never_moves() -> None:
    network = a_network(dtype=torch.float32)
    for tensor in [*network.weights, *network.biases, *network.weight_gradients, *network.bias_gradients]:
        assert tensor.data_ptr() % 64 == 0 and tensor.stride(0) % ALIGNMENT == 0
    x, y, masks = a_batch(torch.float32)
    optimizer = torch.optim.Adam([network.parameters], fused=True)
    before = network.parameters.clone()
    run_backward(network, x, y, masks)
    optimizer.step()
    total = sum(a * b + b for a, b in itertools.pairwise(SIZES))
    moved = network.parameters != before
    assert 0.5 * total < moved.sum(1).max() <= total
    for tensor in [*network.weights, *network.biases]:
        tensor.zero_()
    assert set(network.parameters.unique().tolist()) == {-math.inf, 0.0}  # of the columns that no class has


@pytest.mark.parametrize("init", INITS)
@torch.no_grad()
def test_first_weights_have_their_published_spread(init: str) -> None:
    a, b = 784, 128
    network = Network(1, (a, b, 10))
    network.initialize(0, init, 7)
    weight, bias = network.weights[0], network.biases[0]
    expected = {
        "glorot-uniform": math.sqrt(2 / (a + b)),
        "lecun-normal": math.sqrt(1 / a),
        "pytorch": math.sqrt(1 / (3 * a)),
        "normal": 0.01,
    }[init]
    assert float(weight.std()) == pytest.approx(expected, rel=0.02)
    assert abs(float(weight.mean())) < 4 * expected / math.sqrt(a * b)
    if init in ("glorot-uniform", "pytorch"):
        assert float(weight.abs().max()) <= expected * math.sqrt(3)
    assert bool((bias == 0).all()) == (init != "pytorch")


@torch.no_grad()
def test_first_weights_depend_on_the_seed_alone() -> None:
    networks = [Network(lanes, SIZES) for lanes in (1, 3)]
    for network in networks:
        for lane in range(len(network.parameters)):
            network.initialize(lane, "glorot-uniform", lane)
    assert torch.equal(networks[0].parameters[0], networks[1].parameters[0])
    assert not torch.equal(networks[1].parameters[0], networks[1].parameters[1])


@torch.no_grad()
def test_penalties_are_those_of_autograd() -> None:
    network = a_network()
    assert network.parameters.grad is not None
    network.parameters.grad.zero_()
    network.penalize(l1=0.3, l2=0.2)
    with torch.enable_grad():
        weights = [w.detach().clone().requires_grad_() for w in network.weights]
        sum(0.3 * w.abs().sum() + 0.2 * w.square().sum() for w in weights).backward()  # type: ignore[union-attr]
    for got, wanted in zip(network.weight_gradients, weights, strict=True):
        assert torch.allclose(got, wanted.grad, rtol=1e-12)  # type: ignore[arg-type]
    assert all(not bias.any() for bias in network.bias_gradients)


@torch.no_grad()
def test_max_norm_is_the_projection_of_incoming_weights() -> None:
    network = a_network(dtype=torch.float32)
    expected = [torch.renorm(w.mT.reshape(-1, w.shape[1]), 2, 0, 0.5) for w in network.weights]  # one row per unit
    biases = [bias.clone() for bias in network.biases]
    network.project(0.5)
    for weight, wanted in zip(network.weights, expected, strict=True):
        assert torch.allclose(weight.mT.reshape(wanted.shape), wanted, rtol=1e-5)
        assert weight.norm(dim=1).max() <= 0.5 * (1 + 1e-6)
    once = network.parameters.clone()
    network.project(0.5)
    assert torch.allclose(once, network.parameters, rtol=1e-6)
    assert all(torch.equal(before, after) for before, after in zip(biases, network.biases, strict=True))


def test_cross_entropy_is_torchs() -> None:
    x, y, _ = a_batch(torch.float32)
    logits = x[..., :4]
    losses, right = cross_entropy(logits, y)
    for lane in range(LANES):
        wanted = torch.nn.functional.cross_entropy(logits[lane], y[lane], reduction="none")
        assert torch.allclose(losses[lane], wanted, rtol=1e-6)
        assert torch.equal(right[lane], logits[lane].argmax(1) == y[lane])
    without = torch.nn.functional.pad(logits, (0, 12), value=-math.inf)  # columns that no class has change nothing
    assert torch.allclose(cross_entropy(without, y)[0], losses, rtol=1e-6)
    assert torch.equal(cross_entropy(without, y)[1], right)
    assert np.isfinite(losses.numpy()).all()
