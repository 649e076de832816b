"""The text of a failed check: what was expected, what came out, and which operation is at fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tinygrad_scalar.core.value import Value
from tinygrad_scalar.drawing import tree
from tinygrad_scalar.numbers.precision import Number
from tinygrad_scalar.testing.comparison import Disagreement
from tinygrad_scalar.testing.derivatives import Index
from tinygrad_scalar.testing.recording import Flat

_ROWS = 8
_DEPTH = 3
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_HEADER = ("derivative", "mode", "expected", "actual", "error", "allowed")


class Fault(NamedTuple):
    """The first operation that is wrong on its own."""

    node: Value
    names: Sequence[str]  # of its operands
    wrong: Sequence[Disagreement]
    reference: str


def explained(
    flat: Flat,
    wrong: Sequence[Disagreement],
    reference: str,
    verdict: str,
) -> str:
    """The message of a GradientError, whose last part is the verdict on where the fault lies."""
    return "\n".join(
        [
            f"check_grad: the derivative is wrong at {flat.at()}\n",
            *table(f"f{flat.path}", flat.names, wrong),
            f"reference: {reference}\n",
            verdict,
        ]
    )


def verdict(fault: Fault) -> str:
    """Operation, line of code, local derivatives and picture of what is at fault."""
    node = fault.node
    name = node.primitive.name if node.primitive else ""
    made = node.provenance
    labelled = f", labelled {node.label!r}" if node.label else ""
    scope = f", in {'/'.join(made.scope)}" if made.scope else ""
    line = f", made in {made.line}" if made.line else ""
    return "\n".join(
        [
            f"the first node whose local derivative disagrees is {name}{labelled}{scope}{line}\n",
            *table(name, fault.names, fault.wrong),
            f"reference: {fault.reference}\n",
            tree(node, depth=_DEPTH),
        ]
    )


def table(function: str, names: Sequence[str], wrong: Sequence[Disagreement]) -> Iterator[str]:
    """Disagreements in columns, the first few of them."""
    modes: dict[tuple[Index, str], list[str]] = {}
    entries: dict[tuple[Index, str], Disagreement] = {}
    for entry in wrong:
        modes.setdefault((entry.at, show(entry.actual)), []).append(entry.mode)
        entries.setdefault((entry.at, show(entry.actual)), entry)
    rows = [
        (
            symbol(function, names, entry.at),
            ", ".join(modes[key]),
            show(entry.expected),
            show(entry.actual),
            f"{entry.error:.1e}",
            f"{entry.allowed:.1e}",
        )
        for key, entry in list(entries.items())[:_ROWS]
    ]
    widths = [max(map(len, column)) for column in zip(_HEADER, *rows, strict=True)]
    for row in (_HEADER, *rows):
        cells = zip(row, widths, strict=True)
        yield "  " + "  ".join(cell.ljust(width) for cell, width in cells).rstrip()
    if len(entries) > _ROWS:
        yield f"  … and {len(entries) - _ROWS} more"


def symbol(function: str, names: Sequence[str], index: Index) -> str:
    """∂²f/∂x∂y for the index (0, 1).

    >>> symbol("f", ["x", "y"], (0, 1))
    '∂²f/∂x∂y'
    """
    power = str(len(index)).translate(_SUPERSCRIPTS) if len(index) > 1 else ""
    return f"∂{power}{function}/" + "".join(f"∂{names[i]}" for i in index)


def show(x: Number) -> str:
    """All digits that a float has."""
    return repr(x) if isinstance(x, float) else str(x)
