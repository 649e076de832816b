"""Builds the compiled node where the environment asks for it, and the README for an index.

    TINYGRAD_SCALAR_COMPILED=1 pip install .

The modules of the hot path are compiled as they stand by Cython; the `.pxd` file beside each says
which classes become extension types and which variables are Values. Nothing else changes: without
the variable the same modules run as plain Python, and no C compiler is needed.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

VARIABLE = "TINYGRAD_SCALAR_COMPILED"
ENGINE = "tinygrad_scalar/core"
MODULES = (
    "carrier.py",
    "arithmetic.py",
    "recorded.py",
    "value.pyx",
    "rules.py",
    "sweep.py",
    "reverse.py",
)
# Annotations are for people and mypy; pickling is the library's own (pickling.py).
DIRECTIVES = {"language_level": 3, "annotation_typing": False, "auto_pickle": False, "cpow": True}


def asked() -> bool:
    """Whether the environment asks for the compiled node."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


class CompiledNode(BuildHookInterface[Any]):
    """Puts the compiled modules into the wheel; of an editable installation, beside the sources."""

    def dependencies(self) -> list[str]:
        """What the build needs on top of hatchling."""
        return ["cython>=3.1", "setuptools>=77"] if asked() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say where the results are."""
        if not asked():
            return
        self.place = tempfile.mkdtemp()
        for library in extensions(Path(self.root), Path(self.place)):
            if version == "editable":
                shutil.copy(library, Path(self.root, ENGINE, library.name))
            else:
                build_data["force_include"][str(library)] = f"{ENGINE}/{library.name}"
        build_data.update(pure_python=False, infer_tag=True)

    def finalize(self, *_: Any) -> None:
        """Leave nothing behind."""
        if asked():
            shutil.rmtree(self.place)


def extensions(root: Path, place: Path) -> list[Path]:
    """The modules compiled into `place`: C by Cython, machine code by the compiler at hand."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext
    from setuptools.errors import CompileError

    os.chdir(root)  # module names are worked out from where the sources stand
    sources = [
        Extension(f"{ENGINE}/{Path(name).stem}".replace("/", "."), [f"{ENGINE}/{name}"])
        for name in MODULES
    ]
    modules = cythonize(
        sources, build_dir=str(place), compiler_directives=DIRECTIVES, force=True, quiet=True
    )
    command = build_ext(Distribution({"name": "tinygrad_scalar", "ext_modules": modules}))
    command.build_lib = command.build_temp = str(place)
    command.ensure_finalized()
    try:
        command.run()
    except CompileError as error:
        raise RuntimeError(
            f"{VARIABLE}: the node cannot be compiled ({error}): install a C compiler and the "
            "headers of Python (Debian: build-essential and python3-dev), or leave the variable "
            "out: the plain Python that is installed then gives the same results"
        ) from error
    return [Path(path) for path in command.get_outputs()]


class ReadmeForAnIndex(MetadataHookInterface):
    """The README as a package index shows it, which does not have the files it links to."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put it into the metadata."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        address = metadata.get("urls", {}).get("Repository", "")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": for_an_index(text, address.rstrip("/")),
        }


def for_an_index(text: str, address: str) -> str:
    """Markdown with links to files of the repository at an address; without one, their words alone.

    >>> for_an_index("![A](a.svg) [b](b.md#c) [d](#d)", "https://example.org/r")
    '![A](https://example.org/r/raw/HEAD/a.svg) [b](https://example.org/r/blob/HEAD/b.md#c) [d](#d)'
    >>> for_an_index("![A](a.svg) [b](b.md#c) [d](#d)", "")
    ' b [d](#d)'
    """

    def placed(found: re.Match[str]) -> str:
        mark, words, file = found.groups()
        if address:
            return f"{mark}[{words}]({address}/{'raw' if mark else 'blob'}/HEAD/{file})"
        return "" if mark else words

    return re.sub(r"(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s]+)\)", placed, text)
