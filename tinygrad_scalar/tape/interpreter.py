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

from tinygrad_scalar.tape.assembly import NATIVE, Target
from tinygrad_scalar.tape.llvm import Callbacks, Kernel
from tinygrad_scalar.tape.machine import Module, machine
from tinygrad_scalar.tape.operations import Wanted
from tinygrad_scalar.tape.program import PARAMETER, Program
from tinygrad_scalar.tape.stream import Stream
from tinygrad_scalar.tape.superinstructions import Superinstruction
from tinygrad_scalar.tape.sweeps import COPY, FILL, SUM_FORWARD, SUM_REVERSE, SWEEPS, Writer
from tinygrad_scalar.tape.workspace import address


class Interpreter(Kernel):
    """A trace for one point: the values of some lines, and gradients of one with respect to some.

    The outputs are the `values`, then the slopes of `loss` along the `wanted` markers of a kind.
    """

    retires = True  # where it gives NaN and the function does not, code written out may do better

    def __init__(
        self,
        stream: Stream,
        sizes: tuple[int, int],
        values: Sequence[int],
        loss: int | None,
        wanted: Wanted,
    ) -> None:
        inputs, parameters = sizes
        cells = stream.cells
        first = cells.count + (inputs if wanted[0] is PARAMETER else 0)
        outputs = [cells.of_line[np.asarray(values, int)], first + np.asarray(wanted[1], int)]
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
        driver, tables = self._driver(stream, reversible)
        self.module = Module("\n".join([*functions, SWEEPS, driver]), len(lines))
        self.module.held = tables
        self.run = self.module.function("point", ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5))

    def limits(self, x: Sequence[float], p: Sequence[float]) -> Sequence[float] | None:
        """The outputs in IEEE arithmetic; None where a guard fails, or one of them is NaN."""
        numbers = super().limits(x, p)
        return None if numbers is not None and np.isnan(np.asarray(numbers)).any() else numbers

    def _functions(
        self, bodies: Sequence[Superinstruction], *, fused: bool
    ) -> tuple[list[str], Any]:
        """Every superinstruction both ways, with lists of them, and which go backwards at all."""
        host = machine()
        target = Target("double", 1, host.vector, self.callbacks.addresses, host.address)
        texts, declared = [SUM_FORWARD, SUM_REVERSE], dict[str, str]()
        names = {False: ["@sum_forward"], True: ["@sum_reverse"]}
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

    def _driver(self, stream: Stream, reversible: Any) -> tuple[str, Any]:
        """The function `point`: what comes in, forwards, backwards, what goes out; its tables."""
        forward, constants = stream.instructions, np.ascontiguousarray(stream.cells.constants)
        reverse = np.ascontiguousarray(forward[reversible[forward[:, 0]]][::-1])
        tables = [stream.table, self.outputs, forward, reverse, constants]
        table, outputs, there, back, numbers = (
            f"inttoptr (i64 {address(part)} to ptr)" for part in tables
        )
        x, p, count = self.program.inputs, self.program.parameters, stream.cells.count
        copies = [(0, "%x", x), (x, "%p", p), (x + p, numbers, len(constants))]
        lines = ["%v = getelementptr double, ptr %s, i64 1"]
        lines.append(f"%a = getelementptr double, ptr %v, i64 {count}")
        for k, (start, source, length) in enumerate(copies):
            lines.append(f"%to{k} = getelementptr double, ptr %v, i64 {start}")
            lines.append(f"call void {COPY}(ptr %to{k}, ptr {source}, i64 {8 * length}, i1 false)")
        given = f"ptr {table}, ptr %v, ptr %a, ptr %s, ptr %m"
        lines.append(f"call void @sweep(ptr {there}, i64 {len(forward)}, ptr @forwards, {given})")
        lines += ["%holds = call i1 @checked(ptr %s, ptr %m)"]
        lines += ["br i1 %holds, label %on, label %done", "on:"]
        if self.loss is not None:
            lines.append(f"call void {FILL}(ptr %a, i8 0, i64 {8 * count}, i1 false)")
            lines.append(f"%seed = getelementptr double, ptr %a, i64 {self.loss}")
            lines.append("store double 1.0, ptr %seed")
            lines.append(
                f"call void @sweep(ptr {back}, i64 {len(reverse)}, ptr @backwards, {given})"
            )
        lines.append(f"call void @gather(ptr {outputs}, i64 {len(self.outputs)}, ptr %v, ptr %out)")
        body = "\n".join([*lines, "br label %done", "done:", "ret void"])
        arguments = (
            "ptr noalias %x, ptr noalias %p, ptr noalias %out, ptr noalias %s, ptr noalias %m"
        )
        return f"define void @point({arguments}) nounwind {{\nentry:\n{body}\n}}", tables
