"""Derivatives of a tape, written below it: Algorithm 6.2 and its forward counterpart on flat code.

The partials are those of the table's rows, pushed through as `Traced`; there is no second list of
derivatives. The rule of a row is pushed once, on an empty tape, and its few lines are then copied
wherever the row occurs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tinygrad_scalar.compiler.ir.lower import Template, kept_template
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tape import (
    ADD,
    GUARD,
    LIBRARY,
    MARKERS,
    MEMORY,
    MUL,
    NEG,
    SCATTER,
    SUB,
    TABLE,
    TAKE,
    WHERE,
    length_of,
    pairs_of,
)
from tinygrad_scalar.compiler.ir.trace import Traced, on_tape
from tinygrad_scalar.core import context
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value


class Mask(NamedTuple):
    """Where a gradient is not structurally zero: a condition's line, and which side of it."""

    condition: int
    side: bool


# A gradient under way: a line, and the masks that still have to be put on it. A mask is put on as
# late as possible, so that an infinite slope behind a branch that was not taken meets a selection,
# never a multiplication by 0.
Flow = tuple[int, tuple[Mask, ...]]


def _rules(row: Primitive) -> tuple[Template | None, ...]:
    """The partials of a row as templates over (y, *x); None for one that has to be pushed.

    A row of any arity, or of several outputs, has no templates at all.
    """
    if row.arity is None or row.joint is not None:
        return ()
    return tuple(_rule(row, partial, row.arity + 1) for partial in row.partials)


def _rule(row: Primitive, rule: Any, count: int) -> Template | None:
    if not callable(rule):
        return Template([], 0, float(rule))
    return kept_template(row, rule, count, trusting=row in LIBRARY)


def _branchless(rule: Template | None) -> bool:
    """Whether neither a partial nor, with rows of the library only, its own partials branch."""
    return rule is not None and all(row is None or row in LIBRARY for row, _ in rule.lines)


class Derivation:
    """Writes derivatives below a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.tape = recording, recording.tape
        self._rules: dict[Primitive, tuple[Template | None, ...]] = {}
        self._shorter: dict[Any, Template] = {}  # templates where some operands are constants
        # the line whose partials were pushed last, its result and operands, and its rules
        self._last: tuple[int, Any, list[Traced], Sequence[Any]] | None = None

    def partial(self, line: int, i: int) -> int | float:
        """∂u(line)/∂(its operand i): a line, or a constant number."""
        row, operands = self.tape.code[line]
        rules = self._rules.get(row)
        if rules is None:
            rules = self._rules[row] = _rules(row)
        rule = rules[i] if rules else None
        if rule is None:
            return self._pushed(line, row, operands, i)
        return self._placed(rule, (line, *operands)) if rule.number is None else rule.number

    def _placed(self, rule: Template, operands: tuple[int, ...]) -> int:
        """The line of a template's result: of 50 lines for a power few are left for a square."""
        constants = self.tape.constants
        if not constants.keys().isdisjoint(operands):
            key = id(rule), tuple([k if k in constants else None for k in operands])
            if key not in self._shorter:
                self._shorter[key] = rule.where([constants.get(k) for k in operands])
            rule = self._shorter[key]
        return rule.placed(self.tape, operands)

    def branches(self, line: int) -> None:
        """Push the partials of a line that may branch, to have guards for their branches."""
        recording, code = self.recording, self.tape.code
        row, operands = code[line]
        recording.orders -= 1
        known, leaves = len(self.tape.known), len(recording.leaves)
        rules = _rules(row)
        for i in range(len(operands)):
            if not _branchless(rules[i] if rules else None):
                with contextlib.suppress(TypeError):
                    self._pushed(line, row, operands, i)  # raises again where it is asked for
        recording.orders += 1
        if len(recording.leaves) == leaves:
            guards = (k for k in range(len(self.tape) - 1, line, -1) if code[k][0] is GUARD)
            recording.cut(next(guards, line) + 1, known)

    def _pushed(self, line: int, row: Primitive, operands: tuple[int, ...], i: int) -> int | float:
        """A partial of a row that is pushed anew: of any arity, or one that branches.

        A user's rules are traced as the function is. NaN for one that raises here: what is not
        finite in the end is for the function itself, behind a structural zero it does not matter.
        """
        recording = self.recording
        if row not in LIBRARY:
            result = self._by_own_rule(line, row, operands, i)
        else:
            before = recording.trusting
            try:
                recording.trusting = True
                with context.recorded():
                    result = self._by_rule(line, row, operands, i)
            finally:
                recording.trusting = before
        carried = isinstance(result, (Traced, Value))
        return recording.line(result) if carried else float(result)

    def _by_own_rule(self, line: int, row: Primitive, operands: tuple[int, ...], i: int) -> Any:
        """What a rule gives that is traced as the function is."""
        recording = self.recording
        try:
            recording.in_rule = True
            result = on_tape(recording, self._by_rule, line, row, operands, i)
        except Exception:  # refused below, or raised again where the slope is asked for
            if not recording.knows_its_point():
                raise
            result = Traced(recording, operands[i]) * math.nan  # and so are its derivatives
        finally:
            recording.in_rule = False
        if recording.refused is not None:
            raise recording.refused
        return result

    def _by_rule(self, line: int, row: Primitive, operands: tuple[int, ...], i: int) -> Any:
        """What the rule gives; those of a line are made once for all of its operands."""
        if self._last is None or self._last[0] != line:
            x = [Traced(self.recording, operand) for operand in operands]
            y: Any = Traced(self.recording, line)
            if row.joint is not None:
                y = row.joint(*x)
            self._last = line, y, x, row.all_partials(y, x)
        _, y, x, rules = self._last
        return rules[i](y, *x) if callable(rules[i]) else rules[i]

    def pulled(self, line: int, i: int, gradient: int, partial: int) -> int:
        """gradient · ∂u(line)/∂(operand i), whose factors a row's pull puts in its own order."""
        row, operands = self.tape.code[line]
        rule = row.pulls[i] if row.arity is not None else None
        made = None
        if rule is not None and partial not in self.tape.constants:
            made = _rule(row, rule, len(operands) + 2)  # over (g, y, *x)
        if made is None:
            return self.times(gradient, partial)
        return self._placed(made, (gradient, line, *operands))

    def times(self, a: int, partial: float) -> int:
        """a · partial; a sign of either goes to the product, where a sum may take it in."""
        b = partial if isinstance(partial, int) else self.tape.constant(partial)
        if self.tape.constants.get(a) == 1.0:
            return b
        code, emit = self.tape.code, self.tape.emit
        (row, operands), (other, factors) = code[a], code[b]
        if row is NEG:
            a = operands[0]
        if other is NEG:
            b = factors[0]
        product = emit(MUL, (a, b))
        return emit(NEG, (product,)) if (row is NEG) != (other is NEG) else product

    def plus(self, a: int, b: int) -> int:
        """a + b; written as a difference where b is a negation."""
        row, operands = self.tape.code[b]
        if row is NEG:
            return self.tape.emit(SUB, (a, operands[0]))
        row, operands = self.tape.code[a]
        if row is NEG:
            return self.tape.emit(SUB, (b, operands[0]))
        return self.tape.emit(ADD, (a, b))

    def masked(self, flow: Flow, kept: int = 0) -> int:
        """The line of a flow with its masks put on, but the first `kept`."""
        line, masks = flow
        if len(masks) == kept:
            return line
        zero = self.tape.constant(0.0)
        for mask in reversed(masks[kept:]):
            pair = (line, zero) if mask.side else (zero, line)
            line = self.tape.emit(WHERE, (mask.condition, *pair))
        return line

    def joined(self, a: Flow, b: Flow) -> Flow:
        """The sum of two flows, under the masks that they share."""
        (line, masks), (other, others) = a, b
        if not masks and not others:
            return self.plus(line, other), ()
        shared = 0
        for mine, yours in zip(masks, others, strict=False):
            if mine != yours:
                break
            shared += 1
        if len(masks) == len(others) == shared + 1:
            mine, yours = masks[-1], others[-1]
            if mine.condition == yours.condition:  # the two sides of one branch
                sides = (line, other) if mine.side else (other, line)
                return self.tape.emit(WHERE, (mine.condition, *sides)), masks[:shared]
        return self.plus(self.masked(a, shared), self.masked(b, shared)), masks[:shared]

    def reverse(self, output: int, wanted: Sequence[int], seed: int | None = None) -> list[int]:
        """The lines of seed · ∂u(output)/∂u(w) for each w wanted. Algorithm 6.2, O(edges).

        Nothing is followed below those.
        """
        flows: list[Flow | None] = [None] * (output + 1)
        flows[output] = self.tape.constant(1.0) if seed is None else seed, ()
        active = self._active(output, wanted)
        added = self._sweep(flows, active, frozenset(wanted))
        reached = [flows[w] if w <= output else None for w in wanted]
        zero = self.tape.constant(0.0)
        lines = [zero if flow is None else self.masked(flow) for flow in reached]
        for k, w in enumerate(wanted):
            if w in added:  # an operand of machine code that is a table itself
                lines[k] = self.tape.emit(SCATTER, (zero, *added[w]))
        return lines

    def _sweep(
        self, flows: list[Flow | None], active: bytearray, ends: frozenset[int]
    ) -> dict[int, list[int]]:
        """Let all flows run back; give what is added to tables that come in, as `_read_back`."""
        added: dict[int, list[int]] = {}  # to lines in memory: indices, each with a gradient
        for line in range(len(flows) - 1, -1, -1):
            if not active[line] or line in ends or self.tape.code[line][0] in MARKERS:
                continue
            for operand, term in self._terms(line, flows[line], active, added):
                before = flows[operand]
                flows[operand] = term if before is None else self.joined(before, term)
        return added

    def _terms(
        self, line: int, flow: Flow | None, active: bytearray, added: dict[int, list[int]]
    ) -> Iterator[tuple[int, Flow]]:
        """What flows back from a line, by operand; what is read out of memory is `added`."""
        row, operands = self.tape.code[line]
        if line in added:
            yield from self._read_back(line, added.pop(line), active)
        elif flow is not None and row is TAKE:
            if active[operands[1]]:
                added.setdefault(operands[1], []).extend((operands[0], self.masked(flow)))
        elif flow is not None:
            for i, operand in enumerate(operands):
                term = self._term(line, i, flow) if active[operand] else None
                if term is not None:
                    yield operand, term

    def _read_back(
        self, line: int, added: Sequence[int], active: bytearray
    ) -> Iterator[tuple[int, Flow]]:
        """What flows back to the operands of a line in memory where that was added to it.

        To an entry of a table that no index pointed to it is structurally zero.
        """
        tape = self.tape
        row, operands = tape.code[line]
        length, one = tape.constant(float(length_of(tape.code, line))), tape.constant(1.0)
        sums = tape.emit(SCATTER, (length, *added))
        if row is SCATTER:
            for index, operand in pairs_of(operands):
                if active[operand]:
                    yield operand, (tape.emit(TAKE, (index, sums)), ())
            return
        ones = [one if k % 2 else index for k, index in enumerate(added)]
        for k, operand in enumerate(operands):
            if active[operand]:
                at = tape.constant(float(k))
                slope, masks = tape.emit(TAKE, (at, sums)), list[Mask]()
                if tape.code[operand][0] not in MARKERS:
                    hits = tape.emit(SCATTER, (length, *ones))
                    masks.append(Mask(tape.emit(TAKE, (at, hits)), True))
                yield operand, (slope, tuple(masks))

    def _moved(self, line: int, slopes: dict[int, int]) -> int:
        """The slope of a line that is in memory, or read from there."""
        zero = self.tape.constant(0.0)
        row, operands = self.tape.code[line]
        if row is TAKE:
            return self.tape.emit(TAKE, (operands[0], slopes[operands[1]]))
        if row is TABLE:
            return self.tape.emit(TABLE, tuple([slopes.get(k, zero) for k in operands]))
        moving = [pair for pair in pairs_of(operands) if pair[1] in slopes]
        added = [k for index, term in moving for k in (index, slopes[term])]
        return self.tape.emit(SCATTER, (operands[0], *added))

    def judged(self, gradient: list[int]) -> list[int]:
        """A gradient on the way to others: code tells where it is not finite, used or not."""
        code, emit = self.tape.code, self.tape.emit
        self.recording.judged.update(
            emit(SUB, (line, line)) if code[line][0] in MARKERS else line for line in gradient
        )
        return gradient

    def _term(self, line: int, i: int, flow: Flow) -> Flow | None:
        """A flow through a line by way of its i-th operand; None for a structural zero."""
        row, operands = self.tape.code[line]
        if row.choice and i:
            mask = Mask(operands[0], i == 1)
            return flow if mask in flow[1] else (flow[0], (*flow[1], mask))
        partial = self.partial(line, i)
        if not isinstance(partial, int):
            if partial == 0.0:
                return None
            return flow if partial == 1.0 else (self.times(flow[0], partial), flow[1])
        if self.tape.constants.get(partial) == 0.0:
            return None
        return self.pulled(line, i, flow[0], partial), flow[1]

    def forward(self, outputs: Sequence[int], tangents: dict[int, int]) -> list[int]:
        """The lines of the slopes of `outputs` where lines move as `tangents` says. O(edges)."""
        tape = self.tape
        slopes, zero = dict(tangents), tape.constant(0.0)
        active = self._active(max(outputs, default=0), list(tangents))
        for line in range(max(outputs, default=-1) + 1):
            row, operands = tape.code[line]
            if not active[line] or line in tangents or row in MARKERS:
                continue
            if row in MEMORY:
                if not slopes.keys().isdisjoint(operands[1:] if row is TAKE else operands):
                    slopes[line] = self._moved(line, slopes)
                continue
            total: Flow | None = None
            for i, operand in enumerate(operands):
                term = self._term(line, i, (slopes[operand], ())) if operand in slopes else None
                if term is not None:
                    total = term if total is None else self.joined(total, term)
            if total is not None:
                slopes[line] = self.masked(total)
        return [slopes.get(line, zero) for line in outputs]

    def _active(self, last: int, wanted: Sequence[int]) -> bytearray:
        """Which lines up to `last` depend on one of `wanted`."""
        active = bytearray(len(self.tape.code) + 1)
        for line in wanted:
            active[line] = 1
        code = self.tape.code
        for line in range(last + 1):
            row, operands = code[line]
            if row not in MARKERS and row is not GUARD and not active[line]:
                for operand in operands:
                    if active[operand]:
                        active[line] = 1
                        break
        return active


def _reversed(recording: Recording, output: int, wanted: Sequence[int], seed: int) -> list[int]:
    """The gradient that `grad` and its family ask for, inside of the function."""
    derivation = Derivation(recording)
    return derivation.judged(derivation.reverse(output, wanted, seed))


Recording.reverse = _reversed
Recording.branches = lambda recording, line: Derivation(recording).branches(line)
