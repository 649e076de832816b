"""Derivatives of functions: `grad`, `value_and_grad`, `vjp`, `jacobian`, `hessian`, `hvp`.

Functions take and return numbers, lists, tuples, dicts and arrays of them; results mirror that.
All of it is reverse mode on fresh leaves; where an argument is itself carried by an outer mode
(a `Value`, a `Dual`, a `Series`), the leaf is put at its core and the result is carried too.
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
    aligned,
    carried,
    carried_leaves,
    is_structure,
    leaves,
    mapped,
    nested,
    rebuild,
)
from tinygrad_scalar.core.undefined import Judge, Policy, check_policy, is_nan, plain
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.derived import Derived
from tinygrad_scalar.modes.forward import (
    Tagged,
    attempted,
    check_function,
    detached,
    dual,
    in_watched_pass,
    stopped,
    tangent_of,
    watched,
)

Argnums = int | Sequence[int] | None


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = None, *, undefined: Policy = "subgradient"
) -> Callable[..., tuple[Any, Any]]:
    """A function that gives f's value together with its gradient; see `grad`.

    >>> value_and_grad(lambda x, y: x * y)(2.0, 3.0)
    (6.0, (3.0, 2.0))
    """
    check_function(f, "grad: f")
    check_argnums(argnums, "grad")
    check_policy(undefined)
    return Derived(value_and_gradient, f, argnums, undefined, "grad")


def value_and_gradient(
    f: Callable[..., Any],
    argnums: Argnums,
    undefined: Policy,
    name: str,
    /,
    *args: Any,
    **options: Any,
) -> tuple[Any, Any]:
    """f's value and gradient at a point; errors speak for the function `name`."""
    run = Run(f, args, options, argnums, name)
    found = run.at_speed() if undefined == "subgradient" else None
    if found is not None:
        return run.output.data, run.mirrored(found)
    output = run.single_output(name)
    return run.finished(output), run.mirrored(run.pull(output, 1.0, undefined))


def grad(
    f: Callable[..., Any], argnums: Argnums = None, *, undefined: Policy = "subgradient"
) -> Callable[..., Any]:
    """The gradient of a function with one number as its result, as a function.

    By default over all positional arguments: one argument gives its gradient bare, several give a
    tuple; `argnums`, an int or several, narrows it. Lists, tuples, dicts and NumPy arrays are
    mirrored (in f, an array of Values; float32 stays float32; a column of pandas gives an array);
    keyword arguments pass through undifferentiated. Nesting gives higher orders. Where f depends on
    Values made before the call (arguments, or closed over), the gradient is a Value too, connected
    to them; else a number. It can be pickled where f can.
    Cost: a small multiple of f's, whatever the number of inputs.
    Errors: TypeError if f returns no single number or an argument is none; ValueError for argnums
    out of range or another `undefined`. Source: *Deep Learning*, section 6.5.

    >>> grad(lambda x: x**3)(2.0), grad(grad(lambda x: x**3))(2.0)
    (12.0, 12.0)
    >>> grad(lambda p: p["a"] * p["b"][0])({"a": 2.0, "b": [3.0, 4.0]})
    {'a': 3.0, 'b': [2.0, 0.0]}
    """
    check_function(f, "grad: f")
    check_argnums(argnums, "grad")
    check_policy(undefined)
    return Derived(gradient, f, argnums, undefined, "grad")


def gradient(
    f: Callable[..., Any],
    argnums: Argnums,
    undefined: Policy,
    name: str,
    /,
    *args: Any,
    **options: Any,
) -> Any:
    """f's gradient alone."""
    run = Run(f, args, options, argnums, name)
    found = run.at_speed() if undefined == "subgradient" else None
    if found is None:
        found = run.pull(run.single_output(name), 1.0, undefined)
    return run.mirrored(found)


def vjp(
    f: Callable[..., Any], *primals: Any, undefined: Policy = "subgradient"
) -> tuple[Any, Callable[[Any], Any]]:
    """f(*primals), and a function that pulls a cotangent of the output back to the inputs.

    The cotangent has the structure of f's result; the pull's result that of the arguments, bare
    for one argument, a tuple for several. The graph is kept: pull as often as you like, each time
    at the cost of one backward. Errors: ValueError for a cotangent of another structure.
    Source: *Deep Learning*, equation 6.46 (the Jacobian-vector product of back-propagation).

    >>> y, pull = vjp(lambda x: [x * x, 3 * x], 2.0)
    >>> y, pull([1.0, 0.0]), pull([0.0, 1.0])
    ([4.0, 6.0], 4.0, 3.0)
    """
    check_function(f, "vjp: f")
    check_policy(undefined)
    run = Run(f, primals, {}, None, "vjp")
    outputs = [carried(y, "vjp: what f returned") for y in leaves(run.output)]

    def pull(cotangent: Any) -> Any:
        given = aligned(run.output, cotangent, "vjp: the cotangent")
        seeds = [carried(seed, "vjp: cotangent") for seed in given]
        parts = [
            run.pull(output, seed, undefined) for output, seed in zip(outputs, seeds, strict=True)
        ]
        return run.mirrored(
            [summed(column, [1] * len(column), undefined) for column in zip(*parts, strict=True)]
        )

    return mapped(run.finished, run.output), pull


def jacobian(
    f: Callable[..., Any],
    argnums: Argnums = None,
    mode: str | None = None,
    *,
    undefined: Policy = "subgradient",
) -> Callable[..., Any]:
    """The Jacobian of a function as a function: the output's structure outside, the inputs' inside.

    `mode` is "forward" (one pass per input), "reverse" (one backward per output) or None, which
    takes the cheaper of the two. Several arguments give a tuple inside. Where arrays meet arrays,
    numbers, or flat lists and tuples, the result is one array with the axes of both, (m, n).
    Errors: ValueError for another mode; else as `grad`.
    Source: *Deep Learning*, section 6.5.2 and equation 6.46.

    >>> jacobian(lambda x: [x[0] * x[1], x[0]])([2.0, 3.0])
    [[3.0, 2.0], [1.0, 0.0]]
    """
    check_function(f, "jacobian: f")
    check_argnums(argnums, "jacobian")
    check_policy(undefined)
    if mode not in ("forward", "reverse", None):
        raise ValueError(f'jacobian: mode is "forward", "reverse" or None, not {mode!r}')
    return Derived(rows_of_gradients, f, argnums, mode, undefined, "jacobian")


def rows_of_gradients(
    f: Callable[..., Any],
    argnums: Argnums,
    mode: str | None,
    undefined: Policy,
    name: str,
    /,
    *args: Any,
    **options: Any,
) -> Any:
    """The Jacobian of f at a point; errors speak for the function `name`."""
    if mode != "forward":
        run = Run(f, args, options, argnums, name)
        outputs = leaves(run.output)
        if mode == "reverse" or len(outputs) <= len(run.inputs) or not run.inputs:
            found = [carried(y, f"{name}: what f returned") for y in outputs]
            rows = [run.pull(y, 1.0, undefined) for y in found]
            return nested(run.output, run.mirrored([0.0] * len(run.inputs)), rows)
    return _forward_jacobian(f, args, options, argnums, undefined)


def _forward_jacobian(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    options: dict[str, Any],
    argnums: Argnums,
    undefined: Policy,
) -> Any:
    """One pass of Duals per number in the chosen arguments."""
    chosen = positions(argnums, len(args), "jacobian")
    numbers = [x for i in chosen for x in carried_leaves(args[i], f"jacobian: argument {i}")]
    if not numbers:
        return jacobian(f, argnums, "reverse", undefined=undefined)(*args, **options)

    def one_pass(active: int, level: float) -> tuple[Any, list[Any]]:
        duals = [dual(x, 1 if i == active else 0, level) for i, x in enumerate(numbers)]
        output = f(*with_arguments(args, chosen, duals), **options)
        outputs = [carried(y, "jacobian: what f returned") for y in leaves(output)]
        return output, [tangent_of(y, level) for y in outputs]

    passes = attempted(
        lambda: [in_watched_pass(bind(one_pass, active)) for active in range(len(numbers))],
        undefined,
    )
    if passes is None:
        return jacobian(f, argnums, "reverse", undefined=undefined)(*args, **options)
    output = passes[-1][0]
    rows = list(zip(*(column for _, column in passes), strict=True))
    return nested(output, _mirrored(args, chosen, argnums, [0.0] * len(numbers)), rows)


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
        if is_structure(self.output):
            instead = "take one output at a time" if name == "hessian" else "use jacobian"
            raise TypeError(
                f"{name}: f must return one number, not {type(self.output).__name__}; "
                f"{instead} for several outputs"
            )
        return carried(leaves(self.output)[0], f"{name}: what f returned")

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
            return list(map(self._kept, output.pulled(seed, self.inputs)))
        known = [leaf for leaf in self.inputs if isinstance(leaf, Value)]
        if not isinstance(output, Value) or not known:
            return [0.0] * len(self.inputs)
        graph = graph or isinstance(seed, Carrier)
        with context.recorded() if graph else nullcontext():
            asked = [*known, *self._held()]
            found = gradients([output], [seed], asked, graph=graph, undefined=undefined, cut=True)
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
        return _mirrored(self.args, self.chosen, self.argnums, values)


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


def check_argnums(argnums: Any, name: str) -> None:
    """TypeError for anything but None, an int and a sequence of ints."""
    several = isinstance(argnums, Sequence) and not isinstance(argnums, str)
    for position in argnums if several else [argnums]:
        if not isinstance(position, int) and argnums is not None:
            raise TypeError(f"{name}: argnums is an int or ints, not {type(position).__name__}")


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


def _mirrored(
    args: Sequence[Any], chosen: Sequence[int], argnums: Argnums, values: Sequence[Any]
) -> Any:
    """One entry per chosen argument in its structure; bare for one argument, else a tuple."""
    remaining = iter(values)
    if isinstance(argnums, int) or (argnums is None and len(chosen) == 1):
        return rebuild(args[chosen[0]], remaining)
    return tuple([rebuild(args[i], remaining) for i in chosen])
