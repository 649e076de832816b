"""Expressions typed by a user: a whitelist over Python's syntax tree, never evaluated by Python.

What is read becomes a program in postfix order, so that neither reading nor running it recurses:
`x*y + 1` is x, y, (mul, 2), 1.0, (add, 2). Numbers are floats from the start.
"""

from __future__ import annotations

import ast
import math
import operator
import sys
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

from tinygrad_scalar import functions
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.primitives import TABLE

LENGTH = 10_000
NESTING = 100
FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(functions, name) for name in functions.__all__
}
CONSTANTS = {"pi": math.pi, "e": math.e}


def _row(symbol: str, arity: int = 2) -> Primitive:
    return next(row for row in TABLE.values() if (row.operator, row.arity) == (symbol, arity))


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _row("+"),
    ast.Sub: _row("-"),
    ast.Mult: _row("*"),
    ast.Div: _row("/"),
    ast.FloorDiv: _row("//"),
    ast.Mod: _row("%"),
    ast.Pow: _row("**"),
    ast.USub: _row("-", 1),
    ast.UAdd: lambda x: x,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_REFUSED = {
    ast.Attribute: "attribute access",
    ast.BitXor: "the operator ^ (a power is written **)",
    ast.BoolOp: "and, or",
    ast.Constant: "a constant other than a number",
    ast.IfExp: "if (a choice is written where(condition, a, b))",
    ast.JoinedStr: "text",
    ast.Lambda: "lambda",
    ast.NamedExpr: "assignment",
    ast.Not: "not",
    ast.Starred: "a starred operand",
    ast.Subscript: "indexing",
}


class ExpressionError(ValueError):
    """An expression that cannot be read; the message tells what and where."""


class Apply(NamedTuple):
    """A step of the program: a function on the last `operands` results."""

    function: Callable[..., Any]
    operands: int


Step = Apply | float | str  # a function, a number, or a name to look up


class Expression:
    """An expression over named numbers.

    Names, numbers, + − * / // % **, comparisons (for `where`), lists in brackets and calls of the
    library's functions; pi and e unless given. At most 10,000 characters, and 100 levels of
    brackets, calls, signs and powers. Cost O(length).

    Errors: ExpressionError, naming the column, for everything else.

    >>> expression = Expression("(x*m + y*n)*t")
    >>> expression.names
    ('x', 'm', 'y', 'n', 't')
    >>> expression({"x": 100.0, "m": 2.0, "y": 150.0, "n": 3.0, "t": 2.0})
    1300.0
    >>> Expression("x.real")
    Traceback (most recent call last):
        ...
    tinygrad_scalar.expression.ExpressionError: column 1: attribute access is not allowed here
    """

    def __init__(self, text: str) -> None:
        self.text = "".join(" " if c.isspace() else c for c in text).strip()
        self._steps = _Reader(self.text).steps()
        names = (step for step in self._steps if isinstance(step, str))
        self.names: tuple[str, ...] = tuple(dict.fromkeys(names))

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The expression on numbers or Values by name; what the operations raise, it raises."""
        values = CONSTANTS | dict(values)
        stack: list[Any] = []
        for step in self._steps:
            if isinstance(step, Apply):
                split = len(stack) - step.operands
                stack[split:] = [step.function(*stack[split:])]
            else:
                stack.append(values[step] if isinstance(step, str) else step)
        result = stack.pop()
        if isinstance(result, (bool, list)):
            what = "true or false" if isinstance(result, bool) else "a list"
            raise ExpressionError(f"the expression gives {what}; its value must be one number")
        return result


class _Reader:
    """From text to steps; holds what is needed to say where something stands."""

    def __init__(self, text: str) -> None:
        self.source = text.encode()  # the tree counts bytes
        if len(text) > LENGTH:
            raise ExpressionError(f"{len(text)} characters; at most {LENGTH} are read")
        self.brackets = self._brackets()
        self.tree = _parsed(text)

    def _brackets(self) -> list[int]:
        """How many brackets are open at each byte; an error before the parser sees too many."""
        depths, depth = [], 0
        for offset, byte in enumerate(self.source):
            depth += (byte in b"([{") - (byte in b")]}")
            depths.append(depth)
            if depth > NESTING:
                self._refuse_nesting(offset)
        return depths

    def steps(self) -> list[Step]:
        """The nodes from the root, operands right to left, and the whole turned around: postfix."""
        steps: list[Step] = []
        stack: list[tuple[ast.expr, int]] = [(self.tree, 0)]  # with the signs and powers around it
        while stack:
            node, nesting = stack.pop()
            step, operands = self._step(node)
            steps.append(step)
            nesting += isinstance(node, ast.UnaryOp) or _is_power(node)
            if nesting + self.brackets[node.col_offset] > NESTING:
                self._refuse_nesting(node.col_offset)
            stack.extend((operand, nesting) for operand in operands)
        return steps[::-1]

    def _step(self, node: ast.expr) -> tuple[Step, list[ast.expr]]:
        """One node of the tree: its step, and the nodes of its operands."""
        step: Step
        operands: list[ast.expr] = []
        match node:
            case ast.Name(id=step):
                pass
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                step = self._number(node, number)
            case ast.UnaryOp(op=op, operand=operand):
                step, operands = Apply(self._operator(node, op), 1), [operand]
            case ast.BinOp(left=left, op=op, right=right):
                step, operands = Apply(self._operator(node, op), 2), [left, right]
            case ast.Compare(left=left, ops=ops, comparators=others):
                step, operands = self._comparison(node, ops), [left, *others]
            case ast.List(elts=operands) | ast.Tuple(elts=operands):
                step = Apply(lambda *values: list(values), len(operands))
            case ast.Call(func=ast.Name(id=name), args=operands, keywords=[]):
                step = self._call(node, name, len(operands))
            case ast.Call():
                self._refuse(node, "a call other than name(operand, …) is not allowed here")
            case _:
                what = _REFUSED.get(type(node), type(node).__name__)
                self._refuse(node, f"{what} is not allowed here")
        return step, operands

    def _number(self, node: ast.expr, value: float) -> float:
        try:
            return float(value)
        except OverflowError:
            self._refuse(node, "the number is too large for a float")

    def _operator(self, node: ast.expr, op: ast.AST) -> Callable[..., Any]:
        if type(op) not in _OPERATORS:
            what = _REFUSED.get(type(op), f"the operator {type(op).__name__}")
            self._refuse(node, f"{what} is not allowed here")
        return _OPERATORS[type(op)]

    def _comparison(self, node: ast.expr, ops: list[ast.cmpop]) -> Apply:
        compares = [self._operator(node, op) for op in ops]

        def holds(*values: Any) -> bool:
            links = zip(compares, pairwise(values), strict=True)
            return all(compare(*pair) for compare, pair in links)

        return Apply(holds, len(ops) + 1)

    def _call(self, node: ast.expr, name: str, operands: int) -> Apply:
        if name not in FUNCTIONS:
            close = get_close_matches(name, FUNCTIONS, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            self._refuse(node, f"unknown function {name}{hint}")
        if not operands:
            self._refuse(node, f"{name} needs an operand")
        return Apply(FUNCTIONS[name], operands)

    def _refuse_nesting(self, offset: int) -> NoReturn:
        what = f"more than {NESTING} levels of brackets, calls, signs and powers"
        raise ExpressionError(f"column {self._column(offset)}: {what}")

    def _refuse(self, node: ast.expr, what: str) -> NoReturn:
        raise ExpressionError(f"column {self._column(node.col_offset)}: {what}")

    def _column(self, offset: int) -> int:
        return len(self.source[:offset].decode(errors="replace")) + 1


def _is_power(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)


def _parsed(text: str) -> ast.expr:
    """Python's syntax tree of one expression, or one line about why there is none."""
    if not text:
        raise ExpressionError("the expression is empty")
    try:
        return _read(text)
    except SyntaxError as error:
        column = error.offset or len(text) + 1  # no offset where more was expected behind the end
        product = " (a product is written 2*x)" if "decimal literal" in error.msg else ""
        raise ExpressionError(f"column {column}: {error.msg}{product}") from None
    except (MemoryError, RecursionError):
        raise ExpressionError(
            f"more than {NESTING} levels of signs and powers, or more terms side by side than this "
            "Python can read: split the expression"
        ) from None


def _read(text: str) -> ast.expr:
    """The tree, read without warnings (such as: 1or 2 will be an error one day).

    A flat sum is a tree as deep as it has terms, which Python 3.11 counts as recursion. Python 3.12
    has a limit of its own, in its first releases of about 3,000 terms. In each `finally` no
    function of Python stands, which Ctrl-C could come before.
    """
    limit, filters = sys.getrecursionlimit(), warnings.filters[:]
    try:
        sys.setrecursionlimit(max(limit, 2 * LENGTH))
        try:
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval").body
        finally:
            warnings.filters[:] = filters  # type: ignore[index]
    finally:
        sys.setrecursionlimit(limit)
