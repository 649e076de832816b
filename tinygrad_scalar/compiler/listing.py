"""What was made, to read: `f.tape`, the flat table u(1)…u(n), and `f.source_for` a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.c.cuda import columns, kernel_source
from tinygrad_scalar.compiler.ir.lower import lowered
from tinygrad_scalar.compiler.ir.tables import tables_of
from tinygrad_scalar.compiler.ir.tape import CONSTANT, INPUT, PARAMETER
from tinygrad_scalar.compiler.llvm.builder import NATIVE, Target
from tinygrad_scalar.compiler.llvm.loops import RollingWriter
from tinygrad_scalar.compiler.paths import VALUE, Path, Request
from tinygrad_scalar.compiler.python.kernel import source
from tinygrad_scalar.compiler.to_c import library
from tinygrad_scalar.core.value import Value

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.dispatch import Specialisation

SHOWN = 60  # lines before the text is cut
TARGETS = ("python", "llvm", "c", "cuda")


class Listing:
    """The instructions of one trace: a sequence of (name, operands), shown as lines of text.

    >>> from tinygrad_scalar import compile
    >>> f = compile(lambda x: x * x + 1.0)
    >>> f(3.0)
    10.0
    >>> print(f.tape)
    u1 = input 0
    u2 = mul(u1, u1)
    u3 = 1.0
    u4 = add(u2, u3)
    return u4
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __len__(self) -> int:
        return len(self._path.recording.tape.code)

    def __iter__(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for row, operands in self._path.recording.tape.code:
            yield row.name, operands

    def __getitem__(self, i: int) -> tuple[str, tuple[Any, ...]]:
        row, operands = self._path.recording.tape.code[i]
        return row.name, operands

    def __repr__(self) -> str:
        code = self._path.recording.tape.code
        tables = tables_of(self._path.lookups)
        looked_up = {
            one.position + k: f"take(table {tables.index(one.table)}, u{one.line + 1})[{k}]"
            for one in self._path.lookups
            for k in range(one.table.count)
        }
        lines = []
        for i, (row, operands) in enumerate(code[:SHOWN]):
            if row is CONSTANT:
                text = repr(operands[0])
            elif row is INPUT and operands[0] in looked_up:
                text = looked_up[operands[0]]
            elif row in (INPUT, PARAMETER):
                text = f"{row.name} {operands[0]}"
            else:
                text = f"{row.name}({', '.join(f'u{k + 1}' for k in operands)})"
            lines.append(f"u{i + 1} = {text}")
        if len(code) > SHOWN:
            lines.append(f"… {len(code) - SHOWN} more")
        return "\n".join([*lines, f"return {', '.join(f'u{k + 1}' for k in self._path.outputs)}"])

    def output(self) -> Value:
        """The (first) output as a graph of Values at the point of the trace."""
        path = self._path
        inputs = [Value(x, label=f"x{k}") for k, x in enumerate(path.recording.point)]
        y = path.replayed(inputs, path.leaves)[0]
        return y if isinstance(y, Value) else Value(y)


def source_for(
    target: str, own: Specialisation, inputs: Sequence[int], dtype: str, about: str
) -> str:
    """The source of value and gradient, or of the values where there are several."""
    if target not in TARGETS:
        raise ValueError(
            f"source_for: the target is one of {', '.join(map(repr, TARGETS))}, not {target!r}"
        )
    path = own.paths[-1]
    request = Request("value_and_grad", inputs) if len(path.outputs) == 1 else VALUE
    if target == "c":
        return library(own.paths, request, "compiled", "compiled", about)[0]
    program = path.program(request)
    if target == "cuda":
        program = path.program_in_memory(request)
        return kernel_source(program, columns(program), "double" if dtype == "float64" else "float")
    if target == "python":
        return source(program)
    return RollingWriter(
        lowered(program, NATIVE), Target("double", 1, lambda *_: None), "point", ()
    ).module()
