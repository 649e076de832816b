"""Sums of products as instructions: found in a trace, their indices, and their machine code.

The operands of a dot product mostly stand side by side in memory, the row of a matrix, the numbers
of a layer: they are told by where they begin, in as many parts as it takes. Gradients are added to
several cells at once, each by itself; values are added up strictly from left to right.

Sums of products may be written one by one, as `sum(w * a for w, a in …)`. Where each product, and
each sum but the last, is read but once, the whole is worked out at its last addition, as a dot
product is, in the same order and with the same roundings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tinygrad_scalar.compiler.ir.tape import ADD, MUL
from tinygrad_scalar.compiler.machine.jit import function, loop
from tinygrad_scalar.compiler.vm.operations import Array, Operations
from tinygrad_scalar.compiler.vm.superinstructions import ARGUMENTS

FEWEST = 3  # terms


class Chains(NamedTuple):
    """Sums of so many products each, in the order of the trace: a row for each."""

    start: Array  # the lines that the products are added to
    products: Array  # operations
    sums: Array
    factors: Array  # lines, those on the left before those on the right

    def some(self, which: Array) -> Chains:
        """Those of a mask."""
        return Chains(*(field[which] for field in self))

    @property
    def members(self) -> Array:
        """All of their operations, a row for each."""
        return np.concatenate([self.products, self.sums], axis=1)


def chains(trace: Operations, outputs: Sequence[int]) -> list[Chains]:
    """Those that are as long as can be, by lengths. O(operations)."""
    if not {ADD, MUL} <= set(trace.rows):
        return []
    count, first = len(trace.row), trace.start[:-1]
    uses = np.bincount(trace.place[trace.operands] + 1, minlength=count + 1)[1:]
    asked = trace.place[np.asarray(outputs, int)]
    uses[asked[asked >= 0]] += 2
    additions = np.flatnonzero(trace.row == trace.rows.index(ADD))
    product = trace.place[trace.operands[first[additions] + 1]]
    fits = (product >= 0) & (trace.row[product] == trace.rows.index(MUL)) & (uses[product] == 1)
    links, product = additions[fits], product[fits]
    before = trace.place[trace.operands[first[links]]]
    growing: dict[int, list[int]] = {}  # by the last addition so far, its links
    for k, (link, last) in enumerate(zip(links.tolist(), before.tolist(), strict=True)):
        chain = growing.pop(last, []) if last >= 0 and uses[last] == 1 else []
        chain.append(k)
        growing[link] = chain
    lengths: dict[int, list[list[int]]] = {}
    for chain in growing.values():
        if len(chain) >= FEWEST:
            lengths.setdefault(len(chain), []).append(chain)
    found = []
    for alike in lengths.values():
        which = np.array(alike)
        products, sums = product[which], links[which]
        factors = [trace.operands[first[products] + side] for side in (0, 1)]
        start = trace.operands[first[sums[:, 0]]]
        found.append(Chains(start, products, sums, np.concatenate(factors, axis=1)))
    return found


# Their bodies, by number, and the functions that are these, forwards and backwards.
SUM, DOT = 0, 1
LANES, ROWS = (16, 8, 4, 1), 4  # numbers gradients are added to at once; dot products at once
NAMES = (("sum_forward", "sum_reverse"), ("dot_forward", "dot_reverse"))


class Dots(NamedTuple):
    """Dot products of one length, in the order of the trace: a row for each."""

    first: Array  # the operations where they begin, −1 where others stand in between
    last: Array  # and where they end
    cells: Array  # of the first operand before the second
    start: Array  # the cell that the products are added to
    result: Array


def dots(some: Dots) -> Iterator[tuple[int, int, Array]]:
    """Their instructions: the operation where it stands, how many there are, their indices.

    Those that follow each other, share an operand and are cut in parts alike share an instruction,
    unless one reads another: a matrix by a vector. The indices are the number of parts, for each
    its length and where the shared operand begins, and then by rows the result, the start, and
    where the other operand begins in each part.
    """
    cells = some.cells
    half = cells.shape[1] // 2
    left, right = cells[:, :half], cells[:, half:]
    if len(cells) > 1 and 2 * (left[1:] == left[:-1]).all(axis=1).sum() > len(cells):
        left, right = right, left
    cuts = (np.diff(left) != 1) | (np.diff(right) != 1)
    alike = (cuts[1:] == cuts[:-1]).all(axis=1) & (right[1:] == right[:-1]).all(axis=1)
    alike &= some.first[1:] == some.last[:-1] + 1
    for a, b in pairwise([0, *(np.flatnonzero(~alike) + 1).tolist(), len(cells)]):
        starts = np.append(0, cuts[a].nonzero()[0] + 1)
        parts = np.stack([np.diff(np.append(starts, half)), right[a, starts]], axis=1)
        head = np.append(len(starts), parts)
        results = some.result[a:b]
        rows = np.column_stack([results, some.start[a:b], left[a:b, starts]])
        if np.isin(results, cells[a:b]).any() or np.isin(results, some.start[a:b]).any():
            for place, row in zip(some.last[a:b].tolist(), rows, strict=True):
                yield place, 1, np.append(head, row)
        else:
            yield int(some.last[a]), b - a, np.append(head, rows)


def functions() -> str:
    """The machine code."""
    return "\n".join([
        function(  # the indices of the terms, and then of the result
            f"@sum_forward({ARGUMENTS})",
            loop(
                f"{cell('place', '%v', '%k')}  %term = load double, ptr %place\n"
                "  %total = fadd double %sum, %term\n",
                carried="  %sum = phi double [ -0.0, %entry ], [ %total, %body ]\n",
            ),
            cell("result", "%v", "%n"),
            "  store double %sum, ptr %result\n",
        ),
        function(
            f"@sum_reverse({ARGUMENTS})",
            cell("result", "%a", "%n"),
            "  %slope = load double, ptr %result\n",
            loop(cell("place", "%a", "%k") + _add_to("%place", "double", "%slope")),
        ),
        function(f"@dot_forward({ARGUMENTS})", _HEAD, _values()),
        function(f"@dot_reverse({ARGUMENTS})", _HEAD, _gradients()),
    ])  # fmt: skip


def cell(name: str, base: str, k: int | str, indices: str = "%t") -> str:
    """The place of a number whose index stands in an array of indices."""
    index = _index(f"{name}.index", k, indices)
    return f"{index}  %{name} = getelementptr double, ptr {base}, i64 %{name}.index\n"


def _index(name: str, k: int | str, indices: str = "%t") -> str:
    return f"""  %{name}.at = getelementptr i32, ptr {indices}, i64 {k}
  %{name}.short = load i32, ptr %{name}.at
  %{name} = zext i32 %{name}.short to i64
"""


def _add_to(place: str, kind: str, term: str) -> str:
    return f"""  {place}.before = load {kind}, ptr {place}, align 8
  {place}.after = fadd {kind} {place}.before, {term}
  store {kind} {place}.after, ptr {place}, align 8
"""


# Of dot products: the number of parts, where the rows begin, and how many indices one has.
_HEAD = f"""{_index("parts", 0)}  %told = mul i64 %parts, 2
  %head = add i64 %told, 1
  %first = getelementptr i32, ptr %t, i64 %head
  %stride = add i64 %parts, 2
"""
_ROW = """  %{0}.skipped = mul i64 {1}, %stride
  %{0}.row = getelementptr i32, ptr %first, i64 %{0}.skipped
"""


def _part(name: str, p: str) -> str:
    """The length of a part, and where the shared operand begins."""
    place = f"  %{name}.part = getelementptr [2 x i32], ptr %t, i64 %{p}\n"
    length = _index(f"{name}.length", 1, f"%{name}.part")
    return f"{place}{length}{_index(f'{name}.shared', 2, f'%{name}.part')}"


def _own(name: str, p: str) -> str:
    """Where the other operand of a row begins there."""
    return f"  %{name}.at = add i64 %{p}, 2\n" + _index(
        f"{name}.own", f"%{name}.at", f"%{name}.row"
    )


def _values() -> str:
    """Several rows at once while there are as many, each from left to right."""
    several = _rows("r", ROWS, n="%groups", before="entry", start=0)
    alone = _rows("q", 1, n="%n", before="r.done", start="%groups")
    return f"  %groups = and i64 %n, {-ROWS}\n{several}{alone}"


def _rows(r: str, count: int, *, n: str, before: str, start: int | str) -> str:
    """A loop over rows, so many in an iteration."""
    p, j, each = f"{r}.p", f"{r}.j", range(count)
    row, part, term, parts, terms, results = "", "", "", "", "", ""
    for i in each:
        name = f"{r}{i}"
        row += f"  %{name} = add i64 %{r}, {i}\n{_ROW.format(name, f'%{name}')}"
        part += f"{_own(name, p)}  %{name}.x = getelementptr double, ptr %v, i64 %{name}.own\n"
        term += f"""  %{name}.place = getelementptr double, ptr %{name}.x, i64 %{j}
  %{name}.number = load double, ptr %{name}.place
  %{name}.product = fmul double %{name}.number, %{r}.number
  %{name}.total = fadd double %{name}.sum, %{name}.product
"""
        row += f"{cell(f'{name}.start', '%v', 1, f'%{name}.row')}"
        row += f"  %{name}.first = load double, ptr %{name}.start\n"
        parts += (
            f"  %{name}.before = phi double [ %{name}.first, %{r}.body ], "
            f"[ %{name}.sum, %{j}.done ]\n"
        )
        terms += (
            f"  %{name}.sum = phi double [ %{name}.before, %{p}.body ], "
            f"[ %{name}.total, %{j}.body ]\n"
        )
        results += cell(f"{name}.result", "%v", 0, f"%{name}.row")
        results += f"  store double %{name}.before, ptr %{name}.result\n"
    shared = f"""  %{r}.place = getelementptr double, ptr %{r}.y, i64 %{j}
  %{r}.number = load double, ptr %{r}.place
"""
    inner = loop(
        shared + term,
        k=j, n=f"%{r}.length", before=f"{p}.body", carried=terms, last=f"{j}.body",
    )  # fmt: skip
    begin = f"{_part(r, p)}{part}  %{r}.y = getelementptr double, ptr %v, i64 %{r}.shared\n"
    middle = loop(
        begin + inner, k=p, n="%parts", before=f"{r}.body", carried=parts, last=f"{j}.done"
    )
    return loop(
        row + middle + results, k=r, n=n, before=before, start=start, step=count, last=f"{p}.done"
    )


def _gradients() -> str:
    """Column by column, several at once: those of the shared operand are added up over the rows."""
    part, before, start = _part("p", "p"), "p.body", "0"
    for lanes in LANES:
        j = f"j{lanes}"
        part += f"  %{j}.whole = and i64 %p.length, {-lanes}\n" + loop(
            _column(lanes, j), k=j, n=f"%{j}.whole", before=before, start=start, step=lanes,
            last=f"{j}.r.done",
        )  # fmt: skip
        before, start = f"{j}.done", f"%{j}.whole"
    given = f"""  %s.k = sub i64 %end, %k
{_ROW.format("s", "%s.k")}{cell("s.result", "%a", 0, "%s.row")}{cell("s.start", "%a", 1, "%s.row")}\
  %s.slope = load double, ptr %s.result
{_add_to("%s.start", "double", "%s.slope")}"""
    columns = loop(part, k="p", n="%parts", before="done", last=before)
    return f"  %end = sub i64 %n, 1\n{loop(given)}{columns}"


def _column(lanes: int, j: str) -> str:
    """The columns of a part from one on; the rows in reverse, as their operations are."""
    kind, r = f"<{lanes} x double>", f"{j}.r"
    row = f"""  %{r}.k = sub i64 %end, %{r}
{_ROW.format(r, f"%{r}.k")}{cell(f"{r}.result", "%a", 0, f"%{r}.row")}{_own(r, "p")}\
  %{r}.slope = load double, ptr %{r}.result
  %{r}.one = insertelement {kind} poison, double %{r}.slope, i64 0
  %{r}.slopes = shufflevector {kind} %{r}.one, {kind} poison, <{lanes} x i32> zeroinitializer
  %{r}.place = add i64 %{r}.own, %{j}
  %{r}.x = getelementptr double, ptr %v, i64 %{r}.place
  %{r}.number = load {kind}, ptr %{r}.x, align 8
  %{r}.term = fmul {kind} %{r}.number, %{r}.slopes
  %{r}.total = fadd {kind} %{r}.sum, %{r}.term
  %{r}.other = fmul {kind} %{j}.number, %{r}.slopes
  %{r}.dx = getelementptr double, ptr %a, i64 %{r}.place
{_add_to(f"%{r}.dx", kind, f"%{r}.other")}"""
    sums = f"  %{r}.sum = phi {kind} [ zeroinitializer, %{j}.body ], [ %{r}.total, %{r}.body ]\n"
    return f"""  %{j}.place = add i64 %p.shared, %{j}
  %{j}.y = getelementptr double, ptr %v, i64 %{j}.place
  %{j}.number = load {kind}, ptr %{j}.y, align 8
{loop(row, k=r, before=f"{j}.body", carried=sums, last=f"{r}.body")}\
  %{j}.dy = getelementptr double, ptr %a, i64 %{j}.place
{_add_to(f"%{j}.dy", kind, f"%{r}.sum")}"""
