"""Learning-rate schedules: functions of the steps taken so far, 0 first, that give a factor."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial as bind  # what is bound can be pickled, a closure cannot

from tinygrad_scalar.checks import positive, whole

Schedule = Callable[[int], float]


def step_decay(every: int, factor: float = 0.1) -> Schedule:
    """factor ^ ⌊t / every⌋ after t steps.

    Errors: ValueError unless every ≥ 1 and factor > 0. Source: PyTorch, `StepLR`.

    >>> [step_decay(2)(t) for t in range(4)]
    [1.0, 1.0, 0.1, 0.1]
    """
    every, factor = whole(every, "step_decay: every"), positive(factor, "step_decay: factor")
    return bind(_stepped, every, factor)


def _stepped(every: int, factor: float, t: int) -> float:
    return factor ** (t // every)


def cosine_decay(steps: int) -> Schedule:
    """½ (1 + cos(π t / steps)) after t steps, and 0 from `steps` on.

    Errors: ValueError unless steps ≥ 1. Source: Loshchilov, Hutter 2016, arXiv:1608.03983,
    equation 5.

    >>> [round(cosine_decay(4)(t), 3) for t in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """
    steps = whole(steps, "cosine_decay: steps")
    return bind(_cosine, steps)


def _cosine(steps: int, t: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * min(t, steps) / steps))


def linear_decay(steps: int) -> Schedule:
    """1 − t / steps after t steps, and 0 from `steps` on.

    Errors: ValueError unless steps ≥ 1. Source: *Deep Learning*, equation 8.14 with ε_τ = 0.

    >>> [linear_decay(4)(t) for t in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    steps = whole(steps, "linear_decay: steps")
    return bind(_linear, steps)


def _linear(steps: int, t: int) -> float:
    return max(0.0, 1.0 - t / steps)
