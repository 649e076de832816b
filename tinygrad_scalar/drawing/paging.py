"""How large a picture will be, before it is laid out, and the rows of one too wide for a page.

Columns are ranks: a Value stands one to the right of the last of its operands, a leaf one to the
left of the first operation that it goes into.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

PAGE = 1600.0, 1000.0  # points
SMALL = 40  # Values that are drawn one by one, with operations as circles, on any page
_COLUMN, _ROW, _FRAME = 140.0, 50.0, 30.0  # points that a thing takes, and the frame of a scope


def fits_page(
    shown: Sequence[Any],
    home: Mapping[int, Any],
    page: tuple[float, float] | None,
    scopes: Mapping[int, Any] | None = None,
) -> bool:
    """Whether a picture of these things will probably fit; a small one always does."""
    if page is None or len(shown) <= SMALL:
        return True
    rank = ranks(shown, home)
    columns = Counter(rank.values())
    frames: dict[int, set[Any]] = defaultdict(set)
    for node in shown:
        scope = (scopes or {}).get(id(node), ())
        place = home.get(id(node))
        scope = place[:-1] if isinstance(place, tuple) else scope
        if scope:
            frames[rank[id(node)]].add(scope)
    width = _COLUMN * len(columns)
    height = max(_ROW * n + _FRAME * len(frames[r]) for r, n in columns.items())
    return width <= page[0] and height <= page[1]


def columns_of(width: float, compact: bool) -> int:
    """How many columns fit; a column with its operations as circles takes twice as much."""
    return max(2, int(width / (_COLUMN if compact else 2 * _COLUMN)))


def ranks(shown: Sequence[Any], home: Mapping[int, Any]) -> dict[int, int]:
    """The column of each thing, by the id of the node that stands for it. O(nodes + edges).

    Edges that come from a later thing, in a loop or between closed scopes, are left out.
    """
    stands = {home.get(id(node), id(node)): id(node) for node in shown}
    above: dict[int, list[int]] = defaultdict(list)
    rank: dict[int, int] = {}
    for node in shown:
        places = (home.get(id(p), id(p)) for p in node.parents)
        found = [stands[place] for place in places if place in stands]
        above[id(node)] = [key for key in found if key in rank]
        rank[id(node)] = 1 + max((rank[key] for key in above[id(node)]), default=-1)
    first: dict[int, int] = {}
    for node in shown:
        for key in above[id(node)]:
            first[key] = min(first.get(key, rank[id(node)] - 1), rank[id(node)] - 1)
    return {key: first.get(key, r) if not above[key] else r for key, r in rank.items()}
