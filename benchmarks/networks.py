"""Networks that nothing was tuned for: see `unseen.py`, which measures a step of each."""

import itertools
import random

from programs import numbers

import tinygrad_scalar as tg
from tinygrad_scalar import Value, take


def weights(rows, columns, seed, scale=None):
    draw = random.Random(seed).gauss
    scale = columns**-0.5 if scale is None else scale
    return [[Value(draw(0.0, scale)) for _ in range(columns)] for _ in range(rows)]


def affine(matrix, x):
    return [sum(w * a for w, a in zip(row, x, strict=True)) for row in matrix]


def affine_by_dot(matrix, x):
    return [tg.dot(row, x) for row in matrix]


def lstm(size=8, steps=10, product=affine):
    gates = [weights(size, 2 * size + 1, seed) for seed in range(4)]
    readout = weights(1, size, 9)

    def step(inputs, targets):
        h = c = [0.0] * size
        loss = 0.0
        for t in range(steps):
            x = [*inputs[t * size : (t + 1) * size], *h, 1.0]
            forget, enter, leave, fresh = (product(gate, x) for gate in gates)
            c = [
                tg.sigmoid(f) * old + tg.sigmoid(i) * tg.tanh(g)
                for f, i, g, old in zip(forget, enter, fresh, c, strict=True)
            ]
            h = [tg.sigmoid(o) * tg.tanh(s) for o, s in zip(leave, c, strict=True)]
            loss = loss + (product(readout, h)[0] - targets[t]) ** 2
        return loss

    return step, (numbers(size * steps), numbers(steps, seed=1)), [*gates, readout]


def normalised(x):
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]


def softmax_by_hand(scores):
    exponentials = [tg.exp(score) for score in scores]
    total = sum(exponentials)
    return [e / total for e in exponentials]


def gpt(vocabulary=27, dim=16, heads=4, length=8, product=affine, softmax=softmax_by_hand):
    """microgpt: one layer, a step over a name; the tokens are arguments."""
    tokens, positions = weights(vocabulary, dim, 0, 0.1), weights(length, dim, 1, 0.1)
    q, k, v, o = (weights(dim, dim, seed, 0.1) for seed in range(2, 6))
    inner, outer = weights(4 * dim, dim, 6, 0.1), weights(dim, 4 * dim, 7, 0.1)
    head, size = weights(vocabulary, dim, 8, 0.1), dim // heads

    def logits_of(x, keys, values):
        residual, x = x, normalised(x)
        keys.append(product(k, x))
        values.append(product(v, x))
        query, attended = product(q, x), []
        for start in range(0, dim, size):
            part = slice(start, start + size)
            shares = softmax([
                sum(a * b for a, b in zip(query[part], key[part], strict=True)) / size**0.5
                for key in keys
            ])  # fmt: skip
            attended += [
                sum(s * value[start + j] for s, value in zip(shares, values, strict=True))
                for j in range(size)
            ]
        x = [a + b for a, b in zip(product(o, attended), residual, strict=True)]
        hidden = [tg.relu(a) for a in product(inner, normalised(x))]
        return product(head, [a + b for a, b in zip(product(outer, hidden), x, strict=True)])

    def step(name):
        keys, values, losses = [], [], []
        for place in range(length):
            x = [a + b for a, b in zip(take(tokens, name[place]), positions[place], strict=True)]
            logits = logits_of(normalised(x), keys, values)
            losses.append(-tg.log(take(softmax(logits), name[place + 1])))
        return sum(losses) / length

    name = [float(random.Random(3).randrange(vocabulary)) for _ in range(length + 1)]
    return step, (name,), [tokens, positions, q, k, v, o, inner, outer, head]


def spiral(loss, examples=96, sizes=(2, 24, 16, 3)):
    """A network of three classes, a step over a batch."""
    layers = [
        (weights(m, n, seed), weights(m, 1, seed + 9))
        for seed, (n, m) in enumerate(itertools.pairwise(sizes))
    ]

    def step(x, target):
        for k, (matrix, biases) in enumerate(layers):
            sums = [a + b[0] for a, b in zip(affine(matrix, x), biases, strict=True)]
            x = [tg.tanh(a) for a in sums] if k < len(layers) - 1 else sums
        return loss(x, target)

    import numpy as np

    draw = np.random.default_rng(0)
    batch = draw.uniform(-1, 1, (examples, 2)), draw.integers(0, 3, examples)
    return step, batch, [part for layer in layers for part in layer]


STEPS = {  # networks: a step with `backward`
    "LSTM": lstm,
    "LSTM, dot": lambda: lstm(product=affine_by_dot),
    "GPT": gpt,
    "GPT, dot": lambda: gpt(product=affine_by_dot),
    "GPT, softmax": lambda: gpt(softmax=tg.softmax),
    "spiral, logsumexp(s) - take(s, t)": lambda: spiral(lambda s, t: tg.logsumexp(s) - take(s, t)),
    "spiral, cross_entropy": lambda: spiral(tg.cross_entropy),
    "spiral, -log(take(softmax(s), t))": lambda: spiral(
        lambda s, t: -tg.log(take(tg.softmax(s), t))
    ),
    "spiral, 100 hidden": lambda: spiral(tg.cross_entropy, sizes=(2, 100, 3)),
    "spiral, 32 and 32 hidden": lambda: spiral(tg.cross_entropy, sizes=(2, 32, 32, 3)),
}
