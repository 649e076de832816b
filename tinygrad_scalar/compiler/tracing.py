"""Tracing a function: it is run on numbers that write down what is done with them."""

from __future__ import annotations

import functools
import itertools
import math
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler.arguments import arguments_like
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tables import WHOLE, UnevenError
from tinygrad_scalar.compiler.ir.tape import GUARD, INPUT, TraceError, evaluated
from tinygrad_scalar.compiler.ir.trace import Traced, on_tape, tell_of_value
from tinygrad_scalar.compiler.paths import Path, pushed
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.tree import leaves, like
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number, loaded

AGAIN = 4  # traces of a function that seems to draw random numbers, to see them differ


class RaisedBeforeError(Exception):
    """The trace failed behind an operation that raises at its point: that is told of, or handled.

    Numbers are those of IEEE arithmetic there, which the function never sees uncompiled. Or it
    failed by an error that holds traced numbers: uncompiled, they are Values, of use to a caller.
    """


def _as_uncompiled(recording: Recording, error: Exception) -> bool:
    """Whether only the function itself, uncompiled, raises the right error at the point, if any."""
    if not recording.knows_its_point():
        return False
    told = leaves([*error.args, *vars(error).values()])
    if any(isinstance(x, Carrier) for x in told):
        return True
    try:
        evaluated(recording.tape.code, recording.point, recording.seen, pushed)
    except Exception:  # noqa: BLE001 (an operation of one's own may raise anything)
        return True
    return False


def traced(
    function: Callable[..., Any],
    trees: Sequence[Any],
    point: Sequence[float],
    options: Any = None,
    decided: set[Any] | None = None,
) -> Path:
    """Run `function` on Traced arguments at a point. TraceError, TypeError: see `compile`.

    Once, unless random numbers were drawn meanwhile: it is run again then, to see whether they
    matter, for another thread may have drawn them.
    """
    function = functools.partial(function, **options or {})
    decided = set() if decided is None else decided
    before = _generators()
    path = _settled(function, trees, point, decided)
    for _ in range(AGAIN if _generators() != before else 0):
        if not path.repeated_by(_settled(function, trees, point, decided)):
            raise TraceError(
                "the function draws random numbers, which compiled code would repeat for ever: "
                "draw them outside and pass them as arguments"
            )
    return path


def _settled(
    function: Callable[..., Any], trees: Sequence[Any], point: Sequence[float], decided: set[Any]
) -> Path:
    """Run `function` once on Traced arguments.

    Where it looks at a comparison as only a bool can be looked at, it is run again with bools
    there; these places are added to `decided`. RaisedBeforeError: see there.
    """
    bools = set(decided)
    while True:
        recording = Recording(point, bools)
        try:
            path = _path(recording, function, trees)
        except UnevenError:
            recording.decided.add(WHOLE)
        except Exception as error:
            _put_back(recording)
            recording = recording.taken_over()
            recording.refused = None  # its traceback leads here: a trace would wait for a collector
            if recording.settled():
                tell_of_value(error)
                if _as_uncompiled(recording, error):
                    raise RaisedBeforeError from error
                raise
        else:
            recording = path.recording
            if recording.settled():
                decided.update(bools)
                return path
        bools = recording.decided


def _path(recording: Recording, function: Callable[..., Any], trees: Sequence[Any]) -> Path:
    recording.orders = 2
    recording.lookups = []
    tape = recording.tape  # whose first lines are the inputs, as many as are asked for
    inputs = (Traced(recording, tape.line((INPUT, (k,)))) for k in itertools.count())
    args = arguments_like(trees, inputs)
    count = tape.inputs = len(tape)
    result = on_tape(recording, function, *args)
    if recording.refused is not None:
        raise recording.refused
    _refuse_written(recording)
    lines = [_line(recording, leaf) for leaf in leaves(result)]
    known = any(isinstance(leaf, (Traced, Value)) for leaf in leaves(result))
    if not (trees or known) and GUARD not in {row for row, _ in recording.tape.code}:
        text = repr(result)
        shown = text if len(text) < 40 else type(result).__name__
        raise TypeError(
            f"compile: the function returned {shown}, which no Value went into; "
            "return what is computed from the arguments (those by keyword are constants)"
        )
    tree = like(result, [None] * len(lines))
    return Path(recording.taken_over(), lines, tree, count)


def _refuse_written(recording: Recording) -> None:
    """TraceError where the function wrote to a leaf that it looked at before."""
    written = _put_back(recording)
    for leaf, seen in zip(recording.leaves, recording.seen, strict=True):
        if leaf in written:
            name = written[leaf]
        elif float(leaf.data) != seen and not math.isnan(seen):
            name = "data"
        else:
            continue
        raise TraceError(
            f"the function wrote to the {name} of {leaf!r} while it was traced: "
            "compiled code repeats no side effects; do that outside"
        )


def _put_back(recording: Recording) -> dict[Value, str]:
    """Put back what traced values were written over in leaves; which, and to what of them."""
    written = {}
    for leaf, (data, grad) in zip(recording.leaves, recording.found, strict=True):
        for name, before in (("grad", grad), ("data", data)):
            now = getattr(leaf, name)
            if now is not before and isinstance(now, Carrier):
                setattr(leaf, name, before)
                written[leaf] = name
    return written


def _line(recording: Recording, leaf: Any) -> int:
    if isinstance(leaf, (Traced, Value)) or is_number(leaf):
        return recording.line(leaf)
    if isinstance(leaf, Carrier):
        raise TypeError(
            f"compile: the function closes over a {type(leaf).__name__}, a number of jvp, taylor "
            "or derivative, and compiled code gives plain numbers: pass it as an argument"
        )
    raise TypeError(
        f"compile: the function returned {type(leaf).__name__}; return a Value, or a list, "
        "tuple or dict of Values"
    )


def _generators() -> Any:
    """What Python's and NumPy's shared generators are about to draw from; others are not known."""
    python, numpy = sys.modules.get("random"), loaded("numpy.random")
    return (
        None if python is None else python.getstate(),
        None if numpy is None else pickle.dumps(numpy.get_state(legacy=False)),
    )
