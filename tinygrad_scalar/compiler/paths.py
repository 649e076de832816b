"""A function traced along one path of its branches, and the programs made from that trace."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_scalar.compiler import drawn
from tinygrad_scalar.compiler.arguments import arguments_like
from tinygrad_scalar.compiler.closed_over import ClosedOver, places_of
from tinygrad_scalar.compiler.ir.differentiate import Derivation, inner_grads_on
from tinygrad_scalar.compiler.ir.program import (
    NEVER_RAISES,
    Program,
    checking_outputs,
    needed,
    pruned,
)
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tables import WHOLE, UnevenError, in_memory
from tinygrad_scalar.compiler.ir.tape import (
    CONSTANT,
    GUARDS,
    INPUT,
    MEMORY,
    TraceError,
    evaluated,
)
from tinygrad_scalar.compiler.ir.trace import Traced, tell_of_value, tracer
from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.tree import is_structure, leaves, like
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number


class Request(NamedTuple):
    """What is asked of a function: a mode, and the places of the inputs it is asked for."""

    mode: str  # value, or a method of Below
    inputs: Sequence[int] = ()

    def values(self, count: int) -> int:
        """How many outputs are values, in front of slopes, where the function returns `count`."""
        if self.mode in ("value", "jvp"):
            return count
        return int(self.mode in ("value_and_grad", "backward"))


AGAIN = 4  # traces of a function that seems to draw random numbers, to see them differ
VALUE = Request("value")
BACKWARD = Request("backward")


class Path(ClosedOver):
    """One trace: the tape, the lines of the outputs, and their structure."""

    def __init__(self, recording: Recording, outputs: list[int], tree: Any, inputs: int) -> None:
        super().__init__(recording, inputs)
        self.outputs, self.tree = outputs, tree
        self.kernels: dict[Any, Any] = {}
        self.entries: dict[Any, Any] = {}  # machine code for plain numbers, of what was called
        self.interpreted = True  # whether a large trace need not be written out line by line
        self._programs: dict[Any, Program] = {}

    def same(self, other: Path) -> bool:
        """Whether another trace took the same path, with the same leaves."""
        mine, theirs = self.recording, other.recording
        return (
            mine.tape.code == theirs.tape.code
            and self.outputs == other.outputs
            and list(map(id, mine.leaves)) == list(map(id, theirs.leaves))
            and [one.line for one in self.lookups] == [one.line for one in other.lookups]
            and all(
                one.table.same(two.table.source, two.table.rows)
                for one, two in zip(self.lookups, other.lookups, strict=True)
            )
        )

    def repeated_by(self, other: Path) -> bool:
        """Whether another trace has the same lines and numbers, whatever objects it made."""
        mine, theirs = (
            [(row.name, operands) for row, operands in path.recording.tape.code]
            for path in (self, other)
        )
        same = self.outputs == other.outputs and self.recording.seen == other.recording.seen
        return same and mine == theirs

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
        """Have line-by-line code for points from now on: masks reach over the whole trace there."""
        self.interpreted = False
        self.kernels = {key: made for key, made in self.kernels.items() if key[1] is not None}
        self.entries = {}

    def asked(self, request: Request) -> tuple[list[int], int | None, Sequence[int]] | None:
        """Lines asked for, the line to differentiate, and by what of all that comes in, or None.

        First come the inputs, then the parameters.
        """
        mode, places = request
        if mode == "value":
            return self.outputs, None, ()
        if mode == "backward":
            leaves = range(self.width, self.width + len(self.leaves))
            places = [*leaves, *range(self.inputs, self.width)]
        elif mode not in ("grad", "value_and_grad"):
            return None
        output = self.scalar("backward" if mode == "backward" else "grad")
        return [output] * request.values(1), output, places

    def _written(self, request: Request) -> tuple[Recording, list[int], int]:
        """The trace with a request's lines below it, which these are, and what comes in."""
        if request.mode == "value":
            return self.recording, self.outputs, self.width
        below, asked = Below(self, request), self.asked(request)
        lines = getattr(below, request.mode)() if asked is None else below.slopes(*asked)
        return below.recording, lines, max(self.width, below.tape.inputs)

    def program(self, request: Request, *, single: bool = False) -> Program:
        """The program for a request.

        For a `single` point all that may raise is kept, for batches what the outputs need of it.
        """
        key = (request, single)
        if key not in self._programs:
            recording, lines, inputs = self._written(request)
            made = pruned(
                recording.tape,
                lines,
                inputs=inputs,
                parameters=len(self.leaves),
                raising=range(len(self.recording.tape)) if single else self.used,
                judged=self._judged(recording, single=single),
            )
            if not single and request is not BACKWARD:
                made = checking_outputs(made)
            apart = self.width - self.inputs if request.mode == "backward" else 0
            self._programs[key] = replace(made, apart=apart)
        return self._programs[key]

    def _judged(self, recording: Recording, *, single: bool) -> list[int]:
        """Gradients on the way to others: the eager mode tells of what is undefined in them."""
        length = len(self.recording.tape)
        return [k for k in recording.judged if single or k >= length or k in self.used]

    def program_in_memory(
        self, request: Request, places: Mapping[int, int] | None = None
    ) -> Program:
        """The program that fetches what it looks up.

        `places` are those of leaves, by their id: of all in their order, unless given. Behind all
        that `BACKWARD` asks for it gives the indices, for gradients to be added there.
        """
        places = places_of(self.all_leaves()) if places is None else places
        recording, lines, inputs = self._written(request)
        if request is BACKWARD:
            lines = [*lines, *(one.line for one in self.lookups)]
        own = [places[id(leaf)] for leaf in self.leaves]
        code = recording.tape.code
        tape, lines = in_memory(code, lines, self.lookups, self.inputs, own, places)
        fetched = self.width - self.inputs
        return pruned(tape, lines, inputs=inputs - fetched, parameters=len(places))

    def check_judges_nothing(self) -> None:
        """TraceError where a derivative inside has a policy, which no code without source keeps."""
        if self.recording.judges:
            raise TraceError(
                "a derivative inside the compiled function has a policy (undefined=), for which it "
                "is run itself: files, C and other processes have no source to run"
            )

    @functools.cached_property
    def used(self) -> frozenset[int]:
        """The lines that the outputs need."""
        return frozenset(needed(self.recording.tape.code, self.outputs))

    @functools.cached_property
    def raises_unused(self) -> bool:
        """Whether a line that may raise is none that the outputs need."""
        code, some = self.recording.tape.code, range(len(self.recording.tape))
        return any(k not in self.used and code[k][0] not in NEVER_RAISES for k in some)

    def replayed(
        self, x: Sequence[Any], p: Sequence[Any], lines: Container[int] | None = None
    ) -> list[Any]:
        """The outputs by pushing anything through the rows: numbers, Values, Duals.

        Through all of them, so that what raises does, or only through those of some `lines`.
        """
        code = self.recording.tape.code
        if lines is not None:
            code = [each if k in lines else (CONSTANT, (0.0,)) for k, each in enumerate(code)]
        values = evaluated(code, x, p, _pushed)
        return [values[k] for k in self.outputs]


def _pushed(row: Primitive, operands: list[Any]) -> Any:
    if row in GUARDS:
        return 0.0
    if row in MEMORY:
        return row.forward(*operands)
    y = (row.joint or row)(*operands)
    return y[row.index] if row.joint is not None else y


class RaisedBeforeError(Exception):
    """The trace failed behind an operation that raises at its point: that is told of, or handled.

    Numbers are those of IEEE arithmetic there, which the function never sees uncompiled. It has
    the inputs that are class indices, as far as they are known.
    """

    def __init__(self, classes: set[int]) -> None:
        super().__init__(classes)
        self.classes = classes


def _raises(recording: Recording) -> bool:
    """Whether an operation that was traced raises at the point."""
    if not all(map(is_number, recording.point)):  # unknown ones, of another library's trace
        return False
    try:
        evaluated(recording.tape.code, recording.point, recording.seen, _pushed)
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
    before = drawn.state()
    path = _settled(function, trees, point, options, decided)
    for _ in range(AGAIN if drawn.state() != before else 0):
        if not path.repeated_by(_settled(function, trees, point, options, decided)):
            raise TraceError(
                "the function draws random numbers, which compiled code would repeat for ever: "
                "draw them outside and pass them as arguments"
            )
    return path


def _settled(
    function: Callable[..., Any],
    trees: Sequence[Any],
    point: Sequence[float],
    options: Any,
    decided: set[Any] | None,
) -> Path:
    """Run `function` once on Traced arguments.

    Where it looks at a comparison as only a bool can be looked at, it is run again with bools
    there; these places are added to `decided`. RaisedBeforeError: see there.
    """
    bools = set() if decided is None else set(decided)
    while True:
        recording = Recording(point, bools)
        try:
            path = _path(recording, function, trees, options or {})
        except UnevenError:
            recording.decided.add(WHOLE)
        except Exception as error:
            if recording.settled():
                tell_of_value(error)
                if _raises(recording):
                    raise RaisedBeforeError(recording.classes) from error
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
    recording.lookups = []
    inputs = _inputs(recording)
    args = arguments_like(trees, inputs)
    count = recording.tape.inputs = len(recording.tape)
    with context.override(tracer=tracer(recording), recording=True):
        result = function(*args, **options)
    context.settings()  # lets go of the block, which holds the recording
    if recording.refused is not None:
        raise recording.refused
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
            "return what is computed from the arguments (those by keyword are constants)"
        )
    tree = like(result, [None] * len(lines))
    return Path(recording, lines, tree, count)


def _inputs(recording: Recording) -> Iterator[Traced]:
    """The inputs, as many as are asked for: the first lines of an empty tape."""
    write = recording.tape.line
    for k in itertools.count():
        yield Traced(recording, write((INPUT, (k,))))


def _line(recording: Recording, leaf: Any) -> int:
    if isinstance(leaf, Carrier) and not isinstance(leaf, (Traced, Value)):
        raise TypeError(
            f"compile: the function closes over a {type(leaf).__name__}, a number of jvp, taylor "
            "or derivative, and compiled code gives plain numbers: pass it as an argument"
        )
    if not isinstance(leaf, (Traced, Value)) and not is_number(leaf):
        raise TypeError(
            f"compile: the function returned {type(leaf).__name__}; return a Value, or a list, "
            "tuple or dict of Values"
        )
    return recording.line(leaf)


def _shown(result: Any) -> str:
    text = repr(result)
    return text if len(text) < 40 else type(result).__name__


# ── what is written below the trace ───────────────────────────────────────────────────────────
class Below(Derivation):
    """Derivatives below the trace of a path: the lines asked for."""

    def __init__(self, path: Path, request: Request) -> None:
        super().__init__(path.recording.copy())
        inner_grads_on(self.recording, orders=0)
        self.path, self.outputs = path, path.outputs
        self.inputs = [self.tape.input(place) for place in request.inputs]

    def slopes(self, values: list[int], output: int | None, wanted: Sequence[int]) -> list[int]:
        """What `Path.asked` says: some lines, and the slopes of one along what comes in."""
        assert output is not None  # noqa: S101 (else nothing is differentiated)
        tape, width = self.tape, self.path.width
        lines = [tape.input(k) if k < width else tape.parameter(k - width) for k in wanted]
        return [*values, *self.reverse(output, lines)]

    def jvp(self) -> list[int]:
        """The outputs, then their slopes where all inputs move."""
        inputs = [self.tape.input(place) for place in range(self.path.inputs)]
        return [*self.outputs, *self.forward(self.outputs, self._tangents(inputs))]

    def hvp(self) -> list[int]:
        """The slopes of the gradient where the inputs move."""
        gradient = self._gradient("hvp")
        return self.forward(gradient, self._tangents(self.inputs))

    def hessian(self) -> list[int]:
        """The slopes of the gradient along each input, row by row."""
        return self._by_columns(self._gradient("hessian"))

    def jacobian(self) -> list[int]:
        """The slopes of the outputs along each input, row by row."""
        if len(self.outputs) > len(self.inputs):
            return self._by_columns(self.outputs)
        return [k for output in self.outputs for k in self.reverse(output, self.inputs)]

    def _gradient(self, what: str) -> list[int]:
        """The gradient, to be differentiated once more."""
        return self.judged(self.reverse(self.path.scalar(what), self.inputs))

    def _tangents(self, inputs: Sequence[int]) -> dict[int, int]:
        """The slopes of inputs: they come in behind everything else."""
        return {line: self.tape.input(self.path.width + k) for k, line in enumerate(inputs)}

    def _by_columns(self, outputs: Sequence[int]) -> list[int]:
        one = self.tape.constant(1.0)
        columns = [self.forward(outputs, {line: one}) for line in self.inputs]
        return [k for row in zip(*columns, strict=True) for k in row]
