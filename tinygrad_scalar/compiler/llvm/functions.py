"""What programs call: functions of the C library, long formulas, and rules that only Python knows.

Long formulas are functions in machine code, made once per process, for one point. A long program
calls them instead of repeating their lines wherever the row occurs: it is ready sooner, and they
are better machine code than it gets itself.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Collection
from typing import Any

from tinygrad_scalar.compiler.ir.lower import alone, has_template, template_of
from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import MARKERS, ieee
from tinygrad_scalar.compiler.llvm.builder import LIBRARY, NATIVE, Target
from tinygrad_scalar.compiler.llvm.writer import Writer
from tinygrad_scalar.compiler.machine.jit import LOCK, Module, machine
from tinygrad_scalar.core.primitive import Primitive

LONG = 8  # lines of a formula that are worth a call


class FunctionWriter(Writer):
    """Writes the formula of one row as a function."""

    def text(self) -> str:
        """The module."""
        self._start()
        self.contract = ""  # nothing is fused: a guard may ask for it
        self._lines(range(len(self.program.code)))
        given = ", ".join(f"double %x{k}" for k in range(self.program.inputs))
        result = self.operand(self.program.outputs[0])
        self.give(f"double {result}")
        declarations = [f"declare {text}" for text in self.declared.values()]
        return "\n".join([*declarations, self._defined(f"double @formula({given})")])

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


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.POINTER(ctypes.c_double))


class Callbacks:
    """Forward rules of rows that only Python knows, callable from machine code."""

    def __init__(self, program: Program, native: Collection[Primitive]) -> None:
        self._raised = threading.local()  # what a rule raised is the caller's, not another thread's
        self.thunks: dict[Primitive, Any] = {}
        for row, operands in program.code:
            if row not in native and row not in MARKERS and row not in self.thunks:
                self.thunks[row] = _CALLBACK(functools.partial(self._call, row, len(operands)))
        self.addresses = {
            row: ctypes.cast(thunk, ctypes.c_void_p).value or 0
            for row, thunk in self.thunks.items()
        }

    def _call(self, row: Primitive, count: int, x: Any) -> float:
        try:
            return float(ieee(row, x[:count]))
        except BaseException as error:  # noqa: BLE001 (nothing can be raised through machine code)
            self._raised.error = error
            return float("nan")

    def check(self, *, guarded: bool = True) -> None:
        """Raise what a forward rule raised that is neither arithmetic nor a domain.

        Where a guard failed, the function itself would not call the rule: only an interrupt counts.
        """
        error = getattr(self._raised, "error", None)
        if error is not None:
            self._raised.error = None
            if guarded or not isinstance(error, Exception):
                raise error


@functools.cache
def _in_lanes() -> frozenset[Primitive]:
    """The functions of the C library whose formulas call none, or none but these themselves."""
    found = {row for row in LIBRARY if row.formula is not None}
    while True:
        called = NATIVE - LIBRARY.keys() | found | {None}
        calling = {
            row
            for row in found
            if any(inner not in called for inner, _ in template_of(row, row.arity or 0).lines)
        }
        if not calling:
            return frozenset(found)
        found -= calling


def native_rows(dtype: str) -> frozenset[Primitive]:
    """The rows that lanes have: without a vector library exp, log and their kin are formulas."""
    if dtype != "float64":
        return NATIVE
    host = machine()
    return NATIVE - {row for row in _in_lanes() if host.vector(LIBRARY[row], 1) is None}
