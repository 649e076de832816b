"""What programs call: functions of the C library, and rules that only Python knows."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Collection
from typing import Any

from tinygrad_scalar.compiler.ir.lower import template_of
from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import MARKERS, ieee
from tinygrad_scalar.compiler.llvm.builder import LIBRARY, NATIVE
from tinygrad_scalar.compiler.machine.jit import machine
from tinygrad_scalar.core.primitive import Primitive

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
