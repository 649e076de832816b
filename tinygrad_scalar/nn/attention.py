"""What a small language model is made of: causal self-attention, a block, and a GPT of these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tinygrad_scalar.checks import whole
from tinygrad_scalar.core.context import no_grad
from tinygrad_scalar.functions import dot, softmax
from tinygrad_scalar.nn.activations import Activate, Activation, recorded
from tinygrad_scalar.nn.embedding import Embedding
from tinygrad_scalar.nn.initializers import Initializer
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.modules import Affine
from tinygrad_scalar.nn.normalization import RMSNorm
from tinygrad_scalar.nn.shapes import is_list
from tinygrad_scalar.numbers.precision import is_number
from tinygrad_scalar.seeds import Seed, generator

Vector = list[Any]


class CausalSelfAttention(Module):
    """softmax(q · k / √d) v over this position and those before it, in `heads` heads.

    Takes and gives a list of vectors of `dim` numbers, one per position; each head works on
    d = dim / heads of them. Four affine maps without bias: query, key, value and output.

    Cost O(T · dim² + T² · dim) for T positions.
    Errors: ValueError unless heads divides dim, and for vectors of another width.
    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1 and section 3.2.

    >>> attention = CausalSelfAttention(4, heads=2, seed=0)
    >>> first, second = attention([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    >>> (alone,) = attention([[1.0, 0.0, 0.0, 0.0]])
    >>> [y.data for y in alone] == [y.data for y in first]
    True
    """

    def __init__(
        self, dim: int, heads: int = 1, *, init: Initializer = "glorot", seed: Seed = None
    ) -> None:
        dim = whole(dim, "CausalSelfAttention: dim")
        heads = whole(heads, "CausalSelfAttention: heads")
        if dim % heads:
            raise ValueError(f"CausalSelfAttention: dim {dim} is no multiple of heads {heads}")
        source = None if seed is None else generator(seed)
        self.heads, self.width = heads, dim // heads
        self.query = Affine(dim, dim, bias=False, init=init, seed=source)
        self.key = Affine(dim, dim, bias=False, init=init, seed=source)
        self.value = Affine(dim, dim, bias=False, init=init, seed=source)
        self.output = Affine(dim, dim, bias=False, init=init, seed=source)

    def forward(self, x: Sequence[Vector]) -> list[Vector]:
        """One vector per position, from this position and those before it."""
        if not is_list(x) or not len(x) or not is_list(x[0]):
            given = "a list of numbers" if is_list(x) and len(x) else repr(x)[:40]
            raise TypeError(
                "CausalSelfAttention: x is a list of vectors, one for each position, "
                f"not {given}: write [x] for one"
            )
        queries, keys, values = self.query(x), self.key(x), self.value(x)
        parts = [slice(h * self.width, (h + 1) * self.width) for h in range(self.heads)]
        mixed: list[Vector] = []
        for position, query in enumerate(queries):
            before = range(position + 1)
            mixed.append([])
            for part in parts:
                weights = self._weights(query[part], [keys[t][part] for t in before])
                columns = zip(*(values[t][part] for t in before), strict=True)
                mixed[-1] += [dot(weights, column) for column in columns]
        return self.output(mixed)  # type: ignore[no-any-return]

    def _weights(self, query: Vector, keys: list[Vector]) -> Vector:
        """How much of each position is taken: positive, with sum 1."""
        scale = self.width**-0.5
        return softmax(dot(query, key) * scale for key in keys)

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {"dim": self.heads * self.width, "heads": self.heads}

    def __repr__(self) -> str:
        return f"CausalSelfAttention({self.heads * self.width}, heads={self.heads})"


class Block(Module):
    """x + attention(norm(x)), and then x + W₂ f(W₁ norm(x)), position by position.

    The inner layer is four times as wide. Cost O(T · dim² + T² · dim) for T positions.
    Errors: as `CausalSelfAttention`.
    Source: Vaswani et al. 2017, section 3.1; norms come first (Xiong et al. 2020,
    arXiv:2002.04745).
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        *,
        activation: str | Activate = "relu",
        init: Initializer = "glorot",
        seed: Seed = None,
    ) -> None:
        source, activate = None if seed is None else generator(seed), Activation(activation)
        self.before_attention, self.before_layers = RMSNorm(dim), RMSNorm(dim)
        self.attention = CausalSelfAttention(dim, heads, init=init, seed=source)
        self.inner = Affine(dim, 4 * dim, bias=False, init=init, seed=source)
        self.activate = activate
        self.outer = Affine(4 * dim, dim, bias=False, init=init, seed=source)

    def forward(self, x: Sequence[Vector]) -> list[Vector]:
        """One vector per position."""
        attended = self.attention([self.before_attention(vector) for vector in x])
        x = [_added(*pair) for pair in zip(x, attended, strict=True)]
        inner = self.activate(self.inner([self.before_layers(vector) for vector in x]))
        return [_added(*pair) for pair in zip(x, self.outer(inner), strict=True)]

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {**self.attention.config(), "activation": recorded(self.activate._activation)}


def _added(a: Vector, b: Vector) -> Vector:
    return [left + right for left, right in zip(a, b, strict=True)]


class GPT(Module):
    """A language model: for each token so far, the logits of the one that comes next.

    Token and position embeddings, `layers` blocks, a norm and an affine map to `vocabulary`
    logits. Called with a list of at most `context` token numbers it gives a list of as many lists
    of logits.

    Cost O(layers · (T · dim² + T² · dim) + T · dim · vocabulary) for T tokens.
    Errors: ValueError for no or too many tokens, IndexError for a token out of range.
    Source: Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3.

    >>> model = GPT(vocabulary=5, context=4, dim=4, heads=2, seed=0)
    >>> logits = model([0, 3])
    >>> len(logits), len(logits[1]), len(model.parameters())
    (2, 5, 260)
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        *,
        dim: int = 16,
        heads: int = 4,
        layers: int = 1,
        activation: str | Activate = "relu",
        init: Initializer = "glorot",
        seed: Seed = None,
    ) -> None:
        source = None if seed is None else generator(seed)
        self.context = whole(context, "GPT: context")
        self.tokens = Embedding(vocabulary, dim, init=init, seed=source)
        self.positions = Embedding(context, dim, init=init, seed=source)
        self.blocks = [
            Block(dim, heads, activation=activation, init=init, seed=source)
            for _ in range(whole(layers, "GPT: layers"))
        ]
        self.norm = RMSNorm(dim)
        self.logits = Affine(dim, vocabulary, bias=False, init=init, seed=source)

    def forward(self, tokens: Sequence[int]) -> list[Vector]:
        """The logits of the next token, for each token so far."""
        if not is_list(tokens):
            raise TypeError(f"GPT: tokens is a list of whole numbers, not {type(tokens).__name__}")
        if not 1 <= len(tokens) <= self.context:
            raise ValueError(f"GPT: tokens is a list of 1 to {self.context}, and got {len(tokens)}")
        pairs = zip(self.tokens(tokens), self.positions(range(len(tokens))), strict=True)
        x = [_added(*pair) for pair in pairs]
        for block in self.blocks:
            x = block(x)
        return self.logits([self.norm(vector) for vector in x])  # type: ignore[no-any-return]

    def generate(
        self, tokens: Sequence[int], *, temperature: float = 1.0, seed: Seed = None
    ) -> Iterator[int]:
        """Tokens drawn one after another, each from softmax(logits / temperature).

        Goes on for ever; from the context on, only the last `context` tokens are looked at.
        Errors: ValueError for a temperature that is not positive.

        >>> from itertools import islice
        >>> model = GPT(vocabulary=5, context=4, dim=4, heads=2, seed=0)
        >>> tokens = [list(islice(model.generate([0], seed=1), 3)) for _ in range(2)]
        >>> tokens[0] == tokens[1], len(tokens[0])
        (True, 3)
        """
        if not is_number(temperature) or not temperature > 0:
            raise ValueError(f"GPT: temperature is a positive number, not {temperature!r}")
        return self._drawn(list(tokens), float(temperature), generator(seed))

    def _drawn(self, tokens: list[int], temperature: float, source: Any) -> Iterator[int]:
        while True:
            with no_grad():
                logits = [x.data / temperature for x in self(tokens[-self.context :])[-1]]
            tokens.append(source.choices(range(len(logits)), softmax(logits))[0])
            yield tokens[-1]

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {
            "vocabulary": len(self.tokens.rows),
            "context": self.context,
            "layers": len(self.blocks),
            **self.blocks[0].config(),
        }

    def __repr__(self) -> str:
        return (
            f"GPT({len(self.tokens.rows)}, {self.context}, dim={len(self.tokens.rows[0])}, "
            f"heads={self.blocks[0].attention.heads}, layers={len(self.blocks)})"
        )
