"""`hvp` and `hessian`: the numbers, their structure, and what they cost."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from modes_reference import all_close, exact_hessian, function_of, moderate_programs

import tinygrad_scalar
from tinygrad_scalar import (
    Value,
    checkpoint,
    counting,
    exp,
    floor,
    hessian,
    hvp,
    jacobian,
    jvp,
    log,
    maximum,
    relu,
    sin,
    tanh,
    where,
)
from tinygrad_scalar.core.primitives import TABLE


def rosenbrock(x):
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def rosenbrock_in_one_sum(x):
    return tinygrad_scalar.sum(
        100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x)
    )


def network(x):
    """A small network with ten weights for each input."""
    units = [tanh(sum((0.1 * i + 0.3 * j - 1) * v for j, v in enumerate(x))) for i in range(10)]
    return sum(u * u * exp(0.1 * u) for u in units)


def dense(found, n):
    """The matrix of `(rows, cols, values)`."""
    matrix = [[0.0] * n for _ in range(n)]
    for i, j, value in zip(*found, strict=True):
        assert matrix[i][j] == 0.0
        matrix[i][j] = value
    return matrix


def work(f):
    """Counted operations: forward rules, and one multiply-add per edge of a backward."""
    with counting() as c:
        f()
    assert c.additions == c.multiplications
    return c.evaluations + c.multiplications


# ── the numbers ───────────────────────────────────────────────────────────────────────────────
# Operations of one and two operands, so that one evaluation is one operation; without tanh, whose
# partial is six operations, for the sake of its digits.
BINARY = ("add", "sub", "mul", "neg", "div", "pow", "sin", "exp", "constant")
DIRECTION = st.lists(st.integers(-3, 3), min_size=3, max_size=3)


@settings(max_examples=60)
@given(moderate_programs())
def test_hessian_of_random_programs_is_that_of_mpmath(program):
    f, point = function_of(program), list(program.inputs)
    exact = exact_hessian(program)
    assert all_close(hessian(f)(point), exact)
    assert all_close(dense(hessian(f, sparse=True)(point), len(point)), exact)


@settings(max_examples=40)
@given(moderate_programs(), DIRECTION)
def test_all_ways_to_the_second_order_agree(program, direction):
    f, point = function_of(program), list(program.inputs)
    direction = direction[: len(point)]
    matrix = hessian(f)(point)
    terms = [[a * b for a, b in zip(row, direction, strict=True)] for row in matrix]
    by_hvp = hvp(f, (point,), (direction,))
    # beside the terms themselves, so that each sum is held to the largest of its terms
    assert all_close([terms, by_hvp], [terms, [sum(row) for row in terms]])
    for outer in ("forward", "reverse"):
        for inner in ("forward", "reverse"):
            both = jacobian(jacobian(f, mode=inner), mode=outer)(point)
            assert all_close(both, matrix), (outer, inner)
    curvature = jvp(lambda x: jvp(f, (x,), (direction,))[1], (point,), (direction,))[1]
    parts = [a * b for a, b in zip(by_hvp, direction, strict=True)]
    assert all_close([terms, parts, curvature], [terms, parts, sum(parts)])
    assert all_close(hessian(lambda x: checkpoint(f, x))(point), matrix)


def test_hessian_by_backward_through_the_derivative_graph():
    x, y = Value(2.0), Value(3.0)
    slopes = (x * x * y).backward(create_graph=True, inputs=(x, y))
    assert slopes[x].backward(inputs=(x, y))[y] == 4.0


def test_curvature_of_rosenbrock_at_its_minimum():
    assert hessian(rosenbrock)([1.0, 1.0]) == [[802.0, -400.0], [-400.0, 200.0]]


# ── structure ─────────────────────────────────────────────────────────────────────────────────
def test_hessian_of_one_number_is_a_number():
    assert hessian(lambda x: x**3)(2.0) == 12.0


def test_hessian_of_several_arguments():
    f = lambda x, y: x * x * y  # noqa: E731
    assert hessian(f)(3.0, 2.0) == ((4.0, 6.0), (6.0, 0.0))
    assert hessian(f, 0)(3.0, 2.0) == 4.0
    assert hessian(f, (1, 0))(3.0, 2.0) == ((0.0, 6.0), (6.0, 4.0))
    assert hessian(f, (0,))(3.0, 2.0) == ((4.0,),)


def test_hessian_of_structures_has_rows_outside_and_columns_inside():
    def f(p):
        return p["a"] ** 2 * p["b"][0]

    assert hessian(f)({"a": 3.0, "b": [2.0, 7.0]}) == {
        "a": {"a": 4.0, "b": [6.0, 0.0]},
        "b": [{"a": 6.0, "b": [0.0, 0.0]}, {"a": 0.0, "b": [0.0, 0.0]}],
    }


def test_hessian_of_linear_and_constant_functions():
    assert hessian(lambda x, y: 2 * x + y)(1.0, 2.0) == ((0.0, 0.0), (0.0, 0.0))
    assert hessian(lambda x, y: 3.0)(1.0, 2.0) == ((0.0, 0.0), (0.0, 0.0))
    assert hessian(lambda x: x, sparse=True)(1.0) == ([], [], [])
    assert hessian(lambda x: 3.0, sparse=True)([1.0, 2.0]) == ([], [], [])
    assert hvp(lambda x: 2 * x, (1.0,), (1.0,)) == 0.0
    assert hvp(lambda x: 2.0, (1.0,), (1.0,)) == 0.0


def test_hvp_has_the_structure_of_the_gradient():
    def f(p, q):
        return p["a"] * q[0] ** 2 * q[1]

    assert hvp(f, ({"a": 2.0}, [3.0, 5.0]), ({"a": 1.0}, (0.0, 0.0))) == (
        {"a": 0.0},
        [30.0, 9.0],
    )
    assert hvp(lambda x: x**3, (2.0,), (10.0,)) == 120.0


def test_hessian_passes_keyword_arguments_through():
    assert hessian(lambda x, *, k: k * x * x)(3.0, k=2.0) == 4.0
    assert hessian(lambda x, *, k: k * x * x, sparse=True)(3.0, k=2.0) == ([0], [0], [4.0])


# ── sparse ────────────────────────────────────────────────────────────────────────────────────
def test_coordinates_come_by_rows_with_both_triangles():
    rows, columns, values = hessian(lambda x: x[0] * x[2] + x[1] ** 2, sparse=True)([1.0, 2, 3])
    assert (rows, columns, values) == ([0, 1, 2], [2, 1, 0], [1.0, 2.0, 1.0])


def test_structural_zeros_are_kept():
    """Entries that happen to be 0 at this point stand there: the pattern does not depend on it."""
    f = lambda x: x[0] ** 2 * x[1]  # noqa: E731
    for point in ([0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [2.0, 3.0]):
        rows, columns, _ = hessian(f, sparse=True)(point)
        assert (rows, columns) == ([0, 0, 1], [0, 1, 0])


def test_an_entry_that_only_one_slope_shows_stands_in_both_triangles():
    """Behind the constant 0 the slope of x[1] is a constant, that of x[0] depends on x[1]."""
    f = lambda x: x[1] * 0 * x[0] + x[0] * x[2]  # noqa: E731
    found = hessian(f, sparse=True)([1.0, 2.0, 3.0])
    assert found == ([0, 0, 1, 2], [1, 2, 0, 0], [0.0, 1.0, 0.0, 1.0])


def test_a_constant_zero_beside_a_full_column_takes_nothing_from_others():
    """Column 0 stands alone and shows nothing of x[1], whose slope shows x[0]."""
    f = lambda x: x[0] * 0 * x[1] + x[0] * x[2] * x[3] + x[0] * x[4] ** 2  # noqa: E731
    point = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert dense(hessian(f, sparse=True)(point), 5) == hessian(f)(point)


def test_coordinates_count_the_numbers_of_all_arguments_in_order():
    def f(p, q):
        return p["a"] * q[1] + q[0] ** 2

    found = hessian(f, sparse=True)({"a": 2.0}, (3.0, 5.0))
    assert found == ([0, 1, 2], [2, 1, 0], [1.0, 2.0, 1.0])
    assert hessian(f, 1, sparse=True)({"a": 2.0}, (3.0, 5.0)) == ([0], [0], [2.0])


PATTERNS = {
    "diagonal": lambda x: sum(sin(v) for v in x),
    "band": rosenbrock,
    "arrow": lambda x: sum(x[0] * sin(v) for v in x),
    "arrow at the end": lambda x: sum(x[-1] * sin(v) for v in x),
    "two blocks": lambda x: exp(sum(x[:4])) * 0.01 + sin(sum(x[4:])),
    "full": network,
    "wide band": lambda x: sum(sin(a * b * c) for a, b, c in zip(x, x[1:], x[2:], strict=False)),
    "cycle": lambda x: sum(sin(a * b) for a, b in zip(x, [*x[1:], x[0]], strict=True)),
    "grid": lambda x: sum((x[i] - x[j]) ** 4 for i in range(9) for j in (i + 1, i + 3) if j < 9),
    "kinks": lambda x: sum(relu(a) * b + maximum(a, b) ** 2 for a, b in itertools.pairwise(x)),
    "where": lambda x: sum(where(a > b, a * b, a + b) for a, b in itertools.pairwise(x)),
    "checkpoints": lambda x: sum(
        checkpoint(lambda a, b: sin(a * b), a, b) for a, b in itertools.pairwise(x)
    ),
    "rows of many operands": lambda x: (
        tinygrad_scalar.dot(x[:4], x[5:]) ** 2 + tinygrad_scalar.logsumexp(x)
    ),
}


@pytest.mark.parametrize("f", PATTERNS.values(), ids=PATTERNS)
def test_sparse_is_dense_for_many_patterns(f):
    point = [0.3, -0.7, 1.1, 0.2, -1.3, 0.5, 0.9, -0.4, 0.6]
    found = hessian(f, sparse=True)(point)
    matrix = hessian(f)(point)
    assert all_close(dense(found, 9), matrix, 1e-13)
    coordinates = list(zip(*found[:2], strict=True))
    assert coordinates == sorted(set(coordinates))
    assert {(j, i) for i, j in coordinates} == set(coordinates)
    wanted = {(i, j) for i, row in enumerate(matrix) for j, entry in enumerate(row) if entry}
    assert wanted <= set(coordinates)


def test_sparse_hessian_of_rosenbrock_in_1000_variables():
    n = 1000
    point = [math.sin(i) for i in range(n)]
    rows, columns, values = hessian(rosenbrock, sparse=True)(point)
    assert len(values) == 3 * n - 2
    for i, j, value in zip(rows, columns, values, strict=True):
        a = point[i]
        if i == j:
            own = 1200 * a * a - 400 * point[i + 1] + 2 if i < n - 1 else 0.0
            expected = own + (200 if i else 0)
        else:
            expected = -400 * point[min(i, j)]
            assert abs(i - j) == 1
        assert abs(value - expected) <= 1e-10 * 1600, (i, j)


def test_sparse_is_dense_for_rosenbrock():
    n = 40
    point = [math.sin(i) for i in range(n)]
    found = hessian(rosenbrock, sparse=True)(point)
    assert all_close(dense(found, n), hessian(rosenbrock)(point), 1e-14)


def test_sparse_scipy_is_a_coo_array():
    found = hessian(rosenbrock, sparse="scipy")([1.0, 2.0, 3.0])
    assert isinstance(found, scipy.sparse.coo_array)
    assert found.shape == (3, 3)
    assert np.array_equal(found.toarray(), hessian(rosenbrock)([1.0, 2.0, 3.0]))
    empty = hessian(lambda x: x[0], sparse="scipy")([1.0, 2.0])
    assert (empty.shape, empty.nnz) == ((2, 2), 0)


@pytest.mark.parametrize(
    "around",
    [
        lambda f: f([Value(2.0), 3.0]),
        lambda f: jvp(f, ([2.0, 3.0],), ([1.0, 0.0],)),
        lambda f: tinygrad_scalar.compile(f)([2.0, 3.0]),
    ],
    ids=["Values", "jvp", "compile"],
)
def test_sparse_scipy_refuses_what_it_cannot_hold(around):
    """Inside another mode it gave coordinates, so that `.toarray()` failed on a tuple."""
    with pytest.raises(TypeError, match=r'"scipy" holds plain numbers.*take sparse=True'):
        around(lambda x: hessian(lambda x: x[0] ** 3 * x[1], sparse="scipy")(x).toarray()[0, 0])


# ── cost, in counted operations ───────────────────────────────────────────────────────────────
@pytest.mark.parametrize("f", [rosenbrock, network], ids=["rosenbrock", "network"])
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_hvp_costs_at_most_ten_functions_whatever_the_dimension(f, n):
    point = [0.5 + 0.3 * math.sin(i) for i in range(n)]
    function = work(lambda: f([Value(x) for x in point]))
    product = work(lambda: hvp(f, (point,), ([1.0] * n,)))
    assert product <= 10 * function


@settings(max_examples=60)
@given(moderate_programs(BINARY, max_steps=20))
def test_hvp_of_random_programs_costs_at_most_ten_functions(program):
    f, point = function_of(program), list(program.inputs)
    function = work(lambda: f(list(map(Value, point))))
    product = work(lambda: hvp(f, (point,), ([1.0] * len(point),)))
    assert product <= 10 * function


# What `hvp` of one row alone costs where that is more than ten of it: their partials are several
# operations each, by which they keep their digits, and every one of these is differentiated.
ALONE = {
    "div": 17, "pow": 30, "cbrt": 11, "hypot": 20, "mod": 19, "remainder": 19, "fmod": 19,
    "asin": 14, "acos": 14, "atan2": 28, "sech": 14, "acosh": 16, "atanh": 12, "erf": 12,
    "erfc": 12, "gamma": 11, "leaky_relu": 12, "elu": 27, "sigmoid": 13, "silu": 19, "gelu": 14,
    "gelu_tanh": 39, "prod": 15, "logaddexp": 20, "log1mexp": 17, "xlogy": 13, "softsign": 12,
    "mish": 40, "selu": 11, "hardtanh": 12,
    "log_normal_cdf": 28, "erfinv": 12, "betaln": 22,
    "sinc": 172,  # near 0 a series for 50 digits
    "logsumexp": 19, "cross_entropy": 20,
}  # fmt: skip
AT = {
    "pow": (1.3, 1.7), "polygamma": (1.0, 1.3), "clip": (0.3, -1.0, 1.0), "where": (1.0, 0.3, 0.4),
    "acosh": (1.5,), "leaky_relu": (-0.4, 0.1), "elu": (-0.4, 0.9),
    "cross_entropy": (0.3, 0.4, 0.1, 0.9), "dot": (0.3, 0.4, 0.5, 0.6),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_hvp_of_one_row(row):
    """An upper bound for programs: an operation of n numbers counts as n − 1."""
    point = AT.get(row.name, (0.3, 0.7, 0.5)[: row.arity or 3])
    operations = 1 if row.arity else len(point) - 1
    cost = work(lambda: hvp(row, point, (1.3,) * len(point)))
    assert cost <= ALONE.get(row.name, 10) * operations


def test_a_sparse_hessian_costs_a_few_products_whatever_the_dimension():
    """A band of width 3 takes 3 products: n = 1000 costs ten times n = 100, not a hundred times."""
    costs = []
    for n in (100, 1000):
        point = [0.5 + 0.3 * math.sin(i) for i in range(n)]
        function = work(lambda point=point: rosenbrock([Value(x) for x in point]))
        costs.append(work(lambda point=point: hessian(rosenbrock, sparse=True)(point)) / function)
    assert costs[1] <= 1.05 * costs[0]
    assert costs[1] <= 20


def test_the_products_of_a_sparse_hessian_are_as_many_as_its_colours(monkeypatch):
    """Counted where they are made, each by one call of `gradients`."""
    from tinygrad_scalar.modes import second_order

    calls = []
    original = second_order.gradients

    def counted(*args, **options):
        calls.append(args)
        return original(*args, **options)

    monkeypatch.setattr(second_order, "gradients", counted)
    arrows = ("arrow", 2), ("arrow at the end", 2)
    for f, most in (("diagonal", 1), ("band", 3), ("wide band", 5), ("full", 9), *arrows):
        calls.clear()
        hessian(PATTERNS[f], sparse=True)([0.1 * i for i in range(9)])
        assert 1 <= len(calls) <= most, f
    calls.clear()
    hessian(rosenbrock, sparse=True)([0.1] * 1000)
    assert len(calls) <= 3


def test_the_memory_of_a_sparse_hessian_with_a_full_row_grows_with_the_dimension():
    """A sum of all terms depends on all numbers, each of its parts on some."""
    peaks = []
    for n in (200, 800):
        tracemalloc.start()
        hessian(PATTERNS["arrow"], sparse=True)([0.1] * n)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= 5 * peaks[0]


def test_a_full_row_beside_a_number_that_no_slope_comes_from():
    """x₀·⌊x₃⌋ has a slope by x₀ that reaches x₃, and none the other way."""
    found = hessian(lambda x: sum(x[0] * v * v for v in x[:3]) + x[0] * floor(x[3]), sparse=True)(
        [1.0, 2.0, 3.0, 4.5]
    )
    assert all_close(dense(found, 4), [[6, 4, 6, 0], [4, 2, 0, 0], [6, 0, 2, 0], [0, 0, 0, 0]])


# ── what is refused ───────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize("sparse", ["scypi", 2, None, "dense"])
def test_another_sparse_is_refused_at_once(sparse):
    with pytest.raises(ValueError, match=r'hessian: sparse is False, True or "scipy", not'):
        hessian(rosenbrock, sparse=sparse)


def test_scipy_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "scipy.sparse", None)
    with pytest.raises(ImportError, match=r'hessian: sparse="scipy" needs SciPy: pip install'):
        hessian(rosenbrock, sparse="scipy")([1.0, 2.0])


@pytest.mark.parametrize("options", [{}, {"sparse": True}], ids=["dense", "sparse"])
def test_several_outputs_are_refused(options):
    with pytest.raises(TypeError, match=r"^hessian: f must return one number, not list; take one"):
        hessian(lambda x: [x, x], **options)(1.0)
    with pytest.raises(TypeError, match=r"what f returned: .* not NoneType"):
        hessian(lambda x: None, **options)(1.0)


def test_errors_of_hvp_name_it():
    with pytest.raises(ValueError, match="hvp: 2 primals but 1 tangents"):
        hvp(lambda x, y: x * y, (1.0, 2.0), (1.0,))
    with pytest.raises(TypeError, match="hvp: primals is a tuple"):
        hvp(lambda x: x * x, 1.0, (1.0,))
    with pytest.raises(ValueError, match="hvp: the tangent of argument 0 has another structure"):
        hvp(lambda x: x[0] * x[0], ([1.0, 2.0],), ([1.0],))
    with pytest.raises(TypeError, match=r"hvp: what f returned: .* not NoneType"):
        hvp(lambda x: None, (1.0,), (1.0,))
    with pytest.raises(TypeError, match="hvp: f must return one number, not list; take one"):
        hvp(lambda x: [x], (1.0,), (1.0,))


def test_domain_errors_are_those_of_the_function():
    with pytest.raises(ValueError, match=r"log\(-1.0\)"):
        hessian(log)(-1.0)
    with pytest.raises(ValueError, match=r"log\(-1.0\)"):
        hvp(log, (-1.0,), (1.0,))
