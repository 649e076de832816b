"""`Traced`: the carrier that writes every operation down on a tape, and the guards at branches.

A comparison gives the bool of this point, noted as a guard, so that nothing that looks at it sees
another thing than uncompiled; except where it goes straight into a function or an operator of this
library (`where(x > 0, a, b)`, `x * (x > 0)`): there it is a `Plain` number of the trace, and no
branch. See `sites` for how the two are told apart.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial as bind
from typing import Any, NoReturn

from tinygrad_scalar.compiler.ir.sites import Site, caller, reached, site
from tinygrad_scalar.compiler.ir.tables import FEWEST, WHOLE, Lookup, Table
from tinygrad_scalar.compiler.ir.tape import (
    ABS,
    ADD,
    COMPARISONS,
    COPYSIGN,
    DETACH,
    DIV,
    EQ,
    FAILS,
    FLOOR,
    GE,
    HOLDS,
    INPUT,
    LE,
    LEAF,
    LIBRARY,
    MUL,
    NE,
    PARAMETER,
    POW,
    SUB,
    TAKE,
    WHERE,
    Tape,
    TraceError,
    ieee,
    index_of,
    place,
)
from tinygrad_scalar.compiler.ir.tape import TABLE as ENTRIES
from tinygrad_scalar.core import context
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.origin import close_over
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.core.recorded import refused
from tinygrad_scalar.core.ufuncs import apply_ufunc
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number, number

Reverse = Callable[[Any, int, Sequence[int], int], list[int]]
EXACT = 2**53  # an int up to this is a float exactly


class Recording:
    """A tape being written: the numbers of its point, and the leaves it closes over.

    Numbers are worked out only where a branch asks for them, in IEEE arithmetic.
    """

    def __init__(self, point: Sequence[float] = (), decided: Collection[Any] = ()) -> None:
        self.tape = Tape()
        self.point = list(point)
        # where in the code comparisons are bools, since something there looked at them closely
        self.decided = set(decided)
        self.open: set[Site] = set()  # comparisons that nothing of this library has taken yet
        self.doubted = False  # whether something else has: then the trace is of no use
        self.trusting = False  # in rules of this library, which see comparisons as numbers
        self.in_rule = False  # in a partial or formula, which gets plain numbers at other times
        self.numbers: list[float] = []
        self.leaves: list[Value] = []
        self.seen: list[float] = []  # what stood in the leaves when they were met
        self._lines: dict[int, int] = {}  # id of a Value → its line
        # `derive` gives both; a recording is handed to them, since one that knew itself would have
        # to wait for the garbage collector: Algorithm 6.2 on its tape,
        self.reverse: Reverse | None = None
        # and noting what the partials of an own row branch on
        self.branches: Callable[[Any, int], None] | None = None
        self._kept: list[Value] = []  # a Value met is kept, so that its id stays its own
        self.judged: set[int] = set()  # lines that are gradients
        # tables by the ids of their entries: their line, and these, kept
        self._held: dict[tuple[int, ...], tuple[int, Sequence[Any]]] = {}
        self.classes: set[int] = set()  # inputs that are class indices of `cross_entropy`
        self.refused: TraceError | None = None  # the first, which the function may have handled
        # a derivative inside has a policy, for which only the function itself sees kinks
        self.judges = False
        # what traced indices look up, in the function itself; None in what is written below it
        self.lookups: list[Lookup] | None = None

    def copy(self) -> Recording:
        """The same lines, to go on from: derivatives are written below the function."""
        twin = Recording(self.point, self.decided)
        twin.tape, twin.numbers = self.tape.copy(), [*self.numbers]
        twin.leaves, twin.seen, twin._lines = [*self.leaves], [*self.seen], {**self._lines}
        twin.judged = {*self.judged}
        return twin

    def cut(self, length: int, known: int) -> None:
        """Forget the lines from `length` on; only the first `known` instructions are older."""
        self.tape.cut(length, known)
        self._held.clear()
        del self.numbers[length:]
        self.judged = {line for line in self.judged if line < length}

    def refuse(self, why: str) -> NoReturn:
        """A TraceError, which ends the trace also where the function handles it."""
        self.refused = self.refused or TraceError(why)
        raise self.refused

    def line(self, x: Any) -> int:
        """The line of an operand: a Traced of this tape, a Value of the closure, a number."""
        if type(x) is Traced or isinstance(x, Traced):
            if x.recording is not self:
                self.refuse(
                    "a traced value is used outside the call that traced it: return it instead of "
                    "keeping it, or keep x.detach().data after an uncompiled call"
                )
            if x.made is not None:
                self.taken(x.made)
            return x.index
        if isinstance(x, Value):
            found = self._lines.get(id(x))
            return self._closed_over(x) if found is None else found
        return self.tape.constant(float(number(x)))

    def _closed_over(self, root: Value) -> int:
        """The line of a Value from outside; an inner one brings in its graph."""
        lines, tape = self._lines, self.tape
        for node in topological_order(root) if root.primitive is not None else [root]:
            if id(node) in lines:
                continue
            if node.primitive is None:
                line = tape.parameter(len(self.leaves))
                self.leaves.append(node)
                self.seen.append(float(node.data))
            else:
                operands = tuple(
                    lines[id(x)] if isinstance(x, Value) else tape.constant(float(x))
                    for x in node.operands
                )
                line = tape.emit(node.primitive, operands)
            lines[id(node)] = line
            self._kept.append(node)
            close_over(node)
        return lines[id(root)]

    def written(self, row: Primitive, lines: tuple[int, ...]) -> Traced:
        """A new operation as a Traced; a constant under `no_grad`."""
        tape, instruction = self.tape, (row, lines)
        line = tape.known.get(instruction)  # tape.emit, spelled out: every operation comes by
        if line is None:
            count = len(tape.code)
            line = tape.known[instruction] = tape.written(instruction)
            if row not in LIBRARY and line == count and self.branches is not None:
                self.branches(self, line)
        else:
            tape.found()
        if context.silent and not context.settings().recording:
            line = tape.emit(DETACH, (line,))
        made = _blank()
        made.recording = self
        made.index = line
        return made

    def looked_up(self, source: Any, rows: Sequence[Any], i: Traced) -> Any:
        """What a traced index looks up in a table of leaves and numbers, as further inputs.

        None for a table that is short, or of what is computed: there every entry is an operand.
        """
        line = self.line(i)
        if self.lookups is None or WHOLE in self.decided or line in self.tape.constants:
            return None
        table = next((one.table for one in self.lookups if one.table.same(source, rows)), None)
        table = table or Table.of(source, rows, len(self.leaves))
        if table is None:
            return None
        known = (one for one in self.lookups if one.table is table and one.line == line)
        found = next(known, None)
        if found is None:
            found = Lookup(table, line, self.tape.inputs)
            self.point += [float(x.data) for x in table.at(self.number(line))]
            self.lookups.append(found)
        inputs = range(found.position, found.position + table.count)
        entries = [Traced(self, self.tape.input(k)) for k in inputs]
        return entries if table.width else entries[0]

    def held(self, entries: Sequence[Any]) -> int | None:
        """The line of a table of these; None for few of them, and for what another mode carries."""
        if len(entries) < FEWEST:
            return None
        key = tuple(map(id, entries))
        if key not in self._held:
            if any(isinstance(x, Carrier) and x.level > Traced.level for x in entries):
                return None
            line = self.tape.emit(ENTRIES, tuple(map(self.line, entries)))
            self._held[key] = line, list(entries)
        return self._held[key][0]

    def number(self, line: int) -> float:
        """The number of a line at the point of the trace. O(1) per line, over all calls."""
        numbers, code = self.numbers, self.tape.code
        for row, operands in code[len(numbers) : line + 1]:
            if row is INPUT:  # behind a point stand tangents, on which nothing branches
                behind = self.point and operands[0] >= len(self.point)
                numbers.append(math.nan if behind else self.point[operands[0]])
            elif row is PARAMETER:
                numbers.append(self.seen[operands[0]])
            elif len(numbers) in self.tape.constants:
                numbers.append(operands[0])
            else:
                numbers.append(ieee(row, [numbers[i] for i in operands]))
        return numbers[line]

    def guard(self, condition: int) -> bool:
        """The outcome of a condition at this point, noted as what the trace was made for."""
        outcome = bool(self.number(condition))
        if condition not in self.tape.constants:
            self.tape.emit(HOLDS if outcome else FAILS, (condition,))
        return outcome

    def fixed(self, line: int) -> float:
        """The number of a line at this point, guarded to be this one, sign and all."""
        number, emit = self.number(line), self.tape.emit
        if number != number:  # noqa: PLR0124 (NaN)
            self.guard(emit(NE, (line, line)))
            return number
        self.guard(emit(EQ, (line, self.tape.constant(number))))
        if number == 0.0:
            sign = emit(COPYSIGN, (self.tape.constant(1.0), line))
            self.guard(emit(EQ, (sign, self.tape.constant(math.copysign(1.0, number)))))
        return number

    def condition(self, line: int) -> Any:
        """A line that is 1 or 0: a bool with its guard, or a number of the trace that goes on."""
        if self.trusting:
            return Plain(self, line, bool)
        made = site(caller())
        if made.goes_to is None or made[:2] in self.decided:
            return self.guard(line)
        if made in self.open:  # passed once more, and never taken
            self._doubt(made)
            return self.guard(line)
        self.open.add(made)
        return Plain(self, line, bool, made)

    def taken(self, made: Site) -> None:
        """Note that a comparison is taken here, from where it went straight on if all is well."""
        if reached(caller(), made):  # once or, by a rule that asks again, more often
            self.open.discard(made)
        else:
            self._doubt(made)

    def _doubt(self, made: Site) -> None:
        self.doubted = True
        self.decided.add(made[:2])

    def settled(self) -> bool:
        """Whether every comparison was taken; else `decided` has grown, for another trace."""
        settled = not self.open and not self.doubted
        self.decided.update(made[:2] for made in self.open)
        self.open, self.doubted = set(), False
        return settled


def _freezing(reading: str, writing: str) -> property:
    """An attribute that a Value has, and that would freeze a number."""
    return property(
        lambda traced: traced._freeze(reading), lambda traced, _: traced._freeze(writing)
    )


class Traced(Arithmetic):
    """A number of a function being compiled. Every operation is a line of the tape.

    It stands for the Value of an uncompiled run, and is an instance of that for who asks.
    """

    # a function may set attributes of its own on a Value, and refer to it weakly
    __slots__ = ("__dict__", "__weakref__", "index", "recording")
    level = 1.5  # above Value: a closed-over Value is an operand here; below the forward modes
    made: Site | None = None  # see Plain

    def __init__(self, recording: Recording, index: int) -> None:
        self.recording, self.index = recording, index

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Value

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The line of the operation, or several."""
        recording = self.recording
        lines = tuple(map(recording.line, operands))
        if isinstance(primitive, Joint):
            return tuple(recording.written(row, lines) for row in primitive.outputs)
        return recording.written(primitive, lines)

    # The commonest operations at speed: no look at who has the higher level.
    def _beside(self, other: Any) -> int | None:
        """The line of the other operand, None where the general way has to look at it."""
        kind = type(other)
        if kind is Traced:
            return other.index if other.recording is self.recording else None
        if kind is float or (kind is int and -EXACT <= other <= EXACT):
            tape = self.recording.tape
            line = tape.known.get(other)  # 2 is found as 2.0
            return tape.constant(other) if line is None else line
        return self.recording.line(other) if kind is Value else None

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        line = self._beside(other) if modulo is None else None
        if line is None:
            return Arithmetic.__pow__(self, other, modulo)
        return self.recording.written(POW, (self.index, line))

    # ── branches ──────────────────────────────────────────────────────────────────────────────
    __hash__ = object.__hash__

    def _compared(self, name: str, other: Any) -> Any:
        if isinstance(other, Carrier):
            if other.level > self.level:
                return NotImplemented
        elif not is_number(other):
            return NotImplemented
        recording = self.recording
        if not isinstance(other, Carrier):
            other = _bound(name, other)
        lines = recording.line(self), recording.line(other)
        return recording.condition(recording.tape.emit(COMPARISONS[name], lines))

    def __bool__(self) -> bool:
        return self.recording.guard(self.index)

    def one_hot(self, classes: int) -> list[Any]:
        """The indicator of each class, if this is a class index; checked as `take` does."""
        self.checked_index(classes)
        row, operands = self.recording.tape.code[self.index]
        if row is INPUT:
            self.recording.classes.add(operands[0])
        return [self._is(float(k)) for k in range(classes)]

    def checked_index(self, length: int) -> None:
        """Guards that this is an index into a table; the error of `take` if here it is none."""
        recording, emit, line = self.recording, self.recording.tape.emit, self.index
        recording.guard(emit(EQ, (line, emit(FLOOR, (line,)))))
        recording.guard(emit(GE, (line, recording.line(0.0))))
        recording.guard(emit(LE, (line, recording.line(float(length - 1)))))
        index_of(recording.number(line), length)  # behind the guards: the function may handle it

    def _is(self, number: float) -> Traced:
        recording = self.recording
        return Traced(recording, recording.tape.emit(EQ, (self.index, recording.line(number))))

    # ── what would freeze a number ────────────────────────────────────────────────────────────
    def _freeze(self, what: str) -> NoReturn:
        self.recording.refuse(
            f"{what} of a traced value (an argument, or computed in the compiled function) would "
            "freeze its number in the compiled code: use detach(x) (x.detach()) to stop the "
            "gradient, where(condition, a, b) to choose, take(table, i) to index; an int outside "
            "argnums, or by keyword, is a constant"
        )

    data = _freezing(".data", "writing to .data")
    grad = _freezing(".grad", "writing to .grad")

    def backward(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: differentiate the compiled function instead."""
        self.recording.refuse(
            "backward() inside a compiled function: return the value and use f.grad or f.backward"
        )

    def _refuse(self, what: str, instead: str) -> NoReturn:
        del what, instead
        self._freeze("float() or int() (or a function of math or statistics)")

    def __format__(self, specification: str) -> str:
        if specification:
            self._freeze("the text")
        return repr(self)

    @property
    def parents(self) -> NoReturn:
        """Refused: a tape has lines, not nodes."""
        self.recording.refuse(
            "grad, vjp, jacobian or hessian inside a compiled function cannot be traced: use jvp "
            "there, or f.grad, f.hvp and f.hessian of the compiled function"
        )

    def __getattr__(self, name: str) -> NoReturn:
        """What else a Value has is refused: `hasattr` is no way to another branch."""
        if hasattr(Value, name):
            self.recording.refuse(
                f"{name} of a traced value (an argument, or computed in the compiled function): "
                "while a function is traced there are no nodes"
            )
        raise AttributeError(
            f"'Value' object has no attribute {name!r}; traced it is {self._named()}"
        )

    _backward, _children = refused("_backward"), refused("_children")

    # ── copies ────────────────────────────────────────────────────────────────────────────────
    def __copy__(self) -> Traced:
        if self.recording.tape.code[self.index][0] is INPUT:
            self._freeze("a copy")
        return self

    def __deepcopy__(self, memo: Any) -> NoReturn:
        self._freeze("a copy")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        self._freeze("a pickle")

    def detach(self) -> Traced:
        """The same number as a constant: no gradient flows through, and nothing is frozen."""
        return Traced(self.recording, self.recording.tape.emit(DETACH, (self.index,)))

    def fresh(self) -> Traced:
        """The same number on a line of its own: the leaf of a `grad` inside a compiled function."""
        code = self.recording.tape.code
        code.append((LEAF, (self.index,)))
        return Traced(self.recording, len(code) - 1)

    def judged_by(self, undefined: str) -> None:
        """Note the policy of a derivative inside the function."""
        self.recording.judges |= undefined != "subgradient"

    def pulled(self, seed: Any, inputs: Sequence[Any]) -> list[Traced]:
        """The gradient of this number times `seed` with respect to `inputs`, Traced or Values."""
        recording = self.recording
        assert recording.reverse is not None  # noqa: S101 (set where the trace starts)
        wanted = [recording.line(x) for x in inputs]
        lines = recording.reverse(recording, self.index, wanted, recording.line(seed))
        return [Traced(recording, line) for line in lines]

    def example(self) -> float:
        """The kind of number carried: a float."""
        return 1.0

    def _named(self) -> str:
        return f"Traced(u({self.index + 1}))"

    def __repr__(self) -> str:
        """That of the Value it stands for here, which makes a branch of its number."""
        if context.settings().tracer is None:
            return self._named()
        if self.recording.in_rule:
            self._freeze("the text")
        return f"Value({self.recording.fixed(self.index)!r}, grad=0.0)"

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, options)


class Plain(Traced):
    """A number of the trace that is a plain bool, int or float in an uncompiled run.

    The outcome of a comparison, and what is computed from such and from plain numbers alone. Looked
    at (as an index, a key, a text, in `if`), it is the number it has here, with a guard.
    """

    __slots__ = ("kind", "made")

    def __init__(
        self, recording: Recording, index: int, kind: type, made: Site | None = None
    ) -> None:
        self.recording, self.index, self.kind, self.made = recording, index, kind, made

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return self.kind

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The line of the operation: as plain as its operands."""
        made = Traced.apply(self, primitive, operands)
        if not all(isinstance(x, Plain) or not isinstance(x, Carrier) for x in operands):
            return made
        integral = primitive in INTEGRAL and all(isinstance(x, int) for x in operands)
        kind = int if integral else float
        if isinstance(primitive, Joint):
            return tuple(Plain(self.recording, each.index, kind) for each in made)
        return Plain(self.recording, made.index, kind)

    __pow__ = Arithmetic.__pow__

    def __invert__(self) -> Any:
        recording = self.recording
        if not recording.trusting:
            return ~self.fixed()
        return recording.condition(recording.tape.emit(EQ, (self.index, recording.line(0.0))))

    def fixed(self) -> Any:
        """The number here, guarded to be this one: what a branch on it needs."""
        recording = self.recording
        line = recording.line(self)
        if self.kind is bool:
            return recording.guard(line)
        return self.kind(recording.fixed(line))


def _operators(name: str, row: Primitive) -> None:
    """The commonest operators of Traced at speed: no look at who has the higher level."""
    general, reflected = getattr(Arithmetic, f"__{name}__"), getattr(Arithmetic, f"__r{name}__")

    def left(self: Traced, other: Any) -> Any:
        recording = self.recording
        mine = type(other) is Traced and other.recording is recording
        line = other.index if mine else self._beside(other)
        return general(self, other) if line is None else recording.written(row, (self.index, line))

    def right(self: Traced, other: Any) -> Any:
        line = self._beside(other)
        if line is None:
            return reflected(self, other)
        return self.recording.written(row, (line, self.index))

    for kind, methods in ((Traced, (left, right)), (Plain, (general, reflected))):
        setattr(kind, f"__{name}__", methods[0])
        setattr(kind, f"__r{name}__", methods[1])


def _comparison(name: str) -> None:
    setattr(Traced, f"__{name}__", lambda self, other: self._compared(name, other))


def _logical(name: str, row: Primitive, lines: Callable[[int, int, Recording], Any]) -> None:
    """`&`, `|` or `^` of a Plain: a condition again with another condition."""
    operate = getattr(operator, f"__{name}__")

    def method(self: Plain, other: Any) -> Any:
        if self.kind is not bool or not isinstance(other, bool):
            return operate(self.fixed(), other.fixed() if isinstance(other, Plain) else other)
        recording = self.recording
        given = lines(recording.line(self), recording.line(other), recording)
        return recording.condition(recording.tape.emit(row, given))

    setattr(Plain, f"__{name}__", method)
    setattr(Plain, f"__r{name}__", method)  # bools and ints commute


_logical("and", WHERE, lambda a, b, recording: (a, b, recording.line(0.0)))
_logical("or", WHERE, lambda a, b, recording: (a, recording.line(1.0), b))
_logical("xor", NE, lambda a, b, recording: (a, b))
for _name in COMPARISONS:
    _comparison(_name)
for _row in (ADD, SUB, MUL, DIV):
    _operators(_row.forward.__name__, _row)  # of the module `operator`


def _looked_at(name: str, look: Callable[..., Any]) -> None:
    setattr(Plain, name, lambda plain, *more: look(plain.fixed(), *more))


for _look in (bool, int, float, complex, hash, format, repr, round):
    _looked_at(f"__{_look.__name__}__", _look)
_looked_at("__index__", operator.index)


def _bound(name: str, other: Any) -> float:
    """The float that divides floats as a number does that is none, such as 2**53 + 1."""
    if other != other:  # noqa: PLR0124 (NaN)
        return math.nan
    infinity = math.inf if other > 0 else -math.inf
    nearest = float(other) if abs(other) <= sys.float_info.max else infinity
    if nearest == other:
        return nearest
    if name in ("eq", "ne"):
        return math.nan
    low = name in ("le", "gt")
    if low:
        return nearest if nearest < other else math.nextafter(nearest, -math.inf)
    return nearest if nearest > other else math.nextafter(nearest, math.inf)


INTEGRAL = frozenset({ABS, *(row for row in TABLE.values() if row.operator)} - {DIV})
_blank: Callable[[], Traced] = bind(Traced.__new__, Traced)  # a call with no argument is quickest


def tracer(recording: Recording) -> Callable[[Any], Traced]:
    """What `settings().tracer` is while tracing: it takes a number or a Value onto the tape."""
    return lambda x: Traced(recording, recording.line(x))


def take(table: Sequence[Any], i: Any) -> Any:
    """table[i], where `i` is an int, a whole float or a Value, traced or not.

    `table` is a sequence of numbers or Values, or of rows of them of one length. No gradient flows
    to `i`. Cost O(1), compiled too: an entry is read from memory, and its gradient added there.
    Errors: IndexError out of range, ValueError for a fractional or negative index or ragged rows.

    >>> take([10.0, 20.0, 30.0], 1.0), take([[1.0, 2.0], [3.0, 4.0]], 1)
    (20.0, [3.0, 4.0])
    """
    rows = table if isinstance(table, list) else list(table)
    tracing = context.settings().tracer
    if isinstance(i, Carrier) and not isinstance(i, (Value, Plain)):
        i = i.detach()  # no derivative goes to an index
    if isinstance(i, Value) and tracing is not None:
        i = tracing(i)
    if not isinstance(i, Traced) or getattr(i, "kind", None) is bool:
        entry = rows[index_of(i.data if isinstance(i, Value) else operator.pos(i), len(rows))]
        return list(entry) if isinstance(entry, (list, tuple)) else entry
    i.checked_index(len(rows))
    found = i.recording.looked_up(table, rows, i)
    if found is not None:
        return found
    if rows and isinstance(rows[0], (list, tuple)):
        lengths = sorted({len(row) for row in rows})
        if len(lengths) > 1:
            raise ValueError(f"take: rows of {lengths[0]} and of {lengths[-1]} numbers")
        return [_read(i, column) for column in zip(*rows, strict=True)]
    return _read(i, rows)


def _read(i: Traced, entries: Sequence[Any]) -> Any:
    """An entry of what is computed: from memory, or among few by comparisons.

    What another mode carries is chosen by comparisons too, which that mode knows how to take.
    """
    recording = i.recording
    line = recording.line(i)
    if line in recording.tape.constants:
        return entries[place(recording.tape.constants[line], len(entries))]
    held = recording.held(entries)
    if held is not None:
        return recording.written(TAKE, (line, held))
    chosen = entries[0]
    for k, entry in enumerate(entries[1:], start=1):
        chosen = WHERE(i._is(float(k)), entry, chosen)
    return chosen
