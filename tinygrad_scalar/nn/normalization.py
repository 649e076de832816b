"""`LayerNorm` and `RMSNorm`: numbers brought to one size, whatever came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.checks import positive, whole
from tinygrad_scalar.functions import dot, mean
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.parameter import parameter
from tinygrad_scalar.nn.shapes import checked_list


class LayerNorm(Module):
    """gᵢ (xᵢ − μ) / √(σ² + ε) + bᵢ over the `width` numbers of a list, σ² their mean square.

    `gain` starts at 1, `bias` at 0. Cost O(width).
    Errors: ValueError for another number of inputs, or eps ≤ 0.
    Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450, equation 4; σ² divides by n.

    >>> [round(y.data, 3) for y in LayerNorm(4)([1.0, 2.0, 3.0, 4.0])]
    [-1.342, -0.447, 0.447, 1.342]
    """

    _trained = "gain", "bias"

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        width = whole(width, "LayerNorm: width")
        self.eps = positive(eps, "LayerNorm: eps")
        self.gain = [parameter(1.0, label=f"gain[{i}]") for i in range(width)]
        self.bias = [parameter(0.0, label=f"bias[{i}]") for i in range(width)]

    def forward(self, x: Sequence[Any]) -> list[Any]:
        """The numbers of `x`, normalised."""
        checked_list(x, len(self.gain), self)
        middle = mean(x)
        apart = [item - middle for item in x]
        size = (dot(apart, apart) / len(apart) + self.eps) ** -0.5
        return [
            gain * (item * size) + bias
            for gain, item, bias in zip(self.gain, apart, self.bias, strict=True)
        ]

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {"width": len(self.gain), "eps": self.eps}

    def __repr__(self) -> str:
        return f"LayerNorm({len(self.gain)})"


class RMSNorm(Module):
    """gᵢ xᵢ / √(mean of x² + ε) over the `width` numbers of a list; `gain` starts at 1.

    Cost O(width). Errors: ValueError for another number of inputs, or eps ≤ 0.
    Source: Zhang, Sennrich 2019, arXiv:1910.07467, equation 4.

    >>> [round(y.data, 3) for y in RMSNorm(2)([3.0, 4.0])]
    [0.849, 1.131]
    """

    _trained = ("gain",)

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        width = whole(width, "RMSNorm: width")
        self.eps = positive(eps, "RMSNorm: eps")
        self.gain = [parameter(1.0, label=f"gain[{i}]") for i in range(width)]

    def forward(self, x: Sequence[Any]) -> list[Any]:
        """The numbers of `x`, normalised."""
        checked_list(x, len(self.gain), self)
        size = (dot(x, x) / len(self.gain) + self.eps) ** -0.5
        return [gain * (item * size) for gain, item in zip(self.gain, x, strict=True)]

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {"width": len(self.gain), "eps": self.eps}

    def __repr__(self) -> str:
        return f"RMSNorm({len(self.gain)})"
