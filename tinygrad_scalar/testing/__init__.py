"""Tools to check your own functions and rows, with any test runner and no plugin.

Three lines of pytest and Hypothesis check a derivative over the whole domain of a function, and
shrink what is wrong to the simplest point:

>>> from hypothesis import given
>>> from tinygrad_scalar import log, sqrt
>>> from tinygrad_scalar.strategies import points_for
>>> from tinygrad_scalar.testing import check_grad
>>> def distance(x, y):
...     return sqrt(x * x + log(y) ** 2)
>>> @given(points_for(distance))
... def test_distance(point):
...     check_grad(distance, *point)
>>> test_distance()

Where Hypothesis is installed, importing this package registers the profiles `dev`, `ci` and
`thorough`. With `import tinygrad_scalar.testing` in `conftest.py`, choose one on the command line:
`pytest --hypothesis-profile=thorough`.
"""

from tinygrad_scalar.testing.by_hand import check_derivative
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
    "check_derivative",
    "check_grad",
    "check_primitive",
]


def __dir__() -> list[str]:
    return sorted(__all__)


register()
