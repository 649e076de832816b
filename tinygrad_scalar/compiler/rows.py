"""A batch among Values, which compiled code does not take: the function itself, point by point."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygrad_scalar.compiler.arguments import agreed, is_real
from tinygrad_scalar.compiler.arrays.namespaces import stacked
from tinygrad_scalar.compiler.uncompiled import check_structure
from tinygrad_scalar.core.tree import array_in, array_of, as_lists, leaves, rebuild


def holds_batch(args: Sequence[Any]) -> bool:
    """Whether one is an array of rows, or of plain numbers: then all arrays are a batch.

    Arrays of Values alone, of one axis, are a vector, as that of `grad(f)(array)`.
    """
    arrays = [array for array in map(array_in, args) if array is not None and len(array)]
    return any(array.ndim == 2 or (array.ndim == 1 and array.dtype != object) for array in arrays)


def by_points(
    at: Callable[..., Any],
    function: Callable[..., Any],
    args: Sequence[Any],
    what: str,
    *,
    lists: bool = False,
) -> Any:
    """What `at(function, *args)` gives for one point after the other, the batch as first axis.

    The function gets lists for rows, as in compiled code; `at` gets arrays, so that a gradient has
    rows, or `lists`. Cost: that of the function at every point.
    """

    def of_lists(*given: Any, **options: Any) -> Any:
        return function(*map(as_lists, given), **options)

    size, parts = _parted(args, what)
    rows = [[x[i] for x in parts] for i in range(size)]
    found = [at(of_lists, *(as_lists(row) if lists else row)) for row in rows]
    for other in found:
        check_structure(found[0], other)
    columns = [array_of([*column], (size,)) for column in zip(*map(leaves, found), strict=True)]

    def make(columns: list[Any], shape: tuple[int, ...], **_: Any) -> Any:
        return stacked(None, columns, *shape)

    return rebuild(found[0], iter(columns), make)


def _parted(args: Sequence[Any], what: str) -> tuple[int, list[list[Any]]]:
    """How many points there are, and for every argument what it is at each of them."""
    size: int | None = None
    arrays = [array_in(x) for x in args]
    for i, array in enumerate(arrays):
        if array is not None:
            size = agreed(size, len(array), f"{what}: argument {i}")
    assert size is not None  # noqa: S101 (there is an array: `holds_batch`)
    parts = [
        [x] * size if array is None else _points(array)
        for x, array in zip(args, arrays, strict=True)
    ]
    return size, parts


def _points(array: Any) -> list[Any]:
    """The numbers of an array, or its rows."""
    if array.dtype.kind in "biuf" and is_real(array):
        array = array.astype(float)
    return array.tolist() if array.ndim == 1 else [*array]
