"""Every Python block of a page runs when the site is built, in order, in one namespace.

A block is left out where the comment before it says so: `<!-- skip: why -->`. The tests run the
same blocks.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import tempfile
from collections.abc import Iterator
from typing import Any

_BLOCK = re.compile(
    r"^(<!-- skip: (?P<why>.+?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> None:
    """Run the blocks of a page of docs/; where one fails the build ends with the page's name."""
    from mkdocs.exceptions import PluginError

    if page.file.abs_src_path is None:  # made by another hook, which ran what it shows
        return
    try:
        with (
            tempfile.TemporaryDirectory() as place,
            contextlib.chdir(place),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            run(markdown, page.file.src_uri)
    except Exception as error:  # noqa: BLE001 (whatever an example raises)
        raise PluginError(
            f"{page.file.src_uri}: an example fails: {type(error).__name__}: {error}"
        ) from None


def blocks(text: str) -> Iterator[tuple[str, str, str | None, int]]:
    """Language, code, reason to skip and first line of every fenced block."""
    for found in _BLOCK.finditer(text):
        yield (
            found["language"],
            found["code"],
            found["why"],
            text.count("\n", 0, found.start("code")) + 1,
        )


def run(text: str, name: str) -> None:
    """Run the Python blocks of a page in one namespace; AssertionError for another output."""
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for language, code, why, line in blocks(text):
        if why is not None or language not in {"python", "pycon"}:
            continue
        if language == "python":
            exec(compile("\n" * (line - 1) + code, name, "exec"), namespace)  # noqa: S102 (our pages)
            continue
        told: list[str] = []
        test = doctest.DocTestParser().get_doctest(code, namespace, name, name, line - 1)
        test.globs = namespace
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=told.append, clear_globs=False)
        if told:
            raise AssertionError("".join(told))
