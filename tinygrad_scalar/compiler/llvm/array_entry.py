"""One point at full speed where arguments are NumPy's arrays: into one buffer and out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.machine import cpython
from tinygrad_scalar.compiler.machine.entry import Entry, Plan
from tinygrad_scalar.core.tree import array_in


class Block(NamedTuple):
    """The places of the numbers of an array: from one on, in this shape."""

    start: int
    shape: tuple[int, ...]

    def within(self, numbers: Any) -> Any:
        """What stands there, as a view."""
        return numbers[self.start : self.start + math.prod(self.shape)].reshape(self.shape)


# Written out for the arguments and results of a function: code that goes through lists of them
# takes 1.5 µs longer, as long as thousands of operations in machine code.
_CALL = """
def call(*args):
    if len(args) != {count}:
        return None
    {given}, = args
    if {wrong}:
        return None
    try:
        room = pool.pop()
    except IndexError:
        room = made()
    try:
        run, numbers, outputs, {places} = room
        {copies}
        return None if run() is None else {result}
    finally:
        pool.append(room)
"""


class ArrayEntry:
    """Calls a kernel for one point with floats and arrays of doubles of given shapes.

    `call` gives the results in their structure. Anything else, a guard that fails or a result that
    is not finite gives None, and the call goes the general way.
    """

    def __init__(self, kernel: Any, arguments: Sequence[Any], tree: Any, closure: Any) -> None:
        import numpy as np

        blocks: list[Block] = []
        given = [f"x{i}" for i in range(len(arguments))]
        pairs, result = [*zip(given, arguments, strict=True)], _result(tree, blocks)
        places = [f"{x}_place" for x, one in pairs if one.__class__ is Block]
        text = _CALL.format(
            count=len(arguments),
            given=", ".join(given),
            wrong=" or ".join([_wrong(x, place) for x, place in pairs]),
            copies="; ".join([_copied(x, place) for x, place in pairs]),
            places=", ".join([*places, *(f"y{k}" for k in range(len(blocks)))]),
            result=result,
        )
        made = partial(_room, kernel, closure, arguments, blocks)
        names: dict[str, Any] = {
            "ndarray": np.ndarray, "double": np.dtype(float), "pool": [made()], "made": made,
        }  # fmt: skip
        exec(compile(text, "<entry of arrays>", "exec"), names)  # noqa: S102 (the text above)
        self.call: Callable[..., Any] = names.pop("call")  # which would hold itself there

    @classmethod
    def of(
        cls, kernel: Any, arguments: Sequence[Any], tree: Any, closure: Any
    ) -> ArrayEntry | None:
        """The entry for structures with None for a number; None unless an argument is an array."""
        if not cpython.available():
            return None
        inputs = count()
        try:
            given, result = [_placed(one, inputs) for one in arguments], _placed(tree, count())
        except TypeError:
            return None
        kinds = {one.__class__ for one in given}
        return cls(kernel, given, result, closure) if {Block} <= kinds <= {int, Block} else None


def _wrong(x: str, place: Any) -> str:
    if place.__class__ is int:
        return f"{x}.__class__ is not float"
    wrong = f"{x}.__class__ is not ndarray or {x}.dtype is not double"
    return f"{wrong} or {x}.shape != {place.shape}"


def _copied(x: str, place: Any) -> str:
    return f"numbers[{place}] = {x}" if place.__class__ is int else f"{x}_place[...] = {x}"


def _result(tree: Any, blocks: list[Block]) -> str:
    """The expression of a result; `blocks` are what it copies, one after the other."""
    kind = tree.__class__
    if kind is int:
        return f"outputs.item({tree})"
    if kind in (range, Block):
        blocks.append(tree if kind is Block else Block(tree.start, (len(tree),)))
        return f"y{len(blocks) - 1}.{'copy' if kind is Block else 'tolist'}()"
    inside = "".join([f"{_result(branch, blocks)}, " for branch in tree])
    return f"[{inside}]" if kind is list else f"({inside})"


def _room(
    kernel: Any, closure: Any, arguments: Sequence[Any], blocks: Sequence[Block]
) -> tuple[Any, ...]:
    """What runs the kernel, where the numbers of a call stand; it gives None where it cannot."""
    import numpy as np

    nothing, number = Plan.of([], ()), Plan.of([None], ())
    assert nothing is not None is not number  # noqa: S101 (of other kinds there is nothing)
    entry = Entry(kernel, 0, nothing, number, closure)  # the number is not looked at
    numbers, program = np.frombuffer(entry.room[0]), kernel.program
    outputs = numbers[program.inputs + program.parameters :]
    given = [one.within(numbers) for one in arguments if one.__class__ is Block]
    return entry.call, numbers, outputs, *given, *(block.within(outputs) for block in blocks)


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
