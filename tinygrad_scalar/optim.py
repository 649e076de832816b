"""Optimisers: how parameters move once their gradients are known. PyTorch's rules, no dampening.

θ is a parameter, g its gradient, t the number of the step, from 1. A schedule is a function of the
steps taken so far (0 first) that gives a factor of the learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from tinygrad_scalar.checks import fraction, not_negative, positive
from tinygrad_scalar.nn.parameter import checked_parameters, parameters_below
from tinygrad_scalar.nn.schedules import Schedule, cosine_decay, linear_decay, step_decay
from tinygrad_scalar.precision import is_number
from tinygrad_scalar.value import Value

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


class Optimizer:
    """Base of the optimisers: `step()` moves every parameter by its gradient, `zero_grad()` zeroes.

    A subclass names in `buffers` what it remembers of each parameter and defines `_move`.

    Cost O(parameters) a step. Errors: ValueError for no parameters, lr ≤ 0 or not finite, a
    schedule that gives no finite number ≥ 0; TypeError for what is no Value.
    """

    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, params: Iterable[Value], lr: float, *, schedule: Schedule | None = None
    ) -> None:
        name = type(self).__name__
        self.params = checked_parameters(params, name)
        self.lr = positive(lr, f"{name}: lr")
        if schedule is not None and not callable(schedule):
            raise TypeError(
                f"{name}: schedule is a function of the step, not {type(schedule).__name__}"
            )
        self.schedule = schedule
        self.steps = 0
        self.memory = {buffer: [0.0] * len(self.params) for buffer in self.buffers}

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.0."""
        for leaf in self.params:
            leaf.grad = 0.0

    def step(self) -> None:
        """Move every parameter once, by the gradient that stands in its `.grad`."""
        lr = self.lr * self._factor()
        self.steps += 1
        self._move(lr)

    def _factor(self) -> float:
        if self.schedule is None:
            return 1.0
        factor = self.schedule(self.steps)
        if not is_number(factor) or not 0.0 <= factor < math.inf:
            raise ValueError(
                f"{type(self).__name__}: schedule({self.steps}) gives {factor!r}, and should give "
                "a factor of the learning rate, a number of at least 0"
            )
        return float(factor)

    def _move(self, lr: float) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """What the optimiser remembers: the steps taken, and a list per buffer."""
        return {"steps": self.steps, **{name: list(x) for name, x in self.memory.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what `state_dict` gave. All or nothing.

        Errors: ValueError for the state of another optimiser or of other parameters.
        """
        if set(state) != {"steps", *self.buffers} or any(
            len(state[name]) != len(self.params) for name in self.buffers
        ):
            raise ValueError(
                f"{type(self).__name__}: the state is of another optimiser or of other parameters "
                f"than these {len(self.params)}"
            )
        self.steps = int(state["steps"])
        self.memory = {name: [float(x) for x in state[name]] for name in self.buffers}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.params)} parameters, lr={self.lr})"


class SGD(Optimizer):
    """Stochastic gradient descent: θ ← θ − lr · v, v the gradient or what momentum makes of it.

    g ← g + weight_decay · θ; with momentum v ← momentum · v + g (v = g at first); with nesterov
    the step is g + momentum · v.

    Errors: as `Optimizer`; ValueError for momentum < 0, weight_decay < 0, and for
    nesterov without momentum.
    Source: *Deep Learning*, Algorithms 8.1–8.3; PyTorch, `torch.optim.SGD`.

    >>> from tinygrad_scalar import nn
    >>> w = nn.parameter(1.0)
    >>> optimizer = SGD([w], lr=0.1)
    >>> table = (w * w).backward()
    >>> optimizer.step()
    >>> w.data
    0.8
    """

    buffers = ("velocity",)

    def __init__(
        self,
        params: Iterable[Value],
        lr: float,
        momentum: float = 0,
        nesterov: bool = False,
        weight_decay: float = 0,
        *,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(params, lr, schedule=schedule)
        self.momentum = not_negative(momentum, "SGD: momentum")
        self.weight_decay = not_negative(weight_decay, "SGD: weight_decay")
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0, such as 0.9")
        self.nesterov = nesterov

    def _move(self, lr: float) -> None:
        momentum, decay, velocity = self.momentum, self.weight_decay, self.memory["velocity"]
        if not momentum and not decay:  # a third of a compiled step, so not through the general way
            for leaf in self.params:
                leaf.data -= lr * leaf.grad
            return
        for i, leaf in enumerate(self.params):
            gradient = leaf.grad + decay * leaf.data if decay else leaf.grad
            if momentum:
                velocity[i] = momentum * velocity[i] + gradient
                gradient = gradient + momentum * velocity[i] if self.nesterov else velocity[i]
            leaf.data -= lr * gradient


class Adam(Optimizer):
    """Adaptive moments: θ ← θ − lr · m̂ / (√v̂ + eps), with the means m of g and v of g².

    g ← g + weight_decay · θ; m ← β₁ m + (1 − β₁) g; v ← β₂ v + (1 − β₂) g²;
    m̂ = m / (1 − β₁ᵗ); v̂ = v / (1 − β₂ᵗ).

    Errors: as `Optimizer`; ValueError for betas outside 0 … 1, eps ≤ 0, weight_decay < 0.
    Source: Kingma, Ba 2014, arXiv:1412.6980, Algorithm 1; *Deep Learning*, Algorithm 8.7;
    PyTorch, `torch.optim.Adam`.

    >>> from tinygrad_scalar import nn
    >>> w = nn.parameter(1.0)
    >>> optimizer = Adam([w], lr=0.1)
    >>> table = (w * w).backward()
    >>> optimizer.step()
    >>> round(w.data, 6)
    0.9
    """

    buffers = ("mean", "mean_square")
    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(params, lr, schedule=schedule)
        name = type(self).__name__
        try:
            first, second = betas
        except (TypeError, ValueError):
            raise TypeError(f"{name}: betas is a pair of numbers, not {betas!r}") from None
        self.betas = fraction(first, f"{name}: betas[0]"), fraction(second, f"{name}: betas[1]")
        self.eps = positive(eps, f"{name}: eps")
        self.weight_decay = not_negative(weight_decay, f"{name}: weight_decay")

    def _move(self, lr: float) -> None:
        (first, second), decay = self.betas, self.weight_decay
        mean, mean_square = self.memory["mean"], self.memory["mean_square"]
        rate = lr / (1.0 - first**self.steps)
        root = math.sqrt(1.0 - second**self.steps)
        for i, leaf in enumerate(self.params):
            gradient = leaf.grad
            if decay and self.decoupled:
                leaf.data *= 1.0 - lr * decay
            elif decay:
                gradient = gradient + decay * leaf.data
            mean[i] = m = first * mean[i] + (1.0 - first) * gradient
            mean_square[i] = v = second * mean_square[i] + (1.0 - second) * gradient * gradient
            leaf.data -= rate * m / (math.sqrt(v) / root + self.eps)


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← θ − lr · weight_decay · θ before the step.

    Errors: as `Adam`. Source: Loshchilov, Hutter 2017, arXiv:1711.05101, Algorithm 2; PyTorch,
    `torch.optim.AdamW`.

    >>> from tinygrad_scalar import nn
    >>> AdamW([nn.parameter(1.0)])
    AdamW(1 parameters, lr=0.001)
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, schedule=schedule)


class RMSProp(Optimizer):
    """θ ← θ − lr · g / (√v + eps), with the mean v ← alpha · v + (1 − alpha) · g².

    Errors: as `Optimizer`; ValueError for alpha outside 0 … 1 or eps ≤ 0.
    Source: Hinton 2012, lecture 6e; *Deep Learning*, Algorithm 8.5; PyTorch, `torch.optim.RMSprop`.

    >>> from tinygrad_scalar import nn
    >>> RMSProp([nn.parameter(1.0), nn.parameter(2.0)])
    RMSProp(2 parameters, lr=0.01)
    """

    buffers = ("mean_square",)

    def __init__(
        self,
        params: Iterable[Value],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        *,
        schedule: Schedule | None = None,
    ) -> None:
        super().__init__(params, lr, schedule=schedule)
        self.alpha = fraction(alpha, "RMSProp: alpha")
        self.eps = positive(eps, "RMSProp: eps")

    def _move(self, lr: float) -> None:
        alpha, mean_square = self.alpha, self.memory["mean_square"]
        for i, leaf in enumerate(self.params):
            gradient = leaf.grad
            mean_square[i] = v = alpha * mean_square[i] + (1.0 - alpha) * gradient * gradient
            leaf.data -= lr * gradient / (math.sqrt(v) + self.eps)


class GradientDescentOptimizer:
    """Gradient descent in one call: `GradientDescentOptimizer(lr).minimize(cost)`.

    Errors: ValueError for lr ≤ 0. Source: *Deep Learning*, section 4.3.

    >>> from tinygrad_scalar import nn
    >>> w = nn.parameter(1.0)
    >>> GradientDescentOptimizer(0.1).minimize(w * w)
    1.0
    >>> w.data, w.grad
    (0.8, 0.0)
    """

    def __init__(self, lr: float) -> None:
        self.lr = positive(lr, "GradientDescentOptimizer: lr")

    def minimize(
        self, cost: Value | Callable[[], Value], params: Iterable[Value] | None = None
    ) -> Any:
        """One backward and one step, and the cost before it; gradients are left at zero.

        `cost` is a Value, or a callable without arguments that gives one; `params` are by default
        the trainable leaves below it. Cost O(nodes + edges).
        Errors: TypeError unless the cost is a Value, ValueError without trainable leaves.
        """
        if not isinstance(cost, Value) and callable(cost):
            cost = cost()
        if not isinstance(cost, Value):
            raise TypeError(f"minimize: cost is a Value, not {type(cost).__name__}")
        leaves = checked_parameters(
            parameters_below(cost) if params is None else params, "minimize"
        )
        table = cost.backward(inputs=leaves)
        for leaf in leaves:
            leaf.data -= self.lr * table[leaf]
            leaf.grad = 0.0
        return cost.data


# ── clipping ─────────────────────────────────────────────────────────────────────────────────────
def clip_grad_norm(params: Iterable[Value], max_norm: float) -> float:
    """Scale all gradients so that their common norm is at most `max_norm`; the norm before.

    g ← g · min(1, max_norm / (‖g‖ + 10⁻⁶)). Cost O(parameters).
    Errors: ValueError for max_norm ≤ 0, or a norm that is not finite (nothing is changed then).
    Source: *Deep Learning*, equation 10.49; PyTorch, `clip_grad_norm_`.

    >>> from tinygrad_scalar import nn
    >>> a, b = nn.parameter(0.0), nn.parameter(0.0)
    >>> a.grad, b.grad = 3.0, 4.0
    >>> clip_grad_norm([a, b], 1.0), round(a.grad, 5), round(b.grad, 5)
    (5.0, 0.6, 0.8)
    """
    leaves = checked_parameters(params, "clip_grad_norm")
    bound = positive(max_norm, "clip_grad_norm: max_norm")
    norm = math.hypot(*(leaf.grad for leaf in leaves))
    if not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {norm}")
    factor = bound / (norm + 1e-6)
    if factor < 1.0:
        for leaf in leaves:
            leaf.grad *= factor
    return norm
