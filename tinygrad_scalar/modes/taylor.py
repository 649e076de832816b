"""Derivatives of any order in one variable: Taylor arithmetic through the rows of the table.

A `Series` holds the coefficients of y(t) = y₀ + y₁ t + y₂ t² + …; every row gives its series by
y′ = Σ ∂y/∂x_i · x_i′, whose partials are series made by the same row. Coefficient k needs only
lower ones of the partials, so they are computed when asked for, and a partial may use `y` itself.
What the partials of one step need is made once: sine and cosine are partials of each other.
Source: Griewank and Walther, *Evaluating Derivatives*, section 13.2.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.graph import nodes_below
from tinygrad_scalar.core.primitive import Joint, Primitive
from tinygrad_scalar.core.provenance import user_stacklevel
from tinygrad_scalar.core.tree import carried
from tinygrad_scalar.core.undefined import (
    Policy,
    UndefinedGradientError,
    UndefinedGradientWarning,
    check_policy,
    note,
    note_unless_finite,
    plain,
)
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.modes.derived import Derived, check_function
from tinygrad_scalar.modes.forward import Argument, Dual, attempted, failed
from tinygrad_scalar.modes.run import Run, one_number
from tinygrad_scalar.modes.tagged import Tagged, in_new_pass, in_watched_pass
from tinygrad_scalar.numbers.precision import is_whole, like

WATCHED = 2  # up to this order reverse mode is cheap enough to decide where something underflows
LARGEST = 100_000  # nodes of a derivative graph that is differentiated again


def _nothing(_: int) -> int:
    """The coefficients behind the last one that is known."""
    return 0


class Series(Tagged):
    """The first coefficients of a power series, and the rule that gives the next one.

    `sources` are the series whose coefficient of the same power the rule needs. Those that belong
    to the partials of a step keep what was `made` for these: the result of a row, with its
    operands, by `key` in `applied`.
    """

    __slots__ = ("_next", "known", "made", "order", "sources")

    def __init__(
        self,
        known: list[Any],
        level: float,
        order: int,
        following: Callable[[int], Any] = _nothing,
        sources: Sequence[Series] = (),
        made: dict[Any, Any] | None = None,
    ) -> None:
        self.known, self.level, self.order, self._next = known, level, order, following
        self.sources, self.made = sources, made

    def coefficient(self, k: int) -> Any:
        """The coefficient of t^k."""
        known = self.known
        return known[k] if len(known) > k else self.reached(k)[k]

    def reached(self, k: int) -> list[Any]:
        """All coefficients up to that of t^k, or more."""
        known = self.known
        while (wanted := len(known)) <= k:
            for x in self.sources:
                if len(x.known) <= wanted:
                    x._reach(wanted)
            self._advance()
        return known

    def _reach(self, k: int) -> None:
        """Compute the coefficients up to the k-th, sources first, without recursion."""
        waiting: list[Series] = [self]
        while waiting:
            series = waiting[-1]
            if len(series.known) > k:
                waiting.pop()
            elif missing := [x for x in series.sources if len(x.known) <= k]:
                waiting += missing
            else:
                series._advance()

    def _advance(self) -> None:
        """Compute the next coefficient."""
        known = len(self.known)
        try:
            following = self._next(known)
        except (ArithmeticError, ValueError):  # a given derivative that raises
            following = failed()
        note_unless_finite(following)
        if len(self.known) == known:  # a lazy view shares the list, and the owner appended
            self.known.append(following)

    def core(self) -> Any:
        """The first coefficient."""
        return self.coefficient(0)

    def parts(self) -> list[Any]:
        """The coefficients up to the order that was asked for."""
        return [self.coefficient(k) for k in range(self.order + 1)]

    def with_parts(self, parts: Sequence[Any]) -> Series:
        """Other coefficients of the same level."""
        return Series(list(parts), self.level, len(parts) - 1)

    def with_core(self, core: Any) -> Series:
        """Another first coefficient; the others are still computed when they are asked for."""
        return type(self)([core], self.level, self.order, self.coefficient, (self,), self.made)

    def spread(self, function: Callable[[Any], Sequence[Any]], count: int) -> list[Series]:
        """`count` series, coefficient by coefficient, each computed when it is asked for."""
        rows = cache(lambda k: function(self.coefficient(k)))
        return [
            Series([], self.level, self.order, lambda k, i=i: rows(k)[i], (self,), self.made)  # type: ignore[misc]
            for i in range(count)
        ]

    def still(self, number: Any) -> Series:
        """The number as one of this level."""
        return Series([number], self.level, self.order, made=self.made)

    def applied(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The row's series; the coefficients of a program's own steps are computed at once."""
        own, settings = [x for x in operands if self.carries(x)], context.settings()
        # A result is found by the addresses of its operands, which are held beside it.
        key = (primitive, settings.ieee, *[id(getattr(x, "known", x)) for x in operands])
        made = own[0].made
        if made is not None and key in made:
            return made[key][0]
        start = [x.coefficient(0) if self.carries(x) else x for x in operands]
        y = primitive(*start)
        if settings.undefined != "subgradient" and primitive.kinks(*map(plain, start)):
            note()
        if not isinstance(primitive, Joint):
            return self._result(primitive, y, operands, own, key)
        whole: list[Any] = []
        whole += [
            self._result(row, part, operands, own, whole=whole)
            for row, part in zip(primitive.outputs, y, strict=True)
        ]
        return tuple(whole)

    def _result(
        self,
        row: Primitive,
        start: Any,
        operands: Sequence[Any],
        own: Sequence[Series],
        key: Any = None,
        whole: list[Any] | None = None,
    ) -> Series:
        order, below = own[0].order, own[0].made
        at_once = order and whole is None  # of a program's own step, whose operands are known
        result = Series([start], self.level, order, _nothing, () if at_once else own, below)
        made = {} if below is None else below
        lazy = partial(self._lazy, made=made)
        y = lazy(result)
        constants = [operands[i] for i in row.at_zero if not isinstance(operands[i], Carrier)]
        if 0 in constants:  # not of another mode's number, which moves there
            result.sources = ()
        elif row.operator == "/":  # by its partials −y/b, a division again, it would double
            a, b = operands
            result._next = partial(self._quotient, row, a, b, y)
        else:
            result._next = self._rule(row, operands, y if whole is None else whole, lazy)
        if key is not None:
            made[key] = y, operands
        if at_once:
            result.coefficient(order)
            made[None] = result, ()
            for each, _ in made.values():
                each._next = _nothing_more  # free the operands, and break the cycles through `y`
            made.clear()
        return result

    def _rule(
        self, row: Primitive, operands: Sequence[Any], y: Any, lazy: Callable[[Any], Any]
    ) -> Callable[[int], Any]:
        """What gives the next coefficient of a row: by its partials, whose series are `lazy`."""
        slopes: list[Any] = []

        def following(k: int) -> Any:
            if not slopes:  # made at the first use: a partial's own partials are never all needed
                several = tuple(map(lazy, y)) if isinstance(y, list) else y
                slopes.extend(self._slopes(row, several, [*map(lazy, operands)]))
            return self._coefficient(k, operands, slopes)

        return following

    def _slopes(self, row: Primitive, y: Any, x: list[Any]) -> list[Any]:
        """All partials of a row as series; limits at poles, the stated numbers at kinks."""
        rules = row.all_partials(y, x)
        try:
            return [rule(y, *x) if callable(rule) else rule for rule in rules]
        except (ArithmeticError, ValueError):
            if row.subgradient and row.kinks(*map(plain, x)):
                return list(row.subgradient)
            with context.override(ieee=True):
                return [rule(y, *x) if callable(rule) else rule for rule in rules]

    def _quotient(self, row: Primitive, a: Any, b: Any, q: Series, k: int) -> Any:
        """q_k = (a_k − Σ_{j<k} q_j b_{k−j}) / b_0, from a = q b."""
        rest = a.coefficient(k) if self.carries(a) else 0
        if not self.carries(b):
            return row(rest, b)
        lower, divisor = q.reached(k - 1), b.reached(k)
        for j in range(k):
            rest = rest - lower[j] * divisor[k - j]
        try:
            return row(rest, b.coefficient(0))
        except ArithmeticError:
            with context.override(ieee=True):
                return row(rest, b.coefficient(0))

    def _lazy(self, x: Any, made: dict[Any, Any]) -> Any:
        """The same series, from which nothing is computed before it is asked for."""
        if not self.carries(x):
            return x
        return Series(x.known, self.level, 0, x.coefficient, x.sources, made)

    def _coefficient(self, k: int, operands: Sequence[Any], slopes: Sequence[Any]) -> Any:
        """y_k = (1/k) Σ_i Σ_j j · x_ij · slope_i,k−j."""
        total: Any = 0
        for operand, slope in zip(operands, slopes, strict=True):
            if not self.carries(operand):
                continue
            if not self.carries(slope):
                total = total + k * (operand.coefficient(k) * slope)
                continue
            x, slopes_of_x = operand.reached(k), slope.reached(k - 1)
            for j in range(1, k + 1):
                total = total + j * (x[j] * slopes_of_x[k - j])
        return total / k if total.__class__ is not int else total  # 0, from constants alone

    def __repr__(self) -> str:
        return f"Series({self.known!r})"


class Variable(Series):
    """The Series that a function is called with."""

    __slots__ = ()
    argument = True


def _nothing_more(k: int) -> Any:
    raise ValueError(f"taylor: the coefficient of order {k} was not asked for")


def taylor(
    f: Callable[[Any], Any], n: int, *, undefined: Policy = "subgradient"
) -> Callable[[Any], list[Any]]:
    """x ↦ [f(x), f′(x), …, f⁽ⁿ⁾(x)]: all derivatives up to the n-th of a function of one number.

    Cost O(n²) multiplications per operation of f; O(n³) for the few whose partials need ever more
    operations, as those of powers and gamma. Nests with every mode. Where a derivative may be
    undefined, or is infinite, or where a number is too small for a float and n at most 2, f is run
    again and differentiated in reverse mode n times, by the policy `undefined`; this alone grows
    threefold with every order, and ends in NaN with a warning (an error under "raise") where the
    graph passes 100,000 nodes. Keyword arguments pass through undifferentiated.
    Errors: ValueError unless n is an integer ≥ 0, TypeError if f returns no number, OverflowError
    for floats and n > 170.
    Source: Griewank and Walther, *Evaluating Derivatives*, section 13.2.

    >>> taylor(lambda x: x**3, 4)(2.0)
    [8.0, 12.0, 12.0, 6.0, 0.0]
    """
    n = _checked(f, n, "taylor")
    check_policy(undefined)
    return Derived(derivatives, f, n, undefined)


def derivatives(
    f: Callable[..., Any], n: int, undefined: Policy, /, *args: Any, **options: Any
) -> list[Any]:
    """All derivatives up to the n-th at a number."""
    return _at("taylor", f, n, undefined, args, options)


def last_derivative(
    f: Callable[..., Any], n: int, undefined: Policy, /, *args: Any, **options: Any
) -> Any:
    """The n-th derivative at a number."""
    return _at("derivative", f, n, undefined, args, options)[n]


def _at(
    name: str, f: Callable[..., Any], n: int, undefined: Policy, args: Any, options: Any
) -> list[Any]:
    """All derivatives up to the n-th at a number; errors speak for the function `name`."""
    if len(args) != 1:
        raise TypeError(
            f"{name}: f is a function of one number, not of {len(args)}; take grad, jacobian, "
            "hessian or hvp for several, and pass by keyword what is no variable"
        )
    x = carried(args[0], f"{name}: x")
    f = partial(f, **options) if options else f
    in_pass = in_watched_pass if n <= WATCHED else in_new_pass
    numbers = _by_dual if n == 1 else partial(_by_series, n)
    found: list[Any] | None = attempted(
        lambda: in_pass(lambda level: numbers(name, f, x, level)), undefined
    )
    return _by_reverse(name, f, n, x, undefined) if found is None else found


def _by_series(n: int, name: str, f: Callable[[Any], Any], x: Any, level: float) -> list[Any]:
    """The same by Taylor arithmetic, in a pass of this level."""
    y = one_number(f(Variable([x, like(1, plain(x))][: n + 1], level, n)), name)
    if not (isinstance(y, Series) and y.level == level):
        y = Series([y], level, n)
    try:
        return _alike([math.factorial(k) * y.coefficient(k) for k in range(n + 1)])
    except OverflowError:
        raise OverflowError(
            f"{name}: order {n} is too high for floats, which 171! is none of: give x as an "
            "mpmath.mpf or a fractions.Fraction"
        ) from None


def _by_dual(name: str, f: Callable[[Any], Any], x: Any, level: float) -> list[Any]:
    """The same up to order 1, by what goes quickly over floats."""
    y = one_number(f(Argument(x, like(1, plain(x)), level)), name)
    if not (isinstance(y, Dual) and y.level == level):
        y = Dual(y, None, level)
    return _alike(y.parts())


def _alike(found: list[Any]) -> list[Any]:
    """Plain numbers are of the kind of the first one."""
    return [c if isinstance(c, Carrier) else like(c, plain(found[0])) for c in found]


def _by_reverse(name: str, f: Callable[[Any], Any], n: int, x: Any, undefined: Policy) -> list[Any]:
    """The same by reverse mode, n times over: the derivative graph is differentiated again."""
    run = Run(f, (x,), {}, None, name)
    y = run.single_output(name)
    found = [run.finished(y)]
    for k in range(1, n + 1):
        has_nodes = isinstance(y, Value) and context.settings().tracer is None
        if has_nodes and sum(1 for _ in nodes_below(y)) > LARGEST:
            if undefined == "raise":
                raise UndefinedGradientError(f"{name}: derivative {k} is undefined, or too large")
            if undefined != "nan":
                warnings.warn(
                    f"{name}: whether derivative {k} is defined is not known, since its graph has "
                    f"more than {LARGEST:,} nodes; nan was taken",
                    UndefinedGradientWarning,
                    stacklevel=user_stacklevel(),
                )
            return found + [math.nan] * (n + 1 - k)
        with context.recorded():
            (y,) = run.pull(y, 1.0, undefined, run.graph or k < n)
        found.append(run.finished(y))
    return _alike(found)


def derivative(
    f: Callable[[Any], Any], n: int = 1, *, undefined: Policy = "subgradient"
) -> Callable[[Any], Any]:
    """x ↦ f⁽ⁿ⁾(x), the n-th derivative of a function of one number; cost as `taylor`.

    >>> derivative(lambda x: x**3, 2)(2.0)
    12.0
    """
    n = _checked(f, n, "derivative")
    check_policy(undefined)
    return Derived(last_derivative, f, n, undefined)


def _checked(f: Any, n: Any, name: str) -> int:
    check_function(f, f"{name}: f")
    if not is_whole(n) or n < 0:
        raise ValueError(f"{name}: the order is an integer from 0 on, not {n!r}")
    return int(n)
