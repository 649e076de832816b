"""Checks of what `fit` and `mean_loss` are given; the messages name the argument."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tinygrad_scalar.checks import whole
from tinygrad_scalar.core.tree import by_position
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.module import check_module
from tinygrad_scalar.nn.shapes import check_examples_listed, is_list
from tinygrad_scalar.numbers.precision import is_number


def check_loss(loss: Any, of: str) -> None:
    """TypeError unless this can be called; it names the function `of`."""
    if not callable(loss):
        raise TypeError(
            f"{of}: loss is a function of outputs and target, such as nn.cross_entropy, "
            f"not {type(loss).__name__}"
        )


def check_parts(model: Any, loss: Any, optimizer: Any) -> None:
    """TypeError unless these are a module, a function and an optimiser, ValueError if strangers."""
    check_module(model, "fit")
    check_loss(loss, "fit")
    made = not isinstance(optimizer, type)
    if not (made and hasattr(optimizer, "step") and hasattr(optimizer, "zero_grad")):
        raise TypeError(
            "fit: optimizer is an optimiser, such as optim.Adam(model.parameters()), "
            f"not {type(optimizer).__name__ if made else f'the class {optimizer.__name__}'}"
        )
    own = set(map(id, model.parameters()))
    if own and own.isdisjoint(map(id, getattr(optimizer, "params", model.parameters()))):
        raise ValueError(
            "fit: optimizer has no parameter of this model: make it of model.parameters(), "
            "anew after loading a model"
        )


def check_seed(seed: Any) -> None:
    """TypeError for what names no order of the examples, such as a generator, which moves on."""
    if not (seed is None or isinstance(seed, str) or is_number(seed)):
        raise TypeError(
            f"fit: seed is an int or a str, which draws the order of every epoch, "
            f"not {type(seed).__name__}"
        )


def checked_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    """The callbacks as a list; TypeError unless they are functions."""
    if callable(callbacks):
        raise TypeError("fit: callbacks is a list of functions: write callbacks=[callback]")
    functions = list(callbacks)
    for i, callback in enumerate(functions):
        if not callable(callback):
            raise TypeError(
                f"fit: callbacks[{i}] is a function of step and history, "
                f"not {type(callback).__name__}"
            )
    return functions


def number_of_steps(steps: int | None, epochs: int | None, per_epoch: int) -> int:
    """How many steps are asked for, in one way or the other."""
    if (steps is None) == (epochs is None):
        raise ValueError("fit: give steps or epochs, one of the two")
    if steps is not None:
        return whole(steps, "fit: steps")
    return whole(epochs, "fit: epochs") * per_epoch


def checked_validation(validation: Any) -> tuple[Any, Any]:
    """A pair (X, y) of examples, checked like those to train on; TypeError for anything else."""
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError("fit: validation is a pair of lists (X, y)")
    X, y = map(by_position, validation)
    check_examples(X, y, "fit: validation[0]", "validation[1]")
    return X, y


def check_examples(X: Any, y: Any, X_name: str, y_name: str) -> None:
    """As many finite examples as targets, at least one; `X_name` names the operation too."""
    of = X_name.partition(": ")[0]
    for name, things in ((X_name, X), (f"{of}: {y_name}", y)):
        check_examples_listed(name, things)
    if len(X) != len(y):
        raise ValueError(f"{X_name} has {len(X)} examples and {y_name} {len(y)} targets")
    if not len(X):
        raise ValueError(f"{X_name} is empty: give at least one example")
    for name, things in ((X_name, X), (f"{of}: {y_name}", y)):
        for i, thing in enumerate(things):
            _check_finite(thing, f"{name}[{i}]")


def _check_finite(thing: Any, name: str) -> None:
    if is_list(thing):
        for i, item in enumerate(thing):
            _check_finite(item, f"{name}[{i}]")
        return
    number = thing.data if isinstance(thing, Value) else thing
    if is_number(number) and not -math.inf < number < math.inf:
        raise ValueError(f"{name} is {number}, give finite numbers")
