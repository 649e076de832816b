"""Activations: by name in neurons and layers, and as modules between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.shapes import is_list

Activate = Callable[[Any], Any]
_SPELLED = {"relu": "ReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU", "leaky_relu": "LeakyReLU"}


def activation_named(activation: str | Activate) -> Activate:
    """The function of one number that `activation` names, or a callable as it is.

    Errors: ValueError for a name that is not in the table of primitives or takes more operands,
    TypeError for what is neither a name nor callable.

    >>> activation_named("relu")(-1.0)
    0.0
    """
    if isinstance(activation, str):
        row = TABLE.get(activation)
        if row is None or row.arity is None or row.arity - len(row.defaults) != 1:
            raise ValueError(
                f"activation is a function of one number in the table of primitives, such as "
                f"'relu', 'tanh' or 'sigmoid', or a callable, not {activation!r}"
            )
        return row
    if not callable(activation):
        raise TypeError(f"activation is a name or a callable, not {type(activation).__name__}")
    return activation


def name_of(activation: str | Activate) -> str:
    """How `repr` writes an activation: ReLU, Tanh."""
    name = str(getattr(activation, "__name__", getattr(activation, "name", activation)))
    return _SPELLED.get(name, name[:1].upper() + name[1:])


def recorded(activation: str | Activate) -> str:
    """The activation as a file records it: its name.

    Errors: NotImplementedError for a callable that is no row of the table.
    """
    if isinstance(activation, Primitive) and TABLE.get(activation.name) is activation:
        return activation.name
    if isinstance(activation, str):
        return activation
    raise NotImplementedError("an activation that is a callable cannot be recorded, only its name")


class Activation(Module):
    """f on every number of a list, nested lists too; on a bare number as well.

    `activation` is a name in the table of primitives or a callable. Cost O(numbers).
    Errors: as `activation_named`. Source: *Deep Learning*, section 6.3.

    >>> Activation("square")([1.0, [2.0, 3.0]])
    [1.0, [4.0, 9.0]]
    """

    def __init__(self, activation: str | Activate) -> None:
        self._activate = activation_named(activation)
        self._activation = activation

    def forward(self, x: Any) -> Any:
        """f of every number of `x`, in the same lists."""
        if is_list(x):
            return [self.forward(item) for item in x]
        return self._activate(x)

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {} if type(self) is not Activation else {"activation": recorded(self._activation)}

    def __repr__(self) -> str:
        if type(self) is Activation:
            return f"Activation({self._activation!r})"
        return f"{type(self).__name__}()"


class ReLU(Activation):
    """The larger of x and 0, on every number.

    >>> ReLU()([-1.0, 2.0])
    [0.0, 2.0]
    """

    def __init__(self) -> None:
        super().__init__("relu")


class LeakyReLU(Activation):
    """The larger of x and 0.01 x, on every number."""

    def __init__(self) -> None:
        super().__init__("leaky_relu")


class Tanh(Activation):
    """The hyperbolic tangent of every number."""

    def __init__(self) -> None:
        super().__init__("tanh")


class Sigmoid(Activation):
    """σ(x) = 1 / (1 + e⁻ˣ) of every number.

    >>> Sigmoid()([0.0, 1000.0, -1000.0])
    [0.5, 1.0, 0.0]
    """

    def __init__(self) -> None:
        super().__init__("sigmoid")


class GELU(Activation):
    """x Φ(x) of every number."""

    def __init__(self) -> None:
        super().__init__("gelu")


class SiLU(Activation):
    """x σ(x) of every number."""

    def __init__(self) -> None:
        super().__init__("silu")


class Softplus(Activation):
    """log(1 + eˣ) of every number."""

    def __init__(self) -> None:
        super().__init__("softplus")
