"""Made by tools/stubs.py from the table of primitives; not to be edited."""

# mypy: disable-error-code="overload-overlap"
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, TypeVar, overload

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value

Operand = Value | float | Fraction
# what shadows builtins is public by its own import
__all__ = ['acos', 'acosh', 'asin', 'asinh', 'atan', 'atan2', 'atanh', 'betaln', 'cbrt', 'ceil', 'clip', 'copysign', 'cos', 'cosh', 'cross_entropy', 'degrees', 'digamma', 'dot', 'elu', 'erf', 'erfc', 'erfcx', 'erfinv', 'exp', 'exp2', 'expm1', 'floor', 'fmod', 'gamma', 'gelu', 'hardtanh', 'hypot', 'leaky_relu', 'lgamma', 'log', 'log10', 'log1mexp', 'log1p', 'log2', 'log_normal_cdf', 'log_sigmoid', 'log_softmax', 'logaddexp', 'logit', 'logsumexp', 'maximum', 'mean', 'minimum', 'mish', 'mod', 'normal_cdf', 'normal_pdf', 'normal_ppf', 'prod', 'radians', 'reciprocal', 'relu', 'remainder', 'sech', 'selu', 'sigmoid', 'sign', 'silu', 'sin', 'sinc', 'sinh', 'softmax', 'softplus', 'softsign', 'sqrt', 'square', 'step', 'tan', 'tanh', 'trunc', 'where', 'xlogy']

identity: Primitive
_A = TypeVar("_A")
_B = TypeVar("_B")

def detach(x: Any) -> Any: ...
def class_index(target: Any, classes: int) -> int: ...
@overload
def where(c: Any, a: Value, b: Operand) -> Value: ...
@overload
def where(c: Any, a: float, b: Value) -> Value: ...
@overload
def where(c: Any, a: float, b: float) -> float: ...
@overload
def where(c: Any, a: Callable[[], _A], b: Callable[[], _B]) -> _A | _B: ...
@overload
def where(c: Any, a: Any, b: Any) -> Any: ...

class _Of1(Primitive):
    @overload
    def __call__(self, x0: Value, /) -> Value: ...
    @overload
    def __call__(self, x0: float, /) -> float: ...

class _Of2(Primitive):
    @overload
    def __call__(self, x0: Value, x1: Operand, /) -> Value: ...
    @overload
    def __call__(self, x0: float, x1: Value, /) -> Value: ...
    @overload
    def __call__(self, x0: float, x1: float, /) -> float: ...

abs: _Of1
"""abs(x): |x|.

Domain: x in (−∞, ∞).
Derivative: sign(x).
Kinks: x = 0; 0 there.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = abs(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.25, 1.0)
"""
acos: _Of1
"""acos(x): the arc cosine (measured in radians) of x.

Domain: x in [−1, 1].
Derivative: -1 / sqrt(1 - x * x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = acos(x)
>>> table = y.backward()
>>> y.data, table[x]
(1.318116071652818, -1.0327955589886444)
"""
acosh: _Of1
"""acosh(x): the inverse hyperbolic cosine of x.

Domain: x in [1, ∞).
Derivative: 1 / (sqrt(x - 1) * sqrt(x + 1)).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(1.5)
>>> y = acosh(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.9624236501192069, 0.8944271909999159)
"""
asin: _Of1
"""asin(x): the arc sine (measured in radians) of x.

Domain: x in [−1, 1].
Derivative: 1 / sqrt(1 - x * x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = asin(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.25268025514207865, 1.0327955589886444)
"""
asinh: _Of1
"""asinh(x): the inverse hyperbolic sine of x.

Domain: x in (−∞, ∞).
Derivative: 1 / hypot(1, x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = asinh(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.24746646154726346, 0.9701425001453319)
"""
atan: _Of1
"""atan(x): the arc tangent (measured in radians) of x.

Domain: x in (−∞, ∞).
Derivative: square(1 / hypot(1, x)).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = atan(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.24497866312686414, 0.9411764705882353)
"""
atan2: _Of2
"""atan2(a, b): the angle of the point (b, a): the arc tangent of a / b, in radians, of the right quadrant.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: b / (a * a + b * b).
∂/∂b: -a / (a * a + b * b).
Kinks: a == 0 and b == 0; 0, 0 there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = atan2(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.4636476090008061, 1.5999999999999999, -0.7999999999999999)
"""
atanh: _Of1
"""atanh(x): the inverse hyperbolic tangent of x.

Domain: x in (−1, 1).
Derivative: 1 / (1 - x * x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = atanh(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.25541281188299536, 1.0666666666666667)
"""
betaln: _Of2
"""betaln(a, b): log B(a, b) = log Γ(a) + log Γ(b) − log Γ(a + b), which cancel for large arguments.

Domain: a in (0, ∞), b in (0, ∞).
∂/∂a: digamma(a) - digamma(a + b).
∂/∂b: digamma(b) - digamma(a + b).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = betaln(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(1.6571065161914822, -3.1415926535897927, -0.8776491462349513)
"""
cbrt: _Of1
"""cbrt(x): the cube root of x.

Domain: x in (−∞, ∞).
Derivative: 1 / (3 * y * y), where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = cbrt(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.6299605249474366, 0.8399473665965822)
"""
@overload
def ceil(x: Value) -> Value: ...
@overload
def ceil(x: float) -> int: ...
@overload
def clip(x: Value, lo: Operand, hi: Operand) -> Value: ...
@overload
def clip(x: float, lo: Value, hi: Operand) -> Value: ...
@overload
def clip(x: float, lo: float, hi: Value) -> Value: ...
@overload
def clip(x: float, lo: float, hi: float) -> float: ...
copysign: _Of2
"""copysign(a, b): |a| with the sign of b, −0.0 counting as negative, in the type of a.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: (y == a) - (y == -a), where y is the result.
∂/∂b: 0.
Kinks: a == 0 or b == 0; that of one side there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = copysign(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.25, 1.0, 0.0)
"""
cos: _Of1
"""cos(x): the cosine of x (measured in radians).

Domain: x in (−∞, ∞).
Derivative: -sin(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = cos(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.9689124217106447, -0.24740395925452294)
"""
cosh: _Of1
"""cosh(x): the hyperbolic cosine of x.

Domain: x in (−∞, ∞).
Derivative: sinh(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = cosh(x)
>>> table = y.backward()
>>> y.data, table[x]
(1.0314130998795732, 0.2526123168081683)
"""
@overload
def cross_entropy(logits: Iterable[float], target: Any) -> float: ...
@overload
def cross_entropy(logits: Iterable[Operand], target: Any) -> Value: ...
degrees: _Of1
"""degrees(x): x * 57.2958.

Domain: x in (−∞, ∞).
Derivative: 57.2958.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = degrees(x)
>>> table = y.backward()
>>> y.data, table[x]
(14.32394487827058, 57.29577951308232)
"""
digamma: _Of1
"""digamma(x): ψ(x) = Γ′(x) / Γ(x); poles at 0, −1, −2 and so on.

Domain: x in (−∞, ∞).
Derivative: 1 / x² + 1 / (x + 1)² + 1 / (x + 2)² + ….
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = digamma(x)
>>> table = y.backward()
>>> y.data, table[x]
(-4.2274535333762655, 17.197329154507113)
"""
@overload
def dot(xs: Iterable[float], ys: Iterable[float]) -> float: ...
@overload
def dot(xs: Iterable[Operand], ys: Iterable[Operand]) -> Value: ...
@overload
def elu(x: Value, alpha: float | None = ...) -> Value: ...
@overload
def elu(x: float, alpha: float | None = ...) -> float: ...
erf: _Of1
"""erf(x): error function at x.

Domain: x in (−∞, ∞).
Derivative: 2 / √π * exp(-x * x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = erf(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.2763263901682369, 1.0600141293761143)
"""
erfc: _Of1
"""erfc(x): complementary error function at x.

Domain: x in (−∞, ∞).
Derivative: -2 / √π * exp(-x * x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = erfc(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.7236736098317631, -1.0600141293761143)
"""
erfcx: _Of1
"""erfcx(x): e^(x²) erfc x, the scaled complementary error function.

Domain: x in (−∞, ∞).
Derivative: 2 * x * y - 2 / √π, where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = erfcx(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.7703465477309966, -0.7432058932300143)
"""
erfinv: _Of1
"""erfinv(x): the y with erf y = x.

Domain: x in (−1, 1).
Derivative: √π / 2 * exp(y * y), where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = erfinv(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.2253120550121781, 0.9323782346059725)
"""
exp: _Of1
"""exp(x): e raised to the power of x.

Domain: x in (−∞, ∞).
Derivative: y, where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = exp(x)
>>> table = y.backward()
>>> y.data, table[x]
(1.2840254166877414, 1.2840254166877414)
"""
exp2: _Of1
"""exp2(x): 2 raised to the power of x.

Domain: x in (−∞, ∞).
Derivative: y * 0.693147, where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = exp2(x)
>>> table = y.backward()
>>> y.data, table[x]
(1.189207115002721, 0.8242955588659627)
"""
expm1: _Of1
"""expm1(x): exp(x)-1.

Domain: x in (−∞, ∞).
Derivative: exp(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = expm1(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.2840254166877415, 1.2840254166877414)
"""
@overload
def floor(x: Value) -> Value: ...
@overload
def floor(x: float) -> int: ...
fmod: _Of2
"""fmod(a, b): the remainder of a / b with the sign of a, as in C; b ≠ 0.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: 1.
∂/∂b: 0 - round((a - y) / b), where y is the result.
Kinks: a a multiple of b, but not 0; that of one side there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = fmod(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.25, 1.0, 0.0)
"""
gamma: _Of1
"""gamma(x): Γ(x), which is (x − 1)! of a whole x; poles at 0, −1, −2 and so on.

Domain: x in (−∞, ∞).
Derivative: y * digamma(x), where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = gamma(x)
>>> table = y.backward()
>>> y.data, table[x]
(3.6256099082219087, -15.327097417156706)
"""
class _gelu:
    @overload
    def __call__(self, x: Value, /, approximate: str = ...) -> Value: ...
    @overload
    def __call__(self, x: float, /, approximate: str = ...) -> float: ...
gelu: _gelu
"""gelu(x) = x Φ(x); with `approximate="tanh"` the formula by tanh.

Errors: ValueError for another `approximate`. Source: Hendrycks and Gimpel 2016, section 2.

>>> gelu(1.0)
0.841344746068543
"""
hardtanh: _Of1
"""hardtanh(x): x, but at least −1 and at most 1.

Domain: x in (−∞, ∞).
Derivative: 1 - step(abs(x) - 1).
Kinks: x = -1 or x = 1; 1 there.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = hardtanh(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.25, 1.0)
"""
@overload
def hypot(*coordinates: float) -> float: ...
@overload
def hypot(*coordinates: Operand) -> Value: ...
@overload
def leaky_relu(x: Value, slope: float | None = ...) -> Value: ...
@overload
def leaky_relu(x: float, slope: float | None = ...) -> float: ...
lgamma: _Of1
"""lgamma(x): log |Γ(x)|, its digits kept at the zeros 1 and 2; poles at 0, −1, −2 and so on.

Domain: x in (−∞, ∞).
Derivative: digamma(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = lgamma(x)
>>> table = y.backward()
>>> y.data, table[x]
(1.2880225246980772, -4.2274535333762655)
"""
@overload
def log(x: Value, base: float | None = ...) -> Value: ...
@overload
def log(x: float, base: float | None = ...) -> float: ...
log10: _Of1
"""log10(x): the base 10 logarithm of x.

Domain: x in (0, ∞).
Derivative: 0.434294 / x.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = log10(x)
>>> table = y.backward()
>>> y.data, table[x]
(-0.6020599913279624, 1.737177927613007)
"""
log1mexp: _Of1
"""log1mexp(x): log(1 − e⁻ˣ).

Domain: x in (0, ∞).
Derivative: -exp(-x) / expm1(-x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = log1mexp(x)
>>> table = y.backward()
>>> y.data, table[x]
(-1.5086915494460322, 3.5208116641877987)
"""
log1p: _Of1
"""log1p(x): the natural logarithm of 1+x (base e).

Domain: x in (−1, ∞).
Derivative: 1 / (1 + x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = log1p(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.22314355131420976, 0.8)
"""
log2: _Of1
"""log2(x): the base 2 logarithm of x.

Domain: x in (0, ∞).
Derivative: 1.4427 / x.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = log2(x)
>>> table = y.backward()
>>> y.data, table[x]
(-2.0, 5.7707801635558535)
"""
log_normal_cdf: _Of1
"""log_normal_cdf(x): log Φ(x), the logarithm of the probability that a normal variable is at most x.

Domain: x in (−∞, ∞).
Derivative: normal_pdf(x) / normal_cdf(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = log_normal_cdf(x)
>>> table = y.backward()
>>> y.data, table[x]
(-0.5129840754094305, 0.6458393710168173)
"""
log_sigmoid: _Of1
"""log_sigmoid(x): log σ(x) = −softplus(−x).

Domain: x in (−∞, ∞).
Derivative: sigmoid(-x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = log_sigmoid(x)
>>> table = y.backward()
>>> y.data, table[x]
(-0.5759394198788436, 0.4378234991142019)
"""
@overload
def log_softmax(xs: Iterable[float]) -> list[float]: ...
@overload
def log_softmax(xs: Iterable[Operand]) -> list[Value]: ...
logaddexp: _Of2
"""logaddexp(a, b): log(eᵃ + eᵇ), without overflow.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: sigmoid(a - b).
∂/∂b: sigmoid(b - a).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = logaddexp(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(1.0759394198788437, 0.4378234991142019, 0.5621765008857981)
"""
logit: _Of1
"""logit(x): log(x / (1 − x)), the inverse of σ; near ½ as 2 artanh(2x − 1), which does not cancel there.

Domain: x in (0, 1).
Derivative: 1 / (x * (1 - x)).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = logit(x)
>>> table = y.backward()
>>> y.data, table[x]
(-1.0986122886681096, 5.333333333333333)
"""
@overload
def logsumexp(values: Iterable[float]) -> float: ...
@overload
def logsumexp(values: Iterable[Operand]) -> Value: ...
maximum: _Of2
"""maximum(a, b): the larger of a and b, the first of equals; NaN if either is NaN.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: (a >= b) - (a == b) / 2.
∂/∂b: (b >= a) - (a == b) / 2.
Kinks: a == b; 0.5, 0.5 there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = maximum(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.5, 0.0, 1.0)
"""
@overload
def mean(values: Iterable[float]) -> float: ...
@overload
def mean(values: Iterable[Operand]) -> Value: ...
minimum: _Of2
"""minimum(a, b): the smaller of a and b, the first of equals; NaN if either is NaN.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: (a <= b) - (a == b) / 2.
∂/∂b: (b <= a) - (a == b) / 2.
Kinks: a == b; 0.5, 0.5 there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = minimum(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.25, 1.0, 0.0)
"""
mish: _Of1
"""mish(x): x · tanh(log(1 + eˣ)).

Domain: x in (−∞, ∞).
Derivative: t + x * sigmoid(x) * (1 - t * t), where t = tanh(softplus(x)).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = mish(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.16957240966381756, 0.7541726677205928)
"""
mod: _Of2
"""mod(a, b): a % b, with the sign of b; b ≠ 0.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: 1.
∂/∂b: 0 - round((a - y) / b), where y is the result.
Kinks: a % b == 0; that of one side there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = mod(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.25, 1.0, 0.0)
"""
normal_cdf: _Of1
"""normal_cdf(x): Φ(x) = ½ erfc(−x/√2), the probability that a normal variable is at most x.

Domain: x in (−∞, ∞).
Derivative: normal_pdf(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = normal_cdf(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.5987063256829237, 0.38666811680284924)
"""
normal_pdf: _Of1
"""normal_pdf(x): φ(x) = e^(−x²/2) / √(2π), the density of the normal distribution.

Domain: x in (−∞, ∞).
Derivative: -x * y, where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = normal_pdf(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.38666811680284924, -0.09666702920071231)
"""
normal_ppf: _Of1
"""normal_ppf(p): the quantile of the normal distribution, the y with Φ(y) = p.

Domain: p in (0, 1).
Derivative: 1 / normal_pdf(y), where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> p = Value(0.25)
>>> y = normal_ppf(p)
>>> table = y.backward()
>>> y.data, table[p]
(-0.6744897501960818, 3.146865080561093)
"""
pow: _Of2
"""pow(a, b): a to the power of b, as Python's `**` but never complex: below 0 only whole powers.

Domain: a in (0, ∞), b in (−∞, ∞).
∂/∂a: b * a ** (b - 1).
∂/∂b: y * log(a), where y is the result.
Kinks: a == 0 and b == 0; 0, 0 there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = pow(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.5, 1.0, -0.6931471805599453)
"""
@overload
def prod(values: Iterable[float]) -> float: ...
@overload
def prod(values: Iterable[Operand]) -> Value: ...
radians: _Of1
"""radians(x): x * 0.0174533.

Domain: x in (−∞, ∞).
Derivative: 0.0174533.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = radians(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.004363323129985824, 0.017453292519943295)
"""
reciprocal: _Of1
"""reciprocal(x): 1 / x, x ≠ 0.

Domain: x in (−∞, ∞).
Derivative: -y * y, where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = reciprocal(x)
>>> table = y.backward()
>>> y.data, table[x]
(4.0, -16.0)
"""
relu: _Of1
"""relu(x): max(0, x): x where x > 0, else 0, in the type of x; NaN at NaN.

Domain: x in (−∞, ∞).
Derivative: step(x).
Kinks: x = 0; 0 there.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = relu(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.25, 1.0)
"""
remainder: _Of2
"""remainder(a, b): a less the multiple of b nearest to it; at a tie the even one, as IEEE has it; b ≠ 0.

Domain: a in (−∞, ∞), b in (−∞, ∞).
∂/∂a: 1.
∂/∂b: 0 - round((a - y) / b), where y is the result.
Kinks: a halfway between two multiples of b; that of one side there.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = remainder(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(0.25, 1.0, 0.0)
"""
round: _Of1
"""round(x): the whole number nearest to x, in the type of x; halves go to the even neighbour.

Domain: x in (−∞, ∞).
Derivative: 0.
Kinks: x halfway between two whole numbers; 0 there.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = round(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.0, 0.0)
"""
sech: _Of1
"""sech(x): the hyperbolic secant 1 / cosh x = 2 e^−|x| / (1 + e^−2|x|), which never overflows.

Domain: x in (−∞, ∞).
Derivative: -y * tanh(x), where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = sech(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.9695436291402146, -0.2374593287910592)
"""
selu: _Of1
"""selu(x): λ x where x > 0, else λ α (eˣ − 1), λ and α such that means 0 and variances 1 are kept.

Domain: x in (−∞, ∞).
Derivative: where(x > 0, 1.0507, exp(x * (x <= 0)) * 1.7581).
Kinks: x = 0; that of one side there.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = selu(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.2626752468388701, 1.0507009873554805)
"""
sigmoid: _Of1
"""sigmoid(x): σ(x) = 1 / (1 + e⁻ˣ).

Domain: x in (−∞, ∞).
Derivative: sigmoid(x) * sigmoid(-x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = sigmoid(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.5621765008857981, 0.24613408273759832)
"""
sign: _Of1
"""sign(x): −1, 0 or 1 by the sign of x, in the type of x; 0 at both zeros, NaN at NaN.

Domain: x in (−∞, ∞).
Derivative: 0.
Kinks: x = 0; 0 there.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = sign(x)
>>> table = y.backward()
>>> y.data, table[x]
(1.0, 0.0)
"""
silu: _Of1
"""silu(x): SiLU: x · σ(x), also called swish.

Domain: x in (−∞, ∞).
Derivative: sigmoid(x) * (1 + x * sigmoid(-x)).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = silu(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.14054412522144952, 0.6237100215701976)
"""
sin: _Of1
"""sin(x): the sine of x (measured in radians).

Domain: x in (−∞, ∞).
Derivative: cos(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = sin(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.24740395925452294, 0.9689124217106447)
"""
sinc: _Of1
"""sinc(x): sin x / x, 1 at 0.

Domain: x in (−∞, ∞).
Derivative: (cos(x) - y) / x, where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = sinc(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.9896158370180917, -0.08281366122978773)
"""
sinh: _Of1
"""sinh(x): the hyperbolic sine of x.

Domain: x in (−∞, ∞).
Derivative: cosh(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = sinh(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.2526123168081683, 1.0314130998795732)
"""
@overload
def softmax(xs: Iterable[float]) -> list[float]: ...
@overload
def softmax(xs: Iterable[Operand]) -> list[Value]: ...
softplus: _Of1
"""softplus(x): softplus: log(1 + eˣ), the smooth relu.

Domain: x in (−∞, ∞).
Derivative: sigmoid(x).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = softplus(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.8259394198788436, 0.5621765008857981)
"""
softsign: _Of1
"""softsign(x): x / (1 + |x|), the sign of x at ±inf.

Domain: x in (−∞, ∞).
Derivative: square(1 / (1 + abs(x))).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = softsign(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.2, 0.6400000000000001)
"""
sqrt: _Of1
"""sqrt(x): the square root of x.

Domain: x in [0, ∞).
Derivative: 1 / (2 * y), where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = sqrt(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.5, 1.0)
"""
square: _Of1
"""square(x): x * x.

Domain: x in (−∞, ∞).
Derivative: 2 * x.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = square(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.0625, 0.5)
"""
step: _Of1
"""step(x): the unit step: 1 where x > 0, else 0, in the type of x; NaN at NaN.

Domain: x in (−∞, ∞).
Derivative: 0.
Kinks: x = 0; 0 there.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = step(x)
>>> table = y.backward()
>>> y.data, table[x]
(1.0, 0.0)
"""
@overload
def sum(values: Iterable[float]) -> float: ...
@overload
def sum(values: Iterable[Operand]) -> Value: ...
tan: _Of1
"""tan(x): the tangent of x (measured in radians).

Domain: x in (−∞, ∞).
Derivative: 1 + y * y, where y is the result.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = tan(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.25534192122103627, 1.06519949673285)
"""
tanh: _Of1
"""tanh(x): the hyperbolic tangent of x.

Domain: x in (−∞, ∞).
Derivative: square(sech(x)).
Kinks: none.

>>> from tinygrad_scalar import Value
>>> x = Value(0.25)
>>> y = tanh(x)
>>> table = y.backward()
>>> y.data, table[x]
(0.24491866240370913, 0.9400148488063781)
"""
@overload
def trunc(x: Value) -> Value: ...
@overload
def trunc(x: float) -> int: ...
xlogy: _Of2
"""xlogy(a, b): a · log b, and 0 where a is 0, whatever number b is; NaN at NaN.

Domain: a in (−∞, ∞), b in (0, ∞).
∂/∂a: log(b).
∂/∂b: a / b.
Kinks: none.

>>> from tinygrad_scalar import Value
>>> a, b = Value(0.25), Value(0.5)
>>> y = xlogy(a, b)
>>> table = y.backward()
>>> y.data, table[a], table[b]
(-0.17328679513998632, -0.6931471805599453, 0.5)
"""
