"""Mistakes: on each line below, and nowhere else, a type checker has to report an error."""

import math

from tinygrad_scalar import Value, compile, maximum, sin, sum


def f(a: Value) -> float:
    return a * 2  # wrong


x = Value(1.0)
x + "1"  # wrong
"2" * x  # wrong
x.exponential()  # wrong
sin("a")  # wrong
sin(x, x)  # wrong
math.sin(x)  # wrong
float(x)  # wrong
maximum(x)  # wrong
result: float = sin(x)  # wrong
total: float = sum([x, 1.0])  # wrong
x.backward(undefined="nope")  # wrong
x.backward(input=[x])  # wrong
compile(f, engin="llvm")  # wrong
compile(f).gradient(1.0)  # wrong
Value(1.0, name="x")  # wrong
x < "1"  # wrong
x.maximum()  # wrong
