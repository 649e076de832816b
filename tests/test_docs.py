"""The pages: every Python block runs, in order, unless the comment before it says `skip`."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from docs.hooks.examples import blocks, on_page_markdown, run

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))


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


def test_a_page_whose_example_fails_ends_the_build_with_its_name():
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    from mkdocs.exceptions import PluginError

    page = SimpleNamespace(file=SimpleNamespace(src_uri="how-to/it.md", abs_src_path="it.md"))
    on_page_markdown("```python\nassert 1 == 1\n```\n", page)
    with pytest.raises(PluginError, match=r"^how-to/it\.md: an example fails: AssertionError"):
        on_page_markdown("```python\nassert 1 == 2\n```\n", page)
