"""NumPy's functions and scalars with Values: the right thing, or a TypeError."""

import math
import operator
from fractions import Fraction

import numpy as np
import pytest

import tinygrad_scalar as ts
from tinygrad_scalar import Value
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.testing import check_grad

# NumPy's spellings that are not the table's
SPELLINGS = {
    "absolute": "abs",
    "fabs": "abs",
    "negative": "neg",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "floor_divide": "floordiv",
    "power": "pow",
    "float_power": "pow",
    "remainder": "mod",
    "mod": "mod",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "rint": "round",
    "deg2rad": "radians",
    "rad2deg": "degrees",
    "positive": "identity",
    "abs": "abs",
}
SHARED = {
    name: name
    for name in TABLE
    if isinstance(getattr(np, name, None), np.ufunc) and name not in SPELLINGS
}
UFUNCS = SPELLINGS | SHARED
AT = {"arccosh": (1.5,), "acosh": (1.5,)}
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]


def test_the_list_above_has_the_usual_names():
    assert {"exp", "log", "sin", "sqrt", "tanh", "maximum", "hypot", "copysign", "fmod"} <= set(
        SHARED
    )
    assert {"add", "floor", "ceil", "trunc", "sign", "square", "reciprocal", "cbrt"} <= set(SHARED)


@pytest.mark.parametrize("name", UFUNCS)
def test_a_ufunc_whose_name_is_in_the_table_gives_a_value(name):
    ufunc, row = getattr(np, name), TABLE[UFUNCS[name]]
    point = AT.get(name, (0.75, 0.5)[: ufunc.nin])
    by_numpy, by_row = [Value(x) for x in point], [Value(x) for x in point]
    result, expected = ufunc(*by_numpy), row(*by_row)
    assert type(result) is Value
    assert result.data == expected.data
    assert math.isclose(result.data, ufunc(*point), rel_tol=1e-15)
    got, wanted = result.backward(inputs=by_numpy), expected.backward(inputs=by_row)
    assert [got[v] for v in by_numpy] == [wanted[v] for v in by_row]


@pytest.mark.parametrize("name", UFUNCS)
def test_every_mode_takes_them_beside_numbers_on_either_side(name):
    ufunc = getattr(np, name)
    point = AT.get(name, (0.75, 0.5)[: ufunc.nin])
    for i, x in enumerate(point):

        def f(v, i=i):
            return ufunc(*point[:i], v, *point[i + 1 :])

        value, slope = ts.value_and_grad(f)(x)
        curvature = ts.grad(ts.grad(f))(x)
        assert ts.jvp(f, (x,), (1.0,)) == pytest.approx((value, slope))
        assert ts.jacobian(f, mode="forward")(x) == pytest.approx(slope)
        assert ts.taylor(f, 2)(x) == pytest.approx([value, slope, curvature])
        assert ts.hvp(f, (x,), (1.0,)) == pytest.approx(curvature)
        assert ts.compile(ts.derivative(f), engine="python")(x) == pytest.approx(slope)


@pytest.mark.parametrize("mode", [ts.grad, ts.derivative])
def test_no_mode_takes_other_ufuncs(mode):
    with pytest.raises(TypeError, match=r"^numpy\.fmax is not differentiated here"):
        mode(lambda x: np.fmax(x, 1.0))(2.0)


@pytest.mark.parametrize("name", [n for n in UFUNCS if getattr(np, n).nin == 2])
@pytest.mark.parametrize(
    "scalar",
    [2, 2.0, np.float64(2), np.int64(2), np.array(2.0), True],
    ids=lambda s: type(s).__name__,
)
def test_scalars_of_any_kind_stand_on_either_side(name, scalar):
    ufunc = getattr(np, name)
    for operands in ((Value(1.5), scalar), (scalar, Value(1.5))):
        result = ufunc(*operands)
        assert type(result) is Value
        assert type(result.data) is float
        assert result.data == float(
            ufunc(*(getattr(x, "data", x) if isinstance(x, Value) else float(x) for x in operands))
        )
        assert len(result.parents) == 1


OPERATORS = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
@pytest.mark.parametrize("kind", [np.float64, np.int64, np.int8, np.bool_, np.array])
def test_numpy_scalars_on_the_left(op, kind):
    v = Value(3.0)
    result = op(kind(1), v)
    assert type(result) is Value
    assert type(result.data) is float
    assert result.data == op(1.0, 3.0)
    assert result.parents == (v,)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.array])
def test_divmod_takes_numpy_scalars_on_either_side(kind):
    v = Value(3.0)
    for pair, expected in (
        (divmod(kind(-7), v), (-3.0, 2.0)),
        (divmod(v, kind(-7)), (-1.0, -4.0)),
        (np.divmod(v, 2.0), (1.0, 1.0)),
    ):
        assert [type(part) for part in pair] == [Value, Value]
        assert tuple(part.data for part in pair) == expected


def test_float32_is_carried_on_the_left_too():
    assert type((np.float32(2) * Value(np.float32(3))).data) is np.float32
    assert (np.float32(2) * Value(3.0)).data == 6


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
def test_comparisons_give_truths(name, kind):
    ufunc = getattr(np, name)
    for a, b in ((1.0, 2.0), (2.0, 2.0), (2.0, 1.0)):
        expected = bool(ufunc(a, b))
        assert bool(ufunc(Value(a), kind(b))) is expected
        assert bool(ufunc(kind(a), Value(b))) is expected
        assert bool(ufunc(Value(a), Value(b))) is expected


def test_comparisons_with_arrays_give_masks():
    a = np.array([1.0, 2.0, 3.0])
    mask = a < Value(2.5)
    assert mask.tolist() == [True, True, False]
    assert a[mask].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "name",
    ["isnan", "isfinite", "fmax", "conjugate", "heaviside", "signbit", "gcd", "matmul"],
)
def test_other_ufuncs_are_a_type_error_that_says_what_to_do(name):
    ufunc = getattr(np, name)
    with pytest.raises(TypeError, match=rf"numpy\.{name} .*v\.data"):
        ufunc(*[Value(1.0)] * ufunc.nin)


def test_methods_of_ufuncs_are_a_type_error():
    with pytest.raises(TypeError, match=r"numpy\.logical_or\.reduce"):
        np.any(Value(1.0))
    with pytest.raises(TypeError, match=r"numpy\.multiply\.outer"):
        np.multiply.outer(Value(1.0), [1.0, 2.0])


@pytest.mark.parametrize("f", [np.sum, np.prod, np.max, np.min, np.mean])
def test_functions_over_arrays_take_one_value_as_they_take_one_number(f):
    v = Value(3.0)
    assert f(v).backward()[v] == 1.0
    assert ts.grad(lambda x: f(x * x))(3.0) == 6.0
    assert ts.compile(lambda x: f(x * x)).grad(3.0) == 6.0


# ── arrays ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_an_array_with_a_value_is_an_object_array_of_values(op):
    v, a = Value(3.0), np.array([1.0, 2.0])
    for result, expected in ((op(a, v), op(a, 3.0)), (op(v, a), op(3.0, a))):
        assert isinstance(result, np.ndarray)
        assert result.dtype == object
        assert all(type(x) is Value for x in result)
        assert [x.data for x in result] == expected.tolist()
        assert all(x.parents == (v,) for x in result)


def test_gradients_flow_through_an_array():
    v = Value(3.0)
    z = (np.array([1.0, 2.0]) * v).sum()
    assert z.backward()[v] == 3.0
    assert np.array([[1, 2], [3, 4]]).dot(np.array([v, v])).tolist() == [9.0, 21.0]


def test_object_arrays_of_values():
    x = np.array([Value(1.0), Value(2.0), Value(3.0)])
    w = np.array([Value(0.5), Value(-1.0), Value(2.0)])
    assert x.dtype == object
    dot = np.dot(x, w)
    assert dot.data == 4.5
    assert [dot.backward()[v] for v in x] == [0.5, -1.0, 2.0]
    assert (x @ w).data == 4.5
    assert np.sum(x).data == 6.0
    assert x.sum().data == 6.0
    assert np.prod(x).data == 6.0
    assert np.mean(x).data == 2.0
    assert [v.data for v in np.exp(x)] == [math.exp(k) for k in (1, 2, 3)]
    assert [v.data for v in x * 2 + w] == [2.5, 3.0, 8.0]
    assert np.max(x) is x[2]
    assert x.max() is x[2]
    assert np.argmax(x) == 2
    assert [v.data for v in np.sort(x)[::-1]] == [3.0, 2.0, 1.0]
    assert np.outer(x, w).shape == (3, 3)
    assert np.cumsum(x)[-1].data == 6.0
    matrix = np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]])
    assert (matrix @ matrix)[1][1].data == 22.0
    assert np.trace(matrix).data == 5.0


OVER_ARRAYS = """
    exp exp2 expm1 log log2 log10 log1p sqrt cbrt square reciprocal sin cos tan sinh cosh tanh
    arcsin arccos arctan arcsinh arctanh floor ceil trunc rint absolute fabs negative positive
"""


@pytest.mark.parametrize("name", str.split(OVER_ARRAYS))
def test_ufuncs_over_object_arrays(name):
    ufunc = getattr(np, name)
    numbers = [0.25, 0.75]
    values = np.array([Value(x) for x in numbers])
    result = ufunc(values)
    assert all(type(v) is Value for v in result)
    for got, want in zip(result, ufunc(np.array(numbers)), strict=True):
        assert math.isclose(got.data, want, rel_tol=1e-15)


@pytest.mark.parametrize("name", ["arctan2", "hypot", "fmod", "maximum", "power", "remainder"])
def test_ufuncs_of_two_over_object_arrays(name):
    ufunc = getattr(np, name)
    a, b = [0.25, 2.5], [0.75, 2.0]
    for right in (np.array([Value(x) for x in b]), np.array(b), Value(2.0)):
        result = ufunc(np.array([Value(x) for x in a]), right)
        plain = ufunc(np.array(a), 2.0 if isinstance(right, Value) else np.array(b))
        for got, want in zip(result, plain, strict=True):
            assert math.isclose(getattr(got, "data", got), want, rel_tol=1e-15)


def test_ufuncs_keep_masks():
    holes, v = np.ma.array([1.0, 5.0, 3.0], mask=[False, True, False]), Value(2.0)
    for ufunc in (np.maximum, np.multiply, np.hypot):
        for result in (ufunc(holes, v), ufunc(v, holes)):
            assert result.mask.tolist() == [False, True, False]
            assert result.sum().data == ufunc(holes, 2.0).sum()
    assert np.greater(holes, v).tolist() == [False, None, True]
    for hole in (holes[1], np.ma.array(5.0, mask=True)):
        with pytest.raises(TypeError, match="maximum: a Value carries one real number, not Masked"):
            np.maximum(v, hole)
    assert np.maximum(v, np.ma.array(5.0)).data == 5.0


def test_writing_values_into_a_float_array_is_refused():
    a = np.array([1.0, 2.0])
    with pytest.raises(TypeError, match=r"v\.data"):
        a[0] = Value(3.0)
    with pytest.raises(TypeError):  # noqa: PT011 (NumPy's own words)
        a *= Value(3.0)
    assert a.tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match=r"v\.data"):
        np.array([Value(1.0)], dtype=float)


def written_into(kind):
    """A function that writes what it is given into an array, as trees of option prices do."""

    def f(x):
        tree = np.zeros(2, dtype=kind)
        tree[0] = x * x
        return tree[0] * 3

    return f


@pytest.mark.parametrize("mode", [ts.grad, ts.derivative, lambda f: ts.compile(f).grad])
def test_writing_into_a_float_array_says_which_array_takes_values(mode):
    with pytest.raises((TypeError, ts.TraceError), match="dtype=object"):
        mode(written_into(float))(2.0)
    assert mode(written_into(object))(2.0) == 12.0


def test_clip_keeps_the_gradient():
    v = Value(0.5)
    clipped = np.clip(v, 0.0, 1.0)
    assert type(clipped) is Value
    assert clipped.backward()[v] == 1.0
    outside = np.clip(Value(2.0), 0.0, 1.0)
    assert type(outside) is Value
    assert outside.data == 1.0


def test_scipys_special_functions():
    special = pytest.importorskip("scipy.special")
    theirs = "gammaln psi ndtr log_ndtr ndtri expit log_expit"
    for name in f"erf erfc erfinv gamma {theirs} log1p expm1 cbrt exp2 logit".split():
        v = Value(0.75)
        result = getattr(special, name)(v)
        assert type(result) is Value
        assert math.isclose(result.data, getattr(special, name)(0.75), rel_tol=1e-14)
        assert math.isclose(ts.grad(getattr(special, name))(0.75), result.backward()[v], rel_tol=0)
    assert math.isclose(ts.compile(special.ndtr)(0.75), special.ndtr(0.75), rel_tol=1e-14)
    with pytest.raises(TypeError, match=r"^zetac is not differentiated here"):
        special.zetac(Value(0.75))


def test_results_do_not_depend_on_numpy():
    """With NumPy loaded, plain floats stay plain floats."""
    v = Value(0.0)
    assert type(ts.sqrt(v).backward()[v]) is float
    assert type(ts.tanh(Value(400.0)).data) is float


def test_variance_and_deviation_of_object_arrays():
    """∂var/∂x_i = 2 (x_i − mean) / n; std is its root."""
    numbers = [1.0, 2.0, 6.0]
    x = [Value(number) for number in numbers]
    spread = np.var(np.array(x, dtype=object))
    assert spread.data == np.var(numbers)
    table = spread.backward()
    assert [table[leaf] for leaf in x] == pytest.approx([-4 / 3, -2 / 3, 2.0], rel=1e-14)
    assert np.std(np.array(x, dtype=object)).data == np.std(numbers)
    assert x[0].conjugate() is x[0].real is x[0]
    assert x[0].imag == 0.0


@pytest.mark.parametrize("number", [2, True, np.float64(2.0), np.bool_(True), np.int64(2)])
@pytest.mark.parametrize(
    "operation",
    [
        lambda v, c: v * c,
        lambda v, c: c * v,
        lambda v, c: c - v,
        lambda v, c: v**c,
        lambda v, c: v % c,
        lambda v, c: ts.maximum(v, c),
        lambda v, c: ts.clip(v, 0, c),
        lambda v, c: ts.where(v > c, v, c),
        lambda v, c: ts.sum([v, c, v]),
    ],
)
def test_a_plain_number_beside_a_value_is_the_float_it_stands_for(operation, number):
    v = Value(0.75)
    found, expected = operation(v, number), operation(v, float(number))
    assert [(type(x), x) for x in found.operands] == [(type(x), x) for x in expected.operands]
    assert (type(found.data), found.data) == (float, expected.data)
    assert found.backward()[v] == expected.backward()[v]


def test_a_plain_number_beside_another_kind_of_value_keeps_to_that():
    third = Value(Fraction(1, 3))
    assert (third * 2).data == ts.maximum(third, 0).data * 2 == Fraction(2, 3)
    assert type((Value(np.float32(0.5)) * 2).data) is np.float32
    with pytest.raises(OverflowError, match=r"an int above 1\.8e308"):
        Value(1.0) * 10**400
    with pytest.raises(OverflowError, match=r"an int above 1\.8e308"):
        ts.maximum(Value(1.0), 10**400)


def product(a, b, c):
    return a * b * c


def in_a_box():
    with ts.scope("box"):
        return Value(2.0) * 3.0


WHOLE = {
    "taylor": lambda n: ts.taylor(ts.sin, n)(1.0),
    "derivative": lambda n: ts.derivative(ts.sin, n)(1.0),
    "grad": lambda n: ts.grad(product, argnums=n)(2.0, 3.0, 5.0),
    "several": lambda n: ts.grad(product, argnums=(n, n - n))(2.0, 3.0, 5.0),
    "jacobian": lambda n: ts.jacobian(product, argnums=n)(2.0, 3.0, 5.0),
    "hessian": lambda n: ts.hessian(product, argnums=(n, 0))(2.0, 3.0, 5.0),
    "compile": lambda n: ts.compile(product, argnums=n, threads=n, max_paths=n).grad(2.0, 3.0, 5.0),
    "checkpoint_chain": lambda n: ts.checkpoint_chain(lambda x: x * 3, Value(2.0), n).data,
    "check_grad": lambda n: check_grad(ts.sin, 1.0, order=n).error,
    "depth": lambda n: ts.to_dot(in_a_box(), depth=n - n),
    "max_nodes": lambda n: ts.to_dot(in_a_box(), max_nodes=n),
    "digits": lambda n: ts.to_dot(Value(1 / 3), digits=n),
    "tree": lambda n: str(ts.tree(Value(2.0) * 3.0 * 5.0 + 1.0, depth=n)),
    "seed": lambda n: ts.data.moons(4, seed=n),
    "a model's": lambda n: ts.nn.MLP(2, [1], seed=n).state_dict(),
    "split": lambda n: ts.data.split([1.0, 2.0, 3.0], [1, 2, 3], test=0.5, seed=n),
}


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint64])
@pytest.mark.parametrize("call", WHOLE.values(), ids=WHOLE)
def test_whole_numbers_of_numpy_count_as_pythons(call, kind):
    assert call(kind(2)) == call(2)


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint64])
def test_whole_numbers_of_numpy_keep_fractions_exact_on_either_side(kind):
    x, two = Value(Fraction(1, 3)), kind(2)
    for z in (x * two, two * x, ts.prod([two, x]), ts.dot([x], [two])):
        assert (repr(z.data), repr(z.backward()[x])) == ("Fraction(2, 3)", "Fraction(2, 1)")
    assert (repr((x**two).data), repr((x / two).data)) == ("Fraction(1, 9)", "Fraction(1, 6)")


def test_what_is_compiled_with_them_is_saved(tmp_path):
    f = ts.compile(product, argnums=np.int64(1), threads=np.int64(1))
    assert f.grad(2.0, 3.0, 5.0) == 10.0
    f.save(tmp_path / "f")
    assert ts.load_compiled(tmp_path / "f").grad(2.0, 3.0, 5.0) == 10.0
