"""The table of primitives: one row per operation, all that any mode knows about it.

Glossary of the one-letter names: `x` the operand, `a` and `b` the first and second operand,
`y` the result, `n` a number of operands or an order, `t` a target probability.
A partial gets the result first, `(y, *x)`. Integers in a partial are neutral: they take the kind
of the number they meet (float, Fraction, mpf), so write `2 * x`, not `2.0 * x`.

A comparison in a partial is the number 1 or 0, constant to every further derivative.

Convention at kinks: 0 at a local optimum of the piece (`abs`, `relu`), ½ to each at ties of
`maximum` and `minimum`, 0 at jumps; the number stands in the row's `subgradient`.
"""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from functools import reduce
from itertools import accumulate
from typing import Any

from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.formulas import constant, on_rows
from tinygrad_scalar.core.primitive import REAL, Interval, Primitive
from tinygrad_scalar.numbers import (
    elementary,
    error_function,
    limits,
    log_gamma,
    logarithms,
    normal_tails,
    numerics,
    parts,
    pieces,
    remainders,
    special,
)
from tinygrad_scalar.numbers import polygamma as polygammas

TABLE: dict[str, Primitive] = {}
WRITTEN: list[str] = []  # the rows whose float function is made from the formula
INFINITY = math.inf


def row(name: str, forward: Any, *partials: Any, arity: int | None = 0, **about: Any) -> Primitive:
    """A row of the library's table; the arity is the number of partials unless told otherwise.

    Without a float function, which has to be quicker or more exact, the formula is it. Functions
    and methods are made of it unless `public=False` says that nobody calls it by its name.
    """
    about.setdefault("public", True)
    if forward is None:
        forward = about["formula"]
        WRITTEN.append(name)
    TABLE[name] = made = Primitive(
        name, forward, partials, arity=len(partials) if arity == 0 else arity, **about
    )
    return made


def written(pattern: str, llvm: str) -> dict[str, Any]:
    """How an operator is written: in C as on arrays and in Python."""
    return {"c": pattern, "python": pattern, "llvm": llvm}


def _function(name: str) -> str:
    return rf"\{name}\left({{0}}\right)"


positive = Interval(0.0)
CLOSED_UNIT = Interval(-1.0, 1.0, closed_low=True, closed_high=True)
integers_apart = lambda x: x % 1 == 0  # noqa: E731 (a row's kinks)


def halves(x: Any) -> bool:
    """{0} halfway between two whole numbers."""
    return integers_apart(x + x) and not integers_apart(x)


def ties(a: Any, b: Any) -> bool:
    """{0} halfway between two multiples of {1}."""
    return 2 * math.fabs(math.remainder(a, b)) == math.fabs(b)


def multiples(a: Any, b: Any) -> bool:
    """{0} a multiple of {1}, but not 0."""
    return a != 0 and math.fmod(a, b) == 0


# ── arithmetic ────────────────────────────────────────────────────────────────────────────────
# ruff: noqa: E501 (a table is aligned; × and − are the signs meant)
# fmt: off
identity = row("identity", lambda x: x, 1, public=False, symbol="", latex="{0}", mpmath="", total=True, formula=lambda x: x, c="{0}", python="{0}")
neg   = row("neg",   operator.neg,     -1,                  operator="-", public=False, symbol="−", latex="-{0}", precedence=2, mpmath="", total=True, **written("-{0}", "fneg"), numpy=("negative",))
add   = row("add",   operator.add,      1,                  1, operator="+", public=False, symbol="+", latex="{0} + {1}", precedence=1, mpmath="", total=True, **written("{0} + {1}", "fadd"))
sub   = row("sub",   operator.sub,      1,                 -1, operator="-", public=False, symbol="−", latex="{0} - {1}", precedence=1, mpmath="", total=True, **written("{0} - {1}", "fsub"), numpy=("subtract",))
mul   = row("mul",   operator.mul,      lambda y, a, b: b, lambda y, a, b: a, operator="*", at_zero={0: 0.0, 1: 0.0}, public=False, symbol="×", latex=r"{0} \cdot {1}", precedence=2, mpmath="", total=True, **written("{0} * {1}", "fmul"), numpy=("multiply",))
div   = row("div",   operator.truediv,  lambda y, a, b: 1 / b, lambda y, a, b: -(y / b), operator="/", at_zero={0: 0.0}, pull=(lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y / b)), public=False, symbol="÷", latex=r"\frac{{{0}}}{{{1}}}",
            precedence=2, mpmath="", limit=limits.divide, **written("{0} / {1}", "fdiv"), numpy=("divide", "true_divide"))
# a + (a == 0) gives 0**b the slope 0; a**0 is the constant 1, at NaN too, and its slope 0
pow   = row("pow",   numerics.power,    lambda y, a, b: _slope_of_power(1, y, a, b), lambda y, a, b: _power_log(a, b, y),
            pull=(lambda g, y, a, b: _slope_of_power(g, y, a, b), None), symbol="^",  # noqa: PLW0108 (stated below)
            latex="{{{0}}}^{{{1}}}", precedence=4, domain=(positive, REAL), kinks=lambda a, b: a == 0 and b == 0,
            limit=limits.power, operator="**", at_zero={1: 1.0}, mpmath="", c="pow", numpy=("power", "float_power"), derivatives=("b * a ** (b - 1)", "y * log(a)"),
            doc="a to the power of b, as Python's `**` but never complex: below 0 only whole powers")
square     = row("square",     None,  lambda y, x: 2 * x, symbol="²", latex="{{{0}}}^2", mpmath="", total=True, formula=lambda x: x * x)
reciprocal = row("reciprocal", None,  lambda y, x: -y * y, pull=lambda g, y, x: -(g * y * y), symbol="1/", latex=r"\frac{{1}}{{{0}}}", mpmath="",
                 limit=lambda x: limits.divide(1.0, x), formula=lambda x: 1 / x, doc="1 / x, x ≠ 0")
sqrt  = row("sqrt",  math.sqrt, lambda y, x: 1 / (2 * y + 0), pull=lambda g, y, x: g / (2 * y + 0), domain=Interval(0.0, closed_low=True), symbol="√", latex=r"\sqrt{{{0}}}", c="sqrt", llvm="llvm.sqrt")
cbrt  = row("cbrt",  math.cbrt, lambda y, x: 1 / (3 * y * y), pull=lambda g, y, x: g / (3 * y * y), symbol="∛", latex=r"\sqrt[3]{{{0}}}", mpmath=limits.mpmath_cbrt, total=True, formula=elementary.cbrt, c="cbrt")
hypot = row("hypot", math.hypot, lambda y, a, b: _share_of_length(a, b, y), lambda y, a, b: _share_of_length(b, a, y), kinks=lambda a, b: a == 0 and b == 0,
            latex=r"\sqrt{{{{{0}}}^2 + {{{1}}}^2}}", total=True, c="hypot", derivatives=("a / y", "b / y"), doc="√(a² + b²), without overflow")


def _maybe(condition: Any) -> bool:
    """Whether a condition holds, or may hold where it is traced."""
    return isinstance(condition, Carrier) or bool(condition)


def _slope_of_power(g: Any, y: Any, a: Any, b: Any) -> Any:
    """g · b · a^(b − 1)."""
    moving = isinstance(b, Carrier) and _maybe(a == 0)
    return _power_less_one(g, power_factor(a, b) if moving else b, a, b)


def _power_less_one(g: Any, factor: Any, a: Any, b: Any) -> Any:
    """g · factor · a^(b − 1); as … · a^b / a where b − 1 is rounded, or a^(b − 1) may overflow.

    0⁰ is where x⁰ is constant: its slope takes the exponent 0.
    """
    less = b - 1
    rounded = (b < 0.5) * ((less + 1 != b) + (b - less != 1))  # beyond 2⁵³ b is as rounded itself
    rounded = rounded + (b < 0.5) * (a < 1e-30) * (a > -1e-30)
    rounded = (rounded != 0) * (a != 0) * (a < INFINITY) * (a > -INFINITY)
    power = factor * a ** (b - (1 - rounded - (b == 0) * (a == 0)))
    # divided first where that makes it larger, and still a float: times a small g it may be 0
    first = rounded * (power < 1) * (power > -1) * (a > 1e-307) * (a < 1)
    return _over(_times(g, _over(power, first, a)), rounded * (1 - first), a)


def _times(a: Any, b: Any) -> Any:
    """a · b, but the whole number 1 makes no node."""
    if type(a) is int and a == 1:
        return b
    return a if type(b) is int and b == 1 else a * b


def _over(x: Any, condition: Any, a: Any) -> Any:
    """x / a where the condition holds, else x."""
    if isinstance(condition, Carrier):
        return x / where(condition, a, 1)
    return x / a if condition else x


def _power_log(a: Any, b: Any, y: Any) -> Any:
    """a^b · log a, by the row that knows how it moves where that may be asked, and a^b be 0."""
    moving = (_maybe(a == 0) or _maybe(y < 1e-280)) and isinstance(y, Carrier)
    return power_log(a, b, y) if moving else y * log(a + (a == 0))


def _unless_falling(a: Any, b: Any, slope: Any) -> Any:
    """−∞, which ∂²(a^b)/∂a∂b = a^(b − 1) · (1 + b · log a) is where a is 0 and 0 < b ≤ 1."""
    falling = (a == 0) * (b > 0) * (b <= 1)
    if isinstance(falling, Carrier):
        return where(falling, -INFINITY, slope)
    return -INFINITY if falling else slope


def _negative_part(x: Any) -> Any:
    """x, or 0 where it is positive, infinite too."""
    above = x > 0
    return where(above, 0, x) if isinstance(x, Carrier) else min(x, 0)


def _share_of_length(a: Any, b: Any, y: Any) -> Any:
    """a / y with y = hypot(a, b), by the row that knows how it moves where that may be asked."""
    if isinstance(y, Carrier):
        return direction(a, b, y)
    return a / y if 1e-300 < y < INFINITY else _direction(a, b, y)


def _direction(a: Any, b: Any, y: Any) -> Any:
    """The same written out; by the ratio of a and b where y is no float, or has lost its digits."""
    ratio = lambda: b / (a + (a == 0))  # noqa: E731 (asked for there only)
    known = (y < INFINITY) * (y > 1e-300)
    return _both(known, lambda: a / y, lambda: sign(a) / sqrt(1 + square(ratio())))


def _share_of_square(g: Any, a: Any, b: Any, y: Any) -> Any:
    """g · a / y² with y = hypot(a, b); by the ratio of a and b where y is too large for a float."""
    known = y < INFINITY
    if known is True:
        return _times(g, a / y) / y
    ratio = lambda: b / (a + (a == 0))  # noqa: E731
    length, part = y + (y == 0), a * (y != 0)  # no 0/0 at the kink, and no second slope
    return _both(known, lambda: _times(g, part / length) / length, lambda: g / (1 + square(ratio())) / a)


# ── branches and rounding ─────────────────────────────────────────────────────────────────────
sign  = row("sign",  numerics.sign,     0, kinks=(0.0,), symbol="sgn", latex=r"\operatorname{{sgn}}\left({0}\right)", mpmath="", total=True, formula=pieces.sign)
step  = row("step",  numerics.step,     0, kinks=(0.0,), latex=r"H\left({0}\right)", mpmath="", total=True, formula=pieces.step)
abs   = row("abs",   operator.abs,      lambda y, x: sign(x), kinks=(0.0,), symbol="|·|", latex=r"\left|{0}\right|", mpmath="", total=True, c="fabs", llvm="llvm.fabs", array="abs", python="abs({0})", numpy=("absolute", "fabs"), doc="|x|")
floor = row("floor", numerics.floor,    0, kinks=integers_apart, symbol="⌊·⌋", latex=r"\left\lfloor {0} \right\rfloor", total=True, c="floor", llvm="llvm.floor")
ceil  = row("ceil",  numerics.ceil,     0, kinks=integers_apart, symbol="⌈·⌉", latex=r"\left\lceil {0} \right\rceil", total=True, c="ceil", llvm="llvm.ceil")
trunc = row("trunc", numerics.truncate, 0, kinks=lambda x: x != 0 and integers_apart(x), mpmath="", total=True, c="trunc", llvm="llvm.trunc")
round = row("round", numerics.round_half_even, 0, kinks=halves, mpmath="", total=True, c="rint", llvm="llvm.roundeven", array="round", numpy=("rint",))
round_to  = row("round_to", numerics.round_to, 0, 0, public=False, symbol="round", mpmath=lambda m, x, n: m.nint(x * 10**n) / 10**n, whole=(1,), formula=pieces.round_to)
floordiv  = row("floordiv", operator.floordiv, 0, 0, operator="//", public=False, symbol="//", latex=r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor", precedence=1.9,
                kinks=lambda a, b: a % b == 0, mpmath=lambda m, a, b: m.floor(a / b), formula=remainders.floordiv, numpy=("floor_divide",))
# (a - y) / b is the integer quotient, up to rounding: round makes it exact
_quotient = lambda y, a, b: 0 - round((a - y) / b)  # noqa: E731 (one rule, three rows)
mod       = row("mod",       operator.mod,   1, _quotient, operator="%", symbol="%", latex=r"{0} \bmod {1}", precedence=1.9,
                kinks=lambda a, b: a % b == 0, subgradient=(), mpmath="", formula=remainders.mod, numpy=("remainder",), doc="a % b, with the sign of b; b ≠ 0")
remainder = row("remainder", math.remainder, 1, _quotient, kinks=ties,
                subgradient=(), mpmath=limits.mpmath_remainder, formula=remainders.remainder, c="remainder", array="", doc="a less the multiple of b nearest to it; at a tie the even one, as IEEE has it; b ≠ 0")
fmod      = row("fmod",      math.fmod,      1, _quotient, kinks=multiples,
                subgradient=(), mpmath=limits.mpmath_fmod, formula=remainders.truncated, c="fmod", doc="the remainder of a / b with the sign of a, as in C; b ≠ 0")
maximum = row("maximum", None, lambda y, a, b: (a >= b) - (a == b) / 2, lambda y, a, b: (b >= a) - (a == b) / 2,
              symbol="max", latex=r"\max\left({0}, {1}\right)", kinks=lambda a, b: a == b, subgradient=(0.5, 0.5), mpmath="", total=True, formula=numerics.maximum)
minimum = row("minimum", None, lambda y, a, b: (a <= b) - (a == b) / 2, lambda y, a, b: (b <= a) - (a == b) / 2,
              symbol="min", latex=r"\min\left({0}, {1}\right)", kinks=lambda a, b: a == b, subgradient=(0.5, 0.5), mpmath="", total=True, formula=numerics.minimum)
clip  = row("clip",  numerics.clip, lambda y, x, a, b: (x >= a) * (x <= b), lambda y, x, a, b: x < a, lambda y, x, a, b: x > b,
            kinks=lambda x, a, b: x in (a, b), subgradient=(1.0, 0.0, 0.0), mpmath="", formula=pieces.clip, doc="x, but at least a and at most b; NaN if one of the three is NaN")
where = row("where", lambda c, a, b: a if c else b, 0, lambda y, c, a, b: c != 0, lambda y, c, a, b: c == 0, choice=True, public=False, mpmath="", total=True, c="{0} != 0.0 ? {1} : {2}", llvm="select", array="where", python="{1} if {0} else {2}", doc="a where c is not 0, else b")
copysign = row("copysign", numerics.copysign, lambda y, a, b: 1 * (y == a) - (y == -a), 0, kinks=lambda a, b: 0 in (a, b), subgradient=(), mpmath="", total=True, c="copysign", llvm="llvm.copysign")

# ── exponentials and logarithms ───────────────────────────────────────────────────────────────
exp   = row("exp",   math.exp,   lambda y, x: y, latex="e^{{{0}}}", formula=elementary.exp, c="exp")
exp2  = row("exp2",  math.exp2,  lambda y, x: y * constant("ln2", x), latex="2^{{{0}}}", mpmath=lambda m, x: m.mpf(2) ** x, formula=elementary.exp2, c="exp2")
expm1 = row("expm1", math.expm1, lambda y, x: exp(x), latex="e^{{{0}}} - 1", precedence=1, formula=elementary.expm1, c="expm1")
log   = row("log",   math.log,   lambda y, x: 1 / x, pull=lambda g, y, x: g / x, domain=positive, latex=_function("log"), limit=limits.log, formula=elementary.log, c="log", doc="the natural logarithm of x")
log2  = row("log2",  math.log2,  lambda y, x: 1 / constant("ln2", x) / x, pull=lambda g, y, x: g / constant("ln2", x) / x, domain=positive, latex=r"\log_2\left({0}\right)",
            limit=limits.log, mpmath=lambda m, x: m.log(x, 2), formula=elementary.log2, c="log2")
log10 = row("log10", math.log10, lambda y, x: 1 / constant("ln10", x) / x, pull=lambda g, y, x: g / constant("ln10", x) / x, domain=positive, latex=r"\log_{{10}}\left({0}\right)",
            limit=limits.log, formula=elementary.log10, c="log10")
log1p = row("log1p", math.log1p, lambda y, x: 1 / (1 + x), pull=lambda g, y, x: g / (1 + x), domain=Interval(-1.0), limit=lambda x: limits.log(1 + x), formula=elementary.log1p, c="log1p")

logaddexp = row("logaddexp", None, lambda y, a, b: sigmoid(a - b), lambda y, a, b: sigmoid(b - a), mpmath=lambda m, a, b: m.log(m.exp(a) + m.exp(b)),
                total=True, formula=logarithms.logaddexp)
log1mexp = row("log1mexp", None, lambda y, x: -exp(-x) / expm1(-x), domain=positive, limit=limits.log, mpmath=lambda m, x: m.log(-m.expm1(-x)),
               formula=logarithms.log1mexp)
logit = row("logit", None, lambda y, x: 1 / (x * (1 - x)), domain=Interval(0.0, 1.0), mpmath=lambda m, x: m.log(x / (1 - x)),
            limit=lambda x: -INFINITY if x == 0 else INFINITY if x == 1 else math.nan, formula=logarithms.logit)
xlogy = row("xlogy", None, lambda y, a, b: log(b), lambda y, a, b: a / b, domain=(REAL, positive), mpmath=lambda m, a, b: a * m.log(b) if a else 0 * b,
            limit=lambda a, b: a * limits.log(b), formula=logarithms.xlogy, doc="a · log b, and 0 where a is 0, whatever number b is; NaN at NaN")

# ── trigonometric and hyperbolic ──────────────────────────────────────────────────────────────
sin   = row("sin",   math.sin,   lambda y, x: cos(x),  latex=_function("sin"), c="sin")
cos   = row("cos",   math.cos,   lambda y, x: -sin(x), latex=_function("cos"), c="cos")
degrees = row("degrees", None, lambda y, x: constant("180/π", x), total=True, formula=lambda x: x * 57.29577951308232, numpy=("rad2deg",))
radians = row("radians", None, lambda y, x: constant("π/180", x), total=True, formula=lambda x: x * 0.017453292519943295, numpy=("deg2rad",))
sinc  = row("sinc",  None, lambda y, x: _slope_of_sinc(y, x), mpmath="sinc", formula=logarithms.sinc, derivatives=("(cos(x) - y) / x",))  # noqa: PLW0108 (defined below)
tan   = row("tan",   math.tan,   lambda y, x: 1 + y * y, latex=_function("tan"), c="tan")
asin  = row("asin",  math.asin,  lambda y, x: 1 / sqrt(one_minus_square(x)), pull=lambda g, y, x: g / sqrt(one_minus_square(x)), derivatives=("1 / sqrt(1 - x * x)",), domain=CLOSED_UNIT, latex=_function("arcsin"), c="asin", numpy=("arcsin",))
acos  = row("acos",  math.acos,  lambda y, x: -1 / sqrt(one_minus_square(x)), pull=lambda g, y, x: -(g / sqrt(one_minus_square(x))), derivatives=("-1 / sqrt(1 - x * x)",), domain=CLOSED_UNIT, latex=_function("arccos"), c="acos", numpy=("arccos",))
_over_square = lambda x, length: x / length / length  # noqa: E731 (the square may overflow)
_times_twice = lambda g, factor: g * factor * factor  # noqa: E731 (the square may underflow)
atan  = row("atan",  math.atan,  lambda y, x: square(1 / hypot(1, x)), pull=lambda g, y, x: _over_square(g, hypot(1, x)), latex=_function("arctan"), total=True, c="atan", numpy=("arctan",))
atan2 = row("atan2", math.atan2, lambda y, a, b: _share_of_square(1, b, a, hypot(a, b)), lambda y, a, b: -_share_of_square(1, a, b, hypot(a, b)),
            pull=(lambda g, y, a, b: _share_of_square(g, b, a, hypot(a, b)), lambda g, y, a, b: -_share_of_square(g, a, b, hypot(a, b))),
            kinks=lambda a, b: a == 0 and b == 0, total=True, c="atan2", numpy=("arctan2",), derivatives=("b / (a * a + b * b)", "-a / (a * a + b * b)"), doc="the angle of the point (b, a): the arc tangent of a / b, in radians, of the right quadrant")
sinh  = row("sinh",  math.sinh,  lambda y, x: cosh(x), latex=_function("sinh"), limit=lambda x: math.copysign(INFINITY, x), c="sinh")
cosh  = row("cosh",  math.cosh,  lambda y, x: sinh(x), latex=_function("cosh"), c="cosh")
# 1 - y² has no digit left at x = 20, and cosh overflows
tanh  = row("tanh",  math.tanh,  lambda y, x: square(sech(x)), pull=lambda g, y, x: _times_twice(g, sech(x)), latex=_function("tanh"), total=True, formula=elementary.tanh, c="tanh", inlined=True)
sech  = row("sech",  None, lambda y, x: -y * tanh(x), latex=r"\operatorname{{sech}}\left({0}\right)", total=True, formula=special.sech)
asinh = row("asinh", math.asinh, lambda y, x: 1 / hypot(1, x), pull=lambda g, y, x: g / hypot(1, x), total=True, c="asinh", numpy=("arcsinh",))
acosh = row("acosh", math.acosh, lambda y, x: 1 / (sqrt(x - 1) * sqrt(x + 1)), pull=lambda g, y, x: g / (sqrt(x - 1) * sqrt(x + 1)), domain=Interval(1.0, closed_low=True), c="acosh", numpy=("arccosh",))
atanh = row("atanh", math.atanh, lambda y, x: 1 / one_minus_square(x), pull=lambda g, y, x: g / one_minus_square(x), derivatives=("1 / (1 - x * x)",), domain=Interval(-1.0, 1.0),
            limit=lambda x: math.copysign(INFINITY, x) if math.fabs(x) == 1 else math.nan, c="atanh", numpy=("arctanh",))

# ── special functions ─────────────────────────────────────────────────────────────────────────
erf   = row("erf",   math.erf,   lambda y, x:  bell(x) * constant("2/√π", x), total=True, formula=error_function.erf, c="erf", array="", scipy="erf", derivatives=("2 / √π * exp(-x * x)",))
erfc  = row("erfc",  math.erfc,  lambda y, x: bell(x) * -constant("2/√π", x), total=True, formula=error_function.erfc, c="erfc", array="", derivatives=("-2 / √π * exp(-x * x)",))
gamma = row("gamma", math.gamma, lambda y, x: y * digamma(x), pull=lambda g, y, x: g * y * digamma(x), latex=r"\Gamma\left({0}\right)", limit=lambda x: limits.pole_at_zero(x, 1), c="tgamma", llvm="", scipy="gamma",
            doc="Γ(x), which is (x − 1)! of a whole x; poles at 0, −1, −2 and so on")
lgamma    = row("lgamma",    polygammas.lgamma, lambda y, x: digamma(x), latex=r"\log\left|\Gamma\left({0}\right)\right|", mpmath=limits.mpmath_lgamma, c="lgamma", llvm="", array="", scipy="gammaln",
                doc="log |Γ(x)|, its digits kept at the zeros 1 and 2; poles at 0, −1, −2 and so on", numpy=("gammaln",))
digamma   = row("digamma",   None, lambda y, x: polygamma(1, x), latex=r"\psi\left({0}\right)", limit=lambda x: limits.pole_at_zero(x, -1), formula=polygammas.digamma,
                derivatives=("1 / x² + 1 / (x + 1)² + 1 / (x + 2)² + …",), doc="ψ(x) = Γ′(x) / Γ(x); poles at 0, −1, −2 and so on", numpy=("psi",))
polygamma = row("polygamma", polygammas.polygamma, 0, lambda y, n, x: polygamma(n + 1, x), public=False, latex=r"\psi^{{({0})}}\left({1}\right)",
                mpmath=limits.mpmath_polygamma, limit=lambda n, x: limits.pole_at_zero(x, (-1) ** (int(n) + 1), int(n) + 1), whole=(0,), formula=log_gamma.polygamma)
betaln    = row("betaln",    None, lambda y, a, b: -polygamma_difference(0, a, b), lambda y, a, b: -polygamma_difference(0, b, a), symbol="log B", latex=r"\log B\left({0}, {1}\right)",
                domain=(positive, positive), mpmath=limits.mpmath_betaln, formula=log_gamma.betaln, derivatives=("digamma(a) - digamma(a + b)", "digamma(b) - digamma(a + b)"))
normal_cdf = row("normal_cdf", None, lambda y, x: normal_pdf(x), symbol="Φ", latex=r"\Phi\left({0}\right)", mpmath="ncdf", total=True, formula=special.normal_cdf, cuda="normcdf", numpy=("ndtr",))
normal_pdf = row("normal_pdf", None, lambda y, x: -x * y, pull=lambda g, y, x: -(g * y * x), symbol="φ", latex=r"\varphi\left({0}\right)", mpmath="npdf", total=True, formula=special.normal_pdf)
log_normal_cdf = row("log_normal_cdf", None, lambda y, x: inverse_mills_ratio(x), symbol="log Φ", latex=r"\log\Phi\left({0}\right)", mpmath=limits.mpmath_log_normal_cdf,
                     total=True, formula=normal_tails.log_normal_cdf, derivatives=("normal_pdf(x) / normal_cdf(x)",), numpy=("log_ndtr",))
erfcx      = row("erfcx",      None, lambda y, x: erfcx_derivative(1, x), mpmath=limits.mpmath_erfcx, formula=error_function.erfcx, derivatives=("2 * x * y - 2 / √π",), doc="e^(x²) erfc x, the scaled complementary error function")
erfinv     = row("erfinv",     None, lambda y, x: exp(square(y)) * constant("√π/2", x), domain=Interval(-1.0, 1.0), latex=r"\operatorname{{erf}}^{{-1}}\left({0}\right)", mpmath=limits.mpmath_erfinv,
                 limit=lambda x: math.copysign(INFINITY, x) if math.fabs(x) == 1 else math.nan, formula=normal_tails.erfinv, derivatives=("√π / 2 * exp(y * y)",), doc="the y with erf y = x")
normal_ppf = row("normal_ppf", None, lambda y, p: normal_ppf_slope(y, p), domain=Interval(0.0, 1.0), symbol="Φ⁻¹", latex=r"\Phi^{{-1}}\left({0}\right)", mpmath=limits.mpmath_normal_ppf,  # noqa: PLW0108 (defined below)
                 limit=lambda p: math.copysign(INFINITY, p - 0.5) if p in (0, 1) else math.nan, formula=normal_tails.normal_ppf, derivatives=("1 / normal_pdf(y)",), doc="the quantile of the normal distribution, the y with Φ(y) = p", numpy=("ndtri",))

# ── activations ───────────────────────────────────────────────────────────────────────────────
relu       = row("relu",       numerics.relu, lambda y, x: step(x), kinks=(0.0,), mpmath="", total=True, formula=pieces.relu)
leaky_relu = row("leaky_relu", numerics.leaky_relu, lambda y, x, slope: where(x > 0, 1, slope), lambda y, x, slope: _negative_part(x),
                 kinks=lambda x, slope: x == 0 and slope != 1, subgradient=(), defaults=(0.01,), mpmath="", total=True, formula=pieces.leaky_relu)
elu        = row("elu",        None, lambda y, x, alpha: where(x > 0, 1, _times_twice(alpha, exp(x * (x <= 0) / 2))),
                 lambda y, x, alpha: expm1(_negative_part(x)), kinks=lambda x, alpha: x == 0 and alpha != 1, subgradient=(),
                 defaults=(1.0,), mpmath=lambda m, x, alpha: x if x > 0 else alpha * m.expm1(x), formula=numerics.elu, derivatives=("alpha * exp(x) where x <= 0, else 1", "expm1(x) where x <= 0, else 0"))
softplus   = row("softplus",   None, lambda y, x: sigmoid(x), mpmath=lambda m, x: m.log1p(m.exp(x)), total=True, formula=special.softplus)
sigmoid    = row("sigmoid",    None, lambda y, x: logistic_pdf(x), derivatives=("sigmoid(x) * sigmoid(-x)",), symbol="σ", latex=r"\sigma\left({0}\right)", mpmath=lambda m, x: 1 / (1 + m.exp(-x)), total=True, formula=special.sigmoid, numpy=("expit",))
silu       = row("silu",       None, lambda y, x: sigmoid(x) + x * logistic_pdf(x), mpmath=lambda m, x: x / (1 + m.exp(-x)), total=True, formula=special.silu, derivatives=("sigmoid(x) * (1 + x * sigmoid(-x))",))
gelu       = row("gelu",       None, lambda y, x: normal_cdf(x) + x * normal_pdf(x), mpmath=lambda m, x: x * m.ncdf(x), total=True, formula=special.gelu)
gelu_tanh  = row("gelu_tanh",  None, lambda y, x: _slope_of_gelu_tanh(clip(x, -30, 30)),  # constant beyond: no 0·∞
                 mpmath=limits.mpmath_gelu_tanh, total=True, formula=special.gelu_tanh, public=False, derivatives=("s * (1 + 2 * x * u′ * (1 - s)), where s = sigmoid(2 * u)",))


def _slope_of_sinc(y: Any, x: Any) -> Any:
    """(cos x − y) / x, near 0 by its series, for that difference cancels."""
    near = abs(x) < 1
    small, far = where(near, x, 0), where(near, 1, x)
    series: Any = 0
    for n in range(37, 1, -2):  # Σ (−1)ᵏ 2k x²ᵏ⁻¹ / (2k + 1)!
        sign_of_term = 1 if n % 4 == 1 else -1
        series = series * small * small + Fraction(sign_of_term * (n - 1), math.factorial(n))
    return where(near, series * small, (cos(x) - y) / far)


def _slope_of_mish(x: Any) -> Any:
    """t + x (1 − t²) σ(x), where t = tanh softplus x, and 1 − t² is sech² softplus x."""
    rise = softplus(x)
    bounded = clip(x, -800, 800)  # no 0·∞: the term has vanished there
    return tanh(rise) + bounded * square(sech(rise)) * sigmoid(x)


def _slope_of_gelu_tanh(x: Any) -> Any:
    """σ(2u) + 2x u′ σ′(2u) with u = √(2/π) (x + 0.044715 x³)."""
    cubic, scaled = 44715 * (x * x) / 10**6, x * constant("√(8/π)", x)
    twice = scaled * (1 + cubic)
    return sigmoid(twice) + scaled * (1 + 3 * cubic) * logistic_pdf(twice)


log_sigmoid = row("log_sigmoid", None, lambda y, x: sigmoid(-x), mpmath=lambda m, x: -m.log1p(m.exp(-x)), total=True, formula=logarithms.log_sigmoid, numpy=("log_expit",))
softsign   = row("softsign",   None, lambda y, x: square(1 / (1 + abs(x))), mpmath=lambda m, x: x / (1 + abs(x)), total=True, formula=logarithms.softsign)
hardtanh   = row("hardtanh",   None, lambda y, x: 1 - step(abs(x) - 1), kinks=(-1.0, 1.0), subgradient=(1.0,), mpmath="", total=True, formula=logarithms.hardtanh)
mish       = row("mish",       None, lambda y, x: _slope_of_mish(x),
                 mpmath=lambda m, x: x * m.tanh(m.log1p(m.exp(x))), total=True, formula=logarithms.mish, derivatives=("t + x * sigmoid(x) * (1 - t * t), where t = tanh(softplus(x))",))
selu       = row("selu",       None, lambda y, x: where(x > 0, constant("λ", x), exp(x * (x <= 0)) * constant("λα", x)), kinks=(0.0,), subgradient=(),
                 mpmath=lambda m, x: x * m.mpf(logarithms.SELU) if x > 0 else m.mpf(logarithms.SELU) * m.mpf(logarithms.SELU_ALPHA) * m.expm1(x),
                 total=True, formula=logarithms.selu)

# ── of any number of operands ─────────────────────────────────────────────────────────────────
def _products_of_the_others(start: Any, x: Any) -> list[Any]:
    """start · every product of all operands but one, in O(n): those from the left times those from the right."""
    left = accumulate(x[:-1], _times, initial=start)
    right = accumulate(x[:0:-1], _times, initial=1)
    return [*map(_times, left, reversed([*right]))]


def _less_the_largest(x: Any) -> list[Any]:
    """x less a constant, the largest of them: their e^x do not overflow, and keep their digits."""
    constants = [a.detach() if isinstance(a, Carrier) else a for a in x]
    carried = any(isinstance(a, Carrier) for a in x)
    largest: Any = reduce(_larger, constants) if carried else max(constants)
    return [a - largest for a in x]


def _larger(a: Any, b: Any) -> Any:
    """An operation only where it is not known which of them is the larger."""
    first = a >= b
    return maximum(a, b) if isinstance(first, Carrier) else a if first else b


def _softmax(y: Any, *x: Any) -> list[Any]:
    weights = [exp(a) for a in _less_the_largest(x)]
    total = sum(*weights)
    return [weight / total for weight in weights]


def _softmax_less_target(y: Any, *x: Any) -> list[Any]:
    """∂/∂logit = softmax · Σt − t, and ∂/∂t = logsumexp − logit."""
    n = len(x) // 2
    logits, targets = _less_the_largest(x[:n]), x[n:]
    weights = [exp(a) for a in logits]
    share, near = sum(*targets) / sum(*weights), logsumexp(*logits)
    slopes = [weight * share - t for weight, t in zip(weights, targets, strict=True)]
    return slopes + [near - a for a in logits]


sum  = row("sum",  None,      lambda y, *x: [1] * len(x), arity=None, symbol="Σ", latex=r"\sum\left({all}\right)", mpmath="", total=True, formula=lambda *x: numerics.add_all(x), doc="x₁ + … + xₙ", derivatives=("1 by each",))
prod = row("prod", None, lambda y, *x: _products_of_the_others(1, x), pull=lambda g, y, *x: _products_of_the_others(g, x), arity=None, symbol="∏", latex=r"\prod\left({all}\right)", mpmath="", total=True, formula=lambda *x: numerics.multiply_all(x), doc="x₁ · … · xₙ", derivatives=("by each the product of the others",))
mean = row("mean", None, lambda y, *x: [Fraction(1, len(x))] * len(x), arity=None, mpmath="", total=True, formula=lambda *x: numerics.add_all(x) / len(x), doc="(x₁ + … + xₙ) / n", derivatives=("1 / n by each",))
dot  = row("dot",  None,      lambda y, *x: x[len(x) // 2 :] + x[: len(x) // 2], paired=True, arity=None,
           latex=r"\operatorname{{dot}}\left({all}\right)", mpmath="", total=True, formula=lambda *x: numerics.dot_all(x), doc="the first half of the operands times the second, added up", derivatives=("by each what it is multiplied with",))
# the second derivative is p (1 - p) for the share p, and 1 - p has no digit left where p is near 1
logsumexp = row("logsumexp", lambda *x: special.logsumexp(x), _softmax, arity=None, scale=lambda *x: 1.0,
                mpmath=lambda m, *x: m.log(m.fsum(m.exp(a) for a in x)), formula=special.logsumexp_formula, doc="log(e^x₁ + … + e^xₙ), without overflow", derivatives=("softmax(x)",))
# by a logit it is share · Σt - t, which cancels where the share is near t, and by its t then share - 1
cross_entropy = row("cross_entropy", lambda *x: special.cross_entropy(x), _softmax_less_target, arity=None, paired=True, scale=lambda *x: 1.0 + math.fsum(map(math.fabs, x[len(x) // 2 :])),
                    mpmath=limits.mpmath_cross_entropy, formula=special.cross_entropy_formula, doc="Σ t · (logsumexp − logit) over logits, the first half of the operands, and probabilities t", derivatives=("softmax · Σt − t by the logits, logsumexp − logit by the probabilities",))

# ── parts of formulas, which nobody calls by name ─────────────────────────────────────────────
bell = Primitive("bell", special.bell, (lambda y, x: -(2 * (x * y)),), arity=1, mpmath=lambda m, x: m.exp(-x * x), total=True, formula=special.bell)
# y · log a and the factor b of a slope, where y is a^b: differentiated as what they are computed
# from, they would say nothing of what their products grow to where a goes to 0
power_log = Primitive("power_log", lambda a, b, y: y * log(a * math.nan if a < 0 else a + (a == 0)),
                      (lambda s, a, b, y: _unless_falling(a, b, _power_less_one(1, 1, a, b) * (1 + b * log(a + (a == 0)))),
                       lambda s, a, b, y: s * log(a + (a == 0)), 0), arity=3, mpmath="", formula=lambda a, b, y: y * log(where(a < 0, math.nan, a + (a == 0))))
power_factor = Primitive("power_factor", lambda a, b: b, (0, lambda f, a, b: _unless_falling(a, b, 1)), arity=2, mpmath="", total=True, formula=lambda a, b: b)
# a / y where y is hypot(a, b): 1/y - a²/y³ cancels, and y moves with a and b alone
direction = Primitive("direction", _direction, (lambda s, a, b, y: (b / y) * (b / y / y), lambda s, a, b, y: -(s * (b / y)) / y, 0), arity=3,
                      mpmath="", formula=_direction)
# its slope, as a sum (1 - x) - (1 + x), has no digit left at x = 1e-17
one_minus_square = Primitive("one_minus_square", lambda x: (1 - x) * (1 + x), (lambda y, x: -2 * x,), arity=1, mpmath="", total=True, formula=lambda x: (1 - x) * (1 + x))
# σ(x) σ(-x), whose slope as σ(x) σ(-x) (σ(-x) - σ(x)) has no digit left at x = 1e-17
logistic_pdf = Primitive("logistic_pdf", special.logistic_pdf, (lambda y, x: -y * tanh(x / 2),), arity=1, mpmath=lambda m, x: m.sech(x / 2) ** 2 / 4,
                         total=True, formula=special.logistic_pdf)
# the n-th derivative of erfcx, whose own recurrence cancels
erfcx_derivative = Primitive("erfcx_derivative", error_function.erfcx_derivative, (0, lambda y, n, x: erfcx_derivative(n + 1, x)), arity=2, whole=(0,),
                             mpmath=limits.mpmath_erfcx_derivative, limit=lambda n, x: -INFINITY if n % 2 else INFINITY, formula=error_function.erfcx_derivative)
# φ(x) / Φ(x), the slope of log Φ, and its n-th derivative: as a quotient 0 · ∞ far on the left, as
# a product without digits there
inverse_mills_ratio = Primitive("inverse_mills_ratio", normal_tails.inverse_mills_ratio, (lambda y, x: log_normal_cdf_derivative(2, x),), arity=1,
                                mpmath=limits.mpmath_inverse_mills_ratio, total=True, formula=normal_tails.inverse_mills_ratio)
log_normal_cdf_derivative = Primitive("log_normal_cdf_derivative", normal_tails.log_normal_cdf_derivative, (0, lambda y, n, x: log_normal_cdf_derivative(n + 1, x)), arity=2, whole=(0,),
                                      mpmath=limits.mpmath_log_normal_cdf_derivative, formula=normal_tails.log_normal_cdf_derivative)
# 1 / φ(x) where x is normal_ppf(p), and moves with p alone
normal_ppf_slope = Primitive("normal_ppf_slope", normal_tails.normal_ppf_slope, (0, lambda y, x, p: x * y * y), arity=2,
                             mpmath=lambda m, x, p: 1 / m.npdf(x), formula=normal_tails.normal_ppf_slope)
# ψ⁽ⁿ⁾(a + b) − ψ⁽ⁿ⁾(a), which cancel where b is small beside a
polygamma_difference = Primitive("polygamma_difference", log_gamma.polygamma_difference,
                                 (0, lambda y, n, a, b: polygamma_difference(n + 1, a, b), lambda y, n, a, b: polygamma(n + 1, a + b)), arity=3, whole=(0,),
                                 mpmath=limits.mpmath_polygamma_difference, formula=log_gamma.polygamma_difference)
# the largest operand as a constant, less which no e^x overflows
largest = Primitive("largest", lambda *x: max(x), (lambda y, *x: [0] * len(x),), arity=None, mpmath="", total=True, formula=special.largest)
PARTS = {
    "bell": bell,
    "largest": largest,
    "erfcx_derivative": erfcx_derivative,
    "inverse_mills_ratio": inverse_mills_ratio,
    "log_normal_cdf_derivative": log_normal_cdf_derivative,
    "normal_ppf_slope": normal_ppf_slope,
    "power_log": power_log,
    "power_factor": power_factor,
    "polygamma_difference": polygamma_difference,
    "logistic_pdf": logistic_pdf,
    "direction": direction,
    "one_minus_square": one_minus_square,
    "product_error": Primitive("product_error", parts.product_error, (0, 0, 0), arity=3, formula=parts.product_error,
                               c="fma({0}, {1}, -({2}))", array="", llvm="llvm.fma"),
    "power_of_two": Primitive("power_of_two", parts.power_of_two, (0,), arity=1, c="ldexp(1.0, (int){0})", array="", llvm="bits: 2**x"),
    "exponent": Primitive("exponent", parts.exponent, (0,), arity=1, c="logb({0})", array="", llvm="bits: exponent"),
    "mantissa": Primitive("mantissa", parts.mantissa, (0,), arity=1, c="scalbn({0}, -ilogb({0}))", array="", llvm="bits: mantissa"),
}
# fmt: on


def _both(condition: Any, a: Any, b: Any) -> Any:
    """`where` in a formula: both branches are computed where the condition is not known."""
    if not isinstance(condition, Carrier):
        return parts.where(condition, a, b)
    if hasattr(condition, "chosen"):
        return condition.chosen(a, b)
    a, b = (x() if callable(x) and not isinstance(x, Carrier) else x for x in (a, b))
    return where(condition, a, b)


_homes: dict[int, dict[str, Any]] = {id(globals()): globals()}
for _each in (*TABLE.values(), *PARTS.values()):
    if _each.formula is not None:
        _each.formula = on_rows(_each.formula, {**TABLE, **PARTS, "where": _both}, _homes)
