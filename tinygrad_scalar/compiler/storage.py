"""Compiled functions in files and pickles: their traces, without their source."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.arguments import as_key, named
from tinygrad_scalar.compiler.backends import Settings
from tinygrad_scalar.compiler.closed_over import leaves_of, places_of
from tinygrad_scalar.compiler.description import path_described, path_restored
from tinygrad_scalar.compiler.dispatch import Specialisation
from tinygrad_scalar.compiler.ir.tape import TraceError
from tinygrad_scalar.core.named import found_by_name, functions_by_value, pickles
from tinygrad_scalar.core.printable import reason
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.files import DEFECTS, read_regular, write_atomically

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.compiled import Compiled

FORMAT = "tinygrad_scalar compiled 1"


def save(compiled: Compiled, path: Any) -> None:
    """Write all traces, with the values of closed-over leaves, atomically; see `Compiled.save`."""
    compiled._own()
    body = json.dumps(_described(compiled)[0], sort_keys=True)
    text = json.dumps(
        {"format": FORMAT, "checksum": hashlib.sha256(body.encode()).hexdigest(), "body": body}
    )
    write_atomically(path, text)


def load(kind: type[Compiled], path: Any) -> Compiled:
    """What `save` wrote, as a compiled function of class `kind`; see `load_compiled`."""
    text = read_regular(path)
    try:
        document = json.loads(text)
        body = document["body"]
        _check(document["format"], FORMAT, "format")
        _check(hashlib.sha256(body.encode()).hexdigest(), document["checksum"], "checksum")
        described = json.loads(body)
        return restored(kind, described, [_leaf(x) for x in described["leaves"]])
    except ImportError as error:
        raise ImportError(
            f"{os.fspath(path)} names an engine that is missing: {error}; or save it anew from "
            "a function that was compiled without engine=, which runs by the fastest installed"
        ) from None
    except DEFECTS as error:
        raise ValueError(
            f"{os.fspath(path)} is no undamaged file of a compiled function ({reason(error)}); "
            "save it anew"
        ) from None


def _check(found: Any, expected: Any, what: str) -> None:
    if found != expected:
        raise ValueError(f"its {what} is {found!r}, not {expected!r}")


def pickled(compiled: Compiled) -> Any:
    """By name where it can be imported, as its function and settings where that can be pickled.

    Else, and where a function that is only named closes over Values, whose numbers are to go along,
    its traces with the leaves as they are.
    """
    if found_by_name(compiled):
        return compiled.__qualname__  # type: ignore[attr-defined]
    function = compiled.function
    named = isinstance(function, FunctionType) and found_by_name(function)
    with_code = functions_by_value() and not named
    alone = with_code or (not _closes_over(compiled) and pickles(function))
    if function is not None and alone:  # else there are only the traces, as of one from a file
        return type(compiled), (function, compiled.settings)
    if not compiled._specialisations:
        raise TypeError(
            "this compiled function cannot be pickled yet: call it once, or give it a name in an "
            "importable module"
        )
    return restored, (type(compiled), *_described(compiled))


def _closes_over(compiled: Compiled) -> bool:
    """Whether Values were found that the function closes over."""
    every = compiled._specialisations.copy()  # at once: other threads may be adding to them
    paths = [path for own in every.values() for path in own.paths]
    return any(path.closes_over for path in paths)


def with_numbers(compiled: Compiled) -> Compiled:
    """What another process is to get: not a name alone, where numbers of leaves belong to it."""
    if not found_by_name(compiled) or not _closes_over(compiled):
        return compiled
    return restored(type(compiled), *_described(compiled))


def _described(compiled: Compiled) -> tuple[dict[str, Any], list[Value]]:
    """All traces in plain lists, and the leaves that they close over."""
    kept = {
        key[0]: own
        for key, own in compiled._specialisations.copy().items()
        if not key[1] and not any(k and k[0] == "constant" for k in key[0])
    }  # constants, as keyword arguments are, stay with the source
    if not kept:
        raise TraceError(
            "files and pickles hold no trace with constants (keyword arguments, whole numbers and "
            "the like outside argnums), and this function was called with such alone: pass floats, "
            "or bind the constants, compile(functools.partial(f, n=3))"
        )
    for own in kept.values():
        own.look_through_tables()
    traces = {key: own.paths.copy() for key, own in kept.items()}
    leaves = leaves_of(path for paths in traces.values() for path in paths)
    numbers = places_of(leaves)
    structures = [
        {"key": named(key), "paths": [path_described(path, numbers) for path in paths]}
        for key, paths in traces.items()
    ]
    keys = [structure["key"] for structure in structures]
    if len(set(keys)) < len(keys):
        raise TypeError(
            "this compiled function was called with named tuples of different classes and one "
            "name, which a file cannot tell apart: give the classes names of their own"
        )
    argnums = compiled.settings["argnums"]
    return {
        "name": getattr(compiled, "__name__", "function"),
        **compiled.settings,
        "argnums": list(argnums) if isinstance(argnums, Sequence) else argnums,
        "leaves": [float(leaf.data) for leaf in leaves],
        "structures": structures,
    }, leaves


def _leaf(x: Any) -> Value:
    if not isinstance(x, float):
        raise TypeError(f"{x!r} stands where the number of a leaf should")
    return Value(x)


def restored(kind: type[Compiled], described: dict[str, Any], leaves: list[Value]) -> Compiled:
    """The compiled function that `_described` tells of, around these leaves.

    Errors: ValueError and the like for what cannot have been traced: machine code is made of it.
    """
    settings: Any = {name: described[name] for name in Settings.__annotations__}
    compiled = kind(None, settings)
    compiled.__name__ = str(described["name"])  # type: ignore[attr-defined]
    for structure in described["structures"]:
        key = as_key(structure["key"])
        own = Specialisation(None, key, (), {}, compiled.settings)
        for path in structure["paths"]:
            own.add(path_restored(path, key, leaves))
        compiled._specialisations[key, ()] = own
    return compiled
