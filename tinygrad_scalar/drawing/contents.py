"""What a box of a picture says of what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinygrad_scalar.drawing.arguments import Look
from tinygrad_scalar.drawing.boxes import Box
from tinygrad_scalar.drawing.gradients import Gradients
from tinygrad_scalar.drawing.labels import number_text
from tinygrad_scalar.drawing.scene import Scene

_KINDS = 3  # of operations that a closed scope names
_INPUTS = 4  # plain numbers that a closed scope shows


def contents(
    box: Box, seen: Scene, look: Look, gradients: Gradients, caption: Callable[[Any, str], str]
) -> Iterator[str]:
    """Lines of text: of a closed scope its inputs and its result, of like nodes their range."""
    if box.group is None:
        inputs = _plain_inputs(box)
        if inputs:
            shown = [number_text(x, look.digits) for x in inputs[:_INPUTS]]
            yield f"of {', '.join(shown)}{', …' * (len(inputs) > _INPUTS)}"
        outputs = _outputs(seen, box)
        if len(outputs) == 1:
            yield from filter(None, caption(outputs[0], "").split("\\n"))
        else:
            yield f"{len(box.nodes)} nodes"
            yield _operations(box)
        return
    joined = " → " if box.group.turns else " … "
    if look.values:
        yield _range([node.data for node in box.nodes], joined, look.digits)
    if look.gradients and all(map(gradients.known, box.nodes)):
        yield f"grad {_range([gradients.of(node) for node in box.nodes], joined, look.digits)}"


def _range(numbers: Sequence[Any], joined: str, digits: int) -> str:
    """First → last of a chain, least … largest of what stands side by side."""
    ends = (numbers[0], numbers[-1]) if joined == " → " else (min(numbers), max(numbers))
    first, last = (number_text(x, min(digits, 3)) for x in ends)
    return first if first == last else f"{first}{joined}{last}"


def _outputs(seen: Scene, box: Box) -> list[Any]:
    """The nodes of a box that something outside takes, and the outputs of the graph."""
    inside = {id(node) for node in box.nodes}
    found = {id(root): root for root in seen.roots if id(root) in inside}
    for bundle in seen.bundles:
        if bundle.source == box.key:
            for node, i in bundle.edges:
                parent = node._slots()[i]
                found[id(parent)] = parent
    return list(found.values())


def _operations(box: Box) -> str:
    """The commonest operations of a box, with how often they stand in it."""
    names = Counter(
        node.primitive.symbol or node.primitive.name for node in box.nodes if node.primitive
    )
    texts = [name if n == 1 else f"{n} {name}" for name, n in names.most_common(_KINDS)]
    return ", ".join(texts) + ", …" * (len(names) > _KINDS)


def _plain_inputs(box: Box) -> list[Any]:
    """The plain numbers among the operands of an operation of many: the inputs of a module."""
    for node in box.nodes:
        slots = node._slots() if node.primitive is not None else ()
        if len(slots) > 2 and len(node.parents) < len(slots):
            return [x for p, x in zip(slots, node._seen()[1], strict=True) if p is None]
    return []
