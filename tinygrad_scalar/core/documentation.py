"""What a row says of itself in words: its docstring and signature, made when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier

if TYPE_CHECKING:
    import inspect

    from tinygrad_scalar.core.primitive import Primitive

_LONGEST = 70  # a formula that is longer tells a reader nothing
_NUMBERS = (0.25, 0.5, 1.5, 2.0, -0.5)  # an example takes the first ones that lie in the domain


class Docstring:
    """The `__doc__` of rows; their class keeps its own."""

    def __init__(self, of_class: str | None) -> None:
        self.of_class = of_class

    def __get__(self, row: Primitive | None, owner: type) -> str | None:
        return self.of_class if row is None else docstring(row)


class Signature:
    """The `__signature__` of rows; their class has that of its constructor."""

    def __get__(self, row: Primitive | None, owner: type) -> inspect.Signature:
        if row is None:
            raise AttributeError("__signature__")
        return signature(row)


class NodeSignature:
    """The `__signature__` of `Value`, without what only micrograd's has, to be refused."""

    def __get__(self, node: Any, owner: type) -> inspect.Signature:
        from inspect import Parameter, Signature

        home = next(kind for kind in owner.__mro__ if "__signature__" in vars(kind))
        if owner.__init__ is not home.__init__:  # type: ignore[misc]
            raise AttributeError("__signature__")
        data = Parameter("data", Parameter.POSITIONAL_OR_KEYWORD)
        return Signature(
            [data, *(Parameter(x, Parameter.KEYWORD_ONLY, default="") for x in ("label", "latex"))]
        )


def signature(row: Primitive) -> inspect.Signature:
    """The operands of a row, by position, with their defaults."""
    from inspect import Parameter, Signature

    names = operands(row)
    if row.arity is None:
        return Signature([Parameter(names[0], Parameter.VAR_POSITIONAL)])
    defaults = (Parameter.empty,) * (len(names) - len(row.defaults)) + row.defaults
    return Signature(
        [
            Parameter(name, Parameter.POSITIONAL_ONLY, default=default)
            for name, default in zip(names, defaults, strict=True)
        ]
    )


def operands(row: Primitive) -> tuple[str, ...]:
    """The names of the operands: those that a partial, the formula or the function gives them."""
    if row.arity is None:
        return ("x",)
    for rule, before in (*((rule, 1) for rule in row.partials), (row.formula, 0), (row.forward, 0)):
        code = getattr(rule, "__code__", None)
        if code is not None and code.co_argcount == row.arity + before:
            return tuple(code.co_varnames[before : code.co_argcount])
    return ("x",) if row.arity == 1 else tuple("abcdefghijklm"[: row.arity])


def docstring(row: Primitive, *, method: bool = False) -> str:
    r"""Formula, domain, derivatives, kinks and an example, from what the row says.

    >>> from tinygrad_scalar.core.primitives import sqrt
    >>> about, facts, example = docstring(sqrt).split("\n\n")
    >>> about
    'sqrt(x): the square root of x.'
    >>> print(facts)
    Domain: x in [0, ∞).
    Derivative: 1 / (2 * y), where y is the result.
    Kinks: none.
    """
    names = operands(row)
    head = f"{row.name}({', '.join(names) if row.arity is not None else '*x'})"
    with context.uncounted():  # what the example computes
        lines = [
            f"{head}: {_meaning(row, names)}.",
            "",
            f"Domain: {_domain(row, names)}.",
            *_derivatives(row, names),
            f"Kinks: {_kinks(row, names)}.",
            "",
            *_example(row, names, method),
        ]
    return "\n".join(lines).rstrip()


def _meaning(row: Primitive, names: Sequence[str]) -> str:
    """What it computes, in a clause: as the row says, its functions do, or as the formula reads."""
    told = row.doc
    for function in (row.forward, row.formula):
        told = told or getattr(function, "__doc__", None) or ""
    told = " ".join(told.split("\n\n")[0].split()).split(". ")[0].rstrip(".")
    told = told.removeprefix("Return ").removeprefix("Same as ")
    if told.partition(" ")[0].rstrip(":").istitle():  # no name such as SiLU
        told = told[:1].lower() + told[1:]
    return told or _text(row.formula, names) or "an operation whose value only its function knows"


def _domain(row: Primitive, names: Sequence[str]) -> str:
    if row.arity is None:
        return "all real numbers"
    return ", ".join(
        f"{name} a whole number" if i in row.whole else f"{name} in {interval!r}"
        for i, (name, interval) in enumerate(zip(names, row.domain, strict=True))
    )


def _derivatives(row: Primitive, names: Sequence[str]) -> Iterator[str]:
    if row.arity is None:
        yield f"Derivative: {row.derivatives[0] if row.derivatives else 'by a rule of its own'}."
        return
    for i, (rule, name) in enumerate(zip(row.partials, names, strict=False)):
        text = row.derivatives[i] if row.derivatives else _text(rule, ("y", *names))
        which = "Derivative" if row.arity == 1 else f"∂/∂{name}"
        if i in row.whole:
            yield f"{which}: none, for it is no variable."
        elif text is None:
            yield f"{which}: by a rule of its own."
        else:
            spaced = "".join(c if c.isalnum() or c == "_" else " " for c in text)
            yield f"{which}: {text}{', where y is the result' * ('y' in spaced.split())}."


def _kinks(row: Primitive, names: Sequence[str]) -> str:
    told = (getattr(row.kinks, "__doc__", None) or "").rstrip(".").format(*names)
    if told == "None":
        return "none"
    numbers = ", ".join(map(_number, row.subgradient)) or "that of one side"
    return f"{told or _condition(row.kinks, names)}; {numbers} there"


def _condition(condition: Callable[..., Any], names: Sequence[str]) -> str:
    """When a condition holds, by what it asks where all answers are yes, or else no."""
    questions = []
    for answer in (True, False):
        asked: list[str] = []
        last = _attempted(condition, [Written(name, asked=asked, answer=answer) for name in names])
        questions.append([*asked, last.text] if isinstance(last, Written) else asked)
        if last is None or (answer and last is False):  # what it asks was not to be yes
            return "where the row says so"
    both, either = questions
    return " and ".join(both) if len(both) >= len(either) else " or ".join(either)


def _text(rule: Any, names: Sequence[str]) -> str | None:
    """A rule as text; None where it is long, or asks more of its operands than arithmetic."""
    made = _attempted(rule, list(map(Written, names))) if callable(rule) else rule
    return None if made is None else made.text if isinstance(made, Written) else _number(made)


def _attempted(rule: Callable[..., Any], operands: Sequence[Any]) -> Any:
    try:
        return rule(*operands)
    except Exception:  # noqa: BLE001 (help must not fail over a rule that asks for more)
        return None


def _example(row: Primitive, names: Sequence[str], method: bool) -> Iterator[str]:
    """The value and the derivatives at a point of the domain, as a doctest; none if that fails."""
    point = _point(row)
    y = _attempted(row, point)
    if not isinstance(y, int | float):
        return
    arguments = ", ".join(map(repr, point))
    if row.arity is None:
        yield from (f">>> {row.name}({arguments})", repr(y))
        return
    variables = [name for i, name in enumerate(names) if i not in row.whole]
    values = [f"Value({x!r})" for i, x in enumerate(point) if i not in row.whole]
    passed = [repr(x) if i in row.whole else names[i] for i, x in enumerate(point)]
    slopes = [0.0 + s for i, s in enumerate(row.pull(1.0, y, *point)) if i not in row.whole]
    call = f"{names[0]}.{row.name}()" if method else f"{row.name}({', '.join(passed)})"
    yield ">>> from tinygrad_scalar import Value"
    yield f">>> {', '.join(variables)} = {', '.join(values)}"
    yield f">>> y = {call}"
    yield ">>> table = y.backward()"
    yield f">>> y.data, {', '.join(f'table[{name}]' for name in variables)}"
    yield f"({', '.join(map(repr, (y, *slopes)))})"


def _point(row: Primitive) -> list[float]:
    if row.arity is None:
        return list(_NUMBERS[:4])
    point: list[float] = []
    for i, interval in enumerate(row.domain):
        inside = [x for x in _NUMBERS if interval.interior(x)]
        fresh = [x for x in inside if x not in point]
        point.append(1 if i in row.whole else (fresh or inside or [1.0])[0])
    return point


def _number(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float) else str(x)


class Written(Carrier):
    """An operand as text: what a rule makes of it reads as the rule does."""

    __slots__ = ("answer", "asked", "precedence", "text")
    level = float("inf")

    def __init__(
        self,
        text: str,
        precedence: int = 9,
        *,
        asked: list[str] | None = None,
        answer: bool = True,
    ) -> None:
        self.text, self.precedence, self.asked, self.answer = text, precedence, asked, answer

    def apply(self, primitive: Primitive, operands: Sequence[Any]) -> Written:
        """A row is written as a call."""
        inside = ", ".join(x.text if isinstance(x, Written) else _number(x) for x in operands)
        return self._made(f"{primitive.name}({inside})", 9)

    def example(self) -> float:
        """Constants are written as floats."""
        return 1.0

    def _made(self, text: str, precedence: int) -> Written:
        if len(text) > _LONGEST:  # at once: its parts would be copied into ever longer ones
            raise ValueError("a rule too long to be read")
        return Written(text, precedence, asked=self.asked, answer=self.answer)

    def __bool__(self) -> bool:
        if self.asked is not None:
            self.asked.append(self.text)
        return self.answer

    def __neg__(self) -> Written:
        return self._made(f"-{_bracketed(self, 3)}", 3)

    __hash__ = None  # type: ignore[assignment]  # never a key


def _bracketed(x: Any, least: int) -> str:
    if not isinstance(x, Written):
        return _number(x) if x >= 0 else f"({_number(x)})"
    return x.text if x.precedence >= least else f"({x.text})"


def _operator(symbol: str, precedence: int, neutral: Any = None, reflected: bool = False) -> Any:
    """An operator of Python as a method; the neutral number beside it is left out."""

    def method(self: Written, other: Any) -> Written:
        if neutral is not None and not isinstance(other, Written) and other == neutral:
            return self
        left, right = (other, self) if reflected else (self, other)
        text = f"{_bracketed(left, precedence)} {symbol} {_bracketed(right, precedence + 1)}"
        return self._made(text, precedence)

    return method


# Name in Python, symbol, precedence, and the number that changes nothing on either side.
for _name, _symbol, _precedence, _neutral in (
    ("add", "+", 1, 0),
    ("sub", "-", 1, None),
    ("mul", "*", 2, 1),
    ("truediv", "/", 2, None),
    ("floordiv", "//", 2, None),
    ("mod", "%", 2, None),
    ("pow", "**", 4, None),
):
    setattr(Written, f"__{_name}__", _operator(_symbol, _precedence, _neutral))
    setattr(Written, f"__r{_name}__", _operator(_symbol, _precedence, _neutral, reflected=True))
for _name, _symbol in {
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
}.items():
    setattr(Written, f"__{_name}__", _operator(_symbol, 0))
