"""A function traced along one path of its branches, and the programs made from that trace."""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tinygrad_scalar.compiler.closed_over import ClosedOver
from tinygrad_scalar.compiler.ir.differentiate import Derivation
from tinygrad_scalar.compiler.ir.program import (
    NEVER_RAISES,
    Program,
    checking_outputs,
    needed,
    pruned,
)
from tinygrad_scalar.compiler.ir.recording import Recording
from tinygrad_scalar.compiler.ir.tables import in_memory
from tinygrad_scalar.compiler.ir.tape import CONSTANT, GUARD, MEMORY, TraceError, evaluated
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.modes.run import check_single

MATRICES = ("hessian", "jacobian")  # modes whose results have rows and columns


def values_of(mode: str, count: int) -> int:
    """How many outputs are values, in front of slopes, where the function returns `count`."""
    return count if mode in ("value", "jvp") else int(mode in ("value_and_grad", "backward"))


class Path(ClosedOver):
    """One trace: the tape, the lines of the outputs, and their structure.

    It is asked for a mode: "value", "backward", or one more method of a compiled function.
    """

    def __init__(self, recording: Recording, outputs: list[int], tree: Any, inputs: int) -> None:
        super().__init__(recording, inputs)
        self.outputs, self.tree = outputs, tree
        self.places: Sequence[int] = range(inputs)  # of the inputs to differentiate by
        self.kernels: dict[Any, Any] = {}
        # whether a large trace need not be written out line by line, and whether that is settled
        self.interpreted, self.settled = True, False
        self._programs: dict[Any, Program] = {}

    def same(self, other: Path) -> bool:
        """Whether another trace took the same path, with the same leaves."""
        mine, theirs = self.recording, other.recording
        return (
            mine.tape.code == theirs.tape.code
            and self.outputs == other.outputs
            and list(map(id, mine.leaves)) == list(map(id, theirs.leaves))
            and [one.line for one in self.lookups] == [one.line for one in other.lookups]
            and all(
                one.table.same(two.table.source, two.table.rows)
                for one, two in zip(self.lookups, other.lookups, strict=True)
            )
        )

    def repeated_by(self, other: Path) -> bool:
        """Whether another trace has the same lines and numbers, whatever objects it made."""
        mine, theirs = (
            [(row.name, operands) for row, operands in path.recording.tape.code]
            for path in (self, other)
        )
        same = self.outputs == other.outputs and self.recording.seen == other.recording.seen
        return same and mine == theirs

    def scalar(self, what: str) -> int:
        """The line of the single output; TypeError if there are several."""
        check_single(self.tree, what, "the function")
        return self.outputs[0]

    def settle(self, *, interpreted: bool) -> None:
        """Have the kernels for points made anew: interpreted for good, or written out."""
        self.interpreted, self.settled = interpreted, True
        kernels = self.kernels.copy()  # at once: other threads may be adding to them
        self.kernels = {key: made for key, made in kernels.items() if key[1] is not None}

    def asked(self, mode: str) -> tuple[list[int], int | None, Sequence[int]] | None:
        """Lines asked for, the line to differentiate, and by what of all that comes in, or None.

        First come the inputs, then the parameters.
        """
        places = self.places
        if mode == "value":
            return self.outputs, None, ()
        if mode == "backward":
            leaves = range(self.width, self.width + len(self.leaves))
            places = [*leaves, *range(self.inputs, self.width)]
        elif mode not in ("grad", "value_and_grad"):
            return None
        output = self.scalar("backward" if mode == "backward" else "grad")
        return [output] * values_of(mode, 1), output, places

    def _written(self, mode: str) -> tuple[Recording, list[int], int]:
        """The trace with a mode's lines below it, which these are, and what comes in."""
        if mode == "value":
            return self.recording, self.outputs, self.width
        below, asked = Below(self), self.asked(mode)
        lines = getattr(below, mode)() if asked is None else below.slopes(*asked)
        return below.recording, lines, max(self.width, below.tape.inputs)

    def program(self, mode: str, *, single: bool = False) -> Program:
        """The program for a mode.

        For a `single` point all that may raise is kept, for batches what the outputs need of it.
        """
        key = (mode, single)
        if key not in self._programs:
            recording, lines, inputs = self._written(mode)
            every = range(len(self.recording.tape))
            made = pruned(
                recording.tape.code,
                lines,
                inputs=inputs,
                parameters=len(self.leaves),
                raising=every if single else self.used,
                # the eager mode tells of what is undefined in gradients on the way to others
                judged=[k for k in recording.judged if single or k not in every or k in self.used],
            )
            if not single and mode != "backward":
                made = checking_outputs(made)
            apart = self.width - self.inputs if mode == "backward" else 0
            self._programs[key] = replace(made, apart=apart)
        return self._programs[key]

    def program_in_memory(self, mode: str, places: Mapping[int, int]) -> Program:
        """The program that fetches what it looks up; `places` are those of leaves, by their id.

        Behind all that "backward" asks for it gives the indices, for gradients to be added there.
        """
        recording, lines, inputs = self._written(mode)
        if mode == "backward":
            lines = [*lines, *(one.line for one in self.lookups)]
        code, leaves = recording.tape.code, self.leaves
        tape, lines = in_memory(code, lines, self.lookups, self.inputs, leaves, places)
        fetched = self.width - self.inputs
        return pruned(tape.code, lines, inputs=inputs - fetched, parameters=len(places))

    def check_judges_nothing(self) -> None:
        """TraceError where a derivative inside has a policy, which no code without source keeps."""
        if self.recording.judges:
            raise TraceError(
                "a derivative inside the compiled function has a policy (undefined=), for which it "
                "is run itself: files, C and other processes have no source to run"
            )

    @functools.cached_property
    def used(self) -> frozenset[int]:
        """The lines that the outputs need."""
        return frozenset(needed(self.recording.tape.code, self.outputs))

    @functools.cached_property
    def raises_unused(self) -> bool:
        """Whether a line that may raise is none that the outputs need."""
        code, some = self.recording.tape.code, range(len(self.recording.tape))
        return any(k not in self.used and code[k][0] not in NEVER_RAISES for k in some)

    def replayed(
        self, x: Sequence[Any], p: Sequence[Any], lines: Container[int] | None = None
    ) -> list[Any]:
        """The outputs by pushing anything through the rows: numbers, Values, Duals.

        Through all of them, so that what raises does, or only through those of some `lines`.
        """
        code = self.recording.tape.code
        if lines is not None:
            code = [each if k in lines else (CONSTANT, (0.0,)) for k, each in enumerate(code)]
        values = evaluated(code, x, p, pushed)
        return [values[k] for k in self.outputs]


def pushed(row: Primitive, operands: list[Any]) -> Any:
    """The row on anything; guards decide nothing."""
    if row is GUARD:
        return 0.0
    if row in MEMORY:
        return row.forward(*operands)
    y = (row.joint or row)(*operands)
    return y[row.index] if row.joint is not None else y


# ── what is written below the trace ───────────────────────────────────────────────────────────
class Below(Derivation):
    """Derivatives below the trace of a path: the lines asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.recording.copy())
        self.path, self.outputs = path, path.outputs
        self.inputs = [self.tape.input(place) for place in path.places]

    def slopes(self, values: list[int], output: int | None, wanted: Sequence[int]) -> list[int]:
        """What `Path.asked` says: some lines, and the slopes of one along what comes in."""
        assert output is not None  # noqa: S101 (else nothing is differentiated)
        tape, width = self.tape, self.path.width
        lines = [tape.input(k) if k < width else tape.parameter(k - width) for k in wanted]
        return [*values, *self.reverse(output, lines)]

    def jvp(self) -> list[int]:
        """The outputs, then their slopes where all inputs move."""
        inputs = [self.tape.input(place) for place in range(self.path.inputs)]
        return [*self.outputs, *self.forward(self.outputs, self._tangents(inputs))]

    def hvp(self) -> list[int]:
        """The slopes of the gradient where the inputs move."""
        return self.forward(self._gradient("hvp"), self._tangents(self.inputs))

    def hessian(self) -> list[int]:
        """The slopes of the gradient along each input, row by row."""
        return self._by_columns(self._gradient("hessian"))

    def jacobian(self) -> list[int]:
        """The slopes of the outputs along each input, row by row."""
        if len(self.outputs) > len(self.inputs):
            return self._by_columns(self.outputs)
        return [k for output in self.outputs for k in self.reverse(output, self.inputs)]

    def _gradient(self, what: str) -> list[int]:
        """The gradient, to be differentiated once more."""
        return self.judged(self.reverse(self.path.scalar(what), self.inputs))

    def _tangents(self, inputs: Sequence[int]) -> dict[int, int]:
        """The slopes of inputs: they come in behind everything else, and no branch knows them."""
        point, count = self.recording.point, self.path.width + len(inputs)
        point += [math.nan] * (count - len(point))
        return {line: self.tape.input(self.path.width + k) for k, line in enumerate(inputs)}

    def _by_columns(self, outputs: Sequence[int]) -> list[int]:
        one = self.tape.constant(1.0)
        columns = [self.forward(outputs, {line: one}) for line in self.inputs]
        return [k for row in zip(*columns, strict=True) for k in row]
