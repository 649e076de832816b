"""The tasks that `train` knows: data, model, loss, and how long with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinygrad_scalar import data, optim
from tinygrad_scalar.nn.layers import MLP
from tinygrad_scalar.nn.losses import binary_cross_entropy, cross_entropy
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.modules import Scale, Sequential
from tinygrad_scalar.nn.training import Loss
from tinygrad_scalar.nn.two_layer_net import TwoLayerNet

Parts = tuple[list[list[float]], list[list[float]], list[int], list[int]]


@dataclass(frozen=True)
class Recipe:
    """How a task is trained."""

    steps: int
    batch_size: int | None
    optimizer: Callable[[Any, int], optim.Optimizer]  # of parameters and steps


@dataclass(frozen=True)
class Task:
    """What is learned. `data` gives X_train, X_test, y_train, y_test for a seed."""

    about: str
    data: Callable[[int], Parts]
    model: Callable[[int], Module]
    loss: Loss
    minibatches: Recipe
    compiled: Recipe | None = None  # another one where steps cost next to nothing

    @property
    def recipe(self) -> Recipe:
        """The recipe that this machine does in a reasonable time."""
        from tinygrad_scalar.nn.replay import compiles

        return self.compiled if self.compiled and compiles() else self.minibatches


def adam(lr: float) -> Callable[[Any, int], optim.Optimizer]:
    """Adam, whose rate falls to 0 over the steps."""
    return lambda params, steps: optim.Adam(params, lr, schedule=optim.linear_decay(steps))


def _halves(make: Callable[..., data.Data], n: int) -> Callable[[int], Parts]:
    return lambda seed: data.split(*make(n, seed=seed), test=0.5, seed=seed)


def _spirals(seed: int) -> Parts:
    """All 300 points of the lecture to train on, and as many new ones to test."""
    (X, y), (X_test, y_test) = data.spirals(100, seed=seed), data.spirals(100, seed=f"{seed}, test")
    return X, X_test, y, y_test


TASKS = {
    "moons": Task(
        "two interleaving half circles",
        _halves(data.moons, 200),
        lambda seed: MLP(2, [16, 1], init="he", seed=seed),
        binary_cross_entropy,
        Recipe(400, 20, adam(0.05)),
    ),
    "spiral": Task(
        "three arms of a spiral, as in the lecture: 100 hidden neurons",
        _spirals,
        lambda seed: TwoLayerNet(2, 100, 3, seed=seed),
        cross_entropy,
        Recipe(1_000, 20, adam(0.05)),
        compiled=Recipe(10_000, None, lambda params, _steps: optim.SGD(params, 1.0)),
    ),
    "digits": Task(
        "handwritten digits of 8 × 8 pixels",
        lambda seed: data.split(*data.digits(), seed=seed),
        lambda seed: Sequential(Scale(1 / 16), MLP(64, [32, 10], init="he", seed=seed)),
        cross_entropy,
        Recipe(500, 20, adam(0.02)),
    ),
    "xor": Task(
        "the corners of a square, noisy, classes on the diagonals",
        _halves(data.xor, 200),
        lambda seed: MLP(2, [8, 1], activation="tanh", init="glorot", seed=seed),
        binary_cross_entropy,
        Recipe(300, 20, adam(0.1)),
    ),
}
