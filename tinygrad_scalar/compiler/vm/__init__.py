"""The engine for large traces: superinstructions, a bytecode, and what drives them.

| module | what it does |
|---|---|
| `operations`, `repeats` | a large trace as arrays, its memory; its stretches that repeat |
| `superinstructions`, `bytecode` | a few operations as one; what runs when |
| `sweeps`, `driver`, `kernel` | operations both ways in machine code; what runs them |
"""
