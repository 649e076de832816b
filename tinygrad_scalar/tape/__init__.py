"""The tape: a scalar function traced to flat code u(1)…u(n), differentiated there, and replayed.

| module | what it does |
|---|---|
| `code` | the flat code, shared and folded while it is written |
| `traced` | the carrier that writes it, guards, `take` |
| `derive` | reverse and forward mode on flat code |
| `paths`, `program` | one trace, and what an engine runs of it |
| `arguments`, `running`, `compiled` | the face: points and batches, paths, `compile` |
| `python`, `arrays`, `llvm` | the engines; `formulas` writes rows in simpler rows for them |
| `storage`, `listing` | files and pickles; the tape to read |
"""

from tinygrad_scalar.tape.code import TraceError
from tinygrad_scalar.tape.compiled import Compiled, compile, load_compiled
from tinygrad_scalar.tape.kernels import engines
from tinygrad_scalar.tape.traced import take

__all__ = ["Compiled", "TraceError", "compile", "engines", "load_compiled", "take"]
