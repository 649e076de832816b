"""What `compile` is told; the engines, one interface: those installed, and kernels made by name.

A kernel has `point(x, p)`, the outputs for floats, None where a guard fails, an exception where a
rule raises or a result is not finite; and `batch(columns, p, size)`, the outputs as an array
(m, size), the mask of the points where all guards hold, None for all, and whether all that is
checked is finite.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, TypedDict

from tinygrad_scalar.compiler.ir.program import Program
from tinygrad_scalar.compiler.ir.tape import Line
from tinygrad_scalar.core.tree import check_word, is_word
from tinygrad_scalar.core.undefined import Policy, check_policy
from tinygrad_scalar.modes.run import checked_argnums
from tinygrad_scalar.numbers.precision import is_whole

# Lines of a trace: from so many on it is interpreted at first, or for good. The interpreter is
# ready sooner by 15 to 60 µs a line, and mostly slower, by up to 10 ns a line.
AT_FIRST, ANYWAY = 1_500, 100_000
# A row of a superinstruction takes as long to be made as so many runs of it by itself.
RUNS = 10_000
# Lines of a trace that is written out, where rows of many operands are loops, that cost as much as
# one of the operands of such a row in a superinstruction.
OPERAND = 16
# Operands in code that no cache holds; there an instruction of the interpreter that takes as many
# of them is faster.
STRAIGHT, TAKEN = 10_000, 6
# What each needs, the fastest last.
ENGINES = {"python": (), "numpy": ("numpy",), "llvm": ("llvmlite", "numpy"), "cuda": ("cupy",)}
DTYPES = ("float64", "float32")


class Settings(TypedDict, total=False):
    """What `compile` is told beside the function; all of it, where it is kept."""

    argnums: int | Sequence[int] | None
    engine: str | None
    dtype: Any
    threads: int
    max_paths: int
    undefined: Policy
    batch: bool


def checked(settings: Settings) -> Settings:
    """The settings, the type of numbers by its name. TypeError, ValueError: see `compile`."""
    batch, dtype = settings["batch"], settings["dtype"]
    argnums = checked_argnums(settings["argnums"], "compile")
    if batch not in (True, False):
        raise TypeError(f"compile: batch is True or False, not {batch!r}")
    name = getattr(dtype, "name", getattr(dtype, "__name__", dtype))
    name = "float64" if dtype is float else name
    if not is_word(name, DTYPES):
        raise ValueError(f'compile: dtype is "float64" or "float32", not {dtype!r}')
    check_policy(settings["undefined"])
    return {
        **settings,
        "argnums": argnums,
        "dtype": str(name),
        "batch": bool(batch),
        "threads": _count(settings["threads"], "threads"),
        "max_paths": _count(settings["max_paths"], "max_paths"),
    }


def _count(number: Any, what: str) -> int:
    if not (is_whole(number) or number is True) or number < 1:
        raise ValueError(f"compile: {what} is a whole number of at least 1, not {number!r}")
    return int(number)


class NoMachineCodeWarning(UserWarning):
    """`compile` runs without LLVM here, and says once in a process what brings it."""


_told: list[str] = []


def tell_of_machine_code() -> None:
    """Say to the caller of `compile`, the first time, what makes it faster; nothing where it is."""
    fastest = _hosts()[-1]
    if fastest == "llvm" or _told:
        return
    _told.append(fastest)
    warnings.warn(
        "compile: LLVM is not installed here, and the engine "
        f'{fastest!r} runs the code: pip install "tinygrad_scalar[fast]" makes it machine code; '
        f"engine={fastest!r} asks for this one without this warning",
        NoMachineCodeWarning,
        stacklevel=3,
    )


def engines() -> list[str]:
    """The engines installed here, out of "python", "numpy", "llvm" and "cuda", the fastest last.

    "cuda" is among them where CuPy is installed and a device answers.

    >>> "python" in engines()
    True
    """
    from tinygrad_scalar.compiler.c.cuda import answers

    return [*_hosts(), *(["cuda"] if answers() else [])]


def _hosts() -> list[str]:
    """Those that need no device; the question for one would load CuPy."""
    return [name for name in ENGINES if name != "cuda" and all(map(find_spec, ENGINES[name]))]


def check_engine(name: str | None) -> str:
    """The engine to use: the fastest installed, or the one named.

    Errors: ValueError for another name, ImportError with the command that installs it.
    """
    if name is None:
        return _hosts()[-1]  # arrays of a device are run there all the same
    check_word(name, "compile: engine", ENGINES)
    installed = engines() if name == "cuda" else _hosts()
    if name == "cuda" and name not in installed:
        raise ImportError(
            "the engine 'cuda' needs CuPy and a CUDA device that answers: "
            'pip install "tinygrad_scalar[gpu]", and look at nvidia-smi'
        )
    if name not in installed:
        raise ImportError(
            f"the engine {name!r} needs {' and '.join(ENGINES[name])}: "
            'pip install "tinygrad_scalar[fast]"'
        )
    return name


def kernel(engine: str, program: Program, dtype: str, varying: Sequence[bool] | None) -> Any:
    """A kernel for one point (`varying` None), or for batches with those inputs as columns."""
    if engine == "llvm":
        from tinygrad_scalar.compiler.llvm.kernel import Kernel as LlvmKernel

        return LlvmKernel(program, dtype, varying)
    if engine == "numpy" and varying is not None:
        from tinygrad_scalar.compiler.arrays.kernel import Kernel as NumpyKernel

        return NumpyKernel(program, dtype)
    from tinygrad_scalar.compiler.python import Kernel as PythonKernel

    return PythonKernel(program)


def interpreter(
    engine: str, code: Sequence[Line], sizes: tuple[int, int], asked: Any, *, settled: bool
) -> Any:
    """A kernel for one point that need not write out all of a trace; None where another is better.

    `asked` are the lines of values, the line to differentiate, and by what of all that comes in.
    Where it is settled that it stays, it is worth more time to be made.
    """
    if engine != "llvm" or len(code) < AT_FIRST or asked is None:
        return None
    from tinygrad_scalar.compiler.ir.reroll import FEWEST
    from tinygrad_scalar.compiler.vm.bytecode import LARGEST, Stream
    from tinygrad_scalar.compiler.vm.kernel import Interpreter
    from tinygrad_scalar.compiler.vm.superinstructions import Unsupported

    try:
        calls = None if settled or len(code) >= ANYWAY else first_calls(len(code))
        fewest = FEWEST if calls is None else max(FEWEST, RUNS // calls)
        largest = min(LARGEST, len(code) // OPERAND)
        return Interpreter(Stream(code, asked, sizes, fewest, largest), calls)
    except Unsupported:
        return None


def first_calls(lines: int) -> int:
    """After how many calls machine code of its own is made: that takes the time of very many."""
    return max(500, lines // 20)


def code_pays(program: Program, instructions: int) -> bool:
    """Whether machine code of its own runs a program sooner than so many of the interpreter's."""
    from tinygrad_scalar.compiler.ir.reroll import operands_written

    return operands_written(program) < max(STRAIGHT, TAKEN * instructions)
