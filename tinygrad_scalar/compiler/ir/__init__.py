"""The flat code u(1)…u(n): traced, differentiated, lowered to the rows that an engine has.

| module | what it does |
|---|---|
| `tape` | the flat code, shared and folded while it is written |
| `trace`, `templates` | the carrier that writes it, guards, `take`; a rule written once, copied |
| `differentiate` | reverse and forward mode on flat code |
| `program`, `lower` | what an engine runs; the same in the rows that the engine has |
| `formulas`, `special`, `elementary` | rows in simpler rows |
| `schedule`, `reroll` | the order of the lines; stretches that repeat, rolled up again |
"""
