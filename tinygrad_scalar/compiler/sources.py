"""What was made, to read: `f.tape`, `f.source_for` a target, and `f.to_c`.

A C file and its header are C99, <math.h> and <stddef.h>, nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from tinygrad_scalar.compiler.c.body import Body, Places
from tinygrad_scalar.compiler.c.cuda import columns, kernel_source
from tinygrad_scalar.compiler.closed_over import leaves_of, places_of
from tinygrad_scalar.compiler.ir.lower import lowered
from tinygrad_scalar.compiler.ir.tables import tables_of
from tinygrad_scalar.compiler.ir.tape import CONSTANT, GUARD, INPUT, PARAMETER
from tinygrad_scalar.compiler.llvm.builder import NATIVE, Target
from tinygrad_scalar.compiler.llvm.loops import RollingWriter
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.compiler.python import source
from tinygrad_scalar.compiler.uncompiled import MODES
from tinygrad_scalar.core.tree import check_word
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.files import checked_path, write_together

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.dispatch import Specialisation


SHOWN = 60  # lines before the text is cut
TARGETS = ("python", "llvm", "c", "cuda")


class Listing:
    """The instructions of one trace: a sequence of (name, operands), shown as lines of text.

    >>> from tinygrad_scalar import compile
    >>> f = compile(lambda x: x * x + 1.0)
    >>> f(3.0)
    10.0
    >>> print(f.tape)
    u1 = input 0
    u2 = mul(u1, u1)
    u3 = 1.0
    u4 = add(u2, u3)
    return u4
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __len__(self) -> int:
        return len(self._path.recording.tape.code)

    def __getitem__(self, i: int) -> tuple[str, tuple[Any, ...]]:
        code = self._path.recording.tape.code
        row, operands = code[i]
        if row is not GUARD:
            return row.name, operands
        condition, outcome = operands
        return "holds" if code[outcome][1][0] else "fails", (condition,)

    def __repr__(self) -> str:
        code = self._path.recording.tape.code
        tables = tables_of(self._path.lookups)
        looked_up = {
            one.position + k: f"take(table {tables.index(one.table)}, u{one.line + 1})[{k}]"
            for one in self._path.lookups
            for k in range(one.table.count)
        }
        lines = []
        for i, (row, operands) in enumerate(code[:SHOWN]):
            if row is CONSTANT:
                text = repr(operands[0])
            elif row is INPUT and operands[0] in looked_up:
                text = looked_up[operands[0]]
            elif row in (INPUT, PARAMETER):
                text = f"{row.name} {operands[0]}"
            else:
                name, lines_read = self[i]
                text = f"{name}({', '.join(f'u{k + 1}' for k in lines_read)})"
            lines.append(f"u{i + 1} = {text}")
        if len(code) > SHOWN:
            lines.append(f"… {len(code) - SHOWN} more")
        return "\n".join([*lines, f"return {', '.join(f'u{k + 1}' for k in self._path.outputs)}"])

    def output(self) -> Value:
        """The (first) output as a graph of Values at the point of the trace."""
        path = self._path
        inputs = [Value(x, label=f"x{k}") for k, x in enumerate(path.recording.point)]
        y = path.replayed(inputs, path.leaves)[0]
        return y if isinstance(y, Value) else Value(y)


def source_for(target: str, own: Specialisation, about: str) -> str:
    """The source of value and gradient, or of the values where there are several."""
    check_word(target, "source_for: the target", TARGETS)
    own.look_through_tables()
    path = own.paths[-1]
    mode = "value_and_grad" if len(path.outputs) == 1 else "value"
    if target == "c":
        return library(own, mode, "compiled", "compiled", about)[0]
    program = path.program(mode)
    if target == "cuda":
        program = path.program_in_memory(mode, places_of(path.all_leaves()))
        real = "double" if own.dtype == "float64" else "float"
        return kernel_source(program, columns(program), real)
    if target == "python":
        return source(program)
    return RollingWriter(
        lowered(program, NATIVE), Target("double", 1, lambda *_: None), "point", ()
    ).module()


def write_library(
    own: Specialisation, mode: str, target: Any, name: str | None, about: str
) -> None:
    """Write both files. OSError, ValueError: see `Compiled.to_c`."""
    modes = "value", *MODES
    check_word(mode, "to_c: mode", modes)
    base = os.fspath(checked_path(target))
    if base.endswith((".c", ".h")):
        base = base[:-2]
    name = checked_name(File(base).name if name is None else name, given=name is not None)
    source, header = library(own, mode, name, File(base).name, about)
    write_together({f"{base}.h": header, f"{base}.c": source})


def library(own: Specialisation, mode: str, name: str, stem: str, about: str) -> tuple[str, str]:
    """The texts of the C file and of its header."""
    own.look_through_tables()
    paths = own.paths
    for path in paths:
        path.check_judges_nothing()
    places = places_of(leaves_of(paths))
    bodies = [
        Body(path.program_in_memory(mode, places), Places(), prefix=f"{name}_{k}_")
        for k, path in enumerate(paths)
    ]
    sizes = (paths[0].inputs, len(places), len(bodies[0].program.outputs))
    functions = [_function(f"{name}_path{k}", body) for k, body in enumerate(bodies)]
    source = f"""/* {about}. Written by tinygrad_scalar. */
#include "{stem}.h"

#include <math.h>

{"".join(functions)}{_doors(name, len(paths))}"""
    return source, _header(name, about, sizes)


def _function(name: str, body: Body) -> str:
    """One path: 1 where a guard does not hold, before anything is written to `out`."""
    tables = "".join(f"{line}\n" for line in body.declared_tables())
    parts = [_defined(*part, ", double *restrict s") for part in body.functions.items()]
    return f"{tables}{''.join(parts)}{_defined(name, body.lines)}"


def _defined(name: str, lines: Iterable[str], more: str = "") -> str:
    given = ["x", "p", *(["out", "s"] if more else [])]
    unused = "".join(f"  (void){one};\n" for one in given)
    text = "".join(f"  {line}\n" for line in lines)
    return f"""static int {name}(
    const double *restrict x, const double *restrict p, double *restrict out{more})
{{
{unused}{text}  return 0;
}}

"""


def _doors(name: str, count: int) -> str:
    capitals = name.upper()

    def missed(point: str) -> str:  # asked by names that no variable here can bear, as `out` may
        return " && ".join(f"{name}_path{k}({point})" for k in range(count))

    return f"""int {name}(const double *x, const double *p, double *out)
{{
  return {missed("x, p, out")};
}}

int {name}_batch(size_t n, const double *x, const double *p, double *out)
{{
  int missed = 0;
  size_t i;
  for (i = 0; i < n; ++i) {{
    double *row = out + i * {capitals}_OUTPUTS;
    if ({missed(f"x + i * {capitals}_INPUTS, p, row")}) {{
      int j;
      for (j = 0; j < {capitals}_OUTPUTS; ++j) row[j] = NAN;
      ++missed;
    }}
  }}
  return missed;
}}
"""


def _header(name: str, about: str, sizes: tuple[int, int, int]) -> str:
    capitals, guard = name.upper(), f"{name.upper()}_H"
    inputs, parameters, outputs = sizes
    return f"""/* {about}. Written by tinygrad_scalar. */
#ifndef {guard}
#define {guard}

#include <stddef.h>

#define {capitals}_INPUTS {inputs}
#define {capitals}_PARAMETERS {parameters}
#define {capitals}_OUTPUTS {outputs}

#ifdef __cplusplus
extern "C" {{
#endif

/* One point: x holds the inputs, p the parameters, out takes the outputs and overlaps neither.
   0, or 1 where the point is on no path that was traced; then out is left as it is. */
int {name}(const double *x, const double *p, double *out);

/* n points, a row of inputs and a row of outputs each. How many of them are on no path that was
   traced; the outputs of those are NaN. */
int {name}_batch(size_t n, const double *x, const double *p, double *out);

#ifdef __cplusplus
}}
#endif

#endif
"""


# ── names that a function of C may bear beside <math.h> ───────────────────────────────────────
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
# The words of C up to C23, and of C++ beside them, since the header may be included there.
KEYWORDS = str.split("""
    auto break case char const continue default do double else enum extern float for goto if
    inline int long register restrict return short signed sizeof static struct switch typedef
    union unsigned void volatile while alignas alignof bool constexpr false nullptr
    static_assert thread_local true typeof typeof_unqual asm catch char8_t char16_t char32_t
    class concept consteval constinit const_cast co_await co_return co_yield decltype delete
    dynamic_cast explicit export friend mutable namespace new noexcept operator private
    protected public reinterpret_cast requires static_cast template this throw try typeid
    typename using virtual wchar_t and and_eq bitand bitor compl not not_eq or or_eq xor xor_eq
""")
# C99, 7.12: what <math.h> declares, each also with f and l behind it; and what a compiler knows of
# the other headers, which a function of another type may not bear either.
MATH = str.split("""
    acos asin atan atan2 cos sin tan acosh asinh atanh cosh sinh tanh exp exp2 expm1 frexp ilogb
    ldexp log log10 log1p log2 logb modf scalbn scalbln cbrt fabs hypot pow sqrt erf erfc lgamma
    tgamma ceil floor nearbyint rint lrint llrint round lround llround trunc fmod remainder
    remquo copysign nan nextafter nexttoward fdim fmax fmin fma
""")
OTHERS = str.split("""
    fpclassify isfinite isinf isnan isnormal signbit isgreater isgreaterequal isless islessequal
    islessgreater isunordered j0 j1 jn y0 y1 yn gamma main size_t ptrdiff_t offsetof abort abs
    alloca atexit bcmp bcopy bzero calloc exit fputc fputs fprintf fread free fscanf fwrite
    index isalnum isalpha isblank iscntrl isdigit isgraph islower isprint ispunct isspace
    isupper isxdigit labs llabs malloc memchr memcmp memcpy memmove memset printf putc putchar
    puts realloc rindex scanf snprintf sprintf sscanf strcasecmp strcat strchr strcmp strcpy
    strcspn strdup strlen strncasecmp strncat strncmp strncpy strpbrk strrchr strspn strstr
    tolower toupper vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf
    NAN INFINITY HUGE_VAL HUGE_VALF HUGE_VALL FP_NAN FP_INFINITE FP_ZERO FP_SUBNORMAL FP_NORMAL
    math_errhandling float_t double_t NULL M_PI M_E linux unix signgam finite finitef drem dremf
    exp10 exp10f pow10 pow10f sincos sincosf significand lgamma_r lgammaf_r gammaf isinff isnanf
    roundeven roundevenf
""")


def checked_name(name: str, *, given: bool) -> str:
    """The name, if a C function may bear it; else ValueError says why and what to do."""
    if not isinstance(name, str):
        raise TypeError(f"to_c: name is a string, not {type(name).__name__}")
    reason = _reason(name)
    if reason:
        origin = "" if given else ", the stem of the file,"
        raise ValueError(f"to_c: {name!r}{origin} {reason}: give name=, an identifier of C")
    return name


def _reason(name: str) -> str:
    if not IDENTIFIER.fullmatch(name):
        return "is no identifier of C (ASCII letters, digits and _, a letter first)"
    if name in KEYWORDS:
        return "is a word of C"
    if name in OTHERS or name in MATH or (name[-1] in "fl" and name[:-1] in MATH):
        return "is a name that C's library has already"
    return ""
