"""Rows of one's own: `primitive`, and partials that are derived from a formula."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tinygrad_scalar.core.arithmetic import Arithmetic
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.float_functions import float_function
from tinygrad_scalar.core.primitive import Domain, Joint, Primitive, Rule, at_points
from tinygrad_scalar.core.undefined import by_rule, plain
from tinygrad_scalar.numbers.precision import is_number


def primitive(
    name: str,
    forward: Callable[..., Any] | None = None,
    *partials: Rule,
    formula: Callable[..., Any] | None = None,
    domain: Domain | Sequence[Domain] | None = None,
    kinks: Callable[..., bool] | Sequence[float] = (),
    subgradient: Sequence[float] | None = None,
    symbol: str | None = None,
    latex: str | None = None,
    mpmath: str | Callable[..., Any] | None = None,
) -> Any:
    """A row of your own: an operation with its derivative, valid in every mode.

    `forward(*x)` gives the value; each of `partials` is ∂y/∂x_i as a number or a function of
    `(y, *x)`, result first, written in this library's functions and operators so that it can be
    differentiated again. Returned is the callable; the library's table is not changed.

    If `forward` returns a tuple, the operation has several outputs: each of `partials` is then a
    tuple (one entry per operand) for one output, `y` is the whole tuple, and the call returns a
    tuple of Values.

    With `formula(*x)`, the value written in this library's functions and operators, without
    branches (`where`) and over its operands alone, `forward` may be left out, and the partials too,
    which are derived from it; engines run it inline, in lanes, in C. Without it they call `forward`
    back for every point, since it may look at anything.

    `domain` is where the operation has a value: a pair (low, high) of an open interval or an
    `Interval` for all operands, or one for each. `kinks` are the points without a derivative:
    numbers of the first operand, or a function `kinks(*x)` that tells them; there each partial
    gives its number of `subgradient`, or what it computes anyway. Pictures show `symbol` in place
    of the name, formulas in LaTeX the template `latex`, as in r"P({0})". `mpmath` is the same
    function there, by its name or as `f(mpmath, *x)`: what `check_primitive` compares digits with.

    Errors: TypeError if `forward`, a partial or the formula is not callable (nor a number) or takes
    another number of operands, if the formula branches, or for another option than stated;
    ValueError for an empty domain, and for another number of subgradients than operands.
    Source: *Deep Learning*, section 6.5.6 (the operation's `bprop`).

    >>> import math
    >>> from tinygrad_scalar import Value, cos, exp, primitive, sin
    >>> damped = primitive(
    ...     "damped", lambda x: math.exp(-x) * math.sin(x), lambda y, x: exp(-x) * cos(x) - y
    ... )
    >>> x = Value(0.0)
    >>> damped(x).backward()[x]
    1.0
    >>> sincos = primitive(
    ...     "sincos",
    ...     lambda x: (math.sin(x), math.cos(x)),
    ...     (lambda y, x: y[1],),
    ...     (lambda y, x: -y[0],),
    ... )
    >>> s, c = sincos(x)
    >>> s.backward()[x]
    1.0
    >>> bell = primitive("bell", formula=lambda x: exp(-x * x / 2))
    >>> bell(0.0), abs(bell(x).backward()[x])
    (1.0, 0.0)
    """
    if formula is not None:
        forward, partials = _from_formula(name, forward, partials, formula)
        mpmath = mpmath if mpmath is not None else ByFormula(formula)
    several = _several_outputs(name, forward, partials)
    _check_texts(name, symbol=symbol, latex=latex)
    if mpmath is not None and not isinstance(mpmath, str) and not callable(mpmath):
        raise TypeError(
            f"primitive {name!r}: mpmath is a name in mpmath or a function (mpmath, *x), "
            f"not {type(mpmath).__name__}"
        )
    if callable(mpmath):
        operands = len(partials[0]) if isinstance(partials[0], tuple) else len(partials)
        _check_operands(name, "mpmath is a function (mpmath, *x)", mpmath, 1 + operands)
    if not callable(kinks):
        _check_numbers(name, "kinks", kinks)
    if subgradient is not None:
        _check_numbers(name, "subgradient", subgradient)
    assert forward is not None  # noqa: S101 (it is callable)
    about: dict[str, Any] = {
        "domain": domain,
        "kinks": kinks,
        "subgradient": () if subgradient is None else subgradient,
        "symbol": symbol,
        "latex": latex,
        "formula": formula,
        "mpmath": mpmath if mpmath is not None else "",  # the name is the user's, not mpmath's
    }
    if several:
        return Joint(name, forward, partials, about)
    if subgradient is not None:
        at_kink = kinks if callable(kinks) else at_points(tuple(kinks))
        if len(subgradient) != len(partials):
            raise ValueError(
                f"primitive {name!r}: subgradient holds one number per operand, "
                f"{len(partials)}, not {len(subgradient)}"
            )
        partials = tuple(
            _stated(rule, number, at_kink)
            for rule, number in zip(partials, subgradient, strict=True)
        )
    return Primitive(name, forward, partials, arity=len(partials), **about)


def _check_texts(name: str, **texts: Any) -> None:
    for what, text in {"name": name, **texts}.items():
        if text is not None and not isinstance(text, str):
            raise TypeError(f"primitive {name!r}: {what} is a str, not {type(text).__name__}")


def _check_numbers(name: str, what: str, given: Any) -> None:
    if not isinstance(given, Collection) or not all(map(is_number, given)):
        raise TypeError(f"primitive {name!r}: {what} is a list of numbers, not {given!r}")


def _several_outputs(name: str, forward: Any, partials: Sequence[Rule]) -> bool:
    """Whether the partials are stated for several outputs; an error for what is none."""
    if not isinstance(name, str):
        raise TypeError(
            f"primitive: the name comes first, as in primitive('sine', …), not {name!r}"
        )
    several = bool(partials) and isinstance(partials[0], tuple)
    if several and not all(isinstance(output, tuple) for output in partials):
        raise TypeError(f"primitive {name!r}: give a tuple of partials for every output")
    rules = [rule for output in partials for rule in output] if several else list(partials)
    for what in (forward, *(rule for rule in rules if not is_number(rule))):
        if not callable(what):
            raise TypeError(
                f"primitive {name!r}: {what!r} is neither a function nor a constant partial; "
                "give forward(*x) and one partial (y, *x) per operand"
            )
    if not rules:
        raise TypeError(f"primitive {name!r}: give one partial (y, *x) per operand")
    count = len(partials[0]) if isinstance(partials[0], tuple) else len(partials)
    _check_operands(name, "forward takes an operand for each partial", forward, count)
    for rule in filter(callable, rules):
        _check_operands(name, "a partial takes (y, *x), the result first", rule, 1 + count)
    return several


def _check_operands(name: str, meant: str, function: Any, count: int) -> None:
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of C, which tells nothing
        return
    try:
        signature.bind(*range(count))
    except TypeError as error:
        numbers = "1 number" if count == 1 else f"{count} numbers"
        raise TypeError(f"primitive {name!r}: {meant}; given {numbers}, {error}") from None


class ByFormula:
    """A row's function in mpmath where its formula is all that is known: the formula on mpfs."""

    def __init__(self, formula: Callable[..., Any]) -> None:
        self.formula = formula

    def __call__(self, _: Any, *x: Any) -> Any:
        """The formula on the numbers, whose kind knows its context."""
        return self.formula(*x)


def _stated(rule: Rule, number: float, at_kink: Callable[..., bool]) -> Rule:
    """A partial that gives the stated number at kinks, whatever its formula gives there."""
    return lambda y, *x: number if at_kink(*x) else rule(y, *x) if callable(rule) else rule


def _from_formula(
    name: str,
    forward: Callable[..., Any] | None,
    partials: tuple[Rule, ...],
    formula: Callable[..., Any],
) -> tuple[Callable[..., Any], tuple[Rule, ...]]:
    """The float function and the partials of a formula, where they are not given."""
    given: Any = formula
    if not callable(given) or any(isinstance(rule, tuple) for rule in partials):
        raise TypeError(
            f"primitive {name!r}: formula is a function (*x) of one output, not {formula!r}"
        )
    count = len(partials) or _operands_of(name, formula)
    try:
        if forward is None:
            forward = float_function(formula, count)
        if not partials:
            partials = tuple(_derived(formula, i, count) for i in range(count))
    except TypeError as error:
        raise TypeError(f"primitive {name!r}: {error}") from None
    return forward, partials


def _operands_of(name: str, formula: Callable[..., Any]) -> int:
    import inspect

    kinds = [parameter.kind for parameter in inspect.signature(formula).parameters.values()]
    if not kinds or any(kind > inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds):
        raise TypeError(f"primitive {name!r}: a formula names its operands, as in lambda x, y: …")
    return len(kinds)


def _derived(formula: Callable[..., Any], i: int, count: int) -> Rule:
    """∂formula/∂x_i as a rule (y, *x), on floats at the speed of one written by hand."""

    def slope(_: Any, *x: Any) -> Any:
        result = formula(*(_Moving(each, 1 if k == i else 0) for k, each in enumerate(x)))
        return result.slope if isinstance(result, _Moving) else 0

    on_floats = float_function(slope, count + 1)

    def partial(y: Any, *x: Any) -> Any:
        if all(each.__class__ is float for each in x):
            return on_floats(y, *x)
        return slope(y, *x)

    return partial


class _Moving(Arithmetic):
    """An operand of a formula, and how it moves: the slope is the number 0 where it does not."""

    __slots__ = ("number", "slope")
    level = float("inf")  # what it carries is of any level, and no other _Moving

    def __init__(self, number: Any, slope: Any) -> None:
        self.number, self.slope = number, slope

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Any:
        """The row on the numbers, and Σ ∂y/∂x_i · slope_i by its partials."""
        x = [_number(operand) for operand in operands]
        slopes = [operand.slope if isinstance(operand, _Moving) else 0 for operand in operands]
        y = primitive(*x)
        if primitive.choice:  # never 0 · ∞ from the branch that is not taken
            still = all(_is_zero(slope) for slope in slopes[1:])
            return _Moving(y, 0 if still else primitive(x[0], *slopes[1:]))
        rows = primitive.outputs if isinstance(primitive, Joint) else (primitive,)
        outputs = y if isinstance(primitive, Joint) else (y,)
        made = tuple(
            _Moving(output, _total(row, y, x, slopes))
            for row, output in zip(rows, outputs, strict=True)
        )
        return made if isinstance(primitive, Joint) else made[0]

    def example(self) -> Any:
        return plain(self.number)

    def __bool__(self) -> bool:
        return bool(self.number)

    __hash__ = None  # type: ignore[assignment]  # never a key

    def __eq__(self, other: object) -> Any:
        return self.number == _number(other)

    def __ne__(self, other: object) -> Any:
        return self.number != _number(other)

    __lt__ = lambda self, other: self.number < _number(other)  # noqa: E731
    __le__ = lambda self, other: self.number <= _number(other)  # noqa: E731
    __gt__ = lambda self, other: self.number > _number(other)  # noqa: E731
    __ge__ = lambda self, other: self.number >= _number(other)  # noqa: E731


def _number(x: Any) -> Any:
    return x.number if isinstance(x, _Moving) else x


def _is_zero(slope: Any) -> bool:
    return not isinstance(slope, Carrier) and bool(slope == 0)


def _total(row: Primitive, y: Any, x: Sequence[Any], slopes: Sequence[Any]) -> Any:
    """Σ ∂y/∂x_i · slope_i, where factors 0 and 1 cost nothing."""
    total: Any = 0
    for i, (rule, slope) in enumerate(zip(row.all_partials(y, x), slopes, strict=True)):
        if _is_zero(slope):
            continue
        if not any(isinstance(each, Carrier) for each in x):
            rule = by_rule(row, rule, i, y, x)  # noqa: PLW2901 (the same partial, at a pole too)
        term = rule(y, *x) if callable(rule) else rule
        if _is_zero(term):
            continue
        if isinstance(slope, Carrier) or slope != 1:
            term = term * slope
        total = term if _is_zero(total) else total + term
    return total
