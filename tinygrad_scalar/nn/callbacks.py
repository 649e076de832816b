"""What `fit` records and asks after every step: `History`, and `EarlyStopping`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tinygrad_scalar.checks import not_negative, whole


@dataclass
class History:
    """What happened in training: the mean loss of every step's minibatch, before the step.

    With `validation` also the mean loss on it after every epoch, and after the last step.
    `validates` says whether there is one, which callbacks may ask before its first loss is there;
    `compiled` whether the last call of `fit` ran its steps, to the last, as machine code.

    >>> History([0.5, 0.25])
    History(2 steps, loss 0.25)
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    compiled: bool = field(default=False, compare=False)
    validates: bool = field(default=False, compare=False)

    @property
    def steps(self) -> int:
        """The steps taken so far."""
        return len(self.loss)

    def __repr__(self) -> str:
        last = f", loss {self.loss[-1]:.4g}" if self.loss else ""
        validated = f", validation loss {self.val_loss[-1]:.4g}" if self.val_loss else ""
        compiled = ", compiled" * self.compiled
        return f"History({self.steps} steps{last}{validated}{compiled})"


class EarlyStopping:
    """A callback that stops training after `patience` losses without a new smallest one.

    Looks at the validation loss (one per epoch) where there is one, else at the loss of every
    step. A loss counts as smaller if it is so by more than `min_delta`. All it needs stands in the
    history, so that a resumed run stops where one never killed does.

    Cost O(new losses) a step. Errors: ValueError for patience < 1 or min_delta < 0.
    Source: *Deep Learning*, Algorithm 7.1.

    >>> stop = EarlyStopping(patience=2)
    >>> stop(3, History([0.5, 0.25, 0.3])), stop(4, History([0.5, 0.25, 0.3, 0.25]))
    (False, True)
    """

    def __init__(self, patience: int, *, min_delta: float = 0.0) -> None:
        self.patience = whole(patience, "EarlyStopping: patience")
        self.min_delta = not_negative(min_delta, "EarlyStopping: min_delta")
        # the losses, how many were looked at, the best, how many have come since: one attribute,
        # so that Ctrl-C leaves all of it as before or as after
        self._seen: tuple[list[float], int, float, int] = ([], 0, math.inf, 0)

    def __call__(self, step: int, history: History) -> bool:  # noqa: ARG002 (callbacks get both)
        """Whether to stop after `step`."""
        validated = history.validates or bool(history.val_loss)
        losses = history.val_loss if validated else history.loss
        known, looked_at, best, since = self._seen
        if losses is not known:
            looked_at, best, since = 0, math.inf, 0
        for loss in losses[looked_at:]:
            smaller = loss < best - self.min_delta
            since = 0 if smaller else since + 1
            best = loss if smaller else best
        self._seen = losses, len(losses), best, since
        return since >= self.patience

    def __repr__(self) -> str:
        return f"EarlyStopping({self.patience}, min_delta={self.min_delta})"
