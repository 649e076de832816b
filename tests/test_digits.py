"""Digits that a partial must not lose although the value is right, in every mode and engine.

References: mpmath at 700 digits, or the closed form named beside the case.
"""

import math
import warnings

import mpmath
import numpy as np
import pytest
from table_reference import reference

import tinygrad_scalar as ts
from tinygrad_scalar import Value, grad, hessian, hvp, logsumexp
from tinygrad_scalar.core.primitives import TABLE

ENGINES = ts.engines()


def seconds(f, x):
    """The second derivative in every mode."""
    yield "hessian", hessian(f)(x)
    yield "hvp", hvp(f, (x,), (1.0,))
    yield "taylor", ts.derivative(f, 2)(x)
    yield "grad of grad", grad(grad(f))(x)
    for engine in ENGINES:
        yield engine, ts.compile(f, engine=engine).hessian(x)[0][0]


@pytest.mark.parametrize("x", [-5.0, -20.0, -30.0, -36.0])
def test_the_logarithm_of_a_tail_has_its_curvature(x):
    """(log Φ)″ = −x λ − λ² with λ = φ/Φ; the two terms, near x², cancel: x² · 1e-14 may be lost."""
    with mpmath.workdps(700):
        rate = mpmath.npdf(x) / mpmath.ncdf(x)
        expected = float(-x * rate - rate * rate)
    for mode, got in seconds(lambda x: ts.log(ts.normal_cdf(x)), x):
        assert abs(got - expected) <= x * x * 1e-14, mode


@pytest.mark.parametrize("logit", [0.3, 1e4, 1e10, -1e16, 1e300])
def test_equal_logits_share_the_gradient(logit):
    """∂ logsumexp/∂x_i = e^(x_i − max)/Σ: ½ each, whatever digits the result has dropped."""
    assert grad(lambda x: logsumexp(x))([logit, logit]) == [0.5, 0.5]
    assert grad(lambda x: ts.cross_entropy(x, 0))([logit, logit]) == [-0.5, 0.5]
    for engine in ENGINES:
        compiled = ts.compile(lambda x: logsumexp(x), engine=engine)
        assert list(compiled.grad([logit, logit])) == [0.5, 0.5], engine


@pytest.mark.parametrize(
    ("a", "b"), [(1.19383e-318, -1.3404336242266034e-177), (1e-200, 0.1), (1e300, -0.1), (3.0, 0.7)]
)
def test_the_slope_of_a_power_is_precise(a, b):
    """b · a^b / a within 4 ulps: the C library's power within one, and three roundings."""
    with mpmath.workdps(50):
        expected = float(mpmath.mpf(b) * mpmath.mpf(a) ** (mpmath.mpf(b) - 1))
    x = Value(a)
    (x**b).backward()
    graph = Value(a)
    slope = (graph**b).backward(create_graph=True)[graph].data
    for got in (x.grad, slope, ts.jvp(lambda x: x**b, (a,), (1.0,))[1]):
        assert abs(got - expected) <= 4 * math.ulp(expected)


@pytest.mark.parametrize(("a", "b"), [(1e-315, 1e-310), (1e-312, 2e-309), (-4e-312, 4e-310)])
def test_the_slope_of_a_quotient_by_a_subnormal_number(a, b):
    """−a/b²: a float, although 1/b is none."""
    expected = pytest.approx(-(a / b) / b, rel=1e-15)
    both, alone = (lambda a, b: a / b), (lambda b: a / b)
    x, y = Value(a), Value(b)
    (x / y).backward()
    assert y.grad == expected
    for undefined in ("subgradient", "nan"):
        assert grad(both, undefined=undefined)(a, b)[1] == expected
        assert grad(alone, undefined=undefined)(b) == expected
    assert ts.jvp(both, (a, b), (0.0, 1.0))[1] == expected
    assert ts.derivative(alone)(b) == expected
    for engine in ENGINES:
        assert ts.compile(both, engine=engine).grad(a, b)[1] == expected, engine
        assert ts.compile(alone, engine=engine).grad(b) == expected, engine
        if engine != "python":
            assert ts.compile(alone, engine=engine).grad(np.array([b, 1.0]))[0] == expected


@pytest.mark.parametrize(("a", "b"), [(-2.2e300, -3.4e198), (2.5e-300, 1e-110), (3.0, 1e160)])
def test_the_curvature_of_a_quotient_is_precise(a, b):
    """2a/b³, although 1/b² is 0 or infinite."""
    with mpmath.workdps(50):
        expected = pytest.approx(
            float(2 * mpmath.mpf(a) / mpmath.mpf(b) ** 3), rel=1e-14, abs=1e-320
        )
    for mode, got in seconds(lambda b: a / b, b):
        assert got == expected, mode


def test_a_power_that_is_0_has_its_mixed_slope():
    """∂²(a^b)/∂a∂b = a^(b−1) (1 + b log a), where a^b, 1e-351, is no float."""
    a, b = 1.3599284136599531e-152, 2.3099320052619072
    with mpmath.workdps(50):
        expected = float(mpmath.mpf(a) ** (mpmath.mpf(b) - 1) * (1 + b * mpmath.log(a)))
    found = [hessian(ts.pow)(a, b)] + [ts.compile(ts.pow, engine=e).hessian(a, b) for e in ENGINES]
    for matrix in found:
        assert matrix[0][1] == pytest.approx(expected, rel=1e-13, abs=0)
        assert matrix[1][0] == pytest.approx(expected, rel=1e-13, abs=0)


def test_a_huge_exponent_makes_no_infinity_on_the_way():
    """All derivatives of 5e-324 ^ 1e300 are 0, without a warning, in every mode."""
    modes = [lambda: hessian(ts.pow)(5e-324, 1e300)]
    modes.append(lambda: hvp(ts.pow, (5e-324, 1e300), (1.0, 1.0)))
    for engine in ENGINES:
        compiled = ts.compile(ts.pow, engine=engine)
        modes.append(lambda compiled=compiled: compiled.hessian(5e-324, 1e300))
    for mode in modes:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not np.any(mode())


@pytest.mark.parametrize("x", [1.3, -9.7, 23.7, -25.1, 26.2, 5e-324, 1e200])
def test_the_slope_of_the_error_function_is_precise(x):
    """±2/√π e^(−x²) within 4 ulps in its tails: three roundings, and the exponential's own."""
    with mpmath.workdps(50):
        expected = float(2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-(mpmath.mpf(x) ** 2)))
    for row, sign in ((ts.erf, 1), (ts.erfc, -1)):
        slopes = [grad(row)(x)] + [ts.compile(row, engine=each).grad(x) for each in ENGINES]
        for slope in slopes:
            assert abs(sign * slope - expected) <= 4 * math.ulp(expected)


def test_the_logarithm_of_a_product_of_densities_has_its_curvature():
    """Σ (1 − 3 (a/s)²) at s = 1, although the square of the product, 1e-299, is 0."""
    points = [0.5 * k for k in range(1, 25)]
    expected = sum(1 - 3 * a * a for a in points)

    def likelihood(s):
        return ts.log(ts.prod([ts.exp(-(a * a) / (s * s) / 2) / s for a in points]))

    assert likelihood(1.0) < -600
    for mode, got in seconds(likelihood, 1.0):
        assert abs(got - expected) <= 1e-9, mode  # 1e-12 of the terms, 1,800, that are summed


def test_a_logarithm_to_a_base_has_the_precision_of_either():
    """log 10 / log 3 to 50 digits, whichever of the two is the mpf, a leaf or a plain number."""
    with mpmath.workdps(50):
        ten, exact = mpmath.mpf(10), mpmath.log(10) / mpmath.log(3)
        three = mpmath.mpf(3)
        for x, base in ((ten, 3.0), (10, three), (Value(ten), 3), (10.0, Value(three))):
            y = ts.log(x, base)
            assert abs((y.data if isinstance(y, Value) else y) - exact) < mpmath.mpf("1e-48")


@pytest.mark.parametrize("f", [lambda x: x / (x * x), lambda x: 2 * (x / (x * x)) + x * x])
def test_what_cancels_beyond_the_range_of_floats_is_never_a_wrong_number(f):
    """2/x³ is 2e240 at 1e-80, but 3/u² at u = x² is 3e320: 0 with the warning, NaN, or an error."""
    assert hessian(f)(1e-70) == pytest.approx(2 * f(1e-70) / 1e-140, rel=1e-14)
    for mode in (lambda: hessian(f)(1e-80), lambda: hvp(f, (1e-80,), (1.0,)),
                 lambda: grad(grad(f))(1e-80)):  # fmt: skip
        with pytest.warns(ts.UndefinedGradientWarning, match="∞−∞"):
            assert mode() == 0.0
    assert math.isnan(hessian(f, undefined="nan")(1e-80))
    with pytest.raises(ts.UndefinedGradientError, match="∞−∞"):
        hessian(f, undefined="raise")(1e-80)
    for engine in set(ENGINES) - {"python"}:
        ((found,),) = ts.compile(f, engine=engine).hessian(np.array([1e-80]))[0].reshape(1, 1)
        assert found == 0.0 or not math.isfinite(found), engine
    assert ts.derivative(f, 2)(1e-80) == pytest.approx(2 * f(1e-80) / 1e-160, rel=1e-14)


@pytest.mark.parametrize("name", ["erfc", "normal_cdf", "gelu"])
@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine != "python"])
def test_tails_are_precise_in_arrays(engine, name):
    """Within 4 ulps as in the table, down to the last subnormal number, and near 1 or 2."""
    sign, last = (1, 27.2) if name == "erfc" else (-1, 38.4)
    x = sign * np.array([*np.linspace(-last, last, 200), 26.2, 26.8, 27.0, 1e300])
    with mpmath.workdps(50):
        exact = [float(reference(TABLE[name])(mpmath.mpf(each))) for each in x.tolist()]
    got = ts.compile(lambda x: TABLE[name](x), engine=engine)(x)
    for each, right in zip(got.tolist(), exact, strict=True):
        assert abs(each - right) <= 4 * math.ulp(right)


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_a_pull_is_the_gradient_times_the_partial(row):
    """At an ordinary point the order of the factors matters for the last digits alone."""
    point = {"acosh": (1.5,), "clip": (0.3, -1.0, 1.0), "polygamma": (1.0, 1.3)}.get(
        row.name, (0.3, 0.7, 0.5)[: row.arity or 2]
    )
    y = row(*point)
    slopes = [s(y, *point) if callable(s) else s for s in row.all_partials(y, point)]
    for got, slope in zip(row.pull(1.7, y, *point), slopes, strict=True):
        assert got == pytest.approx(1.7 * slope, rel=2e-15, abs=0)
