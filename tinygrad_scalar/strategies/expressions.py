"""`expressions`: programs drawn instruction by instruction, each inside its domain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.numbers.precision import is_whole
from tinygrad_scalar.strategies.programs import Instruction, Program, pruned
from tinygrad_scalar.strategies.requirement import st
from tinygrad_scalar.testing.kinks import near_kink

# Beyond these sizes rounding and underflow, not the rules, decide what comes out.
_SMALLEST, _LARGEST = 1e-6, 1e6
_MOST_INPUTS = 3
_TRIES = 3  # draws for an instruction, of which some leave the domain
_LONGEST = 3  # operands of a row that takes any number

# Numbers that print short, whole ones first.
_WHOLE = st.integers(-3, 3).map(float)
_NUMBERS = st.one_of(_WHOLE, st.integers(-4000, 4000).map(lambda n: n / 1000))
_INPUTS = st.lists(_NUMBERS, min_size=1, max_size=_MOST_INPUTS)
# How far back an operand lies, whatever there is, or −1, −2, … for an input: shrinking can cut any
# instruction out, and the others still mean the same. The first operand is mostly the latest.
_STEPS_BACK = st.sampled_from((0, 1, 2, 1, 0, 3, 2, 1, 4, 5, 6, 8, 10))
_FEW_STEPS_BACK = st.sampled_from((0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4))
_OPERANDS = st.one_of(_STEPS_BACK, _STEPS_BACK, st.integers(-_MOST_INPUTS, -1), _NUMBERS)
_LENGTHS = st.integers(1, _LONGEST)
# How many of the last instructions count, mostly all: two that undo each other are cut out at once.
_KEPT = st.integers(1, 1000)
# Drawn more often than the others, which they put together into one program: the operators that
# IEEE arithmetic has a value for at all numbers.
_USUAL = [row for row in TABLE.values() if row.operator and (row.total or row.limit)]


def expressions(
    primitives: Iterable[str | Primitive] | None = None,
    max_ops: int = 8,
    kinks: bool = False,
) -> Any:
    """Programs of at most `max_ops` operations that share nodes, with inputs of their domain.

    `primitives` are names of the table or rows; by default all rows of the table that have a
    derivative other than 0, arithmetic more often than the rest. With `kinks` those too, and
    operands may fall on kinks and on ends of domains; without, all keep a distance of 1e-6.
    Intermediate results are 0 or between 1e-6 and 1e6 in size. Examples shrink to short programs
    over whole numbers.

    Errors: ValueError for an unknown name, an empty choice or a wrong `max_ops`; TypeError for
    `primitives` that is no list.

    >>> from hypothesis import find
    >>> find(expressions(["sin", "exp"], max_ops=1), lambda program: program.run() > 2)
    x0 = Value(1.0, label='x0')
    v0 = exp(x0)
    v0
    """
    rows = _rows(primitives, kinks)
    if not is_whole(max_ops) or max_ops < 1:
        raise ValueError(f"expressions: max_ops is a whole number from 1 up, not {max_ops!r}")
    one, most = _drafts(st.sampled_from(rows)), _TRIES * max_ops
    some, more = st.lists(one, min_size=1, max_size=most), st.lists(one, max_size=most)

    @st.composite
    def programs(draw: Any) -> Program:
        kept = draw(_KEPT)  # what is drawn last is often the simplest there is
        drafts = [*draw(more), *draw(more), *draw(some)]  # one alone is mostly short
        return _program(draw(_INPUTS), drafts[-kept:], max_ops, kinks)

    return programs()


def _rows(primitives: Iterable[str | Primitive] | None, kinks: bool) -> list[Primitive]:
    if primitives is None:
        rows = [row for row in TABLE.values() if not _left_out(row) and (kinks or _slopes(row))]
        return _USUAL * (len(rows) // 2 // len(_USUAL)) + rows
    if isinstance(primitives, (str, Primitive)) or not isinstance(primitives, Iterable):
        raise TypeError(f"expressions: primitives is a list of names or rows, not {primitives!r}")
    rows = [row if isinstance(row, Primitive) else _named(row) for row in primitives]
    rows = [one for row in rows for one in (row.outputs if isinstance(row, Joint) else (row,))]
    if not rows:
        raise ValueError("expressions: primitives is empty; name at least one")
    return rows


def _named(name: Any) -> Primitive:
    """A row by its name, or by that of the function people call, such as `log`."""
    name = getattr(name, "__name__", name)
    if name not in TABLE:
        close = get_close_matches(str(name), TABLE, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise ValueError(f"expressions: the table has no primitive {name!r}{hint}")
    return TABLE[name]


def _left_out(row: Primitive) -> bool:
    """Unless named: a node that does nothing, and rows with an operand that counts."""
    return bool(row.whole) or row.partials == (1,)


def _slopes(row: Primitive) -> bool:
    """Whether some partial is not the constant 0."""
    return any(callable(partial) or partial != 0 for partial in row.partials)


class _Draft(NamedTuple):
    """An instruction before it is known what there is to use: constants and steps back."""

    row: Primitive
    operands: tuple[int | float, ...]


@st.composite
def _drafts(draw: Any, rows: Any) -> _Draft:
    row = draw(rows)
    count = row.arity
    if count is None:
        count = draw(_LENGTHS) * (2 if row.paired else 1)
    first = draw(_FEW_STEPS_BACK)
    return _Draft(row, (first, *(draw(_OPERANDS) for _ in range(count - 1))))


def _program(
    inputs: Sequence[float], drafts: Sequence[_Draft], max_ops: int, kinks: bool
) -> Program:
    """The drafts in order, without those that would leave their domain."""
    results = list(inputs)
    instructions: list[Instruction] = []
    for row, draft in drafts:
        operands = tuple(
            _earlier(row, i, x, results) if isinstance(x, int) else x for i, x in enumerate(draft)
        )
        y = _result(row, operands, results, kinks)
        if y is not None and len(instructions) < max_ops:
            instructions.append(Instruction(row, operands))
            results.append(y)
    return pruned(Program(tuple(inputs), tuple(instructions)))


def _earlier(row: Primitive, i: int, place: int, results: Sequence[float]) -> int:
    """The number of an earlier result, of the row's domain if there is one."""
    domain = row.domain[min(i, len(row.domain) - 1)]
    latest_first = range(len(results))[::-1]
    suited = [k for k in latest_first if results[k] in domain] or latest_first
    return suited[max(-len(suited), min(place, len(suited) - 1))]


def _result(
    row: Primitive,
    operands: Sequence[int | float],
    results: Sequence[float],
    kinks: bool,
) -> float | None:
    """The value of an instruction; None if it is to be left out."""
    x = [results[k] if isinstance(k, int) else k for k in operands]
    try:
        y = row.forward(*x)
        y = float(y if row.joint is None else y[row.index])
        varying = [i for i, k in enumerate(operands) if isinstance(k, int)]
        if not kinks and (row.kinks(*x) or near_kink(row, x, varying)):
            return None
    except (ArithmeticError, TypeError, ValueError):  # outside the domain, or too many operands
        return None
    return y if y == 0 or _SMALLEST <= abs(y) <= _LARGEST else None
