"""The engine that runs a program as straight machine code, made by LLVM.

| module | what it does |
|---|---|
| `builder`, `writer`, `loops` | a program as LLVM assembly, its loops as loops, its memory |
| `functions`, `kernel` | what programs call; the kernel |
"""
