"""`Program`: instructions over earlier results, so that nodes are shared."""

from __future__ import annotations

import builtins
import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinygrad_scalar import functions
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.core.value import Value

_IMPORT = "from tinygrad_scalar import primitives"


class Instruction(NamedTuple):
    """A row and its operands: an int is the number of an earlier result, a float a constant."""

    primitive: Primitive
    operands: tuple[int | float, ...]


@dataclass(frozen=True, repr=False)
class Program:
    """A function given by numbers to start from and instructions; the last result is the output.

    Results are numbered: first the inputs, then one per instruction. Call it on anything that
    functions of this library take; `run()` calls it on fresh leaves. Its repr is Python that runs
    after `from tinygrad_scalar import *`, with the output on the last line.

    >>> from tinygrad_scalar.core.primitives import mul, sin
    >>> program = Program((2.0,), (Instruction(mul, (0, 0)), Instruction(sin, (1,))))
    >>> program
    x0 = Value(2.0, label='x0')
    v0 = x0 * x0
    v1 = sin(v0)
    v1
    >>> program.run().parents[0].data, program(3.0) == sin(9.0)
    (4.0, True)
    """

    inputs: tuple[float, ...]
    instructions: tuple[Instruction, ...] = ()

    def __call__(self, *inputs: Any) -> Any:
        """The output for other inputs, of any kind."""
        results = list(inputs)
        for primitive, operands in self.instructions:
            x = (results[x] if isinstance(x, int) else x for x in operands)
            whole = primitive.joint
            results.append(primitive(*x) if whole is None else whole(*x)[primitive.index])
        return results[-1]

    def run(self) -> Value:
        """The output on fresh leaves called x0, x1 and so on."""
        leaves = [Value(x, label=f"x{i}") for i, x in enumerate(self.inputs)]
        return self(*leaves)  # type: ignore[no-any-return]

    @property
    def __signature__(self) -> inspect.Signature:
        """One parameter per input, for those who ask `inspect`."""
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Signature(
            [inspect.Parameter(f"x{i}", kind) for i in range(len(self.inputs))]
        )

    def __repr__(self) -> str:
        lines = [f"x{i} = Value({x!r}, label='x{i}')" for i, x in enumerate(self.inputs)]
        count = len(self.inputs)
        names = [f"x{i}" for i in range(count)] + [f"v{i}" for i in range(len(self.instructions))]
        for name, (primitive, operands) in zip(names[count:], self.instructions, strict=True):
            lines.append(f"{name} = {_written(primitive, operands, names)}")
        if any("primitives." in line for line in lines):
            lines.insert(0, _IMPORT)
        return "\n".join([*lines, names[-1]])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002 (IPython's)
        """What Hypothesis prints: the lines of the repr, below each other."""
        for line in repr(self).splitlines():
            printer.break_()
            printer.text(line)


def _written(row: Primitive, operands: tuple[int | float, ...], names: list[str]) -> str:
    texts = [names[x] if isinstance(x, int) else _constant(x) for x in operands]
    if row.operator:
        return f" {row.operator} ".join(texts) if len(texts) > 1 else row.operator + texts[0]
    inside = ", ".join(texts)
    if row.joint is not None:
        return f"{row.joint.name}({inside})[{row.index}]"
    hidden = row.arity is None and hasattr(builtins, row.name)
    if TABLE.get(row.name) is row and (hidden or row.name not in functions.__all__):
        return f"primitives.{row.name}({inside})"
    if row.paired:
        half = len(texts) // 2
        inside = f"[{', '.join(texts[:half])}], [{', '.join(texts[half:])}]"
    elif row.arity is None:
        inside = f"[{inside}]"
    return f"{row.name}({inside})"


def _constant(x: float) -> str:
    return f"({x!r})" if str(x).startswith("-") else repr(x)


def pruned(program: Program) -> Program:
    """The program without instructions and inputs that the output does not use.

    >>> from tinygrad_scalar.core.primitives import cos, sin
    >>> pruned(Program((1.0, 2.0), (Instruction(sin, (0,)), Instruction(cos, (1,)))))
    x0 = Value(2.0, label='x0')
    v0 = cos(x0)
    v0
    """
    count = len(program.inputs)
    last = count + len(program.instructions) - 1
    used = {last}
    for i in range(last, count - 1, -1):
        if i in used:
            used.update(x for x in program.instructions[i - count].operands if isinstance(x, int))
    number = {old: new for new, old in enumerate(sorted(used))}
    return Program(
        tuple(x for i, x in enumerate(program.inputs) if i in used),
        tuple(
            Instruction(row, tuple(number[x] if isinstance(x, int) else x for x in operands))
            for i, (row, operands) in enumerate(program.instructions, count)
            if i in used
        ),
    )
