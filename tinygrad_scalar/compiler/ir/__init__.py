"""The flat code u(1)…u(n): traced, differentiated, lowered to the rows that an engine has.

| module | what it does |
|---|---|
| `tape` | the flat code, shared and folded while it is written |
| `recording`, `trace` | it being written at a point; the carrier that does so |
| `lookup`, `tables` | `take`: what an index looks up |
| `differentiate` | reverse and forward mode on flat code |
| `program`, `lower` | what an engine runs; the same in the rows that the engine has |
| `reroll`, `rolled` | stretches that repeat, rolled up again; how they are written |
| `schedule` | the order of lines for batches |
"""
