"""One point at full speed where arguments are NumPy's arrays: into one buffer and out of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine.jit import all_finite
from tinygrad_scalar.core.tree import array_in


class Block(NamedTuple):
    """The places of the numbers of an array: from one on, in this shape."""

    start: int
    shape: tuple[int, ...]

    def within(self, numbers: Any) -> Any:
        """What stands there, as a view."""
        return numbers[self.start : self.start + math.prod(self.shape)].reshape(self.shape)


class _Room(NamedTuple):
    """Where the numbers of one call stand."""

    arguments: list[Any]  # views of what comes in with their shapes, an index for a number
    numbers: Any
    outputs: Any
    results: Any  # the structure of the result, with views of these
    end: int  # where it is told whether all that is checked is finite
    flags: Any
    starts: Sequence[int]


class ArrayEntry:
    """Calls a kernel for one point with floats and arrays of doubles of given shapes.

    Anything else, a guard that fails or a result that is not finite gives None, and the call goes
    the general way.
    """

    def __init__(self, kernel: Any, arguments: Sequence[Any], tree: Any) -> None:
        import numpy as np

        self.kernel, self.arguments, self.tree = kernel, arguments, tree
        self.kind, self.double = np.ndarray, np.dtype(float)
        self.pool: list[_Room] = []

    @classmethod
    def of(cls, kernel: Any, arguments: Sequence[Any], tree: Any) -> ArrayEntry | None:
        """The entry for structures with None for a number; None unless an argument is an array."""
        inputs = count()
        try:
            given, result = [_placed(one, inputs) for one in arguments], _placed(tree, count())
        except TypeError:
            return None
        kinds = {one.__class__ for one in given}
        return cls(kernel, given, result) if {Block} <= kinds <= {int, Block} else None

    def call(self, *args: Any) -> Any:
        """The results in their structure, or None."""
        if len(args) != len(self.arguments):
            return None
        try:
            room = self.pool.pop()
        except IndexError:
            room = self._room()
        try:
            return _made(room.results, room.outputs) if self._run(args, room) else None
        finally:
            self.pool.append(room)

    def _room(self) -> _Room:
        import numpy as np

        view, flags, starts, _ = self.kernel.buffer()
        numbers, program = np.frombuffer(view), self.kernel.program
        end = program.inputs + len(program.outputs)
        outputs = numbers[program.inputs : end]
        places = [
            one if one.__class__ is int else (one.within(numbers), one.shape)
            for one in self.arguments
        ]
        return _Room(places, view, outputs, _within(self.tree, outputs), end, flags, starts)

    def _run(self, args: Sequence[Any], room: _Room) -> bool:
        numbers = room.numbers
        for arg, place in zip(args, room.arguments, strict=True):
            if place.__class__ is int:
                if arg.__class__ is not float:
                    return False
                numbers[place] = arg
            else:
                view, shape = place
                if arg.__class__ is not self.kind or arg.dtype is not self.double:
                    return False
                if arg.shape != shape:
                    return False
                view[...] = arg
        numbers[room.end], room.flags[0] = 0.0, 1
        self.kernel.run(*room.starts)
        return room.flags[0] and numbers[room.end] == 0.0 and all_finite(room.outputs)


def _placed(tree: Any, places: Iterator[int]) -> Any:
    """The places of the numbers of a structure: ranges for flat lists, blocks for arrays.

    TypeError for a structure of other kinds.
    """
    whole = array_in(tree)
    if whole is not None:
        start, *_ = [*islice(places, whole.size)] or [0]
        return Block(start, whole.shape)
    if tree is None:
        return next(places)
    if tree.__class__ not in (list, tuple):
        raise TypeError
    found = [_placed(branch, places) for branch in tree]
    flat = tree.__class__ is list and tree and all(branch is None for branch in tree)
    return range(found[0], found[-1] + 1) if flat else tree.__class__(found)


def _within(tree: Any, outputs: Any) -> Any:
    """The structure with views in place of its arrays."""
    if tree.__class__ is Block:
        return tree.within(outputs)
    if tree.__class__ in (int, range):
        return tree
    return tree.__class__([_within(branch, outputs) for branch in tree])


def _made(tree: Any, outputs: Any) -> Any:
    kind = tree.__class__
    if kind is int:
        return outputs.item(tree)
    if kind is range:
        return outputs[tree.start : tree.stop].tolist()
    if kind in (list, tuple):
        return kind([_made(branch, outputs) for branch in tree])
    return tree.copy()
