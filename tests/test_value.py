"""`Value` as a number: kinds, operators, comparisons, refusals, and what a node tells."""

import cmath
import copy
import decimal
import inspect
import math
import operator
import pickle
import statistics
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tinygrad_scalar as ts
from tinygrad_scalar import Value, no_grad, primitive, scope
from tinygrad_scalar.core.primitives import TABLE

MODERATE = st.floats(-1e6, 1e6)
NUMBERS = st.floats(allow_nan=False)


def same(a, b):
    """Equal to the last bit, the sign of zero and NaN included."""
    return type(a) is type(b) and (repr(a) == repr(b))


# ── kinds of numbers ──────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "data",
    [2, 2.0, True, np.int8(2), np.int64(2), np.uint64(2), np.bool_(True), np.float64(2.0), 2**60],
    ids=lambda data: type(data).__name__,
)
def test_ints_bools_and_numpy_numbers_become_floats(data):
    v = Value(data)
    assert type(v.data) is float
    assert v.data == data


def test_subclasses_of_int_and_float_become_floats():
    class Metres(float):
        pass

    class Count(int):
        pass

    for data in (Metres(2.5), Count(2)):
        assert type(Value(data).data) is float
        assert type((Value(1.0) * data).data) is float
        assert type((data + Value(1.0)).data) is float


@pytest.mark.parametrize("data", [np.float32(0.1), Fraction(1, 3)], ids=["float32", "Fraction"])
def test_float32_and_fractions_are_carried(data):
    v = Value(data)
    assert same(v.data, data)
    assert type((v * v + v).data) is type(data)
    (v * v).backward()
    assert type(v.grad) is type(data)
    assert v.grad == 2 * data


@pytest.mark.parametrize(
    ("data", "name", "fix"),
    [
        ("a", "str", "convert it with float"),
        (b"1", "bytes", "give an int, a float or a fractions.Fraction"),
        (None, "NoneType", "give a number"),
        (1j, "complex", "only real numbers are carried"),
        (np.complex128(1), "complex128", "only real numbers are carried"),
        ([1], "list", "one Value per number"),
        ((1,), "tuple", "one Value per number"),
        (decimal.Decimal(1), "Decimal", "fractions.Fraction"),
        (np.array([1.0]), "ndarray", "tolist"),
        (np.array(1.0), "ndarray", "item"),
        (np.float16(1.0), "float16", "float"),
        (np.longdouble(1.0), "longdouble", "float"),
        (pd.Series([1.0]), "Series", r"x\.to_numpy\(\)"),
        (np.timedelta64(1, "s"), "timedelta64", "divide it by a unit"),
        (Value(1.0), "Value", "copy.copy"),
        (object(), "object", "give an int, a float or a fractions.Fraction"),
        ({}, "dict", "give an int, a float or a fractions.Fraction"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_anything_else_is_refused_with_its_type_and_the_fix(data, name, fix):
    with pytest.raises(TypeError, match=rf"one real number, not {name}: .*{fix}"):
        Value(data)


def test_a_time_is_no_number_beside_a_value():
    for time in (np.timedelta64(1, "s"), np.timedelta64(1, "ns"), np.datetime64(1, "ns")):
        for operation in (lambda x, y: x * y, lambda x, y: y + x, np.maximum):
            with pytest.raises(TypeError, match=r"one real number, not (timedelta|datetime)64"):
                operation(Value(1.0), time)
    assert Value(1.0) != np.timedelta64(1, "s")


def test_an_int_that_is_no_float_is_refused():
    with pytest.raises(OverflowError, match=r"too large for a float: use fractions\.Fraction"):
        Value(10**400)
    with pytest.raises(OverflowError, match=r"too large for a float: use fractions\.Fraction"):
        Value(1.0) * 10**400
    assert (Value(Fraction(1)) * 10**400).data == 10**400


@pytest.mark.parametrize("name", ["label", "provenance"])
def test_a_label_is_text(name):
    assert Value(1.0).label == ""
    assert Value(1.0, label="x").label == "x"
    v = Value(1.0)
    v.label = "later"
    assert (v.label, v.provenance.label) == ("later", "later")
    with pytest.raises(TypeError, match="label is a str, not int"):
        v.label = 5
    with pytest.raises(TypeError, match="label is a str, not int"):
        Value(1.0, label=5)
    assert v.label == "later"


def test_label_is_a_keyword():
    with pytest.raises(TypeError, match=r'Value: one number \(a name is label="x"\)'):
        Value(1.0, "x")


class TestFractions:
    """A plain int beside a Fraction keeps it exact; a float does not."""

    third = Fraction(1, 3)

    @pytest.mark.parametrize(
        ("compute", "expected"),
        [
            (lambda v: v * 2, Fraction(2, 3)),
            (lambda v: 2 * v, Fraction(2, 3)),
            (lambda v: v + 1, Fraction(4, 3)),
            (lambda v: 1 - v, Fraction(2, 3)),
            (lambda v: v - 1, Fraction(-2, 3)),
            (lambda v: v / 2, Fraction(1, 6)),
            (lambda v: 2 / v, Fraction(6)),
            (lambda v: v**2, Fraction(1, 9)),
            (lambda v: v**-2, Fraction(9)),
            (lambda v: -v, Fraction(-1, 3)),
            (lambda v: abs(-v), Fraction(1, 3)),
            (lambda v: sum([v, v]), Fraction(2, 3)),
            (lambda v: math.prod([v, v]), Fraction(1, 9)),
            (lambda v: ts.sum([v, 1, v]), Fraction(5, 3)),
            (lambda v: ts.prod([v, 2]), Fraction(2, 3)),
            (lambda v: ts.mean([v, 1]), Fraction(2, 3)),
            (lambda v: ts.dot([v, 2], [3, v]), Fraction(5, 3)),
            (lambda v: v // 1, Fraction(0)),
            (lambda v: (v + 1) % 1, Fraction(1, 3)),
            (lambda v: 7 % (v + 2), Fraction(0)),
            (lambda v: ts.maximum(v, 0), Fraction(1, 3)),
            (lambda v: ts.minimum(v, 0), Fraction(0)),
            (lambda v: ts.clip(v, 1, 2), Fraction(1)),
            (ts.relu, Fraction(1, 3)),
            (lambda v: ts.where(True, v, 0), Fraction(1, 3)),
            (ts.square, Fraction(1, 9)),
            (ts.reciprocal, Fraction(3)),
            (math.floor, Fraction(0)),
            (math.ceil, Fraction(1)),
            (math.trunc, Fraction(0)),
            (round, Fraction(0)),
            (lambda v: round(v, 1), Fraction(3, 10)),
        ],
    )
    def test_rational_operations_are_exact(self, compute, expected):
        v = Value(self.third)
        result = compute(v)
        assert type(result.data) is Fraction
        assert result.data == expected
        result.backward()
        assert type(v.grad) in (Fraction, float)
        assert v.grad == 0 or type(v.grad) is Fraction

    @pytest.mark.parametrize(
        "compute",
        [lambda v: v * 2.0, lambda v: 0.5 + v, ts.exp, ts.sqrt, ts.sin, lambda v: v**0.5, ts.gelu],
    )
    def test_others_give_floats(self, compute):
        v = Value(self.third)
        result = compute(v)
        assert type(result.data) is float
        result.backward()
        assert type(v.grad) is float

    def test_seeds_and_first_gradients_take_the_kind_carried(self):
        v = Value(self.third)
        z = v * v
        table = z.backward()
        assert type(table[z]) is type(table[v]) is Fraction
        for seed in (2, 2.0, True, Fraction(2)):
            assert type(z.backward(seed)[v]) is Fraction
        assert z.backward(0.5)[v] == Fraction(1, 3)
        assert v.backward()[v] == 1
        assert type(v.backward()[v]) is Fraction

    def test_gradients_of_huge_fractions_are_exact(self):
        huge = Fraction(10**400, 7)
        v = Value(huge)
        assert (v * v).backward()[v] == 2 * huge
        assert (v * v * 0).backward()[v] == 0
        zero = Value(Fraction(0))
        assert (zero * zero * 10**400).backward()[zero] == 0
        assert ts.floor(v).backward()[v] == 0

    def test_their_errors_name_the_operation_too(self):
        with pytest.raises(ZeroDivisionError, match=r"div\(Fraction\(1, 3\), Fraction\(0, 1\)\)"):
            Value(self.third) / 0
        with pytest.raises(ZeroDivisionError, match="pow"):
            Value(Fraction(0)) ** -1


class TestFloat32:
    def test_results_are_rounded_to_32_bits(self):
        v = Value(np.float32(0.1))
        for result in (ts.exp(v), v * 2, v**2, 1 / v, ts.sum([v, v]), v + Value(np.float32(1))):
            assert type(result.data) is np.float32
        assert ts.exp(v).data == np.float32(math.exp(float(np.float32(0.1))))

    def test_gradients_are_32_bit_numbers(self):
        v = Value(np.float32(0.5))
        table = (ts.tanh(v) * v).backward()
        assert type(table[v]) is type(v.grad) is np.float32

    def test_overflow_is_as_silent_as_with_floats(self):
        big = Value(np.float32(3e38))
        assert math.isinf((big * big).data)
        assert math.isinf((big + big).data)
        assert math.isinf((big * Value(np.float32(10))).data)
        assert math.isinf((big * 10).data)
        assert math.isinf((big / Value(np.float32(1e-30))).data)

    def test_small_seeds_are_not_lost(self):
        v = Value(np.float32(1.0))
        assert (v * v).backward(1e-30)[v] == np.float32(2e-30)


# ── data may be overwritten with any number ───────────────────────────────────────────────────
@pytest.mark.parametrize(
    "data", [3, True, np.float64(3.0), np.int64(3)], ids=lambda data: type(data).__name__
)
@pytest.mark.parametrize(
    "compute",
    [
        ts.exp,
        ts.tanh,
        ts.sqrt,
        ts.gelu,
        lambda v: v * v + 1,
        lambda v: v**2,
        lambda v: 2 / v,
        lambda v: ts.sum([v, v]),
        lambda v: ts.hypot(v, v),
    ],
)
def test_numbers_written_to_data_lose_nothing(data, compute):
    v, w = Value(1.0), Value(float(data))
    v.data = data
    y = compute(v)
    assert type(y.data) is float or y.data == int(y.data)
    assert y.data == compute(w).data
    y.backward()
    compute(w).backward()
    assert v.grad == w.grad


def test_after_an_update_with_numpy_numbers_all_digits_are_there():
    p = Value(0.3)
    ts.exp(p).backward()
    p.data -= np.float64(0.1) * p.grad
    expected = math.exp(p.data)
    assert ts.exp(p).data == expected
    assert ts.sin(ts.exp(p)).data == math.sin(expected)


@pytest.mark.parametrize("returned", [np.float64(0.1), np.float32(0.5), 3, True, Fraction(1, 3)])
def test_what_an_own_primitive_returns_is_a_carried_number(returned):
    row = primitive("own", lambda x: returned, lambda y, x: 1.0)
    y = row(Value(1.0))
    assert type(y.data) in (float, Fraction, np.float32)
    assert y.data == returned
    if not isinstance(returned, np.float32):
        assert ts.exp(y).data == math.exp(returned)


@pytest.mark.parametrize("returned", [None, "1", 1j, [1.0]])
def test_an_own_primitive_that_returns_no_number_leaves_no_node(returned):
    row = primitive("own", lambda x: returned, lambda y, x: 1.0)
    with pytest.raises(TypeError, match="own"):
        row(Value(1.0))


def test_without_numpy_a_pole_is_a_pole():
    """What is not installed must not be missed: the limits are computed in plain Python."""
    program = """
import sys
for name in ("numpy", "mpmath", "scipy"):
    sys.modules[name] = None
import tinygrad_scalar as ts
from tinygrad_scalar import Value
x = Value(0.0)
assert ts.sqrt(x).backward()[x] == float("inf")
v = Value(400.0)
assert ts.tanh(v).backward()[v] == 0.0
v.data = 3
assert ts.exp(v).data == ts.exp(3.0)
print(type(x.grad).__name__)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("float", "")


# ── operators ─────────────────────────────────────────────────────────────────────────────────
BINARY = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "pow": operator.pow,
}


@pytest.mark.parametrize("name", BINARY)
@given(a=MODERATE, b=MODERATE)
def test_operators_are_those_of_floats_on_either_side(name, a, b):
    op = BINARY[name]
    assume(name != "pow" or a >= 0 or b == math.floor(b))
    try:
        expected = op(a, b)
    except (ArithmeticError, ValueError) as error:
        for x, y in ((Value(a), Value(b)), (Value(a), b), (a, Value(b))):
            with pytest.raises(type(error), match=name):
                op(x, y)
        return
    for x, y in ((Value(a), Value(b)), (Value(a), b), (a, Value(b))):
        result = op(x, y)
        assert same(result.data, expected)
        assert result.primitive is TABLE[name]
        assert result.parents == tuple(v for v in (x, y) if isinstance(v, Value))
        assert [getattr(v, "data", v) for v in result.operands] == [a, b]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("plain", [3, True, Fraction(3), np.int64(3), np.float64(3.0)])
def test_a_plain_number_is_no_node_and_has_no_edge(name, plain):
    op, v = BINARY[name], Value(2.0)
    for result in (op(v, plain), op(plain, v)):
        assert [*result.parents] == [v]
        assert len(result.operands) == 2
        assert sum(operand is v for operand in result.operands) == 1
        assert len(result.local_derivatives) == 1


def test_a_constant_is_shown_as_a_float():
    x = Value(3.0)
    z = x * 2
    assert z.operands == (x, 2.0)
    assert type(z.operands[1]) is float
    assert (2 * x).operands[0] == 2.0


@pytest.mark.parametrize("name", BINARY)
def test_the_operators_and_the_rows_agree(name):
    """+ − × ÷ ** are spelled out in `Value` for speed; the table is what they mean."""
    for a, b in ((3.0, 2.0), (-3.0, 2.0), (0.5, -2.0), (2.0, 0.5), (0.0, 3.0), (7.0, -1.5)):
        by_operator, by_row = [], []
        for made, function in ((by_operator, BINARY[name]), (by_row, TABLE[name])):
            for wrap in ((Value, Value), (Value, float), (float, Value)):
                if name == "pow" and a <= 0 and wrap[0] is float:
                    continue  # no derivative by the exponent
                x, y = wrap[0](a), wrap[1](b)
                z = function(x, y)
                leaves = [v for v in (x, y) if isinstance(v, Value)]
                made.append(
                    (z.data, z.primitive, len(z.parents), z.backward(inputs=leaves[:1])[leaves[0]])
                )
        assert [m[:3] for m in by_operator] == [m[:3] for m in by_row]
        for one, other in zip(by_operator, by_row, strict=True):
            assert math.isclose(one[3], other[3], rel_tol=1e-15)


@given(a=NUMBERS)
def test_unary_operators(a):
    v = Value(a)
    assert same((-v).data, -a)
    assert (+v) is v
    assert same(abs(v).data, abs(a))


@given(a=MODERATE, b=MODERATE)
def test_divmod_gives_two_values(a, b):
    assume(b)
    for pair in (divmod(Value(a), b), divmod(a, Value(b)), divmod(Value(a), Value(b))):
        assert [x.data for x in pair] == [*divmod(a, b)]
    with pytest.raises(ZeroDivisionError, match=r"floordiv\(.*0\.0\)"):
        divmod(Value(a), 0)


@given(a=st.floats(-1e9, 1e9), digits=st.integers(-3, 5))
def test_rounding_gives_values(a, digits):
    v = Value(a)
    assert math.floor(v).data == math.floor(a)
    assert math.ceil(v).data == math.ceil(a)
    assert math.trunc(v).data == math.trunc(a)
    assert round(v).data == round(a)
    assert round(v, digits).data == round(a, digits)
    for result in (math.floor(v), math.ceil(v), math.trunc(v), round(v), round(v, digits)):
        assert result.parents == (v,)
        assert result.backward()[v] == 0.0


def test_rounding_to_a_fraction_of_a_digit_is_refused():
    with pytest.raises(TypeError, match="integer"):
        round(Value(1.234), 1.5)


@given(a=MODERATE, b=MODERATE)
def test_mod_and_floordiv_have_the_gradients_of_their_pieces(a, b):
    assume(b and a % b)
    x, y = Value(a), Value(b)
    table = (x % y).backward()
    assert table[x] == 1.0
    assert math.isclose(table[y], -(a // b), rel_tol=1e-12)
    table = (x // y).backward()
    assert (table[x], table[y]) == (0.0, 0.0)


class TestPow:
    @pytest.mark.parametrize("exponent", [2, 2.0, 3, -1, -2.0, 0, Fraction(3), np.int64(3)])
    def test_a_negative_base_takes_whole_exponents(self, exponent):
        v = Value(-2.0)
        y = v**exponent
        assert y.data == (-2.0) ** float(exponent)
        assert y.backward()[v] == float(exponent) * (-2.0) ** (float(exponent) - 1)

    @pytest.mark.parametrize("make", [lambda x: x, Value])
    def test_and_no_others(self, make):
        with pytest.raises(ValueError, match=r"pow\(-2\.0, 0\.5\)"):
            Value(-2.0) ** make(0.5)
        with pytest.raises(ValueError, match=r"pow\(-2\.0, 0\.5\)"):
            (-2.0) ** Value(0.5)

    def test_zero_to_a_negative_power(self):
        for make in (float, Value):
            with pytest.raises(ZeroDivisionError, match=r"pow\(0\.0, -1\.0\)"):
                Value(0.0) ** make(-1.0)

    def test_overflow_names_operation_and_operands(self):
        with pytest.raises(OverflowError, match=r"pow\(10\.0, 400\.0\)"):
            Value(10.0) ** 400

    def test_zero_to_the_zero(self):
        v = Value(0.0)
        assert (v**0).data == 1.0
        assert (v**0).backward()[v] == 0.0

    def test_both_gradients(self):
        a, b = Value(2.0), Value(3.0)
        table = (a**b).backward()
        assert table[a] == 12.0
        assert math.isclose(table[b], 8.0 * math.log(2.0), rel_tol=1e-15)

    def test_three_arguments_are_refused(self):
        with pytest.raises(TypeError, match=r"no third argument: write pow\(x, y\) % z"):
            pow(Value(2.0), 3, 5)
        with pytest.raises(TypeError):  # noqa: PT011 (Python's own words)
            pow(2, Value(3.0), 5)


def test_sums_and_products_overflow_to_infinity_as_floats_do():
    v = Value(1e308)
    assert (v * 10).data == math.inf
    assert (v + v).data == math.inf
    assert (-v - v).data == -math.inf
    assert (v / 1e-10).data == math.inf


@pytest.mark.parametrize(
    ("compute", "error", "message"),
    [
        (lambda: ts.log(Value(-1.0)), ValueError, r"log\(-1\.0\)"),
        (lambda: ts.log(Value(0.0)), ValueError, r"log\(0\.0\)"),
        (lambda: 1 / Value(0.0), ZeroDivisionError, r"div\(1\.0, 0\.0\)"),
        (lambda: Value(1.0) / 0, ZeroDivisionError, r"div\(1\.0, 0\.0\)"),
        (lambda: Value(1.0) / Value(0.0), ZeroDivisionError, r"div\(1\.0, 0\.0\)"),
        (lambda: Value(1.0) // 0, ZeroDivisionError, r"floordiv\(1\.0, 0\.0\)"),
        (lambda: Value(1.0) % 0, ZeroDivisionError, r"mod\(1\.0, 0\.0\)"),
        (lambda: ts.exp(Value(1000.0)), OverflowError, r"exp\(1000\.0\)"),
        (lambda: Value(1000.0).exp(), OverflowError, r"exp\(1000\.0\)"),
        (lambda: ts.sqrt(Value(-1.0)), ValueError, r"sqrt\(-1\.0\)"),
        (lambda: ts.asin(Value(2.0)), ValueError, r"asin\(2\.0\)"),
        (lambda: ts.acosh(Value(0.0)), ValueError, r"acosh\(0\.0\)"),
        (lambda: ts.atanh(Value(1.0)), ValueError, r"atanh\(1\.0\)"),
        (lambda: ts.gamma(Value(-1.0)), ValueError, r"gamma\(-1\.0\)"),
        (lambda: ts.lgamma(Value(0.0)), ValueError, r"lgamma\(0\.0\)"),
        (lambda: ts.digamma(Value(-2.0)), ValueError, r"digamma\(-2\.0\)"),
        (lambda: ts.cosh(Value(1000.0)), OverflowError, r"cosh\(1000\.0\)"),
        (lambda: ts.fmod(Value(1.0), 0.0), ValueError, r"fmod\(1\.0, 0\.0\)"),
        (lambda: ts.sin(Value(math.inf)), ValueError, r"sin\(inf\)"),
        (lambda: ts.clip(Value(1.0), 2.0, 0.0), ValueError, r"clip\(1\.0, 2\.0, 0\.0\).*exchange"),
        (lambda: ts.log(8.0, 1), ZeroDivisionError, "div"),
        (lambda: ts.log(Value(8.0), 1), ZeroDivisionError, "div"),
        (lambda: ts.log(-1.0), ValueError, r"log\(-1\.0\)"),
    ],
)
def test_errors_of_math_name_operation_and_operands(compute, error, message):
    with pytest.raises(error, match=message):
        compute()


def test_nan_and_infinity_pass_through():
    v = Value(math.inf)
    assert (v + 1).data == math.inf
    assert math.isnan((v - v).data)
    assert math.isnan((Value(math.nan) * 2).data)
    assert ts.exp(-v).data == 0.0
    assert ts.atan(v).data == math.pi / 2


# ── strangers ─────────────────────────────────────────────────────────────────────────────────
class Stranger:
    """Answers every operator itself, and so needs NotImplemented from a Value."""

    def answer(self, other):
        return "mine"

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = answer
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = answer
    __mod__ = __rmod__ = __pow__ = __rpow__ = __divmod__ = __rdivmod__ = answer
    __lt__ = __gt__ = __le__ = __ge__ = __eq__ = answer
    __hash__ = object.__hash__


OPERATORS = [*BINARY.values(), divmod]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq]


@pytest.mark.parametrize("op", [*OPERATORS, *COMPARISONS], ids=lambda op: op.__name__)
def test_strangers_get_their_own_chance(op):
    assert op(Value(1.0), Stranger()) == "mine"
    assert op(Stranger(), Value(1.0)) == "mine"


@pytest.mark.parametrize("stranger", ["a", None, [1], (1,), 1j, decimal.Decimal(1), {}, object()])
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_other_types_are_a_type_error(op, stranger):
    with pytest.raises(TypeError, match=r"unsupported|as an index"):
        op(Value(1.0), stranger)
    if op is not operator.mod or not isinstance(stranger, str):
        with pytest.raises(TypeError, match=r"unsupported|as an index|can only concatenate"):
            op(stranger, Value(1.0))


def test_a_list_times_a_value_is_told_of():
    with pytest.raises(TypeError, match=r"how often a list is repeated.*use v\.data"):
        [1.0, 2.0] * Value(3.0)


@pytest.mark.parametrize("stranger", ["a", None, [1], 1j, decimal.Decimal(1)])
def test_other_types_are_unequal_and_unordered(stranger):
    assert (Value(1.0) == stranger) is False
    assert (Value(1.0) != stranger) is True
    for op in (operator.lt, operator.le, operator.gt, operator.ge):
        with pytest.raises(TypeError, match="not supported between"):
            op(Value(1.0), stranger)


@pytest.mark.parametrize("name", ["sin", "leaky_relu", "maximum", "hypot", "clip"])
@pytest.mark.parametrize("stranger", ["a", None, 1j, [1.0]])
def test_functions_name_themselves_when_they_refuse(name, stranger):
    operands = {"sin": 0, "leaky_relu": 0, "clip": 2}.get(name, 1) * [Value(1.0)] + [stranger]
    with pytest.raises(TypeError, match=rf"{name}: .*not {type(stranger).__name__}"):
        getattr(ts, name)(*operands)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (ts.sin, "sin takes 1 operand, got 0"),
        (lambda: ts.sin(1.0, 2.0), "sin takes 1 operand, got 2"),
        (lambda: ts.atan2(Value(1.0)), "atan2 takes 2 operands, got 1"),
        (lambda: Value(1.0).sin(2.0), "sin takes 1 operand, got 2"),
        (lambda: ts.sum(Value(1.0)), "iterable"),
    ],
)
def test_wrong_numbers_of_operands(call, message):
    with pytest.raises(TypeError, match=message):
        call()


# ── comparisons, hashing, order ───────────────────────────────────────────────────────────────
@given(a=st.floats(), b=st.floats())
def test_comparisons_look_at_the_data(a, b):
    for op in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        for x, y in ((Value(a), Value(b)), (Value(a), b), (a, Value(b))):
            assert op(x, y) is op(a, b)


@given(a=st.floats())
def test_truth_looks_at_the_data(a):
    assert bool(Value(a)) is bool(a)


def test_comparisons_with_other_kinds_of_numbers():
    v = Value(2.0)
    for two in (2, Fraction(2), np.float32(2), np.float64(2), np.int64(2)):
        assert v == two
        assert two == v
        assert not v < two
        assert two <= v
    assert Value(0.1) != Fraction(1, 10)
    assert v < 10**400


def test_hashing_is_by_identity():
    x, y = Value(1.0), Value(1.0)
    assert x == y
    assert len({x, y, x}) == 2
    names = {x: "x", y: "y"}
    assert (names[x], names[y]) == ("x", "y")
    before = hash(x)
    x.data = 5.0
    assert hash(x) == before


@given(st.lists(MODERATE, min_size=1, max_size=8))
def test_the_builtins_over_values(numbers):
    values = [Value(x) for x in numbers]
    total = sum(values)
    assert total.data == sum(numbers, start=0.0) or math.isclose(
        total.data, math.fsum(numbers), rel_tol=1e-9, abs_tol=1e-6
    )
    assert math.prod(values).data == math.prod(numbers)
    assert min(values).data == min(numbers)
    assert max(values) is values[numbers.index(max(numbers))]
    assert [v.data for v in sorted(values)] == sorted(numbers)
    table = sum(values).backward()
    assert all(table[v] == 1.0 for v in values)


def test_sum_starts_at_the_int_0_and_prod_at_the_int_1():
    v = Value(2.5)
    assert sum([v]).data == 2.5
    assert sum([v]).backward()[v] == 1.0
    assert math.prod([v]).backward()[v] == 1.0
    assert sum([]) == 0


# ── refusals ──────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("use", "message"),
    [
        (int, r"int\(\).*v\.data"),
        (float, r"float\(\).*v\.data"),
        (complex, r"complex\(\).*v\.data"),
        (operator.index, r"index.*v\.data"),
        (lambda v: [1, 2][v], r"index.*v\.data"),
        (range, r"index.*v\.data"),
        (math.sin, r"v\.data.*tinygrad_scalar\.sin"),
        (math.exp, r"v\.data.*tinygrad_scalar\.sin"),
        (math.sqrt, r"v\.data.*tinygrad_scalar\.sin"),
        (math.isnan, r"v\.data"),
        (lambda v: math.fsum([v]), r"v\.data"),
        (lambda v: math.hypot(v, v), r"v\.data"),
        (lambda v: statistics.mean([v, v]), r"tinygrad_scalar\.mean"),
        (lambda v: statistics.fmean([v, v]), r"tinygrad_scalar\.mean"),
    ],
)
def test_what_would_drop_the_gradient_is_refused(use, message):
    with pytest.raises(TypeError, match=message):
        use(Value(1.0))


def test_cmath_is_refused_too():
    with pytest.raises(TypeError, match=r"v\.data"):
        cmath.sin(Value(1.0))


# ── text ──────────────────────────────────────────────────────────────────────────────────────
def test_repr_is_one_short_line_and_never_walks():
    v = Value(2.0, label="x")
    assert repr(v) == "Value(2.0, grad=0.0, label='x')"
    assert repr(Value(2.0)) == "Value(2.0, grad=0.0)"
    z = v
    for _ in range(200):
        z = z * z * 0.5  # a tree of 2²⁰⁰ leaves, if written out
    assert len(repr(z)) < 100
    assert str(z) == repr(z)
    assert "\n" not in repr(Value(1.0, label="two\nlines"))


def test_format_is_that_of_the_data():
    v = Value(3.14159)
    assert f"{v:.2f}" == "3.14"
    assert f"{v:>8.1e}" == " 3.1e+00"
    assert f"{v}" == repr(v)
    assert f"{v:.2f}".__class__ is str
    with pytest.raises(ValueError, match=r"[Ff]ormat"):
        format(v, "d")


# ── what a node tells ─────────────────────────────────────────────────────────────────────────
def test_a_leaf():
    v = Value(2.0)
    assert (v.parents, v.operands, v.primitive, v.local_derivatives) == ((), (), None, ())
    assert same(v.grad, 0.0)


def test_parents_stand_in_order_with_repetition():
    x, y = Value(2.0), Value(3.0)
    assert (x * x).parents == (x, x)
    assert (y - x).parents == (y, x)
    assert ts.sum([x, 1.0, y, x]).parents == (x, y, x)
    assert ts.sum([x, 1.0, y, x]).operands == (x, 1.0, y, x)
    assert ts.clip(x, 0.0, y).parents == (x, y)
    assert ts.where(True, 1.0, y).operands == (1.0, 1.0, y)


def test_local_derivatives_are_callables_for_the_values_seen():
    x, y = Value(2.0), Value(3.0)
    z = x * y
    x.data, y.data, z.data = 50.0, 60.0, 70.0
    assert [d() for d in z.local_derivatives] == [3.0, 2.0]
    cases = [
        (ts.exp(Value(0.0)), [1.0]),
        (Value(1.0) / Value(2.0), [0.5, -0.25]),
        (Value(3.0) ** 2, [6.0]),
        (ts.relu(Value(-1.0)), [0.0]),
        (-Value(1.0), [-1.0]),
        (ts.mean([Value(1.0), Value(2.0), 3.0, 4.0]), [0.25, 0.25]),
        (ts.dot([Value(1.0), 2.0], [3.0, Value(4.0)]), [3.0, 2.0]),
    ]
    for node, expected in cases:
        got = [d() for d in node.local_derivatives]
        assert got == expected
        assert all(type(x) is float for x in got)


def test_data_and_grad_are_readable_and_writable():
    v = Value(1.0)
    v.data, v.grad = 3.0, 5.0
    assert (v.data, v.grad) == (3.0, 5.0)
    v.data -= 0.5 * v.grad
    assert v.data == 0.5
    for name in ("parents", "operands", "local_derivatives", "_prev", "_op"):
        with pytest.raises(AttributeError):
            setattr(v, name, ())


def test_a_programs_own_attributes_are_kept():
    p = Value(1.0, label="p")
    p.m = [0.5]
    q = p * 2.0
    q.note = "twice"
    for twin in (copy.copy(q), copy.deepcopy(q), pickle.loads(pickle.dumps(q))):
        assert twin.note == "twice"
        assert twin.parents[0].m == [0.5]
    assert copy.deepcopy(q).parents[0].m is not p.m
    del p.m
    assert not hasattr(p, "m")


def test_a_programs_own_attributes_may_have_the_names_of_methods():
    p = Value(1.0)
    p.step = 3
    p.step += 1
    p.sign = -1
    assert (p.step, p.sign, vars(p)) == (4, -1, {"step": 4, "sign": -1})
    del p.step
    assert p.step().data == 1.0


def test_a_subclass_with_slots_keeps_other_attributes_too():
    class Slotted(Value):
        __slots__ = ("kept",)

    p = Slotted(1.0)
    p.kept, p.m = 1, 2
    assert (p.kept, p.m, vars(p)) == (1, 2, {"m": 2})
    with pytest.raises(AttributeError, match="'Slotted' object has no attribute 'n'") as told:
        p.n
    assert (told.value.name, told.value.obj) == ("n", p)


def test_a_subclass_may_have_data_and_grad_of_its_own():
    class Own(Value):
        data = property(lambda self: 2.0, lambda self, x: None)
        grad = property(
            lambda self: vars(self).get("kept", 0.0), lambda self, x: vars(self).update(kept=x)
        )

    p = Own(1.0)
    assert [z.data for z in (p * 3.0, -p, ts.square(p), p.square(), ts.sum([p, p]))] == [
        *(6.0, -2.0, 4.0, 4.0, 4.0)
    ]
    (p * p).backward()
    p.square().backward()
    assert p.grad == 8.0
    p.square().backward(undefined="raise")
    assert p.grad == vars(p)["kept"] == 12.0


@pytest.mark.parametrize("name", ["data", "grad"])
def test_data_and_grad_are_deleted_once(name):
    p = Value(1.0)
    delattr(p, name)
    with pytest.raises(AttributeError, match="'Value' object has no attribute") as told:
        getattr(p, name)
    assert told.value.name == name
    with pytest.raises(AttributeError, match=name):
        delattr(p, name)
    setattr(p, name, 2.0)
    assert getattr(p, name) == 2.0


def test_the_inside_of_micrograd_is_there_to_be_read():
    x, y = Value(2.0), Value(3.0)
    assert (x * x)._prev == {x}
    assert (x + y)._prev == {x, y}
    assert x._prev == set()
    operations = [x, x + y, x * y, x**2, x.relu(), x**y, x.exp(), x - y]
    assert [v._op for v in operations] == ["", "+", "*", "**2.0", "ReLU", "pow", "exp", "sub"]


def test_the_inside_of_micrograd_is_not_to_be_written():
    x = Value(2.0)

    def set_backward():
        x._backward = lambda: None

    for attempt in (
        set_backward,
        lambda: Value(4.0, (x,), "**2"),
        lambda: Value(4.0, _children=()),
    ):
        with pytest.raises(
            (AttributeError, TypeError), match=r"primitive\(.*Coming from micrograd"
        ):
            attempt()


def test_the_signature_is_what_is_meant_to_be_given():
    assert str(inspect.signature(Value)) == "(data, *, label='', latex='')"


def test_detach_is_a_leaf_with_the_same_data():
    x = Value(2.0, label="x")
    y = x * x
    d = y.detach()
    assert (d.data, d.parents, d.grad) == (4.0, (), 0.0)
    assert (d * x).backward()[x] == 4.0
    assert d is not y
    assert x.detach() is not x


def test_zero_grad_zeroes_every_node_below():
    x, other = Value(2.0), Value(3.0)
    y = x * x
    z = y * other
    z.backward()
    unrelated = Value(1.0)
    unrelated.grad = 7.0
    z.zero_grad()
    assert [n.grad for n in (x, other, y, z)] == [0.0] * 4
    assert unrelated.grad == 7.0


class TestNoGrad:
    def test_records_nothing(self):
        x = Value(2.0)
        with no_grad():
            results = [x * x, ts.sin(x), x + 1, 2 - x, -x, ts.sum([x, x]), x**2, x.relu(), x / 3]
        for result in results:
            assert isinstance(result, Value)
            assert result.parents == ()
            assert result.primitive is None

    def test_ends_with_its_block_however_it_ends(self):
        x = Value(2.0)
        with pytest.raises(RuntimeError, match="stop"), no_grad():
            raise RuntimeError("stop")
        assert (x * x).parents == (x, x)

    def test_nests_and_decorates(self):
        x = Value(2.0)

        @no_grad()
        def compute():
            return x * x

        with no_grad():
            with no_grad():
                pass
            assert (x * x).parents == ()
        assert compute().parents == ()
        assert (x * x).parents == (x, x)

    def test_plain_errors_stay_errors(self):
        with no_grad(), pytest.raises(ZeroDivisionError, match="div"):
            Value(1.0) / 0


def test_an_error_leaves_the_operands_as_they_were():
    x = Value(0.0)
    for fails in (lambda: 1 / x, lambda: ts.log(x), lambda: x**-1):
        with pytest.raises((ZeroDivisionError, ValueError)):
            fails()
    assert (x.data, x.grad, x.parents) == (0.0, 0.0, ())
    assert (x * x).backward()[x] == 0.0


# ── functions ─────────────────────────────────────────────────────────────────────────────────
PLAIN = ["exp", "log", "sqrt", "sin", "erf", "gamma", "sigmoid", "gelu", "softplus", "relu", "sign"]


@pytest.mark.parametrize("name", PLAIN)
def test_given_plain_numbers_functions_return_plain_numbers(name):
    function = getattr(ts, name)
    for x in (0.5, 1, True, Fraction(1, 2), np.float64(0.5)):
        result = function(x)
        assert isinstance(result, (float, Fraction))
        assert result == function(Value(x)).data


def test_functions_of_several_plain_numbers_too():
    assert ts.maximum(1.0, 2.0) == 2.0
    assert ts.hypot(3.0, 4.0) == 5.0
    assert ts.sum([1.0, 2.0]) == 3.0
    assert ts.dot([1.0], [2.0]) == 2.0
    assert ts.where(True, 1.0, 2.0) == 1.0
    assert ts.clip(5.0, 0.0, 1.0) == 1.0
    assert ts.softmax([0.0, 0.0]) == [0.5, 0.5]
    assert type(ts.cross_entropy([1.0, 2.0], 0)) is float


FUNCTIONS = str.split("""
    exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal hypot sin cos tan asin acos
    atan atan2 sinh cosh tanh asinh acosh atanh erf erfc gamma lgamma digamma normal_cdf
    normal_pdf abs sign step floor ceil trunc round mod remainder fmod maximum minimum clip
    where copysign relu leaky_relu elu softplus sigmoid silu gelu sum prod mean logsumexp dot
    softmax log_softmax cross_entropy
""")


def test_everything_in_the_list_of_functions_is_there():
    assert all(callable(getattr(ts, name)) for name in FUNCTIONS)
    shadowing = {"sum", "abs", "pow", "round", "compile"}
    assert shadowing.isdisjoint(ts.__all__)
    assert set(FUNCTIONS) - shadowing <= set(ts.__all__)
    assert all(hasattr(ts, name) for name in ts.__all__)


METHODS = str.split("""
    exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal sin cos tan atan sinh cosh tanh
    asinh erf erfc gamma lgamma digamma abs sign floor ceil trunc relu leaky_relu elu softplus
    sigmoid silu gelu
""")


@pytest.mark.parametrize("name", METHODS)
def test_functions_are_methods_too(name):
    x, y = Value(0.7), Value(0.7)
    by_method, by_function = getattr(x, name)(), getattr(ts, name)(y)
    assert by_method.data == by_function.data
    assert by_method.primitive is by_function.primitive
    assert by_method.backward()[x] == by_function.backward()[y]
    assert getattr(Value, name)(0.7) == by_method.data  # map(Value.relu, numbers)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda v: ts.leaky_relu(v, slope=0.2), -0.4),
        (lambda v: ts.leaky_relu(v, 0.2), -0.4),
        (ts.leaky_relu, -0.02),
        (lambda v: ts.elu(v, alpha=2.0), 2 * math.expm1(-2.0)),
        (ts.elu, math.expm1(-2.0)),
        (lambda v: ts.clip(v, lo=-1.0, hi=1.0), -1.0),
        (lambda v: v.clip(-1.0, 1.0), -1.0),
        (lambda v: ts.log(-v, base=2.0), 1.0),
        (lambda v: (-v).log(2.0), 1.0),
        (lambda v: ts.gelu(v, approximate="tanh"), -0.04540230591222809),
        (lambda v: v.gelu("tanh"), -0.04540230591222809),
        (lambda v: v.leaky_relu(slope=0.2), -0.4),
        (lambda v: v.elu(alpha=2.0), 2 * math.expm1(-2.0)),
    ],
)
def test_options_have_the_names_of_the_interface(call, expected):
    assert math.isclose(call(Value(-2.0)).data, expected, rel_tol=1e-12)


def test_gelu_refuses_another_approximation():
    with pytest.raises(ValueError, match="approximate"):
        ts.gelu(Value(1.0), approximate="sigmoid")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ts.mean([]), ValueError, "mean of no values"),
        (lambda: ts.logsumexp([]), ValueError, "logsumexp of no values"),
        (lambda: ts.dot([], []), ValueError, "dot of no values"),
        (lambda: ts.softmax([]), ValueError, "softmax"),
        (lambda: ts.log_softmax([]), ValueError, "softmax"),
        (lambda: ts.cross_entropy([], 0), ValueError, "cross_entropy"),
        (lambda: ts.dot([1.0], []), ValueError, "1 numbers against 0"),
        (lambda: ts.cross_entropy([Value(1.0)], 5), ValueError, "class 5 of 1; give 0 to 0"),
        (lambda: ts.cross_entropy([Value(1.0)], -1), ValueError, "class -1 of 1"),
        (lambda: ts.cross_entropy([Value(1.0)], 1.0), ValueError, "class 1 of 1; give 0 to 0"),
        (lambda: ts.cross_entropy([Value(1.0)], True), TypeError, "class index or .* not True"),
        (lambda: ts.cross_entropy([Value(1.0)], 0.5), TypeError, "class index or .* not 0.5"),
        (lambda: ts.cross_entropy([1.0], np.array(0.5)), TypeError, "class index or .* not 0.5"),
        (lambda: ts.cross_entropy([Value(1.0)], math.nan), TypeError, "class index or .* not nan"),
        (
            lambda: ts.cross_entropy([Value(1.0)], Value(0.5)),
            TypeError,
            "class index or .* not 0.5",
        ),
        (lambda: ts.cross_entropy([Value(1.0)], None), TypeError, "class index or .* not NoneType"),
        (lambda: ts.cross_entropy([1.0], [0.5, 0.5]), ValueError, "2 target probabilities for 1"),
        (lambda: ts.sum(["a", Value(1.0)]), TypeError, "sum: .* not str"),
    ],
)
def test_wrong_operands_of_n_ary_functions(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "target", [1, 1.0, np.float64(1.0), np.int64(1), np.array(1), Fraction(1), Value(1.0)]
)
def test_a_class_is_any_whole_number_and_gets_no_gradient(target):
    a, b = Value(1.0), Value(2.0)
    loss = ts.cross_entropy([a, b], target)
    loss.backward()
    assert loss.data == pytest.approx(math.log1p(math.exp(-1.0)), rel=1e-15)
    assert (a.grad, b.grad) == pytest.approx((0.2689414213699951, -0.2689414213699951))
    assert not isinstance(target, Value) or target.grad == 0.0


N_ARY = ["sum", "prod", "mean", "logsumexp"]


@pytest.mark.parametrize("name", [*N_ARY, "dot", "cross_entropy"])
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=6), st.data())
def test_n_ary_functions_are_what_their_rows_are(name, numbers, data):
    """The quick way against the general one, which a block around it makes them take."""
    count = len(numbers) // 2 * 2
    floats = data.draw(st.sets(st.integers(0, count - 2)))
    leaves = [x if i in floats else Value(x) for i, x in enumerate(numbers[:count])]
    half = count // 2
    split = name in ("dot", "cross_entropy")
    arguments = (leaves[:half], leaves[half:]) if split else (leaves,)
    quick = getattr(ts, name)(*arguments)
    with scope("slow"):
        general = getattr(ts, name)(*arguments)
    assert same(quick.data, general.data)
    assert quick.primitive is general.primitive is TABLE[name]
    assert quick.parents == general.parents
    assert all(map(operator.is_, quick.operands, general.operands)) or (
        [*map(repr, quick.operands)] == [*map(repr, general.operands)]
    )
    expected = general.backward(undefined="warn")
    assert [*quick.backward().values()] == pytest.approx([*expected.values()], rel=1e-13)


def test_n_ary_functions_take_any_iterable_and_are_one_node():
    x, y = Value(1.0), Value(2.0)
    for make in (list, tuple, iter, lambda values: (v for v in values)):
        for name in ("sum", "prod", "mean", "logsumexp"):
            z = getattr(ts, name)(make([x, y]))
            assert z.parents == (x, y)
            assert z.primitive is TABLE[name]
        assert ts.dot(make([x]), make([y])).parents == (x, y)
    assert ts.sum([]) == 0.0
    assert ts.prod([]) == 1.0


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=6), st.data())
def test_softmax_with_cross_entropy_has_the_gradient_y_minus_t(numbers, data):
    target = data.draw(st.integers(0, len(numbers) - 1))
    logits = [Value(x) for x in numbers]
    probabilities = ts.softmax(numbers)
    assert math.isclose(math.fsum(probabilities), 1.0, rel_tol=1e-12)
    loss = ts.cross_entropy(logits, target)
    table = loss.backward()
    for i, (logit, p) in enumerate(zip(logits, probabilities, strict=True)):
        assert math.isclose(table[logit], p - (i == target), rel_tol=1e-9, abs_tol=1e-14)
    distribution = [float(i == target) for i in range(len(numbers))]
    assert math.isclose(ts.cross_entropy(numbers, distribution), loss.data, rel_tol=1e-15)
    assert math.isclose(-ts.log_softmax(numbers)[target], loss.data, rel_tol=1e-9, abs_tol=1e-12)


def test_logits_around_1000_are_finite_and_right():
    logits = [Value(1000.0), Value(1001.0), Value(-1000.0)]
    loss = ts.cross_entropy(logits, 0)
    assert math.isclose(loss.data, math.log1p(math.e), rel_tol=1e-14)
    table = loss.backward()
    p = 1 / (1 + math.e)
    assert math.isclose(table[logits[0]], p - 1, rel_tol=1e-12)
    assert table[logits[2]] == 0.0
    assert [x.data for x in ts.softmax([Value(1e3), Value(1e3)])] == [0.5, 0.5]
    assert ts.sigmoid(Value(-1000.0)).data == 0.0
    assert ts.sigmoid(Value(1000.0)).data == 1.0


def test_masked_logits_are_left_out():
    """A logit of −∞ is a class that cannot be."""
    masked, a, b = Value(-math.inf), Value(0.0), Value(1.0)
    loss = ts.cross_entropy([masked, a, b], 1)
    assert math.isclose(loss.data, math.log1p(math.e), rel_tol=1e-15)
    table = loss.backward()
    assert table[masked] == 0.0
    assert math.isclose(table[b], 1 / (1 + math.exp(-1)), rel_tol=1e-14)
    assert ts.softmax([-math.inf, 0.0]) == [0.0, 1.0]
    assert ts.cross_entropy([0.0, -math.inf], 1) == math.inf


def test_where_evaluates_both_branches_unless_one_is_a_callable():
    x = Value(0.0)
    assert ts.where(x > 0, lambda: ts.log(x), x).data == 0.0
    assert ts.where(x == 0, lambda: x + 1, lambda: 1 / x).data == 1.0
    with pytest.raises(ValueError, match="log"):
        ts.where(x > 0, ts.log(x), x)
    taken = ts.where(True, lambda: x * 2, 5.0)
    assert taken.backward()[x] == 2.0
    a, b = Value(3.0), Value(4.0)
    table = ts.where(c=Value(1.0), a=a, b=b).backward()
    assert (table[a], table[b]) == (1.0, 0.0)


def test_copy_is_a_node_with_the_same_parents():
    x = Value(2.0, label="x")
    y = x * x
    y.label, y.grad = "y", 3.0
    twin = copy.copy(y)
    assert twin is not y
    assert twin.parents == (x, x)
    assert (twin.data, twin.label, twin.grad, twin.primitive) == (4.0, "y", 3.0, y.primitive)
    twin.label = "twin"
    assert y.label == "y"


@pytest.mark.parametrize("written", [3, True, np.float64(3.0)])
def test_a_number_written_to_data_is_computed_with_as_a_float(written):
    x, y = Value(2.0), Value(5.0)
    x.data = written
    results = (x * y, 2 - x, x.exp(), -x, ts.dot([x, y], [y, 1]), ts.where(y > 0, x, y))
    assert {type(z.data) for z in results} == {float}
    assert {type(slope()) for slope in results[0].local_derivatives} == {float}
    assert {type(z.backward(inputs=x)[x]) for z in results} == {float}
    x.data = 10**400
    with pytest.raises(OverflowError, match="too large"):
        x * y
