"""The two-layer network of the lectures: affine, relu, affine, softmax with cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.checks import positive
from tinygrad_scalar.core.backward import gradients
from tinygrad_scalar.core.context import no_grad
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.activations import ReLU
from tinygrad_scalar.nn.classes import accuracy
from tinygrad_scalar.nn.losses import cross_entropy
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.modules import Affine
from tinygrad_scalar.seeds import Seed, generator

Table = dict[str, Any]


class TwoLayerNet(Module):
    """x W1 + b1, relu, h W2 + b2: logits, trained by softmax with cross-entropy.

    `params` holds the leaves under the names of the lecture, W1 (`inputs` lists of `hidden`), b1,
    W2, b2; `layers` the layers in order, the last one being `last_layer`, the loss. Weights start
    at `weight_std` · N(0, 1), biases at 0.

    Cost O(inputs · hidden + hidden · outputs) per example.
    Errors: ValueError for widths below 1 and inputs of another width.
    Source: Saito 2016, *Deep Learning from Scratch*, section 5.7; *Deep Learning*, section 6.5.7.

    >>> net = TwoLayerNet(2, 3, 2, seed=0)
    >>> sorted(net.params), len(net.params["W1"]), len(net.params["W1"][0])
    (['W1', 'W2', 'b1', 'b2'], 2, 3)
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        weight_std: float = 0.01,
        *,
        seed: Seed = None,
    ) -> None:
        source, std = generator(seed), positive(weight_std, "TwoLayerNet: weight_std")

        def init(_nin: int, _nout: int) -> float:
            return float(std * source.gauss(0.0, 1.0))

        first = Affine(inputs, hidden, init=init)
        second = Affine(hidden, outputs, init=init)
        self.layers: dict[str, Any] = {"Affine1": first, "Relu1": ReLU(), "Affine2": second}
        self.last_layer = cross_entropy

    @property
    def params(self) -> Table:
        """The leaves: W1, b1, W2, b2; a weight from input i to output j is `W[i][j]`."""
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {
            "W1": _transposed(first.W),
            "b1": list(first.b),
            "W2": _transposed(second.W),
            "b2": list(second.b),
        }

    def forward(self, x: Sequence[Any]) -> list[Any]:
        """The logits of one list of inputs, or of a batch."""
        for layer in self.layers.values():
            x = layer(x)
        return list(x)

    def predict(self, x: Sequence[Sequence[Any]]) -> list[list[float]]:
        """The logits of a batch, as numbers."""
        with no_grad():
            return [[a.data for a in row] for row in self(x)]

    def loss(self, x: Sequence[Sequence[Any]], t: Sequence[int]) -> Value:
        """The mean cross-entropy of a batch."""
        return self.last_layer(self(x), t)  # type: ignore[no-any-return]

    def accuracy(self, x: Sequence[Sequence[Any]], t: Sequence[int]) -> float:
        """The share of a batch whose largest logit is the target's."""
        return accuracy(self, x, t)

    def gradient(self, x: Sequence[Sequence[Any]], t: Sequence[int]) -> Table:
        """The gradient of the loss, in the shape of `params`, by back-propagation; no `.grad`."""
        leaves = self.parameters()
        found = dict(zip(leaves, gradients([self.loss(x, t)], [1.0], leaves), strict=True))
        gradient: Table = _mapped(self.params, found.__getitem__)
        return gradient

    def numerical_gradient(
        self, x: Sequence[Sequence[Any]], t: Sequence[int], h: float = 1e-4
    ) -> Table:
        """The same by central differences (L(w + h) − L(w − h)) / 2h: two losses per parameter."""

        def difference(leaf: Value) -> float:
            before = leaf.data
            try:
                leaf.data = before + h
                above = self.loss(x, t).data
                leaf.data = before - h
                return float((above - self.loss(x, t).data) / (2.0 * h))
            finally:
                leaf.data = before

        with no_grad():
            gradient: Table = _mapped(self.params, difference)
        return gradient

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        params = self.params
        return {
            "inputs": len(params["W1"]),
            "hidden": len(params["b1"]),
            "outputs": len(params["b2"]),
        }

    def __repr__(self) -> str:
        return "TwoLayerNet({inputs}, {hidden}, {outputs})".format(**self.config())


def _transposed(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _mapped(thing: Any, function: Any) -> Any:
    """`function` on every leaf, in the same dicts and lists."""
    if isinstance(thing, dict):
        return {name: _mapped(item, function) for name, item in thing.items()}
    if isinstance(thing, list):
        return [_mapped(item, function) for item in thing]
    return function(thing)
