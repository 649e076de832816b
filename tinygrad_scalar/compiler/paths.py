"""A function traced along one path of its branches, and the programs made from that trace."""

from __future__ import annotations

import functools
import itertools
import math
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.arguments import arguments_like
from tinygrad_scalar.compiler.backends import engines, kernel
from tinygrad_scalar.compiler.ir.differentiate import Derivation, inner_grads_on
from tinygrad_scalar.compiler.ir.program import (
    NEVER_RAISES,
    Program,
    checking_outputs,
    needed,
    pruned,
)
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tables import WHOLE, UnevenError, in_memory, leaves_in_order
from tinygrad_scalar.compiler.ir.tape import (
    CONSTANT,
    GUARDS,
    INPUT,
    MEMORY,
    Tape,
    TraceError,
    evaluated,
)
from tinygrad_scalar.compiler.ir.trace import Traced, tell_of_value, tracer
from tinygrad_scalar.compiler.machine.closure import Closure
from tinygrad_scalar.compiler.machine.slots import Addition, Slots, add_to_gradients
from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.tree import is_structure, leaves, like
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number, quietly


class Request(NamedTuple):
    """What is asked of a function: a mode, and the places of the inputs it is asked for."""

    mode: str  # value, or a method of Below
    inputs: Sequence[int] = ()

    def values(self, count: int) -> int:
        """How many outputs are values, in front of slopes, where the function returns `count`."""
        if self.mode in ("value", "jvp"):
            return count
        return int(self.mode in ("value_and_grad", "backward"))


FEW = 16  # leaves that Python reads as fast
VALUE = Request("value")
BACKWARD = Request("backward")


class Path:
    """One trace: the tape, the lines of the outputs, and their structure."""

    def __init__(self, recording: Recording, outputs: list[int], tree: Any, inputs: int) -> None:
        self.recording, self.outputs, self.tree, self.inputs = recording, outputs, tree, inputs
        self.leaves = recording.leaves
        self.lookups = recording.lookups or []
        self.closes_over = bool(self.leaves or self.lookups)
        self.width = inputs + sum(one.table.count for one in self.lookups)  # numbers that come in
        self._indices: dict[int, Any] = {}  # kernels for indices that are computed
        code = recording.tape.code
        plain = [code[one.line][1][0] for one in self.lookups if code[one.line][0] is INPUT]
        every = len(plain) == len(self.lookups) and max(plain, default=-1) < inputs
        self._plain = plain if every else None  # inputs that index
        self._last: tuple[Any, Slots | None] = (None, None)  # the last indices, and what they reach
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

    def parameters(self) -> Sequence[float]:
        """What stands in the leaves of the closure now."""
        if not self.leaves:
            return ()
        numbers = self.slots.read("data") if self.slots is not None else None
        return array("d", [leaf.data for leaf in self.leaves]) if numbers is None else numbers

    # ── what is looked up ─────────────────────────────────────────────────────────────────────
    def complete(self, x: Sequence[float]) -> Sequence[float]:
        """The numbers of a point, and behind the inputs what they look up."""
        if not self.lookups:
            return x
        reached = self._reached(x)
        numbers = None if reached is None else reached.read("data")
        if numbers is not None:
            return array("d", x[: self.inputs]) + numbers + array("d", x[self.inputs :])
        return array("d", self.complete_columns(x))

    def _reached(self, x: Sequence[float]) -> Slots | None:
        """All leaves that are looked up at a point, where it pays to have them at once."""
        if self._plain is None or self.width - self.inputs < FEW:
            return None
        indices = [x[place] for place in self._plain]
        last, reached = self._last
        if indices != last:
            tables = [one.table for one in self.lookups] if "llvm" in engines() else []
            found = [t.addresses_at(i) for t, i in zip(tables, indices, strict=False)]
            known = found and None not in found
            reached = Slots(array("q", b"".join(found))) if known else None  # type: ignore[arg-type]
            self._last = indices, reached
        return reached

    def complete_values(self, x: Sequence[Any]) -> Sequence[Any]:
        """The same for numbers that something carries: the leaves themselves are looked up."""
        if not self.lookups:
            return x
        found = self.looked_up_at(list(map(_core, x)))
        return [*x[: self.inputs], *found, *x[self.inputs :]]

    def looked_up_at(self, x: Sequence[float]) -> list[Value]:
        """The leaves that are looked up at a point."""
        full = self.complete(x)
        rows = (one.table.at(self._index(one.line, full)) for one in self.lookups)
        return [leaf for row in rows for leaf in row]

    def complete_columns(self, columns: Sequence[Any]) -> Sequence[Any]:
        """The same for columns: a float each, or an array of one number per point."""
        if not self.lookups:
            return columns
        full = list(columns[: self.inputs])
        for one in self.lookups:
            index = self._index(one.line, full)
            if isinstance(index, float):
                full += [float(leaf.data) for leaf in one.table.at(index)]
            else:
                full += list(one.table.columns(index))
        return [*full, *columns[self.inputs :]]

    def _index(self, line: int, full: Any) -> Any:
        """An index at a point, or at all points, from the inputs in front of it."""
        row, operands = self.recording.tape.code[line]
        if row is INPUT:
            return full[operands[0]]
        size = next((len(column) for column in full if not isinstance(column, float)), None)
        key = line if size is None else ~line
        if key not in self._indices:
            varying = None if size is None else ()
            self._indices[key] = kernel("numpy", self.index_program(line), "float64", varying)
        if size is None:
            return self._indices[key].at_limits(full, self.parameters(), guards=False)[0]
        return self._indices[key].batch(full, self.parameters(), size)[0][0]

    def index_program(self, line: int) -> Program:
        """The program of a line that a table is looked up by; it decides nothing."""
        tape = Tape()
        tape.code = [
            (CONSTANT, (0.0,)) if row in GUARDS else (row, operands)
            for row, operands in self.recording.tape.code[: line + 1]
        ]
        return pruned(tape, [line], inputs=self.width, parameters=len(self.leaves))

    @functools.cached_property
    def slots(self) -> Slots | None:
        """The leaves' numbers at once, where machine code is at hand and it pays."""
        if len(self.leaves) < FEW or "llvm" not in engines():
            return None
        return Slots.of(self.leaves)

    @functools.cached_property
    def _closures(self) -> dict[bool, Closure | None]:
        if self._plain is None or "llvm" not in engines():
            return {}
        tables = [one.table for one in self.lookups]
        given = self.leaves, [*zip(self._plain, tables, strict=True)], self.inputs
        return {adding: Closure.of(*given, adding=adding) for adding in (False, True)}

    def closure_at(self, x: Sequence[float], *, adding: bool) -> Closure | None:
        """What is closed over, for machine code that reads it, or adds to it too, by itself.

        It knows the rows that have been looked up at points which this was told of.
        """
        found, places = self._closures.get(adding), self._plain or ()
        if found is not None:
            for one, place in zip(self.lookups, places, strict=True):
                one.table.reached([one.table.place(x[place])])
        return found

    def additions(self, gradients: Any, looked_up: Any = ()) -> list[Addition]:
        """What gradients, one per leaf, add to `.grad`.

        `looked_up` are, for each lookup, its index or the indices of points, and their gradients.
        """
        found = [self._for_leaves(gradients)] if self.leaves else []
        for one, (index, parts) in zip(self.lookups, looked_up, strict=True):
            found.append(one.table.additions(index, parts))
        return found

    def add_gradients_at(self, x: Sequence[float], numbers: Any) -> None:
        """Add the gradients at one point: those of the leaves, then of what is looked up."""
        reached, own = self._reached(x), self.slots
        if self.lookups and reached is not None and (own is not None or not self.leaves):
            both = reached if own is None else Slots(own.addresses + reached.addresses)
            numbers = numbers if isinstance(numbers, array) else array("d", numbers)
            every = Addition(both, numbers, lambda: [*self.leaves, *self.looked_up_at(x)])
            add_to_gradients([every], 1.0)
            return
        count = len(self.leaves)
        parted = self.parted(self.complete(x), numbers[count:]) if self.lookups else ()
        add_to_gradients(self.additions(numbers[:count], parted), 1.0)

    def parted(self, x: Sequence[Any], gradients: Any) -> list[tuple[Any, Any]]:
        """Gradients of all that was looked up, one behind the other, by lookups; see above.

        A number each, or for batches an array of one number per point.
        """
        parts, start = [], 0
        for one in self.lookups:
            index, stop = self._index(one.line, x), start + one.table.count
            part = gradients[start:stop]
            if isinstance(index, float) and getattr(part, "ndim", 1) > 1:
                part = quietly(part.sum, 1)
            parts.append((index, part if isinstance(index, float) else part.T))
            start = stop
        return parts

    def _for_leaves(self, gradients: Any) -> Addition:
        if self.slots is not None and not isinstance(gradients, array):
            import numpy as np

            gradients = np.ascontiguousarray(gradients, float)
        return Addition(self.slots, gradients, lambda: self.leaves)

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

    def all_leaves(self) -> list[Value]:
        """The leaves, in the order of their first use; those of tables too, row by row."""
        return leaves_in_order(self.leaves, self.lookups)

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


def leaves_of(paths: Iterable[Path]) -> list[Value]:
    """All leaves of several paths, each once."""
    return list({id(leaf): leaf for path in paths for leaf in path.all_leaves()}.values())


def places_of(leaves: Iterable[Value]) -> dict[int, int]:
    """Where leaves stand, by their id."""
    return {id(leaf): k for k, leaf in enumerate(leaves)}


def add_gradients(parts: Sequence[tuple[Path, Any, Any]], scale: float) -> None:
    """Add the gradients of paths, as `Path.additions` takes them: all or none."""
    add_to_gradients([one for path, *found in parts for one in path.additions(*found)], scale)


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
    """Run `function` once on Traced arguments at a point. TraceError, TypeError: see `compile`.

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


def _core(x: Any) -> float:
    """The plain number in what carries it."""
    x = x.detach() if isinstance(x, Carrier) else x
    return float(x.data if isinstance(x, Value) else x)


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
