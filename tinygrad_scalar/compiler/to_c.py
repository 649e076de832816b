"""A compiled function as a C file and its header: C99, <math.h> and <stddef.h>, nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path as File
from typing import Any

from tinygrad_scalar.compiler.c.body import Body, Places
from tinygrad_scalar.compiler.c.names import checked_name
from tinygrad_scalar.compiler.paths import Path, Request
from tinygrad_scalar.files import check_place, write_atomically

MODES = ("value", "grad", "value_and_grad", "jacobian", "hessian")


def request_for(mode: str, inputs: Sequence[int]) -> Request:
    """What a mode of `to_c` asks of a path. ValueError for another one."""
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(map(repr, MODES))}, not {mode!r}")
    return Request(mode, () if mode == "value" else inputs)


def parameters_of(paths: Sequence[Path]) -> dict[int, int]:
    """Where the leaves of all paths stand, by their id: in the order of their first use."""
    leaves = dict.fromkeys(id(leaf) for path in paths for leaf in path.all_leaves())
    return {key: place for place, key in enumerate(leaves)}


def write_library(
    paths: Sequence[Path], request: Request, target: Any, name: str | None, about: str
) -> None:
    """Write both files. OSError, ValueError: see `Compiled.to_c`."""
    base = os.fspath(target)
    if base.endswith((".c", ".h")):
        base = base[:-2]
    name = checked_name(File(base).name if name is None else name, given=name is not None)
    source, header = library(paths, request, name, File(base).name, about)
    for suffix in (".c", ".h"):
        check_place(base + suffix)
    write_atomically(f"{base}.h", header)
    write_atomically(f"{base}.c", source)


def library(
    paths: Sequence[Path], request: Request, name: str, stem: str, about: str
) -> tuple[str, str]:
    """The texts of the C file and of its header."""
    places = parameters_of(paths)
    bodies = [
        Body(path.program_in_memory(request, places), Places(), prefix=f"{name}_{k}_")
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
    lines = "".join(f"  {line}\n" for line in body.lines)
    return f"""{tables}static int {name}(
    const double *restrict x, const double *restrict p, double *restrict out)
{{
  (void)x;
  (void)p;
{lines}  return 0;
}}

"""


def _doors(name: str, count: int) -> str:
    tries = " && ".join(f"{name}_path{k}(x, p, out)" for k in range(count))
    capitals = name.upper()
    return f"""int {name}(const double *x, const double *p, double *out)
{{
  return {tries};
}}

int {name}_batch(size_t n, const double *x, const double *p, double *out)
{{
  int missed = 0;
  size_t i;
  for (i = 0; i < n; ++i) {{
    double *row = out + i * {capitals}_OUTPUTS;
    if ({name}(x + i * {capitals}_INPUTS, p, row)) {{
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


__all__ = ["MODES", "library", "parameters_of", "request_for", "write_library"]
