"""What the tests of the modes share: random programs as functions, and mpmath's derivatives."""

import math

import mpmath
from hypothesis import strategies as st
from instruction_lists import SMOOTH, programs
from mpmath import mpf

# The operations of `instruction_lists`, on numbers of mpmath.
BY_MPMATH = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
    "div": lambda a, b: a / (b * b + 2),
    "pow": lambda a: a * a,
    "sin": mpmath.sin,
    "tanh": mpmath.tanh,
    "exp": lambda a: mpmath.exp(-a * a),
    "sum": lambda *x: mpmath.fsum(x),
    "mean": lambda *x: mpmath.fsum(x) / len(x),
    "dot": lambda a, b, c, d: a * c + b * d,
    "prod": lambda *x: mpmath.fprod(x),
    "logsumexp": lambda *x: mpmath.log(mpmath.fsum(mpmath.exp(mpmath.tanh(a)) for a in x)),
    "constant": lambda a: 2 * a + mpf(0.5),
}
STEP = mpf("1e-25")


def function_of(program):
    """The last result of a program as a function of a list."""
    return lambda x: program.compute(x)[-1]


def _is_moderate(program):
    """Whether all numbers on the way are small enough for derivatives to keep their digits."""
    return all(abs(x) < 1e3 for x in program.compute(list(map(mpf, program.inputs)), BY_MPMATH))


# Numbers of few digits: easy to read, and none so small that its powers underflow.
DECIMALS = st.integers(-150, 150).map(lambda k: k / 100)


def moderate_programs(operations=tuple(SMOOTH), max_steps=10):
    return programs(operations, DECIMALS, max_steps).filter(_is_moderate)


def exact_gradient(program):
    """Central differences at 90 digits."""
    return [_difference(program, i) for i in range(len(program.inputs))]


def exact_hessian(program):
    """The second derivatives in the same way."""
    n = len(program.inputs)
    return [[_difference(program, i, j) for j in range(n)] for i in range(n)]


def _difference(program, *by):
    def shifted(inputs, remaining):
        if not remaining:
            return program.compute(inputs, BY_MPMATH)[-1]
        first, *others = remaining
        up, down = list(inputs), list(inputs)
        up[first] += STEP
        down[first] -= STEP
        return (shifted(up, others) - shifted(down, others)) / (2 * STEP)

    with mpmath.workdps(90):
        return float(shifted(list(map(mpf, program.inputs)), by))


def flat(structure):
    """The numbers of nested lists, tuples and dicts, in order."""
    if isinstance(structure, dict):
        structure = structure.values()
    elif not isinstance(structure, (list, tuple)):
        yield structure
        return
    for branch in structure:
        yield from flat(branch)


def close(actual, expected, tolerance=1e-14):
    """Equal up to `tolerance` of the larger of 1 and what is expected."""
    return math.isclose(actual, expected, rel_tol=tolerance, abs_tol=tolerance)


def all_close(actual, expected, tolerance=1e-10):
    """Two structures of numbers, equal up to `tolerance` of the largest, or of 1.

    An entry may be the small difference of large ones, so each is held to the largest.
    """
    got, wanted = list(flat(actual)), list(flat(expected))
    largest = max([1.0, *map(abs, wanted)])
    return len(got) == len(wanted) and all(
        abs(a - b) <= tolerance * largest for a, b in zip(got, wanted, strict=True)
    )
