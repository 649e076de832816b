"""Every mode inside every other: whose perturbation is whose is never mixed up.

The classic failing programs: Siskind and Pearlmutter 2005, *Perturbation confusion and referential
transparency*; Manzyuk et al. 2019, *Perturbation confusion in forward automatic differentiation of
higher-order functions*.
"""

import itertools
import math

import mpmath
import pytest
from modes_reference import close

from tinygrad_scalar import (
    Value,
    checkpoint,
    derivative,
    exp,
    grad,
    hessian,
    hvp,
    implicit,
    jacobian,
    jvp,
    sin,
    taylor,
    value_and_grad,
    vjp,
)

# The derivative of a function of one number, by each mode.
MODES = {
    "grad": grad,
    "value_and_grad": lambda f: lambda x: value_and_grad(f)(x)[1],
    "vjp": lambda f: lambda x: vjp(f, x)[1](1.0),
    "jvp": lambda f: lambda x: jvp(f, (x,), (1.0,))[1],
    "forward jacobian": lambda f: jacobian(f, mode="forward"),
    "reverse jacobian": lambda f: jacobian(f, mode="reverse"),
    "derivative": derivative,
    "taylor": lambda f: lambda x: taylor(f, 3)(x)[1],
    "checkpointed grad": lambda f: lambda x: checkpoint(grad(f), x),
    "grad of checkpoint": lambda f: grad(lambda x: checkpoint(f, x)),
    "jvp of checkpoint": lambda f: lambda x: jvp(lambda u: checkpoint(f, u), (x,), (1.0,))[1],
}
EACH = pytest.mark.parametrize("d", MODES.values(), ids=MODES)
OUTER = pytest.mark.parametrize("outer", MODES.values(), ids=MODES)
INNER = pytest.mark.parametrize("inner", MODES.values(), ids=MODES)


def pairs(test):
    """The test for every mode inside every other."""
    return OUTER(INNER(test))


@pairs
def test_siskind_and_pearlmutter(outer, inner):
    """d/dx [x · d/dy (x + y)] = 1; confusion gives 2."""
    assert outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0) == 1.0


@pairs
def test_the_inner_derivative_depends_on_the_outer_variable(outer, inner):
    """d/dx [x · d/dy (x y²)] at x = 3, y = 2: 4x² has the derivative 8x."""
    assert outer(lambda x: x * inner(lambda y: x * y * y)(2.0))(3.0) == 24.0


@pairs
def test_the_outer_variable_is_the_inner_point(outer, inner):
    def g(x):
        return inner(lambda y: sin(x * y) * exp(y))(x)

    exact = mpmath.diff(lambda x: (x * mpmath.cos(x * x) + mpmath.sin(x * x)) * mpmath.exp(x), 0.5)
    assert close(outer(g)(0.5), float(exact), 1e-13)


@pairs
def test_an_inner_derivative_of_the_outer_variable_alone_is_zero(outer, inner):
    """d/dx [d/dy x] = 0 everywhere, and so are all products with it."""
    assert outer(lambda x: x * inner(lambda y: x)(x))(2.0) == 0.0
    assert outer(lambda x: inner(lambda y: x * x * y)(5.0))(2.0) == 4.0


@pairs
def test_second_derivatives(outer, inner):
    assert close(outer(inner(lambda x: sin(x) * x))(0.7), 2 * math.cos(0.7) - 0.7 * math.sin(0.7))
    assert outer(inner(lambda x: x**3))(2.0) == 12.0
    assert outer(inner(lambda x: x))(2.0) == 0.0


@pairs
def test_a_result_is_a_plain_number(outer, inner):
    assert type(outer(lambda x: x * inner(lambda y: x * y)(x))(1.5)) is float


@OUTER
def test_three_levels(outer):
    """d/dz 3xyz² at z = y is 3xy³; d/dy of x y · that at y = x is 12x⁵; d/dx of x · that, 72x⁵."""
    for middle, inner in itertools.product(MODES.values(), repeat=2):

        def f(x, middle=middle, inner=inner):
            return x * middle(lambda y: x * y * inner(lambda z: x * y * z**3)(y))(x)

        assert close(outer(f)(1.5), 72 * 1.5**5, 1e-14)


@EACH
def test_higher_orders_by_nesting_one_mode(d):
    f = d(d(d(lambda x: sin(2 * x))))
    assert close(f(0.5), -8 * math.cos(1.0), 1e-14)
    assert close(d(f)(0.5), 16 * math.sin(1.0), 1e-14)


# ── functions of higher order ─────────────────────────────────────
@pairs
def test_a_higher_order_function(outer, inner):
    """Manzyuk et al.: s(u)(f)(x) = f(x + u), its derivative by u at 0 applied twice.

    With h = d/du s(u) at 0, h(h(f)) is f″; confusion gives 0.
    """

    def shift_derivative(f, d):
        return lambda x: d(lambda u: f(x + u))(0.0)

    f = lambda x: x**4  # noqa: E731
    assert close(shift_derivative(shift_derivative(f, inner), outer)(2.0), 48.0, 1e-14)


@EACH
def test_the_same_function_is_differentiated_at_two_levels(d):
    """f uses its own derivative: x f′(x) of x² is 2x², whose derivative is 4x."""

    def f(x):
        return x * x

    def g(x):
        return x * d(f)(x)

    assert d(g)(3.0) == 12.0


@pairs
def test_a_derivative_in_the_condition_of_a_branch(outer, inner):
    def f(x):
        return x**3 if inner(lambda y: x * y * y)(x) > 0 else -x

    assert outer(f)(2.0) == 12.0


# ── with Values, without an outer mode ────────────────────────────────────────────────────────
@EACH
def test_a_derivative_at_a_value_is_connected_to_it(d):
    x = Value(0.5)
    slope = d(lambda u: sin(u) * u)(x)
    assert isinstance(slope, Value)
    assert close(slope.backward()[x], 2 * math.cos(0.5) - 0.5 * math.sin(0.5), 1e-14)


@EACH
def test_backward_with_create_graph_inside_a_mode(d):
    def f(x):
        leaf = x * 1
        return leaf * leaf * leaf

    assert d(d(f))(2.0) == 12.0


# ── second-order functions in each other and in modes ─────────────────────────────────────────
@EACH
def test_hvp_inside_each_mode(d):
    """∇²(x u³) v = 6 x u v at u = x, v = 2: 12x², derivative 24x."""
    assert d(lambda x: hvp(lambda u: x * u**3, (x,), (2.0,)))(1.5) == 36.0


@EACH
def test_hvp_with_the_outer_variable_as_direction(d):
    assert d(lambda x: hvp(lambda u: u**3, (2.0,), (x * x,)))(1.5) == 36.0


@EACH
def test_hessian_inside_each_mode(d):
    def f(x):
        matrix = hessian(lambda u: x * u[0] ** 3 * u[1])([x, 2.0])
        return matrix[0][0] + matrix[0][1]

    # 6x·x·2 + 3x·x² = 12x² + 3x³
    assert d(f)(1.5) == 24 * 1.5 + 9 * 1.5**2


@EACH
def test_sparse_hessian_inside_each_mode(d):
    def f(x):
        _, _, values = hessian(lambda u: x * u[0] ** 3 * u[1], sparse=True)([x, 2.0])
        return values[0] + values[1]

    assert d(f)(1.5) == 24 * 1.5 + 9 * 1.5**2


@pairs
def test_each_mode_inside_the_gradient_of_hvp(outer, inner):
    def f(x):
        return inner(lambda y: hvp(lambda u: x * y * u**3, (y,), (1.0,)))(x)

    # 6x y² in y: 12xy at y = x is 12x²; derivative 24x
    assert outer(f)(2.0) == 48.0


@pairs
def test_implicit_functions_in_nested_modes(outer, inner):
    """y = √(x t) from its equation; ∂y/∂t at t = 1 is √x / 2, whose derivative is 1 / (4√x)."""
    root = implicit(math.sqrt, lambda y, a: y * y - a)
    assert close(outer(lambda x: inner(lambda t: root(x * t))(1.0))(4.0), 0.125, 1e-14)


@pairs
def test_vjp_with_a_carried_cotangent(outer, inner):
    """The cotangent may depend on the outer variable, and on the inner one."""

    def f(x):
        return inner(lambda y: vjp(lambda u: u**3, 2.0)[1](x * y * y))(3.0)

    # 12 x y², by y: 24 x y = 72 x
    assert outer(f)(1.0) == 72.0


@pairs
def test_jvp_with_a_carried_tangent(outer, inner):
    def f(x):
        return inner(lambda y: jvp(lambda u: u**3, (2.0,), (x * y * y,))[1])(3.0)

    assert outer(f)(1.0) == 72.0


@pairs
def test_structures_pass_through_nested_modes(outer, inner):
    def f(x):
        def g(y):
            slopes = grad(lambda p: p["a"] ** 2 * p["b"][0])({"a": x * y, "b": [y, x]})
            return slopes["a"] + slopes["b"][0]

        return inner(g)(2.0)

    # 2·xy·y + (xy)² = 2xy² + x²y²; by y at 2: 8x + 4x²; by x at 3: 8 + 8x = 32
    assert outer(f)(3.0) == 32.0
