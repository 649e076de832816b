"""The fast engine: programs compiled by LLVM, through llvmlite.

One point runs as scalar code. A batch runs in vector lanes, one point per lane: parameters and
numbers that are the same for all points are broadcast. Functions come from the C library's vector
twin where it is at hand (at most 4 ulps off), else from the C library, lane by lane.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import threading
from array import array
from collections.abc import Collection, Sequence
from typing import Any

from tinygrad_scalar.compiler.ir.lower import lowered, template_of
from tinygrad_scalar.compiler.ir.program import Program, scheduled
from tinygrad_scalar.compiler.ir.tape import CONSTANT, INPUT, PARAMETER, ieee
from tinygrad_scalar.compiler.llvm.array_entry import ArrayEntry
from tinygrad_scalar.compiler.llvm.builder import LIBRARY, NATIVE, Target
from tinygrad_scalar.compiler.llvm.functions import functions
from tinygrad_scalar.compiler.llvm.loops import RollingWriter
from tinygrad_scalar.compiler.machine.entry import Entry
from tinygrad_scalar.compiler.machine.jit import LOCK, MEDIUM, SMALL, Module, machine
from tinygrad_scalar.compiler.machine.workspace import TURNS, Workspace, address, aligned
from tinygrad_scalar.core.primitive import Primitive

LARGE, LARGEST = 2**20, 2**26  # bytes of outputs that are worth keeping room for, and are kept
SHORT = 2**14  # points whose sums are worked out at a time


def _references(rooms: list[Any]) -> int:
    """How many references are counted to an array that only such a list holds."""
    return next(sys.getrefcount(room) for room in rooms)


NOBODY = _references([object()])
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.POINTER(ctypes.c_double))
_IGNORED = frozenset((INPUT, PARAMETER, CONSTANT))


class Callbacks:
    """Forward rules of rows that only Python knows, callable from machine code."""

    def __init__(self, program: Program, native: Collection[Primitive]) -> None:
        self._raised = threading.local()  # what a rule raised is the caller's, not another thread's
        self.thunks: dict[Primitive, Any] = {}
        for row, operands in program.code:
            if row not in native and row not in _IGNORED and row not in self.thunks:
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


def _native(dtype: str) -> frozenset[Primitive]:
    """The rows that lanes have: without a vector library exp, log and their kin are formulas."""
    if dtype != "float64":
        return NATIVE
    host = machine()
    return NATIVE - {row for row in _in_lanes() if host.vector(LIBRARY[row], 1) is None}


class Kernel:
    """A program as machine code: for one point (`varying` None), or for batches."""

    left: int | None = None  # calls that it is made for, None for any number

    def __init__(self, program: Program, dtype: str, varying: Sequence[bool] | None) -> None:
        large = varying is None and len(program.code) > MEDIUM
        self.functions = functions(program) if large else {}
        native = (_native(dtype) if varying else NATIVE) | self.functions.keys()
        program = lowered(program, native)
        self.program = program if varying is None else scheduled(program)
        self.dtype, self.varying = dtype, varying
        self.callbacks = Callbacks(self.program, native)
        self.guards = self.program.guards
        self.modules: dict[str, tuple[Module, Any, int]] = {}
        self.rooms: list[Any] = []
        self.workspaces: list[Workspace] = []  # for sums, when nobody is at work in them
        if varying is None:
            self._point_made()

    # ── one point ─────────────────────────────────────────────────────────────────────────────
    def _point_made(self) -> None:
        host, program = machine(), self.program
        callbacks = self.callbacks.addresses
        target = Target("double", 1, host.vector, callbacks, host.address, self.functions)
        writer = RollingWriter(program, target, "point", ())
        self.module = Module(writer.module(), writer.size)
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)
        if not self.callbacks.thunks and len(program.code) < SMALL:
            kind = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 5)  # too short to let others run
        self.run = self.module.function("point", kind)
        self.pool: list[Any] = []
        self.scratch = writer.slot_count

    def entry(self, arguments: Sequence[Any], tree: Any) -> Any:
        """What is called with floats and lists, or with arrays; None if it cannot be.

        Both are structures with None for a number.
        """
        if self.program.parameters or self.callbacks.thunks:
            return None
        made = Entry.of(self, arguments, tree)
        if made is None:
            return ArrayEntry.of(self, arguments, tree) if self.left is None else None
        self.left = self.left and 1  # when the entry gives up
        return made

    def buffer(self) -> Any:
        """Room for one call: x, p, the outputs, scratch, the mask."""
        program = self.program
        x, p, m = program.inputs, program.parameters, len(program.outputs)
        size = x + p + m + self.scratch + 1
        room = (ctypes.c_double * size)()
        base = ctypes.addressof(room)
        starts = [base + 8 * k for k in (0, x, x + p, x + p + m, x + p + m + self.scratch)]
        view = memoryview(room).cast("B").cast("d")
        flags = memoryview(room).cast("B")[8 * (size - 1) :]
        return view, flags, starts, room

    def point(self, x: Sequence[float], p: Sequence[float]) -> Sequence[float] | None:
        """The outputs; None where a guard fails, ArithmeticError where a result is not finite."""
        numbers, finite = self._run(x, p)
        if numbers is not None and not finite:
            raise FloatingPointError("a result is not finite")
        return numbers

    def _run(self, x: Sequence[float], p: Sequence[float]) -> tuple[Sequence[float] | None, bool]:
        """The outputs, None where a guard fails, and whether all was finite on the way."""
        try:
            buffer = self.pool.pop()
        except IndexError:
            buffer = self.buffer()
        view, flags, starts, _ = buffer
        first = self.program.inputs
        offset = first + self.program.parameters
        view[:first] = x if x.__class__ is array else array("d", x)
        if p:
            view[first:offset] = p
        end = offset + len(self.program.outputs)
        view[end] = 0.0
        flags[0] = 1
        self.run(*starts)
        if self.callbacks.thunks:
            self.callbacks.check(guarded=bool(flags[0]))
        numbers = array("d") if flags[0] else None
        if numbers is not None:
            numbers.frombytes(view[offset:end].cast("B"))
        finite = view[end] == 0.0
        self.pool.append(buffer)
        return numbers, finite

    # ── a batch ───────────────────────────────────────────────────────────────────────────────
    def _made(self, how: str) -> tuple[Any, int]:
        with LOCK:
            if how not in self.modules:
                host, program = machine(), self.program
                kind = "double" if self.dtype == "float64" else "float"
                lanes = host.bytes // (8 if kind == "double" else 4)
                target = Target(kind, lanes, host.vector, self.callbacks.addresses, host.address)
                writer = RollingWriter(program, target, how, self.varying or ())
                module = Module(writer.module(), writer.size)
                signature = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * 5)
                run = module.function("run", signature)
                self.modules[how] = (module, run, writer.slot_count)
            _, run, slots = self.modules[how]
            return run, slots

    def _lanes(self) -> int:
        return machine().bytes // (8 if self.dtype == "float64" else 4)

    def room(self, size: int) -> Any:
        """Where the outputs of a batch are written, for threads that share it."""
        return self._room((len(self.program.outputs), size))

    def batch(
        self, columns: Sequence[Any], p: Sequence[float], size: int, into: Any = None
    ) -> tuple[Any, Any, bool]:
        """The outputs at every point as an array (m, size), where the guards hold, and whether
        what is checked is finite."""  # noqa: D205, D209
        import numpy as np

        lanes, (run, slots) = self._lanes(), self._made("batch")
        count = max(size, lanes)
        arrays = [self._column(column, count - size) for column in columns]
        outputs = self.room(count) if into is None else into
        mask = np.ones(count, dtype=np.uint8) if self.guards else None
        parameters, scratch = np.asarray(p, self.dtype), aligned(slots * lanes + 1, self.dtype)
        x, out = (array("q", map(address, each)) for each in (arrays, outputs))
        flags = 0 if mask is None else address(mask)
        starts = x.buffer_info()[0], address(parameters), out.buffer_info()[0], address(scratch)
        run(count, *starts, flags)
        self.callbacks.check()
        finite = bool(np.isfinite(scratch[: TURNS * lanes]).all())
        return outputs[:, :size], None if mask is None else mask[:size].view(bool), finite

    def _column(self, column: Any, more: int) -> Any:
        """A contiguous column with its last point again and again, up to whole lanes."""
        import numpy as np

        if isinstance(column, float):
            return np.full(1, column, self.dtype)
        own = np.ascontiguousarray(column, self.dtype)
        return np.append(own, own[-1:].repeat(more)) if more else own

    def _room(self, shape: tuple[int, int]) -> Any:
        """An array for outputs: a large one again, once nobody holds it or a part of it any more.

        Fresh pages cost as much as computing what is written to them.
        """
        import numpy as np

        free = (room for room in self.rooms if sys.getrefcount(room) == NOBODY)
        for room in free:
            if room.shape == shape:
                return room
        room = np.empty(shape, self.dtype)
        if LARGE <= room.nbytes <= LARGEST:
            self.rooms = [*self.rooms[-1:], room]
        return room

    def sums(self, columns: Sequence[Any], p: Sequence[float], size: int) -> tuple[Any, Any, bool]:
        """The sums of outputs over the points where the guards hold, where they do, and whether
        what is checked is finite. With the sums come outputs that are wanted for every point.
        """  # noqa: D205
        if size <= SHORT:
            return self._sums(columns, p, size)
        import numpy as np

        results, masks, finite = zip(
            *(
                self._sums(
                    [c if isinstance(c, float) else c[start : start + SHORT] for c in columns],
                    p,
                    min(SHORT, size - start),
                )
                for start in range(0, size, SHORT)
            ),
            strict=True,
        )
        totals, each = zip(*results, strict=True)
        held = [np.ones(SHORT, bool) if mask is None else mask for mask in masks]
        mask = np.concatenate(held)[:size] if any(mask is not None for mask in masks) else None
        return (np.sum(totals, axis=0), np.concatenate(each, axis=1)), mask, all(finite)

    def _sums(self, columns: Sequence[Any], p: Sequence[float], size: int) -> tuple[Any, Any, bool]:
        """The same for no more points than are worked on at once."""
        space = self._workspace(size)
        results = space.sums(columns, p)
        self.callbacks.check()
        held, finite = space.mask[:size].view(bool), space.finite()
        mask = held.copy() if self.guards and b"\0" in held.tobytes() else None
        with LOCK:
            self.workspaces = [space, *self.workspaces[:3]]
        return results, mask, finite

    def _workspace(self, size: int) -> Workspace:
        with LOCK:
            for place, space in enumerate(self.workspaces):
                if space.size == size:
                    return self.workspaces.pop(place)
        run, slots = self._made("sums")
        program = self.program
        summed = len(program.outputs) - program.apart
        lengths = (program.parameters, summed, program.apart, slots)
        return Workspace(run, size, self._lanes(), self.varying or (), lengths, self.dtype)
