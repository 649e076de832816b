"""Machine code as such, and the memory that it reads and writes.

| module | what it does |
|---|---|
| `jit` | LLVM itself: text made into code |
| `cpython`, `entry` | one point at full speed, floats and lists in and out |
| `slots` | the leaves of a model at once |
| `closure` | these at one point, within the code for floats and lists |
"""
