"""Laws of differentiation on random programs, and other people's derivatives of the same programs.

A tolerance is what rounding may change in an entry (`rounding_errors`, Σ |∂(entry)/∂v · v| over the
derivative graph): the two sides of a law round differently, and by no more.
"""

import math
from fractions import Fraction

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
import sympy
from autograd.scipy import special
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinygrad_scalar
from tinygrad_scalar import Value, jvp, no_grad, sin
from tinygrad_scalar.core import primitives
from tinygrad_scalar.strategies import Instruction, Program, expressions
from tinygrad_scalar.testing.comparison import rounding_errors

SMOOTH = [
    "neg",
    "add",
    "sub",
    "mul",
    "div",
    "square",
    "sqrt",
    "sin",
    "cos",
    "tan",
    "atan",
    "exp",
    "log",
    "tanh",
    "sigmoid",
    "softplus",
    "erf",
]
factors = st.integers(-8, 8).map(lambda n: n / 4)


def gradient(f, point):
    inputs = [Value(x) for x in point]
    output = f(*inputs)
    if not isinstance(output, Value):
        return [0.0] * len(point)
    table = output.backward(inputs=inputs)
    return [table[x] for x in inputs]


def assert_same(f, point, actual, expected):
    """Two gradients of f within four times its rounding errors."""
    allowed = rounding_errors(f, point, 1)
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assume((i,) in allowed)  # overflow in a second derivative: no bound
        assert abs(a - b) <= 4 * allowed[i,] + 1e-13 * abs(b) + 1e-300


def prefix(program, part):
    """An earlier result of the program as a program on the same inputs."""
    count = max(1, math.ceil(part * len(program.instructions)))
    return Program(program.inputs, program.instructions[:count])


pairs = st.tuples(expressions(), st.floats(0.0, 1.0)).map(lambda p: (p[0], prefix(*p)))


# ── how operations combine ────────────────────────────────────────────────────────────────────
@given(pairs, factors, factors)
def test_linearity(pair, a, b):
    f, g = pair
    x = f.inputs

    def together(*x):
        return a * f(*x) + b * g(*x)

    parts = zip(gradient(f, x), gradient(g, x), strict=True)
    assert_same(together, x, gradient(together, x), [a * df + b * dg for df, dg in parts])


@given(pairs)
def test_product_rule(pair):
    f, g = pair
    x = f.inputs

    def product(*x):
        return f(*x) * g(*x)

    parts = zip(gradient(f, x), gradient(g, x), strict=True)
    expected = [df * g(*x) + f(*x) * dg for df, dg in parts]
    assert_same(product, x, gradient(product, x), expected)


@given(pairs)
def test_quotient_rule(pair):
    f, g = pair
    x = f.inputs
    assume(abs(g(*x)) > 1e-3)

    def quotient(*x):
        return f(*x) / g(*x)

    parts = zip(gradient(f, x), gradient(g, x), strict=True)
    expected = [(df * g(*x) - f(*x) * dg) / g(*x) ** 2 for df, dg in parts]
    assert_same(quotient, x, gradient(quotient, x), expected)


@given(expressions(), st.lists(factors, min_size=3, max_size=3), factors)
def test_chain_rule_along_a_curve(f, speeds, t):
    """d/dt f(x(t)) = Σ ∂f/∂x_i · x_i′(t), for x_i(t) = x_i + speed_i · (sin t − sin t₀)."""
    speeds = speeds[: len(f.inputs)]
    start = math.sin(t)

    def along(t):
        moved = sin(t) - start
        return f(*(x + speed * moved for x, speed in zip(f.inputs, speeds, strict=True)))

    slopes = [speed * math.cos(t) for speed in speeds]
    expected = math.fsum(a * b for a, b in zip(gradient(f, f.inputs), slopes, strict=True))
    assert_same(along, (t,), gradient(along, (t,)), [expected])


@given(expressions())
def test_chain_rule_through_a_copy(f):
    """Putting a node in between changes nothing at all."""

    def through(*x):
        return primitives.identity(f(*(primitives.identity(a) for a in x)))

    assert gradient(through, f.inputs) == gradient(f, f.inputs)


@given(expressions(SMOOTH, max_ops=6))
def test_second_derivatives_are_symmetric(f):
    inputs = [Value(x) for x in f.inputs]
    table = f(*inputs).backward(inputs=inputs, create_graph=True)
    hessian = []
    for x in inputs:
        slope = table[x]
        row = slope.backward(inputs=inputs) if isinstance(slope, Value) else {}
        hessian.append([row[y] if row else 0.0 for y in inputs])
    allowed = rounding_errors(f, f.inputs, 2)
    for i in range(len(inputs)):
        for j in range(i):
            assume((i, j) in allowed and (j, i) in allowed)
            bound = 2 * (allowed[i, j] + allowed[j, i]) + 1e-13 * abs(hessian[i][j]) + 1e-300
            assert abs(hessian[i][j] - hessian[j][i]) <= bound


# ── what a number does not depend on ──────────────────────────────────────────────────────────
@given(expressions())
def test_numbers_are_those_of_a_recorded_computation(f):
    with no_grad():
        silent = f.run()
    recorded = f.run()
    assert silent.data == recorded.data or math.isnan(silent.data) is math.isnan(recorded.data)
    assert (silent.parents, silent.operands, silent.primitive, silent.grad) == ((), (), None, 0.0)


OPERATIONS = {
    "an int": lambda x: (x * 3, 3 - x, x**2, tinygrad_scalar.maximum(x, 0)),
    "a large int": lambda x: x * 10**400,
    "a fraction": lambda x: Value(Fraction(1, 3)) * 2 + x,
    "32 bits": lambda x: Value(np.float32(0.1)) * np.float32(3) - x,
    "several": lambda x: (tinygrad_scalar.dot([x, 2], [0.5, x]), tinygrad_scalar.hypot(x, 1, x)),
    "out of the domain": lambda x: (x - 100.0).log(),
    "a pole": lambda x: 1 / (x - x),
    "too large": lambda x: (x * 1000.0).exp(),
    "a complex power": lambda x: (-x) ** 0.5,
    "text": lambda x: sin(x) + "a",
    "a subclass": lambda x: Half(3.0) * x + Half(1.0).exp(),
    "a row that gives an int": lambda x: tinygrad_scalar.primitive("whole", int, 0.0)(x),
}


class Half(Value):
    """A Value that shows half of what it has."""

    @property
    def data(self):
        return Value.data.__get__(self) / 2

    @data.setter
    def data(self, x):
        Value.data.__set__(self, x)


@pytest.mark.parametrize("case", OPERATIONS)
def test_every_kind_of_number_and_error_is_that_of_a_recorded_operation(case):
    def outcome():
        try:
            result = OPERATIONS[case](Value(2.0))
        except (ArithmeticError, ValueError, TypeError) as error:
            return type(error), str(error)
        values = result if isinstance(result, tuple) else (result,)
        return [(type(v), type(v.data), v.data) for v in values]

    with no_grad():
        silent = outcome()
    assert silent == outcome()


# ── what a gradient does not depend on ────────────────────────────────────────────────────────
@given(expressions(), st.randoms(use_true_random=False))
def test_renaming_inputs_changes_nothing(f, random):
    order = list(range(len(f.inputs)))
    random.shuffle(order)
    inputs = [Value(x, label=f"input {random.random()}") for x in f.inputs]
    shuffled = [inputs[i] for i in order]  # made in one order, handed over in another
    place = {id(x): k for k, x in enumerate(shuffled)}
    table = f(*inputs).backward(inputs=shuffled)
    found = [table[shuffled[place[id(x)]]] for x in inputs]
    assert found == gradient(f, f.inputs)


@given(expressions(["add", "mul", "sub", "sin", "exp"]))
def test_exchanging_operands_stays_within_rounding(f):
    exchanged = Program(
        f.inputs,
        tuple(
            Instruction(row, operands[::-1] if row.name in ("add", "mul") else operands)
            for row, operands in f.instructions
        ),
    )
    assert exchanged(*f.inputs) == f(*f.inputs)
    assert_same(f, f.inputs, gradient(exchanged, f.inputs), gradient(f, f.inputs))


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6))
def test_associating_otherwise_stays_within_rounding(numbers):
    def from_the_left(*x):
        total = x[0]
        for a in x[1:]:
            total = (total + a) * a
        return total

    def expanded(*x):
        """The same polynomial, its products written out: x₀·x₁⋯ + x₁·x₁·x₂⋯ + …"""
        terms = []
        for i, a in enumerate(x):
            term = a if i == 0 else a * a
            for b in x[i + 1 :]:
                term = term * b
            terms.append(term)
        return tinygrad_scalar.functions.sum(terms)

    assert_same(expanded, numbers, gradient(from_the_left, numbers), gradient(expanded, numbers))


@given(expressions(), st.integers(-20, 20))
def test_the_seed_is_a_factor(f, power):
    """Exactly: a power of two never rounds."""
    inputs = [Value(x) for x in f.inputs]
    z = f(*inputs)
    one, scaled = z.backward(), z.backward(2.0**power)
    assert [scaled[x] for x in inputs] == [2.0**power * one[x] for x in inputs]


@given(expressions())
def test_asking_for_less_gives_the_same(f):
    inputs = [Value(x) for x in f.inputs]
    z = f(*inputs)
    whole = z.backward()
    for x in inputs:
        assert z.backward(inputs=x)[x] == whole[x]


@given(expressions(), st.lists(factors, min_size=3, max_size=3))
def test_forward_and_reverse_are_transposes(f, direction):
    direction = direction[: len(f.inputs)]
    _, slope = jvp(f, f.inputs, direction)
    expected = math.fsum(a * b for a, b in zip(gradient(f, f.inputs), direction, strict=True))
    size = sum(abs(b) for b in direction)
    allowed = rounding_errors(f, f.inputs, 1)
    assume(len(allowed) == len(f.inputs))
    assert (
        abs(slope - expected) <= 4 * size * sum(allowed.values()) + 1e-12 * abs(expected) + 1e-300
    )


# ── other people's derivatives ────────────────────────────────────────────────────────────────
COMMON = {
    "neg": lambda x: -x,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "square": lambda x: x * x,
}
IN_SYMPY = COMMON | {
    "sqrt": sympy.sqrt,
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "atan": sympy.atan,
    "exp": sympy.exp,
    "log": sympy.log,
    "tanh": sympy.tanh,
    "erf": sympy.erf,
    "gamma": sympy.gamma,
    "lgamma": sympy.loggamma,
    "sigmoid": lambda x: 1 / (1 + sympy.exp(-x)),
    "asinh": sympy.asinh,
    "hypot": lambda a, b: sympy.sqrt(a**2 + b**2),
}
IN_AUTOGRAD = COMMON | {
    "sqrt": anp.sqrt,
    "sin": anp.sin,
    "cos": anp.cos,
    "tan": anp.tan,
    "atan": anp.arctan,
    "exp": anp.exp,
    "log": anp.log,
    "log1p": anp.log1p,
    "expm1": anp.expm1,
    "tanh": anp.tanh,
    "sinh": anp.sinh,
    "cosh": anp.cosh,
    "asin": anp.arcsin,
    "acos": anp.arccos,
    "acosh": anp.arccosh,
    "atanh": anp.arctanh,
    "erf": special.erf,
    "gamma": special.gamma,
    "maximum": anp.maximum,
    "minimum": anp.minimum,
    "abs": anp.abs,
}


def interpreted(program, functions, inputs):
    """The program in another library's functions."""
    results = list(inputs)
    for row, operands in program.instructions:
        x = (results[k] if isinstance(k, int) else k for k in operands)
        results.append(functions[row.name](*x))
    return results[-1]


@settings(max_examples=40)
@given(expressions(IN_SYMPY, max_ops=6))
def test_sympy_agrees(f):
    # SymPy's loggamma is complex left of 0; the row is log |Γ|
    assume(not any(row.name == "lgamma" for row, _ in f.instructions))
    symbols = sympy.symbols(f"x0:{len(f.inputs)}", real=True)
    exact = Program(
        f.inputs,
        tuple(
            Instruction(
                row, tuple(k if isinstance(k, int) else sympy.Rational(k) for k in operands)
            )
            for row, operands in f.instructions
        ),
    )
    expression = interpreted(exact, IN_SYMPY, symbols)
    at = {s: sympy.Rational(x) for s, x in zip(symbols, f.inputs, strict=True)}
    expected = [float(sympy.diff(expression, s).subs(at).evalf(30)) for s in symbols]
    assert_same(f, f.inputs, gradient(f, f.inputs), expected)


@given(expressions(IN_AUTOGRAD, max_ops=10))
def test_autograd_agrees(f):
    # autograd's derivative of expm1 is y + 1, which has no digit left where y is near −1
    assume(not any(row.name == "expm1" for row, _ in f.instructions))
    positions = tuple(range(len(f.inputs)))
    with np.errstate(all="ignore"):  # it overflows on the way where this library does not
        theirs = autograd.grad(lambda *x: interpreted(f, IN_AUTOGRAD, x), positions)(*f.inputs)
    assert_same(f, f.inputs, gradient(f, f.inputs), [float(x) for x in theirs])


@pytest.mark.parametrize(
    "names", [sorted(IN_SYMPY), sorted(IN_AUTOGRAD)], ids=["sympy", "autograd"]
)
def test_the_other_libraries_know_rows_of_the_table(names):
    assert set(names) <= set(primitives.TABLE)
