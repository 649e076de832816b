"""One point at full speed where arguments are NumPy's arrays: into one buffer and out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine.entry import Block


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

        view, flags, starts, _ = self.kernel._buffer()
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
        outputs = room.outputs
        return room.flags[0] and numbers[room.end] == 0.0 and math.isfinite(outputs.dot(outputs))


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


def _makes(tree: Any) -> bool:
    kind = tree.__class__
    return kind in (int, range, Block) or (kind in (list, tuple) and all(map(_makes, tree)))


def possible(arguments: Sequence[Any], tree: Any) -> bool:
    """Whether arguments are arrays, or numbers beside them, and the result is made of these."""
    return {Block} <= {one.__class__ for one in arguments} <= {int, Block} and _makes(tree)
