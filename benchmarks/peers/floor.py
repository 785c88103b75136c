"""The floor under an epoch: its matrix products and nothing else, for LANES networks side by side.

usage: floor.py --widths 784,128,128,10 [--batch 32] [--lanes 8] [--threads 2] [--images 54000] [--evaluated 12000]

Prints seconds per epoch and network: of the training steps alone, and with the forward products of evaluation.
"""

import argparse
import json
import statistics
import time
from itertools import pairwise

import torch

CHUNK, BLOCKS, SECONDS = 1000, 7, 0.3  # images evaluated at once; the median of so many blocks of so many seconds

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--widths", type=lambda text: [int(width) for width in text.split(",")], required=True)
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--lanes", type=int, default=1)
parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
parser.add_argument("--images", type=int, default=54_000, help="in an epoch")
parser.add_argument("--evaluated", type=int, default=12_000, help="after an epoch")
chosen = parser.parse_args()
torch.set_num_threads(chosen.threads or torch.get_num_threads())

weights = [torch.rand(chosen.lanes, *shape) for shape in pairwise(chosen.widths)]
gradients = [torch.empty_like(weight) for weight in weights]


def forward(h):
    for layer, weight in enumerate(weights):
        torch.bmm(h[layer], weight, out=h[layer + 1])


def backward(h):
    for layer in reversed(range(len(weights))):
        torch.bmm(h[layer].mT, h[layer + 1], out=gradients[layer])
        if layer:
            torch.bmm(h[layer + 1], weights[layer].mT, out=h[layer])


def seconds(rows, *products):
    """Return the median seconds of `products` on so many rows; a layer's tensor stands for its gradient as well."""
    h = [torch.rand(chosen.lanes, rows, width) for width in chosen.widths]
    times = []
    for _ in range(BLOCKS):
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            for product in products:
                product(h)
            count += 1
        times.append((time.perf_counter() - started) / count)
    return statistics.median(times)


training = seconds(chosen.batch, forward, backward) * chosen.images / chosen.batch / chosen.lanes
evaluation = seconds(CHUNK, forward) * chosen.evaluated / CHUNK / chosen.lanes
report = {"per_epoch": training, "evaluated": training + evaluation, "threads": torch.get_num_threads()}
print(json.dumps(report))
