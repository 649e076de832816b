"""A function traced along one path of its branches, and the programs made from that trace."""

from __future__ import annotations

import functools
import itertools
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.backends import engines
from tinygrad_scalar.compiler.constants import arguments_like
from tinygrad_scalar.compiler.ir.differentiate import Derivation, inner_grads_on
from tinygrad_scalar.compiler.ir.program import Program, pruned
from tinygrad_scalar.compiler.ir.tape import CONSTANT, GUARDS, INPUT, PARAMETER, TraceError
from tinygrad_scalar.compiler.ir.trace import Recording, Traced, tracer
from tinygrad_scalar.compiler.llvm.slots import Slots
from tinygrad_scalar.core import context
from tinygrad_scalar.core.tree import is_structure, leaves, like
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number


class Request(NamedTuple):
    """What is asked of a function: a mode, and the places of the inputs it is asked for."""

    mode: str  # value, grad, both, backward, jvp, hvp, hessian, jacobian
    inputs: Sequence[int] = ()


FEW = 16  # leaves that Python reads as fast
VALUE = Request("value")
BACKWARD = Request("backward")


class Path:
    """One trace: the tape, the lines of the outputs, and their structure."""

    def __init__(self, recording: Recording, outputs: list[int], tree: Any, inputs: int) -> None:
        self.recording, self.outputs, self.tree, self.inputs = recording, outputs, tree, inputs
        self.leaves = recording.leaves
        self.kernels: dict[Any, Any] = {}
        self.called: set[Any] = set()  # modes that were called with plain numbers
        self.entries: dict[Any, Any] = {}  # machine code for these, by mode
        self.interpreted = True  # whether a large trace need not be written out line by line
        self._programs: dict[Any, Program] = {}

    def same(self, other: Path) -> bool:
        """Whether another trace took the same path, with the same leaves."""
        mine, theirs = self.recording, other.recording
        return (
            mine.tape.code == theirs.tape.code
            and self.outputs == other.outputs
            and list(map(id, mine.leaves)) == list(map(id, theirs.leaves))
        )

    def parameters(self) -> Sequence[float]:
        """What stands in the leaves of the closure now."""
        if not self.leaves:
            return ()
        numbers = self.slots.read("data") if self.slots is not None else None
        return array("d", [leaf.data for leaf in self.leaves]) if numbers is None else numbers

    @functools.cached_property
    def slots(self) -> Slots | None:
        """The leaves' numbers at once, where machine code is at hand and it pays."""
        if len(self.leaves) < FEW or "llvm" not in engines():
            return None
        return Slots.of(self.leaves)

    def add_gradients(self, gradients: Any, scale: float) -> None:
        """Add gradients, one per leaf, to what stands in `.grad`."""
        if self.slots is not None:
            before = self.slots.read("grad")
            if before is not None:
                import numpy as np

                total = np.frombuffer(before) + np.asarray(gradients, float) * scale
                if self.slots.write("grad", total):
                    return
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            leaf.grad += float(gradient) * scale

    def scalar(self, what: str) -> int:
        """The line of the single output; TypeError if there are several."""
        if is_structure(self.tree):
            instead = "take one output at a time" if what == "hessian" else "use jacobian"
            raise TypeError(
                f"{what}: the function must return one number, not {type(self.tree).__name__}; "
                f"{instead} for several outputs"
            )
        return self.outputs[0]

    def write_out(self) -> None:
        """Have line-by-line code from now on, where masks reach over the whole trace."""
        self.interpreted = False
        self.kernels.clear()
        self.entries = {}

    def asked(self, request: Request) -> tuple[list[int], int | None, Any] | None:
        """Lines asked for, the line to differentiate, and along which markers; None for others."""
        mode, places = request.mode, request.inputs
        if mode == "value":
            return self.outputs, None, (INPUT, ())
        if mode == "backward":
            output = self.scalar("backward")
            return [output], output, (PARAMETER, range(len(self.leaves)))
        if mode not in ("grad", "both"):
            return None
        output = self.scalar("grad")
        return [output] if mode == "both" else [], output, (INPUT, places)

    def program(self, request: Request, *, single: bool = False) -> Program:
        """The program for a request; for a `single` point all that may raise is kept."""
        key = (request, single)
        if key not in self._programs:
            recording, lines, inputs = WRITERS[request.mode](self, request.inputs)
            self._programs[key] = pruned(
                recording.tape,
                lines,
                inputs=inputs,
                parameters=len(self.leaves),
                raising=len(self.recording.tape) if single else 0,
            )
        return self._programs[key]

    def input_lines(self, places: Sequence[int]) -> list[int]:
        """The lines that read the inputs at these places."""
        return [self.recording.tape.input(place) for place in places]

    def replayed(self, x: Sequence[Any], p: Sequence[Any]) -> list[Any]:
        """The outputs by pushing anything through the rows: numbers, Values, Duals."""
        values: list[Any] = []
        for row, operands in self.recording.tape.code:
            if row is CONSTANT:
                values.append(operands[0])
            elif row is INPUT:
                values.append(x[operands[0]])
            elif row is PARAMETER:
                values.append(p[operands[0]])
            elif row in GUARDS:
                values.append(0.0)
            else:
                y = (row.joint or row)(*[values[k] for k in operands])
                values.append(y[row.index] if row.joint is not None else y)
        return [values[k] for k in self.outputs]


def traced(
    function: Callable[..., Any],
    trees: Sequence[Any],
    point: Sequence[float],
    options: Any = None,
    decided: set[Any] | None = None,
) -> Path:
    """Run `function` once on Traced arguments at a point. TraceError, TypeError: see `compile`.

    Where it looks at a comparison as only a bool can be looked at, it is run again with bools
    there; these places are added to `decided`.
    """
    bools = set() if decided is None else set(decided)
    while True:
        recording = Recording(point, bools)
        try:
            path = _path(recording, function, trees, options or {})
        except Exception:
            if recording.settled():
                raise
        else:
            if recording.settled():
                if decided is not None:
                    decided.update(bools)
                return path
        bools = recording.decided


def _path(
    recording: Recording, function: Callable[..., Any], trees: Sequence[Any], options: Any
) -> Path:
    inner_grads_on(recording)
    inputs = _inputs(recording)
    args = arguments_like(trees, inputs)
    count = recording.tape.inputs = len(recording.tape)
    with context.override(tracer=tracer(recording), recording=True):
        result = function(*args, **options)
    context.settings()  # lets go of the block, which holds the recording
    for leaf, seen in zip(recording.leaves, recording.seen, strict=True):
        if float(leaf.data) != seen and not math.isnan(seen):
            raise TraceError(
                f"the function wrote to the data of {leaf!r} while it was traced: "
                "compiled code repeats no side effects; do that outside"
            )
    lines = [_line(recording, leaf) for leaf in leaves(result)]
    known = any(isinstance(leaf, (Traced, Value)) for leaf in leaves(result))
    if not known and GUARDS.isdisjoint(row for row, _ in recording.tape.code):
        raise TypeError(
            f"compile: the function returned {_shown(result)}, which no Value went into; "
            "return what is computed from the arguments"
        )
    tree = like(result, [None] * len(lines))
    return Path(recording, lines, tree, count)


def _inputs(recording: Recording) -> Iterator[Traced]:
    """The inputs, as many as are asked for: the first lines of an empty tape."""
    write = recording.tape.line
    for k in itertools.count():
        yield Traced(recording, write((INPUT, (k,))))


def _line(recording: Recording, leaf: Any) -> int:
    if not isinstance(leaf, (Traced, Value)) and not is_number(leaf):
        raise TypeError(
            f"compile: the function returned {type(leaf).__name__}; return a Value, or a list, "
            "tuple or dict of Values"
        )
    return recording.line(leaf)


def _shown(result: Any) -> str:
    text = repr(result)
    return text if len(text) < 40 else type(result).__name__


# ── what is written below the trace for each mode ─────────────────────────────────────────────
Written = tuple[Recording, list[int], int]


def _value(path: Path, _: Sequence[int]) -> Written:
    return path.recording, path.outputs, path.inputs


def _gradient(path: Path, places: Sequence[int]) -> Written:
    output, derivation = path.scalar("grad"), Derivation(path.recording)
    return derivation.recording, derivation.reverse(output, path.input_lines(places)), path.inputs


def _both(path: Path, places: Sequence[int]) -> Written:
    recording, lines, inputs = _gradient(path, places)
    return recording, [path.outputs[0], *lines], inputs


def _backward(path: Path, _: Sequence[int]) -> Written:
    output, derivation = path.scalar("backward"), Derivation(path.recording)
    parameters = [derivation.tape.parameter(k) for k in range(len(path.leaves))]
    return derivation.recording, [output, *derivation.reverse(output, parameters)], path.inputs


def _jvp(path: Path, _: Sequence[int]) -> Written:
    derivation = Derivation(path.recording)
    tape, inputs = derivation.tape, path.input_lines(range(path.inputs))
    tangents = {line: tape.input(path.inputs + k) for k, line in enumerate(inputs)}
    slopes = derivation.forward(path.outputs, tangents)
    return derivation.recording, [*path.outputs, *slopes], 2 * path.inputs


def _hvp(path: Path, places: Sequence[int]) -> Written:
    derivation = Derivation(path.recording)
    inputs = path.input_lines(places)
    gradient = derivation.reverse(path.scalar("hvp"), inputs)
    tape = derivation.tape
    tangents = {line: tape.input(path.inputs + k) for k, line in enumerate(inputs)}
    return derivation.recording, derivation.forward(gradient, tangents), path.inputs + len(places)


def _hessian(path: Path, places: Sequence[int]) -> Written:
    derivation = Derivation(path.recording)
    inputs = path.input_lines(places)
    gradient = derivation.reverse(path.scalar("hessian"), inputs)
    one = derivation.tape.constant(1.0)
    columns = [derivation.forward(gradient, {line: one}) for line in inputs]
    return derivation.recording, [k for row in zip(*columns, strict=True) for k in row], path.inputs


def _jacobian(path: Path, places: Sequence[int]) -> Written:
    derivation = Derivation(path.recording)
    inputs = path.input_lines(places)
    if len(path.outputs) <= len(inputs):
        rows = [derivation.reverse(output, inputs) for output in path.outputs]
        return derivation.recording, [k for row in rows for k in row], path.inputs
    one = derivation.tape.constant(1.0)
    columns = [derivation.forward(path.outputs, {line: one}) for line in inputs]
    return derivation.recording, [k for row in zip(*columns, strict=True) for k in row], path.inputs


WRITERS: dict[str, Callable[[Path, Sequence[int]], Written]] = {
    "value": _value,
    "grad": _gradient,
    "both": _both,
    "backward": _backward,
    "jvp": _jvp,
    "hvp": _hvp,
    "hessian": _hessian,
    "jacobian": _jacobian,
}
