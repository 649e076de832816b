"""The fast engine: programs compiled by LLVM, through llvmlite.

One point runs as scalar code. A batch runs in vector lanes, one point per lane: parameters and
numbers that are the same for all points are broadcast. Functions come from the C library's vector
twin where it is at hand (at most 4 ulps off), else from the C library, lane by lane.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
import threading
from array import array
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_scalar.compiler.ir.lower import lowered
from tinygrad_scalar.compiler.ir.program import Program, sines_with_cosines
from tinygrad_scalar.compiler.ir.schedule import scheduled
from tinygrad_scalar.compiler.ir.tape import MARKERS, Line, ieee
from tinygrad_scalar.compiler.llvm.builder import Target, native_rows
from tinygrad_scalar.compiler.llvm.loops import RollingWriter
from tinygrad_scalar.compiler.machine.entry import entry
from tinygrad_scalar.compiler.machine.jit import LOCK, MEDIUM, Module, machine, without_collector
from tinygrad_scalar.compiler.machine.objects import address
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers.precision import quietly

SMALL = 500  # lines that run too short a time to let other threads run meanwhile
LARGE, LARGEST = 2**20, 2**26  # bytes of outputs that are worth keeping room for, and are kept
VECTORS = 2  # of points worked on side by side, where there are as many
LONGEST = 2_000  # lines that are worth being written for several vectors
# Points, of one call and of all so far, on which code is run that is worth more time to be made.
# It is ready in half the time without, and takes up to a third longer to run.
IN_ONE, IN_ALL = 2**12, 2**16
FEW = 2**14  # numbers that are copied sooner than it is said where they are
_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_double))
_RUN = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * 5)  # what runs a batch
# what runs one point, and the same of so little that other threads may wait: each use of PYFUNCTYPE
# makes another class, which is left to the collector
_POINT = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)
_SHORT_POINT = ctypes.PYFUNCTYPE(None, *[ctypes.c_void_p] * 5)
NOBODY = next(sys.getrefcount(room) for room in [object()])  # references to what a list holds


def aligned(size: int, dtype: str) -> Any:
    """Zeros that begin where a line of the cache does: lanes are in one of them then."""
    room = np.zeros(size + 64 // np.dtype(dtype).itemsize, dtype)
    start = -address(room) % 64 // room.itemsize
    return room[start : start + size]


class _Raised(threading.local):
    """What ended a rule first, which is the caller's, not another thread's."""

    error: BaseException | None = None

    def call(self, row: Primitive, count: int, x: Any) -> None:
        """Write what a row gives behind its operands; here, so that thunks hold no `Callbacks`."""
        y, error = math.nan, self.error
        if error is None:
            try:
                y = float(ieee(row, x[:count]))
            except BaseException as raised:  # noqa: BLE001 (nothing is raised through machine code)
                error = raised
        self.error = error
        x[count] = y


class Callbacks:
    """Forward rules of rows that only Python knows, callable from machine code.

    Behind the first that raises none is called any more. So where a rule calls the same code again,
    nothing is noted, and what it notes itself is over when it ends.
    """

    def __init__(self, code: Iterable[Line], native: Collection[Primitive]) -> None:
        self._raised = _Raised()
        self._missed = ctypes.c_int64()  # see `Target`
        self.missed = ctypes.addressof(self._missed)
        self.thunks: dict[Primitive, Any] = {}
        for row, operands in code:
            if row not in native and row not in MARKERS and row not in self.thunks:
                self.thunks[row] = _CALLBACK(
                    functools.partial(self._raised.call, row, len(operands))
                )
        # read where they stand: by `cast` a thunk would hold itself
        self.addresses = {
            row: ctypes.c_void_p.from_address(ctypes.addressof(thunk)).value or 0
            for row, thunk in self.thunks.items()
        }

    def begin(self) -> None:
        """Forget what an interrupted run has left."""
        if self.thunks:
            self._raised.error = None
            self._interrupted()

    def _interrupted(self) -> bool:
        """Whether a thunk has given nothing: Ctrl-C, which comes to the main thread alone."""
        if not self._missed.value or threading.current_thread() is not threading.main_thread():
            return False
        self._missed.value = 0
        return True

    def check(self) -> None:
        """Raise what ended a forward rule and is no error of it: an interrupt, an exit."""
        if self._interrupted():
            raise KeyboardInterrupt
        error = self._raised.error if self.thunks else None
        if error is not None:
            self._raised.error = None
            raise error


class Made(NamedTuple):
    """The machine code for batches, and how many numbers it has room for in `scratch`."""

    module: Module  # kept alive
    run: Any
    slots: int  # of `lanes` numbers each
    sums: int  # over the points: of outputs, and what tells whether all is finite
    lanes: int  # points worked on at a time, in one vector or several
    rooms: list[Room]  # when nobody is at work in them


class Room:
    """What machine code for batches reads and writes, where the next run finds it laid out."""

    def __init__(self, made: Made, program: Program, dtype: str) -> None:
        self.program, self.dtype, self.lanes = program, dtype, made.lanes
        self.parameters = np.empty(program.parameters, dtype)
        self.scratch = aligned(made.slots * made.lanes + made.sums, dtype)
        self.totals = self.scratch[-made.sums :]
        # where the columns of outputs begin, and behind them the sums
        self.out = array("q", [0] * (len(program.outputs) - made.sums + 1) + [address(self.totals)])
        starts = 0, address(self.parameters), self.out.buffer_info()[0], address(self.scratch), None
        self.given = [*map(ctypes.c_void_p, starts)]  # whole numbers would take twice as long
        self.size = 0  # of the columns that stand in `rows`
        self.mask: Any = ()  # where the guards held: everywhere

    def run(
        self, run: Any, columns: Sequence[Any], p: Sequence[float], size: int, outputs: Any
    ) -> tuple[Any, Any, bool]:
        """The sums, where the guards hold, None for everywhere, and whether all is finite."""
        n = max(size, self.lanes)
        few = self.program.inputs * n <= FEW
        kept = self._copied(columns, size, n) if few else self._as_they_stand(columns, n - size)
        self.parameters[:] = p
        start, step = address(outputs), outputs.strides[0]
        for k in range(len(outputs)):
            self.out[k] = start + step * k
        if self.program.guards and len(self.mask) != n:
            self.mask = np.ones(n, bool)
            self.given[4] = ctypes.c_void_p(address(self.mask))
        run(size, *self.given)
        del kept  # alive until here
        mask = None
        if self.program.guards and np.count_nonzero(self.mask) < n:
            mask, self.mask = self.mask[n - size :], ()
        return self.totals[:-1].copy(), mask, math.isfinite(self.totals[-1])

    def _copied(self, columns: Sequence[Any], size: int, n: int) -> Any:
        """Columns where those of as many points stood before, the first one of few in all lanes."""
        if size != self.size:
            self.rows = np.empty((self.program.inputs, n), self.dtype)
            self._begin([self.rows])
            self.size = size
        k, more = 0, n - size
        for given in columns:
            if isinstance(given, float):
                self.rows[k, 0] = given
                k += 1
                continue
            here = self.rows[k : k + (len(given) if given.ndim > 1 else 1)]
            here[:, more:] = given
            if more:
                here[:, :more] = here[:, more : more + 1]
            k += len(here)
        return self.rows

    def _as_they_stand(self, columns: Sequence[Any], more: int) -> Any:
        """Columns where they are, if it is as rows of numbers of this type."""
        self.size = 0
        arrays = [self._in_rows(given, more) for given in columns]
        self._begin(arrays)
        return arrays

    def _in_rows(self, given: Any, more: int) -> Any:
        if isinstance(given, float):
            return np.full(1, given, self.dtype)
        own = np.ascontiguousarray(given, self.dtype)
        return np.concatenate([own[..., :1].repeat(more, -1), own], -1) if more else own

    def _begin(self, arrays: Iterable[Any]) -> None:
        """Say where the rows of arrays begin."""
        self.x = array("q")
        for rows in arrays:
            start = address(rows)
            self.x.extend(range(start, start + rows.nbytes, rows.shape[-1] * rows.itemsize))
        self.given[0] = ctypes.c_void_p(self.x.buffer_info()[0])


class Kernel:
    """A program as machine code: for one point (`varying` None), or for batches."""

    left: int | None = None  # calls that it is made for, None for any number
    instructions = 0  # of an interpreter
    entry: Any = None  # what is called directly: () before it is made, False where nothing is

    def __init__(self, program: Program, dtype: str, varying: Sequence[bool] | None) -> None:
        native = native_rows(dtype, lanes=bool(varying))
        program = lowered(program, native)
        if varying is None:
            self.program = sines_with_cosines(program)
        else:
            self.program = scheduled(program, varying)
        self.dtype, self.varying = dtype, varying
        self.callbacks = Callbacks(self.program.code, native)
        self.points = 0  # of batches that it was run on
        # for what, how much is spent on it, vectors side by side
        self.made: dict[tuple[str, int, int], Made] = {}
        self.kept: list[Any] = []
        if varying is None:
            self._point_made()

    def target(self, kind: str, lanes: int) -> Target:
        """What code of so many numbers side by side is written for: this machine."""
        host, called = machine(), self.callbacks
        return Target(kind, lanes, host.vector, called.addresses, host.address, called.missed)

    # ── one point ─────────────────────────────────────────────────────────────────────────────
    def _point_made(self) -> None:
        program = self.program
        writer = RollingWriter(program, self.target("double", 1), "point", ())
        self.module = Module(writer.module(), writer.size)
        short = not self.callbacks.thunks and len(program.code) < SMALL
        self.run = self.module.function("point", _SHORT_POINT if short else _POINT)
        self.pool: list[Any] = []
        self.scratch = writer.slot_count

    def enter(self, *given: Any, adding: bool) -> None:
        """Make what is called directly, as `entry` says.

        There is none where rows are called back.
        """
        made = None if self.callbacks.thunks else entry(self, *given, adding=adding)
        self.entry = made or False
        if made is not None:
            self.left = self.left and 1  # when the entry gives up

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
        self.callbacks.begin()
        self.run(*starts)
        if self.callbacks.thunks:
            self.callbacks.check()
        numbers = array("d", view[offset:end].tobytes())
        held, finite = flags[0], view[end] == 0.0
        self.pool.append(buffer)
        if held and not finite:
            raise FloatingPointError("a result is not finite")
        return numbers if held else None

    # ── a batch ───────────────────────────────────────────────────────────────────────────────
    def _made(self, how: str, size: int) -> Made:
        """The code for so many points: what is ready soon, until it is run on many."""
        self.points += size
        level = int(size >= IN_ONE or self.points >= IN_ALL)
        asked = how, level, VECTORS if level and size >= VECTORS * self.lanes else 1
        with LOCK:
            made = self.made.get(asked)
            if made is None:
                made = self.made[asked] = without_collector(self._compiled, *asked)
            return made

    def _compiled(self, how: str, level: int, vectors: int) -> Made:
        """The code on which so much is spent, for so many vectors; less where it is long."""
        program = self.program
        kind = "double" if self.dtype == "float64" else "float"
        writer = RollingWriter(program, self.target(kind, self.lanes), how, self.varying or ())
        if writer.size > MEDIUM:
            level = 0
        if writer.size - program.markers > LONGEST:
            vectors = 1
        key = how, level, vectors
        if key not in self.made:
            writer.use(vectors)
            writer.quick = level == 0
            module = Module(writer.module(), writer.size, level)
            run = module.function("run", _RUN)
            slots, sums = writer.slot_count, writer.summed + 1
            self.made[key] = Made(module, run, slots, sums, writer.lanes, [])
        return self.made[key]

    @functools.cached_property
    def lanes(self) -> int:
        """How many numbers a vector of the machine holds."""
        return machine().bytes // (8 if self.dtype == "float64" else 4)

    def room(self, size: int) -> Any:
        """An array for outputs: a large one again, once nobody holds it or a part of it any more.

        Fresh pages cost as much as computing what is written to them. Threads may share it.
        """
        shape = len(self.program.outputs), size
        for room in self.kept:
            if room.shape == shape and sys.getrefcount(room) == NOBODY:
                return room
        room = np.empty(shape, self.dtype)
        if LARGE <= room.nbytes <= LARGEST:
            self.kept = [*self.kept[-1:], room]
        return room

    def batch(
        self, columns: Sequence[Any], p: Sequence[float], size: int, into: Any = None
    ) -> tuple[Any, Any, bool]:
        """The outputs, the mask of guards, and whether all is finite: see `backends`.

        The columns may stand in arrays of several: (columns, size).
        """
        made = self._made("batch", size)
        outputs = self.room(max(size, made.lanes)) if into is None else into
        _, mask, finite = self._run_batch(made, columns, p, size, outputs)
        return outputs[:, -size:], mask, finite

    def sums(self, columns: Sequence[Any], p: Sequence[float], size: int) -> tuple[Any, Any, bool]:
        """The same for sums over the points of the path, with what is wanted for every point."""
        made = self._made("sums", size)
        each = np.empty((self.program.apart, max(size, made.lanes)), self.dtype)
        totals, mask, finite = self._run_batch(made, columns, p, size, each)
        return (totals, each[:, -size:]), mask, finite

    def _run_batch(self, made: Made, *given: Any) -> tuple[Any, Any, bool]:
        """The sums, where the guards hold, and whether all that is checked is finite."""
        try:
            room = made.rooms.pop()
        except IndexError:
            room = Room(made, self.program, self.dtype)
        run = room.run if self.dtype == "float64" else functools.partial(quietly, room.run)
        self.callbacks.begin()
        result = run(made.run, *given)
        made.rooms.append(room)
        self.callbacks.check()
        return result
