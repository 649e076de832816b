"""A scalar function traced to flat code u(1)…u(n), differentiated there, and replayed.

| room | what it does |
|---|---|
| `compiled`, `storage` | the face, `compile`; files and pickles |
| `arguments` | what comes in and goes out, for points and batches |
| `dispatch`, `batches` | the right path for each point; one path on many |
| `paths`, `sources` | one trace of the function; what was made of it, to read |
| `backends` | the engines by name |
| `elsewhere` | arrays of other libraries, and of a GPU |
| `machine/` | machine code as such, and the memory of arrays and Values |
| `ir/` | the flat code: traced, differentiated, lowered to the rows that an engine has |
| `python`, `arrays/`, `llvm/`, `vm/`, `c/` | an engine each |
"""

from tinygrad_scalar.compiler.backends import NoMachineCodeWarning, engines
from tinygrad_scalar.compiler.compiled import Compiled, compile, load_compiled
from tinygrad_scalar.compiler.ir.tape import TraceError
from tinygrad_scalar.compiler.ir.trace import take

__all__ = [
    "Compiled",
    "NoMachineCodeWarning",
    "TraceError",
    "compile",
    "engines",
    "load_compiled",
    "take",
]
