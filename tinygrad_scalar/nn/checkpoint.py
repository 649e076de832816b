"""Checkpoints of a training run: enough to go on to the same bits after being killed anywhere.

A checkpoint holds the parameters, what the optimiser remembers, the state of every source of
random numbers, the history and the step. The order of minibatches needs no state: it is drawn
anew for each epoch from the seed and the number of the epoch.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tinygrad_scalar.core.printable import reason
from tinygrad_scalar.files import DEFECTS, check_place
from tinygrad_scalar.nn.callbacks import History
from tinygrad_scalar.nn.files import pack, read, unpack, write
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.randomness import set_state, sources_of_randomness, state_of
from tinygrad_scalar.nn.saving import load_packed, packed_state

_KIND = "checkpoint"


class Checkpoint:
    """The checkpoint file of a run; `about` tells runs apart that would not go on the same way."""

    def __init__(self, path: Any, model: Module, optimizer: Any, about: dict[str, Any]) -> None:
        check_place(path)
        # told now, and not after a hundred steps
        packed_state(model)
        if not (hasattr(optimizer, "state_dict") and hasattr(optimizer, "load_state_dict")):
            raise TypeError(
                f"fit: checkpoint= keeps what the optimiser remembers: give "
                f"{type(optimizer).__name__} state_dict() and load_state_dict(state)"
            )
        self.path, self.model, self.optimizer = Path(path), model, optimizer
        self.about = {**about, "optimizer": type(optimizer).__name__}

    def write(self, history: History, *, stopped: bool) -> None:
        """Write the state after the last step of `history`, atomically."""
        memory = self.optimizer.state_dict()
        content = {
            "about": self.about,
            "history": {"loss": pack(history.loss), "val_loss": pack(history.val_loss)},
            "optimizer": {
                name: pack(kept) if isinstance(kept, list) else kept
                for name, kept in memory.items()
            },
            "parameters": packed_state(self.model),
            "random": [state_of(source) for source in _sources(self.model)],
            "stopped": stopped,
        }
        write(self.path, _KIND, content)

    def read(self) -> tuple[History, bool]:
        """Put everything back as it was; the history, and whether a callback had stopped the run.

        Errors: ValueError naming the path for a damaged file and for the checkpoint of another
        model or run; nothing has changed then.
        """
        content = read(self.path, _KIND)
        before = self.model.state_dict(), self.optimizer.state_dict()
        sources = _sources(self.model)
        drawn = [state_of(source) for source in sources]
        try:
            self._check(content["about"], content["stopped"])
            losses, stopped = content["history"], content["stopped"]
            history = History(unpack(losses["loss"]), unpack(losses["val_loss"]))
            pairs = list(zip(sources, content["random"], strict=True))
            load_packed(self.model, content["parameters"])
            self.optimizer.load_state_dict(_unpacked_memory(content["optimizer"]))
            for source, state in pairs:
                set_state(source, state)
        except BaseException as error:
            self.model.load_state_dict(before[0])
            self.optimizer.load_state_dict(before[1])
            for source, state in zip(sources, drawn, strict=True):
                set_state(source, state)
            if not isinstance(error, DEFECTS):  # Ctrl-C
                raise
            raise ValueError(
                f"{self.path}: {reason(error)}; remove the file, or name another, to start anew"
            ) from None
        return history, stopped

    def _check(self, about: dict[str, Any], stopped: Any) -> None:
        if stopped not in (True, False):
            raise ValueError(f"stopped is {stopped!r}, and should be true or false")
        for name, here in self.about.items():
            if about[name] != here:
                raise ValueError(
                    f"the checkpoint is of a run with {name} {about[name]}, and this one has {here}"
                )


def _sources(model: Module) -> list[Any]:
    """Python's own generator, and those of the modules."""
    return [random, *sources_of_randomness(model)]


def _unpacked_memory(memory: dict[str, Any]) -> dict[str, Any]:
    return {name: unpack(x) if isinstance(x, list) else x for name, x in memory.items()}
