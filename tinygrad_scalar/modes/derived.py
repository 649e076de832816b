"""What `grad(f)` and its kin return: a `Derived`, a function that can be pickled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import MethodType
from typing import Any

from tinygrad_scalar.core.named import found_by_name


class Derived:
    """A rule of this library applied to a function: calls `rule(f, *settings, *args, **options)`.

    It has f's name and signature, is a method in a class body as f would be, and is pickled as the
    rule's name together with f, by whatever means f is pickled.
    """

    def __init__(self, rule: Callable[..., Any], f: Callable[..., Any], *settings: Any) -> None:
        self._rule, self._f, self._settings = rule, f, settings
        functools.update_wrapper(self, f, updated=())

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The rule at a point."""
        return self._rule(self._f, *self._settings, *args, **options)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """In a class body, a method."""
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<{self._rule.__name__} of {getattr(self._f, '__name__', repr(self._f))}>"

    def __reduce__(self) -> Any:
        if found_by_name(self):
            return self.__qualname__  # type: ignore[attr-defined]
        return type(self), (self._rule, self._f, *self._settings)


def check_function(f: Any, what: str) -> None:
    """TypeError unless `f` can be called."""
    if not callable(f):
        raise TypeError(f"{what} must be callable, not {type(f).__name__}")
