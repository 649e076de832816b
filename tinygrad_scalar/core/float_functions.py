"""The float function of a row, made from its formula: straight lines of Python, and `if`.

A formula chooses by `where`, which costs a call and computes both branches; the function made here
takes the time of one written by hand. Names of the formula's rows become functions on floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from tinygrad_scalar.core import context, primitives
from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.primitives import TABLE, WRITTEN
from tinygrad_scalar.numbers.precision import is_number


class _Writer:
    """Collects the lines of one function."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"inf": math.inf, "nan": math.nan}
        self.lines: list[str] = []
        self.indent, self.count = "    ", 0

    def assigned(self, text: str) -> _Text:
        """A new variable with the value of an expression."""
        self.count += 1
        self.lines.append(f"{self.indent}u{self.count} = {text}")
        return _Text(self, f"u{self.count}")

    def named(self, row: Primitive) -> str:
        """The name of the row's float function."""
        name = f"f{len(self.names)}"
        self.names[name] = row.forward
        return name

    def text(self, x: Any) -> str:
        """A variable, or a number."""
        if isinstance(x, Carrier):
            if isinstance(x, _Text):
                return x.text
            raise TypeError(f"a formula reads its operands alone: pass {x!r} as one more of them")
        if not is_number(x):
            raise TypeError(f"a formula gives one number, not {type(x).__name__}")
        return f"({float(x)!r})" if x.__class__ not in (int, bool) else f"({x!r})"

    def branch(self, head: str, value: Any, result: str) -> None:
        """An indented block that gives the result its value."""
        outer = self.indent
        self.lines.append(f"{outer}{head}:")
        self.indent = f"{outer}    "
        value = value() if _is_branch(value) else value
        self.lines.append(f"{self.indent}{result} = {self.text(value)}")
        self.indent = outer


class _Text(Arithmetic):
    """An operand of a formula as the name of a variable."""

    __slots__ = ("text", "writer")
    level = 2.0**61  # below an operand that is being differentiated

    def __init__(self, writer: _Writer, text: str) -> None:
        self.writer, self.text = writer, text

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        writer = self.writer
        texts = [writer.text(x) for x in operands]
        if primitive.python:
            return writer.assigned(primitive.python.format(*texts))
        if isinstance(primitive, Joint):
            raise TypeError(f"{primitive.name} has several outputs, and no place in a formula")
        name = writer.named(primitive)
        return writer.assigned(f"{name}({', '.join(texts)})")

    def _compared(self, sign: str, other: Any) -> Any:
        return _Text(self.writer, f"({self.text} {sign} {self.writer.text(other)})")

    def example(self) -> float:
        """A number of the kind carried."""
        return 1.0

    def chosen(self, a: Any, b: Any) -> Any:
        """a if this condition holds, else b."""
        writer = self.writer
        if not (_is_branch(a) or _is_branch(b)):
            return writer.assigned(f"{writer.text(a)} if {self.text} else {writer.text(b)}")
        result = writer.assigned("0.0")
        writer.lines.pop()
        writer.branch(f"if {self.text}", a, result.text)
        writer.branch("else", b, result.text)
        return result

    __hash__ = None  # type: ignore[assignment]  # never a key

    def __eq__(self, other: object) -> Any:
        return self._compared("==", other)

    def __ne__(self, other: object) -> Any:
        return self._compared("!=", other)

    __lt__ = lambda self, other: self._compared("<", other)  # noqa: E731
    __le__ = lambda self, other: self._compared("<=", other)  # noqa: E731
    __gt__ = lambda self, other: self._compared(">", other)  # noqa: E731
    __ge__ = lambda self, other: self._compared(">=", other)  # noqa: E731
    __and__ = lambda self, other: self._compared("and", other)  # noqa: E731
    __or__ = lambda self, other: self._compared("or", other)  # noqa: E731

    def __bool__(self) -> bool:
        raise TypeError("a formula has no branches: choose by where(condition, a, b)")


def _is_branch(x: Any) -> bool:
    return callable(x) and not isinstance(x, Arithmetic)


def float_function(formula: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The formula of so many operands as a function on floats.

    Errors: TypeError if it branches on an operand.
    """
    writer = _Writer()
    operands = [_Text(writer, f"x{k}") for k in range(count)]
    result = writer.text(formula(*operands))
    head = f"def formula({', '.join(x.text for x in operands)}):"
    source = "\n".join([head, *writer.lines, f"    return {result}"])
    exec(compile(source, "<formula>", "exec"), writer.names)  # noqa: S102
    function: Callable[..., Any] = writer.names.pop("formula")
    function.__module__ = formula.__module__
    return function


def make_float_functions() -> None:
    """For the rows of the table that have none of their own.

    At once where a derivative of the table calls them, since the way back keeps the functions that
    it finds; the others when they are called first, for most programs call few.
    """
    called = _called_by_rules()
    for row in map(TABLE.__getitem__, WRITTEN):
        if row.formula is not None and row.arity is not None:
            at_once = row.name in called
            row.forward = float_function(row.formula, row.arity) if at_once else _later(row)


def _called_by_rules() -> set[str]:
    """The names in the partials and pulls of the table, and in what they call there."""
    rules = [rule for row in TABLE.values() for rule in (*row.partials, *row.pulls)]
    functions = [rule for rule in rules if isinstance(rule, FunctionType)]
    functions += [thing for thing in vars(primitives).values() if isinstance(thing, FunctionType)]
    return {name for function in functions for name in function.__code__.co_names}


def _later(row: Primitive) -> Callable[..., Any]:
    def forward(*x: Any) -> Any:
        if row.forward is forward and row.formula is not None:
            with context.uncounted():
                row.forward = float_function(row.formula, row.arity or 0)
        return row.forward(*x)

    return forward


make_float_functions()
