"""Modules between layers: `Affine`, `Sequential`, `Dropout`, `Scale`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.checks import whole
from tinygrad_scalar.core import context
from tinygrad_scalar.functions import dot
from tinygrad_scalar.nn.initializers import Initializer, initializer
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.parameter import parameter
from tinygrad_scalar.nn.shapes import checked_list, is_list
from tinygrad_scalar.numbers.precision import is_number
from tinygrad_scalar.seeds import Seed, generator


class Affine(Module):
    """W x + b: `nout` outputs from `nin` inputs, as a list; without b if `bias=False`.

    `W` holds nout rows of nin parameters, `b` nout parameters that start at 0. A list of lists is
    a batch: one output list per input list.

    Domain and types: lists of nin numbers or Values. Cost O(nin · nout) per list.
    Errors: ValueError for another number of inputs, an unknown init.
    Source: *Deep Learning*, section 6.1 (h = Wᵀx + c).

    >>> affine = Affine(2, 1, seed=0)
    >>> affine.load_state_dict({"W.0.0": 1.0, "W.0.1": 2.0, "b.0": 3.0})
    >>> affine([10.0, 20.0]), affine([[0.0, 0.0], [1.0, 1.0]])
    ([Value(53.0, grad=0.0)], [[Value(3.0, grad=0.0)], [Value(6.0, grad=0.0)]])
    """

    _trained = "W", "b"

    def __init__(
        self,
        nin: int,
        nout: int,
        *,
        bias: bool = True,
        init: Initializer = "glorot",
        seed: Seed = None,
    ) -> None:
        self.nin, self.nout = whole(nin, "Affine: nin"), whole(nout, "Affine: nout")
        draw = initializer(init, nin, nout, generator(seed))
        self.W = [
            [parameter(draw(), label=f"W[{row}][{column}]") for column in range(nin)]
            for row in range(nout)
        ]
        self.b = [parameter(0.0, label=f"b[{row}]") for row in range(nout)] if bias else []

    def forward(self, x: Sequence[Any]) -> list[Any]:
        """The outputs for one list of inputs, or a list of them for a batch."""
        if is_list(x) and len(x) > 0 and is_list(x[0]):
            return [self.forward(row) for row in x]
        checked_list(x, self.nin, self)
        products = [dot(row, x) for row in self.W]
        if not self.b:
            return products
        return [product + b for product, b in zip(products, self.b, strict=True)]

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {"nin": self.nin, "nout": self.nout, "bias": bool(self.b)}

    def __repr__(self) -> str:
        return f"Affine({self.nin}, {self.nout}{'' if self.b else ', bias=False'})"


class Sequential(Module):
    """f_K ∘ … ∘ f_1: the modules one after another.

    Cost: theirs. Errors: ValueError for no modules, TypeError for what is not callable.
    Source: *Deep Learning*, section 6.5.2 (f = f⁽³⁾ ∘ f⁽²⁾ ∘ f⁽¹⁾).

    >>> from tinygrad_scalar import nn
    >>> nn.Sequential(nn.Affine(2, 3), nn.ReLU(), nn.Affine(3, 1))
    Sequential(Affine(2, 3), ReLU(), Affine(3, 1))
    """

    def __init__(self, *modules: Module) -> None:
        if not modules:
            raise ValueError("Sequential: there are no modules: give at least one")
        for module in modules:
            if isinstance(module, type):
                kind = module.__name__
                raise TypeError(f"Sequential: {kind} is a class: give a module of it, {kind}(…)")
            if not callable(module):
                raise TypeError(
                    f"Sequential: give modules one by one, not {type(module).__name__}"
                    + (": write Sequential(*modules)" if is_list(module) else "")
                )
        self.modules = list(modules)

    def forward(self, x: Any) -> Any:
        """The output of the last module."""
        for module in self.modules:
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self.modules)

    def __getitem__(self, index: int) -> Module:
        return self.modules[index]

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.modules))})"


class Dropout(Module):
    """In training each number is 0 with probability p and x / (1 − p) otherwise; x in evaluation.

    The mask is drawn from Python's `random`, or with `seed` from a generator of its own, whose
    state belongs to the checkpoints of `nn.fit`.

    Domain: 0 ≤ p < 1. Cost O(numbers). Errors: ValueError for another p; TraceError in training in
    a function that is compiled.
    Source: *Deep Learning*, section 7.12; scaled in training (inverted dropout).

    >>> dropout = Dropout(0.5, seed=1)
    >>> dropout([1.0, 1.0, 1.0, 1.0]), dropout.eval()([1.0, 1.0])
    ([0.0, 2.0, 2.0, 0.0], [1.0, 1.0])
    """

    def __init__(self, p: float = 0.5, *, seed: Seed = None) -> None:
        if not is_number(p):
            raise TypeError(f"Dropout: p is the probability of dropping, not {type(p).__name__}")
        if not 0.0 <= p < 1.0:
            raise ValueError(f"Dropout: p is the probability of dropping, 0 ≤ p < 1, not {p}")
        self.p = float(p)
        self.random = None if seed is None else generator(seed)

    def forward(self, x: Any) -> Any:
        """`x` with numbers dropped in training."""
        if not self.training or not self.p:
            return x
        if is_list(x):
            return [self.forward(item) for item in x]
        if context.settings().tracer is not None:
            from tinygrad_scalar.compiler import TraceError

            raise TraceError(
                "Dropout draws anew at each call in training, which compiled code cannot: call "
                "model.eval() to use the model, or train it by nn.fit or uncompiled"
            )
        source = generator(self.random)
        return x * 0.0 if source.random() < self.p else x * (1.0 / (1.0 - self.p))

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {"p": self.p}

    def __repr__(self) -> str:
        return f"Dropout({self.p})"


class Scale(Module):
    """Every number times a constant, such as 1/16 for pixels from 0 to 16.

    Cost O(numbers). Errors: TypeError unless the factor is a number.

    >>> Scale(0.5)([2.0, [4.0]])
    [1.0, [2.0]]
    """

    def __init__(self, factor: float) -> None:
        if not is_number(factor):
            raise TypeError(f"Scale: factor is a number, not {type(factor).__name__}")
        self.factor = float(factor)

    def forward(self, x: Any) -> Any:
        """Every number of `x` times the factor."""
        return [self.forward(item) for item in x] if is_list(x) else x * self.factor

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {"factor": self.factor}

    def __repr__(self) -> str:
        return f"Scale({self.factor})"
