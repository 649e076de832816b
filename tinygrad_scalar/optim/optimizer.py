"""`Optimizer`: what all rules share; one rule moves numbers one by one, or all of them at once."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from functools import partial as bind
from typing import TYPE_CHECKING, Any, ClassVar

from tinygrad_scalar.checks import not_negative, numbers, positive, whole
from tinygrad_scalar.core.at_once import assign, at_once
from tinygrad_scalar.core.value import Value
from tinygrad_scalar.nn.parameter import checked_parameters, numbers_in, outside_traces
from tinygrad_scalar.numbers.precision import is_number, quietly
from tinygrad_scalar.optim.schedules import Schedule

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.machine.slots import Slots

Rule = Callable[..., tuple[Any, ...]]
FEW = 30  # parameters that Python moves as fast as machine code does


class Optimizer:
    """Base of the optimisers: `step()` moves every parameter by its gradient, `zero_grad()` zeroes.

    A subclass names in `buffers` what it remembers of each parameter, and `_rule` gives its
    formula: a function of number, gradient and what is remembered, to the number and what is
    remembered next. It is written once, and pushed through it are the floats of one parameter, or,
    where compiled code runs already, NumPy arrays of all of them: the same bits, ten times faster.
    A buffer whose name ends in `_square` holds no number below 0.

    Cost O(parameters) a step. Errors: ValueError for no parameters, lr ≤ 0 or not finite, a
    schedule that gives no finite number ≥ 0; TypeError for what is no Value.
    """

    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, params: Iterable[Value], lr: float, *, schedule: Schedule | None = None
    ) -> None:
        name = type(self).__name__
        self.params = tuple(checked_parameters(params, name))
        self.lr = positive(lr, f"{name}: lr")
        if schedule is not None and not callable(schedule):
            raise TypeError(
                f"{name}: schedule is a function of the step, not {type(schedule).__name__}"
            )
        self.schedule = schedule
        self.steps = 0
        self.memory: dict[str, Any] = {name: [0.0] * len(self.params) for name in self.buffers}

    def _rule(self, lr: float, sqrt: Callable[[Any], Any]) -> Rule:
        """The formula of this step, for numbers of which `sqrt` takes the root.

        `steps` are those taken before it.
        """
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to 0.0."""
        outside_traces("zero_grad()")
        slots = self._slots
        if slots is None or not slots.write("grad", slots.zeros):
            assign(self.params, "grad", [0.0] * len(self.params))

    def step(self) -> None:
        """Move every parameter once, by the gradient that stands in its `.grad`.

        Ctrl-C comes before the step or after it.
        """
        outside_traces("step()")
        lr = not_negative(self.lr, f"{type(self).__name__}: lr") * self._factor()
        if not self._move_at_once(lr):
            self._move_one_by_one(lr)

    def _factor(self) -> float:
        if self.schedule is None:
            return 1.0
        factor = self.schedule(self.steps)
        if not is_number(factor) or not 0.0 <= factor < math.inf:
            raise ValueError(
                f"{type(self).__name__}: schedule({self.steps}) gives {factor!r}, and should give "
                "a factor of the learning rate, a number of at least 0"
            )
        return float(factor)

    def _move_one_by_one(self, lr: float) -> None:
        data, gradients = (
            numbers_in(self.params, x, type(self).__name__) for x in ("data", "grad")
        )
        rows = map(self._rule(lr, math.sqrt), data, gradients, *self._remembered().values())
        moved, *after = zip(*rows, strict=True)
        move = [
            bind(setattr, leaf, "data", number)
            for leaf, number in zip(self.params, moved, strict=True)
        ]
        at_once([*move, *self._remembering(map(list, after))])

    def _move_at_once(self, lr: float) -> bool:
        """The same with arrays; False, and nothing moved, unless all numbers are floats."""
        slots = self._slots
        data, gradients = (slots.read("data"), slots.read("grad")) if slots else (None, None)
        if slots is None or data is None or gradients is None:
            return False
        import numpy as np

        before = [np.asarray(kept, float) for kept in self.memory.values()]
        moved, *after = quietly(
            self._rule(lr, np.sqrt), np.frombuffer(data), np.frombuffer(gradients), *before
        )
        at_once([slots.writing("data", moved), *self._remembering(after)])
        return True

    def _remembering(self, after: Iterable[Any]) -> list[Callable[[], None]]:
        """What notes that a step was taken."""
        memory = dict(zip(self.buffers, after, strict=True))
        return [bind(setattr, self, "memory", memory), bind(setattr, self, "steps", self.steps + 1)]

    @property
    def _slots(self) -> Slots | None:
        """All parameters' numbers at once, where compiled code runs already."""
        if self._reached is None or self._reached[0] is not self.params:
            room = sys.modules.get("tinygrad_scalar.compiler.machine.slots")
            if room is None or not room.running() or len(self.params) <= FEW:
                return None
            self._reached = self.params, room.Slots.of(self.params)
        return self._reached[1]

    _reached: tuple[Sequence[Value], Slots | None] | None = None

    def _remembered(self) -> dict[str, list[Any]]:
        return {
            name: list(kept) if isinstance(kept, list) else kept.tolist()
            for name, kept in self.memory.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """What the optimiser remembers: the steps taken, and a list per buffer."""
        return {"steps": self.steps, **self._remembered()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what `state_dict` gave. All or nothing.

        Errors: ValueError for the state of another optimiser or of other parameters; TypeError for
        what is no state.
        """
        own = type(self).__name__
        if not isinstance(state, Mapping):
            raise TypeError(
                f"{own}: the state is a dict, as state_dict gives it, not {type(state).__name__}"
            )
        lists = {name: state.get(name) for name in self.buffers}
        if set(state) != {"steps", *self.buffers} or any(
            isinstance(kept, Sized) and len(kept) != len(self.params) for kept in lists.values()
        ):
            raise ValueError(
                f"{own}: the state is of another optimiser or of other parameters "
                f"than these {len(self.params)}"
            )
        memory = {name: numbers(kept, f"{own}: {name}") for name, kept in lists.items()}
        for name, kept in memory.items():
            if name.endswith("_square") and any(x < 0 for x in kept):
                raise ValueError(f"{own}: a {name} is below 0")
        steps = whole(state["steps"], f"{own}: steps", least=0)
        self.steps, self.memory = steps, memory

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.params)} parameters, lr={self.lr})"
