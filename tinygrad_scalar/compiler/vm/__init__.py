"""The engine for large traces: superinstructions, a bytecode, and what drives them.

| module | what it does |
|---|---|
| `operations` | a large trace as arrays, its memory; its stretches that repeat |
| `superinstructions`, `reductions` | a few operations as one; sums and products of any length |
| `bytecode` | what runs when |
| `kernel` | what runs it all |
"""
