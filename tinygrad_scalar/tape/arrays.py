"""The engine "numpy": the same straight lines over whole arrays, a block of points at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from tinygrad_scalar import primitives as p
from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.tape.code import COMPARISONS, GUARDS, HOLDS, ieee
from tinygrad_scalar.tape.lowering import lowered
from tinygrad_scalar.tape.program import CONSTANT, INPUT, PARAMETER, Program
from tinygrad_scalar.tape.python import literal

BLOCK = 8192  # points: their intermediate arrays stay in the cache

OPERATORS = {p.add: "{} + {}", p.sub: "{} - {}", p.mul: "{} * {}", p.div: "{} / {}", p.neg: "-{}"}
# NumPy's spellings where they differ from the row's name.
SPELLINGS = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh",
    "acosh": "arccosh", "atanh": "arctanh", "pow": "power", "round": "rint",
    "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "eq": "equal", "ne": "not_equal",
}  # fmt: skip
# fmt: off
SAME = (
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt", "hypot", "sin", "cos",
    "tan", "sinh", "cosh", "tanh", "floor", "ceil", "trunc", "abs", "copysign", "fmod", "where",
)
# fmt: on
_CONDITIONS = frozenset(COMPARISONS.values())
NATIVE = frozenset(
    (
        *OPERATORS, *_CONDITIONS, *GUARDS,
        *(p.TABLE[name] for name in (*SAME, *SPELLINGS) if name in p.TABLE),
    )
)  # fmt: skip


def source(program: Program) -> str:
    """Python source over arrays; unlike the scalar source it goes on where a guard fails."""
    lines = ["def replay(np, rows, x, p, mask, out):"]
    text: list[str] = []
    for line, (row, operands) in enumerate(program.code):
        if row is CONSTANT:
            text.append(literal(operands[0]))
            continue
        text.append(f"u{line + 1}")
        if row in GUARDS:
            sign = "!=" if row is HOLDS else "=="
            lines.append(f"    mask &= {_plain(program, operands[0], text)} {sign} 0.0")
        else:
            lines.append(f"    {text[-1]} = {_expression(program, row, operands, text)}")
    for k, line in enumerate(program.outputs):
        lines.append(f"    out[{k}] = {text[line]}")
    return "\n".join(lines) + "\n"


def _plain(program: Program, line: int, text: list[str]) -> str:
    """An operand as a number: NumPy does not negate or subtract truth values."""
    return f"({text[line]} + 0.0)" if program.code[line][0] in _CONDITIONS else text[line]


def _expression(program: Program, row: Primitive, operands: Sequence[int], text: list[str]) -> str:
    if row is INPUT:
        return f"x[{operands[0]}]"
    if row is PARAMETER:
        return f"p[{operands[0]}]"
    written = [_plain(program, k, text) for k in operands]
    if row in OPERATORS:
        return OPERATORS[row].format(*written)
    if row is p.where:
        return f"np.where({text[operands[0]]}, {written[1]}, {written[2]})"
    if row in NATIVE:
        return f"np.{SPELLINGS.get(row.name, row.name)}({', '.join(written)})"
    index = f"rows[{row.name!r}, {row.index}, {len(operands)}]"
    return f"{index}({', '.join(written)})"


class Kernel:
    """A program ready to run on columns."""

    def __init__(self, program: Program, dtype: str) -> None:
        self.program, self.dtype = lowered(program, NATIVE), dtype
        self.source = source(self.program)
        namespace: dict[str, Any] = {"inf": float("inf"), "nan": float("nan")}
        exec(compile(self.source, "<tinygrad_scalar tape>", "exec"), namespace)  # noqa: S102
        self.replay: Callable[..., None] = namespace["replay"]
        self.rows = {
            (row.name, row.index, len(operands)): _vectorised(row, len(operands), dtype)
            for row, operands in self.program.code
            if row not in NATIVE and row not in (INPUT, PARAMETER, CONSTANT)
        }

    def batch(self, columns: Sequence[Any], p: Sequence[float], size: int) -> tuple[Any, Any]:
        """The outputs at every point as an array (m, size), and where the guards hold."""
        import numpy as np

        outputs = np.empty((len(self.program.outputs), size), self.dtype)
        mask = np.ones(size, dtype=bool)
        with np.errstate(all="ignore"):
            kind = np.dtype(self.dtype).type
            arrays = [
                kind(c) if isinstance(c, float) else c.astype(self.dtype, copy=False)
                for c in columns
            ]
            numbers = [kind(x) for x in p]  # their arithmetic overflows without a word
            for start in range(0, size, BLOCK):
                block = slice(start, start + BLOCK)
                x = [a if a.ndim == 0 else a[block] for a in arrays]
                self.replay(np, self.rows, x, numbers, mask[block], outputs[:, block])
        return outputs, mask if self.program.guards else None


def _vectorised(row: Primitive, count: int, dtype: str) -> Callable[..., Any]:
    """A row that NumPy lacks: SciPy's where it is installed, else point by point."""
    if row is p.TABLE.get(row.name) and row.name in ("erf", "erfc") and find_spec("scipy"):
        import scipy.special

        return getattr(scipy.special, row.name)  # type: ignore[no-any-return]
    import numpy as np

    def forward(*x: Any) -> float:
        return float(ieee(row, [float(number) for number in x]))

    each = np.frompyfunc(forward, count, 1)
    return lambda *x: np.asarray(each(*x), dtype)
