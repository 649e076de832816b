"""JSON files with a checksum.

Numbers are exact: Python writes the shortest text that reads back as the same float. NaN and ±inf,
which JSON does not know, are the strings "nan", "inf" and "-inf" in lists of numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from typing import Any

from tinygrad_scalar.files import read_regular, write_atomically

VERSION = 1


def write(path: str | os.PathLike[str], kind: str, content: dict[str, Any]) -> None:
    """Write `content` as a file of this `kind`, atomically.

    Errors: OSError where the folder cannot be written; nothing is left behind then.
    """
    body = _canonical(content)
    record = f'{{"format": "tinygrad_scalar {kind}", "version": {VERSION}, '
    write_atomically(path, f'{record}"sha256": "{_digest(body)}",\n"content": {body}}}\n')


def read(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """The content of a file of this `kind`.

    Errors: FileNotFoundError; ValueError naming the path for a file that is truncated, changed,
    of another kind or of a later version.
    """
    raw = read_regular(path)
    try:
        text = raw.decode("utf-8")
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON, so truncated or no {kind} ({error})") from None
    if not isinstance(record, dict) or record.get("format") != f"tinygrad_scalar {kind}":
        raise ValueError(f"{path}: not a {kind} written by tinygrad_scalar")
    if record.get("version") != VERSION:
        raise ValueError(
            f"{path}: version {record.get('version')!r} of the format, and this release reads "
            f"{VERSION}: update tinygrad_scalar"
        )
    content = record.get("content")
    if (
        not isinstance(content, dict)
        or record.get("sha256") != _digest_of(content)
        or not text.endswith("}\n")  # its last character counts too
    ):
        raise ValueError(f"{path}: the checksum does not fit, so the file was damaged or changed")
    return content


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def _digest_of(content: dict[str, Any]) -> str | None:
    """The checksum of a content as it was read; None where JSON could not have carried it."""
    try:
        return _digest(_canonical(content))
    except (RecursionError, ValueError):  # NaN and the like, which json reads and never writes
        return None


def pack(numbers: Iterable[float]) -> list[float | str]:
    """Floats as JSON takes them.

    >>> pack([0.1, math.inf])
    [0.1, 'inf']
    """
    return [x if math.isfinite(x) else str(x) for x in numbers]


def unpack(numbers: Iterable[Any]) -> list[float]:
    """What `pack` gave as floats; ValueError for anything else.

    >>> unpack([0.1, "inf"])
    [0.1, inf]
    """
    return [_unpacked(x) for x in numbers]


def _unpacked(x: Any) -> float:
    if isinstance(x, float) or x in ("nan", "inf", "-inf"):
        return float(x)
    raise ValueError(f"{x!r} stands where a float should")
