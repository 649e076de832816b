"""From the outputs of a model to classes and probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinygrad_scalar.core.tree import by_position
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.functions import sigmoid, softmax
from tinygrad_scalar.nn.module import Module, evaluated
from tinygrad_scalar.nn.shapes import check_examples_listed, is_list


def predict(model: Module, x: Sequence[Any]) -> tuple[int, float]:
    """The class that a model gives `x`, and its probability.

    Several outputs are logits: the largest, and softmax of it. One output is the logit of class 1
    against class 0. In evaluation, without recording. Cost: one forward.
    Errors: what the model raises for an input of another width; TypeError for other outputs.

    >>> from tinygrad_scalar import nn
    >>> model = nn.MLP(1, [1], init=lambda nin, nout: 2.0)
    >>> nn.predict(model, [0.0]), nn.predict(model, [-1.0])[0]
    ((0, 0.5), 0)
    """
    return predictions(model, [x], "predict")[0]


def predictions(
    model: Module, X: Iterable[Sequence[Any]], of: str = "predict"
) -> list[tuple[int, float]]:
    """`predict` for many inputs, asked by `of`: a list of classes and probabilities."""
    return [_class(logits) for logits in _logits(model, X, of)]


def _logits(model: Module, X: Iterable[Sequence[Any]], of: str) -> list[list[float]]:
    """The outputs for every example, as numbers."""
    examples = by_position(X)
    outputs = evaluated(model, lambda: [model(x) for x in examples], of)
    return [
        [_number(y) for y in (given if isinstance(given, (list, tuple)) else [given])]
        for given in outputs
    ]


def _class(logits: Sequence[float]) -> tuple[int, float]:
    if len(logits) == 1:
        label = int(logits[0] > 0)
        return label, sigmoid(logits[0] if label else -logits[0])
    label = max(range(len(logits)), key=logits.__getitem__)
    return label, softmax(logits)[label]


def accuracy(model: Module, X: Sequence[Any], y: Sequence[Any]) -> float:
    """The share of examples whose predicted class is the target.

    Errors: ValueError for no examples, different lengths, or a target that is none of the classes,
    such as −1; TypeError for classes in words.

    >>> from tinygrad_scalar import nn
    >>> nn.accuracy(nn.MLP(1, [1], init=lambda nin, nout: 2.0), [[-1.0], [1.0]], [0, 0])
    0.5
    """
    X, y = by_position(X), by_position(y)
    check_examples_listed("accuracy: X", X)
    check_examples_listed("accuracy: y", y)
    if len(X) != len(y) or not len(X):
        raise ValueError(f"accuracy: {len(X)} examples and {len(y)} targets; give as many of each")
    right = 0
    for i, (logits, target) in enumerate(zip(_logits(model, X, "accuracy"), y, strict=True)):
        last = max(len(logits) - 1, 1)
        if is_list(target) or target not in range(last + 1):
            given = f"accuracy: target {i} is {target!r}"
            if isinstance(target, str):
                raise TypeError(f"{given}: number the classes from 0")
            raise ValueError(f"{given}, and the model tells classes 0 to {last}")
        right += bool(_class(logits)[0] == target)
    return right / len(X)


def _number(output: Any) -> float:
    if isinstance(output, (Value, float, int)):
        return float(output.data if isinstance(output, Value) else output)
    raise TypeError(f"predict: the model gives a {type(output).__name__}, and no list of logits")
