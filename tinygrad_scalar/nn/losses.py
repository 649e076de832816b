"""Losses and regularisers: what is made small. Means over what is compared, finite at ±1000.

Every loss takes a list of outputs and a list of targets, or a single output and its target.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from tinygrad_scalar import functions
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.nn.shapes import is_list
from tinygrad_scalar.numbers.precision import is_number


def mean_squared_error(outputs: Any, targets: Any) -> Any:
    """(1/n) Σ (yᵢ − tᵢ)², without ½; rows of outputs against rows of targets count every number.

    Domain: all reals. Types: lists of numbers or Values of one shape, or one of each. Cost O(n).
    Errors: ValueError for empty lists, different lengths, or NaN among the targets.
    Gradient: 2 (yᵢ − tᵢ) / n. Source: *Deep Learning*, equation 5.4.

    >>> mean_squared_error([1.0, 2.0], [0.0, 4.0])
    2.5
    """
    pairs = list(_pairs(outputs, targets, "mean_squared_error"))
    return functions.mean((y - t) * (y - t) for y, t in pairs)


def hinge(scores: Any, targets: Any) -> Any:
    """(1/n) Σ max(0, 1 − tᵢ sᵢ) for targets tᵢ of −1 or 1: the max-margin loss.

    Domain: all reals; the subgradient at the kink tᵢ sᵢ = 1 is 0. Types: lists or one of each.
    Cost O(n). Errors: ValueError for empty lists, different lengths, or targets other than ±1.
    Gradient: −tᵢ / n where tᵢ sᵢ < 1. Source: Cortes, Vapnik 1995, Machine Learning 20, 273–297.

    >>> hinge([2.0, 0.5], [1, -1])
    0.75
    """
    pairs = list(_pairs(scores, targets, "hinge"))
    for i, (_, t) in enumerate(pairs):
        if not isinstance(t, Carrier) and t not in (-1, 1):
            raise ValueError(f"hinge: target {i} is {t!r}, give −1 or 1")
    return functions.mean(functions.relu(1.0 - t * s) for s, t in pairs)


def binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """−(1/n) Σ tᵢ log σ(aᵢ) + (1 − tᵢ) log(1 − σ(aᵢ)), on logits aᵢ and targets from 0 to 1.

    Written as t · softplus(−a) + (1 − t) · softplus(a), finite and precise for any finite logit.
    Domain: all reals, 0 ≤ tᵢ ≤ 1. Types: lists or one of each. Cost O(n).
    Errors: ValueError for empty lists, different lengths, or targets outside 0 … 1.
    Gradient: (σ(aᵢ) − tᵢ) / n. Source: *Deep Learning*, section 6.2.2.2.

    >>> binary_cross_entropy([1000.0, -1000.0], [1, 0]), binary_cross_entropy(-1000.0, 1)
    (0.0, 1000.0)
    """
    pairs = list(_pairs(logits, targets, "binary_cross_entropy"))
    for i, (_, t) in enumerate(pairs):
        if not isinstance(t, Carrier) and not 0 <= t <= 1:
            raise ValueError(
                f"binary_cross_entropy: target {i} is {t!r}, give a number from 0 to 1"
            )
    return functions.mean(_binary_cross_entropy(a, t) for a, t in pairs)


def _binary_cross_entropy(a: Any, t: Any) -> Any:
    if not isinstance(t, Carrier) and t in (0, 1):
        return functions.softplus(-a if t else a)
    return t * functions.softplus(-a) + (1 - t) * functions.softplus(a)


def cross_entropy(logits: Sequence[Any], target: Any) -> Any:
    """−log softmax(a)[t] for a class t, or −Σ tⱼ log softmax(a)ⱼ for a distribution t; one node.

    A list of rows of logits with a list of targets gives the mean over the rows.

    Domain: all reals; exact for logits around ±1000. Cost O(numbers).
    Errors: ValueError for no logits or rows, a class out of range, or another number of targets;
    TypeError for a class that is no whole number.
    Gradient: softmax(a) − t, divided by the number of rows. Source: *Deep Learning*,
    section 6.2.2.3.

    >>> cross_entropy([0.0, 1000.0], 1), cross_entropy([[0.0, 1000.0], [1000.0, 0.0]], [1, 1])
    (0.0, 500.0)
    """
    if not is_list(logits):
        raise TypeError(
            f"cross_entropy: logits is a list, one number per class, not {type(logits).__name__}; "
            "for a single score use binary_cross_entropy"
        )
    if not len(logits):
        raise ValueError("cross_entropy: logits is empty: give one number per class")
    if not is_list(logits[0]):
        return functions.cross_entropy(logits, _distribution(target, len(logits)))
    if not is_list(target) or len(target) != len(logits):
        given = _count(target, "target") if is_list(target) else type(target).__name__
        rows = _count(logits, "row")
        raise ValueError(f"cross_entropy: {rows} of logits, and for them {given}")
    return functions.mean(map(cross_entropy, logits, target))


def _distribution(target: Any, classes: int) -> Any:
    """A distribution checked to be one; a class index as it is, as a distribution if traced."""
    if isinstance(target, Carrier):
        from tinygrad_scalar.compiler import take

        return take([[float(i == j) for j in range(classes)] for i in range(classes)], target)
    if not is_list(target) or any(isinstance(t, Carrier) for t in target):
        return target
    if not all(is_number(t) and t >= 0 for t in target) or abs(math.fsum(target) - 1) > 1e-6:
        raise ValueError(
            "cross_entropy: target is a class index or probabilities that sum to 1, "
            f"not {list(target)!r}"[:200]
        )
    return list(target)


def l1(parameters: Iterable[Any]) -> Any:
    """Σ |w|, the L1 penalty Ω(θ); its gradient is sign(w), 0 at 0.

    Cost O(n). Errors: ValueError for no parameters. Source: *Deep Learning*, section 7.1.2.

    >>> l1([1.0, -2.0])
    3.0
    """
    return functions.sum([functions.abs(w) for w in _some(parameters, "l1")])


def l2(parameters: Iterable[Any]) -> Any:
    """Σ w², the L2 penalty Ω(θ) without ½, one node; its gradient is 2w.

    Cost O(n). Errors: ValueError for no parameters. Source: *Deep Learning*, section 7.1.1.

    >>> l2([1.0, -2.0])
    5.0
    """
    weights = _some(parameters, "l2")
    return functions.dot(weights, weights)


def _some(parameters: Any, of: str) -> list[Any]:
    if isinstance(parameters, Carrier):
        raise TypeError(f"{of}: parameters is a list, not one Value: write [w]")
    if not isinstance(parameters, Iterable):
        kind = type(parameters).__name__
        raise TypeError(f"{of}: parameters is a list, such as model.parameters(), not {kind}")
    weights = list(parameters)
    if not weights:
        raise ValueError(f"{of}: there are no parameters: give at least one")
    return weights


def _pairs(outputs: Any, targets: Any, of: str) -> Iterable[tuple[Any, Any]]:
    """Output and target, number by number, from lists of one shape or from one of each."""
    outputs, targets = _as_lists(outputs, targets)
    if len(outputs) != len(targets):
        raise ValueError(
            f"{of}: {_count(outputs, 'output')} against {_count(targets, 'target')}; "
            "give as many of each"
        )
    if not len(outputs):
        raise ValueError(f"{of}: the batch is empty: give at least one output and its target")
    for i, (y, t) in enumerate(zip(outputs, targets, strict=True)):
        if is_list(y) or is_list(t):
            yield from _pairs(y, t, of)
            continue
        for name, thing in (("output", y), ("target", t)):
            if not isinstance(thing, Carrier) and not is_number(thing):
                raise TypeError(f"{of}: {name} {i} is {_kind(thing)}, give a number or a Value")
        if is_number(t) and t != t:  # noqa: PLR0124 (the definition of NaN)
            raise ValueError(f"{of}: target {i} is NaN, give a number")
        yield y, t


def _as_lists(outputs: Any, targets: Any) -> tuple[Any, Any]:
    """A bare number stands for a list of one."""
    return outputs if is_list(outputs) else [outputs], targets if is_list(targets) else [targets]


def _kind(thing: Any) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"


def _count(things: Any, what: str) -> str:
    return f"{len(things)} {what}{'s' * (len(things) != 1)}"
