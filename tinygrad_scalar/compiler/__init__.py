"""A scalar function traced to flat code u(1)…u(n), differentiated there, and replayed.

| room | what it does |
|---|---|
| `compiled` | the face, `compile` |
| `storage`, `description` | files and pickles; a trace in plain lists, and back |
| `calls` | from a call to its result |
| `arguments` | what comes in, for points and batches |
| `dispatch` | the right path for a point, and machine code that is called at once |
| `batches` | the right path for every point of a batch |
| `uncompiled` | a point given to the function itself |
| `tracing`, `paths` | the function run on traced numbers; one trace, and the programs made of it |
| `closed_over` | the leaves and tables that it reads |
| `sources` | what was made of it, to read |
| `backends` | settings, and the engines by name |
| `elsewhere`, `sharded` | arrays of other libraries, and of a GPU; workers and Dask |
| `machine/` | machine code as such, and the memory of arrays and Values |
| `ir/` | the flat code: traced, differentiated, lowered to the rows that an engine has |
| `python`, `arrays/`, `llvm/`, `vm/`, `c/` | an engine each |
"""

from tinygrad_scalar.compiler.backends import NoMachineCodeWarning, engines
from tinygrad_scalar.compiler.compiled import Compiled, compile, load_compiled
from tinygrad_scalar.compiler.ir.lookup import take
from tinygrad_scalar.compiler.ir.tape import TraceError

__all__ = [
    "Compiled",
    "NoMachineCodeWarning",
    "TraceError",
    "compile",
    "engines",
    "load_compiled",
    "take",
]
