"""What a failed check shows of the stack: the user's frames, in any test runner."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar

from tinygrad_scalar.testing.errors import GradientError

P = ParamSpec("P")
R = TypeVar("R")
_TESTING = os.path.dirname(__file__) + os.sep  # noqa: PTH120 (pathlib is slow to import)
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep  # noqa: PTH120 (the same)


def shown_without_ours(check: Callable[P, R]) -> Callable[P, R]:
    """The check, whose errors carry the frames of the user's code only.

    All failures come from one place, so that Hypothesis takes them for one and shrinks them all.
    """

    @wraps(check)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        __tracebackhide__ = True  # pytest leaves this frame out
        try:
            return check(*args, **options)
        except GradientError as error:
            found = error
        except Exception as error:  # noqa: BLE001 (the same error, raised again)
            raise error.with_traceback(_without(error.__traceback__, _TESTING)) from error.__cause__
        cause = found.__cause__
        if cause is not None:
            cause.__traceback__ = _without(cause.__traceback__, _PACKAGE)
            cause.__context__, cause.__suppress_context__ = None, True
        raise found.with_traceback(None) from cause

    return checked


def _without(traceback: TracebackType | None, folder: str) -> TracebackType | None:
    """The traceback without the frames of files in a folder."""
    kept = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(folder):
            kept.append(traceback)
        traceback = traceback.tb_next
    for entry in reversed(kept):
        traceback = TracebackType(traceback, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return traceback
