"""The tape: a scalar function traced to flat code u(1)…u(n), differentiated there, and replayed.

| module | what it does |
|---|---|
| `code` | the flat code, shared and folded while it is written |
| `traced` | the carrier that writes it, guards, `take` |
| `derive` | reverse and forward mode on flat code |
| `paths`, `program`, `listing` | one trace; what an engine runs of it; how it is shown |
| `arguments`, `results`, `running` | points and batches, and the right path for each |
| `compiled`, `storage` | the face, `compile`; files and pickles |
| `templates` | a rule written once, copied where its row occurs |
| `kernels` | the engines: `python`, `arrays` (NumPy and its like), `llvm` |
| `namespaces`, `masked` | arrays of other libraries, computed where they are |
| `formulas`, `special`, `elementary` | rows in simpler rows |
| `lowering` | a program in the rows that an engine has |
| `schedule`, `loops` | the order of the lines; stretches that repeat |
| `assembly`, `ir`, `rolling` | a program as LLVM assembly |
| `machine`, `functions`, `llvm` | LLVM itself; long formulas made once; the kernel |
| `operations`, `repeats` | a large trace as arrays; its stretches that repeat |
| `superinstructions`, `cells`, `stream` | a few operations as one; their memory; what runs when |
| `sweeps`, `driver`, `interpreter` | operations both ways in machine code; what runs them |
| `workspace` | memory that is used again call after call |
| `entry`, `slots` | one point at full speed; the leaves of a model at once |
"""

from tinygrad_scalar.tape.code import TraceError
from tinygrad_scalar.tape.compiled import Compiled, compile, load_compiled
from tinygrad_scalar.tape.kernels import engines
from tinygrad_scalar.tape.traced import take

__all__ = ["Compiled", "TraceError", "compile", "engines", "load_compiled", "take"]
