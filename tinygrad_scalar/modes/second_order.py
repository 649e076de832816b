"""Second derivatives: `hvp`, and `hessian`, dense or from a few products where it is sparse."""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Any

from tinygrad_scalar.core.backward import gradients
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import topological_order
from tinygrad_scalar.core.tree import leaves
from tinygrad_scalar.core.undefined import Policy, check_policy, note_unless_finite
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.derived import Derived, check_function
from tinygrad_scalar.modes.directional import slope_by_reverse
from tinygrad_scalar.modes.forward import attempted, dual_arguments, tangent_of
from tinygrad_scalar.modes.grad import grad, gradient, rows_of_gradients
from tinygrad_scalar.modes.run import Argnums, Run, checked_argnums, one_number, positions
from tinygrad_scalar.modes.tagged import Tagged, in_new_pass


def hvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    undefined: Policy = "subgradient",
) -> Any:
    """The Hessian of f at `primals` times the vector `tangents`.

    Both with one entry per argument of f; the result in the structure of `grad(f)(*primals)`.
    The gradient of the derivative in the direction of the tangents: one pass of Duals over Values,
    and one backward. Cost: a small multiple of f's, whatever the number of inputs. Where something
    undefined may arise, f is run again and reverse mode decides, twice, by the policy `undefined`.
    Errors: as `jvp` and `grad`.
    Source: Pearlmutter 1994, *Fast exact multiplication by the Hessian*.

    >>> hvp(lambda x: x[0] ** 2 * x[1], ([3.0, 2.0],), ([1.0, 0.0],))
    [4.0, 6.0]
    """
    check_function(f, "hvp: f")
    check_policy(undefined)
    dual_arguments(primals, tangents, 0, "hvp")  # only for its errors, before f runs

    def slope(level: float, x: tuple[Any, ...]) -> Any:
        """The derivative of f in the direction of the tangents."""
        y = one_number(f(*dual_arguments(x, tangents, level, "hvp")), "hvp")
        return tangent_of(y, level)

    def by_passes() -> Any:
        found = grad(lambda *x: in_new_pass(lambda level: slope(level, x)), undefined=undefined)(
            *primals
        )
        for each in leaves(found):
            note_unless_finite(each)
        return found

    found = attempted(by_passes, undefined)
    if found is not None:
        return found

    def slope_again(*x: Any) -> Any:
        return slope_by_reverse(f, x, tangents, undefined)[1]

    return grad(slope_again, undefined=undefined)(*primals)


def hessian(
    f: Callable[..., Any],
    argnums: Argnums = None,
    sparse: bool | str = False,
    *,
    undefined: Policy = "subgradient",
) -> Callable[..., Any]:
    """The matrix of second derivatives of f as a function: the Jacobian of its gradient.

    Dense in nested structures, (n, n) for an array of n numbers, one backward through the graph of
    derivatives per input. With `sparse=True` as `(rows, cols, values)`, `sparse="scipy"` as a
    `coo_array`: the pattern is read off the graph, columns sharing no row are recovered together,
    so that a band costs as many products as it is wide; a full row, as of a number that all others
    meet, is one more, read from its column. Both triangles and structural zeros stay.
    Errors: ValueError for another `sparse`, TypeError for SciPy's of Values; else as `grad`.
    Source: Curtis, Powell and Reid 1974 (groups of columns); Powell and Toint 1979 (symmetry).

    >>> hessian(lambda x, y: x * x * y)(3.0, 2.0)
    ((4.0, 6.0), (6.0, 0.0))
    >>> hessian(lambda x: x[0] ** 2 + x[1] ** 3, sparse=True)([1.0, 2.0])
    ([0, 1], [0, 1], [2.0, 12.0])
    """
    check_function(f, "hessian: f")
    argnums = checked_argnums(argnums, "hessian")
    check_policy(undefined)
    if sparse not in (False, True, "scipy"):
        raise ValueError(f'hessian: sparse is False, True or "scipy", not {sparse!r}')
    if sparse:
        rule = sparse_array if sparse == "scipy" else sparse_hessian
        return Derived(rule, f, argnums, undefined)
    slopes = Derived(gradient, f, argnums, undefined, "hessian")
    return Derived(rows_of_gradients, slopes, argnums, "reverse", undefined, "hessian")


def sparse_hessian(
    f: Callable[..., Any],
    argnums: Argnums,
    undefined: Policy,
    /,
    *args: Any,
    **options: Any,
) -> tuple[list[int], list[int], list[Any]]:
    """The Hessian at a point as coordinates and values."""
    run = Run(f, args, options, argnums, "hessian")
    output = run.single_output("hessian")
    if isinstance(output, Tagged) or hasattr(output, "pulled"):  # no graph to read: all of it
        return _every_entry(hessian(f, argnums, undefined=undefined)(*args, **options))
    found = run.pull(output, 1.0, undefined, True)
    slopes: list[Any] = [x if isinstance(x, Carrier) else Value(x) for x in found]
    pattern = _both_triangles(_pattern(slopes, run.inputs))
    alone = _alone(pattern)
    own = [column if i in alone else column - alone for i, column in enumerate(pattern)]
    entries: list[tuple[int, int, Any]] = []
    for group in _groups(own, alone):
        chosen = [slopes[i] for i in group]
        product = gradients(
            chosen, [1.0] * len(group), run.inputs, graph=run.graph, undefined=undefined, cut=True
        )
        entries += [(row, column, product[row]) for column in group for row in own[column]]
        if group[0] in alone:  # its column is its row, which the others leave out
            (row,) = group
            entries += [(row, i, product[i]) for i in own[row] - alone]
    entries.sort(key=operator.itemgetter(0, 1))
    rows, columns, values = ([entry[k] for entry in entries] for k in range(3))
    return rows, columns, values


def _every_entry(dense: Any) -> tuple[list[int], list[int], list[Any]]:
    """A dense Hessian, whatever its structure, as coordinates."""
    values = leaves(dense)
    n = math.isqrt(len(values))
    return [k // n for k in range(n * n)], [k % n for k in range(n * n)], values


def sparse_array(
    f: Callable[..., Any],
    argnums: Argnums,
    undefined: Policy,
    /,
    *args: Any,
    **options: Any,
) -> Any:
    """The same as SciPy's `coo_array`, which holds plain numbers alone."""
    try:
        from scipy.sparse import coo_array
    except ModuleNotFoundError:
        raise ImportError('hessian: sparse="scipy" needs SciPy: pip install scipy') from None
    rows, columns, values = sparse_hessian(f, argnums, undefined, *args, **options)
    if any(isinstance(x, Carrier) for x in values):
        raise TypeError(
            'hessian: sparse="scipy" holds plain numbers alone: of Values, or inside another mode, '
            "take sparse=True"
        )
    chosen = positions(argnums, len(args), "hessian")
    n = sum(len(leaves(args[i])) for i in chosen)
    return coo_array((values, (rows, columns)), shape=(n, n))


def _pattern(slopes: Sequence[Any], inputs: Sequence[Any]) -> list[frozenset[int]]:
    """For each slope the inputs it depends on, other than through constant zeros."""
    index = {id(leaf): i for i, leaf in enumerate(inputs)}
    reached: dict[int, frozenset[int]] = {}
    order = topological_order(*slopes)
    uses = Counter(map(id, chain(slopes, *(node.parents for node in order))))
    for node in order:
        if id(node) in index:
            reached[id(node)] = frozenset((index[id(node)],))
        else:
            sources = {reached[id(parent)] for parent in node.parents}
            reached[id(node)] = frozenset().union(*sources)
        for parent in node.parents:  # a sum of many terms has parts of every size
            uses[id(parent)] -= 1
            if not uses[id(parent)]:
                del reached[id(parent)]
    return [reached[id(slope)] for slope in slopes]


def _both_triangles(pattern: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """The pattern and its mirror image: behind a constant 0 one slope may show what another lacks.

    A column that stands alone is read as a row too, which must not miss what others have there.
    """
    mirrored: list[set[int]] = [set() for _ in pattern]
    for column, rows in enumerate(pattern):
        for row in rows:
            mirrored[row].add(column)
    return [rows | image for rows, image in zip(pattern, mirrored, strict=True)]


def _alone(pattern: Sequence[frozenset[int]]) -> frozenset[int]:
    """The fullest columns, so many that they and the fullest row of the others are fewest."""
    left = {i: len(column) for i, column in enumerate(pattern)}
    best, chosen = max(left.values(), default=0), 0
    fullest = sorted(left, key=left.__getitem__, reverse=True)
    for k, column in enumerate(fullest[: best - 1], start=1):
        if k >= best:
            break
        del left[column]
        for row in pattern[column] & left.keys():
            left[row] -= 1
        if k + max(left.values(), default=0) < best:
            best, chosen = k + max(left.values(), default=0), k
    return frozenset(fullest[:chosen])


def _groups(pattern: Sequence[frozenset[int]], alone: Collection[int]) -> list[list[int]]:
    """Columns in groups whose members share no row, greedily; empty columns are left out."""
    taken: list[set[int]] = []
    groups: list[list[int]] = []
    for column, rows in enumerate(pattern):
        if not rows or column in alone:
            continue
        for group, used in zip(groups, taken, strict=True):
            if used.isdisjoint(rows):
                group.append(column)
                used.update(rows)
                break
        else:
            groups.append([column])
            taken.append(set(rows))
    return [*groups, *([column] for column in alone)]
