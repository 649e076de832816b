"""Optimisers: how parameters move once their gradients are known. PyTorch's rules, no dampening.

θ is a parameter, g its gradient, t the number of the step, from 1. A schedule is a function of the
steps taken so far (0 first) that gives a factor of the learning rate.
"""

from tinygrad_scalar.optim.clipping import clip_grad_norm
from tinygrad_scalar.optim.descent import GradientDescentOptimizer
from tinygrad_scalar.optim.optimizer import Optimizer
from tinygrad_scalar.optim.rules import SGD, Adam, AdamW, RMSProp
from tinygrad_scalar.optim.schedules import Schedule, cosine_decay, linear_decay, step_decay

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "GradientDescentOptimizer",
    "Optimizer",
    "RMSProp",
    "Schedule",
    "clip_grad_norm",
    "cosine_decay",
    "linear_decay",
    "step_decay",
]


def __dir__() -> list[str]:
    return sorted(__all__)
