"""`fit`: minibatches, validation, callbacks, checkpoints, a progress bar; and nothing hidden."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tinygrad_scalar.checks import whole
from tinygrad_scalar.core.tree import by_position
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.data import batches
from tinygrad_scalar.nn.arguments import (
    check_examples,
    check_loss,
    check_parts,
    check_seed,
    checked_callbacks,
    checked_validation,
    number_of_steps,
)
from tinygrad_scalar.nn.callbacks import EarlyStopping, History
from tinygrad_scalar.nn.checkpoint import Checkpoint
from tinygrad_scalar.nn.module import Module, evaluated, standing_in, switched
from tinygrad_scalar.nn.progress import Progress
from tinygrad_scalar.nn.spreading import Compiled, Eager, Shards, losses_of

Loss = Callable[[Any, Any], Any]
Callback = Callable[[int, History], Any]
_LOOKING = {EarlyStopping}  # callbacks that change no model


def fit(
    model: Module,
    X: Sequence[Any],
    y: Sequence[Any],
    *,
    loss: Loss,
    optimizer: Any,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    validation: tuple[Sequence[Any], Sequence[Any]] | None = None,
    callbacks: Iterable[Callback] = (),
    checkpoint: Any = None,
    checkpoint_every: int = 100,
    progress: bool | None = None,
    executor: Any = None,
    shards: int | None = None,
) -> History:
    """Train `model` on the examples X with targets y, by steps of `optimizer`; the history.

    - X and y are lists, arrays, or a frame and a column of pandas, whose labels do not count. They
      stay as they are meanwhile: compiled code and workers have copies.
    - `loss(outputs, target)` of one example; a step descends its mean over a minibatch.
    - `steps` or `epochs`: how long. `batch_size` examples a step, all of them by default; every
      epoch visits each example once, in an order drawn from `seed` and the number of the epoch.
    - `validation=(X, y)`: its mean loss after every epoch, in `history.val_loss`.
    - `callbacks`: each is called after every step as callback(step, history), step 1 first, and
      stops training by returning True (`EarlyStopping` is one).
    - `checkpoint`: a file, written atomically after every `checkpoint_every` steps and at the end.
      If it exists, training goes on from there, and ends with the same bits as if never stopped.
      Random numbers go on too: of Python's `random`, and of generators, NumPy's as well, that
      stand in the model; not those that NumPy's functions share.
    - `progress`: None for a bar in terminals only, True for plain lines elsewhere, False for none.
    - `executor`: a `concurrent.futures.Executor` (processes, Dask's `client.get_executor()`, MPI)
      that computes each minibatch in `shards` parts, 8 unless given. For given shards the numbers
      do not depend on workers, their number or order, to the bit. Model, loss and examples travel
      once, the parameters with every step.

    With the extra `fast`, a run long enough to gain by it is compiled where model and loss are the
    library's own, and without dropout, until a callback changes what stands in the model;
    `history.compiled` says so.

    Cost O(forward and backward of an example) per example of a step; without graphs between steps.
    Errors: ValueError for no examples, different lengths, NaN or ±inf in X or y, not exactly one of
    steps and epochs, numbers below 1, an optimiser of another model, a damaged checkpoint or one of
    another run; TypeError for arguments of other kinds; what model and loss raise for wrong widths
    and labels; ArithmeticError when the loss is no longer finite.
    Source: *Deep Learning*, Algorithm 8.1.

    >>> from tinygrad_scalar import data, nn, optim
    >>> X, y = data.xor(4, noise=0.0)
    >>> model = nn.MLP(2, [4, 1], activation="tanh", seed=0)
    >>> sgd = optim.SGD(model.parameters(), lr=1.0)
    >>> history = nn.fit(model, X, y, loss=nn.binary_cross_entropy, optimizer=sgd, steps=100)
    >>> history.steps, history.loss[-1] < 0.1 < history.loss[0]
    (100, True)
    """
    check_parts(model, loss, optimizer)
    check_seed(seed)
    X, y = by_position(X), by_position(y)
    check_examples(X, y, "fit: X", "y")
    if validation is not None:
        validation = checked_validation(validation)
    size = len(X) if batch_size is None else min(whole(batch_size, "fit: batch_size"), len(X))
    total, called = number_of_steps(steps, epochs, -(-len(X) // size)), checked_callbacks(callbacks)
    run = _Run(model, X, y, loss, optimizer, size, seed, validation, called, total)
    if executor is not None or shards is not None:
        run.shards = Shards(executor, shards, size, model, optimizer)
    if checkpoint is not None:
        about = {"seed": seed, "batch size": size, "examples": len(X)}
        run.checkpoint = Checkpoint(checkpoint, model, optimizer, about)
        run.checkpoint_every = whole(checkpoint_every, "fit: checkpoint_every")
    return run.train(progress)


def _compiled(run: _Run) -> Any:
    """What computes minibatches by compiled code, or None; see `nn.replay`."""
    from tinygrad_scalar.nn.replay import compiled

    return compiled(run.model, run.loss, run.X, run.y, run.total * run.size)


@dataclass
class _Run:
    """One call of `fit`: what it was given, and the loop."""

    model: Module
    X: Sequence[Any]
    y: Sequence[Any]
    loss: Loss
    optimizer: Any
    size: int
    seed: int
    validation: tuple[Sequence[Any], Sequence[Any]] | None
    callbacks: list[Callback]
    total: int
    checkpoint: Checkpoint | None = None
    checkpoint_every: int = 100
    shards: Shards | None = None
    compiled: Any = None  # what computes minibatches as machine code
    spread: Any = None  # what does so on workers
    standing: Sequence[Any] = ()  # what stood in the model when these were made

    def train(self, show: bool | None) -> History:
        history, stopped = History(), False
        if self.checkpoint is not None and self.checkpoint.path.exists():
            history, stopped = self.checkpoint.read()
        history.validates = self.validation is not None
        return switched(self.model, lambda: self._steps(history, stopped, show), training=True)

    def _steps(self, history: History, stopped: bool, show: bool | None) -> History:
        with Progress(self.total, history.steps, show) as progress:
            if history.steps < self.total and not stopped:
                self._prepare(history, _compiled(self))
            while history.steps < self.total and not stopped:
                self._step(history)
                stopped = self._asked_to_stop(history)
                self._save(history, stopped=stopped)
                progress.step(history)
        return history

    def _prepare(self, history: History, compiled: Any) -> None:
        """Choose what computes minibatches: compiled code, workers, or the model itself."""
        self.compiled, history.compiled = compiled, compiled is not None
        if self.shards is not None and compiled is not None:
            self.spread = Compiled(self.shards, compiled)
        elif self.shards is not None:
            self.spread = Eager(self.shards, self.model, self.loss, self.X, self.y, self.seed)
        self.standing = standing_in(self.model)

    def _is_outdated(self) -> bool:
        """Whether a callback has changed the model, of which others compute a copy."""
        if self.compiled is self.spread is None or set(map(type, self.callbacks)) <= _LOOKING:
            return False
        now = standing_in(self.model)
        return len(now) != len(self.standing) or not all(map(operator.is_, now, self.standing))

    def _step(self, history: History) -> None:
        """One step of the optimiser, noted in the history, with the validation if it is due."""
        batch = self._batch(history.steps)
        if self.spread is not None:
            mean = self.spread.backward(batch, history.steps, self.optimizer.zero_grad)
        else:
            self.optimizer.zero_grad()
            try:
                mean = (self.compiled or self).backward(batch)
            except BaseException:
                self.optimizer.zero_grad()  # of the examples before the one that failed
                raise
        if not math.isfinite(mean):
            raise ArithmeticError(
                f"fit: the loss is {mean} in step {history.steps + 1}: lower the learning rate, "
                "clip the gradients or scale the data"
            )
        self.optimizer.step()
        history.loss.append(mean)
        per_epoch = -(-len(self.X) // self.size)
        if self.validation and (history.steps % per_epoch == 0 or history.steps == self.total):
            history.val_loss.append(mean_loss(self.model, self.loss, *self.validation))

    def _batch(self, step: int) -> Sequence[int]:
        """The examples of a step: a function of seed and step alone, so that a run can go on."""
        everything = range(len(self.X))
        if self.size == len(everything):
            return everything
        epoch, position = divmod(step, -(-len(everything) // self.size))
        if self._epoch[0] != epoch:
            seed = f"{self.seed}, epoch {epoch}"
            order = batches(everything, everything, self.size, seed)
            self._epoch = epoch, [batch for batch, _ in order]
        return self._epoch[1][position]

    _epoch: tuple[int, list[list[int]]] = (-1, [])

    def backward(self, batch: Sequence[int]) -> float:
        """The mean loss, whose gradient is added to `.grad`."""
        losses = losses_of(self.model, self.loss, self.X, self.y, batch, 1.0 / len(batch))
        return math.fsum(losses) / len(losses)

    def _asked_to_stop(self, history: History) -> bool:
        """Whether a callback says so; all are called."""
        stopped = True in [bool(callback(history.steps, history)) for callback in self.callbacks]
        if not stopped and self._is_outdated():
            self._prepare(history, None)
        return stopped

    def _save(self, history: History, *, stopped: bool) -> None:
        due = stopped or history.steps == self.total or history.steps % self.checkpoint_every == 0
        if self.checkpoint is not None and due:
            self.checkpoint.write(history, stopped=stopped)


def mean_loss(model: Module, loss: Loss, X: Sequence[Any], y: Sequence[Any]) -> float:
    """The mean of loss(model(x), target), in evaluation and without recording.

    Errors: ValueError for no examples or different lengths.
    """
    X, y = by_position(X), by_position(y)
    check_examples(X, y, "mean_loss: X", "y")
    check_loss(loss, "mean_loss")
    losses = evaluated(
        model, lambda: [loss(model(x), t) for x, t in zip(X, y, strict=True)], "mean_loss"
    )
    return math.fsum(x.data if isinstance(x, Value) else x for x in losses) / len(losses)
