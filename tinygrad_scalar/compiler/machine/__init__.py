"""Machine code as such, and the memory that it reads and writes.

| module | what it does |
|---|---|
| `text`, `jit` | LLVM's text, an instruction at a time; made into code |
| `objects`, `entry` | one point at full speed: floats, lists, arrays and leaves of a model |
| `slots` | the leaves of a model at once |
"""
