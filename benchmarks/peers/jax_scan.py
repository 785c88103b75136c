"""The same network as an expert would write it for speed in JAX, an epoch in one compiled scan: jax_scan.py RATE EPOCHS

Columns of every image normalized, 784-128-128-10, dropout before the ReLU, Adam, batch 32. It skips validation, and the
remainder of 16 images that does not fill a batch.
"""

import json
import sys
import time
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import optax
from mnist import TRAIN, read

BATCH, WIDTHS = 32, (784, 128, 128, 10)
rate, epochs = float(sys.argv[1]), int(sys.argv[2])
steps = TRAIN // BATCH

images, labels = (jnp.asarray(array[:TRAIN]) for array in read("train"))
norms = jnp.linalg.norm(images.astype(jnp.float32), axis=1, keepdims=True)
images = (images / jnp.where(norms == 0, 1, norms)).reshape(TRAIN, -1)
optimizer = optax.adam(1e-3)


def first_weights(key):
    glorot = jax.nn.initializers.glorot_uniform()
    shapes = list(pairwise(WIDTHS))
    keys = jax.random.split(key, len(shapes))
    return [{"w": glorot(k, shape), "b": jnp.zeros(shape[1])} for k, shape in zip(keys, shapes, strict=True)]


def loss(layers, x, y, key):
    for layer in layers[:-1]:
        key, own = jax.random.split(key)
        z = x @ layer["w"] + layer["b"]
        if rate > 0:
            z = jnp.where(jax.random.bernoulli(own, 1 - rate, z.shape), z / (1 - rate), 0)
        x = jax.nn.relu(z)
    logits = x @ layers[-1]["w"] + layers[-1]["b"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


@partial(jax.jit, donate_argnums=0)
def train_epoch(state, key):
    def step(state, chosen):
        layers, moments = state
        index, key = chosen
        value, gradients = jax.value_and_grad(loss)(layers, images[index], labels[index], key)
        updates, moments = optimizer.update(gradients, moments)
        return (optax.apply_updates(layers, updates), moments), value

    ordering, masking = jax.random.split(key)
    order = jax.random.permutation(ordering, TRAIN)[: steps * BATCH].reshape(steps, BATCH)
    state, losses = jax.lax.scan(step, state, (order, jax.random.split(masking, steps)))
    return state, losses.mean()


layers = first_weights(jax.random.key(0))
state = layers, optimizer.init(layers)
for epoch in range(1, epochs + 1):
    started = time.perf_counter()
    state, value = jax.block_until_ready(train_epoch(state, jax.random.key(epoch)))
    seconds = time.perf_counter() - started
    print(json.dumps({"epoch": epoch, "seconds": seconds, "loss": float(value)}), flush=True)
