"""Large traces at one point: an interpreter of superinstructions, compiled once for its trace.

Straight-line machine code costs some 50 µs a line to derive, to write and to compile. Here the
stretches that repeat are derived and compiled once, and all else is run row by row; the rest of
the trace is data. The sweep forwards keeps what operations hand on, the sweep backwards goes the
stream in reverse and adds up gradients: Algorithm 6.2 over memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.llvm.builder import NATIVE, Target
from tinygrad_scalar.compiler.llvm.functions import Callbacks
from tinygrad_scalar.compiler.llvm.kernel import Kernel
from tinygrad_scalar.compiler.machine.jit import Module, address, function, loop, machine, once
from tinygrad_scalar.compiler.vm import reductions
from tinygrad_scalar.compiler.vm.bytecode import Stream
from tinygrad_scalar.compiler.vm.operations import Wanted
from tinygrad_scalar.compiler.vm.reductions import cell
from tinygrad_scalar.compiler.vm.superinstructions import Superinstruction, SweepWriter

_POINT = "ptr noalias %x, ptr noalias %p, ptr noalias %out, ptr noalias %s, ptr noalias %m"


@once
def shared() -> Module:
    """The machine code for all traces: `drive`, and the instructions for sums."""
    run = """  %place = getelementptr [3 x i64], ptr %stream, i64 %k
  %kind = load i64, ptr %place
  %second = getelementptr i64, ptr %place, i64 1
  %iterations = load i64, ptr %second
  %third = getelementptr i64, ptr %place, i64 2
  %offset = load i64, ptr %third
  %slot = getelementptr ptr, ptr %functions, i64 %kind
  %function = load ptr, ptr %slot
  %indices = getelementptr i32, ptr %table, i64 %offset
  call void %function(ptr %indices, i64 %iterations, ptr %v, ptr %a, ptr %s, ptr %m)
"""
    copy = f"""{cell("from.place", "%from", "%k")}  %number = load double, ptr %from.place
  %end = getelementptr double, ptr %to, i64 %k
  store double %number, ptr %end
"""
    texts = [
        reductions.functions(),
        function(
            "@sweep(ptr %stream, i64 %n, ptr %functions, ptr %table, "
            "ptr %v, ptr %a, ptr %s, ptr %m)",
            loop(run),
        ),
        function("@gather(ptr %t, i64 %n, ptr %from, ptr %to)", loop(copy)),
        _drive(),
    ]
    return Module("\n".join(texts), 0)


class Plan(NamedTuple):
    """What `drive` is to do, as numbers: lengths, and addresses of arrays."""

    inputs: int
    parameters: int
    constants: int
    numbers: int  # the address of these
    cells: int
    table: int
    forward: int  # the stream
    forward_length: int
    reverse: int
    reverse_length: int
    loss: int  # the cell to differentiate, −1 for none
    outputs: int  # cells, those of gradients behind those of values
    outputs_length: int


def _drive() -> str:
    """What comes in goes to its cells, the stream is gone through, and what goes out is gathered.

    Where guards hold and gradients are asked for, the stream is gone through backwards too.
    """
    plan = "".join(
        f"  %{name}.place = getelementptr i64, ptr %plan, i64 {k}\n"
        f"  %{name} = load i64, ptr %{name}.place\n"
        for k, name in enumerate(Plan._fields)
    )
    arrays = "ptr %t, ptr %v, ptr %a, ptr %s, ptr %m"
    return f"""declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
define void @drive(ptr %plan, ptr %forwards, ptr %backwards, {_POINT}) nounwind {{
{plan}  %v = getelementptr double, ptr %s, i64 1
  %a = getelementptr double, ptr %v, i64 %cells
  %to.p = getelementptr double, ptr %v, i64 %inputs
  %to.c = getelementptr double, ptr %to.p, i64 %parameters
  %size.x = shl i64 %inputs, 3
  %size.p = shl i64 %parameters, 3
  %size.c = shl i64 %constants, 3
  %from.c = inttoptr i64 %numbers to ptr
  call void @llvm.memcpy.p0.p0.i64(ptr %v, ptr %x, i64 %size.x, i1 false)
  call void @llvm.memcpy.p0.p0.i64(ptr %to.p, ptr %p, i64 %size.p, i1 false)
  call void @llvm.memcpy.p0.p0.i64(ptr %to.c, ptr %from.c, i64 %size.c, i1 false)
  %t = inttoptr i64 %table to ptr
  %there = inttoptr i64 %forward to ptr
  call void @sweep(ptr %there, i64 %forward_length, ptr %forwards, {arrays})
  %sum = load double, ptr %s
  %zero = fsub double %sum, %sum
  store double %zero, ptr %s
  %flag = load i8, ptr %m
  %holds = icmp ne i8 %flag, 0
  br i1 %holds, label %on, label %done
on:
  %asked = icmp sge i64 %loss, 0
  br i1 %asked, label %differentiate, label %leave
differentiate:
  %size.a = shl i64 %cells, 3
  call void @llvm.memset.p0.i64(ptr %a, i8 0, i64 %size.a, i1 false)
  %seed = getelementptr double, ptr %a, i64 %loss
  store double 1.0, ptr %seed
  %back = inttoptr i64 %reverse to ptr
  call void @sweep(ptr %back, i64 %reverse_length, ptr %backwards, {arrays})
  br label %leave
leave:
  %which = inttoptr i64 %outputs to ptr
  call void @gather(ptr %which, i64 %outputs_length, ptr %v, ptr %out)
  br label %done
done:
  ret void
}}"""


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
        names = {
            backwards: [_at(shared(), pair[backwards]) for pair in reductions.NAMES]
            for backwards in (False, True)
        }
        for number, body in enumerate(bodies, start=len(reductions.NAMES)):
            for backwards, known in names.items():
                if backwards and (body.reverse is None or self.loss is None):
                    known.append("null")
                    continue
                writer = SweepWriter(body, target, backwards=backwards, fused=fused)
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
        given = "ptr %x, ptr %p, ptr %out, ptr %s, ptr %m"
        text = (
            f"define void @point({given}) nounwind {{\n  call void {_at(shared(), 'drive')}("
            f"ptr inttoptr (i64 {address(told)} to ptr), ptr @forwards, ptr @backwards, {given})\n"
            "  ret void\n}"
        )
        return text, [told, stream.table, self.outputs, forward, reverse, numbers]


def _at(module: Module, name: str) -> str:
    return f"inttoptr (i64 {module.addresses[name]} to ptr)"
