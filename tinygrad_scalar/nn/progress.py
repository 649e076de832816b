"""How far training is: a bar in a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
from typing import Any, Self

from tinygrad_scalar.nn.callbacks import History

_LINES = 10  # how many a log has


class Progress:
    """A progress bar over `total` steps with the loss beside it, begun at step `start`.

    `show` True: a bar where standard error is a terminal, else about ten plain lines there; None:
    the bar or nothing; False: nothing. Without standard error there is nothing to show it on.
    """

    def __init__(self, total: int, start: int, show: bool | None) -> None:
        if show not in (None, True, False):
            raise ValueError(f"fit: progress is True, False or None, not {show!r}")
        stream = sys.stderr  # None without a console, as under pythonw
        terminal = stream is not None and stream.isatty()
        self.total = total
        self.logging = bool(show) and stream is not None and not terminal
        self._bar: Any = None
        if terminal and show is not False:
            from shutil import get_terminal_size

            from tqdm import tqdm

            # where the size is not known, tqdm would show nothing
            size = dict(zip(("ncols", "nrows"), get_terminal_size(), strict=True))
            self._bar = tqdm(total=total, initial=start, unit="step", **size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, history: History) -> None:
        """Show that the last step of `history` is done."""
        number = history.steps
        if self._bar is not None:
            self._bar.set_postfix_str(_told(history), refresh=False)
            self._bar.update()
        elif self.logging and (number % max(1, self.total // _LINES) == 0 or number == self.total):
            sys.stderr.write(f"step {number} of {self.total}: {_told(history)}\n")
            sys.stderr.flush()


def _told(history: History) -> str:
    validated = f", validation loss {history.val_loss[-1]:.4f}" if history.val_loss else ""
    return f"loss {history.loss[-1]:.4f}{validated}"
