"""`GradTable`: the result of Algorithm 6.2, shown as the table it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn

from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import ADDITION
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import Nodes, consumers_first, topological_order
from tinygrad_scalar.core.printable import aligned, in_a_cell
from tinygrad_scalar.core.provenance import distinct_names

_SHOWN = 20  # rows printed before a table is cut in the middle
_AT_A_PROMPT = 17  # likewise, which with header, cut and footer makes 20 lines
_HEADER = ("node", "operation", "value", "local derivatives", "gradient")


class GradTable(Mapping[Any, Any]):
    """The gradient of an output with respect to every node that `backward` reached. Read-only.

    A mapping from node to gradient in the order in which the entries became final: the output
    first, every node after all its consumers. A node that was not reached is a `KeyError`, but 0.0
    if it was named in `inputs`. Under `create_graph` the gradients are Values.
    Look-up O(1) after a first O(n); iteration and printing in order.
    Source: *Deep Learning*, Algorithm 6.2 (`grad_table`).

    >>> from tinygrad_scalar import Value
    >>> x, y = Value(2.0, label="x"), Value(3.0, label="y")
    >>> print((x * y).backward())
    node  operation  value  local derivatives  gradient
    #1    mul          6.0  3.0, 2.0                1.0
    x                  2.0                          3.0
    y                  3.0                          2.0
    2 edges: 2 multiplications, 2 additions
    """

    def __init__(self, nodes: Nodes, gradients: Nodes, asked: Nodes = (), zero: Any = 0.0) -> None:
        self._nodes = nodes  # the output first
        self._gradients = gradients
        self._asked = asked  # the output may not depend on all of these: then their entry is zero
        self._zero = zero

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickles and copies: nodes by their place below the output, which is shared."""
        output = self._nodes[0] if self._nodes else None
        place = {id(node): i for i, node in enumerate(_below(output))}
        found, gradients = self._entries
        nodes, asked = (
            [place.get(id(node), node) for node in some] for some in (found, self._asked)
        )
        if any(isinstance(gradient, Carrier) for gradient in gradients):  # one graph, one root
            with context.override(recording=True):
                gradients = ADDITION(*gradients)
        return _restored, (output, nodes, gradients, asked, self._zero)

    @cached_property
    def _found(self) -> dict[Any, Any]:
        """The entries in whatever order, for look-ups."""
        table = dict(zip(self._nodes, self._gradients, strict=True))
        table.update((node, self._zero) for node in self._asked if node not in table)
        return table

    @cached_property
    def _entries(self) -> tuple[Sequence[Any], Sequence[Any]]:
        """Nodes and gradients in the order of Algorithm 6.2."""
        nodes = consumers_first(self._nodes[:1], set(map(id, self._nodes)))
        return nodes, [self._found[node] for node in nodes]

    @cached_property
    def _index(self) -> dict[Any, Any]:
        index = dict(zip(*self._entries, strict=True))
        index.update((node, self._found[node]) for node in self._asked)
        return index

    def __getitem__(self, node: Any) -> Any:
        try:
            return self._found[node]
        except (KeyError, TypeError):
            if not isinstance(node, Carrier):
                raise KeyError(
                    f"{node!r} is no node: the table is asked by Values, as in table[x]"
                ) from None
            raise KeyError(
                f"{node!r} was not reached by backward: the output does not depend on it, or "
                "inputs= did not ask for it; name it in inputs= to get 0.0"
            ) from None

    def __setitem__(self, node: Any, gradient: Any = None) -> NoReturn:
        raise TypeError(
            "a GradTable is read-only: dict(table) is a copy to write to, x.grad a leaf's gradient"
        )

    __delitem__ = __setitem__

    def __iter__(self) -> Iterator[Any]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._found)

    @property
    def edges(self) -> int:
        """The edges of Algorithm 6.2 between the output and what was asked. O(n) at first."""
        return self._edges

    @cached_property
    def _edges(self) -> int:
        reached = {id(node) for node in self._nodes}
        return sum(id(parent) in reached for node in self._nodes for parent in node.parents)

    @property
    def multiplications(self) -> int:
        """One per edge, whether or not the machine skipped a factor 0 or 1."""
        return self.edges

    @property
    def additions(self) -> int:
        """One per edge."""
        return self.edges

    def __repr__(self) -> str:
        return self.text(_AT_A_PROMPT)

    def __str__(self) -> str:
        return self.text()

    def text(self, rows: int = _SHOWN, width: int | None = None) -> str:
        """The table as `print` shows it, in so many columns of characters if `width` is given.

        Of more than `rows` entries the first and the last are shown. What does not fit the width
        is cut, local derivatives first, then names and operations; numbers never are.

        >>> from tinygrad_scalar import Value
        >>> x = Value(2.0, label="temperature of the water")
        >>> print((x * x).backward().text(width=60))
        node              operation  value  local derivat…  gradient
        #1                mul          4.0  2.0, 2.0             1.0
        …re of the water               2.0                       4.0
        2 edges: 2 multiplications, 2 additions
        """
        lines = aligned([_HEADER, *self._rows(rows)], numbers=(2, 4), cut=(3, 0, 1), width=width)
        return "\n".join([*lines, self._footer()])

    def _repr_html_(self) -> str:
        from html import escape  # only notebooks need it

        def line(row: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"

        body = "".join(line(row, "td") for row in self._rows(_SHOWN))
        return (
            f"<table><thead>{line(_HEADER, 'th')}</thead><tbody>{body}</tbody></table>"
            f"<p>{escape(self._footer())}</p>"
        )

    def _footer(self) -> str:
        several = "" if self.edges == 1 else "s"
        return (
            f"{self.edges} edge{several}: {self.multiplications} multiplication{several}, "
            f"{self.additions} addition{several}"
        )

    def _rows(self, most: int) -> list[tuple[str, ...]]:
        """The rows to show; of a long table the first and the last."""
        names, nodes = distinct_names(self._index), list(self._index)

        def row(place: int) -> tuple[str, ...]:
            node = nodes[place]
            return _row(names.get(id(node), f"#{place + 1}"), node, self._index[node])

        count, half = len(nodes), most // 2
        if count <= most:
            return [*map(row, range(count))]
        cut = (f"… {count - 2 * half} more …", "", "", "", "")
        return [*map(row, range(half)), cut, *map(row, range(count - half, count))]


def _below(output: Any) -> Sequence[Any]:
    return [] if output is None else topological_order(output)


def _restored(output: Any, nodes: Any, gradients: Any, asked: Any, zero: Any) -> GradTable:
    below = _below(output)
    found, named = (
        [below[x] if isinstance(x, int) else x for x in some] for some in (nodes, asked)
    )
    gradients = getattr(gradients, "parents", gradients)
    return GradTable(found, gradients, named, zero)


def _row(name: str, node: Any, gradient: Any) -> tuple[str, ...]:
    locals_ = ", ".join(show(derivative()) for derivative in node.local_derivatives[:4])
    more = ", …" if len(node.parents) > 4 else ""
    return (
        in_a_cell(name),
        node.primitive.name if node.primitive else "",
        show(node.data),
        locals_ + more,
        show(gradient.example() if isinstance(gradient, Carrier) else gradient),
    )


def show(x: Any) -> str:
    """A number in at most about ten characters: 2.2, not 2.2000000000000002.

    >>> show(2.2000000000000002), show(650.0), show(1e-7)
    ('2.2', '650.0', '1e-07')
    """
    if isinstance(x, float):
        text = f"{x:.10g}"
        return text if any(c in text for c in ".en") else text + ".0"
    return str(x)
