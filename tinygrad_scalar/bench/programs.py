"""The programs that are timed: straight-line code over scalars, the same source for every engine.

A program is a list of instructions over 200 registers, drawn at random (seeded) and kept where all
numbers are moderate; at the end all registers are added up. `compiled` writes it as Python.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

REGISTERS = 200
NUDGE = 1e-6
# How an instruction is written: a and b are registers, c a constant.
ARITHMETIC = {
    "add": "{a} + {b}",
    "sub": "{a} - {b}",
    "mul": "{a} * {b}",
    "div": "{a} / {b}",
    "scale": "{a} * {c}",
    "square": "{a} ** 2",
    "neg": "-{a}",
    "relu": "relu({a})",
}
FUNCTIONS = ARITHMETIC | {
    "exp": "exp({a})",
    "log": "log({a})",
    "sin": "sin({a})",
    "tanh": "tanh({a})",
}
_NUMBERS: dict[str, Callable[..., float]] = {
    "relu": lambda x: max(x, 0.0),
    "exp": math.exp,
    "log": math.log,
    "sin": math.sin,
    "tanh": math.tanh,
}


class Program:
    """`operations` operations in all, those that add up the registers included.

    The result is well conditioned, or rounding alone would make the engines' gradients differ.
    """

    def __init__(self, kinds: dict[str, str], operations: int = 10_000, seed: int = 1) -> None:
        self.kinds = kinds
        self.operations = operations
        rng = random.Random(seed)
        self.inputs = [rng.uniform(0.5, 2.0) for _ in range(REGISTERS)]
        self.instructions = self._drawn(rng, operations - (REGISTERS - 1))

    def _drawn(self, rng: random.Random, count: int) -> list[tuple[str, int, int, float]]:
        """Instructions whose results stay moderate, and so does what a nudge of the inputs does."""
        here = list(self.inputs)
        nudged = [x + rng.uniform(-NUDGE, NUDGE) for x in here]
        instructions: list[tuple[str, int, int, float]] = []
        while len(instructions) < count:
            kind = rng.choice(list(self.kinds))
            a, b = rng.randrange(REGISTERS), rng.randrange(REGISTERS)
            c = rng.uniform(0.5, 2.0)
            text = self.kinds[kind].format(a="a", b="b", c=c)
            try:
                value = _evaluated(text, here[a], here[b])
                other = _evaluated(text, nudged[a], nudged[b])
            except (ValueError, OverflowError):
                continue
            if 0.05 < abs(value) < 20.0 and abs(value - other) < 3.0 * NUDGE:
                here[a], nudged[a] = value, other
                instructions.append((kind, a, b, c))
        return instructions

    def compiled(self, **spelling: Any) -> Callable[..., Any]:
        """The program as a function of its inputs; `spelling` gives functions, or texts instead."""
        kinds = self.kinds | {k: v for k, v in spelling.items() if isinstance(v, str)}
        lines = ["def run(inputs):", " v = list(inputs)"]
        for kind, a, b, c in self.instructions:
            lines.append(f" v[{a}] = " + kinds[kind].format(a=f"v[{a}]", b=f"v[{b}]", c=repr(c)))
        lines.append(" total = v[0]")
        lines += [f" total = total + v[{i}]" for i in range(1, REGISTERS)]
        lines.append(" return total")
        names: dict[str, Any] = {k: v for k, v in spelling.items() if not isinstance(v, str)}
        exec("\n".join(lines), names)  # noqa: S102 (our own text)
        run: Callable[..., Any] = names["run"]
        return run


def _evaluated(text: str, a: float, b: float) -> float:
    return float(eval(text, {**_NUMBERS, "a": a, "b": b}))  # noqa: S307 (our own text)
