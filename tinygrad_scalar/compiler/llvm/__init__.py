"""The engine that runs a program as straight machine code, made by LLVM.

| module | what it does |
|---|---|
| `builder`, `writer`, `loops` | a program as LLVM assembly, its loops as loops |
| `jit`, `functions`, `kernel` | LLVM itself; long formulas made once; the kernel |
| `workspace` | memory that is used again call after call |
| `cpython`, `slots` | one point at full speed; the leaves of a model at once |
"""
