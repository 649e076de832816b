"""Large traces at one point: an interpreter of superinstructions, compiled once for its trace.

Straight-line machine code costs some 50 µs a line to derive, to write and to compile. Here the
stretches that repeat are derived and compiled once, and all else is run row by row; the rest of
the trace is data. The sweep forwards keeps what operations hand on, the sweep backwards goes the
stream in reverse and adds up gradients: Algorithm 6.2 over memory.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import GUARD
from tinygrad_scalar.compiler.llvm.builder import NATIVE
from tinygrad_scalar.compiler.llvm.kernel import Callbacks, Kernel
from tinygrad_scalar.compiler.llvm.writer import GIVEN
from tinygrad_scalar.compiler.machine.jit import Module, once
from tinygrad_scalar.compiler.machine.objects import address
from tinygrad_scalar.compiler.machine.text import Register, Text
from tinygrad_scalar.compiler.vm import reductions
from tinygrad_scalar.compiler.vm.bytecode import Stream
from tinygrad_scalar.compiler.vm.superinstructions import MEMORY, SweepWriter, cell

# What `drive` is to do: lengths and addresses, of what comes in, of the table of indices, of the
# stream in both directions; how many cells there are; the cell to differentiate, −1 for none; the
# cells that go out, those of gradients behind those of values.
_PLAN = (
    "inputs", "parameters", "constants", "numbers", "cells", "table", "forward", "forward_length",
    "reverse", "reverse_length", "loss", "outputs", "outputs_length",
)  # fmt: skip


@once
def shared() -> Module:
    """The machine code for all traces: `drive`, and the instructions for sums."""
    copy = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
    fill = "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"
    return Module("\n".join([copy, fill, *reductions.functions(), _sweep(), _drive()]), 0)


def _sweep() -> str:
    """`sweep`: one instruction after the other."""
    text, arguments = Text(), f"ptr %stream, i64 %length, ptr %functions, {MEMORY}"
    stream, length, functions, *memory = text.arguments(arguments)
    with text.loop(length) as loop:
        kind, iterations, start = (stream.at(loop.k, "[3 x i64]").item(k, "i64") for k in range(3))
        given = memory[-1].at(start, "i32"), iterations, *memory
        text.call(functions.item(kind, "ptr"), *given, gives="void")
    return text.defined(f"internal void @sweep({arguments})")


def _drive() -> str:
    """What comes in goes to its cells, the stream is gone through, and what goes out is gathered.

    Where guards hold and gradients are asked for, the stream is gone through backwards too.
    """
    text, arguments = Text(), f"ptr %plan, ptr %forwards, ptr %backwards, {GIVEN}"
    plan, forwards, backwards, x, p, out, s, m = text.arguments(arguments)
    told = plan.named(_PLAN)
    v = s.at(1, "double")
    a = v.at(told.cells, "double")
    _enter(v, (x, told.inputs), (p, told.parameters), (_address(told.numbers), told.constants))
    memory = v, a, s, m, _address(told.table)
    stream = _address(told.forward), told.forward_length, forwards
    text.call("@sweep", *stream, *memory, gives="void")
    total = s.load("double")
    s.store(total - total)
    text.need(m.load("i8") != 0, "done")
    with text.when(told.loss >= 0):
        text.call("@llvm.memset.p0.i64", a, "i8 0", told.cells * 8, "i1 false", gives="void")
        a.at(told.loss, "double").store(text.constant("double", 1.0))
        stream = _address(told.reverse), told.reverse_length, backwards
        text.call("@sweep", *stream, *memory, gives="void")
    with text.loop(told.outputs_length) as loop:
        number = cell(v, _address(told.outputs), loop.k).load("double")
        out.at(loop.k, "double").store(number)
    text.begin("done")
    return text.defined(f"void @drive({arguments})")


def _enter(to: Register, *rows: tuple[Register, Register]) -> None:
    """Copy rows of numbers of these lengths, one behind the other."""
    for row, length in rows:
        given = to, row, length * 8, "i1 false"
        to.text.call("@llvm.memcpy.p0.p0.i64", *given, gives="void")
        to = to.at(length, "double")


def _address(number: Register) -> Register:
    return number.to("inttoptr", "ptr")


class Interpreter(Kernel):
    """A trace for one point: first the values that are asked for, and then the slopes."""

    def __init__(self, stream: Stream, left: int | None = None) -> None:
        (inputs, parameters), (values, loss, wanted) = stream.sizes, stream.asked
        self.left = left  # calls until code written out may take its place, None for never
        self.instructions = len(stream.instructions)
        cells = stream.cells
        slopes = cells.count + np.asarray(wanted, int)
        outputs = [cells.of_line[np.asarray(values, int)], slopes]
        self.outputs = np.concatenate(outputs).astype(np.int32)
        self.loss = None if loss is None else int(cells.of_line[loss])
        self.program = Program([], [0] * len(self.outputs), inputs, parameters)
        self.pool: list[Any] = []
        self.scratch = 1 + 2 * cells.count
        programs = [p for body in stream.bodies for p in (body.forward, body.reverse)]
        lines = [line for p in programs if p is not None for line in p.code]
        self.callbacks = Callbacks(lines, NATIVE)
        functions, reversible = self._functions(stream)
        point, tables = self._point(stream, reversible)
        self.module = Module("\n".join([*functions, point]), len(lines), 1 if left is None else 0)
        self.module.held = tables
        self.run = self.module.function("point", ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5))

    def _functions(self, stream: Stream) -> tuple[list[str], Any]:
        """Every superinstruction both ways, with lists of them, and which go backwards at all."""
        target, fused = self.target("double", 1), GUARD not in stream.trace.rows
        texts, declared = list[str](), dict[str, str]()
        for backwards, label in enumerate(("forwards", "backwards")):
            names = [_shared_function(pair[backwards]) for pair in reductions.NAMES]
            for number, body in enumerate(stream.bodies, start=len(names)):
                if backwards and (body.reverse is None or self.loss is None):
                    names.append("null")
                    continue
                writer = SweepWriter(body, target, backwards=bool(backwards), fused=fused)
                writer.quick = self.left is not None  # ready in a third of the time
                names.append(f"@{label}{number}")
                texts.append(writer.function(names[-1]))
                declared |= writer.declared
            entries = ", ".join(f"ptr {name}" for name in names)
            texts.append(f"@{label} = internal constant [{len(names)} x ptr] [{entries}], align 8")
        declarations = [f"declare {text}" for text in declared.values()]
        return [*declarations, *texts], np.array([name != "null" for name in names])

    def _point(self, stream: Stream, reversible: Any) -> tuple[str, Any]:
        """The function `point`, which drives the stream, and the arrays that it reads."""
        forward = stream.instructions
        reverse = np.ascontiguousarray(forward[reversible[forward[:, 0]]][::-1])
        numbers = np.ascontiguousarray(stream.cells.constants)
        program = self.program
        told = np.array([
            program.inputs, program.parameters, len(numbers), address(numbers), stream.cells.count,
            address(stream.table), address(forward), len(forward), address(reverse), len(reverse),
            -1 if self.loss is None else self.loss, address(self.outputs), len(self.outputs),
        ])  # fmt: skip
        text, own = Text(), f"ptr inttoptr (i64 {address(told)} to ptr)"
        given = own, "ptr @forwards", "ptr @backwards", GIVEN
        text.call(_shared_function("drive"), *given, gives="void")
        tables = told, stream.table, self.outputs, forward, reverse, numbers
        return text.defined(f"void @point({GIVEN})"), tables


def _shared_function(name: str) -> str:
    return f"inttoptr (i64 {shared().addresses[name]} to ptr)"
