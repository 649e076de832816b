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

from tinygrad_scalar.primitive import Primitive
from tinygrad_scalar.tape.assembly import Target
from tinygrad_scalar.tape.llvm import Callbacks, Kernel, Module, machine
from tinygrad_scalar.tape.program import PARAMETER, Line, Program
from tinygrad_scalar.tape.stream import Stream
from tinygrad_scalar.tape.superinstructions import (
    ARGUMENTS,
    SUM_FORWARD,
    SUM_REVERSE,
    Superinstruction,
    Writer,
)
from tinygrad_scalar.tape.workspace import address

_SWEEP = f"""define internal void @sweep(ptr %stream, i64 %n, ptr %functions, ptr %table, ptr %v, \
ptr %a, ptr %s, ptr %m) nounwind {{
entry:
  %none = icmp eq i64 %n, 0
  br i1 %none, label %done, label %loop
loop:
  %place = phi ptr [ %stream, %entry ], [ %next, %loop ]
  %k = phi i64 [ %n, %entry ], [ %left, %loop ]
  %body = load i64, ptr %place
  %second = getelementptr i64, ptr %place, i64 1
  %iterations = load i64, ptr %second
  %third = getelementptr i64, ptr %place, i64 2
  %offset = load i64, ptr %third
  %slot = getelementptr ptr, ptr %functions, i64 %body
  %function = load ptr, ptr %slot
  %indices = getelementptr i32, ptr %table, i64 %offset
  call void %function(ptr %indices, i64 %iterations, ptr %v, ptr %a, ptr %s, ptr %m)
  %next = getelementptr i64, ptr %place, i64 3
  %left = sub i64 %k, 1
  %more = icmp ne i64 %left, 0
  br i1 %more, label %loop, label %done
done:
  ret void
}}
define internal void @gather(ptr %indices, i64 %n, ptr %from, ptr %to) nounwind {{
entry:
  %none = icmp eq i64 %n, 0
  br i1 %none, label %done, label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %place = getelementptr i32, ptr %indices, i64 %k
  %index = load i32, ptr %place
  %wide = zext i32 %index to i64
  %cell = getelementptr double, ptr %from, i64 %wide
  %number = load double, ptr %cell
  %end = getelementptr double, ptr %to, i64 %k
  store double %number, ptr %end
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"""


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
        wanted: tuple[Primitive, Sequence[int]],
    ) -> None:
        inputs, parameters = sizes
        first = stream.cells + (inputs if wanted[0] is PARAMETER else 0)
        self.outputs = np.concatenate(
            [stream.cell[np.asarray(values, int)], first + np.asarray(wanted[1], int)]
        ).astype(np.int32)
        self.loss = None if loss is None else int(stream.cell[loss])
        self.program = Program([], [0] * len(self.outputs), inputs, parameters)
        bodies = [made() for made in stream.bodies if made is not None]
        programs = [p for body in bodies for p in (body.forward, body.reverse) if p is not None]
        lines = [line for program in programs for line in program.code]
        self.callbacks = Callbacks(Program(lines, [], 0, 0))
        self.module = Module(self._text(stream, bodies), len(lines))
        self.module.held = self._tables
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5)
        self.run = self.module.function("point", kind)
        self.pool: list[Any] = []
        self.scratch = 1 + 2 * stream.cells

    def limits(self, x: Sequence[float], p: Sequence[float]) -> Sequence[float] | None:
        """The outputs in IEEE arithmetic; None where a guard fails, or one of them is NaN."""
        numbers = super().limits(x, p)
        return None if numbers is not None and np.isnan(np.frombuffer(numbers)).any() else numbers

    def _text(self, stream: Stream, bodies: Sequence[Superinstruction]) -> str:
        """The module: every superinstruction both ways, and who calls them."""
        host, fused = machine(), not stream.guarded
        target = Target("double", 1, host.vector, self.callbacks.addresses, host.address)
        names = {"forward": ["@sum_forward"], "reverse": ["@sum_reverse"]}
        texts, declared = [SUM_FORWARD, SUM_REVERSE], {}
        for number, body in enumerate(bodies, start=1):
            for how in names:
                if getattr(body, how) is None or (how == "reverse" and self.loss is None):
                    names[how].append("null")
                    continue
                writer = Writer(body, target, backwards=how == "reverse", fused=fused)
                texts.append(writer.function(f"{how}{number}"))
                names[how].append(f"@{how}{number}")
                declared |= writer.declared
        for how, functions in names.items():
            entries = ", ".join(f"ptr {name}" for name in functions)
            texts.append(
                f"@{how} = internal constant [{len(functions)} x ptr] [{entries}], align 8"
            )
        reversible = np.array([name != "null" for name in names["reverse"]])
        declarations = [f"declare {text}" for text in declared.values()]
        return "\n".join([*declarations, *texts, _SWEEP, self._driver(stream, reversible)])

    def _driver(self, stream: Stream, reversible: Any) -> str:
        """The function `point`: what comes in, forwards, backwards, what goes out."""
        forward = np.ascontiguousarray(stream.instructions, np.int64)
        reverse = np.ascontiguousarray(forward[reversible[forward[:, 0]]][::-1])
        constants = np.ascontiguousarray(stream.constants)
        self._tables = [stream.table, self.outputs, forward, reverse, constants]
        table, outputs, forwards, backwards, numbers = (
            f"inttoptr (i64 {address(part)} to ptr)" for part in self._tables
        )
        first, last = self.program.inputs, self.program.parameters

        def copied(start: int, source: str, count: int) -> str:
            place = f"%to{start}_{count}"
            return (
                f"  {place} = getelementptr double, ptr %v, i64 {start}\n"
                f"  call void @llvm.memcpy.p0.p0.i64(ptr {place}, ptr {source}, "
                f"i64 {8 * count}, i1 false)\n"
            ) * (count > 0)

        def swept(how: str, instructions: str, count: int) -> str:
            return (
                f"  call void @sweep(ptr {instructions}, i64 {count}, ptr @{how}, ptr {table}, "
                "ptr %v, ptr %a, ptr %s, ptr %m)\n"
            )

        backward = ""
        if self.loss is not None:
            backward = (
                f"  call void @llvm.memset.p0.i64(ptr %a, i8 0, i64 {8 * stream.cells}, "
                f"i1 false)\n  %seed = getelementptr double, ptr %a, i64 {self.loss}\n"
                "  store double 1.0, ptr %seed\n" + swept("reverse", backwards, len(reverse))
            )
        return (
            "define void @point(ptr noalias %x, ptr noalias %p, ptr noalias %out, ptr noalias %s, "
            "ptr noalias %m) nounwind {\nentry:\n"
            "  %v = getelementptr double, ptr %s, i64 1\n"
            f"  %a = getelementptr double, ptr %v, i64 {stream.cells}\n"
            + copied(0, "%x", first)
            + copied(first, "%p", last)
            + copied(first + last, numbers, len(constants))
            + swept("forward", forwards, len(forward))
            + "  %sum = load double, ptr %s\n"
            "  %zero = fsub double %sum, %sum\n"
            "  store double %zero, ptr %s\n"
            "  %flag = load i8, ptr %m\n"
            "  %holds = icmp ne i8 %flag, 0\n"
            "  br i1 %holds, label %backward, label %done\n"
            "backward:\n"
            + backward
            + f"  call void @gather(ptr {outputs}, i64 {len(self.outputs)}, ptr %v, ptr %out)\n"
            "  br label %done\ndone:\n  ret void\n}"
        )
