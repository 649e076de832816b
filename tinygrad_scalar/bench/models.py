"""A small GPT over single Values, for a benchmark of graphs with some 60,000 operations."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import tinygrad_scalar as tg
from tinygrad_scalar import Value


class SmallGPT:
    """One layer of attention and one of neurons over single Values, after microgpt."""

    def __init__(
        self, vocabulary: int = 27, width: int = 16, heads: int = 4, context: int = 8, seed: int = 0
    ) -> None:
        rng = random.Random(seed)

        def matrix(rows: int, columns: int) -> list[list[Value]]:
            return [[Value(rng.gauss(0, 0.08)) for _ in range(columns)] for _ in range(rows)]

        self.width, self.heads = width, heads
        self.tokens, self.places = matrix(vocabulary, width), matrix(context, width)
        self.q, self.k, self.v, self.o = (matrix(width, width) for _ in range(4))
        self.up, self.down = matrix(4 * width, width), matrix(width, 4 * width)
        self.out = matrix(vocabulary, width)
        parts = (
            self.tokens, self.places, self.q, self.k, self.v, self.o, self.up, self.down, self.out
        )  # fmt: skip
        self.leaves = [v for part in parts for row in part for v in row]

    def loss(self, text: Sequence[int]) -> Any:
        """The mean cross-entropy of each next token."""
        keys: list[Any] = []
        values: list[Any] = []
        losses: list[Any] = []
        size = self.width // self.heads
        for place, (token, following) in enumerate(pairwise(text)):
            x = [a + b for a, b in zip(self.tokens[token], self.places[place], strict=True)]
            h = normed(x)
            q = linear(self.q, h)
            keys.append(linear(self.k, h))
            values.append(linear(self.v, h))
            mixed: list[Any] = []
            for start in range(0, self.width, size):
                part = slice(start, start + size)
                scores = [dot(q[part], k[part]) / math.sqrt(size) for k in keys]
                weights = tg.softmax(scores)
                mixed += [dot(weights, [v[j] for v in values]) for j in range(start, start + size)]
            x = [a + b for a, b in zip(x, linear(self.o, mixed), strict=True)]
            h = [tg.relu(a) for a in linear(self.up, normed(x))]
            x = [a + b for a, b in zip(x, linear(self.down, h), strict=True)]
            losses.append(tg.cross_entropy(linear(self.out, x), following))
        return sum(losses) / len(losses)


def dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    """Σ aᵢ bᵢ, an operation at a time."""
    total = a[0] * b[0]
    for x, y in zip(a[1:], b[1:], strict=True):
        total = total + x * y
    return total


def linear(weights: Sequence[Sequence[Any]], x: Sequence[Any]) -> list[Any]:
    """A matrix times a vector."""
    return [dot(row, x) for row in weights]


def normed(x: Sequence[Any]) -> list[Any]:
    """x over its root mean square."""
    scale = (sum(a * a for a in x) / len(x) + 1e-5) ** -0.5
    return [a * scale for a in x]
