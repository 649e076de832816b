"""C and CUDA from one emitter: statements, written line by line over the program that engines run.

| module | what it does |
|---|---|
| `body` | a program as statements, its loops rolled up again |
| `cuda` | a path as a CUDA kernel, and the door to CuPy |
"""
