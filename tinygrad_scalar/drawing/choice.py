"""What a picture draws as one: calls and loops that fold, scopes that close, sections of the rest.

In this order, and each only as far as the page asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.drawing.folding import Folds, folded_calls
from tinygrad_scalar.drawing.loops import folded_leaves, folded_loops
from tinygrad_scalar.drawing.paging import SHRUNK, SMALL, Page
from tinygrad_scalar.drawing.scopes import Scope, chosen_scopes, closed_scopes, outermost
from tinygrad_scalar.drawing.sections import sections

_FEWEST = 4  # things that closing scopes for the page leaves
_SECTIONS = 60  # boxes at most that what is too long for the page is closed in
_WORTH = 0.6  # of a picture is left where folding its loops is worth while


class Choice(NamedTuple):
    """What is drawn as one: closed scopes and groups."""

    scopes: Mapping[int, Scope]
    folds: Folds
    home: Mapping[int, Any]  # by id: the closed scope or the number of the group a node is in
    nodes: Sequence[Any]  # those drawn, and of each group one
    sections: bool = False  # whether some are closed only because the page is full

    @property
    def shown(self) -> int:
        """How many things are drawn."""
        return len({self.home.get(id(node), id(node)) for node in self.nodes})


def chosen(
    kept: Sequence[Any],
    scopes: dict[int, Scope],
    depth: int | None,
    max_nodes: int | None,
    fold: bool,
    page: Page | None,
) -> Choice:
    """Calls fold; scopes close until it fits; where that is not enough, loops fold too."""
    folds = folded_calls(kept, scopes) if fold else Folds([], {})
    choice = _closed(kept, scopes, folds, depth, max_nodes, page)
    fits = max_nodes is None or choice.shown <= max_nodes
    if fold and max_nodes is not None and not (fits and _fits(choice, page)):
        found = folds
        for fold_more in (folded_loops, folded_leaves):
            grouped = {id(node) for group in found.groups for node in group.nodes}
            more = fold_more([node for node in kept if id(node) not in grouped], scopes)
            found = Folds(found.groups + more.groups, found.titles | more.titles)
        if found.groups != folds.groups:
            inside = {id(node): g.scope for g in found.groups for node in g.nodes if g.scope}
            folded = _closed(kept, scopes | inside, found, depth, max_nodes, page)
            if folded.shown <= _WORTH * choice.shown:
                return folded
    return choice


def _closed(
    kept: Sequence[Any],
    scopes: Mapping[int, Scope],
    folds: Folds,
    depth: int | None,
    max_nodes: int | None,
    page: Page | None,
) -> Choice:
    """The scopes to close, given the groups."""
    one = {id(node): i for i, group in enumerate(folds.groups) for node in group.nodes}
    again = {id(node) for group in folds.groups for node in group.nodes[1:]}
    heads = [node for node in kept if id(node) not in again]

    def choice(closed: set[Scope]) -> Choice:
        if not closed:
            return Choice(scopes, folds, one, heads)
        return _hidden(kept, heads, scopes, folds, one, closed)

    closed, _ = chosen_scopes(heads, scopes, depth, max_nodes)
    found = choice(closed)
    if page is None or depth is not None or max_nodes is None or not scopes:
        return found
    level = max(len(scopes.get(id(node), ())) for node in heads)
    sizes = Counter(scopes.get(id(node), ()) for node in heads)
    while level > 1 and not _fits(found, page):
        level -= 1
        less = choice(closed | closed_scopes(sizes, level, max_nodes)[0])
        if less.shown < _FEWEST and _fits(found, page, SHRUNK):
            break
        found = less
    return found


def _fits(choice: Choice, page: Page | None, scale: float = 1.0) -> bool:
    """Whether it will probably fit, in one line; a small picture may take several."""
    if page is None or choice.shown <= SMALL:
        return True
    return page.fits(choice.nodes, choice.home, choice.scopes, scale)


def _hidden(
    kept: Sequence[Any],
    heads: Sequence[Any],
    scopes: Mapping[int, Scope],
    folds: Folds,
    one: Mapping[int, int],
    closed: set[Scope],
) -> Choice:
    """What is drawn where these scopes are closed."""
    hidden = {scope: outermost(scope, closed) for scope in set(scopes.values())}
    home: dict[int, Any] = dict(one)
    for node in kept:
        scope = hidden.get(scopes.get(id(node), ()))
        if scope is not None:
            home[id(node)] = scope
    return Choice(scopes, folds, home, heads)


def cut(choice: Choice, numbers: Mapping[int, int], roots: Sequence[Any], page: Page) -> Choice:
    """The same with what is still open closed in sections, as many as fit the page."""
    if choice.shown <= SMALL:
        return choice
    kept = {id(root) for root in roots} | choice.home.keys()
    open_ = [node for node in choice.nodes if id(node) not in kept]
    found, count = choice, _SECTIONS
    columns = page.columns(open_, compact=True)
    while (
        not page.fits_wrapped(found.nodes, found.home, columns) and count > 1 and len(open_) > count
    ):
        into = sections(open_, choice.scopes, numbers, count)
        home = {**choice.home, **into}
        found = Choice({**choice.scopes, **into}, choice.folds, home, choice.nodes, sections=True)
        count = int(count * 0.8)
    return found
