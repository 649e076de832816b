"""One call of a function on fresh leaves, which gradients are pulled back to.

Where an argument is itself carried by an outer mode (a `Value`, a `Dual`, a `Series`), the leaf is
put at its core and the result is carried too.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cached_property
from functools import partial as bind
from typing import Any

from tinygrad_scalar import functions
from tinygrad_scalar.core import context
from tinygrad_scalar.core.application import PRODUCTS, Application, product, zero_times_infinity
from tinygrad_scalar.core.backward import gradients, leaves_of
from tinygrad_scalar.core.carrier import Carrier, resolved
from tinygrad_scalar.core.origin import check_not_closed_over, made_before
from tinygrad_scalar.core.sweep import alone, sweep_inputs
from tinygrad_scalar.core.tree import (
    carried,
    carried_leaves,
    is_structure,
    leaves,
    rebuild,
)
from tinygrad_scalar.core.undefined import Judge, Policy, is_nan, plain
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.forward import Dual, watched
from tinygrad_scalar.modes.tagged import Tagged, detached, stopped
from tinygrad_scalar.numbers.precision import is_whole
from tinygrad_scalar.numbers.precision import like as like_number

Argnums = int | Sequence[int] | None
_HIGHER = frozenset(("hvp", "hessian", "taylor", "derivative"))  # for which no jacobian stands in


class Run:
    """One call of f on fresh leaves, and what is needed to pull gradients back to these."""

    def __init__(
        self,
        f: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        argnums: Argnums,
        name: str,
    ) -> None:
        if options and not args:
            raise TypeError(
                f"{name}: there is no argument by position, and keyword arguments are constants: "
                "pass what to differentiate by position"
            )
        self.args, self.argnums, self.name = args, argnums, name
        context.runs += 1
        self.started = context.runs
        self.chosen = positions(argnums, len(args), name)
        if len(self.chosen) == len(args) == 1:
            given = leaves(args[0])
        else:
            given = [x for i in self.chosen for x in leaves(args[i])]
        self._plain = context.plain and set(map(type, given)) == {float}
        if not self._plain:
            asked = [(i, f"{name}: argument {i}") for i in self.chosen]
            given = [x for i, what in asked for x in carried_leaves(args[i], what)]
        self._given = given
        if self._plain:
            self.inputs: list[Any] = list(map(Value, given))
            arguments = self.inputs
        else:
            cores = [_at_core(x) for x in given]
            self.inputs, arguments = [leaf for leaf, _ in cores], [x for _, x in cores]
        self.own = self.inputs  # of the arguments; `inputs` may come to hold others, or fewer
        filled = with_arguments(args, self.chosen, arguments)
        self._recording = context.plain or context.settings().recording
        self._stopped = not self._recording and stopped()
        if self._recording:
            self.output = f(*filled, **options)
        else:
            with context.recorded():
                self.output = f(*filled, **options)

    @cached_property
    def graph(self) -> bool:
        """Whether Values, not numbers, are due: if the result depends on others' Values too."""
        return any(map(_is_traced, self.inputs)) or (self._recording and self._sees_others())

    def at_speed(self) -> list[float] | None:
        """The gradient in one pass, where all are floats and nothing of others' is seen."""
        output = self.output
        if not self._plain or type(output) is not Value or type(output.data) is not float:
            return None
        found: list[float] | None = alone(sweep_inputs, output, self.inputs, self.started)
        if found is not None and 0.0 in found:
            check_not_closed_over(self.own, self.name)
        return found

    def _sees_others(self) -> bool:
        roots = [core for y in leaves(self.output) for core in _cores(y)]
        return any(not isinstance(leaf, Value) or leaf.parents for leaf in self.inputs) or any(
            made_before(leaf, self.started) for leaf in leaves_of(roots)
        )

    def single_output(self, name: str) -> Any:
        """What f returned, which must be one number."""
        return one_number(self.output, name)

    def pull(
        self, output: Any, seed: Any, undefined: Policy, graph: bool | None = None
    ) -> list[Any]:
        """The gradient of one output with respect to every input, part by part of a carrier.

        `graph` makes it one of Values also where numbers are due. A part of a series may be pulled
        when it is asked for.
        """
        graph = self.graph if graph is None else graph
        check_not_closed_over(self.own, self.name)
        output, seed = resolved(output), resolved(seed)  # a pull may outlive the pass around it
        if isinstance(seed, Tagged):  # linear in the seed: Σ part · what carries that part alone
            size = len(seed.parts())
            units = [seed.with_parts([float(i == j) for j in range(size)]) for i in range(size)]
            parts = [self.pull(output, part, undefined, graph) for part in seed.parts()]
            return [
                functions.sum(map(operator.mul, units, column))
                for column in zip(*parts, strict=True)
            ]
        if isinstance(output, Tagged):
            undefined = watched(undefined)  # a tangent is a derivative of the mode around this
            each = bind(self.pull, seed=seed, undefined=undefined, graph=graph)
            return list(map(self._kept, output.spread(each, len(self.inputs))))
        if hasattr(output, "pulled"):  # a number of a function that is being compiled
            output.judged_by(undefined)
            found = output.pulled(seed, [*self.inputs, *self._held()])
            return list(map(self._kept, found[: len(self.inputs)]))
        if not isinstance(output, Value):
            return [like_number(0.0, plain(output))] * len(self.inputs)
        return self._swept([output], [seed], undefined, graph)

    def pull_sum(self, pairs: Sequence[tuple[Any, Any]], undefined: Policy) -> list[Any]:
        """The gradient of Σ output · seed: one backward for all Values, two for all Duals."""
        if len(pairs) == 1:
            return self.pull(*pairs[0], undefined)
        pairs = [
            (resolved(y) if isinstance(y, Carrier) else Value(y), resolved(x)) for y, x in pairs
        ]
        tagged = [x for pair in pairs for x in pair if isinstance(x, Tagged)]
        top = max(tagged, key=operator.attrgetter("level"), default=None)
        if isinstance(top, Dual):
            return self._pulled_duals(top, pairs, undefined)
        if top is None and not any(hasattr(y, "pulled") for y, _ in pairs):
            check_not_closed_over(self.own, self.name)
            return self._swept([y for y, _ in pairs], [x for _, x in pairs], undefined, self.graph)
        rows = [self.pull(y, seed, undefined) for y, seed in pairs]
        return [summed(column, [1] * len(column), undefined) for column in zip(*rows, strict=True)]

    def _pulled_duals(
        self, top: Dual, pairs: Sequence[tuple[Any, Any]], undefined: Policy
    ) -> list[Any]:
        """The same where some are Duals: the tangent is Σ output′ · seed + output · seed′."""
        undefined = watched(undefined)  # a tangent is a derivative of the mode around this
        still = [(top.below(y), top.below(seed)) for y, seed in pairs]
        moving = []
        for (y, seed), (output, factor) in zip(pairs, still, strict=True):
            if top.carries(y) and y.tangent is not None:
                moving.append((y.tangent, factor))
            if top.carries(seed) and seed.tangent is not None:
                moving.append((output, seed.tangent))
        primals, tangents = (self.pull_sum(each, undefined) for each in (still, moving))
        return [self._kept(top.with_parts(pair)) for pair in zip(primals, tangents, strict=True)]

    def _swept(
        self, outputs: Sequence[Any], seeds: Sequence[Any], undefined: Policy, graph: bool
    ) -> list[Any]:
        """The gradient of Σ seed · output for Values, by one backward."""
        known = [leaf for leaf in self.inputs if isinstance(leaf, Value)]
        if not known:
            return [like_number(0.0, plain(leaf)) for leaf in self.inputs]
        graph = graph or any(isinstance(seed, Carrier) for seed in seeds)
        with context.recorded() if graph else nullcontext():
            asked = [*known, *self._held()]
            found = gradients(outputs, seeds, asked, graph=graph, undefined=undefined, cut=True)
        results = iter(found)
        return [next(results) if isinstance(leaf, Value) else 0.0 for leaf in self.inputs]

    def _held(self) -> list[Value]:
        """Later coefficients of a series: they may have come from an earlier pull of this run.

        An implicit function's solution stands in its own partials; what is already known of it is
        no function of the leaf at its core.
        """
        later = [part for x in self._given for part in getattr(x, "known", ())[1:]]
        return [core for part in later for core in _cores(part)]

    def finished(self, y: Any) -> Any:
        """An output as it is handed to the caller: a number unless a graph is due."""
        y = resolved(y)
        if isinstance(y, Tagged):
            return self._kept(y.spread(lambda part: [self.finished(part)], 1)[0])
        return y.data if isinstance(y, Value) and not self.graph else self._kept(y)

    def _kept(self, y: Any) -> Any:
        """A result for the modes around, to which it is a constant under `no_grad`."""
        return detached(y) if self._stopped else y

    def mirrored(self, values: list[Any]) -> Any:
        """Numbers, one per input, in the structure of the chosen arguments."""
        return mirrored(self.args, self.chosen, self.argnums, values)


def _at_core(x: Any) -> tuple[Any, Any]:
    """A fresh leaf, and `x` with that leaf at its core: the number, Value, or Dual it is."""
    if isinstance(x, Tagged):
        leaf, inner = _at_core(x.parts()[0])
        return leaf, x.with_core(inner)
    tracer = context.settings().tracer
    if tracer is not None or _is_traced(x):
        leaf = (x if tracer is None else tracer(x)).fresh()
    else:
        if isinstance(x, Carrier) and not isinstance(x, Value):
            raise TypeError(
                "grad and its family cannot be taken by an operand of formula=, or of a rule that "
                "is looked through for zeros: write the derivative out"
            )
        leaf = functions.identity(x) if isinstance(x, Carrier) else Value(x)
    return leaf, leaf


def _is_traced(x: Any) -> bool:
    """Whether this is a number of a function that is being compiled."""
    return hasattr(x, "fresh")


def _cores(y: Any) -> list[Value]:
    y = resolved(y)
    if isinstance(y, Tagged):
        return [core for part in y.parts() for core in _cores(part)]
    return [y] if isinstance(y, Value) else []


def one_number(output: Any, name: str) -> Any:
    """What f returned, as it is carried; TypeError, which speaks for `name`, unless it is one."""
    check_single(output, name, "f")
    return carried(leaves(output)[0], f"{name}: what f returned")


def check_single(output: Any, name: str, function: str) -> None:
    """TypeError if what a function returned holds several numbers; it speaks for `name`."""
    if is_structure(output):
        instead = "take one output at a time" if name in _HIGHER else "use jacobian"
        alone = ", and return the one number that is in it here" if len(leaves(output)) == 1 else ""
        raise TypeError(
            f"{name}: {function} must return one number, not {type(output).__name__}; "
            f"{instead} for several outputs{alone}"
        )


def checked_argnums(argnums: Any, name: str) -> Argnums:
    """The same in Python's ints; TypeError for anything but None, an int and a sequence of ints."""
    if argnums is None:
        return None
    several = isinstance(argnums, Sequence) and not isinstance(argnums, str)
    chosen = argnums if several else [argnums]
    for position in chosen:
        if not (is_whole(position) or isinstance(position, bool)):
            raise TypeError(f"{name}: argnums is an int or ints, not {type(position).__name__}")
    return tuple(map(int, chosen)) if several else int(argnums)


def positions(argnums: Argnums, count: int, name: str) -> list[int]:
    """The positions of the arguments asked for, checked against how many there are."""
    if argnums is None:
        return list(range(count))
    chosen = list(argnums) if isinstance(argnums, Sequence) else [argnums]
    for position in chosen:
        if not -count <= position < count:
            raise ValueError(
                f"{name}: argnums {position} is out of range for {count} positional arguments"
            )
    found = [position % count for position in chosen]
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: argnums {tuple(chosen)} name an argument twice")
    return found


def with_arguments(
    args: Sequence[Any], chosen: Sequence[int], values: Sequence[Any]
) -> tuple[Any, ...]:
    """The arguments with the numbers of the chosen ones replaced, in order."""
    remaining = iter(values)
    if len(chosen) == len(args) == 1:
        return (rebuild(args[0], remaining),)
    replaced = list(args)
    for i in chosen:
        replaced[i] = rebuild(args[i], remaining)
    return tuple(replaced)


def mirrored(
    args: Sequence[Any], chosen: Sequence[int], argnums: Argnums, values: Sequence[Any]
) -> Any:
    """One entry per chosen argument in its structure; bare for one argument, else a tuple."""
    remaining = iter(values)
    if isinstance(argnums, int) or (argnums is None and len(chosen) == 1):
        return rebuild(args[chosen[0]], remaining)
    return tuple([rebuild(args[i], remaining) for i in chosen])


def summed(slopes: Sequence[Any], factors: Sequence[Any], undefined: Policy) -> Any:
    """Σ slope · factor, of which 0·∞ and ∞−∞ are judged as on the way back."""
    judge, total, finite = Judge(undefined), 0.0, 0.0
    parts = [*slopes, *factors]
    use = Application(PRODUCTS, 0.0, parts, parts)
    for slope, factor in zip(slopes, factors, strict=True):
        if zero_times_infinity(plain(slope), plain(factor)):
            term = judge.fault(use, None, "makes 0·∞ on the way")
        else:
            term = product(slope, factor)
        if abs(plain(term)) < math.inf:
            finite = term if finite.__class__ is float and not finite else finite + term
        before = total
        total = term if total.__class__ is float and not total else total + term
        if is_nan(plain(total)) and not is_nan(plain(before)) and not is_nan(plain(term)):
            return finite + judge.fault(use, None, "is ∞−∞")
    return total
