"""What modules draw from: generators of Python and of NumPy, whose states files can carry."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from tinygrad_scalar.nn.module import Module, standing_in
from tinygrad_scalar.numbers.precision import loaded


def sources_of_randomness(model: Module) -> list[Any]:
    """The generators that stand in modules of `model`, each once, in the order of the modules."""
    numpy = loaded("numpy.random")  # a generator of NumPy's comes after its module
    kinds = (random.Random, *((numpy.Generator, numpy.RandomState) if numpy else ()))
    return list({id(x): x for x in standing_in(model) if isinstance(x, kinds)}.values())


def state_of(source: Any) -> Any:
    """The state of a generator, or of Python's module `random`, as JSON takes it."""
    if _is_pythons(source):
        version, numbers, gauss = source.getstate()
        return [version, list(numbers), gauss]
    return _plain(_state(source))


def set_state(source: Any, state: Any) -> None:
    """Put a generator where `state_of` found it; what is no state of its kind raises."""
    if _is_pythons(source):
        source.setstate(_unpacked(state))
    elif _pattern(state) != _pattern(state_of(source)):
        raise ValueError("the state of the random numbers is of another generator")
    elif hasattr(source, "bit_generator"):
        source.bit_generator.state = state
    else:
        source.set_state(state)


def seed(source: Any, text: str) -> None:
    """Put a generator where `text` says."""
    if _is_pythons(source):
        source.seed(text)
        return
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    if hasattr(source, "bit_generator"):
        source.bit_generator.state = type(source.bit_generator)(number).state
    else:
        source.seed(number)


def _is_pythons(source: Any) -> bool:
    return hasattr(source, "getstate")


def _state(source: Any) -> Any:
    """What NumPy calls the state, of its generators of both generations."""
    if hasattr(source, "bit_generator"):
        return source.bit_generator.state
    return source.get_state(legacy=False)


def _plain(state: Any) -> Any:
    """Dicts of lists and numbers of Python's."""
    if isinstance(state, dict):
        return {name: _plain(part) for name, part in state.items()}
    return state.tolist() if hasattr(state, "tolist") else state


def _pattern(state: Any) -> Any:
    """Names, kinds and lengths in a state; that of the kind of generator itself."""
    if isinstance(state, dict):
        return {name: _pattern(part) for name, part in state.items()}
    if isinstance(state, list):
        return [type(part) for part in state]
    return state if isinstance(state, str) else type(state)


def _unpacked(state: Any) -> tuple[Any, ...]:
    """A state of Python's generators."""
    version, numbers, gauss = state
    if gauss is not None and not isinstance(gauss, float):
        raise ValueError(f"{gauss!r} is no random number")
    if not all(type(x) is int and 0 <= x < 2**32 for x in numbers):
        raise ValueError("the state of the random numbers is not made of 32-bit integers")
    return version, tuple(numbers), gauss
