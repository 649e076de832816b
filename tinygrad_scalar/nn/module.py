"""`Module`: something with parameters that can be called; models are modules made of modules."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, ClassVar, Self, TypeVar

from tinygrad_scalar.core import context
from tinygrad_scalar.core.at_once import assign, put_back
from tinygrad_scalar.core.context import Settings
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.parameter import is_leaf, is_parameter, outside_traces
from tinygrad_scalar.nn.scopes import Settled, current, settle
from tinygrad_scalar.numbers.precision import is_number, number

Result = TypeVar("Result")
_ASIDE = {"training", "_entered", "_scope_name"}  # attributes that say nothing of the architecture


class Module:
    """Base of everything with parameters. A subclass sets attributes and defines `forward`.

    Trainable leaves (`nn.parameter`) and modules that stand in attributes, also inside lists,
    tuples, dicts and arrays of objects, are found by themselves and named by where they stand:
    `layers.0.b`. Calling a module runs `forward` and notes its box in drawings.

    Cost: parameters() O(size of the module); a call adds O(arguments) to its forward.
    Source: the interface is that of micrograd's `Module` and PyTorch's `nn.Module`.

    >>> from tinygrad_scalar import nn
    >>> class Line(nn.Module):
    ...     def __init__(self):
    ...         self.slope, self.start = nn.parameter(2.0), nn.parameter(1.0)
    ...
    ...     def forward(self, x):
    ...         return self.slope * x + self.start
    >>> line = Line()
    >>> line(3.0), line.state_dict()
    (Value(7.0, grad=0.0), {'slope': 2.0, 'start': 1.0})
    """

    training: bool = True
    _trained: ClassVar[tuple[str, ...]] = ()  # attributes in which every leaf is a parameter
    _scope_name: str | None = None  # how the module that holds this one calls it
    # the settings outside the last call, those inside it, and what is noted on its nodes
    _entered: tuple[Settings, Settings, Settled] | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What a call computes. Errors: NotImplementedError unless a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__}: define forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result of `forward`, with its nodes noted as this module's."""
        outer = current()
        if not outer.recording:
            return self.forward(*args, **kwargs)
        settle((args, kwargs), Settled("", outer.scope))
        return self._inside(outer, *args, **kwargs)

    def _inside(self, outer: Settings, *args: Any, **kwargs: Any) -> Any:
        """A call on arguments whose nodes are noted already."""
        entered = self._entered
        if entered is None or entered[0] is not outer:
            entered = self._enter(outer)
        inner = entered[1]
        with context.Aside(inner):
            result = self.forward(*args, **kwargs)
        self._settle(result, entered[2])
        return result

    def _settle(self, result: Any, provenance: Settled) -> None:
        """Note where the nodes of a call were made."""
        settle(result, provenance)

    def _enter(self, outer: Settings) -> tuple[Settings, Settings, Settled]:
        """The settings inside a call made under `outer`; names the children and own parameters."""
        scope = (*outer.scope, self._scope_name or type(self).__name__)
        for name, child in _members(self, index="[{}]"):
            if isinstance(child, Module):
                child._scope_name = child._scope_name or name
            elif child.provenance.scope != scope:
                child._provenance = child.provenance._replace(scope=scope)
        entered = outer, outer._replace(scope=scope), Settled("", scope)
        if not outer.counters and outer.tracer is None:  # these end, and would be kept alive
            self._entered = entered
        return entered

    # ── parameters ────────────────────────────────────────────────────────────────────────────
    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Name and leaf of every parameter, each once, in the order of the attributes."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, leaf in _members(module, index=".{}"):
                if isinstance(leaf, Value) and id(leaf) not in seen:
                    seen.add(id(leaf))
                    yield f"{prefix}.{name}" if prefix else name, leaf

    def parameters(self) -> list[Value]:
        """Every parameter once, in the order of `named_parameters`.

        A module in it that defines `parameters` itself is asked, as micrograd's are.
        """
        leaves: dict[int, Value] = {}
        modules: list[Module] = [self]
        seen: set[int] = set()
        while modules:
            module = modules.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            if module is not self and module._answers(self):
                leaves |= {id(leaf): leaf for leaf in module.parameters()}
                continue
            own, inside = _contents(module)
            leaves |= {id(leaf): leaf for leaf in own}
            modules += reversed(inside)
        return list(leaves.values())

    def _answers(self, outer: Module) -> bool:
        """Whether its class defines `parameters`, and asking would not come back to `outer`."""
        if type(self).parameters is Module.parameters:
            return False
        return not any(module is outer for _, module in self.named_modules())

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """This module under the name "" and every module in it, each once, outer ones first."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            prefix, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield prefix, module
            inside = [(n, m) for n, m in _members(module, index=".{}") if isinstance(m, Module)]
            stack += [(f"{prefix}.{n}" if prefix else n, m) for n, m in reversed(inside)]

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.0. O(parameters)."""
        outside_traces("zero_grad()")
        leaves = list(self.parameters())
        assign(leaves, "grad", [0.0] * len(leaves))

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all in it to training (dropout drops), or to evaluation."""
        modules = [module for _, module in self.named_modules()]
        assign(modules, "training", [mode] * len(modules))
        return self

    def eval(self) -> Self:
        """Switch to evaluation: `train(False)`."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """The number in every parameter, by name. O(parameters)."""
        return {name: leaf.data for name, leaf in self.named_parameters()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set every parameter to the number of its name. All or nothing.

        Errors: ValueError for missing and for unknown names, TypeError for what is no number or
        no mapping.
        """
        outside_traces("load_state_dict")
        if not isinstance(state, Mapping):
            raise TypeError(
                "load_state_dict: the state is a dict of names and numbers, "
                f"not {type(state).__name__}"
            )
        leaves = dict(self.named_parameters())
        missing = [name for name in leaves if name not in state]
        unknown = [name for name in state if name not in leaves]
        if missing or unknown:
            raise ValueError(
                f"load_state_dict: the state is of another model than this {type(self).__name__}"
                + _listed("; missing", missing)
                + _listed("; unknown", unknown)
            )
        for name, data in state.items():
            if not is_number(data):
                raise TypeError(f"load_state_dict: {name} is {type(data).__name__}, give a number")
        assign(list(leaves.values()), "data", [number(state[name]) for name in leaves])

    # ── what is written to a file ─────────────────────────────────────────────────────────────
    def config(self) -> dict[str, Any]:
        """The arguments that make this architecture again, as JSON takes them; see `nn.save`.

        Errors: NotImplementedError unless a subclass defines it: a model without it is loaded
        with `nn.load(path, into=model)`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not record its architecture")

    def __getstate__(self) -> dict[str, Any]:
        return {name: x for name, x in self.__dict__.items() if name != "_entered"}

    @recursive_repr()
    def __repr__(self) -> str:
        inside = ", ".join(
            f"{name}={child!r}"
            for name, child in _members(self, index="[{}]")
            if isinstance(child, Module)
        )
        return f"{type(self).__name__}({inside})"


def check_module(model: Any, of: str) -> None:
    """TypeError unless this is a module; it names the function `of`."""
    if not isinstance(model, Module):
        raise TypeError(f"{of}: model is an nn.Module, not {type(model).__name__}")


def switched(model: Module, compute: Callable[[], Result], *, training: bool) -> Result:
    """What `compute` gives with all modules in training or in evaluation; then as they were."""
    back = put_back([module for _, module in model.named_modules()], "training")
    try:
        model.train(training)
        return compute()
    finally:
        deque(back, maxlen=0)


def evaluated(model: Module, compute: Callable[[], Result], of: str) -> Result:
    """What `compute` gives with all modules in evaluation and nothing recorded, for `of`."""
    check_module(model, of)
    recording_nothing: Callable[[], Result] = context.no_grad()(compute)
    return switched(model, recording_nothing, training=False)


def _members(module: Module, index: str) -> Iterator[tuple[str, Any]]:
    """Parameters and modules standing in the attributes of `module`, with their names.

    `index` is how a position is written: layers[0] in a picture, layers.0 in a file.
    """
    for attribute, held in _attributes(module):
        trained, stack = _tells(module, attribute), [(attribute, held)]
        while stack:
            name, thing = stack.pop()
            if isinstance(thing, Module) or trained(thing):
                yield name, thing
            elif isinstance(thing, (list, tuple)):
                stack += [(name + index.format(i), thing[i]) for i in reversed(range(len(thing)))]
            elif isinstance(thing, dict):
                stack += [(name + index.format(key), thing[key]) for key in reversed(thing)]
            elif _is_array(thing):
                stack.append((name, thing.tolist()))


def _attributes(module: Module) -> list[tuple[str, Any]]:
    """The attributes without those that say nothing of the architecture."""
    return [(name, held) for name, held in module.__dict__.items() if name not in _ASIDE]


def _tells(module: Module, attribute: str) -> Callable[[Any], bool]:
    """What tells parameters from other things in an attribute of `module`."""
    return is_leaf if attribute in module._trained else is_parameter


def _is_array(thing: Any) -> bool:
    """Whether this is an array of objects, as NumPy makes of a list of Values."""
    return getattr(getattr(thing, "dtype", None), "hasobject", False) is True


def standing_in(model: Module) -> list[Any]:
    """All that stands in a module and in those in it, one by one: what its forward depends on."""
    found: list[Any] = [model]
    modules, seen = [model], set[int]()
    while modules:
        module = modules.pop()
        if id(module) not in seen:
            seen.add(id(module))
            inside = _things([held for _, held in _attributes(module)])
            modules += reversed([thing for thing in inside if isinstance(thing, Module)])
            found += inside
    return found


def _contents(module: Module) -> tuple[list[Value], list[Module]]:
    """What `_members` finds, without the names, which take ten times as long to write."""
    leaves, modules = [], []
    for attribute, held in _attributes(module):
        trained = _tells(module, attribute)
        for thing in _things(held):
            if trained(thing):
                leaves.append(thing)
            elif isinstance(thing, Module):
                modules.append(thing)
    return leaves, modules


def _things(held: Any) -> list[Any]:
    """What stands in an attribute, also inside lists, tuples, dicts and arrays of objects."""
    found: list[Any] = []
    stack = [held]
    while stack:
        thing = stack.pop()
        if isinstance(thing, (list, tuple)):
            if set(map(type, thing)) == {Value}:  # as most lists
                found += thing
            else:
                stack += reversed(thing)
        elif isinstance(thing, dict):
            stack += reversed(thing.values())
        elif _is_array(thing):
            stack.append(thing.tolist())
        else:
            found.append(thing)
    return found


def _listed(what: str, names: list[str]) -> str:
    """The first of `names`, and how many more; nothing for none."""
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"
