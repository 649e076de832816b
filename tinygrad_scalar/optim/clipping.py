"""Clipping: gradients scaled so that their common norm stays below a bound."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tinygrad_scalar.checks import positive
from tinygrad_scalar.core.at_once import assign
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.parameter import checked_parameters, numbers_in, outside_traces


def clip_grad_norm(params: Iterable[Value], max_norm: float) -> float:
    """Scale all gradients so that their common norm is at most `max_norm`; the norm before.

    g ← g · min(1, max_norm / (‖g‖ + 10⁻⁶)). Cost O(parameters).
    Errors: ValueError for max_norm ≤ 0, or a norm that is not finite; TypeError for a gradient that
    is no number (nothing is changed then).
    Source: *Deep Learning*, equation 10.49; PyTorch, `clip_grad_norm_`.

    >>> from tinygrad_scalar import nn
    >>> a, b = nn.parameter(0.0), nn.parameter(0.0)
    >>> a.grad, b.grad = 3.0, 4.0
    >>> clip_grad_norm([a, b], 1.0), round(a.grad, 5), round(b.grad, 5)
    (5.0, 0.6, 0.8)
    """
    outside_traces("clip_grad_norm")
    leaves = checked_parameters(params, "clip_grad_norm")
    bound = positive(max_norm, "clip_grad_norm: max_norm")
    gradients = numbers_in(leaves, "grad", "clip_grad_norm")
    norm = math.hypot(*gradients)
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {norm}")
    factor = bound / (norm + 1e-6)
    if factor < 1.0:
        assign(leaves, "grad", [gradient * factor for gradient in gradients])
    return norm
