"""Long formulas as functions in machine code, made once per process, for one point.

A long program calls them instead of repeating their lines wherever the row occurs: it is ready
sooner, and they are better machine code than it gets itself.
"""

from __future__ import annotations

import functools

from tinygrad_scalar.compiler.ir.lower import alone, has_template, template_of
from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.llvm.builder import NATIVE, Target
from tinygrad_scalar.compiler.llvm.writer import Writer
from tinygrad_scalar.compiler.machine.jit import LOCK, Module, machine
from tinygrad_scalar.core.primitive import Primitive

LONG = 8  # lines of a formula that are worth a call


class FunctionWriter(Writer):
    """Writes the formula of one row as a function."""

    def text(self) -> str:
        """The module."""
        self._start()
        self.binary = self._operations("")  # nothing is fused: a guard may ask for it
        self._lines(range(len(self.program.code)))
        given = ", ".join(f"double %x{k}" for k in range(self.program.inputs))
        result = self.operand(self.program.outputs[0])
        header = f"define double @formula({given}) nounwind {{\nentry:"
        declarations = [f"declare {text}" for text in self.declared.values()]
        return "\n".join([*declarations, header, *self.lines, f"  ret double {result}\n}}"])

    def _input(self, position: int) -> str:
        return f"%x{position}"


@functools.cache
def _made(row: Primitive) -> Module:
    host, program = machine(), alone(row, NATIVE)
    target = Target("double", 1, host.vector, address=host.address)
    return Module(FunctionWriter(program, target, "point", ()).text(), len(program.code))


def functions(program: Program) -> dict[Primitive, int]:
    """The addresses of the functions for those rows of a program that have a long formula."""
    rows = {row for row, _ in program.code if has_template(row) and row.arity} - NATIVE
    long = [row for row in rows if len(template_of(row, row.arity or 0).lines) >= LONG]
    with LOCK:
        return {row: _made(row).addresses["formula"] for row in long}
