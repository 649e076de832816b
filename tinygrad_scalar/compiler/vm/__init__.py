"""The engine for large traces: superinstructions, a bytecode, and what drives them.

| module | what it does |
|---|---|
| `operations` | a large trace as arrays, its memory; its stretches that repeat |
| `superinstructions`, `bytecode` | a few operations as one; what runs when |
| `kernel` | what runs it all |
"""
