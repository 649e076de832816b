"""What is written together: Ctrl-C comes before all of it or after all of it.

Python looks for signals between its own instructions; what happens in one call of C is not
interrupted, as long as it runs no Python code.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

_GRAD = operator.attrgetter("grad")


def assign(things: Iterable[Any], name: str, values: Iterable[Any]) -> None:
    """Set an attribute of all things, or of none: slots, and what has no setter of Python's.

    Both are lists, or other iterables that run no code of Python.
    """
    deque(map(setattr, things, repeat(name), values), maxlen=0)


def with_added(nodes: Sequence[Any], numbers: Sequence[Any]) -> Iterator[float] | None:
    """The `.grad` of nodes with numbers added, for `assign`; None unless all are floats or 0.

    It is read as it is used up: in the call of C that writes it, so that nothing is lost that other
    threads, or a handler of signals, add meanwhile. A node may stand there several times.
    """
    for node, number in zip(nodes, numbers, strict=True):
        before = node.grad
        if type(number) is not float or (type(before) is not float and not is_nought(before)):
            return None
    return map(operator.add, map(_GRAD, nodes), numbers)


def is_nought(x: Any) -> bool:
    """Whether it is the whole number that programs set gradients to."""
    return type(x) is int and x == 0


def put_back(things: Sequence[Any], name: str) -> Iterator[None]:
    """What gives all things the attribute that they have now, as it is used up.

    To be used up by `deque` in a `finally`: a function of Python could be interrupted there before
    its first line, as `__exit__` of a `with` block can.
    """
    return map(setattr, things, repeat(name), [getattr(thing, name) for thing in things])


def at_once(calls: Sequence[Callable[[], Any]]) -> None:
    """Make all calls, or none: partials of functions in C, such as `setattr`."""
    deque(map(operator.call, calls), maxlen=0)
