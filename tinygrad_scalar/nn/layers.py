"""`Neuron`, `Layer` and `MLP`, used like micrograd's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.checks import whole
from tinygrad_scalar.core import context
from tinygrad_scalar.core.context import Settings
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.functions import dot
from tinygrad_scalar.nn.activations import Activate, activation_named, name_of, recorded
from tinygrad_scalar.nn.initializers import Initializer, initializer
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.parameter import parameter
from tinygrad_scalar.nn.scopes import current
from tinygrad_scalar.nn.shapes import checked_list, is_list
from tinygrad_scalar.seeds import Seed, generator


class Neuron(Module):
    """f(w · x + b): one output from `nin` inputs.

    `activation` is the name of a function of one number in the table of primitives, or a callable;
    `nonlin=False` leaves it out. `w` is a list of nin parameters, `b` one; `init` draws the
    weights (see `nn.initializers`), b starts at 0. Three nodes a call: dot, add and activation.

    Domain and types: nin numbers or Values. Cost O(nin).
    Errors: ValueError for another number of inputs, an unknown activation or init.
    Source: *Deep Learning*, section 6.3 (hidden units); the interface is micrograd's.

    >>> neuron = Neuron(2, seed=0)
    >>> neuron.w[0].data, neuron.w[1].data, neuron.b.data = 1.0, -1.0, 0.5
    >>> neuron([3.0, 1.0]), neuron([1.0, 3.0])
    (Value(2.5, grad=0.0), Value(0.0, grad=0.0))
    """

    _trained = "w", "b"

    def __init__(
        self,
        nin: int,
        nonlin: bool = True,
        *,
        activation: str | Activate = "relu",
        init: Initializer = "uniform",
        seed: Seed = None,
        nout: int = 1,
    ) -> None:
        nin = whole(nin, "Neuron: nin")
        self.activation = activation  # before Python's own generator has moved
        draw = initializer(init, nin, whole(nout, "Neuron: nout"), generator(seed))
        self.w = [parameter(draw(), label=f"w[{i}]") for i in range(nin)]
        self.b = parameter(0.0, label="b")
        self.nonlin = nonlin

    @property
    def activation(self) -> str | Activate:
        """The activation as it was given; a later one counts from the next call."""
        return self._activation

    @activation.setter
    def activation(self, activation: str | Activate) -> None:
        self._activate, self._activation = activation_named(activation), activation

    def _inside(self, outer: Settings, x: Any) -> Any:
        """The same as any module's, in half the time: the nodes of a neuron are a chain."""
        if not context.plain:
            return super()._inside(outer, x)
        entered = self._entered
        if entered is None or entered[0] is not outer:
            entered = self._enter(outer)
        node = result = self.forward(x)
        while type(node) is Value and node.primitive and getattr(node, "_provenance", None) is None:
            node._provenance = entered[2]
            node = node._a
        return result

    def forward(self, x: Sequence[Any]) -> Any:
        """The output for one list of inputs."""
        if type(x) is not list or len(x) != len(self.w):
            checked_list(x, len(self.w), self)
        total = dot(self.w, x) + self.b
        return self._activate(total) if self.nonlin else total

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {
            "nin": len(self.w),
            "nonlin": self.nonlin,
            "activation": recorded(self.activation),
        }

    def __repr__(self) -> str:
        kind = name_of(self.activation) if self.nonlin else "Linear"
        return f"{kind}Neuron({len(self.w)})"


class Layer(Module):
    """`nout` neurons over the same `nin` inputs; one neuron gives a Value, several a list.

    Keyword arguments go to the neurons; with `seed` they draw from one generator.

    Cost O(nin · nout). Errors: as `Neuron`. Source: *Deep Learning*, section 6.4.

    >>> layer = Layer(2, 3, seed=0)
    >>> layer, len(layer([1.0, 2.0]))
    (Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)], 3)
    """

    def __init__(self, nin: int, nout: int, *, seed: Seed = None, **options: Any) -> None:
        nout = whole(nout, "Layer: nout")
        source = None if seed is None else generator(seed)
        self.neurons = [Neuron(nin, seed=source, nout=nout, **options) for _ in range(nout)]

    def forward(self, x: Sequence[Any]) -> Any:
        """The outputs of all neurons for one list of inputs."""
        here = current()
        if set(map(type, self.neurons)) != {Neuron}:  # one may have a way of its own to be called
            outputs = [neuron(x) for neuron in self.neurons]
        elif here.recording:
            outputs = [neuron._inside(here, x) for neuron in self.neurons]
        else:
            outputs = [neuron.forward(x) for neuron in self.neurons]
        return outputs[0] if len(outputs) == 1 else outputs

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        first = self.neurons[0].config()
        return {"nin": first.pop("nin"), "nout": len(self.neurons), **first}

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(repr, self.neurons))}]"


class MLP(Module):
    """A multilayer perceptron: layers of `nouts` neurons over `nin` inputs, the last one linear.

    `activation` and `init` as in `Neuron` (weights from Python's `random`, or with `seed` from a
    generator of their own). One output gives a Value and several a list.

    Domain and types: a list of nin numbers or Values. Cost O(parameters) a call.
    Errors: ValueError for no or wrong widths, another number of inputs, an unknown activation.
    Source: *Deep Learning*, chapter 6; the interface is micrograd's.

    >>> model = MLP(2, [3, 1], seed=0)
    >>> model
    MLP of [Layer of [ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2)], Layer of [LinearNeuron(3)]]
    >>> len(model.parameters()), model([1.0, -2.0]).backward()[model.layers[1].neurons[0].b]
    (13, 1.0)
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str | Activate = "relu",
        init: Initializer = "uniform",
        seed: Seed = None,
    ) -> None:
        if not is_list(nouts):
            raise TypeError(f"MLP: nouts is a list of widths, not {type(nouts).__name__}")
        if not len(nouts):
            raise ValueError("MLP: nouts is empty: give the width of at least one layer")
        source = None if seed is None else generator(seed)
        widths = [whole(nin, "MLP: nin"), *(whole(n, "MLP: nouts") for n in nouts)]
        self.layers = [
            Layer(
                widths[i],
                widths[i + 1],
                nonlin=i + 1 < len(nouts),
                activation=activation,
                init=init,
                seed=source,
            )
            for i in range(len(nouts))
        ]

    def forward(self, x: Any) -> Any:
        """The outputs of the last layer for one list of inputs."""
        checked_list(x, len(self.layers[0].neurons[0].w), self)
        for layer in self.layers[:-1]:
            x = layer(x)
            x = [x] if len(layer.neurons) == 1 else x
        return self.layers[-1](x)

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        first = self.layers[0].config()
        return {
            "nin": first["nin"],
            "nouts": [len(layer.neurons) for layer in self.layers],
            "activation": first["activation"],
        }

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(repr, self.layers))}]"
