"""The engine that is always there: Python source, using the rows' own forward rules."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import CONSTANT, GUARD, INPUT, MARKERS, PARAMETER
from tinygrad_scalar.core.primitive import Primitive


def names(program: Program) -> dict[Primitive, str]:
    """A name for each row that the source calls."""
    chosen: dict[Primitive, str] = {}
    for row, _ in program.code:
        if row in chosen or row.python or row is GUARD or row in MARKERS:
            continue
        name = "".join(c if c.isalnum() else "_" for c in row.name)
        if not name.isidentifier() or keyword.iskeyword(name):
            name = f"row_{name}"
        while name in chosen.values() or name in ("x", "p", "inf", "nan"):
            name += "_"
        chosen[row] = name
    return chosen


def source(program: Program) -> str:
    """Python source of a program: a function of the inputs and the parameters.

    It gives the list of outputs, or None where a guard does not hold.
    """
    called, lines = names(program), ["def replay(x, p):"]
    text = [""] * len(program.code)
    for line, (row, operands) in enumerate(program.code):
        if row is CONSTANT:
            text[line] = literal(operands[0])
            continue
        if row is GUARD:
            condition, outcome = operands
            negation = "not " if program.code[outcome][1][0] else ""
            lines.append(f"    if {negation}{text[condition]}:")
            lines.append("        return None")
            continue
        text[line] = f"u{line + 1}"
        lines.append(f"    {text[line]} = {_expression(row, operands, text, called)}")
    lines.append(f"    return [{', '.join(text[k] for k in program.outputs)}]")
    return "\n".join(lines) + "\n"


def _expression(
    row: Primitive, operands: Sequence[Any], text: list[str], called: dict[Primitive, str]
) -> str:
    if row is INPUT:
        return f"x[{operands[0]}]"
    if row is PARAMETER:
        return f"p[{operands[0]}]"
    written = [text[k] for k in operands]
    if row.python:
        return row.python.format(*written)
    index = f"[{row.index}]" if row.joint is not None else ""
    return f"{called[row]}({', '.join(written)}){index}"


def literal(number: float) -> str:
    """A number as source; −0.0, inf and NaN too."""
    if number != number or math.isinf(number):  # noqa: PLR0124 (NaN)
        return {"inf": "inf", "-inf": "(-inf)"}.get(repr(number), "nan")
    return f"({number!r})" if math.copysign(1.0, number) < 0 else repr(number)


class Kernel:
    """A program ready to run on floats, point by point."""

    left, instructions = None, 0  # it runs any number of calls, and is no interpreter

    def __init__(self, program: Program) -> None:
        self.program = program
        # what has to be finite, though it is no output
        extra = [k for k in program.checked if k not in program.outputs]
        self._asked = len(program.outputs) if extra else None
        self.source = source(replace(program, outputs=[*program.outputs, *extra]))
        namespace: dict[str, Any] = {"inf": math.inf, "nan": math.nan, "abs": abs}
        namespace |= {name: row.forward for row, name in names(program).items()}
        exec(compile(self.source, "<tinygrad_scalar tape>", "exec"), namespace)  # noqa: S102
        self.replay: Callable[..., list[float] | None] = namespace.pop("replay")

    def point(self, x: Sequence[float], p: Sequence[float]) -> list[float] | None:
        """The outputs; None where a guard fails, errors as `backends` says."""
        numbers = self.replay(x, p)
        if self._asked is None or numbers is None:
            return numbers
        if not all(map(math.isfinite, numbers[self._asked :])):
            raise FloatingPointError("a result is not finite")
        return numbers[: self._asked]

    def batch(self, columns: Sequence[Any], p: Sequence[float], size: int) -> tuple[Any, Any, bool]:
        """The outputs, the mask of guards, and whether all is finite: see `backends`."""
        import numpy as np

        program = self.program
        outputs = np.zeros((len(program.outputs), size))
        mask = np.ones(size, dtype=bool) if program.guards else None
        raised = False
        rows = [[c] * size if isinstance(c, float) else c.tolist() for c in columns]
        for k, x in enumerate(zip(*rows, strict=True) if rows else [()] * size):
            point = [float(number) for number in x]
            try:
                numbers = self.point(point, p)
            except Exception:  # noqa: BLE001 (a row of one's own may raise anything)
                limits, held = program.at_limits(point, p)
                raised, numbers = True, limits if held else None
            if numbers is not None:
                outputs[:, k] = numbers
            elif mask is not None:
                mask[k] = False
        return outputs, mask, not raised and bool(np.isfinite(outputs).all())
