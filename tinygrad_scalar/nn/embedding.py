"""`Embedding`: a row of parameters for every index."""

from __future__ import annotations

from typing import Any

from tinygrad_scalar.checks import whole
from tinygrad_scalar.core.carrier import Carrier
from tinygrad_scalar.nn.initializers import Initializer, initializer
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.parameter import parameter
from tinygrad_scalar.nn.shapes import is_list
from tinygrad_scalar.seeds import Seed, generator


class Embedding(Module):
    """A table of `num` rows of `dim` parameters: index i gives row i; a list of indices a list.

    An index may be a traced Value, under `compile`. Cost O(1) per index.
    Errors: IndexError for an index outside 0 … num − 1, TypeError for what is no whole number.
    Source: *Deep Learning*, section 12.4.2 (word embeddings).

    >>> embedding = Embedding(3, 2, init=lambda num, dim: 0.5)
    >>> embedding(2), len(embedding([0, 1, 1]))
    ([Value(0.5, grad=0.0, label='row[2][0]'), Value(0.5, grad=0.0, label='row[2][1]')], 3)
    """

    _trained = ("rows",)

    def __init__(
        self, num: int, dim: int, *, init: Initializer = "normal", seed: Seed = None
    ) -> None:
        num, dim = whole(num, "Embedding: num"), whole(dim, "Embedding: dim")
        draw = initializer(init, num, dim, generator(seed))
        self.rows = [
            [parameter(draw(), label=f"row[{i}][{j}]") for j in range(dim)] for i in range(num)
        ]

    def forward(self, index: Any) -> Any:
        """The row of an index, or the rows of a list of indices."""
        if is_list(index):
            return [self.forward(item) for item in index]
        if isinstance(index, Carrier):
            from tinygrad_scalar.compiler import take

            return take(self.rows, index)
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(
                f"Embedding: index is a whole number from 0 to {len(self.rows) - 1}, "
                f"not {type(index).__name__}"
            )
        if not 0 <= index < len(self.rows):
            raise IndexError(f"Embedding: index {index}; give 0 to {len(self.rows) - 1}")
        return list(self.rows[index])

    def config(self) -> dict[str, Any]:
        """The arguments of this architecture, for files."""
        return {"num": len(self.rows), "dim": len(self.rows[0])}

    def __repr__(self) -> str:
        return f"Embedding({len(self.rows)}, {len(self.rows[0])})"
