"""Random straight-line programs for the tests of the modes, and what they are held to.

A program is a list of instructions over earlier results, so that results are shared as they are in
real code. The same program runs on anything that has the operations: this library's carriers,
mpmath's numbers, SymPy's expressions.
"""

import math
import operator
from dataclasses import dataclass
from types import ModuleType

import mpmath
from hypothesis import strategies as st

import tinygrad_scalar

ARITHMETIC = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
}
RATIONAL = ("add", "sub", "mul", "div", "neg")
SMOOTH = ("add", "sub", "mul", "neg", "sin", "cos", "tanh", "atan", "exp", "erf", "asinh")
UNARY = frozenset(SMOOTH) - {"add", "sub", "mul", "div"}


@dataclass(frozen=True)
class Program:
    """Instructions `(name, i, j)` on `size` inputs; i and j count back over inputs and results."""

    size: int
    instructions: tuple[tuple[str, int, int], ...]

    def on(self, functions: ModuleType):
        """The program as a function of a list, its functions taken from a module."""

        def run(inputs):
            numbers = list(inputs)
            for name, i, j in self.instructions:
                a, b = numbers[-1 - i % len(numbers)], numbers[-1 - j % len(numbers)]
                operation = ARITHMETIC.get(name) or getattr(functions, name)
                numbers.append(operation(a) if name in UNARY else operation(a, b))
            return numbers[-1]

        return run

    def __call__(self, inputs):
        return self.on(tinygrad_scalar)(inputs)


def programs(names=SMOOTH, *, inputs=3, most=10):
    """Programs of operations with these names."""
    index = st.integers(0, inputs + most - 1)
    instruction = st.tuples(st.sampled_from(names), index, index)
    return st.builds(
        Program, st.just(inputs), st.lists(instruction, min_size=1, max_size=most).map(tuple)
    )


def points(inputs=3):
    """Floats of moderate size, with few digits, so that failures are easy to read."""
    return st.lists(
        st.integers(-200, 200).map(lambda k: k / 100), min_size=inputs, max_size=inputs
    )


def moderate(program, point):
    """Whether all numbers on the way stay small enough for derivatives to keep their digits."""
    try:
        numbers = program.on(math_like)(point)
    except (ArithmeticError, ValueError):
        return False
    return math.isfinite(numbers) and abs(numbers) < 1e3


class _MathLike:
    """mpmath without its arbitrary precision, for a quick look."""

    sin, cos, tanh, atan, exp = math.sin, math.cos, math.tanh, math.atan, math.exp
    erf, asinh = math.erf, math.asinh


math_like = _MathLike


def exact_gradient(program, point):
    """The gradient by central differences at 60 digits: right to 25 and more."""
    return [_difference(program, point, i) for i in range(len(point))]


def exact_hessian(program, point):
    """The second derivatives in the same way."""
    n = len(point)
    return [[_difference(program, point, i, j) for j in range(n)] for i in range(n)]


def _difference(program, point, *by):
    with mpmath.workdps(90):
        step = mpmath.mpf("1e-25")
        run = program.on(mpmath)

        def shifted(inputs, remaining):
            if not remaining:
                return run(inputs)
            first, *others = remaining
            up, down = list(inputs), list(inputs)
            up[first] += step
            down[first] -= step
            return (shifted(up, others) - shifted(down, others)) / (2 * step)

        return float(shifted(list(map(mpmath.mpf, point)), by))


def close(actual, expected, tolerance=1e-10):
    """Equal up to `tolerance` of the larger of 1 and what is expected."""
    return abs(actual - expected) <= tolerance * max(1.0, abs(expected))


def all_close(actual, expected, tolerance=1e-10):
    """Two structures of numbers, equal up to `tolerance` of the largest expected one."""
    got, wanted = list(flat(actual)), list(flat(expected))
    scale = max([1.0, *map(abs, wanted)])
    return len(got) == len(wanted) and all(
        abs(a - b) <= tolerance * scale for a, b in zip(got, wanted, strict=True)
    )


def flat(structure):
    """The numbers of nested lists, tuples and dicts, in order."""
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, (list, tuple)):
        yield structure
        return
    for branch in structure:
        yield from flat(branch)
