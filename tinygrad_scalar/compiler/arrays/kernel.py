"""The engine "numpy": the same straight lines over whole arrays, of any Array-API namespace.

The source calls the standard's functions on `xp`: NumPy, or the namespace that the arrays of
another library belong to. Rows that it lacks are written in simpler rows; where there are none,
they are worked out on the host, point by point.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tinygrad_scalar.compiler.arrays.namespaces import from_host, on_host, readable
from tinygrad_scalar.compiler.ir.lower import lowered
from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import (
    CONDITIONS,
    CONSTANT,
    EVERY_ROW,
    GUARD,
    INPUT,
    MARKERS,
    MEMORY,
    SCATTER,
    TABLE,
    TAKE,
    TraceError,
    ieee,
    places_in,
)
from tinygrad_scalar.compiler.python import literal, names
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers.precision import quietly

BLOCK = 8192  # points: their intermediate arrays stay in the cache

OPERATORS = {row: row.array for row in EVERY_ROW if "{" in row.array}
# Where a library keeps its special functions.
SPECIAL = {
    "numpy": "scipy.special",
    "torch": "torch.special",
    "jax.numpy": "jax.scipy.special",
    "cupy": "cupyx.scipy.special",
}


def functions_of(xp: Any) -> dict[Primitive, str]:
    """The rows that a namespace has a function for, and its name."""
    named = (row for row in EVERY_ROW if row.array and row not in OPERATORS)
    names = {row: row.array for row in named if hasattr(xp, row.array)}
    if hasattr(xp, "fmod"):
        return names
    return names | {row: name for row in EVERY_ROW for name in row.numpy if name == "remainder"}


def special_functions_of(xp: Any) -> dict[Primitive, Callable[..., Any]]:
    """The special functions of a namespace, by row.

    Those of SciPy's that have no formula are less exact than the rows' own on the host.
    """
    module = SPECIAL.get(xp.__name__)
    if module is None or not find_spec(module.partition(".")[0]):
        return {}
    found = import_module(module)
    return {
        row: getattr(found, row.scipy)
        for row in EVERY_ROW
        if hasattr(found, row.scipy or " ") and (row.formula is not None or xp.__name__ != "numpy")
    }


def source(program: Program, functions: Mapping[Primitive, str]) -> str:
    """Python source over arrays; unlike the scalar source it goes on where a guard fails.

    It gives outputs, mask, and a sum of all that is checked: NaN or inf unless all is finite.
    """
    checked, total = set(program.checked), "0.0"
    lines = ["def replay(xp, rows, number, x, p):"]
    called = names(program)
    text: list[str] = []
    mask = "None"
    for line, (row, operands) in enumerate(program.code):
        if row is CONSTANT:
            text.append(literal(operands[0]))
            continue
        text.append(f"u{line + 1}")
        if row is GUARD:
            condition, outcome = operands
            truth = _truth(program, condition, text)
            held = truth if program.code[outcome][1][0] else f"~{truth}"
            lines.append(f"    mask = {held if mask == 'None' else f'mask & {held}'}")
            mask = "mask"
        else:
            lines.append(f"    {text[-1]} = {_expression(program, line, text, functions, called)}")
            if line in checked:
                lines.append(f"    total = {total} + {text[-1]}.sum()")
                total = "total"
    outputs = ", ".join(_number(program, line, text) for line in program.outputs)
    lines.append(f"    return [{outputs}], {mask}, {total}")
    return "\n".join(lines) + "\n"


def _truth(program: Program, line: int, text: list[str]) -> str:
    """A line as truth values."""
    return text[line] if program.code[line][0] in CONDITIONS else f"({text[line]} != 0.0)"


def _number(program: Program, line: int, text: list[str]) -> str:
    """A line as numbers: truth values are neither negated nor subtracted."""
    condition = program.code[line][0] in CONDITIONS
    return f"xp.where({text[line]}, number(1.0), number(0.0))" if condition else text[line]


def _expression(
    program: Program,
    line: int,
    text: list[str],
    functions: Mapping[Primitive, str],
    called: Mapping[Primitive, str],
) -> str:
    row, operands = program.code[line]
    if row in MARKERS:
        return f"{'x' if row is INPUT else 'p'}[{operands[0]}]"
    written = [_number(program, k, text) for k in operands]
    constant = [program.code[k][0] is CONSTANT for k in operands]
    if row not in OPERATORS or all(constant):  # 1 / 0 is an error in Python
        written = [f"number({x})" if c else x for x, c in zip(written, constant, strict=True)]
    if row in OPERATORS:
        return OPERATORS[row].format(*written)
    if row.choice:
        written[0] = _truth(program, operands[0], text)
    if row in functions:
        return f"xp.{functions[row]}({', '.join(written)})"
    return f"rows[{called[row]!r}, {len(operands)}]({', '.join(written)})"


class Kernel:
    """A program ready to run on columns, NumPy's or those of another namespace `xp`."""

    def __init__(self, program: Program, dtype: str, xp: Any = None) -> None:
        own, xp = xp is None, xp or import_module("numpy")
        self.xp, self.dtype = xp, dtype
        functions, special = functions_of(xp), special_functions_of(xp)
        if not own:  # nothing is asked of another library's arrays but what is needed
            program = replace(program, checked=[])
        native = functions.keys() | OPERATORS.keys() | special.keys() | MEMORY
        self.program = lowered(program, native)
        self.source = source(self.program, functions)
        namespace: dict[str, Any] = {"inf": float("inf"), "nan": float("nan")}
        exec(compile(self.source, "<tinygrad_scalar tape>", "exec"), namespace)  # noqa: S102
        self.replay: Callable[..., tuple[list[Any], Any, Any]] = namespace.pop("replay")
        known = functions.keys() | OPERATORS.keys() | MARKERS | {GUARD}
        called, special = names(self.program), special | memory_of(xp)
        self.rows = {
            (called[row], len(operands)): special.get(row) or _on_host(row, len(operands), xp)
            for row, operands in self.program.code
            if row not in known
        }

    def batch(self, columns: Sequence[Any], p: Sequence[float], size: int) -> tuple[Any, Any, bool]:
        """The outputs, the mask of guards, and whether all is finite: see `backends`."""
        return quietly(self._batch, columns, p, size)  # type: ignore[no-any-return]

    def _batch(
        self, columns: Sequence[Any], p: Sequence[float], size: int
    ) -> tuple[Any, Any, bool]:
        import numpy as np

        total = 0.0
        outputs = np.empty((len(self.program.outputs), size), self.dtype)
        mask = np.ones(size, dtype=bool)
        number = np.dtype(self.dtype).type  # its arithmetic overflows without a word
        arrays = [
            number(c) if isinstance(c, float) else c.astype(self.dtype, copy=False) for c in columns
        ]
        leaves = [number(y) for y in p]
        for start in range(0, size, BLOCK):
            block = slice(start, start + BLOCK)
            x = [a if a.ndim == 0 else a[block] for a in arrays]
            results, held, checked = self.replay(np, self.rows, number, x, leaves)
            total += float(checked)
            for output, result in zip(outputs, results, strict=True):
                output[block] = result
            if held is not None:
                mask[block] = held
        return outputs, mask if self.program.guards else None, math.isfinite(total)

    def everywhere(self, columns: Sequence[Any], p: Sequence[float], ones: Any) -> tuple[Any, Any]:
        """The outputs at every point, each an array like `ones`, and where the guards hold."""
        return quietly(self._everywhere, columns, p, ones)  # type: ignore[no-any-return]

    def _everywhere(self, columns: Sequence[Any], p: Sequence[float], ones: Any) -> tuple[Any, Any]:
        one = ones[0] if ones.ndim else ones
        outputs: list[Any] = []
        seen: set[int] = set()
        x = [c * one if isinstance(c, float) else c for c in columns]
        leaves = [y * one for y in p]
        results, held, _ = self.replay(self.xp, self.rows, lambda c: c * one, x, leaves)
        for line, result in zip(self.program.outputs, results, strict=True):
            computed = self.program.code[line][0] not in MARKERS and line not in seen
            fresh = computed and result.shape == ones.shape
            outputs.append(result if fresh else result * ones)
            seen.add(line)
        return outputs, held


def _on_host(row: Primitive, count: int, xp: Any) -> Callable[..., Any]:
    """A row that a namespace lacks, point by point on NumPy's arrays."""
    import numpy as np

    def forward(*x: Any) -> float:
        return float(ieee(row, [float(number) for number in x]))

    each = np.frompyfunc(forward, count, 1)
    if xp is np:
        return lambda *x: np.asarray(each(*x), x[0].dtype)

    def run(*x: Any) -> Any:
        if not all(map(readable, x)):
            raise TraceError(
                f"{row.name}: {xp.__name__} has no such function, and it is worked out on the "
                "host, which neither a transformation nor a gradient of that library goes "
                "through: call the compiled function outside, and take gradients by f.grad"
            )
        return from_host(np.asarray(each(*map(on_host, x)), float), x[0])

    return run


def memory_of(xp: Any) -> dict[Primitive, Callable[..., Any]]:
    """The rows of memory over the arrays of a namespace."""
    if xp.__name__ == "numpy":
        return {TABLE: _stacked, TAKE: _taken, SCATTER: _scattered}
    return {  # by comparisons: other libraries have no gather in common
        TABLE: lambda *entries: functools.partial(_chosen, xp, entries),
        SCATTER: lambda _, *pairs: functools.partial(_summed, xp, pairs),
        TAKE: lambda i, held: held(i),
    }


def _stacked(*entries: Any) -> Any:
    import numpy as np

    shape = np.broadcast_shapes(*map(np.shape, entries))
    held = np.empty((len(entries), *shape), getattr(entries[0], "dtype", float))
    for k, entry in enumerate(entries):
        held[k] = entry
    return held


def _taken(i: Any, held: Any) -> Any:
    import numpy as np

    entries = places_in(i, len(held))
    return held[entries, np.arange(held.shape[1])] if held.ndim > 1 else held[entries]


def _scattered(length: Any, *pairs: Any) -> Any:
    import numpy as np

    (size,) = shape = np.broadcast_shapes((1,), *map(np.shape, pairs))
    held, points = np.zeros((int(length), size)), np.arange(size)
    for i, term in zip(pairs[::2], pairs[1::2], strict=True):
        held[np.broadcast_to(places_in(i, len(held)), shape), points] += term
    return held


def _chosen(xp: Any, entries: Sequence[Any], i: Any) -> Any:
    found = entries[0]
    for k, entry in enumerate(entries[1:], start=1):
        found = xp.where(i == float(k), entry, found)
    return found


def _summed(xp: Any, pairs: Sequence[Any], i: Any) -> Any:
    total = xp.zeros_like(i)
    for index, term in zip(pairs[::2], pairs[1::2], strict=True):
        total = total + xp.where(index == i, term, xp.zeros_like(term))
    return total
