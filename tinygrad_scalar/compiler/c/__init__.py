"""C and CUDA from one emitter: statements, written line by line over the program that engines run.

| module | what it does |
|---|---|
| `expressions` | a row as an expression of C, a number as a literal |
| `body` | a program as statements, its loops rolled up again |
| `library` | a function as a C file and its header, all its paths in them: `f.to_c` |
| `cuda` | a path as a CUDA kernel, for the outputs or for their sums |
| `kernel`, `device` | kernels run on arrays of the device; the door to CuPy |
"""
