"""The rooms: imports go strictly down one list, and nothing is imported that is not in it."""

import ast
import re
from pathlib import Path

import pytest

import tinygrad_scalar

PACKAGE = Path(tinygrad_scalar.__file__).parent

# A room imports only rooms that stand before it. Modules that share a room (those of a package, or
# those joined by a plus) may import each other as long as they do not do so in a circle.
# CONTRIBUTING says what lives where, in the same order.
ROOMS = str.split("""
    numbers files+checks+seeds+workers
    core
    functions+plain teaching
    modes expression
    drawing
    compiler/machine compiler/ir
    compiler/python compiler/llvm compiler/arrays compiler/vm compiler/c compiler
    nn+optim+data
    testing strategies
    __init__ bench cli __main__
""")
PLACES = {
    name.replace("/", "."): place for place, names in enumerate(ROOMS) for name in names.split("+")
}
ARROWS, FLOORS = 80, 12  # at most


def modules():
    """Every module by its dotted name below the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts), path


NAMES = dict(modules())


def room(module):
    """The place of a module's room in the list."""
    while module and module not in PLACES:
        module = module.rpartition(".")[0]
    return PLACES[module]


def without_type_checking(tree):
    """The statements that run: what stands under `if TYPE_CHECKING:` is for annotations only."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                todo.extend(child.orelse)
            else:
                todo.append(child)


def imported_by(source, module="", statements=ast.walk):
    """The modules of the package that a source imports, inside functions and for types too."""
    package = module if module in NAMES and NAMES[module].name == "__init__.py" else None
    base = (package or module.rpartition(".")[0]).split(".")
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, _, rest = alias.name.partition(".")
                if top == "tinygrad_scalar":
                    yield rest or "__init__"
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                start = [part for part in base if part][
                    : None if node.level == 1 else 1 - node.level
                ]
                origin = ".".join([*start, *([node.module] if node.module else [])])
            elif node.module and node.module.split(".")[0] == "tinygrad_scalar":
                origin = node.module.partition(".")[2]
            else:
                continue
            for alias in node.names:
                below = f"{origin}.{alias.name}".strip(".")
                yield below if below in NAMES else (origin or "__init__")


def faults(module, source):
    """What a module imports from a room that does not stand before its own."""
    own = room(module)
    return [
        f"{module} imports {other}" for other in imported_by(source, module) if room(other) > own
    ]


def test_every_module_has_a_room():
    new = {module.split(".")[0] for module in NAMES} - {place.split(".")[0] for place in PLACES}
    assert not new, f"give a place in ROOMS to {new}"


def test_every_room_is_there_once():
    assert sum(len(names.split("+")) for names in ROOMS) == len(PLACES)


@pytest.mark.parametrize("module", NAMES)
def test_imports_go_strictly_down(module):
    assert faults(module, NAMES[module].read_text(encoding="utf-8")) == []


def test_no_module_imports_itself_in_a_circle():
    graph = {
        module: {
            other
            for other in imported_by(
                path.read_text(encoding="utf-8"), module, without_type_checking
            )
            if other != module and room(other) == room(module)
        }
        for module, path in NAMES.items()
    }
    while graph:
        free = [module for module, others in graph.items() if not others & set(graph)]
        assert free, f"in a circle: {sorted(graph)}"
        for module in free:
            del graph[module]


def arrows():
    """From room to room, what imports what, types included."""
    return {
        (room(module), room(other))
        for module, path in NAMES.items()
        for other in imported_by(path.read_text(encoding="utf-8"), module)
        if room(module) != room(other)
    }


def test_there_are_few_arrows_between_few_floors():
    found = arrows()
    assert len(found) <= ARROWS
    floors = {}
    for place in range(len(ROOMS)):  # what a room imports stands before it
        floors[place] = 1 + max((floors[low] for up, low in found if up == place), default=0)
    assert max(floors.values()) <= FLOORS


def test_contributing_tells_the_same_rooms():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.search(r"\| room \| what lives there \|\n\|[-|]*\n((?:\|.*\n)*)", text).group(1)
    for line, names in zip(table.splitlines(), ROOMS, strict=True):
        told = re.findall(r"`([^`]*)`", line.split("|")[1])
        assert "+".join(name.removesuffix("/").removesuffix(".py") for name in told) == names


# ── the test of the test ──────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "source",
    [
        "from tinygrad_scalar.modes.grad import grad",
        "from tinygrad_scalar import modes",
        "import tinygrad_scalar.modes.grad",
        "from tinygrad_scalar import Value",
        "import tinygrad_scalar",
        "from ..modes.grad import grad",
        "from .. import modes",
        "def f():\n    from tinygrad_scalar.modes.grad import grad",
        "if True:\n    import tinygrad_scalar.modes.grad",
        "if TYPE_CHECKING:\n    pass\nelse:\n    import tinygrad_scalar.modes.grad",
        "if TYPE_CHECKING:\n    from tinygrad_scalar.modes.grad import grad",
        "if typing.TYPE_CHECKING:\n    import tinygrad_scalar.modes.grad",
        "from tinygrad_scalar.drawing import dot",
    ],
)
def test_an_import_upwards_is_found(source):
    assert len(faults("core.graph", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "from tinygrad_scalar.core import context",
        "from tinygrad_scalar.core.primitives import add",
        "import tinygrad_scalar.numbers.precision",
        "from . import context",
        "import numpy, math",
    ],
)
def test_an_import_downwards_is_fine(source):
    assert faults("core.graph", source) == []


def test_modules_of_one_room_may_import_each_other():
    assert faults("drawing.dot", "from tinygrad_scalar.drawing.labels import escape") == []
    assert len(faults("drawing.dot", "from tinygrad_scalar.nn.module import Module")) == 1
    assert [*imported_by("from .labels import escape", "drawing.dot")] == ["drawing.labels"]
