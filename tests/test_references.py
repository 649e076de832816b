"""The references of `check_grad` at small and huge points, and rows that must not pass."""

import math

import pytest

from tinygrad_scalar import Value, cos, exp, log, primitive, sin, sqrt, tanh
from tinygrad_scalar.testing import GradientError, check_grad, check_primitive, high_precision
from tinygrad_scalar.testing.derivatives import Unsuitable

SMALL = [1e-307, 1e-300, 1e-200, 1e-151, 1e-120, 1e-99, 1e-30, 1e-8]
HUGE = [1e8, 1e30, 1e120, 1e150]
REFERENCE = pytest.mark.parametrize("with_mpmath", [True, False])


@pytest.fixture(autouse=True)
def reference(request, monkeypatch):
    if not getattr(request.node, "callspec", None) or request.node.callspec.params.get(
        "with_mpmath", True
    ):
        return

    def missing():
        raise Unsuitable

    monkeypatch.setattr(high_precision, "_context", missing)


@REFERENCE
@pytest.mark.parametrize("x", SMALL + HUGE)
@pytest.mark.parametrize("f", [log, sqrt, lambda x: log(x) * 3 - 1, lambda x: x * log(x)])
def test_a_right_rule_is_not_accused_however_small_or_large_the_point(f, x, with_mpmath):
    check_grad(f, x)


def wrong(function, factor=1.001):
    """A row whose derivative is off by a thousandth."""
    row = function(Value(0.5)).primitive
    return primitive(
        row.name, row.forward, lambda y, x: factor * row.partials[0](y, x), mpmath=row.name
    )


@pytest.mark.parametrize("x", [1e-300, 1e-200, 1e-120, 1e-30, 1e-3, 0.7, 1e8, 1e30])
@pytest.mark.parametrize("row", [log, sqrt])
def test_a_wrong_rule_is_caught_however_small_or_large_the_point(row, x):
    with pytest.raises(GradientError, match="the derivative is wrong"):
        check_grad(wrong(row), x)


@pytest.mark.parametrize("x", [1e-200, 1e-30, 0.7, 100.0])
@pytest.mark.parametrize("row", [sin, exp, tanh])
def test_a_wrong_rule_of_a_smooth_function_is_caught(row, x):
    with pytest.raises(GradientError, match="the derivative is wrong"):
        check_grad(wrong(row), x)


# ── rows ──────────────────────────────────────────────────────────────────────────────────────
def test_a_partial_that_is_no_number_inside_the_domain_is_refused():
    """sin x / x with a partial of 0/0 at 0: grad(grad) there would be 0 instead of −1/3."""
    sinc = primitive("sinc", lambda x: math.sin(x) / x if x else 1.0, lambda y, x: (cos(x) - y) / x)
    with pytest.raises(GradientError, match=r"sinc\(0\.0\): the partial of operand 0 is no number"):
        check_primitive(sinc)


def test_a_partial_that_raises_inside_the_domain_is_refused():
    def slope(y, x):
        raise ValueError("not for these")

    with pytest.raises(GradientError, match=r"no number|not for these"):
        check_primitive(primitive("twice", lambda x: 2 * x, slope))


def test_the_bad_example_of_contributing_is_refused():
    row = primitive("tanh2", math.tanh, lambda y, x: 1 - y * y, mpmath="tanh")
    with pytest.raises(GradientError, match="the partial of operand 0 has lost digits"):
        check_primitive(row)


def test_a_result_says_whether_digits_were_checked():
    cosine = primitive("cosine", math.cos, lambda y, x: -sin(x))
    assert check_primitive(cosine).precision == "not checked"
    cosine = primitive("cosine", math.cos, lambda y, x: -sin(x), mpmath="cos")
    assert check_primitive(cosine).precision == "checked"
