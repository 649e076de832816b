"""`f.source_for`: what each target is given to compile, whether it is at hand or not."""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_scalar.compiler.dispatch import Specialisation
from tinygrad_scalar.compiler.paths import VALUE, Request

TARGETS = ("python", "llvm", "c", "cuda")


def source_for(
    target: str, own: Specialisation, inputs: Sequence[int], dtype: str, about: str
) -> str:
    """The source of value and gradient, or of the values where there are several."""
    if target not in TARGETS:
        raise ValueError(
            f"source_for: the target is one of {', '.join(map(repr, TARGETS))}, not {target!r}"
        )
    path = own.paths[-1]
    request = Request("both", inputs) if len(path.outputs) == 1 else VALUE
    if target == "c":
        from tinygrad_scalar.compiler.to_c import library

        return library(own.paths, request, "compiled", "compiled", about)[0]
    program = path.program(request)
    if target == "cuda":
        places = {id(leaf): k for k, leaf in enumerate(path.all_leaves())}
        program = path.program_in_memory(request, places)
        from tinygrad_scalar.compiler.c.cuda import columns, kernel_source

        return kernel_source(program, columns(program), "double" if dtype == "float64" else "float")
    if target == "python":
        from tinygrad_scalar.compiler.python.kernel import source

        return source(program)
    from tinygrad_scalar.compiler.ir.lower import lowered
    from tinygrad_scalar.compiler.llvm.builder import NATIVE, Target
    from tinygrad_scalar.compiler.llvm.loops import RollingWriter

    return RollingWriter(
        lowered(program, NATIVE), Target("double", 1, lambda *_: None), "point", ()
    ).module()
