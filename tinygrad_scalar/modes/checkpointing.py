"""Recompute instead of store: `checkpoint` and `checkpoint_chain`.

A checkpointed call is run without recording. What stands in the graph is one node that knows the
operands, and behind it one node per output. On the way back the outputs send it their gradients
as a `Cotangent`, a vector over the outputs; only then is the function run again, recorded, and
differentiated once for all of them.
Source: *Deep Learning*, section 6.5.3 (equations 6.50-6.52); Griewank and Walther, chapter 12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any, TypeVar

from tinygrad_scalar.core import context
from tinygrad_scalar.core.backward import gradients
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.origin import check_not_closed_over
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.recorded import node_of
from tinygrad_scalar.core.tree import carried, leaves, like, same_structure
from tinygrad_scalar.core.undefined import policy_in_force, same
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.functions import identity
from tinygrad_scalar.modes.derived import check_function
from tinygrad_scalar.numbers.precision import is_single, is_whole
from tinygrad_scalar.teaching.counting import tracked

R = TypeVar("R")
# Derivatives that f itself takes round otherwise when they are recorded than when they are not.
ROUNDING, IN_32_BITS = 1e-9, 1e-3


class Cotangent:
    """Gradients of several outputs, by index: what is added up on the way to the call."""

    __slots__ = ("by_output",)

    def __init__(self, by_output: dict[int, Any]) -> None:
        self.by_output = by_output

    def __rmul__(self, gradient: Any) -> Cotangent:
        return Cotangent({i: gradient * x for i, x in self.by_output.items()})

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Cotangent):
            return self if other == 0 else NotImplemented
        total = dict(self.by_output)
        for i, x in other.by_output.items():
            total[i] = total[i] + x if i in total else x
        return Cotangent(total)

    __radd__ = __add__


def checkpoint(f: Callable[..., R], *args: Any) -> R:
    """f(*args), of which the graph keeps one node instead of all: the rest is computed again.

    Arguments and results are numbers, Values, or lists, tuples and dicts of them. Values that f
    closes over receive their gradients too. Same gradients, also of higher order; nests. On the
    way back f is run once more; memory O(inputs + outputs) until then. Products too small for a
    float are looked for inside of f, not between f and the rest, for which f would be run again.
    Errors: RuntimeError if f gives another result when it is run again (it must not depend on
    anything that changes: random numbers, Values written to in between), or if it writes to the
    `data` or `grad` of a Value outside; TypeError if f or what it returns is none of these, or if
    a compiled function closes over an argument.
    Source: *Deep Learning*, section 6.5.3.

    >>> from tinygrad_scalar import Value, checkpoint, counting, exp
    >>> x = Value(0.5)
    >>> with counting() as c:
    ...     y = checkpoint(lambda v: exp(v * v) * v, x)
    >>> c.evaluations, c.nodes <= 2
    (3, True)
    >>> y.backward()[x] == (exp(x * x) * x).backward()[x]
    True
    """
    check_function(f, "checkpoint: f")
    given = [carried(x, "checkpoint: an argument") for x in leaves(args)]
    forward_mode = any(isinstance(x, Carrier) and not isinstance(x, Value) for x in given)
    settings = context.settings()
    if forward_mode or settings.tracer is not None or not settings.recording:
        return f(*args)  # nothing would be stored anyway
    outputs, closed_over = _forward(f, args, given)
    numbers = [y.data if isinstance(y, Value) else y for y in leaves(outputs)]
    if any(isinstance(y, Carrier) for y in numbers):
        return f(*args)  # it closes over a forward mode
    numbers = [carried(y, "checkpoint: what f returned") for y in numbers]
    operands = [x for x in given if isinstance(x, Value)] + closed_over
    found: R = like(outputs, numbers)
    if operands and numbers:
        found = like(outputs, _Call(f, args, given, closed_over, found).nodes(operands))
    return found


def checkpoint_chain(step: Callable[[Any], Any], state: Any, n: int) -> Any:
    """The state after n times `state = step(state)`, holding O(log n) states on the way back.

    Recursive halving: both halves are checkpointed, and treated the same way when they are run
    again. The state is a number, Value, list, tuple or dict; Values that `step` closes over get
    gradients. Costs about n log₂(n) more evaluations of `step` than storing everything.
    Errors: ValueError unless n is an integer ≥ 0; as `checkpoint`.
    Source: Griewank 1992, *Achieving logarithmic growth of temporal and spatial complexity*.

    >>> from tinygrad_scalar import Value, checkpoint_chain
    >>> x = Value(1.0)
    >>> checkpoint_chain(lambda s: s * 2, x, 10).backward()[x]
    1024.0
    """
    check_function(step, "checkpoint_chain: step")
    if not is_whole(n) or n < 0:
        raise ValueError(f"checkpoint_chain: n is an integer from 0 on, not {n!r}")
    n = int(n)
    if not context.settings().recording:
        for _ in range(n):
            state = step(state)
        return state
    if n > 2:
        half = n // 2
        state = checkpoint(lambda s: checkpoint_chain(step, s, half), state)
        return checkpoint(lambda s: checkpoint_chain(step, s, n - half), state)
    for _ in range(n):
        state = step(state)
    return state


def _forward(
    f: Callable[..., Any], args: tuple[Any, ...], given: list[Any]
) -> tuple[Any, list[Value]]:
    """f without recording, and the Values it closed over."""

    def on_leaves(*args: Any) -> Any:  # made inside, so that f does not close over them
        return f(*like(args, [Value(x.data) if isinstance(x, Value) else x for x in given]))

    return tracked(on_leaves, args)


class _Call:
    """One checkpointed call: what is needed to run it again, and the rows of its nodes."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        given: list[Any],
        closed_over: list[Value],
        result: Any,
    ) -> None:
        self.f, self.closed_over, self.result = f, closed_over, result
        self.numbers = leaves(result)
        # Constants stay, Values are replaced: a node must not be kept alive by its own row.
        self.args = like(args, [None if isinstance(x, Value) else x for x in given])

    def nodes(self, operands: list[Value]) -> list[Any]:
        """The node of the call; with several outputs, a node for each on top of it."""
        rules = (self.slopes,)
        row = Primitive(
            "checkpoint", self._again, rules, arity=None, mpmath="", pull=self.pull, opaque=True
        )
        seen = tuple(x.data for x in operands)
        call = node_of(row, self.numbers[0], tuple(operands), seen, self.numbers[0])
        if len(self.numbers) == 1:
            return [call]
        return [
            node_of(_output_row(i, y), y, (call,), (call.data,), y)
            for i, y in enumerate(self.numbers)
        ]

    def _again(self, *x: Any) -> Any:
        with context.override(recording=False):
            first = leaves(self._run([Value(each) for each in x]))[0]
        return first.data if isinstance(first, Value) else first

    def _run(self, inside: list[Value]) -> Any:
        """f on these in place of the Values it was called with."""
        remaining = iter(inside)
        filled = [next(remaining) if x is None else x for x in leaves(self.args)]
        return self.f(*like(self.args, filled))

    def slopes(self, y: Any, *x: Any) -> list[Any]:
        """The partials of the first output, for those who ask for them by themselves."""
        return self.pull(1.0, y, *x)

    def pull(
        self, gradient: Any, _y: Any, *x: Any, asked: Sequence[bool] | None = None
    ) -> list[Any]:
        """Run f again, recorded, and differentiate it: the gradient of every operand that is asked.

        `gradient` is that of the only output, or the Cotangent of several. Under a policy None
        stands for a structural zero; it stands also for what is not asked, which is not judged.
        """
        by_output = gradient.by_output if isinstance(gradient, Cotangent) else {0: gradient}
        graph = any(isinstance(each, Carrier) for each in (*x, *by_output.values()))
        count = len(x) - len(self.closed_over)
        with context.override(recording=True):
            inside = [
                identity(each) if isinstance(each, Value) else Value(each) for each in x[:count]
            ]
            before = [(value, value.data, value.grad) for value in self.closed_over]
            runs = context.runs
            again = self._run(inside)
            derived = context.runs > runs
        _check_untouched(before)
        check_not_closed_over(inside, "checkpoint")
        outputs = leaves(again)
        self._check_same(again, outputs, derived)
        chosen = [i for i in by_output if isinstance(outputs[i], Value)]
        policy = policy_in_force()  # None in the sweep over floats
        operands = [*inside, *self.closed_over]
        asked = asked or [True] * len(operands)
        found = gradients(
            [outputs[i] for i in chosen],
            [by_output[i] for i in chosen],
            list(compress(operands, asked)),
            graph=graph,
            undefined=policy or "subgradient",
            structural=policy is not None,
            cut=True,
            private=not self.closed_over,
        )
        given = iter(found)
        return [next(given) if each else None for each in asked]

    def _check_same(self, again: Any, outputs: list[Any], derived: bool) -> None:
        if not same_structure(self.result, again):
            raise RuntimeError(
                "checkpoint: f returned another structure when it was run again; it must depend "
                "on nothing that changes in between"
            )
        for first, y in zip(self.numbers, outputs, strict=True):
            second = y.data if isinstance(y, Value) else y
            if same(first, second):
                continue
            rounding = IN_32_BITS if is_single(first) else ROUNDING
            if not derived or not abs(first - second) <= rounding * max(
                1, min(abs(first), abs(second))
            ):
                raise RuntimeError(
                    f"checkpoint: f gave {first!r}, and {second!r} when it was run again; it must "
                    "depend on nothing that changes in between (random numbers, data of Values)"
                )


def _check_untouched(before: Sequence[tuple[Value, Any, Any]]) -> None:
    for value, data, gradient in before:
        for name, was, now in (("data", data, value.data), ("grad", gradient, value.grad)):
            if not same(was, now):
                raise RuntimeError(
                    f"checkpoint: f changed .{name} of {value!r} from {was!r}: it is run again on "
                    "the way back and must have no effects on Values outside it"
                )


def _output_row(i: int, y: Any) -> Primitive:
    """Output i of a call: its gradient goes to the call with its index."""
    unit = Cotangent({i: 1})
    return Primitive(
        f"output {i}", lambda x: y, (lambda _y, _x: unit,), arity=1, mpmath="", opaque=True
    )
