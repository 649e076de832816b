"""What the table of primitives is held to: mpmath's values and derivatives, where, and how closely.

A row that is new in the table is checked without a line here: its reference is mpmath's function of
the row, its points are its domain, its bound is 1e-13.
"""

import functools
import math
from collections.abc import Callable

import mpmath
from hypothesis import strategies as st
from mpmath import mpf

from tinygrad_scalar import Value
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.numbers import limits

LARGEST = 1.7976931348623157e308
# Where numbers lose their digits because they are subnormal, nothing is asked.
UNDERFLOW = 1e-320
# What a reference is computed with first; it must be the same with twice as many.
DIGITS = 30


# ── the functions, at any number of digits ────────────────────────────────────────────────────
def truncated(x):
    return mpmath.sign(x) * mpmath.floor(abs(x))


def erfc(x):
    """Far out, where e^(−x²) is no float by far, mpmath takes its time."""
    return mpmath.erfc(x) if abs(x) < 1000 else mpf(0 if x > 0 else 2)


def logsumexp(*x):
    return mpmath.log(mpmath.fsum(map(mpmath.exp, x)))


def halves(x):
    return x[: len(x) // 2], x[len(x) // 2 :]


def dot(*x):
    return mpmath.fdot(zip(*halves(x), strict=True))


def cross_entropy(*x):
    logits, targets = halves(x)
    total = logsumexp(*logits)
    return mpmath.fsum(t * (total - a) for a, t in zip(logits, targets, strict=True))


def gelu_argument(x):
    return mpmath.sqrt(2 / mpmath.pi) * (x + mpf("0.044715") * x**3)


def gelu_tanh(x):
    """x σ(2u), which is x (1 + tanh u) / 2 without its cancellation."""
    return x / (1 + mpmath.exp(-2 * gelu_argument(x))) if abs(x) < 1000 else max(x, mpf(0))


SELU, SELU_ALPHA = mpf(1.0507009873554805), mpf(1.6732632423543772)


def mish(x):
    """x tanh(log(1 + eˣ)), by e^−|x|."""
    if abs(x) > 1000:
        return max(x, mpf(0))
    e = mpmath.exp(x)
    return x * (e * (e + 2)) / (e * (e + 2) + 2)


REFERENCES: dict[str, Callable] = {
    "identity": lambda x: x,
    "neg": lambda x: -x,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / x,
    "sqrt": mpmath.sqrt,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.root(abs(x), 3),
    "hypot": lambda a, b: mpmath.sqrt(a**2 + b**2),
    "sign": mpmath.sign,
    "step": lambda x: mpf(x > 0),
    "abs": lambda x: x if x > 0 else -x,
    "floor": mpmath.floor,
    "ceil": mpmath.ceil,
    "trunc": truncated,
    "round": mpmath.nint,
    "round_to": lambda x, digits: mpmath.nint(x * mpf(10) ** digits) / mpf(10) ** digits,
    "floordiv": lambda a, b: mpmath.floor(a / b),
    "mod": lambda a, b: a - b * mpmath.floor(a / b),
    "remainder": lambda a, b: a - b * mpmath.nint(a / b),
    "fmod": lambda a, b: a - b * truncated(a / b),
    "maximum": max,
    "minimum": min,
    "clip": lambda x, low, high: max(low, min(x, high)),
    "where": lambda condition, a, b: a if condition else b,
    "copysign": lambda a, b: abs(a) * mpmath.sign(b),
    "exp": mpmath.exp,
    "exp2": lambda x: mpf(2) ** x,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log2": lambda x: mpmath.log(x) / mpmath.log(2),
    "log10": lambda x: mpmath.log(x) / mpmath.log(10),
    "log1p": mpmath.log1p,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "asin": mpmath.asin,
    "acos": mpmath.acos,
    "atan": mpmath.atan,
    "atan2": mpmath.atan2,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "sech": mpmath.sech,
    "asinh": mpmath.asinh,
    "acosh": mpmath.acosh,
    "atanh": mpmath.atanh,
    "erf": lambda x: mpmath.erf(x) if abs(x) < 1000 else mpmath.sign(x),
    "erfc": erfc,
    "gamma": mpmath.gamma,
    "lgamma": lambda x: mpmath.re(mpmath.loggamma(x)),
    "digamma": mpmath.digamma,
    "polygamma": lambda n, x: mpmath.psi(int(n), x),
    "normal_cdf": lambda x: erfc(-x / mpmath.sqrt(2)) / 2,
    "normal_pdf": lambda x: mpmath.exp(-(x**2) / 2) / mpmath.sqrt(2 * mpmath.pi),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)) if x > -1e4 else x,
    "logit": lambda x: mpmath.log(x) - mpmath.log1p(-x),
    "logaddexp": lambda a, b: max(a, b) + mpmath.log1p(mpmath.exp(-min(abs(a - b), mpf(10**5)))),
    "xlogy": lambda a, b: a * mpmath.log(b),
    "log1mexp": lambda x: mpmath.log(-mpmath.expm1(-x)) if x < 1 else mpmath.log1p(-mpmath.exp(-x)),
    "sinc": lambda x: mpmath.sin(x) / x if x else mpf(1),
    "degrees": lambda x: x * 180 / mpmath.pi,
    "radians": lambda x: x * mpmath.pi / 180,
    "softsign": lambda x: x / (1 + abs(x)),
    "hardtanh": lambda x: max(mpf(-1), min(x, mpf(1))),
    "mish": mish,
    "selu": lambda x: SELU * (x if x > 0 else SELU_ALPHA * mpmath.expm1(x)),
    "relu": lambda x: max(x, mpf(0)),
    "leaky_relu": lambda x, slope: x if x > 0 else slope * x,
    "elu": lambda x, alpha: x if x > 0 else alpha * mpmath.expm1(x),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "gelu": lambda x: x * erfc(-x / mpmath.sqrt(2)) / 2,
    "gelu_tanh": gelu_tanh,
    "sum": lambda *x: mpmath.fsum(x),
    "prod": lambda *x: mpmath.fprod(x),
    "mean": lambda *x: mpmath.fsum(x) / len(x),
    "dot": dot,
    "logsumexp": logsumexp,
    "cross_entropy": cross_entropy,
}


# Where a difference quotient will not do. Jumps lie close together for large quotients; the gamma
# family takes mpmath seconds at many digits; the order of polygamma is no real number.
DERIVATIVES: dict[tuple[str, int], Callable] = {
    ("gamma", 0): lambda x: mpmath.gamma(x) * mpmath.digamma(x),
    ("lgamma", 0): mpmath.digamma,
    ("digamma", 0): lambda x: mpmath.psi(1, x),
    ("polygamma", 1): lambda n, x: mpmath.psi(int(n) + 1, x),
    ("normal_ppf", 0): lambda p: 1 / mpmath.npdf(limits.mpmath_normal_ppf(mpmath, p)),
    ("betaln", 0): lambda a, b: -limits.mpmath_polygamma_difference(mpmath, 0, a, b),
    ("betaln", 1): lambda a, b: -limits.mpmath_polygamma_difference(mpmath, 0, b, a),
    ("mod", 1): lambda a, b: -mpmath.floor(a / b),
    ("remainder", 1): lambda a, b: -mpmath.nint(a / b),
    ("fmod", 1): lambda a, b: -truncated(a / b),
    ("mod", 0): lambda a, b: mpf(1),
    ("remainder", 0): lambda a, b: mpf(1),
    ("fmod", 0): lambda a, b: mpf(1),
    ("polygamma", 0): lambda n, x: mpf(0),
    ("where", 0): lambda condition, a, b: mpf(0),
    **{
        (name, i): lambda *x: mpf(0)
        for name in ("floor", "ceil", "trunc", "round", "round_to", "floordiv", "sign", "step")
        for i in (0, 1)
    },
}


QUOTIENTS = ("floordiv", "mod", "remainder", "fmod")  # whole numbers of up to 600 digits


def reference(row: Primitive) -> Callable:
    """The function of a row on numbers of mpmath."""
    if row.name in REFERENCES:
        return REFERENCES[row.name]
    if callable(row.mpmath):
        return lambda *x: row.mpmath(mpmath, *x)
    return getattr(mpmath, row.mpmath, row.forward)


def settled(compute: Callable[[], mpf], digits: int = DIGITS) -> mpf:
    """The number that stays when the digits are doubled; 0 for what no float can hold."""
    before = mpf("inf")
    while digits < 3000:
        with mpmath.workdps(digits):
            now = compute()
            if digits > 200 and max(abs(before), abs(now)) < mpf("1e-330"):
                return mpf(0)
            if now and abs(now - before) <= mpf("1e-20") * abs(now):
                return now
        before, digits = now, 2 * digits
    raise AssertionError("the reference does not settle")


def digits_for(point: tuple[float, ...]) -> int:
    """Enough to see the smallest operand beside the largest."""
    return DIGITS + 2 * max(math.ceil(abs(math.log10(abs(x)))) if x else 0 for x in point)


def exact_value(row: Primitive, point: tuple[float, ...]) -> mpf:
    digits = digits_for(point) if row.name in QUOTIENTS else DIGITS
    return settled(lambda: reference(row)(*map(mpf, point)), digits)


def exact_derivative(row: Primitive, point: tuple[float, ...], *by: int) -> mpf:
    """The derivative by the operands with these indices, whose order makes no difference."""
    return _exact_derivative(row, point, tuple(sorted(by)))


@functools.cache
def _exact_derivative(row: Primitive, point: tuple[float, ...], by: tuple[int, ...]) -> mpf:
    """A central difference at many digits."""
    at = tuple(map(mpf, point))
    if (row.name, *by) in DERIVATIVES:
        digits = digits_for(point) if row.name in QUOTIENTS else DIGITS
        return settled(lambda: DERIVATIVES[row.name, by[0]](*at), digits)
    orders = tuple(by.count(i) for i in range(len(point)))
    # Small beside every operand, so that no step crosses a pole or a kink, and beside 1 / operand,
    # so that a power of 1e30 is still nearly straight.
    step = (
        mpf("1e-30") * min([1.0, *(abs(x) for x in point if x)]) / max(1.0, *map(abs, point), 1.0)
    )
    return settled(lambda: mpmath.diff(reference(row), at, orders, h=step), digits_for(point))


# ── the points ────────────────────────────────────────────────────────────────────────────────
def between(low, high, *, closed_low=False, closed_high=False):
    return st.floats(
        None if low == -math.inf else low,
        None if high == math.inf else high,
        exclude_min=low != -math.inf and not closed_low,
        exclude_max=high != math.inf and not closed_high,
        allow_nan=False,
        allow_infinity=False,
    )


def operand(interval):
    """Numbers of an open interval: anywhere, in the middle, near the edges."""
    low, high = interval.low, interval.high
    choices = [between(low, high), between(max(low, -8.0), min(high, 8.0))]
    for edge, inwards in ((low, 1.0), (high, -1.0)):
        if math.isfinite(edge):
            near = st.integers(1, 53 if edge else 1074)
            close = near.map(lambda k, e=edge, s=inwards: e + s * 2.0**-k)
            choices.append(close.filter(interval.interior))
    return st.one_of(choices)


REAL = between(-math.inf, math.inf)
POSITIVE = between(0.0, math.inf)
MIDDLE = between(-8.0, 8.0)
NOT_ZERO = st.one_of(REAL, MIDDLE).filter(bool)
BETWEEN_POLES = st.one_of(
    POSITIVE, between(-8.0, 8.0), between(-170.0, 171.0), REAL, st.floats(-8.0, 8.0).map(math.exp)
).filter(lambda x: x > 0 or x != math.floor(x))
MANY = st.lists(MIDDLE | between(-700.0, 700.0), min_size=1, max_size=5)
PAIRS = st.one_of(
    st.tuples(st.lists(MIDDLE, min_size=n, max_size=n), st.lists(MIDDLE, min_size=n, max_size=n))
    for n in (1, 2, 4)
).map(lambda pair: (*pair[0], *pair[1]))


def overflows_on_the_way(a, b):
    """Whether a ** (b − 1) overflows, but b a ** (b − 1) does not: a below 1e-300, b near 0."""
    logarithm = (b - 1) * math.log(abs(a))
    return logarithm > 709.7 and (b == 0 or logarithm + math.log(abs(b)) < 709.8)


POINTS = {
    "pow": st.one_of(
        st.tuples(POSITIVE, MIDDLE),
        st.tuples(between(0.0, 8.0), between(-300.0, 300.0)),
        st.tuples(POSITIVE, REAL),
        st.tuples(st.floats(-8.0, -0.0, exclude_max=True), st.integers(-9, 9).map(float)),
    ).filter(lambda x: not overflows_on_the_way(*x)),
    "div": st.tuples(REAL | MIDDLE, NOT_ZERO),
    "reciprocal": st.tuples(NOT_ZERO),
    "cbrt": st.tuples(NOT_ZERO),  # the slope is infinite at 0
    # the cut is a jump, though the slope is the same on both sides
    "atan2": st.tuples(REAL | MIDDLE, REAL | MIDDLE).filter(lambda x: x[0] or x[1] > 0),
    "floordiv": st.tuples(REAL | MIDDLE, NOT_ZERO),
    "mod": st.tuples(REAL | MIDDLE, NOT_ZERO),
    "remainder": st.tuples(REAL | MIDDLE, NOT_ZERO),
    "fmod": st.tuples(REAL | MIDDLE, NOT_ZERO),
    "round_to": st.tuples(between(-1e15, 1e15) | MIDDLE, st.integers(-9, 9).map(float)),
    "clip": st.lists(REAL | MIDDLE, min_size=3, max_size=3)
    .map(lambda x: (x[0], min(x[1:]), max(x[1:])))
    .filter(lambda x: x[1] < x[2]),
    "where": st.tuples(st.sampled_from([0.0, 1.0]), REAL, REAL),
    "gamma": st.tuples(BETWEEN_POLES),
    "lgamma": st.tuples(BETWEEN_POLES),
    "digamma": st.tuples(BETWEEN_POLES),
    "polygamma": st.tuples(st.integers(0, 6).map(float), BETWEEN_POLES),
    "dot": PAIRS,
    "cross_entropy": PAIRS,
}


def points(row: Primitive) -> st.SearchStrategy[tuple[float, ...]]:
    """Points of the open domain of a row, away from its kinks."""
    if row.name in POINTS:
        anywhere = POINTS[row.name]
    elif row.arity is None:
        anywhere = MANY.map(tuple)
    else:
        anywhere = st.tuples(*map(operand, row.domain))
    return anywhere.filter(lambda point: not row.kinks(*point))


# ── the bounds ────────────────────────────────────────────────────────────────────────────────
def relative(bound):
    return lambda exact, *x: bound * abs(exact)


def sum_of_sizes(*x):
    return len(x) * 3e-16 * sum(map(abs, x))


def around_product(exact, *x):
    """A product on the way that is subnormal has lost digits, which other factors enlarge."""
    lost = len(x) * 5e-324 * mpmath.fprod(max(1, abs(each)) for each in x)
    return DEFAULT(exact) + lost


def terms_of_silu(exact, x):
    s = float(REFERENCES["sigmoid"](mpf(x)))
    return 1e-15 * s * (1 + abs(x) * (1 - s))


def terms_of_mish(exact, x):
    s, q = (float(REFERENCES["sigmoid"](mpf(z))) for z in (x, -x))
    return 2e-15 * s * (1 + q + 4 * min(abs(x), 800) * q * q)


def terms_of_gelu(exact, x):
    x = mpf(x)
    return 2e-15 * (REFERENCES["normal_cdf"](x) + abs(x) * REFERENCES["normal_pdf"](x))


def terms_of_gelu_tanh(exact, x):
    s = REFERENCES["sigmoid"](2 * gelu_argument(mpf(x)))
    slope = 2 * mpmath.diff(gelu_argument, mpf(x))
    return 1e-12 * s * (1 + abs(x) * slope * (1 - s))


def around_digamma(exact, x):
    """As `polygamma.digamma` states it."""
    if x > 0:
        return 2e-14 * abs(exact)
    return 1e-15 * (
        1 + abs(mpmath.digamma(1 - mpf(x))) + abs(mpmath.pi * mpmath.cot(mpmath.pi * x))
    )


def around_lgamma(exact, x):
    """For x < 0 the logarithms of Γ(1 − x) and of sin πx cancel where |Γ(x)| is 1."""
    if x > 0:
        return 2e-14 * abs(exact)
    sine = mpmath.sinpi(mpf(x))
    return 1e-15 * (10 + abs(mpmath.loggamma(1 - mpf(x))) + abs(mpmath.log(abs(sine))))


def around_gamma_slope(exact, x):
    return 1e-14 * abs(exact) + abs(mpmath.gamma(mpf(x))) * around_digamma(0, x)


def around_polygamma(exact, n, x, order=0):
    """For x < 0 the sums from both sides of 0 cancel at the zeros."""
    order += int(n)
    if order == 0:
        return around_digamma(exact, x)
    if x > 0:
        return 2e-14 * abs(exact)
    pole = abs(mpf(math.remainder(x, 1.0)))  # its distance, exactly
    sums = mpmath.zeta(order + 1, pole) + mpmath.zeta(order + 1, 1 - pole)
    return 2e-14 * mpmath.factorial(order) * sums


def around_cross_entropy(exact, *x):
    logits, targets = halves(x)
    total = float(logsumexp(*map(mpf, logits)))
    return len(x) * 1e-15 * sum(
        abs(t) * (1 + abs(total) + abs(a)) for a, t in zip(logits, targets, strict=True)
    ) + len(x) * 1e-15 * sum(1 + abs(total) + abs(a) for a in logits)


DEFAULT = relative(1e-13)
# (row, "value" or the index of the partial): the error that is allowed there, with the reason.
BOUNDS: dict[tuple[str, object], Callable] = {
    # a ** b has no digit more than b log a, up to 745, leaves it: 745 · 1.1e-16 and as much again
    ("pow", "value"): relative(2e-13),
    ("pow", 0): relative(2e-13),
    ("pow", 1): relative(2e-13),
    # the quotient, reused, has been rounded where it is subnormal
    ("div", 1): lambda exact, a, b: 1e-13 * abs(exact) + 5e-324 / abs(mpf(b)),
    # so has the length that both partials of hypot are divided by
    ("hypot", 0): lambda exact, a, b: 1e-13 * abs(exact) + 5e-324 / mpmath.hypot(a, b),
    ("hypot", 1): lambda exact, a, b: 1e-13 * abs(exact) + 5e-324 / mpmath.hypot(a, b),
    # 1 / cosh² is 0 as soon as cosh² has overflowed, at 355
    ("tanh", 0): lambda exact, x: 1e-13 * abs(exact) + 1e-307,
    # 1 / (x log 10) is 0 as soon as x log 10 has overflowed
    ("log10", 0): lambda exact, x: 1e-13 * abs(exact) + 1e-308,
    # b / (a² + b²) is 0 as soon as √(a² + b²) has overflowed
    ("atan2", 0): lambda exact, a, b: 1e-13 * abs(exact) + 1e-307,
    ("atan2", 1): lambda exact, a, b: 1e-13 * abs(exact) + 1e-307,
    # zeros where two terms cancel: held to the terms
    ("silu", 0): terms_of_silu,
    ("mish", 0): terms_of_mish,
    ("gelu", 0): terms_of_gelu,
    ("gelu_tanh", "value"): relative(5e-13),  # as `special.gelu_tanh` states it
    ("gelu_tanh", 0): terms_of_gelu_tanh,
    ("lgamma", "value"): around_lgamma,
    ("lgamma", 0): around_digamma,
    ("digamma", "value"): around_digamma,
    ("gamma", 0): around_gamma_slope,
    ("polygamma", "value"): around_polygamma,
    ("polygamma", 1): lambda exact, n, x: around_polygamma(exact, n, x, 1),
    ("prod", "value"): around_product,
    ("prod", None): around_product,
    # sums of terms that cancel, rounded one by one
    ("sum", "value"): lambda exact, *x: sum_of_sizes(*x),
    ("mean", "value"): lambda exact, *x: sum_of_sizes(*x) / len(x),
    ("dot", "value"): lambda exact, *x: sum_of_sizes(
        *(a * b for a, b in zip(*halves(x), strict=True))
    ),
    ("logsumexp", "value"): lambda exact, *x: len(x) * 3e-16 * (max(map(abs, x)) + len(x)),
    # e^(a − y) has lost what the rounding of y took from a − y
    ("logsumexp", None): lambda exact, *x: abs(exact) * 3e-16 * (max(map(abs, x)) + len(x) + 2),
    ("cross_entropy", "value"): around_cross_entropy,
    ("cross_entropy", None): around_cross_entropy,
}


def allowed(row: Primitive, what: object, exact: mpf, point: tuple[float, ...]) -> mpf:
    """The error allowed in the value or in a partial."""
    key = what if what == "value" or row.arity is not None else None
    with mpmath.workdps(60):
        return BOUNDS.get((row.name, key), DEFAULT)(exact, *point) + UNDERFLOW


def assert_as_exact(got: float, exact: mpf, error: mpf, what: str) -> None:
    if abs(exact) > LARGEST:
        assert abs(got) >= LARGEST * (1 - 1e-13), what
        assert (got > 0) == (exact > 0), what
    else:
        assert math.isfinite(got), f"{what}: {got}, exactly {mpmath.nstr(exact, 17)}"
        assert abs(mpf(got) - exact) <= error, f"{what}: {got!r}, exactly {mpmath.nstr(exact, 17)}"


def check_value(row: Primitive, point: tuple[float, ...]) -> Value | None:
    """The node, once its number is held to the reference; None where that overflows."""
    exact = exact_value(row, point)
    try:
        node = row(*map(Value, point))
    except OverflowError:
        assert abs(exact) > LARGEST * (1 - 1e-13), f"{row.name}{point} does not overflow"
        return None
    assert_as_exact(node.data, exact, allowed(row, "value", exact, point), f"{row.name}{point}")
    return node if abs(exact) <= LARGEST else None


def has_partial(row: Primitive, i: int, point: tuple[float, ...]) -> bool:
    """Whether there is a derivative by operand i: a negative base has none by its exponent."""
    return row.name != "pow" or i == 0 or point[0] > 0


def check_partials(row: Primitive, point: tuple[float, ...]) -> None:
    """Value and partials at one point: by the node, by the fast sweep, and by Algorithm 6.2."""
    node = check_value(row, point)
    if node is None:
        return
    wanted = [i for i in range(len(point)) if has_partial(row, i, point)]
    leaves = [node.parents[i] for i in wanted]
    fast = node.backward(inputs=leaves)
    book = node.backward(inputs=leaves, undefined="warn")
    for i, leaf in zip(wanted, leaves, strict=True):
        exact = exact_derivative(row, point, i)
        error = allowed(row, i, exact, point)
        for way, got in (
            ("local derivative", node.local_derivatives[i]()),
            ("backward", fast[leaf]),
            ("backward, by the book", book[leaf]),
        ):
            assert_as_exact(got, exact, error, f"{row.name}{point}, partial {i}, {way}")
