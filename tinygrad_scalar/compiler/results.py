"""Results in the shapes that the face promises, and the arguments of jvp and hvp put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_scalar.compiler.arguments import Call
from tinygrad_scalar.compiler.arrays.namespaces import converted, stacked
from tinygrad_scalar.core.tree import like, rebuild
from tinygrad_scalar.numbers.precision import quietly


def several(args: Any, what: str) -> tuple[Any, ...]:
    """Primals or tangents, one entry per argument."""
    if not isinstance(args, (list, tuple)):
        raise TypeError(f"{what} is a tuple with one entry per argument, not {type(args).__name__}")
    return tuple(args)


def check_alike(call: Call, along: Call, chosen: Sequence[int], what: str) -> None:
    """ValueError unless tangents have the structure of the arguments chosen."""
    expected = tuple(call.arguments[i].key for i in chosen)
    if along.key != expected:
        raise ValueError(f"{what} need the structure of the arguments they belong to")


def joined(call: Call, along: Call) -> Call:
    """The columns of primals and tangents in one call."""
    sizes = {size for size in (call.size, along.size) if size is not None}
    if len(sizes) > 1:
        raise ValueError(f"the batches have {call.size} and {along.size} points; they must agree")
    kinds = [one.xp for one in (call, along) if one.xp is not None or one.size is not None]
    if len(set(kinds)) > 1:
        first, second = (xp.__name__ if xp else "numpy" for xp in kinds)
        raise TypeError(f"primals of {first} and tangents of {second}: give arrays of one library")
    columns, size = [*call.columns, *along.columns], sizes.pop() if sizes else None
    return call._replace(columns=columns, size=size, xp=kinds[0] if kinds else None)


def nothing(call: Call, dtype: str, count: int) -> Any:
    """So many outputs for no points: arrays of shape (0,)."""
    if call.xp is None:
        import numpy as np

        return np.empty((count, 0), dtype)
    return [converted(call.xp, call.columns, dtype)[1]] * count


def matrix(outputs: Any, width: int, size: int | None, xp: Any = None) -> Any:
    """Rows of numbers, or an array with the batch first."""
    if xp is not None:
        return stacked(xp, outputs, len(outputs) // max(width, 1), width)
    if size is None:
        numbers = list(outputs)
        return [numbers[k : k + width] for k in range(0, len(numbers), width)]
    import numpy as np

    count = len(outputs)
    return np.ascontiguousarray(outputs.T).reshape(size, count // max(width, 1), width)


def returned(tree: Any, outputs: Sequence[Any], call: Call) -> Any:
    """What the function returned, in its structure; arrays of a batch with the batch first."""
    if call.size is None:
        return like(tree, list(outputs))

    def make(columns: list[Any], shape: tuple[int, ...], **_: Any) -> Any:
        if call.xp is not None:
            return stacked(call.xp, columns, *shape)
        import numpy as np

        return np.array(columns).T.reshape(call.size, *shape)

    return rebuild(tree, iter(list(outputs)), make)


def singles(numbers: Sequence[float]) -> list[Any]:
    """Numbers as NumPy's float32."""
    import numpy as np

    return list(quietly(np.array(numbers, float).astype, np.float32))
