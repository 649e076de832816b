"""The pages: every Python block runs, in order, unless the comment before it says `skip`."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(
    r"^(<!-- skip: (?P<why>.+?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(text):
    """Language, code, reason to skip and first line of every fenced block."""
    for found in BLOCK.finditer(text):
        yield (
            found["language"],
            found["code"],
            found["why"],
            text.count("\n", 0, found.start("code")) + 1,
        )


def run(text, name):
    """Run the Python blocks of a page in one namespace; AssertionError for another output."""
    namespace = {"__name__": "__page__"}
    for language, code, why, line in blocks(text):
        if why is not None or language not in ("python", "pycon"):
            continue
        if language == "python":
            exec(compile("\n" * (line - 1) + code, name, "exec"), namespace)  # noqa: S102
            continue
        told = []
        test = doctest.DocTestParser().get_doctest(code, namespace, name, name, line - 1)
        test.globs = namespace
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        runner.run(test, out=told.append, clear_globs=False)
        assert not told, "".join(told)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run(page.read_text(encoding="utf-8"), str(page))


# ── the tests of the test ─────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert 1 == 2\n```\n",
        "```pycon\n>>> 1 + 1\n3\n\n```\n",
        "```python\nx = 1\n```\n\n```pycon\n>>> x\n2\n\n```\n",
    ],
)
def test_a_wrong_block_is_found(text):
    with pytest.raises(AssertionError):
        run(text, "page")


def test_a_block_marked_skip_is_not_run_and_says_why():
    assert [why for *_, why, _ in blocks("<!-- skip: needs a GPU -->\n```python\n1/0\n```\n")] == [
        "needs a GPU"
    ]
    run("<!-- skip: needs a GPU -->\n```python\n1/0\n```\n", "page")
