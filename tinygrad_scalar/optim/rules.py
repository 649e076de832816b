"""The rules: `SGD`, `Adam`, `AdamW`, `RMSProp`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from tinygrad_scalar.checks import fraction, not_negative, positive
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.optim.optimizer import Optimizer, Rule
from tinygrad_scalar.optim.schedules import Schedule


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
        self.momentum, self.weight_decay = momentum, weight_decay
        self.momentum, self.weight_decay = self._settings()
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov needs a momentum above 0, such as 0.9")
        self.nesterov = nesterov

    def _settings(self) -> tuple[float, float]:
        """The momentum and the decay, checked anew: they may have been written to."""
        momentum = not_negative(self.momentum, "SGD: momentum")
        return momentum, not_negative(self.weight_decay, "SGD: weight_decay")

    def _rule(self, lr: float, sqrt: Callable[[Any], Any]) -> Rule:  # noqa: ARG002
        (momentum, decay), nesterov = self._settings(), self.nesterov

        def rule(data: Any, gradient: Any, velocity: Any) -> tuple[Any, Any]:
            if decay:
                gradient = gradient + decay * data
            if momentum:
                velocity = momentum * velocity + gradient
                gradient = gradient + momentum * velocity if nesterov else velocity
            return data - lr * gradient, velocity

        return rule


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
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.betas, self.eps, self.weight_decay = self._settings()

    def _settings(self) -> tuple[tuple[float, float], float, float]:
        """The betas, eps and the decay, checked anew: they may have been written to."""
        name = type(self).__name__
        try:
            first, second = self.betas
        except (TypeError, ValueError):
            raise TypeError(f"{name}: betas is a pair of numbers, not {self.betas!r}") from None
        betas = fraction(first, f"{name}: betas[0]"), fraction(second, f"{name}: betas[1]")
        decay = not_negative(self.weight_decay, f"{name}: weight_decay")
        return betas, positive(self.eps, f"{name}: eps"), decay

    def _rule(self, lr: float, sqrt: Callable[[Any], Any]) -> Rule:
        (first, second), eps, decay = self._settings()
        step = self.steps + 1
        rate, root = lr / (1.0 - first**step), math.sqrt(1.0 - second**step)
        shrunk = 1.0 - lr * decay

        def rule(data: Any, gradient: Any, mean: Any, mean_square: Any) -> tuple[Any, Any, Any]:
            if decay and self.decoupled:
                data = data * shrunk
            elif decay:
                gradient = gradient + decay * data
            mean = first * mean + (1.0 - first) * gradient
            mean_square = second * mean_square + (1.0 - second) * gradient * gradient
            return data - rate * mean / (sqrt(mean_square) / root + eps), mean, mean_square

        return rule


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
        self.alpha, self.eps = alpha, eps
        self.alpha, self.eps = self._settings()

    def _settings(self) -> tuple[float, float]:
        """Alpha and eps, checked anew: they may have been written to."""
        return fraction(self.alpha, "RMSProp: alpha"), positive(self.eps, "RMSProp: eps")

    def _rule(self, lr: float, sqrt: Callable[[Any], Any]) -> Rule:
        alpha, eps = self._settings()

        def rule(data: Any, gradient: Any, mean_square: Any) -> tuple[Any, Any]:
            mean_square = alpha * mean_square + (1.0 - alpha) * gradient * gradient
            return data - lr * gradient / (sqrt(mean_square) + eps), mean_square

        return rule
