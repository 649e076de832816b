"""`save` and `load`: models as JSON files, with architecture, weights and a checksum."""

from __future__ import annotations

import operator
import os
import random
from collections import deque
from functools import partial as bind
from typing import Any

from tinygrad_scalar.core.printable import reason
from tinygrad_scalar.files import DEFECTS
from tinygrad_scalar.nn import activations, attention, embedding, layers, modules, normalization
from tinygrad_scalar.nn.files import pack, read, unpack, write
from tinygrad_scalar.nn.module import Module, check_module
from tinygrad_scalar.nn.modules import Sequential
from tinygrad_scalar.nn.parameter import at_most
from tinygrad_scalar.nn.two_layer_net import TwoLayerNet
from tinygrad_scalar.numbers.precision import is_number, number

_KIND = "model"
_CLASSES: dict[str, type[Any]] = {
    made.__name__: made
    for made in (
        activations.Activation,
        activations.GELU,
        activations.LeakyReLU,
        activations.ReLU,
        activations.SiLU,
        activations.Sigmoid,
        activations.Softplus,
        activations.Tanh,
        attention.Block,
        attention.CausalSelfAttention,
        attention.GPT,
        embedding.Embedding,
        layers.Layer,
        layers.MLP,
        layers.Neuron,
        modules.Affine,
        modules.Dropout,
        modules.Scale,
        normalization.LayerNorm,
        normalization.RMSNorm,
        TwoLayerNet,
    )
}


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Write a model to a file: architecture, weights, checksum; JSON, never pickle. Atomic.

    The architecture of a model with modules or activations of your own, with weights that are
    shared, or whose parts were replaced is not recorded: such a file is loaded with
    `load(path, into=model)`.

    Cost O(parameters). Errors: TypeError for what is no module or carries other numbers than
    floats; OSError where the file cannot be written, and an old file stays as it was.

    >>> import pathlib, tempfile
    >>> from tinygrad_scalar import nn
    >>> model = nn.MLP(2, [3, 1], seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.json"
    ...     nn.save(model, path)
    ...     again = nn.load(path)
    >>> again.state_dict() == model.state_dict(), again([1.0, 2.0]).data == model([1.0, 2.0]).data
    (True, True)
    """
    check_module(model, "save")
    write(path, _KIND, {"architecture": _whole(model), "state": packed_state(model)})


def load(path: str | os.PathLike[str], *, into: Module | None = None) -> Module:
    """The model in a file: a new one, or `into` with the weights of the file. All or nothing.

    Cost O(parameters). Errors: FileNotFoundError; ValueError naming the path for a file that is
    truncated, changed, foreign or of another architecture than `into`. Nothing is loaded then.
    """
    if into is not None and not isinstance(into, Module):
        raise TypeError(f"load: into is an nn.Module, not {type(into).__name__}")
    content = read(path, _KIND)
    try:
        state = content["state"]
        if into is None:
            with at_most(max(len(state["names"]), len(state["numbers"]))):
                model = _built_quietly(content["architecture"])
        else:
            model = into
        load_packed(model, state)
    except NotImplementedError:
        raise ValueError(
            f"{path}: the architecture is not recorded, because a part of the model is of your own "
            "making, shared or replaced: build the model and call load(path, into=model)"
        ) from None
    except DEFECTS as error:
        raise ValueError(f"{path}: {reason(error)}") from None
    return model


def packed_state(model: Module) -> dict[str, list[Any]]:
    """Names and numbers of the parameters, as JSON takes them."""
    state = model.state_dict()
    named = {id(leaf) for _, leaf in model.named_parameters()}
    if len(state) < len(named) or not named.issuperset(map(id, model.parameters())):
        raise TypeError(
            f"save: {type(model).__name__}.parameters() gives leaves that state_dict() lacks: make "
            "them with nn.parameter(data) and keep them in attributes of modules"
        )
    # ints and NumPy's floats as the floats that a Value makes of them
    numbers = [number(data) if is_number(data) else data for data in state.values()]
    for name, data in zip(state, numbers, strict=True):
        if data.__class__ is not float:
            raise TypeError(f"save: {name} is a {type(data).__name__}, and files carry floats")
    return {"names": list(state), "numbers": pack(numbers)}


def load_packed(model: Module, state: dict[str, Any]) -> None:
    """Set the parameters to what `packed_state` gave. All or nothing."""
    names, numbers = state["names"], unpack(state["numbers"])
    loaded = dict(zip(names, numbers, strict=True))
    here = [name for name, _ in model.named_parameters()]
    if len(loaded) < len(names) or (names != here and loaded.keys() == set(here)):
        raise ValueError(
            "the parameters stand in another order than in this model: were their names changed?"
        )
    model.load_state_dict(loaded)


def architecture(model: Module) -> dict[str, Any] | None:
    """Class and arguments of a model; None where a part is not the library's own."""
    try:
        return _recorded(model)
    except NotImplementedError:
        return None


def _whole(model: Module) -> dict[str, Any] | None:
    """Its architecture; None where that makes another model: parts were replaced or are shared."""
    recorded = architecture(model)
    if recorded is None:
        return None
    try:
        same = _described(_built_quietly(recorded)) == _described(model)
    except (NotImplementedError, *DEFECTS):  # a part of one's own, or arguments that are none
        return None
    return recorded if same else None


def _described(model: Module) -> Any:
    """Every module by name, class and arguments, and the names of the parameters."""
    modules = [
        (name, type(module), None if type(module) is Sequential else module.config())
        for name, module in model.named_modules()
    ]
    return modules, [name for name, _ in model.named_parameters()]


def _recorded(model: Module) -> dict[str, Any]:
    if type(model) is Sequential:
        return {"class": "Sequential", "modules": [_recorded(module) for module in model.modules]}
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise NotImplementedError(name)
    return {"class": name, "arguments": model.config()}


def _built_quietly(architecture: Any) -> Module:
    """A new model; Python's random numbers go on as if its first weights had not been drawn."""
    source: Any = random.getstate.__self__  # type: ignore[attr-defined]  # Python's own generator
    _, numbers, gauss = source.getstate()
    again = bind(super(random.Random, source).setstate, numbers)  # in C, as what `finally` calls
    back = map(operator.call, [again, bind(setattr, source, "gauss_next", gauss)])
    try:
        return _built(architecture)
    finally:
        deque(back, maxlen=0)


def _built(architecture: Any) -> Module:
    if architecture is None:
        raise NotImplementedError
    name = architecture["class"]
    if name == "Sequential":
        return Sequential(*(_built(module) for module in architecture["modules"]))
    if name not in _CLASSES:
        raise ValueError(f"the model is a {name}, which this release does not know")
    model: Module = _CLASSES[name](**architecture["arguments"])
    return model
