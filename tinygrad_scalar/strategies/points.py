"""`values`, `points_for` and `networks`: what a test of your own function is fed with."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.tree import leaves
from tinygrad_scalar.core.tree import like as filled_like
from tinygrad_scalar.core.undefined import told
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.numbers.precision import is_number, is_whole, quietly
from tinygrad_scalar.strategies.requirement import st
from tinygrad_scalar.testing.errors import GradientError, OutsideDomainError, UncheckableError
from tinygrad_scalar.testing.examination import examine
from tinygrad_scalar.testing.recording import Flat, SeveralOutputs, finite

Point = tuple[Any, ...]
_FAR = 1e4  # how far points go where no bound is given
_TRIES = 5000
_COMMON = 0.5  # of the tries: then points are drawn directly, which shrinks best
_WANTED = 32
_DIGITS = 3, 6  # after which a number is moved by up to 99: the domain may be narrow
_NEAR_ZERO = 1e-6  # closer to 0, a product underflows before a rule is wrong


def values(min_value: float = -100.0, max_value: float = 100.0) -> Any:
    """Leaves with finite data between the bounds; also what `st.from_type(Value)` gives.

    >>> from hypothesis import find
    >>> find(values(), lambda v: v > 1)
    Value(2.0, grad=0.0)
    """
    numbers = st.floats(min_value, max_value, allow_nan=False, allow_infinity=False)
    return numbers.map(Value)


def points_for(
    f: Callable[..., Any],
    n: int | None = None,
    *,
    like: Any = None,
    min_value: float | None = None,
    max_value: float | None = None,
) -> Any:
    """Points, as tuples of arguments, where f has a value and no kink is within 1e-6.

    `n` is the number of arguments, floats all; if None, it is read from the signature. `like` is
    an example point instead, in the structure of the arguments: a list, dict, array or number for
    the one argument of f, a tuple of arguments for several. Every number lies between `min_value`
    and `max_value`, which are included. The domain is found by trying: what cannot be drawn
    directly is drawn around points that a search found.
    Errors: TypeError where the signature does not tell n, or for `like` with n or without numbers,
    ValueError for a wrong n and bounds in the wrong order; when drawing, OutsideDomainError if no
    point is found, UncheckableError if f returns no number, is random, or keeps state.

    >>> from hypothesis import find
    >>> from tinygrad_scalar import log
    >>> (x,) = find(points_for(lambda x: log(x - 2.0)), lambda point: point[0] > 5.0)
    >>> x > 5.0
    True
    >>> def f(v):
    ...     return v[0] * v[1]
    >>> find(points_for(f, like=[0.0, 0.0], min_value=1.0, max_value=2.0), lambda point: True)
    ([1.0, 1.0],)
    """
    if not callable(f):
        raise TypeError(f"points_for: f must be callable, not {type(f).__name__}")
    if n is not None and (not is_whole(n) or n < 1):
        raise ValueError(f"points_for: n is a whole number from 1 up, not {n!r}")
    low, high = _bound("min_value", min_value, -_FAR), _bound("max_value", max_value, _FAR)
    if not low <= high:
        raise ValueError(f"points_for: min_value={min_value!r} is above max_value={max_value!r}")
    if like is None:
        return _points(_Domain(f, (0.0,) * (n or _arity(f)), low, high))
    if n is not None:
        raise TypeError("points_for: give n= or like=, which tells the number of arguments itself")
    example = _arguments_of(f, like)
    numbers = leaves(example)
    if not numbers or not all(map(is_number, numbers)):
        raise TypeError(f"points_for: like is a point of numbers, not {like!r}")
    return _points(_Domain(f, example, low, high))


def _bound(name: str, given: Any, default: float) -> float:
    if given is None:
        return default
    if not is_number(given) or not finite(given):
        raise TypeError(f"points_for: {name} is a finite number, not {given!r}")
    return float(given)


def _arguments_of(f: Callable[..., Any], like: Any) -> tuple[Any, ...]:
    """The example as a tuple of arguments: a tuple is one argument only where f takes just one."""
    if not isinstance(like, tuple):
        return (like,)
    try:
        single = _arity(f) == 1
    except TypeError:
        single = False
    return (like,) if single and len(like) != 1 else like


@dataclass(frozen=True, eq=False)
class _Domain:
    """A function and the box in which its points are: an example point, and bounds."""

    f: Callable[..., Any]
    example: tuple[Any, ...]
    low: float
    high: float

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        return self.f, repr(self.example), self.low, self.high

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Domain) and self._key == other._key

    @cached_property
    def size(self) -> int:
        """How many numbers make a point."""
        return len(leaves(self.example))

    def arguments(self, numbers: Sequence[float]) -> tuple[Any, ...]:
        """The numbers in the structure of the arguments, arrays of the example's precision."""
        return filled_like(self.example, numbers)  # type: ignore[no-any-return]

    def suits(self, numbers: Sequence[float]) -> bool:
        """Whether f has a value and a derivative there; what is no function at all is raised.

        Of plain code over floats, which refuses Values in its own way, the value alone is known.
        """
        __tracebackhide__ = True  # pytest leaves this frame out, and those below that say so
        try:
            with told():
                return _smooth(self.f, self.arguments(numbers))
        except OutsideDomainError:
            return False
        except UncheckableError:
            raise
        except GradientError:
            return True  # the check is to find that, not the strategy
        except Exception:  # noqa: BLE001, S110 (where it is no matter of Values, it comes again)
            pass
        return self._has_value(numbers)

    def _has_value(self, numbers: Sequence[float]) -> bool:
        __tracebackhide__ = True
        try:
            y = quietly(self.f, *self.arguments(numbers))
        except (ArithmeticError, ValueError):
            return False
        return bool(is_number(y) and finite(y))

    def held(self, x: float) -> float:
        """The nearest number within the bounds."""
        return min(max(x, self.low), self.high)


def _smooth(f: Callable[..., Any], point: tuple[Any, ...]) -> bool:
    try:
        return not examine(Flat(f, point)).reasons
    except SeveralOutputs as several:
        paths = several.paths
    return not any(examine(Flat(f, point, path)).reasons for path in paths)


@st.composite
def _points(draw: Any, domain: _Domain) -> Point:
    __tracebackhide__ = True
    known = _known_points(domain)
    if known.common:
        numbers = st.tuples(*[_numbers(domain)] * domain.size)
        return domain.arguments(draw(numbers.filter(domain.suits)))
    point = draw(st.sampled_from(known.points))
    parts = 10.0 ** draw(st.integers(*_DIGITS))
    moved = tuple(domain.held(x + (x or 1.0) * draw(st.integers(-99, 99)) / parts) for x in point)
    return domain.arguments(moved if domain.suits(moved) else point)


def _numbers(domain: _Domain) -> Any:
    """Numbers within the bounds: small whole ones first, which is what points shrink to."""
    low, high = domain.low, domain.high
    ranges = [(-1.0, 1.0), (0.0, 10.0), (-100.0, 100.0), (low, high)]
    cut = {(max(a, low), min(b, high)): None for a, b in ranges if max(a, low) <= min(b, high)}
    whole = max(math.ceil(low), -10), min(math.floor(high), 10)
    integers = [st.integers(*whole).map(float)] if whole[0] <= whole[1] else []
    floats = (st.floats(a, b, allow_nan=False, allow_infinity=False) for a, b in cut)
    near = _NEAR_ZERO * min(1.0, max(abs(low), abs(high)))  # bounds may be that near themselves
    return st.one_of(*integers, *floats).map(lambda x: x if abs(x) > near else domain.held(0.0))


class Known(NamedTuple):
    """Some points of a domain, simple ones first, and whether such points are easily hit."""

    points: list[tuple[float, ...]]
    common: bool


@lru_cache
def _known_points(domain: _Domain) -> Known:
    """Points found by trying, the same in every run."""
    __tracebackhide__ = True
    chosen, tries = random.Random(0), 0
    found: list[tuple[float, ...]] = []
    while len(found) < _WANTED and tries < _TRIES:
        digits, size = tries % 4, chosen.choice((1.0, 3.0, 10.0, 100.0))
        low, high = domain.held(chosen.choice((-size, 0.0))), domain.held(size)
        nothing_near = not found and tries > _TRIES // 2
        if low == high or nothing_near:  # the bounds, or the domain, are far from 0
            low, high = domain.low, domain.high
        point = tuple(
            domain.held(round(chosen.uniform(low, high), digits)) for _ in range(domain.size)
        )
        if domain.suits(point):
            found.append(point)
        tries += 1
    if not found:
        raise OutsideDomainError(
            f"points_for: {getattr(domain.f, '__name__', domain.f)!r} has no derivative at any of "
            f"{_TRIES} points tried; draw from its domain yourself, such as st.floats(2.0, 3.0)"
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
