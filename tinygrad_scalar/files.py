"""Files that are as they were or complete: written beside their place, then moved into it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import starmap
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which does not remove an open file
    fcntl = None  # type: ignore[assignment]

# What reading may raise in a file that says something else than it should.
DEFECTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}


def checked_path(path: str | os.PathLike[str]) -> Path:
    """The path; TypeError for anything that names no file."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is the name of a file, a str or a Path, not {type(path).__name__}")
    return Path(path)


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write the file at once: whatever fails, an existing one stays as it was, and nothing is left.

    Temporary file, fsync, rename: a crash leaves the old file or the new one, and at most a
    temporary file, which the next write of this file removes. A new file gets the usual
    permissions, an existing one keeps its own; a link keeps pointing to what is written.
    Errors: OSError naming the path; also for what is no regular file: a folder, pipe, device or
    socket is left as it is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(f"{folder}/a.txt", "done")
    ...     [entry.name for entry in Path(folder).iterdir()]
    ['a.txt']
    """
    write_together({checked_path(path): content})


def write_together(contents: Mapping[str | os.PathLike[str], bytes | str]) -> None:
    """The same for several files by their paths: Ctrl-C leaves all as they were, or all written."""
    files = []
    for path, content in contents.items():
        check_place(path)
        data = content.encode() if isinstance(content, str) else content
        files.append((Path(os.path.realpath(path)), data))
    try:
        _write_beside(files, [])
        for folder in {target.parent for target, _ in files}:
            _sync_folder(folder)
    except OSError as error:
        reason, names = error.strerror or str(error), " and ".join(map(str, contents))
        raise type(error)(f"{names} cannot be written: {reason}") from error


def _write_beside(files: Sequence[tuple[Path, bytes]], moves: Sequence[tuple[str, str]]) -> None:
    """Write new files beside their targets, locked meanwhile, and move all into their places.

    The first, then the others inside of it, with the moves so far. What writers of the same file
    left that were killed is removed: they hold no lock any more.
    """
    (target, data), *others = files
    # by a digest, since the name itself may have the greatest length that there is
    prefix = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}."
    for left in target.parent.iterdir():
        if left.name.startswith(prefix):
            _remove_unless_locked(left)
    beside = target.with_name(f"{prefix}{os.urandom(8).hex()}.tmp")
    place = os.fspath(beside)
    try:
        with beside.open("xb") as file:
            with suppress(OSError):  # a file system without locks
                _lock(file.fileno())
            if target.exists():
                beside.chmod(target.stat().st_mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            moves = [*moves, (place, os.fspath(target))]
            if others:
                _write_beside(others, moves)
            else:
                deque(starmap(os.replace, moves), maxlen=0)  # in one call of C
    finally:
        try:  # noqa: SIM105 (at once in C: Ctrl-C does not come before it)
            os.unlink(place)  # noqa: PTH108
        except FileNotFoundError:
            pass


def _remove_unless_locked(left: Path) -> None:
    with suppress(OSError):
        number = os.open(left, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            _lock(number)
            left.unlink()
        finally:
            os.close(number)


def _lock(number: int) -> None:
    """Lock an open file; OSError where another holds it."""
    if fcntl is not None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def check_place(path: str | os.PathLike[str]) -> None:
    """Raise what `write_atomically` would for a place that no file can be written to.

    For those who work long before they write.
    """
    target = Path(os.path.realpath(checked_path(path)))
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{os.fspath(path)} cannot be written: there is no folder {target.parent}: "
            "create it first"
        )
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(
            f"{os.fspath(path)} cannot be written: nothing may be written to the folder "
            f"{target.parent}: name another"
        )
    kind = _irregular(path)
    if kind == "a folder":
        raise IsADirectoryError(f"{os.fspath(path)} is a folder: name a file in it")
    if kind:
        raise OSError(f"{os.fspath(path)} is {kind}, which a file would replace: name a file")


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file: at a pipe or device one could wait for ever.

    Errors: OSError for a file that cannot be read, ValueError for what is none.
    """
    kind = _irregular(path)
    if kind and kind != "a folder":
        raise ValueError(f"{os.fspath(path)} is {kind}: name a file")
    return Path(path).read_bytes()


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, or of what comes through a pipe; a device may have no end.

    Errors: OSError for a file that cannot be read, ValueError for a device and for no text.
    """
    kind = _irregular(path)
    if kind == "a device":
        raise ValueError(f"{os.fspath(path)} is {kind}: name a file")
    return Path(path).read_text(encoding="utf-8-sig")


def _irregular(path: str | os.PathLike[str]) -> str | None:
    """What stands at `path` instead of a regular file, in words; None for a file and for nothing.

    Errors: OSError for links that go round in a circle and the like.
    """
    try:
        mode = checked_path(path).stat().st_mode
    except FileNotFoundError:
        return None
    return next((kind for holds, kind in _KINDS.items() if holds(mode)), None)


def suffix_of(path: str | os.PathLike[str]) -> str:
    """The suffix in small letters, without its point.

    >>> suffix_of("graph.SVG")
    'svg'
    """
    return checked_path(path).suffix.lower().removeprefix(".")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a crash, where the system can do that."""
    with suppress(OSError, AttributeError):  # no O_DIRECTORY on Windows
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
