"""Large traces at one point: an interpreter of superinstructions, compiled once for its trace.

Straight-line machine code costs some 50 µs a line to derive, to write and to compile. Here the
stretches that repeat are derived and compiled once, and all else is run row by row; the rest of
the trace is data. The sweep forwards keeps what operations hand on, the sweep backwards goes the
stream in reverse and adds up gradients: Algorithm 6.2 over memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.llvm.builder import NATIVE, Target
from tinygrad_scalar.compiler.llvm.kernel import Callbacks, Kernel
from tinygrad_scalar.compiler.machine.jit import Module, machine
from tinygrad_scalar.compiler.machine.workspace import address
from tinygrad_scalar.compiler.vm.bytecode import Stream
from tinygrad_scalar.compiler.vm.driver import SUMS, Plan, driver
from tinygrad_scalar.compiler.vm.operations import Wanted
from tinygrad_scalar.compiler.vm.superinstructions import Superinstruction
from tinygrad_scalar.compiler.vm.sweeps import Writer


class Interpreter(Kernel):
    """A trace for one point: the values of some lines, and gradients of one with respect to some.

    The outputs are the `values`, then the slopes of `loss` along the `wanted` of what comes in.
    """

    retires = True  # where it gives NaN and the function does not, code written out may do better

    def __init__(
        self,
        stream: Stream,
        sizes: tuple[int, int],
        asked: tuple[Sequence[int], int | None, Wanted],
        left: int | None = None,
    ) -> None:
        (inputs, parameters), (values, loss, wanted) = sizes, asked
        self.left = left  # calls until code written out takes its place, None for never
        cells = stream.cells
        slopes = cells.count + np.asarray(wanted, int)
        outputs = [cells.of_line[np.asarray(values, int)], slopes]
        self.outputs = np.concatenate(outputs).astype(np.int32)
        self.loss = None if loss is None else int(cells.of_line[loss])
        self.program = Program([], [0] * len(self.outputs), inputs, parameters)
        self.pool: list[Any] = []
        self.scratch = 1 + 2 * cells.count
        bodies = [made() for made in stream.bodies if made is not None]
        programs = [p for body in bodies for p in (body.forward, body.reverse) if p is not None]
        lines = [line for program in programs for line in program.code]
        self.callbacks = Callbacks(Program(lines, [], 0, 0), NATIVE)
        functions, reversible = self._functions(bodies, fused=not stream.guarded)
        point, tables = self._point(stream, reversible)
        self.module = Module("\n".join([*functions, point]), len(lines))
        self.module.held = tables
        self.run = self.module.function("point", ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5))

    def _functions(
        self, bodies: Sequence[Superinstruction], *, fused: bool
    ) -> tuple[list[str], Any]:
        """Every superinstruction both ways, with lists of them, and which go backwards at all."""
        host = machine()
        target = Target("double", 1, host.vector, self.callbacks.addresses, host.address)
        texts, declared = list[str](), dict[str, str]()
        sums = [f"inttoptr (i64 {driver().address(name)} to ptr)" for name in SUMS]
        names = {False: sums[:1], True: sums[1:]}
        for number, body in enumerate(bodies, start=1):
            for backwards, known in names.items():
                if backwards and (body.reverse is None or self.loss is None):
                    known.append("null")
                    continue
                writer = Writer(body, target, backwards=backwards, fused=fused)
                known.append(f"@{'reverse' if backwards else 'forward'}{number}")
                texts.append(writer.function(known[-1]))
                declared |= writer.declared
        for label, known in (("forwards", names[False]), ("backwards", names[True])):
            entries = ", ".join(f"ptr {name}" for name in known)
            texts.append(f"@{label} = internal constant [{len(known)} x ptr] [{entries}], align 8")
        declarations = [f"declare {text}" for text in declared.values()]
        return [*declarations, *texts], np.array([name != "null" for name in names[True]])

    def _point(self, stream: Stream, reversible: Any) -> tuple[str, Any]:
        """The function `point`, which drives the stream, and the arrays that it reads."""
        forward = stream.instructions
        reverse = np.ascontiguousarray(forward[reversible[forward[:, 0]]][::-1])
        numbers = np.ascontiguousarray(stream.cells.constants)
        program = self.program
        plan = Plan(
            program.inputs, program.parameters, len(numbers), address(numbers), stream.cells.count,
            address(stream.table), address(forward), len(forward), address(reverse), len(reverse),
            -1 if self.loss is None else self.loss, address(self.outputs), len(self.outputs),
        )  # fmt: skip
        told = np.array(plan)
        drive = driver().address("drive")
        arguments = ", ".join(f"ptr {name}" for name in ("%x", "%p", "%out", "%s", "%m"))
        text = (
            f"define void @point({arguments}) nounwind {{\n"
            f"  call void inttoptr (i64 {drive} to ptr)(ptr inttoptr (i64 {address(told)} to ptr), "
            f"ptr @forwards, ptr @backwards, {arguments})\n  ret void\n}}"
        )
        return text, [told, stream.table, self.outputs, forward, reverse, numbers]
