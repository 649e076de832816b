"""First and second derivatives of every row keep the digits that the row states, to the ends.

The reference is the row's own rule in mpmath's numbers, of so many digits that cancellation is
nothing; that the rule is the derivative of mpmath's function, `test_precision` tells. An operand
is a float, as if it had been rounded: what half a unit in its last place changes is allowed.

`ROW_POINTS=10000 pytest tests/test_row_digits.py` takes so many points of every row, drawn evenly
in their exponents, from the smallest float to the largest, and near 1 and the ends of domains.
"""

import functools
import itertools
import math
import os
import random
import warnings

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import tinygrad_scalar as ts
from tinygrad_scalar import grad
from tinygrad_scalar.core.primitives import TABLE

LARGEST = 1.7976931348623157e308
SIZES = (
    5e-324, 3e-310, 2.3e-308, 1e-300, 1e-160, 1e-80, 1e-20, 1e-8, 1e-3, 0.3, 0.7, 1.3, 2.6, 7.1,
    15.3, 27.9, 39.7, 150.3, 709.1, 1e4, 1e8, 1e17, 1e80, 1e160, 1e300, 1.7e308,
)  # fmt: skip
COUNTS = {"polygamma": (0, (0.0, 1.0, 2.0, 5.0)), "round_to": (1, (0.0, 2.0))}
POINTS = int(os.environ.get("ROW_POINTS", "24"))
# A subnormal number is off by up to 2.5e-324 whatever its size, and a^b, if it is one, by that in
# ∂²(a^b)/∂b² = a^b · log² a too, where log² a is up to 745²; gelu by tanh, whose second derivative
# has the term x (sech² u)″ with u′² near 3,000 and x near 21 where sech² u is one, by more.
SUBNORMAL = 2.5e-324 * 4e6
CONSTANT = {("polygamma", 0), ("round_to", 1), ("where", 0)}  # operands without a derivative
# Within these, no product of a few factors leaves the range of floats on the way.
FAR, NEAR = 1e60, 1e-60
ENGINES = [engine for engine in ts.engines() if engine != "cuda"]


def numbers(interval, several, chosen):
    ends = [(interval.low, 1), (interval.high, -1)]
    near = [e + side * d for e, side in ends if math.isfinite(e) for d in (1e-3, 1e-8, 1e-15)]
    # what is multiplied by many others leaves the range of floats sooner
    sizes = [size for size in SIZES if NEAR < size < FAR] if several else SIZES
    low, high = (-60, 60) if several else (-323.3, 308.2)
    sizes = [*sizes, *(10 ** chosen.uniform(low, high) for _ in range(POINTS - 24))]
    # the other half near 1, and near the ends of the interval
    sizes += [math.exp(chosen.gauss(0, 3)) for _ in range(POINTS - 24)]
    near += [
        e + side * 10 ** chosen.uniform(-16, 1)
        for e, side in ends
        if math.isfinite(e)
        for _ in range((POINTS - 24) // 2)
    ]
    inside = [sign * size for size in sizes for sign in (1, -1)]
    return [x for x in dict.fromkeys([0.0, *inside, *near]) if interval.interior(x)]


def points(row):
    """Points of the open domain with a finite value, off the kinks; the same in every run."""
    chosen = random.Random(row.name)
    count = row.arity or 4
    columns = [
        numbers(row.domain[min(i, len(row.domain) - 1)], row.arity is None, chosen)
        for i in range(count)
    ]
    if row.name in COUNTS:
        place, few = COUNTS[row.name]
        columns[place] = list(few)
    if count == 1:
        chosen.shuffle(columns[0])
        del columns[0][POINTS:]
    drawn = zip(columns[0]) if count == 1 else iter(lambda: tuple(map(chosen.choice, columns)), 0)
    found = []
    for point in itertools.islice(drawn, 20 * POINTS):
        try:
            y = row.forward(*point)
        except (ArithmeticError, ValueError):
            continue
        if math.isfinite(y) and not row.kinks(*point):
            found.append(point)
    return found if count == 1 else found[:POINTS]


def along(row, i, j=None):
    """∂row/∂x_i, or ∂²row/∂x_i ∂x_j, as a function."""
    f = lambda *x: row(*x)  # noqa: E731
    first = grad(f, argnums=i)
    return first if j is None else grad(lambda *x: first(*x), argnums=j)


def settled(derivative, point):
    """The derivative in mpmath's numbers, of so many digits that 30 stay; 0 below 1e-330."""
    before = None
    for digits in (40, 80, 160, 320, 640, 1280):
        with mpmath.workdps(digits):
            now = mpf(derivative(*map(mpf, point)))
            small = before is not None and max(abs(now), abs(before)) < mpf("1e-330")
            if small or (before is not None and abs(now - before) <= mpf("1e-30") * abs(now)):
                return mpf(0) if small else now
            before = now
    return before


def moved(row, derivative, point, exact):
    """What the rounding of the operands changes."""
    error = mpf(0)
    for i, x in enumerate(point):
        if (row.name, i) not in CONSTANT and x:
            with mpmath.workdps(60):
                unit = max(abs(x) * mpf(2) ** -52, mpf(math.ulp(0.0)))  # subnormal ones have few
                beside = [mpf(each) + (k == i) * unit for k, each in enumerate(point)]
            error += 2 * abs(settled(derivative, beside) - exact)
    return error


def found(row, chosen):
    """By mode the numbers and whether a warning came: the gradients and Hessians at all points."""
    columns = [np.array(column) for column in zip(*chosen, strict=True)]
    for engine in ENGINES:
        compiled = ts.compile(lambda *x: row(*x), engine=engine)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if engine == "python":  # it takes no arrays: the function is rebuilt point by point
                gradient, matrix = [], []
                for point in chosen:
                    slopes = compiled.grad(*point)
                    gradient.append(slopes if isinstance(slopes, tuple) else (slopes,))
                    matrix.append(compiled.hessian(*point))
                gradient, matrix = np.array(gradient).T, np.array(matrix)
            else:
                gradient, matrix = compiled.grad(*columns), compiled.hessian(*columns)
        gradient = gradient if isinstance(gradient, tuple) else np.atleast_2d(gradient)
        yield engine, gradient, matrix


def second(row, point, i, j):
    """By mode a call that gives ∂²row/∂x_i ∂x_j at the point: those that go forward."""
    if i != j:
        f = lambda a, b: row(*({i: a, j: b}.get(k, x) for k, x in enumerate(point)))  # noqa: E731
        return {"hvp": lambda: ts.hvp(f, (point[i], point[j]), (0.0, 1.0))[0]}
    f = lambda a: row(*point[:i], a, *point[i + 1 :])  # noqa: E731
    return {
        "hvp": lambda: ts.hvp(f, (point[i],), (1.0,)),
        "taylor": lambda: ts.taylor(f, 2)(point[i])[2],
    }


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_derivatives_keep_the_digits_that_the_row_states(row):
    chosen = points(row)
    modes = list(found(row, chosen))
    for k, point in enumerate(chosen):
        variable = [
            i
            for i, x in enumerate(point)
            if (row.name, i) not in CONSTANT and not (row.name == "pow" and i and point[0] <= 0)
        ]
        for i in variable:
            check(row, point, along(row, i), {}, {e: g[i][k] for e, g, _ in modes})
            for j in variable:
                compiled = {e: h[k][i][j] for e, _, h in modes}
                check(row, point, along(row, i, j), second(row, point, i, j), compiled)


def outcome(mode, *x):
    """A number, and whether a warning came."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        return mode(*x), bool(warned)


def check(row, point, derivative, forward, compiled):
    """Every mode gives the derivative at the point to the digits that the row states.

    `forward` are calls by mode, `compiled` numbers, of which eager's warning tells too.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exact = settled(derivative, point)
    except (ArithmeticError, UserWarning):  # a pole, or beyond what mpmath can do
        return
    got = {"eager": outcome(derivative, *point)}
    got |= {mode: (number, got["eager"][1]) for mode, number in compiled.items()}
    got |= {mode: outcome(call) for mode, call in forward.items()}
    sizes = [abs(x) for x in (*point, exact) if x]
    ordinary = all(NEAR < size < FAR for size in sizes)
    what = lambda: f"{row.name}{point}: {got}, right is {mpmath.nstr(exact, 17)}"  # noqa: E731
    stated = mpf(10) ** -row.digits * (abs(exact) + row.scale(*point)) + SUBNORMAL
    rounded = functools.cache(lambda: moved(row, derivative, point, exact))  # seldom asked for
    for number, warned in got.values():
        if not math.isfinite(number) or abs(exact) > LARGEST or warned:
            # a factor, or the result, has left the range of floats
            assert not ordinary, what()
            assert warned or abs(number) > 1e307 or math.isnan(number), what()
            continue
        error = abs(mpf(float(number)) - exact)
        assert error <= stated or error <= stated + rounded(), what()
