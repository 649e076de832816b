"""First derivatives of functions: `grad`, `value_and_grad`, `vjp`, `jacobian`.

Functions take and return numbers, lists, tuples, dicts and arrays of them; results mirror that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial as bind
from typing import Any

from tinygrad_scalar.core.tree import (
    aligned,
    carried,
    carried_leaves,
    check_word,
    leaves,
    mapped,
    nested,
)
from tinygrad_scalar.core.undefined import Policy, check_policy
from tinygrad_scalar.modes.derived import Derived, check_function
from tinygrad_scalar.modes.forward import attempted, dual, tangent_of
from tinygrad_scalar.modes.run import (
    Argnums,
    Run,
    checked_argnums,
    mirrored,
    positions,
    with_arguments,
)
from tinygrad_scalar.modes.tagged import in_watched_pass


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = None, *, undefined: Policy = "subgradient"
) -> Callable[..., tuple[Any, Any]]:
    """A function that gives f's value together with its gradient; see `grad`.

    >>> value_and_grad(lambda x, y: x * y)(2.0, 3.0)
    (6.0, (3.0, 2.0))
    """
    check_function(f, "grad: f")
    argnums = checked_argnums(argnums, "grad")
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
    argnums = checked_argnums(argnums, "grad")
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
        return run.mirrored(run.pull_sum(list(zip(outputs, seeds, strict=True)), undefined))

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
    argnums = checked_argnums(argnums, "jacobian")
    check_policy(undefined)
    check_word(mode, "jacobian: mode", ("forward", "reverse", None))
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
    return nested(output, mirrored(args, chosen, argnums, [0.0] * len(numbers)), rows)
