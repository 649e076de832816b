"""A user's program: type checkers in strict mode have nothing to say about it."""

from fractions import Fraction
from typing import Any, assert_type

import tinygrad_scalar as tg
from tinygrad_scalar import (
    Value,
    ceil,
    checkpoint,
    compile,
    counting,
    cross_entropy,
    derivative,
    exp,
    floor,
    grad,
    hessian,
    hypot,
    jvp,
    log,
    maximum,
    nn,
    no_grad,
    optim,
    primitive,
    sin,
    softmax,
    take,
    value_and_grad,
    where,
)
from tinygrad_scalar.strategies import expressions, points_for


def f(a: Value, b: Value) -> Value:
    return a * b


def g(x: Value) -> Value:
    return 2 * x + x / 3 - 1.5**x + Fraction(1, 2) * abs(-x) + x.exp().tanh() ** 2


def h(x: float) -> float:
    return sin(x) + 1


def smooth(x: Value, y: float) -> Value:
    return log(exp(x) + exp(y)) + maximum(x, y) + hypot(x, y, 1.0) + x.maximum(y).relu()


def chosen(x: Value, rows: list[list[Value]]) -> Value:
    first = where(x > 0, x, 0.0) + where(x > 1, lambda: log(x), lambda: x)
    return first * softmax(rows[0])[0] + take(take(rows, x), 1) + checkpoint(g, x)


def lengths(a: list[Value], b: list[float]) -> tuple[Value, float]:
    fraction, whole = tg.modf(a[0])
    return tg.dist(a, b) + tg.fsum(a) + fraction * whole, tg.dist(b, b) + tg.ldexp(tg.fsum(b), 2)


def digits(x: float, n: int) -> tuple[float, int]:
    mantissa, exponent = tg.frexp(x)
    return mantissa + tg.nextafter(x, 1.0) + tg.ulp(x), exponent + tg.gcd(n, 4) + tg.isqrt(n)


@no_grad()
def unrecorded(x: Value) -> Value:
    return x * x


def nodes(x: Value) -> int:
    with counting() as counted:
        unrecorded(x).backward()
    return counted.nodes


x, y = Value(1.0, label="x"), Value(2.0)
assert_type(x * y, Value)
assert_type(x + 1, Value)
assert_type(2 * x, Value)
assert_type(x % 2, Value)
assert_type(x.exp(), Value)
assert_type(x.log(2.0), Value)
assert_type(round(x, 2), Value)
assert_type(sin(x), Value)
assert_type(sin(1.0) + 1, float)
assert_type(floor(x), Value)
assert_type(range(ceil(2.5) + floor(1)), range)
assert_type(maximum(1.0, x), Value)
assert_type(maximum(1.0, 2), float)
assert_type(tg.sum([1.0, 2.0]), float)
assert_type(tg.sum([x, 2.0]), Value)
both_signs = tg.abs(x) + tg.pow(x, 2) + tg.round(x)
assert_type(both_signs, Value)
assert_type(tg.leaky_relu(x, slope=0.1), Value)
assert_type(cross_entropy([x, y], 1), Value)
assert_type(where(x > y, x, 1.0), Value)
assert_type(where(True, 1.0, 2.0), float)
assert_type(softmax([1.0, 2.0]), list[float])
assert_type(tg.dot(xs=[x, y], ys=[1.0, 2.0]), Value)
assert_type(x < y, bool)
assert_type(sin.name, str)

table = f(x, y).backward(inputs=[x], undefined="warn")
slope: float = table[x]
names = [parent.label for parent in (x * y).parents]
weights = softmax([x, y])
first: Any = grad(f)(1.0, 2.0)
both: tuple[Any, Any] = value_and_grad(f)(1.0, 2.0)
second: Any = hessian(f)(1.0, 2.0)
third: Any = derivative(g, 3)(0.5)
pushed = jvp(f, (1.0, 2.0), (1.0, 0.0))

fast = compile(f)
gradient: Any = fast.grad(1.0, 2.0)


@compile(engine="python")
def quick(a: Value) -> Value:
    return sin(a)


text: str = quick.source
net = nn.MLP(2, [4, 1], seed=0)
output: Any = net([1.0, 2.0])
optimizer = optim.SGD(net.parameters(), 0.1)
optimizer.step()
optimizer.zero_grad()



def bell(t: Value) -> Value:
    return exp(-t * t)


bump: Any = primitive("bump", formula=bell)
programs: Any = expressions([sin, "exp"], max_ops=3)
points: Any = points_for(f, 2)
