"""Writes what is made from the table: the stubs, and the names that `import *` brings.

The stubs tell a type checker what `x * y` and `sin(x)` are.

    python tools/stubs.py

A test holds the files to what this gives.
"""

import builtins
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tinygrad_scalar import functions, plain
from tinygrad_scalar.core.arithmetic import METHODS
from tinygrad_scalar.core.documentation import operands
from tinygrad_scalar.core.primitive import Primitive

PACKAGE = Path(functions.__file__).parent
MARKS = ("Made by tools/stubs.py", "End of what tools/stubs.py")
BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
UNARY = ("neg", "pos", "abs", "floor", "ceil", "trunc")
TOLD = '"""Made by tools/stubs.py from the table of primitives; not to be edited."""'

VALUE = f"""{TOLD}

# mypy: disable-error-code="assignment, override, misc"
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from tinygrad_scalar.core.grad_table import GradTable
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.recorded import Recorded
from tinygrad_scalar.core.undefined import Policy

Operand = Value | float | Fraction
COMPILED: bool
gather: Callable[..., int]  # of the compiled node
scatter: Callable[..., int]

def several(row: Primitive, operands: Sequence[Any]) -> Any: ...

class Value(Recorded):
    _a: Any
    _b: Any
    _x: Any
    _y: Any
    _result: Any
    _rest: Any
    _sweep: int
    _sent: Any
    _made: int
    _tracker: Any
    _provenance: Any
    data: Any
    grad: Any
    primitive: Primitive | None
    _computed: Callable[..., Any]
    _operation: Callable[[], Any]
    _leaf: Callable[[Any], Any]
    def __init__(self, data: Any, *, label: str = ..., latex: str = ...) -> None: ...
    def detach(self) -> Value: ...
    def backward(
        self,
        seed: Any = ...,
        *,
        inputs: Value | Iterable[Value] | None = ...,
        create_graph: bool = ...,
        undefined: Policy = ...,
    ) -> GradTable: ...
    @property
    def parents(self) -> tuple[Value, ...]: ...
    @property
    def operands(self) -> tuple[Any, ...]: ...
    @property
    def local_derivatives(self) -> tuple[Callable[[], Any], ...]: ...
    def __copy__(self) -> Value: ...
    def __deepcopy__(self, memo: dict[int, Any]) -> Value: ...
    def __eq__(self, other: object) -> bool: ...
    def __ne__(self, other: object) -> bool: ...
    def __lt__(self, other: Operand) -> bool: ...
    def __le__(self, other: Operand) -> bool: ...
    def __gt__(self, other: Operand) -> bool: ...
    def __ge__(self, other: Operand) -> bool: ...
    def __hash__(self) -> int: ...
    # Refused when it runs, so that no gradient is lost without a word: math.sin(x), float(x)
    __float__: None
    __int__: None
    __index__: None
    __complex__: None
    def __round__(self, digits: int | None = ...) -> Value: ...
    def __divmod__(self, other: Operand) -> tuple[Value, Value]: ...
    def __rdivmod__(self, other: Operand) -> tuple[Value, Value]: ...
    def log(self, base: Operand | None = ...) -> Value: ...
    def gelu(self, approximate: str = ...) -> Value: ...
    def clip(self, lo: Operand, hi: Operand, out: None = ...) -> Value: ...
    def conjugate(self) -> Value: ...
    @property
    def real(self) -> Value: ...
"""

FUNCTIONS = f"""{TOLD}

# mypy: disable-error-code="overload-overlap"
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, TypeVar, overload

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.value import Value

Operand = Value | float | Fraction
# what shadows builtins is public by its own import
__all__ = {sorted(set(functions.__all__) - set(dir(builtins)))!r}

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
"""
WHOLE = {"ceil", "floor", "trunc"}  # of floats an int


def value_stub() -> str:
    """The class Value: operators and methods, and what each gives."""
    lines = [VALUE.rstrip()]
    for name in BINARY:
        lines += [
            f"    def __{name}__(self, other: Operand) -> Value: ...",
            f"    def __r{name}__(self, other: Operand) -> Value: ...",
        ]
    lines += [f"    def __{name}__(self) -> Value: ..." for name in UNARY]
    for name, method in methods():
        lines += [f"    def {name}({', '.join(['self', *method])}) -> Value: ..."]
    return "\n".join(lines) + "\n"


def methods() -> Iterator[tuple[str, list[str]]]:
    """The methods of Value that are rows, under each of their names, with their other operands."""
    for name, row in sorted(METHODS.items()):
        if f"    def {name}(" in VALUE:
            continue
        count = row.arity - len(row.defaults)
        yield (
            name,
            [
                f"{operand}: Operand{' = ...' if i >= count else ''}"
                for i, operand in enumerate(operands(row))
                if i
            ],
        )


def package() -> str:
    """The package, with the names that `import *` brings."""
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    names = sorted({*functions.__all__, *plain.__all__} - set(dir(builtins)))
    return between_marks(text, ["__all__ += [", *(f'    "{name}",' for name in names), "]"])


def between_marks(text: str, lines: list[str]) -> str:
    """A source with other lines between its marks; comments there stay."""
    start, end = (re.search(f"^ *# {mark}", text, re.MULTILINE) for mark in MARKS)
    if start is None or end is None:
        raise ValueError(f"the source has no {MARKS[0]!r}")
    inside = text[start.start() : end.start()].splitlines()
    kept = [line for line in inside if line.lstrip().startswith("#")]
    return text[: start.start()] + "\n".join([*kept, *lines, ""]) + text[end.start() :]


def functions_stub() -> str:
    """The functions: floats give a float, a Value among them a Value."""
    lines = [FUNCTIONS]
    kinds = sorted({row_kind(f) for f in public().values() if isinstance(f, Primitive)})
    for count in kinds:
        lines.append(f"class _Of{count}(Primitive):")
        lines += [f"    {line}" for line in overloads("__call__", [f"x{i}" for i in range(count)])]
        lines.append("")
    for name, function in public().items():
        if isinstance(function, Primitive):
            lines += [f"{name}: _Of{row_kind(function)}", docstring_of(function)]
        elif getattr(function, "__module__", "") != functions.__name__:
            # Griffe, which reads the stubs for the documentation, merges no overloads into imports
            lines.append(f"class _{name}:")
            made = overloaded("__call__", inspect.signature(function))
            lines += [f"    {line}" for line in made] + [f"{name}: _{name}", docstring_of(function)]
        elif f"def {name}(" not in FUNCTIONS:
            lines += overloaded(name, inspect.signature(function))
    return "\n".join(lines) + "\n"


def docstring_of(function: object) -> str:
    """The docstring below a name, which editors and the documentation read."""
    return f'"""{(inspect.getdoc(function) or "").rstrip()}\n"""'


def public() -> dict[str, Any]:
    """The functions people call, by name."""
    return {name: getattr(functions, name) for name in sorted(functions.__all__)}


def row_kind(row: object) -> int:
    """The number of operands."""
    return getattr(row, "arity", None) or 0


def overloads(name: str, names: list[str], rest: Iterable[str] = ()) -> Iterator[str]:
    """A Value in any place gives a Value, floats alone a float."""
    method = name.startswith("__")
    for first in [*range(len(names)), None]:
        kinds = [
            "float" if first is None or i < first else "Value" if i == first else "Operand"
            for i in range(len(names))
        ]
        typed = [f"{x}: {kind}" for x, kind in zip(names, kinds, strict=True)]
        inside = ", ".join([*["self"] * method, *typed, *(["/"] * method), *rest])
        plain = "int" if name in WHOLE else "float"
        result = plain if first is None else "Value"
        yield "@overload"
        yield f"def {name}({inside}) -> {result}: ..."


def overloaded(name: str, signature: inspect.Signature) -> Iterator[str]:
    """A function: of numbers, of any number of them, or of iterables of them."""
    parameters = list(signature.parameters.values())
    lists = [p.name for p in parameters if "Iterable" in str(p.annotation)]
    optional = [f"{p.name}: {p.annotation} = ..." for p in parameters if p.default is not p.empty]
    optional = [each.replace(": Any", ": float | None") for each in optional]
    others = [f"{p.name}: Any" for p in parameters if p.name not in lists]
    if lists or parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        for kind, result in (("float", "float"), ("Operand", "Value")):
            typed = [f"{each}: Iterable[{kind}]" for each in lists] + others
            typed = typed if lists else [f"*{parameters[0].name}: {kind}"]
            given = str(signature.return_annotation).replace("Any", result)
            yield "@overload"
            yield f"def {name}({', '.join(typed)}) -> {given}: ..."
        return
    required = [p.name for p in parameters if p.default is p.empty]
    yield from overloads(name, required, optional)


STUBS = {
    "__init__.py": package,
    "core/value.pyi": value_stub,
    "functions.pyi": functions_stub,
}

if __name__ == "__main__":
    for place, made in STUBS.items():
        (PACKAGE / place).write_text(made(), encoding="utf-8")
