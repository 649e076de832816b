"""What an index and a user who installs learn: README, extras, Pythons."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def build():
    place = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def test_links_of_the_readme_lead_to_files():
    files = [link for link in LINK.findall(README) if not link.startswith("http")]
    assert len(files) > 5
    assert [file for file in files if not (ROOT / file.partition("#")[0]).exists()] == []


def test_on_an_index_every_link_is_absolute_or_a_word(build):
    text = build.for_an_index(README, "https://example.org/r")
    assert "![The price of two apples" in text
    assert "](https://example.org/r/raw/HEAD/docs/price.svg)" in text
    assert "[CONTRIBUTING](https://example.org/r/blob/HEAD/CONTRIBUTING.md)" in text
    for address in ("https://example.org/r", ""):
        links = LINK.findall(build.for_an_index(README, address))
        assert links
        assert all(link.startswith("https://") for link in links)
    assert "in CONTRIBUTING." in build.for_an_index(README, "")


@pytest.mark.parametrize("urls", [{}, {"urls": {"Repository": "https://example.org/r/"}}])
def test_the_metadata_carry_it(build, urls):
    found = dict(urls)
    build.ReadmeForAnIndex(str(ROOT), {}).update(found)
    assert found["readme"]["content-type"] == "text/markdown"
    assert found["readme"]["text"].startswith("# tinygrad_scalar\n")
    assert ("https://example.org/r/raw/HEAD/docs" in found["readme"]["text"]) == bool(urls)


def test_the_readme_says_what_each_extra_gives():
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \| .*\w.* \|$", README, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert set(PROJECT["optional-dependencies"]) <= told


def test_the_pythons_that_it_is_for_are_told():
    told = [line for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert [line.rpartition(" ")[2] for line in told] == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={told[0].rpartition(' ')[2]}"


def test_a_node_that_cannot_be_compiled_names_what_is_missing(build, tmp_path, monkeypatch):
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    monkeypatch.chdir(tmp_path)  # the build changes to the sources
    monkeypatch.setenv("CC", str(tmp_path / "no compiler"))
    with pytest.raises(RuntimeError, match=r"install a C compiler .* or leave the variable out"):
        build.extensions(ROOT, tmp_path)
