"""What runs a stream of instructions: the same machine code for every trace, made once per process.

`drive` copies what comes in to its cells, goes through the stream forwards and, where guards hold
and gradients are asked for, backwards, and gathers what goes out.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from tinygrad_scalar.compiler.machine.jit import Module

# the indices, how many iterations, values, gradients, what must be finite, the mask of guards
INSTRUCTION = (
    "ptr noalias %t, i64 %n, ptr noalias %v, ptr noalias %a, ptr noalias %s, ptr noalias %m"
)
SUMS = ("sum_forward", "sum_reverse")


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


@functools.cache
def driver() -> Module:
    """The machine code: `drive`, and the instruction for sums of any length, both ways."""
    return Module(f"{_SUM_FORWARD}\n{_SUM_REVERSE}\n{_SWEEPS}\n{_drive()}", 0)


def _drive() -> str:
    loads = [
        f"  %{name}.place = getelementptr i64, ptr %plan, i64 {k}\n"
        f"  %{name} = load i64, ptr %{name}.place"
        for k, name in enumerate(Plan._fields)
    ]
    return _DRIVE.replace("LOADS", "\n".join(loads))


# A sum of any length: the indices of its terms, and then of the result.
_SUM_FORWARD = f"""define void @sum_forward({INSTRUCTION}) nounwind {{
entry:
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %sum = phi double [ -0.0, %entry ], [ %total, %loop ]
  %place = getelementptr i32, ptr %t, i64 %k
  %index = load i32, ptr %place
  %wide = zext i32 %index to i64
  %cell = getelementptr double, ptr %v, i64 %wide
  %term = load double, ptr %cell
  %total = fadd double %sum, %term
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  %last = getelementptr i32, ptr %t, i64 %n
  %lastindex = load i32, ptr %last
  %lastwide = zext i32 %lastindex to i64
  %result = getelementptr double, ptr %v, i64 %lastwide
  store double %total, ptr %result
  ret void
}}"""
_SUM_REVERSE = f"""define void @sum_reverse({INSTRUCTION}) nounwind {{
entry:
  %last = getelementptr i32, ptr %t, i64 %n
  %lastindex = load i32, ptr %last
  %lastwide = zext i32 %lastindex to i64
  %result = getelementptr double, ptr %a, i64 %lastwide
  %slope = load double, ptr %result
  br label %loop
loop:
  %k = phi i64 [ 0, %entry ], [ %next, %loop ]
  %place = getelementptr i32, ptr %t, i64 %k
  %index = load i32, ptr %place
  %wide = zext i32 %index to i64
  %cell = getelementptr double, ptr %a, i64 %wide
  %before = load double, ptr %cell
  %after = fadd double %before, %slope
  store double %after, ptr %cell
  %next = add i64 %k, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}"""

_SWEEPS = """define internal void @sweep(ptr %stream, i64 %n, ptr %functions, ptr %table, ptr %v, \
ptr %a, ptr %s, ptr %m) nounwind {
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
}
define internal void @gather(ptr %indices, i64 %n, ptr %from, ptr %to) nounwind {
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
}
define internal i1 @checked(ptr %s, ptr %m) nounwind {
  %sum = load double, ptr %s
  %zero = fsub double %sum, %sum
  store double %zero, ptr %s
  %flag = load i8, ptr %m
  %holds = icmp ne i8 %flag, 0
  ret i1 %holds
}
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"""
_DRIVE = """define void @drive(ptr %plan, ptr %forwards, ptr %backwards, ptr noalias %x, \
ptr noalias %p, ptr noalias %out, ptr noalias %s, ptr noalias %m) nounwind {
entry:
LOADS
  %v = getelementptr double, ptr %s, i64 1
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
  call void @sweep(ptr %there, i64 %forward_length, ptr %forwards, ptr %t, ptr %v, ptr %a, \
ptr %s, ptr %m)
  %holds = call i1 @checked(ptr %s, ptr %m)
  br i1 %holds, label %on, label %done
on:
  %asked = icmp sge i64 %loss, 0
  br i1 %asked, label %differentiate, label %gather
differentiate:
  %size.a = shl i64 %cells, 3
  call void @llvm.memset.p0.i64(ptr %a, i8 0, i64 %size.a, i1 false)
  %seed = getelementptr double, ptr %a, i64 %loss
  store double 1.0, ptr %seed
  %back = inttoptr i64 %reverse to ptr
  call void @sweep(ptr %back, i64 %reverse_length, ptr %backwards, ptr %t, ptr %v, ptr %a, \
ptr %s, ptr %m)
  br label %gather
gather:
  %which = inttoptr i64 %outputs to ptr
  call void @gather(ptr %which, i64 %outputs_length, ptr %v, ptr %out)
  br label %done
done:
  ret void
}"""
