"""Strategies for Hypothesis: Values, whole programs, points of a function's domain, networks.

>>> from tinygrad_scalar.strategies import expressions
>>> from hypothesis import given
>>> from tinygrad_scalar.testing import check_grad
>>> @given(expressions(max_ops=4))
... def test_engine(program):
...     check_grad(program, *program.inputs)
"""

from tinygrad_scalar.strategies.expressions import expressions
from tinygrad_scalar.strategies.points import networks, points_for, values
from tinygrad_scalar.strategies.programs import Instruction, Program
from tinygrad_scalar.testing.profiles import register

__all__ = ["Instruction", "Program", "expressions", "networks", "points_for", "values"]


def __dir__() -> list[str]:
    return sorted(__all__)


register()
