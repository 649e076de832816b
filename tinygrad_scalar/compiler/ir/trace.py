"""`Traced`: the carrier that writes every operation down on a tape, and the guards at branches.

A comparison gives the bool of this point, noted as a guard, so that nothing that looks at it sees
another thing than uncompiled; except where it goes straight into a function or an operator of this
library (`where(x > 0, a, b)`, `x * (x > 0)`): there it is a `Plain` number of the trace, and no
branch. See `recording` for how the two are told apart.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Sequence
from functools import partial as bind
from typing import Any, NoReturn

from tinygrad_scalar.compiler.ir.recording import OnTape, Recording, Site
from tinygrad_scalar.compiler.ir.tape import (
    ABS,
    ADD,
    COMPARISONS,
    DETACH,
    DIV,
    EQ,
    FLOOR,
    GE,
    INPUT,
    LE,
    LEAF,
    LIBRARY,
    MUL,
    NE,
    POW,
    SUB,
    WHERE,
    index_of,
)
from tinygrad_scalar.core import context
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.core.recorded import refused
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number, is_whole

EXACT = 2**53  # an int up to this is a float exactly


def _freezing(reading: str, writing: str) -> property:
    """An attribute that a Value has, and that would freeze a number."""
    return property(
        lambda traced: traced._freeze(reading), lambda traced, _: traced._freeze(writing)
    )


class Traced(OnTape):
    """A number of a function being compiled. Every operation is a line of the tape.

    It stands for the Value of an uncompiled run, and is an instance of that for who asks.
    """

    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return Value

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The line of the operation, or several."""
        recording = self.recording
        lines = tuple(map(recording.line, operands))
        if isinstance(primitive, Joint):
            return tuple(written(recording, row, lines) for row in primitive.outputs)
        return written(recording, primitive, lines)

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
        return written(self.recording, POW, (self.index, line))

    # ── branches ──────────────────────────────────────────────────────────────────────────────
    __hash__ = object.__hash__

    def _compared(self, name: str, other: Any) -> Any:
        if isinstance(other, Carrier):
            if other.level > self.level:
                return NotImplemented
        elif is_number(other):
            other = _bound(name, other)
        else:
            return NotImplemented
        recording = self.recording
        lines = recording.line(self), recording.line(other)
        return _condition(recording, recording.tape.emit(COMPARISONS[name], lines))

    def __bool__(self) -> bool:
        return self.recording.guard(self.index)

    def one_hot(self, classes: int) -> list[Any]:
        """The indicator of each class, if this is a class index; checked as `take` does."""
        self.checked_index(classes)
        return [self.equals(float(k)) for k in range(classes)]

    def checked_index(self, length: int) -> None:
        """Guards that this is an index into a table; the error of `take` if here it is none."""
        recording, emit, line = self.recording, self.recording.tape.emit, self.index
        recording.guard(emit(EQ, (line, emit(FLOOR, (line,)))))
        recording.guard(emit(GE, (line, recording.line(0.0))))
        recording.guard(emit(LE, (line, recording.line(float(length - 1)))))
        index_of(recording.number(line), length)  # behind the guards: the function may handle it

    def equals(self, number: float) -> Traced:
        """1 where this is the number, else 0."""
        recording = self.recording
        return Traced(recording, recording.tape.emit(EQ, (self.index, recording.line(number))))

    # ── what would freeze a number ────────────────────────────────────────────────────────────
    def _freeze(self, what: str) -> NoReturn:
        self.recording.refuse(
            f"{what} of a traced value (an argument, or computed in the compiled function) would "
            "freeze its number in the compiled code: use x.detach() to stop the "
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

    def _refuse(self, *_: Any) -> NoReturn:
        self._freeze(
            "float() or int() (also by a function of math or statistics, list * x, or an array "
            "without dtype=object)"
        )

    def __format__(self, specification: str) -> str:
        if specification:
            self._freeze("the text")
        return repr(self)

    _backward, _children = refused("_backward"), refused("_children")

    # ── copies ────────────────────────────────────────────────────────────────────────────────
    def __copy__(self) -> Traced:
        if self.recording.tape.code[self.index][0] in (INPUT, LEAF):
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
        return Traced(self.recording, self.recording.tape.leaf(self.index))

    def judged_by(self, undefined: str) -> None:
        """Note the policy of a derivative inside the function."""
        self.recording.judges |= undefined != "subgradient"

    def pulled(self, seed: Any, inputs: Sequence[Any]) -> list[Traced]:
        """The gradient of this number times `seed` with respect to `inputs`, Traced or Values."""
        recording = self.recording
        wanted = [recording.line(x) for x in inputs]
        lines = recording.reverse(self.index, wanted, recording.line(seed))
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


def written(recording: Recording, row: Primitive, lines: tuple[int, ...]) -> Traced:
    """A new operation as a Traced; a constant under `no_grad`."""
    tape, instruction = recording.tape, (row, lines)
    line = tape.known.get(instruction)  # tape.emit, spelled out: every operation comes by
    if line is None:
        line = tape.known[instruction] = tape.written(instruction)
        if row not in LIBRARY and tape.code[line] is instruction and recording.orders:
            recording.branches(line)
    else:
        tape.found()
    if context.unrecorded and not context.settings().recording:
        line = tape.emit(DETACH, (line,))
    made = _blank()
    made.recording = recording
    made.index = line
    return made


def _condition(recording: Recording, line: int) -> Any:
    """A line that is 1 or 0: a bool with its guard, or a number of the trace that goes on."""
    if recording.trusting:
        return Plain(recording, line, bool)
    made = recording.going_on()
    return recording.guard(line) if made is None else Plain(recording, line, bool, made)


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
        integral = primitive in INTEGRAL and all(_is_int(x) for x in operands)
        if integral and primitive not in (ABS, ADD, SUB):  # these give no −0.0 of ints
            return self._as_int(made)
        kind = int if integral else float
        if isinstance(primitive, Joint):
            return tuple(Plain(self.recording, each.index, kind) for each in made)
        return Plain(self.recording, made.index, kind)

    def _as_int(self, made: Traced) -> Plain:
        """A whole number as the int it is uncompiled: there is one zero among these."""
        made = written(self.recording, ADD, (made.index, self.recording.line(0.0)))
        return Plain(self.recording, made.index, int)

    def __floor__(self) -> Plain:
        return self._as_int(Arithmetic.__floor__(self))

    def __ceil__(self) -> Plain:
        return self._as_int(Arithmetic.__ceil__(self))

    def __trunc__(self) -> Plain:
        return self._as_int(Arithmetic.__trunc__(self))

    __pow__ = Arithmetic.__pow__

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
        if line is None:
            return general(self, other)
        return written(recording, row, (self.index, line))

    def right(self: Traced, other: Any) -> Any:
        line = self._beside(other)
        if line is None:
            return reflected(self, other)
        return written(self.recording, row, (line, self.index))

    for kind, methods in ((Traced, (left, right)), (Plain, (general, reflected))):
        setattr(kind, f"__{name}__", methods[0])
        setattr(kind, f"__r{name}__", methods[1])


def _absent(name: str) -> None:
    """What else a Value has is refused: `hasattr` is no way to another branch.

    In properties: with a `__getattr__`, Python 3.11 reads every attribute slower.
    """
    what = f"{name} of a traced value (an argument, or computed in the compiled function): "
    text = (
        f"{what}while a function is traced there are no nodes to look at or draw: call it "
        "uncompiled for that, or see f.tape and f.draw() of the compiled function"
    )
    setattr(Traced, name, property(lambda traced: traced.recording.refuse(text)))


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
        return _condition(recording, recording.tape.emit(row, given))

    setattr(Plain, f"__{name}__", method)
    setattr(Plain, f"__r{name}__", method)  # bools and ints commute


_logical("and", WHERE, lambda a, b, recording: (a, b, recording.line(0.0)))
_logical("or", WHERE, lambda a, b, recording: (a, recording.line(1.0), b))
_logical("xor", NE, lambda a, b, recording: (a, b))
for _name in set(dir(Value)) - set(dir(Traced)):
    if not _name.startswith("__"):
        _absent(_name)
for _name in COMPARISONS:
    _comparison(_name)
for _row in (ADD, SUB, MUL, DIV):
    _operators(_row.forward.__name__, _row)  # of the module `operator`


def _looked_at(name: str, look: Callable[..., Any]) -> None:
    setattr(Plain, name, lambda plain, *more: look(plain.fixed(), *more))


for _look in (bool, int, float, complex, hash, format, repr, round):
    _looked_at(f"__{_look.__name__}__", _look)
_looked_at("__index__", operator.index)
_looked_at("__invert__", operator.invert)
_looked_at("__lshift__", operator.lshift)
_looked_at("__rshift__", operator.rshift)
_looked_at("__rlshift__", lambda number, other: other << number)
_looked_at("__rrshift__", lambda number, other: other >> number)


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


def _is_int(x: Any) -> bool:
    """Whether uncompiled it is an int, a bool or a whole number of NumPy."""
    return isinstance(x, int) or (not isinstance(x, Plain) and is_whole(x))


INTEGRAL = frozenset({ABS, *(row for row in TABLE.values() if row.operator)} - {DIV})
_blank: Callable[[], Traced] = bind(Traced.__new__, Traced)  # a call with no argument is quickest


def tell_of_value(error: Exception) -> None:
    """Have an error tell of a Value, where it tells of an attribute that what is traced lacks."""
    if isinstance(error, AttributeError) and isinstance(error.obj, Traced):
        lacks = f"'Value' object has no attribute {error.name!r}"
        error.args = (f"{lacks}; traced it is {error.obj._named()}",)


def on_tape(recording: Recording, function: Callable[..., Any], *given: Any) -> Any:
    """What a function gives while numbers and Values are taken onto a tape, under `no_grad` too."""

    def taken(x: Any) -> Traced:
        return Traced(recording, recording.line(x))

    try:
        with context.override(tracer=taken, recording=True):
            return function(*given)
    finally:
        context.settings()  # lets go of the block, which holds the recording
