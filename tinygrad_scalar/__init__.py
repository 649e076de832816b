"""Reverse-mode automatic differentiation over scalars: small to read, exact to check.

>>> from tinygrad_scalar import Value
>>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
>>> table = (x * y + x).backward()
>>> table[x], table[y]
(4.0, 2.0)
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import primitives as primitives
from tinygrad_scalar.core.context import no_grad
from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.own_rows import primitive
from tinygrad_scalar.core.primitive import Interval, Primitive
from tinygrad_scalar.core.provenance import scope, trace_lines
from tinygrad_scalar.core.undefined import UndefinedGradientError, UndefinedGradientWarning
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.functions import *  # noqa: F403 (the table says what there is)
from tinygrad_scalar.modes.custom import custom, implicit
from tinygrad_scalar.modes.directional import jvp
from tinygrad_scalar.modes.grad import grad, jacobian, value_and_grad, vjp
from tinygrad_scalar.plain import *  # noqa: F403 (the rest of `math`)
from tinygrad_scalar.teaching.counting import counting

__version__ = "0.1.0"

# Loaded when first asked for, so that `import tinygrad_scalar` stays light.
_ROOM_OF = {
    "checkpoint": "modes.checkpointing",
    "checkpoint_chain": "modes.checkpointing",
    "hessian": "modes.second_order",
    "hvp": "modes.second_order",
    "derivative": "modes.taylor",
    "taylor": "modes.taylor",
    "sum_over_paths": "teaching.paths",
    "Drawing": "drawing",
    "draw": "drawing",
    "to_dot": "drawing",
    "formula": "drawing",
    "steps": "drawing",
    "to_latex": "drawing",
    "to_mermaid": "drawing",
    "to_text": "drawing",
    "tree": "drawing",
    "NoMachineCodeWarning": "compiler",
    "TraceError": "compiler",
    "compile": "compiler",
    "engines": "compiler",
    "load_compiled": "compiler",
    "take": "compiler",
}
_ROOMS = ("data", "drawing", "nn", "optim", "strategies", "testing")

if TYPE_CHECKING:
    from tinygrad_scalar.compiler import (
        NoMachineCodeWarning,
        TraceError,
        engines,
        load_compiled,
        take,
    )
    from tinygrad_scalar.compiler import compile as compile
    from tinygrad_scalar.drawing import (
        Drawing,
        draw,
        formula,
        steps,
        to_dot,
        to_latex,
        to_mermaid,
        to_text,
        tree,
    )

    # Not in `__all__`, and yet public, which type checkers take from the `as`.
    from tinygrad_scalar.functions import abs as abs
    from tinygrad_scalar.functions import pow as pow
    from tinygrad_scalar.functions import round as round
    from tinygrad_scalar.functions import sum as sum
    from tinygrad_scalar.modes.checkpointing import checkpoint, checkpoint_chain
    from tinygrad_scalar.modes.second_order import hessian, hvp
    from tinygrad_scalar.modes.taylor import derivative, taylor
    from tinygrad_scalar.teaching.paths import sum_over_paths


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    if name in _ROOM_OF:
        return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOM_OF, *_ROOMS, *_SHADOWING, "__version__", "primitives"})


# Names that would shadow builtins stay out of `import *`.
_SHADOWING = ("abs", "compile", "pow", "round", "sum")
__all__ = [
    "Drawing",
    "GradTable",
    "Interval",
    "NoMachineCodeWarning",
    "Primitive",
    "TraceError",
    "UndefinedGradientError",
    "UndefinedGradientWarning",
    "Value",
    "checkpoint",
    "checkpoint_chain",
    "counting",
    "custom",
    "derivative",
    "draw",
    "engines",
    "formula",
    "grad",
    "hessian",
    "hvp",
    "implicit",
    "jacobian",
    "jvp",
    "load_compiled",
    "no_grad",
    "primitive",
    "scope",
    "steps",
    "sum_over_paths",
    "take",
    "taylor",
    "to_dot",
    "to_latex",
    "to_mermaid",
    "to_text",
    "topological_order",
    "trace_lines",
    "tree",
    "value_and_grad",
    "vjp",
]
# Made by tools/stubs.py: the functions of the table, in words that type checkers read.
__all__ += [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "betaln",
    "cbrt",
    "ceil",
    "clip",
    "comb",
    "copysign",
    "cos",
    "cosh",
    "cross_entropy",
    "degrees",
    "digamma",
    "dist",
    "dot",
    "e",
    "elu",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "factorial",
    "floor",
    "fmod",
    "frexp",
    "fsum",
    "gamma",
    "gcd",
    "gelu",
    "hardtanh",
    "hypot",
    "inf",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isqrt",
    "lcm",
    "ldexp",
    "leaky_relu",
    "lgamma",
    "log",
    "log10",
    "log1mexp",
    "log1p",
    "log2",
    "log_normal_cdf",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logit",
    "logsumexp",
    "maximum",
    "mean",
    "minimum",
    "mish",
    "mod",
    "modf",
    "nan",
    "nextafter",
    "normal_cdf",
    "normal_pdf",
    "normal_ppf",
    "perm",
    "pi",
    "prod",
    "radians",
    "reciprocal",
    "relu",
    "remainder",
    "sech",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinc",
    "sinh",
    "softmax",
    "softplus",
    "softsign",
    "sqrt",
    "square",
    "step",
    "sumprod",
    "tan",
    "tanh",
    "tau",
    "trunc",
    "ulp",
    "where",
    "xlogy",
]
# End of what tools/stubs.py makes.

# Where Hypothesis came first it is told now how to draw a Value.
if sys.modules.get("hypothesis.strategies") is not None:
    from _tinygrad_scalar_hypothesis import register

    register()
