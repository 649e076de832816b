"""The engine that everybody writes, and the programs in which ours is measured beside it.

`PlainValue` keeps a tuple of children and a tuple of local gradients in each node, the quickest of
the designs in thirty lines. Every program takes the kind of Value, so that all engines run the same
lines, and gives the output and the leaves.
"""

import math
import random
from itertools import pairwise


class PlainValue:
    """A number with its children and the local gradients towards them."""

    __slots__ = ("children", "data", "grad", "slopes")

    def __init__(self, data, children=(), slopes=()):
        self.data, self.grad, self.children, self.slopes = data, 0.0, children, slopes

    def __add__(self, other):
        other = other if isinstance(other, PlainValue) else PlainValue(other)
        return PlainValue(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        other = other if isinstance(other, PlainValue) else PlainValue(other)
        return PlainValue(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n):
        return PlainValue(self.data**n, (self,), (n * self.data ** (n - 1),))

    def exp(self):
        """The exponential of this."""
        y = math.exp(self.data)
        return PlainValue(y, (self,), (y,))

    def log(self):
        """The natural logarithm of this."""
        return PlainValue(math.log(self.data), (self,), (1.0 / self.data,))

    def relu(self):
        """The larger of this and 0."""
        return PlainValue(max(self.data, 0.0), (self,), (float(self.data > 0.0),))

    def backward(self):
        """The gradient of this in every node below, added to its `grad`."""
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            node, done = stack.pop()
            if done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack += [(child, False) for child in node.children if child not in seen]
        self.grad = 1.0
        for node in reversed(order):
            gradient = node.grad
            for child, slope in zip(node.children, node.slopes, strict=True):
                child.grad += slope * gradient


SIZE = 96
_numbers = random.Random(1).uniform
ROWS, OTHERS = ([[_numbers(-1, 1) for _ in range(SIZE)] for _ in range(SIZE)] for _ in range(2))


def total(terms):
    """Their sum; the builtin one would add the first to the int 0."""
    first, *others = terms
    for term in others:
        first = first + term
    return first


def product(row, column):
    return total([a * b for a, b in zip(row, column, strict=True)])


def dot_products(kind):
    """96 dot products of 96 leaves with 96 others, and their sum."""
    pairs = [
        ([kind(x) for x in a], [kind(x) for x in b]) for a, b in zip(ROWS, OTHERS, strict=True)
    ]
    return total([product(a, b) for a, b in pairs]), [x for a, b in pairs for x in a + b]


def matrix_times_vector(kind):
    """A 96 × 96 matrix of leaves times a vector of leaves, and the sum of the result."""
    rows, vector = [[kind(x) for x in row] for row in ROWS], [kind(x) for x in OTHERS[0]]
    return total([product(row, vector) for row in rows]), [x for row in rows for x in row] + vector


def chain(kind):
    """9,216 steps, each computed from the one before."""
    x = v = kind(0.5)
    for _ in range(SIZE * SIZE // 2):
        v = v * x + x
    return v, [x]


# ── a step of a GPT of one layer: 16 numbers a token, 4 heads, 27 letters, 8 positions ────────
WIDTH, HEADS, LETTERS, POSITIONS = 16, 4, 27, 8
_SHAPES = {
    "letters": (LETTERS, WIDTH),
    "positions": (POSITIONS, WIDTH),
    "query": (WIDTH, WIDTH),
    "key": (WIDTH, WIDTH),
    "value": (WIDTH, WIDTH),
    "out": (WIDTH, WIDTH),
    "wide": (4 * WIDTH, WIDTH),
    "narrow": (WIDTH, 4 * WIDTH),
    "head": (LETTERS, WIDTH),
}
_gauss = random.Random(2).gauss
_WEIGHTS = {
    name: [[_gauss(0, 0.2) for _ in range(columns)] for _ in range(rows)]
    for name, (rows, columns) in _SHAPES.items()
}
_TEXT = [0, 5, 13, 13, 1, 20, 9, 3, 0]


def gpt_step(kind):
    """The mean cross-entropy of the next letter in a text of eight: about 60,000 operations."""
    weights = {name: [[kind(x) for x in row] for row in m] for name, m in _WEIGHTS.items()}
    keys, values, losses = [], [], []
    for position, (letter, following) in enumerate(pairwise(_TEXT)):
        place = weights["positions"][position]
        x = [a + b for a, b in zip(weights["letters"][letter], place, strict=True)]
        x = _block(x, weights, keys, values)
        chances = _softmax(_linear(weights["head"], x))
        losses.append(chances[following].log() * (-1.0 / POSITIONS))
    return total(losses), [x for m in weights.values() for row in m for x in row]


def _block(x, weights, keys, values):
    """Attention to all positions so far, then two layers; each added to what came in."""
    normal = _normalized(x)
    query = _linear(weights["query"], normal)
    keys.append(_linear(weights["key"], normal))
    values.append(_linear(weights["value"], normal))
    heads = [_attention(query, keys, values, i) for i in range(0, WIDTH, WIDTH // HEADS)]
    seen = _linear(weights["out"], [x for head in heads for x in head])
    x = [a + b for a, b in zip(x, seen, strict=True)]
    hidden = [h.relu() for h in _linear(weights["wide"], _normalized(x))]
    return [a + b for a, b in zip(x, _linear(weights["narrow"], hidden), strict=True)]


def _linear(matrix, x):
    return [product(row, x) for row in matrix]


def _normalized(x):
    scale = (product(x, x) * (1.0 / WIDTH) + 1e-5) ** -0.5
    return [a * scale for a in x]


def _softmax(x):
    powers = [a.exp() for a in x]
    scale = total(powers) ** -1.0
    return [power * scale for power in powers]


def _attention(query, keys, values, start):
    part = slice(start, start + WIDTH // HEADS)
    scores = [product(query[part], key[part]) * (HEADS / WIDTH) ** 0.5 for key in keys]
    shares = _softmax(scores)
    columns = zip(*(value[part] for value in values), strict=True)
    return [product(shares, column) for column in columns]


WIDE = (dot_products, matrix_times_vector, gpt_step, chain)
OF_MICROGRAD = (dot_products, matrix_times_vector)  # it has no exp and no log, and recurses
