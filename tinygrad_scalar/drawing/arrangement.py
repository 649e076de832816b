"""How what is drawn is laid on a page: in which form, in one line or wrapped into several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.drawing.choice import Choice
from tinygrad_scalar.drawing.paging import SHRUNK, SMALL, Page, Place, between_lines, ranks

_KNOTS = 1.5  # edges between lines, for each line, that circles bear


class Arrangement(NamedTuple):
    """The form and the lines of a picture."""

    compact: bool  # operations stand in their Value's box
    ranks: Mapping[Place, int]  # the columns
    wrapped: bool  # into lines
    columns: int  # of a line
    fits: bool  # the page, a little smaller if need be


def arranged(
    order: Sequence[Any], choice: Choice, page: Page, depth: int | None, bounded: bool
) -> Arrangement:
    """Small pictures have their operations as circles where these fit, in one line or in several.

    Others are compact, unless the nodes are not `bounded`. Scopes that were asked for are framed,
    which lines cannot be.
    """
    framed = bool(depth) and has_frames(choice)
    small = len(order) <= SMALL or (depth is not None and choice.shown <= SMALL)
    circles = _in_form(choice, page, compact=False, framed=framed)
    if not bounded or (small and circles.fits and not _in_knots(choice, circles)):
        return circles
    return _in_form(choice, page, compact=True, framed=framed)


def has_frames(choice: Choice) -> bool:
    """Whether something that is drawn stands in a scope that is open."""
    return any(id(x) in choice.scopes and id(x) not in choice.home for x in choice.nodes)


def _in_form(choice: Choice, page: Page, compact: bool, framed: bool) -> Arrangement:
    nodes, home = choice.nodes, choice.home
    rank = ranks(nodes, home)
    columns = page.columns([node for node in nodes if id(node) not in home], compact)
    fits = page.fits(nodes, home, choice.scopes, SHRUNK, compact)
    if fits or framed or max(rank.values(), default=0) < columns:
        return Arrangement(compact, rank, False, columns, fits)
    fits = page.fits_wrapped(nodes, home, columns, compact)
    return Arrangement(compact, rank, True, columns, fits)


def _in_knots(choice: Choice, made: Arrangement) -> bool:
    """Whether so many edges lead from line to line that no one could follow them."""
    if not made.wrapped:
        return False
    lines = {place: rank // made.columns for place, rank in made.ranks.items()}
    between = between_lines(choice.nodes, choice.home, lines)
    return len(between) > _KNOTS * (1 + max(lines.values(), default=0))
