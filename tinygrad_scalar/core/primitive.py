"""The record of a primitive: one row says all that any mode needs to know of an operation.

A rule is ordinary Python over *anything with arithmetic*; what is pushed through it (a float, a
`Value`, a `Dual`, a `Symbol`) decides what comes out. `primitives.py` holds the library's rows.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import BuiltinFunctionType, MappingProxyType, MethodType
from typing import Any, NamedTuple

from tinygrad_scalar.core import context
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.core.documentation import Docstring, Signature, operands
from tinygrad_scalar.core.named import functions_by_value
from tinygrad_scalar.numbers.precision import Number, evaluate, number, uncommon

Rule = Any  # a number (a constant partial), or a function (y, *x) -> partial; see Primitive
_INFINITY = math.inf


class Interval(NamedTuple):
    """An interval of real numbers: the domain of one operand.

    >>> Interval(0.0, closed_low=True)
    [0, ∞)
    """

    low: float = -_INFINITY
    high: float = _INFINITY
    closed_low: bool = False
    closed_high: bool = False

    def interior(self, x: Any) -> bool:
        """Whether `x` lies in the open interval, where a derivative is taken."""
        return bool(self.low < x < self.high)

    def __contains__(self, x: Any) -> bool:
        return (
            self.interior(x)
            or bool(self.closed_low and x == self.low)
            or bool(self.closed_high and x == self.high)
        )

    def __repr__(self) -> str:
        def show(x: float) -> str:
            return f"{x:g}".replace("inf", "∞").replace("-", "−")

        left, right = "[" if self.closed_low else "(", "]" if self.closed_high else ")"
        return f"{left}{show(self.low)}, {show(self.high)}{right}"


REAL = Interval()
Domain = Interval | tuple[float, float]  # a pair is an open interval


def _intervals(domain: Any, places: int, name: str) -> tuple[Interval, ...]:
    """An interval for each operand: one for all, or one each; a pair of numbers is an open one."""
    if domain is None or isinstance(domain, Interval) or _is_pair(domain):
        domain = (REAL if domain is None else domain,) * places
    each = domain if isinstance(domain, (list, tuple)) else (domain,)
    found = tuple([Interval(*x) if _is_pair(x) else x for x in each])
    if not all(isinstance(x, Interval) for x in found):
        raise TypeError(
            f"primitive {name!r}: domain is a pair (low, high) or an Interval, or one for each "
            f"operand, not {domain!r}"
        )
    if len(found) != places:
        raise TypeError(
            f"primitive {name!r}: domain is for {len(found)} operands, and partials for {places}: "
            "give one interval for all, or one for each"
        )
    if empty := [x for x in found if not x.low < x.high]:
        raise ValueError(f"primitive {name!r}: domain {empty[0]!r} is empty: give low < high")
    return found


def _is_pair(x: Any) -> bool:
    return type(x) in (tuple, list) and len(x) == 2 and all(isinstance(k, (int, float)) for k in x)


class Primitive:
    """One operation: its forward rule and its partial derivatives, with what is known about them.

    Call it with numbers for a number, with a `Value` among them for a `Value`.

    - `forward(*x)` is the value on plain numbers.
    - `formula(*x)`: the value over anything with arithmetic, without branches, from which every
      engine makes what it has no name for. None: only `forward` knows the value.
    - `partials`: one per operand, each a number or a function of `(y, *x)` with the result first.
      Written in primitives and operators only, so that it can be differentiated again. A constant
      0 stops the flow, a constant 1 costs nothing. A row of any number of operands (`arity` None)
      has one function that gives all its partials.
    - `pull`: what goes back to an operand, a function of `(g, y, *x)` that means g · partial, or
      None where it is just that product; a tuple of these for several operands, one function that
      gives all of them for a row of any number. Stated where the order of the factors matters:
      g / x / x is a number where 1 / (x · x) is none.
    - `domain`: an `Interval` per operand. `kinks(*x)` tells the points without a derivative. There
      each partial gives its number of `subgradient` (that of one side where this is empty).
    - `limit(*x)`: the value where `forward` raises, as IEEE arithmetic has it.
    - `total`: `forward` raises for no floats.
    - `digits`: how many decimal digits its first and second derivatives keep, as far as the
      rounding of the operands leaves them and no product on the way leaves the range of floats;
      `scale(*x)`: the size of terms that cancel there, whose digits are meant, 0 where none do.
    - `operator`: the operator of Python that it is.
    - `choice`: whether the first operand tells which of the others is the result.
    - `paired`: whether its operands are two lists of one length, one after the other.
    - `at_zero`: by the operand, the result where that is a constant 0, whatever the others are.
    - `public`: whether people call it by its name, as a function and as a method of `Value`.
    - `opaque`: its partials run a user's code, which is not to be tried out with NaN.
    - `mpmath`: the name in mpmath of the same function, or a function `(mpmath, *x)`.
    - `whole`: the positions of the operands that are whole numbers, and no variables.
    - How it is written elsewhere: as a function's name, or as a pattern, `{0} + {1}`; empty where
      there is none. `c`: in C with `<math.h>`; `cuda` (as in C), `array`, the Array API (as in C):
      where they differ from it; `llvm`: an instruction, or an intrinsic, `llvm.sqrt` (else the
      function of C is called); `python`: an operator; `scipy`: in `scipy.special` and its like;
      `numpy`: the ufuncs of NumPy and SciPy that are it under other names.
    - `inlined`: whether machine code for one point works the formula out instead of calling C's
      function, which takes longer.
    - `doc`: what it computes, in a clause, where neither function says so; `derivatives`: the
      partials as text, one per operand, where the rule itself is too long to be read. `__doc__`
      and `__signature__` are made of these when they are asked for. The docstring of `kinks`, if
      it has one, says in words where they are.

    Errors: what `forward` raises, with operation and operands named.

    >>> from tinygrad_scalar import sin
    >>> sin.name, sin(0.0), sin.domain
    ('sin', 0.0, ((−∞, ∞),))
    """

    __doc__ = Docstring(__doc__)
    __signature__ = Signature()

    name: str
    forward: Callable[..., Any]
    formula: Callable[..., Any] | None = None
    partials: tuple[Rule, ...]
    pulls: tuple[Callable[..., Any] | None, ...]
    arity: int | None
    domain: tuple[Interval, ...]
    kinks: Callable[..., bool]
    subgradient: tuple[float, ...]
    limit: Callable[..., Number] | None = None
    total: bool = False
    digits: float = 14
    scale: Callable[..., float] = staticmethod(lambda *_: 0.0)
    operator: str = ""
    choice: bool = False
    paired: bool = False
    at_zero: Mapping[int, float] = MappingProxyType({})
    public: bool = False
    opaque: bool = False
    mpmath: str | Callable[..., Any]
    whole: Sequence[int] = ()
    c: str = ""
    cuda: str
    array: str
    llvm: str
    inlined: bool = False
    python: str = ""
    scipy: str = ""
    numpy: Sequence[str] = ()
    symbol: str
    latex: str
    precedence: float = 9
    defaults: tuple[float, ...] = ()
    doc: str = ""
    derivatives: Sequence[str] = ()
    joint: Joint | None = None  # the operation with several outputs this is one of
    index = 0
    made: Any = None  # what the compiler made of it: templates, by the rule and its operands

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        partials: Sequence[Rule],
        *,
        arity: int | None,
        pull: Callable[..., Any] | Sequence[Callable[..., Any] | None] | None = None,
        domain: Domain | Sequence[Domain] | None = None,
        kinks: Callable[..., bool] | Sequence[float] = (),
        subgradient: Sequence[float] | None = None,
        **about: Any,
    ) -> None:
        if unknown := about.keys() - Primitive.__annotations__.keys():
            raise TypeError(f"primitive {name!r}: a row says nothing of {', '.join(unknown)}")
        c, places = about.get("c", ""), arity or 1
        if pull is None or callable(pull):
            pull = (pull,) * len(partials)
        derived = {
            "symbol": name,
            "latex": _latex_call(name, arity),
            "mpmath": name,
            "cuda": c,
            "array": c,
            "llvm": "" if "{" in c else c,
        }
        vars(self).update(derived, name=name, forward=forward, arity=arity, __qualname__=name)
        vars(self).update((key, fact) for key, fact in about.items() if fact is not None)
        self.partials, self.pulls = tuple(partials), tuple(pull)
        self.domain = _intervals(domain, places, name)
        self.kinks = kinks if callable(kinks) else at_points(tuple(kinks))
        self.subgradient = (0.0,) * places if subgradient is None else tuple(subgradient)

    def __call__(self, *operands: Any) -> Any:  # noqa: C901 (one dispatch, quick ways first)
        """The operation on numbers, or on carriers, the one of the highest level deciding how."""
        if len(operands) == 1 == self.arity:  # the commonest: nothing else needs to be asked
            (x,) = operands
            if isinstance(x, Carrier):
                return x.apply(self, operands)
            if x.__class__ is float and context.plain:
                try:
                    y = self.forward(x)
                except TypeError:
                    y = None  # told the general way
                except (ArithmeticError, ValueError) as error:
                    raise self.explained(error, operands) from None
                if y.__class__ is float:
                    return y
        if len(operands) != self.arity and self.arity is not None:
            operands = self._with_defaults(operands)
        carrier: Carrier | None = None
        for operand in operands:
            if isinstance(operand, Carrier) and (carrier is None or operand.level > carrier.level):
                carrier = operand
        if carrier is not None:
            return carrier.apply(self, operands)
        beside = uncommon(operands)
        return self.evaluate([self.checked(x, beside) for x in operands])

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A row named in a class body is a method there: `x.sin()` is `sin(x)`."""
        return self if instance is None else MethodType(self, instance)

    @property
    def __name__(self) -> str:
        """The name, as functions have it."""
        return self.name

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return importable(self)

    def checked(self, x: Any, beside: Number = None) -> Number:
        """The plain operand `x` as it is carried; a TypeError names this operation."""
        try:
            return number(x, beside)
        except (TypeError, OverflowError) as error:
            if self.arity == 1 and isinstance(x, (list, tuple)):
                told = f"one number, not {type(x).__name__}: [{self.name}(x) for x in ...]"
                raise TypeError(f"{self.name}: {told}") from None
            raise type(error)(f"{self.name}: {error}") from None

    def evaluate(self, values: Sequence[Number]) -> Any:
        """The forward rule on plain numbers; what it raises names the operation and operands."""
        settings = context.settings()
        for counter in settings.counters:
            counter.evaluated()
        try:
            y = evaluate(self.forward, values, self.mpmath)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        except (ArithmeticError, ValueError) as error:
            if settings.ieee:
                return self.limit(*values) if self.limit else _default_limit(error)
            raise self.explained(error, values) from None
        if isinstance(y, tuple) and not isinstance(self, Joint):
            raise TypeError(
                f"{self.name}: the forward rule gave {len(y)} outputs, but partials are stated "
                "for one; give a tuple of partials for every output"
            )
        return y

    def explained(self, error: Exception, values: Sequence[Number]) -> Exception:
        """The same kind of exception, with the operation and its operands in the message.

        Of operands out of the domain it is said where they have to be, of a divisor that it is no
        zero, and of what floats are too small for which numbers are not.
        """
        reason = error.args[-1] if error.args else type(error).__name__
        named = [*zip(operands(self), self.domain, values, strict=False)]
        if isinstance(error, OverflowError):
            floats = all(type(x) is float for x in values)
            needed = ["an mpmath.mpf, which has no largest number"] * floats
        else:
            outside = [f"{name} in {space}" for name, space, x in named if x not in space]
            divisor = [f"{name} ≠ 0" for name, _, x in named if x == 0][-1:]
            if isinstance(error, ZeroDivisionError):
                needed = divisor
            elif isinstance(self.forward, BuiltinFunctionType):  # C's do not say of a zero
                needed = outside or divisor
            else:
                needed = outside
        remedy = f": give {' and '.join(needed)}" * bool(needed)
        return type(error)(f"{self.name}({', '.join(map(repr, values))}): {reason}{remedy}")

    def all_partials(self, y: Any, x: Sequence[Any]) -> Sequence[Rule]:
        """One number or function per operand, for rows of any number of operands too."""
        return self.partials if self.arity is not None else self.partials[0](y, *x)

    def pull(self, g: Any, y: Any, *x: Any) -> Sequence[Any]:
        """What goes back to every operand where the gradient `g` has reached the result `y`.

        That is g · ∂y/∂x_i, multiplied in the order that the row states; nothing is judged.

        >>> from tinygrad_scalar.core.primitives import div, mul
        >>> mul.pull(10.0, 6.0, 2.0, 3.0), div.pull(3.0, 4.0, 8.0, 2.0)
        ((30.0, 20.0), (1.5, -6.0))
        """
        if self.arity is None and self.pulls[0] is not None:
            return self.pulls[0](g, y, *x)  # type: ignore[no-any-return]
        rules = self.all_partials(y, x)
        stated = self.pulls if self.arity is not None else (None,) * len(rules)
        return tuple(
            whole(g, y, *x) if whole else g * (rule(y, *x) if callable(rule) else rule)
            for rule, whole in zip(rules, stated, strict=True)
        )

    def _with_defaults(self, operands: tuple[Any, ...]) -> tuple[Any, ...]:
        arity, count = self.arity or 0, len(operands)
        if arity - len(self.defaults) <= count < arity:
            return operands + self.defaults[count - arity :]
        needed = f"{arity} operand{'s' * (arity != 1)}"
        raise TypeError(f"{self.name} takes {needed}, got {count}")


class Joint(Primitive):
    """An operation with several outputs: a row per output, sharing one forward rule."""

    outputs: tuple[Primitive, ...]

    def __init__(
        self, name: str, forward: Callable[..., Any], partials: Sequence[Any], about: dict[str, Any]
    ) -> None:
        arity = len(partials[0])
        if any(len(output) != arity for output in partials):
            raise TypeError(f"primitive {name!r}: every output needs {arity} partials")

        @wraps(forward)
        def all_outputs(*x: Any) -> Any:
            given = forward(*x)
            if not isinstance(given, tuple) or len(given) != len(partials):
                count = f"{len(given)} outputs" if isinstance(given, tuple) else "no tuple"
                raise TypeError(
                    f"the forward rule gave {count}, but partials are stated for {len(partials)}"
                )
            return given

        super().__init__(name, all_outputs, (), arity=arity, **about)
        self.outputs = tuple(
            Primitive(f"{name}[{i}]", forward, output, arity=arity, **about)
            for i, output in enumerate(partials)
        )
        for i, output in enumerate(self.outputs):
            output.joint, output.index = self, i


def importable(row: Primitive) -> tuple[Any, ...]:
    """How a row is pickled: by the module-level name under which it can be imported.

    By cloudpickle with its functions, where there is none but in a script or a notebook.
    """
    owner = row.joint or row
    home = getattr(owner.forward, "__module__", "")
    likely = ("tinygrad_scalar.core.primitives", home)
    modules = [name for name in likely if name in sys.modules]
    modules += [name for name in list(sys.modules) if name != "__main__"]
    if by_value := functions_by_value():  # to a process that has another `__main__`
        main = sys.modules["__main__"]  # which may have another name too
        modules = [name for name in modules if sys.modules[name] is not main]
    else:
        modules.append("__main__")
    for module in modules:
        for name, thing in list(getattr(sys.modules[module], "__dict__", {}).items()):
            if thing is owner:
                return _imported, (module, name, None if owner is row else row.index)
    if by_value:
        return _blank, (type(row),), vars(row) | {"made": None}
    raise TypeError(
        f"primitive {owner.name!r} cannot be pickled: assign it to a name of an importable module"
    )


def _blank(kind: type[Primitive]) -> Primitive:
    return kind.__new__(kind)


def _imported(module: str, name: str, index: int | None) -> Primitive:
    row: Any = getattr(importlib.import_module(module), name)
    return row if index is None else row.outputs[index]  # type: ignore[no-any-return]


def no_kinks(*_: Any) -> bool:
    """None."""  # its help says so
    return False


def at_points(points: tuple[float, ...]) -> Callable[..., bool]:
    """Kinks at some numbers of the first operand."""
    if not points:
        return no_kinks

    def kinks(*x: Any) -> bool:
        return x[0] in points

    kinks.__doc__ = " or ".join(f"{{0}} = {point:g}" for point in points)
    return kinks


def _latex_call(name: str, arity: int | None) -> str:
    inside = ", ".join(f"{{{i}}}" for i in range(arity or 0)) or "{all}"
    return rf"\operatorname{{{{{name.replace('_', chr(92) + '_')}}}}}\left({inside}\right)"


def _default_limit(error: Exception) -> float:
    return _INFINITY if isinstance(error, OverflowError) else math.nan
