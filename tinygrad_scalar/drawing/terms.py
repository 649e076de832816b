"""Terms written down: an operation's row says how, brackets stand where precedence asks for them.

`Notation` is what a language adds (text here, LaTeX in `latex.py`); `written` walks a term piece by
piece with a stack of its own, so that a term of any depth is written in linear time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.grad_table import show
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.drawing.labels import number_text, one_line

# Precedence, as in the rows: 1 a sum … 9 a call; beyond it what needs no brackets even as a base.
SIGNED = 1.0  # what begins with a minus
ATOM = 10.0
_INPUTS = 8  # given as plain numbers that are written out
_STRICTLY = 0.5  # more than this precedence: to the right of minus, a term of minus needs brackets


class Slot(NamedTuple):
    """The place of an operand; one of lower precedence than `least` stands in brackets."""

    operand: int
    least: float


class Template(NamedTuple):
    """How one operation is written: text and places, and the precedence of the whole."""

    parts: Sequence[str | Slot]
    precedence: float


class Notation(ABC):
    """A language for terms."""

    brackets: tuple[str, str]
    shared: str  # the label of the n-th shared term that has none of its own

    @abstractmethod
    def template(self, row: Primitive, count: int) -> Template:
        """How the row is written on `count` operands."""

    @abstractmethod
    def name(self, label: str) -> str:
        """A label as a name in this language, escaped."""

    def name_of(self, node: Any) -> str:
        """A Value's label as a name, "" if it has none."""
        return self.name(node.label) if node.label else ""

    @abstractmethod
    def number(self, x: Any) -> tuple[str, float]:
        """A number and its precedence."""

    @abstractmethod
    def derivative(self, output: str, node: str) -> str:
        """The partial derivative of one name with respect to another."""


class Text(Notation):
    """Plain text: (x + y) × 2.0, sin(x)^2.0."""

    brackets = ("(", ")")
    shared = "t{}"

    def template(self, row: Primitive, count: int) -> Template:
        """Operators between their operands, everything else as a call."""
        precedence = row.precedence
        if is_infix(row):
            right = precedence + _STRICTLY
            left = (
                right if row.symbol == "^" else precedence
            )  # a tower of powers shows its brackets
            return Template(
                (Slot(0, left), f" {row.symbol} ".replace(" ^ ", "^"), Slot(1, right)), precedence
            )
        if is_prefix(row):
            return Template((row.symbol, Slot(0, precedence)), SIGNED)
        parts: list[str | Slot] = [f"{row.name}("]
        half = count // 2 if row.paired else 0  # two lists, as it is called
        for i in range(count):
            comma = "], [" if i == half else ", "
            parts += [comma, Slot(i, 0)] if i else ["[" * bool(half), Slot(0, 0)]
        return Template((*parts, "])" if half else ")"), 9)

    def name(self, label: str) -> str:
        """The label, between ⟨ and ⟩ if it could be read as a term."""
        label = one_line(label)
        plain = all(c.isalnum() or c in " _.'′[]" for c in label)
        return label if plain else f"⟨{label}⟩"  # no operator in a label passes for one

    def number(self, x: Any) -> tuple[str, float]:
        """As in the tables."""
        text = show(x)
        return text, SIGNED if text.startswith("-") else ATOM

    def derivative(self, output: str, node: str) -> str:
        """On one line."""
        return f"∂{output}/∂{node}"


TEXT = Text()


def is_infix(row: Primitive) -> bool:
    """Whether the symbol stands between two operands."""
    return row.arity == 2 and row.precedence < 9


def is_prefix(row: Primitive) -> bool:
    """Whether the symbol stands before its operand, without brackets."""
    return row.arity == 1 and row.precedence < 9 and row.symbol != row.name


def written(term: Any, notation: Notation, names: Mapping[int, str], *, whole: Any = None) -> str:
    """The term of a Value or number; Values in `names` (by id) and leaves stand for themselves.

    `whole`, usually the term itself, is written out even if it has a name. O(length).
    """
    return "".join(_pieces(term, notation, names, whole))


def _pieces(term: Any, notation: Notation, names: Mapping[int, str], whole: Any) -> Iterator[str]:
    opening, closing = notation.brackets
    stack: list[str | tuple[Any, float]] = [(term, 0.0)]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
            continue
        operand, least = item
        parts, precedence = _parts(operand, notation, names, operand is whole)
        if precedence < least:
            yield opening
            stack.append(closing)
        stack.extend(reversed(parts))


def _parts(
    operand: Any, notation: Notation, names: Mapping[int, str], out: bool
) -> tuple[Sequence[str | tuple[Any, float]], float]:
    """What the term of an operand consists of: text, and operands in their turn."""
    if not isinstance(operand, Carrier):
        text, precedence = notation.number(operand)
        return (text,), precedence
    if id(operand) in names and not out:
        return (names[id(operand)],), ATOM
    node: Any = operand
    if node.primitive is None:
        name = notation.name_of(node)
        if name:
            return (name,), ATOM
        text, precedence = notation.number(node.data)
        return (text,), precedence
    operands = node.operands
    template = notation.template(node.primitive, len(operands))
    parts = [
        part if isinstance(part, str) else (operands[part.operand], part.least)
        for part in template.parts
    ]
    return parts, template.precedence


def applied(row: Primitive, operands: Sequence[tuple[str, float]], notation: Notation) -> str:
    """One operation on operands that are written already, each with its precedence.

    >>> from tinygrad_scalar import primitives
    >>> applied(primitives.mul, [("x", ATOM), ("-2.0", SIGNED)], TEXT)
    'x × (-2.0)'
    """
    opening, closing = notation.brackets
    written_out = []
    for part in notation.template(row, len(operands)).parts:
        if isinstance(part, str):
            written_out.append(part)
        else:
            text, precedence = operands[part.operand]
            written_out.append(f"{opening}{text}{closing}" if precedence < part.least else text)
    return "".join(written_out)


def operation_text(node: Any, digits: int = 6) -> str:
    """The symbol of a node's operation with its plain numbers: ×, × 2.0, clip(·, 0.0, 1.0).

    >>> from tinygrad_scalar import Value
    >>> operation_text(1 / Value(2.0)), operation_text(Value(2.0).clip(0, 1))
    ('1.0 ÷', 'clip(·, 0.0, 1.0)')
    """
    row = node.primitive
    symbol: str = row.symbol or row.name
    slots = node._slots()
    if len(node.parents) == len(slots):
        return symbol
    texts = [
        "·" if parent is not None else number_text(x, digits)
        for parent, x in zip(slots, node._seen()[1], strict=True)
    ]
    if is_infix(row):
        return f"{texts[0]} {symbol}" if slots[0] is None else f"{symbol} {texts[1]}"
    if len(texts) <= 4:
        return f"{symbol}({', '.join(texts)})"
    numbers = [text for parent, text in zip(slots, texts, strict=True) if parent is None]
    if node.provenance.scope and len(numbers) <= _INPUTS:  # the inputs of a module
        return f"{symbol} ({', '.join(numbers)})"
    constants = len(numbers)
    return f"{symbol}, {constants} constants"
