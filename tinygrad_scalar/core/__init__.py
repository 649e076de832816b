"""The engine: rows, the node that remembers, and Algorithm 6.2. Start here.

Read in this order; what each needs of the ones before it is a name or two.

1. `primitives.py`, the first forty rows: an operation is a value, and a partial per operand.
2. `value.py`: `Value`, the node that an operator makes, with what the operation saw.
3. `backward.py`: what is asked, and which of two sweeps runs.
4. `sweep.py`: the way back over floats. `parents_first` finds an order, `fire` sends gradients on,
   `settle` writes them down; `rules.py` for what is not spelled out there.
5. `reverse.py`: Algorithm 6.2 as the book has it, over any kind of number, `Value`s included; with
   `application.py`, one use of a row, and `undefined.py`, what happens at kinks and poles.
6. `grad_table.py`: the table that comes out.
7. `primitive.py`: all that a row says, and `arithmetic.py`, `carrier.py`, `recorded.py`: what
   everything that can be pushed through a row has in common.

The rest serves these: `context.py` (blocks such as `no_grad`), `graph.py` (walks), `origin.py`
(when a leaf was made), `pickling.py`, `provenance.py` (labels, scopes, lines), `tree.py` (lists and
dicts of numbers), `documentation.py`, `own_rows.py` (`primitive`). `value.pyx` is `value.py` for
the compiled node; `hatch_build.py` names those that are compiled as they stand.
"""
