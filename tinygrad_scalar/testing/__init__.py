"""Tools to check your own functions and rows, with any test runner and no plugin.

Three lines of pytest and Hypothesis check a derivative over the whole domain of a function, and
shrink what is wrong to the simplest point:

    @given(points_for(my_function))             # from tinygrad_scalar.strategies
    def test_derivative(point):
        check_grad(my_function, *point)         # from tinygrad_scalar.testing

The profiles `dev`, `ci` and `thorough` of Hypothesis are registered where it is installed:
`pytest --hypothesis-profile=thorough`.
"""

from tinygrad_scalar.testing.checks import GradientCheck, check_grad
from tinygrad_scalar.testing.closeness import assert_grads_close
from tinygrad_scalar.testing.errors import GradientError, OutsideDomainError, UncheckableError
from tinygrad_scalar.testing.profiles import register
from tinygrad_scalar.testing.rows import check_primitive

__all__ = [
    "GradientCheck",
    "GradientError",
    "OutsideDomainError",
    "UncheckableError",
    "assert_grads_close",
    "check_grad",
    "check_primitive",
]

register()
