"""`python -m tinygrad_scalar bench`: compiled code side by side with what else is installed.

| module | what it does |
|---|---|
| `programs`, `models` | what is computed: straight-line programs, a small GPT |
| `works` | each work: the functions, the check of their results, the bar |
| `opponents` | the same by hand and by other libraries |
| `measuring` | medians in turns, and the table |
| `command` | the command |
"""
