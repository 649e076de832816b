"""`values`, `points_for` and `networks`: what a test of your own function is fed with."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.strategies.requirement import st
from tinygrad_scalar.testing.errors import GradientError, OutsideDomainError, UncheckableError
from tinygrad_scalar.testing.examination import examine, undefined_gradients_ignored
from tinygrad_scalar.testing.recording import Flat

Point = tuple[float, ...]
_TRIES = 5000
_COMMON = 0.5  # of the tries: then points are drawn directly, which shrinks best
_WANTED = 32
_NEAR_ZERO = 1e-6  # closer to 0, a product underflows before a rule is wrong


def values(min_value: float = -100.0, max_value: float = 100.0) -> Any:
    """Leaves with finite data between the bounds; also what `st.from_type(Value)` gives.

    >>> from hypothesis import find
    >>> find(values(), lambda v: v > 1)
    Value(2.0, grad=0.0)
    """
    numbers = st.floats(min_value, max_value, allow_nan=False, allow_infinity=False)
    return numbers.map(Value)


def points_for(f: Callable[..., Any], n: int | None = None) -> Any:
    """Points, as tuples of floats, where f has a value and no kink is within 1e-6.

    `n` is the number of arguments; if None, it is read from the signature. The domain is found by
    trying: what cannot be drawn directly is drawn around points that a search found.
    Errors: TypeError where the signature does not tell n, ValueError for a wrong one; when drawing,
    OutsideDomainError if no point is found, UncheckableError if f returns no number, is random, or
    keeps state.

    >>> from hypothesis import find
    >>> from tinygrad_scalar import log
    >>> (x,) = find(points_for(lambda x: log(x - 2.0)), lambda point: point[0] > 5.0)
    >>> x > 5.0
    True
    """
    if not callable(f):
        raise TypeError(f"points_for: f must be callable, not {type(f).__name__}")
    if n is not None and (n.__class__ is not int or n < 1):
        raise ValueError(f"points_for: n is a whole number from 1 up, not {n!r}")
    return _points(f, n or _arity(f))


@st.composite
def _points(draw: Any, f: Callable[..., Any], n: int) -> Point:
    known = _known_points(f, n)
    if known.common:
        return draw(st.tuples(*[_numbers()] * n).filter(partial(_suits, f)))  # type: ignore[no-any-return]
    point = draw(st.sampled_from(known.points))
    moved = tuple(x * (1 + draw(st.integers(-99, 99)) / 1000) for x in point)
    return moved if _suits(f, moved) else point


def _numbers() -> Any:
    ranges = ((-1.0, 1.0), (0.0, 10.0), (-100.0, 100.0), (-1e4, 1e4))
    floats = (st.floats(low, high, allow_subnormal=False) for low, high in ranges)
    return st.one_of(st.integers(-10, 10).map(float), *floats).map(
        lambda x: x if abs(x) > _NEAR_ZERO else 0.0
    )


def _suits(f: Callable[..., Any], point: Point) -> bool:
    """Whether f has a value and a derivative there; what is no function at all is raised."""
    try:
        with undefined_gradients_ignored():
            return not examine(Flat(f, point)).reasons
    except OutsideDomainError:
        return False
    except UncheckableError:
        raise
    except GradientError:
        return True  # the check is to find that, not the strategy


class Known(NamedTuple):
    """Some points of a domain, simple ones first, and whether such points are easily hit."""

    points: list[Point]
    common: bool


@lru_cache
def _known_points(f: Callable[..., Any], n: int) -> Known:
    """Points found by trying, the same in every run."""
    chosen, tries = random.Random(0), 0
    found: list[Point] = []
    while len(found) < _WANTED and tries < _TRIES:
        digits, size = tries % 4, chosen.choice((1.0, 3.0, 10.0, 100.0))
        low = chosen.choice((-size, 0.0))
        point = tuple(round(chosen.uniform(low, size), digits) for _ in range(n))
        if _suits(f, point):
            found.append(point)
        tries += 1
    if not found:
        raise OutsideDomainError(
            f"points_for: {getattr(f, '__name__', f)!r} has no derivative at any of {_TRIES} "
            "points tried; draw from its domain yourself, such as st.floats(2.0, 3.0)"
        )
    simple = sorted(found, key=lambda point: sum(map(len, map(str, point))))
    return Known(simple, len(found) > _COMMON * tries)


def _arity(f: Callable[..., Any]) -> int:
    if isinstance(f, Primitive) and f.arity is not None:
        return f.arity
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if not required or any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise TypeError(
            "points_for: the signature of f does not tell how many arguments it takes; give n="
        )
    return len(required)


@st.composite
def networks(draw: Any) -> tuple[Any, list[float]]:
    """A small `nn.MLP` with an example input: one to three inputs, up to two hidden layers.

    >>> from hypothesis import find
    >>> model, x = find(networks(), lambda drawn: True)
    >>> len(x)
    1
    """
    from tinygrad_scalar import nn

    inputs = draw(st.integers(1, 3))
    layers = [*draw(st.lists(st.integers(1, 4), max_size=2)), draw(st.integers(1, 2))]
    activation = draw(st.sampled_from(["relu", "tanh", "sigmoid"]))
    seed = draw(st.integers(0, 2**16))
    model = nn.MLP(inputs, layers, activation=activation, seed=seed)
    numbers = st.integers(-2000, 2000).map(lambda n: n / 1000)
    return model, draw(st.lists(numbers, min_size=inputs, max_size=inputs))
