"""The engine that runs a program as straight machine code, made by LLVM.

| module | what it does |
|---|---|
| `builder`, `writer`, `loops` | a program as LLVM assembly, its loops as loops, its memory |
| `kernel` | the kernel, for one point and for batches |
"""
