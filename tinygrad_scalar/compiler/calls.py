"""From a call to its result: the arguments taken apart, the paths for them, the outputs shaped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

from tinygrad_scalar.compiler import elsewhere
from tinygrad_scalar.compiler.arguments import (
    Call,
    at,
    has_carrier,
    is_constant,
    joined,
    known_as,
    named,
    no_slope,
    taken_apart,
)
from tinygrad_scalar.compiler.arrays.namespaces import (
    UNKNOWN,
    arranged,
    converted,
    on_host,
    stacked,
)
from tinygrad_scalar.compiler.backends import Settings, check_engine, checked
from tinygrad_scalar.compiler.closed_over import add_gradients
from tinygrad_scalar.compiler.dispatch import Specialisation, keep_point
from tinygrad_scalar.compiler.ir.tables import UnevenError
from tinygrad_scalar.compiler.ir.tape import TraceError
from tinygrad_scalar.compiler.paths import MATRICES, Path, values_of
from tinygrad_scalar.compiler.sharded import (
    PAIRS,
    Sharded,
    Sums,
    as_given,
    check_size,
    holds_lazy,
    in_a_row,
    lazily,
    sums_of_chunks,
)
from tinygrad_scalar.compiler.uncompiled import MODES, by_points, directional, holds_batch
from tinygrad_scalar.core import context
from tinygrad_scalar.core.tree import each, leaves, like, nested
from tinygrad_scalar.modes.run import positions
from tinygrad_scalar.numbers.precision import as_single, quietly
from tinygrad_scalar.workers import check_executor, shards_of, spread

_TOLD_ANEW = (TypeError, ValueError, IndexError, AttributeError, TraceError)


class Calls:
    """A function that is compiled, and what was made of it for each structure of arguments."""

    def __init__(self, function: Any, settings: Settings) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"compile: give a function, not {type(function).__name__}")
        self.function, self.settings = function, checked(settings)
        self.engine = check_engine(settings["engine"])
        self.dtype, self.batch = self.settings["dtype"], self.settings["batch"]
        self._specialisations: dict[Any, Specialisation] = {}
        self._called: Specialisation | None = None  # last
        self._entries: dict[str, Any] = {}  # what is called directly, by mode
        self._within: dict[str, Any] = {}  # the same within a block, as a trace is
        self._sharded: dict[Specialisation, Sharded] = {}  # what workers were sent
        if function is not None:
            functools.update_wrapper(self, function, updated=())  # type: ignore[arg-type]
        # in the class that it is a method of
        self._place = getattr(self, "__qualname__", "compiled")

    def _about(self) -> str:
        return f"{getattr(self, '__name__', 'function')!s}, compiled"

    def _own(self) -> Specialisation:
        """The paths for the structure of arguments that was called last."""
        called = [self._called, *reversed(self._specialisations.values())]
        own = next((own for own in called if own is not None and own.paths), None)
        if own is None:
            raise TraceError("the function has not been traced yet: call it once first")
        return own

    def _prepared(
        self, args: Sequence[Any], options: dict[str, Any], constants: Collection[int] | None = None
    ) -> tuple[Call, Specialisation]:
        if constants is None:
            constants = self._constants(args)
        name = getattr(self, "__name__", "compile")
        call = taken_apart(args, name, constants, batch=self.batch)
        structure = named(call.key) if self.function is None else call.key
        key = (structure, known_as(tuple(sorted(options.items()))) if options else ())
        try:
            own = self._specialisations.get(key)
        except TypeError:
            raise TypeError(
                "compile: keyword arguments are constants of the compiled code and must be "
                f"hashable, not {', '.join(type(x).__name__ for x in options.values())}; pass "
                "numbers to differentiate by position"
            ) from None
        if own is None:
            trees = [one.tree for one in call.arguments]
            own = Specialisation(self.function, call.key, trees, options, self.settings)
            own = self._specialisations.setdefault(key, own)  # another thread may be first
        self._called = own
        return call, own

    def _constants(self, args: Sequence[Any], tangents: Sequence[Any] = ()) -> Collection[int]:
        """The positions of the arguments that are constants of the compiled code and stay."""
        if self.settings["argnums"] is None:
            return ()
        chosen = positions(self.settings["argnums"], len(args), "compile")
        found = [i for i, x in enumerate(args) if i not in chosen and is_constant(x)]
        return [i for i in found if no_slope(tangents[i : i + 1])]

    def _told(
        self, own: Specialisation, call: Call, compute: Callable[..., Any], *given: Any
    ) -> Any:
        """What it gives, with tables line by line where a row holds what those before it do not.

        An error of the function says what was a batch, and may be a vector, or the other way round.
        """
        try:
            with suppress(UnevenError):
                return compute(*given)
            own.write_tables_out()
            return compute(*given)
        except Exception as error:
            vectors = self.batch and isinstance(error, TypeError)
            hint = _taken_for(call, vectors=vectors)
            if own.paths or not hint:
                raise
            if type(error) in _TOLD_ANEW:
                raise type(error)(f"{error}; {hint}") from error
            error.add_note(f"{self._about()}: {hint}")
            raise

    # ── every mode but backward ───────────────────────────────────────────────────────────────
    def _result(self, mode: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """What a method gives for arguments; for primals and tangents in modes of `PAIRS`."""
        flat, pairs = in_a_row(mode, args), mode in PAIRS
        if holds_lazy(flat):
            return lazily(self, mode, args, options)
        try:
            call, own = self._along(mode, *args) if pairs else self._prepared(args, options)
        except TypeError:
            if has_carrier(flat):
                return self._uncompiled(mode, args, options)
            raise
        path, outputs = self._outputs(own, mode, call)
        if path is not None and call.size is None:
            keep_point(self, own, mode, call, path)
        return self._shaped(own, mode, call, path, outputs)

    def _along(
        self, mode: str, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Call, Specialisation]:
        """Primals and what they move along in one call: all arguments for jvp, but constants."""
        still = self._constants(primals, tangents) if mode == "jvp" else ()
        tangents = [primals[i] if i in still else t for i, t in enumerate(tangents)]
        call, own = self._prepared(primals, {}, still if mode == "jvp" else None)
        what = f"{mode}: {'tangents' if mode == 'jvp' else 'vectors'}"
        along = taken_apart(tangents, what, still, batch=self.batch)
        moving = range(len(call.arguments)) if mode == "jvp" else own.chosen
        return joined(call, along, moving, what), own

    def _shaped(
        self, own: Specialisation, mode: str, call: Call, path: Path | None, outputs: Any
    ) -> Any:
        """The outputs in the structure that a method promises; at no point there is no path."""
        count = len(own.places)
        tree = None if path is None else path.tree
        if mode == "value":
            return returned(tree, outputs, call)
        if mode == "jvp":
            half = len(outputs) // 2
            return returned(tree, outputs[:half], call), returned(tree, outputs[half:], call)
        if mode in MATRICES:
            values = 1 if path is None else len(path.outputs)
            height = count if mode == "hessian" else values
            rows = matrix(outputs, height, count, call.size, call.xp)
            if self.batch:
                return rows
            inside = own.mirrored(call, [0.0] * count)
            return nested(inside if mode == "hessian" else tree, inside, rows)
        first = values_of(mode, 1)
        slopes = own.mirrored(call, outputs[first:])
        return (outputs[0], slopes) if first else slopes

    def _outputs(self, own: Specialisation, mode: str, call: Call) -> tuple[Path | None, Any]:
        """Some path, and the outputs; at no point perhaps without one, and then of one value."""
        if call.size == 0:
            path = own.paths[0] if own.paths else None
            count, rows = len(own.places), len(path.outputs) if path else 1
            slopes = {"value": 0, "jvp": rows, "hessian": count**2, "jacobian": rows * count}
            number = values_of(mode, rows) + slopes.get(mode, count)
            if call.xp is not None:
                return path, [converted(call.xp, call.columns, self.dtype)[1]] * number
            import numpy as np

            return path, np.empty((number, 0), self.dtype)
        return self._told(own, call, self._computed, own, mode, call)  # type: ignore[no-any-return]

    def _computed(self, own: Specialisation, mode: str, call: Call) -> tuple[Path, Any]:
        outputs: Any
        if call.xp is not None:
            path, outputs = elsewhere.evaluated(own, mode, call)
        elif call.size is None:
            path, outputs = own.point(mode, call.columns)
            single = any(one.single for one in call.arguments)
            if single or (self.dtype == "float32" and not self.batch):
                import numpy as np

                outputs = list(quietly(np.array(outputs, float).astype, np.float32))
            elif self.dtype == "float32":
                outputs = list(map(as_single, outputs))
        elif self.engine == "cuda":
            path, outputs = elsewhere.host_batch(own, mode, call)
        else:
            from tinygrad_scalar.compiler.batches import outputs_of

            path, outputs = outputs_of(own, mode, call.columns, call.size)
            if outputs.dtype != self.dtype:
                outputs = quietly(outputs.astype, self.dtype)
        if path.closes_over and not context.plain and context.settings().tracer is not None:
            raise TraceError(
                "a derivative of a compiled function that closes over Values, taken inside another "
                "compiled function, would freeze their numbers: take grad, jvp or hvp of the plain "
                "function there"
            )
        return path, outputs

    def _uncompiled(self, mode: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """On Values, Duals or inside another trace: the function itself, in their mode.

        Inside a trace with numbers too, so that what stands in its leaves is not frozen there.
        """
        if self.function is None:
            raise TypeError(
                "a compiled function loaded from a file takes numbers and arrays, not Values: "
                "use its .grad, .jvp or .hvp on numbers, or compile the function here"
            )
        flat, matrices = in_a_row(mode, args), mode in MATRICES
        count = len(args[0]) if mode in PAIRS else 0

        def in_mode(function: Callable[..., Any], *given: Any) -> Any:
            return self._in_mode(mode, function, as_given(mode, given, count), options)

        if not self.batch or not holds_batch(flat):
            return in_mode(self.function, *flat)
        found = by_points(in_mode, self.function, flat, self._about(), lists=matrices)
        if matrices:
            return stacked(None, [column for row in found for column in row], len(found), -1)
        return found

    def _in_mode(
        self, mode: str, function: Callable[..., Any], args: Any, options: dict[str, Any]
    ) -> Any:
        """What an eager mode gives for a function at a point; a matrix in the shape for batches."""
        if mode == "value":
            return function(*args, **options)
        argnums, undefined = self.settings["argnums"], self.settings["undefined"]
        if mode in PAIRS:
            still = self._constants(*args)
            return directional(mode, function, args, argnums, still, undefined)
        found = MODES[mode](function, argnums, undefined=undefined)(*args, **options)
        if not self.batch or mode not in MATRICES:
            return found
        chosen = positions(argnums, len(args), mode)
        numbers, width = leaves(found), sum(len(leaves(args[i])) for i in chosen)
        return matrix(numbers, len(numbers) // max(width, 1), width, None)

    # ── backward ──────────────────────────────────────────────────────────────────────────────
    def _mean_loss(
        self, args: Sequence[Any], options: dict[str, Any], executor: Any, shards: int | None
    ) -> float:
        """The mean loss, with the mean gradient added to `.grad` of the leaves closed over."""
        if context.settings().tracer is not None:
            raise TraceError(
                "backward of a compiled function inside another one would be run once, while that "
                "is traced: call it outside"
            )
        if executor is not None or shards is not None or holds_lazy(args):
            size, (total, parts) = self._spread(args, options, executor, shards)
        else:
            size, (total, parts) = self._summed(args, options)
        add_gradients(parts, 1 / size)
        return float(total / size)

    def _summed(self, args: Sequence[Any], options: dict[str, Any]) -> tuple[int, Sums]:
        """How many points there are, and the sums of their losses and gradients."""
        call, own = self._prepared(args, options)
        on_device = self._told(own, call, elsewhere.sums, own, call)
        if on_device is not None:
            return call.size or 0, on_device
        if call.xp is not None:
            call, own = self._prepared(_read(args), options)
        if call.size is None:
            path, numbers = self._told(own, call, own.point, "backward", call.columns)
            keep_point(self, own, "backward", call, path)
            behind = 1 + len(path.leaves)
            looked_up = path.parted(path.complete(call.columns), numbers[behind:])
            return 1, (numbers[0], [(path, numbers[1:behind], looked_up)])
        from tinygrad_scalar.compiler.batches import BatchEntry, sums_of

        check_size(call.size)
        sums = self._told(own, call, sums_of, own, call.columns, call.size)
        if not options and BatchEntry.suits(own, call):
            self._entries["backward"] = BatchEntry(own, call).call
        return call.size, sums

    def _spread(
        self, args: Sequence[Any], options: dict[str, Any], executor: Any, shards: int | None
    ) -> tuple[int, Sums]:
        """How many points there are, and what workers or Dask's chunks add up."""
        check_executor(executor, "backward")
        if holds_lazy(args):
            if executor is not None or shards is not None:
                raise TypeError(
                    "backward: executor and shards are for arrays in memory; Dask arrays are "
                    "computed by Dask, in their chunks"
                )
            return sums_of_chunks(self, args, options)
        call, own = self._prepared(_read(args), options)
        if call.size is None:
            raise ValueError(
                "backward: executor and shards spread a batch, and the arguments are one point"
            )
        check_size(call.size)
        ends = shards_of(shards, call.size, "backward")
        cut = [at(call.columns, slice(a, b)) for a, b in ends]
        run, sums = functools.partial(spread, executor), self._sharded_by(own).sums
        return call.size, self._told(own, call, sums, run, cut, lambda: at(call.columns, 0))

    def _sharded_by(self, own: Specialisation) -> Sharded:
        return self._sharded.setdefault(own, Sharded(own, "backward"))


def _read(args: Sequence[Any]) -> Any:
    """The arguments of `backward` with arrays of NumPy's in place of other libraries'."""
    try:
        return each(on_host, args)
    except UNKNOWN as error:
        raise TraceError(
            "backward: the numbers of an array cannot be read, and `.grad` of a leaf is a number: "
            "inside a transformation (jax.jit, jax.vmap, torch.func) take value_and_grad with the "
            "leaves as arguments, or call it outside"
        ) from error


def _taken_for(call: Call, *, vectors: bool) -> str:
    """What was taken as a batch, in words; else, if `vectors` is asked for, the lists that were."""
    told = []
    for i, one in enumerate(call.arguments):
        if one.size is None:
            if vectors and call.size is None and type(one.tree) is list:
                told.append(f"argument {i}, a list of {len(one.tree)}, was taken as one vector")
            continue
        count, width = one.size, len(one.columns)
        whole = f"({count}, {width})" if one.rows else f"({count},)"
        points = f"lists of {width} numbers" if one.rows else "numbers"
        told.append(f"argument {i}, of shape {whole}, was taken as a batch of {count} {points}")
    remedy = (
        "a batch give an array" if call.size is None else "one vector give a list or batch=False"
    )
    return f"{'; '.join(told)}: for {remedy}" if told else ""


# ── results ───────────────────────────────────────────────────────────────────────────────────
def matrix(outputs: Any, height: int, width: int, size: int | None, xp: Any = None) -> Any:
    """Rows of numbers, or an array with the batch first."""
    if size is None and xp is None:
        numbers = list(outputs)
        return [numbers[k * width : (k + 1) * width] for k in range(height)]
    return stacked(xp, outputs, height, width)


def returned(tree: Any, outputs: Sequence[Any], call: Call) -> Any:
    """What the function returned, in its structure."""
    return like(tree, list(outputs)) if call.size is None else arranged(tree, outputs, call.xp)
