"""Machine code as such, and the memory that it reads and writes.

| module | what it does |
|---|---|
| `text`, `jit` | LLVM's text, an instruction at a time; made into code |
| `cpython`, `structures`, `entry` | one point at full speed: floats, lists and arrays in and out |
| `slots` | the leaves of a model at once |
| `closure` | these at one point, within the code for floats and lists |
"""
