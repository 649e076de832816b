"""Running a compiled function: the right path for a point, traced anew where none fits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, count
from typing import TYPE_CHECKING, Any, TypeVar

from tinygrad_scalar.compiler.arguments import Call, Constant, Key, width_of
from tinygrad_scalar.compiler.backends import Settings, check_engine, code_pays, interpreter, kernel
from tinygrad_scalar.compiler.ir.program import finiteness
from tinygrad_scalar.compiler.ir.tables import WHOLE, UnevenError, tables_of
from tinygrad_scalar.compiler.ir.tape import TraceError
from tinygrad_scalar.compiler.machine.jit import all_finite, without_collector
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.compiler.tracing import RaisedBeforeError, traced
from tinygrad_scalar.compiler.uncompiled import check_structure, path_of_none, uncompiled
from tinygrad_scalar.core import context
from tinygrad_scalar.core.tree import like
from tinygrad_scalar.core.undefined import told
from tinygrad_scalar.modes.run import positions

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.calls import Calls

Method = TypeVar("Method", bound=Callable[..., Any])
WITH_ENTRY = ("value", "grad", "value_and_grad", "backward")  # modes that may be called directly


class Specialisation:
    """All paths of a function for arguments of one structure; without function those of a file.

    The limit on paths and the locks are kept here.
    """

    def __init__(
        self,
        function: Callable[..., Any] | None,
        key: Sequence[Key],
        trees: Sequence[Any],
        options: dict[str, Any],
        settings: Settings,
    ) -> None:
        self.function, self.options = function, options
        self.settings, engine = settings, settings["engine"]
        self.engine = check_engine(None if engine == "cuda" else engine)  # for numbers and lists
        self.dtype, self.undefined = settings["dtype"], settings["undefined"]
        # of its own: the caller may go on to change the lists that were given
        self.trees = [
            tree if isinstance(tree, Constant) else like(tree, [0.0] * width_of(one))
            for tree, one in zip(trees, key, strict=False)  # of a file there are none
        ]
        self.widths = list(map(width_of, key))  # how many numbers each argument holds
        self.every = self.undefined in ("nan", "raise")  # every point is asked for derivatives
        self.paths: list[Path] = []
        self.decided: set[Any] = set()  # what traces are told, see `traced`
        self.lock = context.lock()

    # ── what is differentiated by ─────────────────────────────────────────────────────────────
    @functools.cached_property
    def chosen(self) -> list[int]:
        """The arguments to differentiate by."""
        return positions(self.settings["argnums"], len(self.widths), "compile")

    @functools.cached_property
    def places(self) -> Sequence[int]:
        """The places of their numbers."""
        ends = [0, *accumulate(self.widths)]
        if self.chosen == list(range(len(self.widths))):
            return range(ends[-1])  # compared and hashed at once, however many
        return tuple(k for i in self.chosen for k in range(ends[i], ends[i + 1]))

    def mirrored(self, call: Call, numbers: Sequence[Any]) -> Any:
        """Numbers, one per place, in the structure of a gradient."""
        entries, start = [], 0
        for i in self.chosen:
            one = call.arguments[i]
            end = start + len(one.columns)
            entries.append(one.mirrored(numbers[start:end], call.xp))
            start = end
        argnums = self.settings["argnums"]
        bare = isinstance(argnums, int) or (argnums is None and len(entries) == 1)
        return entries[0] if bare else tuple(entries)

    # ── the function itself ───────────────────────────────────────────────────────────────────
    def trace(self, point: Sequence[float]) -> Path:
        """The path of the function at a point."""
        if self.function is None:
            raise TraceError(
                "this compiled function was loaded without its source, and its file holds no "
                "trace for this structure of arguments or this branch: compile the source"
            )
        try:
            return traced(self.function, self.trees, point, self.options, self.decided)
        except RaisedBeforeError as error:
            failed = error
        try:
            return path_of_none(self, point, failed)
        finally:
            del failed  # its traceback leads here

    def raised(self) -> None:
        """An operation raised at a point of a batch; the function may have handled that."""

    # ── paths ─────────────────────────────────────────────────────────────────────────────────
    def traced_at(self, x: Sequence[float]) -> Path:
        """The path that a point takes, kept if it is a new one; tangents may stand behind."""
        with self.lock:
            path: Path = without_collector(self.trace, x[: sum(self.widths)])
            for known in self.paths:
                if known.same(path):
                    return known
            most = self.settings["max_paths"]
            if len(self.paths) >= most:
                raise TraceError(
                    f"the function takes more than {most} paths through its branches "
                    f"(max_paths={most}): write branches with where(condition, a, b), "
                    "or raise max_paths"
                )
            if self.paths:
                check_structure(self.paths[0].tree, path.tree)
            self.add(path)
            return path

    def add(self, path: Path) -> None:
        """Have a path among these."""
        path.places = self.places
        self.paths.append(path)

    def in_turn(self, point: Callable[[], Sequence[float]]) -> Iterator[tuple[Path, bool]]:
        """Every path, and then those of points that are on none of them, traced anew for ever.

        Whether it was traced for the `point` that is left now.
        """
        for tried in count():
            fresh = tried >= len(self.paths)
            yield self.traced_at(point()) if fresh else self.paths[tried], fresh

    def kernel(
        self, path: Path, mode: str, varying: tuple[bool, ...] | None, *, telling: bool = False
    ) -> Any:
        """The kernel of a path, made once; a `telling` one gives only which points are finite."""
        key = (mode, varying, telling)
        return self.once(path, key, self._made, path, *key)

    def once(self, path: Path, key: Any, make: Callable[..., Any], *given: Any) -> Any:
        """What is kept with a path, made when it is first asked for."""
        made = path.kernels.get(key)
        if made is None:
            with self.lock:
                made = path.kernels.get(key)
                if made is None:
                    made = path.kernels[key] = without_collector(make, *given)
        return made

    def _made(self, path: Path, mode: str, varying: tuple[bool, ...] | None, telling: bool) -> Any:
        if varying is None and path.interpreted:
            code, sizes = path.recording.tape.code, (path.width, len(path.leaves))
            asked = path.asked(mode)
            made = interpreter(self.engine, code, sizes, asked, settled=path.settled)
            if made is not None:
                return made
        program = path.program(mode, single=varying is None)
        if telling:
            program = finiteness(program)
        return kernel(self.engine, program, self.dtype, varying)

    def look_through_tables(self) -> None:
        """See what stands in all rows of all tables: outside of this process all are at hand."""
        try:
            for table in (table for path in self.paths for table in tables_of(path.lookups)):
                for i in range(len(table)):
                    table.entries(i)
        except UnevenError:
            self.write_tables_out()

    def write_tables_out(self) -> None:
        """Trace all paths anew, with every entry of a table an operand: after an UnevenError."""
        with self.lock:
            self.decided.add(WHOLE)
            points = [path.recording.point for path in self.paths]
            self.paths.clear()
            for point in points:
                self.traced_at(point)

    # ── one point ─────────────────────────────────────────────────────────────────────────────
    def point(self, mode: str, x: Sequence[float]) -> tuple[Path, Sequence[float]]:
        """The path for a point and its outputs; raises what the function itself raises."""
        if mode != "value" and self.undefined != "subgradient":  # every kink must be seen
            with told():  # of derivatives inside of the function: they are told of below
                path, _ = self.point("value", x[: sum(self.widths)])
            return path, uncompiled(self, path, mode, x)
        for path, fresh in self.in_turn(lambda: x):
            numbers = self._outputs(path, mode, x)
            if numbers is None and fresh:  # a guard so close that the engine's rounding turns it
                numbers = uncompiled(self, path, mode, x)
            if numbers is not None:
                return path, numbers
        raise AssertionError  # paths never end

    def _outputs(self, path: Path, mode: str, x: Sequence[float]) -> Sequence[float] | None:
        made, given = self.kernel(path, mode, None), path.complete(x)
        raised = False
        try:
            numbers: Sequence[float] | None = made.point(given, path.parameters())
        except Exception:  # noqa: BLE001 (the function itself raises it again, or handles it)
            raised = True
        judges = path.recording.judges
        if not raised and (not numbers or (all_finite(numbers) and not judges)):
            if made.left is not None:
                made.left -= 1
                if made.left == 0:
                    pays = code_pays(path.program("value"), made.instructions)
                    path.settle(interpreted=not pays)
            return numbers
        numbers = uncompiled(self, path, mode, x)
        if made.instructions and not raised and not judges and all_finite(numbers):
            path.settle(interpreted=False)  # there masks reach over the whole trace
        return numbers


# ── what is called directly ───────────────────────────────────────────────────────────────────
# The general way looks at every argument, and at every path, as if it saw them for the first time.
# For a point, and for a batch of a few hundred, that takes longer than the machine code.
def by_machine_code(method: Method) -> Method:
    """The method; what machine code has an entry for goes there at once.

    An entry gives the result, or None, with nothing changed, for what goes the general way.
    """
    mode = "value" if method.__name__ == "__call__" else method.__name__

    @functools.wraps(method)
    def run(self: Calls, *args: Any, **options: Any) -> Any:
        entry = (self._entries if context.plain else self._within).get(mode)
        if entry is not None and not options:
            result = entry(*args)
            if result is not None:
                return result
        return method(self, *args, **options)

    return run  # type: ignore[return-value]


def keep_point(calls: Calls, own: Specialisation, mode: str, call: Call, path: Path) -> None:
    """Keep an entry for one point of this structure.

    At the second call: many a function is called but once.
    """
    if own.engine != "llvm" or own.options or mode not in WITH_ENTRY:
        return
    kernel = own.kernel(path, mode, None)
    if kernel.entry is None:
        kernel.entry = () if _may_have_one(own, mode, call, path) else False
        return
    if kernel.entry is False or call.xp is not None:
        return
    closure = path.closure_at(call.columns) if path.closes_over else None
    if closure is None and path.closes_over:
        return
    if kernel.entry == ():
        arguments = [one.mirrored([None] * len(one.columns)) for one in call.arguments]
        outputs = [None] * len(kernel.program.outputs)
        tree = None if mode == "backward" else calls._shaped(own, mode, call, path, outputs)
        kernel.enter(arguments, tree, closure, adding=mode == "backward")
    if kernel.entry:
        calls._entries[mode] = kernel.entry
        if closure is None and mode != "backward":  # in a trace, numbers of leaves would be frozen
            calls._within[mode] = kernel.entry


def _may_have_one(own: Specialisation, mode: str, call: Call, path: Path) -> bool:
    """Whether machine code gives all that the function does, for floats and lists of them."""
    return (
        own.dtype == "float64"
        and not path.recording.judges
        and (mode == "value" or own.undefined == "subgradient")
        and not any(isinstance(one.tree, Constant) for one in call.arguments)
    )
