"""A function drawn at a point: its parameters become Values that bear their names."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from tinygrad_scalar.core.at_once import put_back
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number


def applied_at(z: Any, at: Mapping[str, Any] | None, point: Mapping[str, Any], caller: str) -> Any:
    """`z` itself; or, for a function, what `backward` gives at the point.

    Errors: TypeError for names that are no parameters, and for parameters without a number.
    """
    if at is not None and not isinstance(at, Mapping):
        raise TypeError(
            f"{caller}: at is a dict of parameters and numbers, not {type(at).__name__}"
        )
    given = {**(at or {}), **point}
    if isinstance(z, Value) or not callable(z):
        if given:
            raise TypeError(
                f"{caller}: {', '.join(given)} is no option; a point is given with a function: "
                f"{caller}(f, x=2.0)"
            )
        return z
    _check_names(z, given, caller)
    result = z(**{name: labelled(x, name, caller) for name, x in given.items()})
    if isinstance(result, Value) and result.primitive is not None:
        return _table(result)
    return result


def _table(z: Value) -> Any:
    """What `backward` gives, with every `.grad` left as it was."""
    back = put_back(topological_order(z), "grad")
    try:
        return z.backward()
    finally:
        deque(back, maxlen=0)


def labelled(x: Any, label: str, caller: str) -> Any:
    """Numbers as Values with this label, entries of lists and dicts with their place behind it."""
    if isinstance(x, Value):
        return x
    if is_number(x):
        return Value(x, label=label)
    if isinstance(x, (list, tuple)):
        return type(x)(labelled(entry, f"{label}[{i}]", caller) for i, entry in enumerate(x))
    if isinstance(x, Mapping):
        return {key: labelled(entry, f"{label}[{key}]", caller) for key, entry in x.items()}
    raise TypeError(
        f"{caller}: {label} is a number, or a list or dict of them, not {type(x).__name__}"
    )


def _check_names(f: Any, given: Mapping[str, Any], caller: str) -> None:
    try:
        parameters = signature(f).parameters.values()
    except (TypeError, ValueError):
        return
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        return
    names = [parameter.name for parameter in parameters]
    unknown = [name for name in given if name not in names]
    missing = [p.name for p in parameters if p.default is Parameter.empty and p.name not in given]
    takes = f"the function takes {', '.join(names) or 'nothing'}"
    if unknown:
        raise TypeError(f"{caller}: {', '.join(unknown)} is neither option nor parameter; {takes}")
    if missing:
        example = ", ".join(f"{name}=1.0" for name in missing)
        raise TypeError(f"{caller}: {takes}; give the point: {caller}(f, {example})")
