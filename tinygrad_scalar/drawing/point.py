"""A function drawn at a point: its parameters become Values that bear their names."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from inspect import Parameter, signature
from itertools import takewhile
from typing import Any

from tinygrad_scalar.core.at_once import put_back
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.tree import like, placed
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number

_ANYTHING = [Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD]
_POSITIONAL = Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD


def applied_at(
    z: Any,
    numbers: Sequence[Any],
    at: Mapping[str, Any] | None,
    point: Mapping[str, Any],
    caller: str,
) -> Any:
    """`z` itself; or, for a function, what `backward` gives at the point.

    Errors: TypeError for names that are no parameters, for parameters without a number, and with
    two.
    """
    if at is not None and not isinstance(at, Mapping):
        raise TypeError(
            f"{caller}: at is a dict of parameters and numbers, not {type(at).__name__}"
        )
    given = {**(at or {}), **point}
    if isinstance(z, Value) or not callable(z):
        if given or numbers:
            raise TypeError(
                f"{caller}: {', '.join([*map(repr, numbers), *given])} is no option; a point is "
                f"given with a function: {caller}(f, x=2.0)"
            )
        return z
    parameters = _parameters(z, len(numbers))
    given |= _named(parameters or (), numbers, given, caller)
    _check_names(parameters, given, caller)
    named = {name: labelled(x, name, caller) for name, x in given.items()}
    positional = [named.pop(name) for name in _by_position(parameters or (), given)]
    result = z(*positional, **named)
    if isinstance(result, Value) and result.primitive is not None:
        return _table(result)
    return result


def _named(
    parameters: Sequence[Parameter], numbers: Sequence[Any], given: Mapping[str, Any], caller: str
) -> dict[str, Any]:
    """Numbers by the names of the first parameters, of which none is given by name too."""
    names = [parameter.name for parameter in parameters if parameter.kind in _POSITIONAL]
    if len(numbers) > len(names) or not given.keys().isdisjoint(names[: len(numbers)]):
        raise TypeError(
            f"{caller}: the function takes {', '.join(names) or 'nothing'} by position, each once, "
            f"and got {', '.join([*map(repr, numbers), *given])}"
        )
    return dict(zip(names, numbers, strict=False))


def _table(z: Value) -> Any:
    """What `backward` gives, with every `.grad` left as it was."""
    back = put_back(topological_order(z), "grad")
    try:
        return z.backward()
    finally:
        deque(back, maxlen=0)


def labelled(x: Any, label: str, caller: str) -> Any:
    """Numbers as Values with this label, entries of structures with their place behind it."""
    made = []
    for place, leaf in placed(x):
        if not isinstance(leaf, Value) and not is_number(leaf):
            raise TypeError(
                f"{caller}: {label}{place} is a number, or a list, dict or array of them, "
                f"not {type(leaf).__name__}"
            )
        made.append(leaf if isinstance(leaf, Value) else Value(leaf, label=f"{label}{place}"))
    return like(x, made)


def _by_position(parameters: Sequence[Parameter], given: Collection[str]) -> list[str]:
    """The first parameters, as far as they are given; a compiled function's others are constants.

    A row of the table takes no names at all.
    """
    return [
        parameter.name
        for parameter in takewhile(lambda each: each.name in given, parameters)
        if parameter.kind in _POSITIONAL
    ]


def _parameters(f: Any, count: int) -> list[Parameter] | None:
    """The parameters of a function that is given so many numbers by position; None if it is silent.

    A model tells them in its `forward`. Of `*xs` there are as many as numbers are left: xs_0, xs_1.
    """
    try:
        told = list(signature(f).parameters.values())
        if [each.kind for each in told] == _ANYTHING and hasattr(f, "forward"):
            told = list(signature(f.forward).parameters.values())
    except (TypeError, ValueError):
        return None
    found: list[Parameter] = []
    for each in told:
        if each.kind is Parameter.VAR_POSITIONAL:
            left = range(count - len(found))
            found += [Parameter(f"{each.name}_{i}", Parameter.POSITIONAL_ONLY) for i in left]
        else:
            found.append(each)
    return found


def _check_names(
    parameters: Sequence[Parameter] | None, given: Mapping[str, Any], caller: str
) -> None:
    if parameters is None or any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
        return
    names = [parameter.name for parameter in parameters]
    unknown = [name for name in given if name not in names]
    missing = [p.name for p in parameters if p.default is Parameter.empty and p.name not in given]
    takes = f"the function takes {', '.join(names) or 'nothing'}"
    if unknown:
        raise TypeError(f"{caller}: {', '.join(unknown)} is neither option nor parameter; {takes}")
    if missing:
        example = ", ".join(f"{name}=1.0" for name in missing)
        raise TypeError(
            f"{caller}: {takes}; give the point: {caller}(f, {example}), "
            f"or in at={dict.fromkeys(missing, 1.0)} where an option bears the name"
        )
