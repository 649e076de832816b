"""`compile`: a scalar function and its derivatives as flat code, for points and for batches."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from tinygrad_scalar.compiler import elsewhere
from tinygrad_scalar.compiler.arguments import (
    Call,
    at,
    batches,
    has_carrier,
    is_constant,
    joined,
    known_as,
    matrix,
    no_slope,
    nothing,
    returned,
    several,
    singles,
    taken_apart,
)
from tinygrad_scalar.compiler.arrays.namespaces import all_on_host
from tinygrad_scalar.compiler.backends import check_engine, tell_of_machine_code
from tinygrad_scalar.compiler.dispatch import Method, Settings, Specialisation
from tinygrad_scalar.compiler.ir.tape import TraceError
from tinygrad_scalar.compiler.paths import (
    BACKWARD,
    VALUE,
    Path,
    Request,
    add_gradients,
)
from tinygrad_scalar.compiler.sharded import (
    PAIRS,
    Sharded,
    Sums,
    holds_lazy,
    lazily,
    sums_of_chunks,
)
from tinygrad_scalar.compiler.storage import load, pickled, save
from tinygrad_scalar.compiler.uncompiled import MODES, directional
from tinygrad_scalar.core import context
from tinygrad_scalar.core.tree import leaves, nested
from tinygrad_scalar.core.undefined import Policy, check_policy
from tinygrad_scalar.modes.grad import positions
from tinygrad_scalar.numbers.precision import as_single, quietly
from tinygrad_scalar.workers import check_executor, shards_of, spread

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.sources import Listing

DTYPES = ("float64", "float32")
WITH_ENTRY = ("value", "grad", "value_and_grad")  # modes that machine code is called for directly
_TOLD_ANEW = (TypeError, ValueError, IndexError, AttributeError, TraceError)


def by_machine_code(method: Method) -> Method:
    """The method; numbers go to machine code at once, where it has an entry for them."""
    name = method.__name__
    mode = "value" if name == "__call__" else name

    @functools.wraps(method)
    def run(self: Compiled, *args: Any, **options: Any) -> Any:
        entry = self._entries.get(mode)
        if entry is not None and not options:
            result = entry(*args)
            if result is not None:
                return result
        entry = self._reading.get(mode) if context.plain and not options else None
        if entry is not None:
            result = entry(*args)
            if result is not None:
                return result
        return method(self, *args, **options)

    return run  # type: ignore[return-value]


class Compiled:
    """A function that was compiled; see `compile`."""

    def __init__(self, function: Any, settings: Settings) -> None:
        if function is not None and not callable(function):
            raise TypeError(f"compile: give a function, not {type(function).__name__}")
        self.function, self.settings = function, checked(settings)
        self.engine = check_engine(settings["engine"])
        self.dtype, self.batch = self.settings["dtype"], self.settings["batch"]
        self._specialisations: dict[Any, Specialisation] = {}
        self._called: Specialisation | None = None  # last
        self._entries: dict[str, Any] = {}  # machine code for what was called last, by mode
        self._reading: dict[str, Any] = {}  # the same with leaves: not inside of a trace
        self._sharded: dict[Specialisation, Sharded] = {}  # what workers were sent
        self._lock = threading.RLock()
        if function is not None:
            functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<compiled {getattr(self, '__name__', 'function')} by {self.engine}>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A compiled function in a class body is a method there."""
        if instance is None or self.function is None:
            return self
        bound = Compiled(functools.partial(self.function, instance), self.settings)
        name = getattr(self, "__name__", None)
        if name is not None and hasattr(instance, "__dict__"):
            instance.__dict__[name] = bound  # found first from now on, with its traces
        return bound

    # ── the face ──────────────────────────────────────────────────────────────────────────────
    @by_machine_code
    def __call__(self, *args: Any, **options: Any) -> Any:
        """The value: numbers for numbers, arrays for arrays, in the structure returned."""
        if has_carrier(args) or context.settings().tracer is not None:
            return self._uncompiled("value", args, options)
        return self._result("value", args, options)

    @by_machine_code
    def grad(self, *args: Any, **options: Any) -> Any:
        """The gradient, in the structure of the arguments; see `tinygrad_scalar.grad`."""
        return self._result("grad", args, options)

    @by_machine_code
    def value_and_grad(self, *args: Any, **options: Any) -> tuple[Any, Any]:
        """The value together with the gradient, at little more than the cost of the gradient."""
        return self._result("value_and_grad", args, options)  # type: ignore[no-any-return]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        """The value and its slope along the tangents, which have the structure of the primals.

        What is a constant outside `argnums` has 0 or None for a tangent; with another one it is a
        number.
        """
        pair = several(primals, "jvp: primals"), several(tangents, "jvp: tangents")
        return self._result("jvp", pair, {})  # type: ignore[no-any-return]

    def hvp(self, primals: Sequence[Any], vectors: Sequence[Any]) -> Any:
        """The Hessian times the vectors, in the structure of the gradient."""
        pair = several(primals, "hvp: primals"), several(vectors, "hvp: vectors")
        return self._result("hvp", pair, {})

    def hessian(self, *args: Any, **options: Any) -> Any:
        """The matrix of second derivatives: n rows of n, or an array (N, n, n).

        With `batch=False` in the structure of `tinygrad_scalar.hessian`.
        """
        return self._result("hessian", args, options)

    def jacobian(self, *args: Any, **options: Any) -> Any:
        """The matrix of first derivatives: m rows of n, or an array (N, m, n).

        With `batch=False` in the structure of `tinygrad_scalar.jacobian`.
        """
        return self._result("jacobian", args, options)

    @by_machine_code
    def backward(
        self, *args: Any, executor: Any = None, shards: int | None = None, **options: Any
    ) -> float:
        """The mean loss; adds the mean gradient to `.grad` of the leaves closed over.

        Their data are read anew at each call. On an error no `.grad` changes.

        `executor`, a `concurrent.futures.Executor` (threads, processes, Dask's
        `client.get_executor()`, MPI), computes the batch in `shards` parts, 8 unless given: for
        given shards the numbers do not depend on workers or their order, to the bit. The function
        travels once, as its trace, and the numbers of the leaves with each call. Shards of Dask
        arrays are their chunks, computed where they are.
        Errors: what a shard raises; ValueError for more shards than points; BrokenExecutor and
        ModuleNotFoundError naming an executor that dies, or whose workers lack this package;
        TraceError inside a function that is being compiled.
        """
        if context.settings().tracer is not None:
            raise TraceError(
                "backward of a compiled function inside another one would be run once, while that "
                "is traced: call it outside"
            )
        if executor is not None or shards is not None or holds_lazy(args):
            size, (total, parts) = self._spread(args, options, executor, shards)
            add_gradients(parts, 1 / size)
            return float(total / size)
        call, own = self._prepared(args, options)
        found = elsewhere.sums(own, call) if call.size and call.xp is not None else None
        if call.xp is not None and found is None:
            call, own = self._prepared([all_on_host(x) for x in args], options)
        if call.size == 0:
            raise ValueError("backward: the batch is empty, and the mean of no losses is undefined")
        if call.size is None:
            path, numbers = own.point(BACKWARD, call.columns)
            if not options:
                self._make_entry(own, BACKWARD, call, path, 1)
            path.add_gradients_at(call.columns, numbers[1:])
            return float(numbers[0])
        from tinygrad_scalar.compiler.batch_entry import BatchEntry
        from tinygrad_scalar.compiler.batches import sums_of

        total, parts = found or self._told(own, call, sums_of, own, call.columns, call.size)
        add_gradients(parts, 1 / call.size)
        entry = None if options else BatchEntry.of(own, call)
        if entry is not None:
            self._reading["backward"] = entry.call
        return float(total / call.size)

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
        call, own = self._prepared([all_on_host(x) for x in args], options)
        if call.size is None:
            raise ValueError(
                "backward: executor and shards spread a batch, and the arguments are one point"
            )
        ends = shards_of(shards, call.size, "backward")
        cut = [at(call.columns, slice(a, b)) for a, b in ends]
        run, sums = functools.partial(spread, executor), self._sharded_by(own).sums
        return call.size, self._told(own, call, sums, run, cut, lambda: at(call.columns, 0))

    def _sharded_by(self, own: Specialisation) -> Sharded:
        return self._sharded.setdefault(own, Sharded(own, "backward"))

    # ── what was made ─────────────────────────────────────────────────────────────────────────
    @property
    def tape(self) -> Listing:
        """The instructions u(1)…u(n) of the function as it was traced last."""
        from tinygrad_scalar.compiler.sources import Listing

        return Listing(self._latest)

    @property
    def source(self) -> str:
        """Python source of value and gradient, as the engine "python" runs it."""
        return self.source_for("python")

    def source_for(self, target: str) -> str:
        """The source that a target is given: "python", "llvm", "c" or "cuda".

        Of value and gradient, of the values where there are several; of all paths traced so far in
        C, of the latest one elsewhere. No compiler and no device is needed. Cost: O(lines).

        >>> f = compile(lambda x: x * x)
        >>> f(3.0)
        9.0
        >>> print(f.source_for("c").partition("restrict out)")[2].partition("return")[0].strip())
        {
          (void)x;
          (void)p;
          const double u2 = x[0] * x[0];
          out[0] = u2;
          const double u3 = x[0] + x[0];
          out[1] = u3;

        Errors: ValueError for another target; TraceError before the first call, and in C and CUDA
        for an operation of one's own without `formula=`.
        """
        from tinygrad_scalar.compiler.sources import source_for

        return source_for(target, self._own(), self._about())

    def to_c(self, path: Any, *, mode: str = "value_and_grad", name: str | None = None) -> None:
        """Write the function as C99: `path` with suffix `.c`, and its header with suffix `.h`.

        They need nothing but `<math.h>` and `<stddef.h>`, allocate nothing and keep no state.
        `int NAME(const double *x, const double *p, double *out)` takes the inputs flattened in
        order, the numbers of the leaves closed over in the order of their first use, and writes the
        outputs flattened, the value first: `mode` is "value", "grad", "value_and_grad", "jacobian"
        (row by row) or "hessian". It gives 0, or 1 where the point is on none of the paths that
        were traced so far (an index of `take` out of range is on none), with `out` as it was.
        `int NAME_batch(size_t n, const double *x, const double *p, double *out)` takes rows of
        inputs and writes rows of outputs; it gives the number of points on no path, their rows NaN.
        The header defines NAME_INPUTS, NAME_PARAMETERS and NAME_OUTPUTS, NAME in capitals. `name`
        is the file's stem unless given.

        Results are those of the other engines up to a few units in the last place, NaN, ±inf and −0
        included, unless the C compiler is told otherwise (`-ffast-math`). Cost: O(lines).

        Errors: TraceError before the first call, and for an operation of one's own without
        `formula=`; TypeError for gradients of several outputs; ValueError for another mode, or a
        name that no C function may bear; OSError naming the path. Both files are written at once or
        not at all.

        >>> import pathlib, tempfile
        >>> f = compile(lambda x, y: x * y)
        >>> f(2.0, 3.0)
        6.0
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     f.to_c(f"{folder}/product.c", mode="grad")
        ...     print(pathlib.Path(f"{folder}/product.h").read_text().count("PRODUCT_OUTPUTS 2"))
        1
        """
        from tinygrad_scalar.compiler.sources import write_library

        write_library(self._own(), mode, path, name, self._about())

    def draw(self, **options: Any) -> Any:
        """The picture of the traced function; options as for `tinygrad_scalar.draw`."""
        from tinygrad_scalar.drawing import draw

        return draw(self.tape.output(), **options)

    def save(self, path: Any) -> None:
        """Write the traces to a file that `load_compiled` reads without the source."""
        save(self, path)

    def _own(self) -> Specialisation:
        """The paths for the structure of arguments that was called last."""
        called = [self._called, *reversed(self._specialisations.values())]
        own = next((own for own in called if own is not None and own.paths), None)
        if own is None:
            raise TraceError("the function has not been traced yet: call it once first")
        return own

    @property
    def _latest(self) -> Path:
        return self._own().paths[-1]

    def _about(self) -> str:
        return f"{getattr(self, '__name__', 'function')!s}, compiled"

    # ── inside ────────────────────────────────────────────────────────────────────────────────
    def _prepared(
        self,
        args: Sequence[Any],
        options: dict[str, Any],
        constants: Collection[int] | None = None,
    ) -> tuple[Call, Specialisation]:
        if constants is None:
            constants = self._constants(args)
        name = getattr(self, "__name__", "compile")
        call = taken_apart(args, name, constants, batch=self.batch)
        key = (call.key, known_as(tuple(sorted(options.items()))) if options else ())
        try:
            own = self._specialisations.get(key)
        except TypeError:
            raise TypeError(
                "compile: keyword arguments are constants of the compiled code and must be "
                f"hashable, not {', '.join(type(x).__name__ for x in options.values())}; pass "
                "numbers to differentiate by position"
            ) from None
        if own is None:
            with self._lock:
                own = self._specialisations.get(key)
                if own is None:
                    trees = [one.tree for one in call.arguments]
                    own = Specialisation(self.function, call.key, trees, options, self.settings)
                    self._specialisations[key] = own
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
        """What it gives; an error of the function says what was a batch, and may be a vector."""
        try:
            return compute(*given)
        except Exception as error:
            told = batches(call)
            if own.paths or not told:
                raise
            hint = f"{told}: for one vector give a list or batch=False"
            if type(error) in _TOLD_ANEW:
                raise type(error)(f"{error}; {hint}") from error
            error.add_note(f"{self._about()}: {hint}")
            raise

    # ── from a call to its result ─────────────────────────────────────────────────────────────
    def _result(self, mode: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """What a method gives for arguments; for primals and tangents in modes of `PAIRS`."""
        pairs = mode in PAIRS
        flat = [*args[0], *args[1]] if pairs else args
        if holds_lazy(flat):
            return lazily(self, mode, args, options)
        try:
            call, own = self._along(mode, *args) if pairs else self._prepared(args, options)
        except TypeError:
            if has_carrier(flat):
                return self._uncompiled(mode, args, options)
            raise
        request = own.request(mode)
        path, outputs = self._outputs(own, request, call)
        if mode in WITH_ENTRY and path is not None and not options:
            self._make_entry(own, request, call, path, len(outputs))
        return self._shaped(own, request, call, path, outputs)

    def _along(
        self, mode: str, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Call, Specialisation]:
        """Primals and what they move along in one call: all arguments for jvp, but constants."""
        still = self._constants(primals, tangents) if mode == "jvp" else ()
        tangents = [primals[i] if i in still else t for i, t in enumerate(tangents)]
        call, own = self._prepared(primals, {}, still if mode == "jvp" else None)
        along = taken_apart(tangents, mode, still, batch=self.batch)
        moving = range(len(call.arguments)) if mode == "jvp" else own.chosen
        what = f"{mode}: {'tangents' if mode == 'jvp' else 'vectors'}"
        return joined(call, along, moving, what), own

    def _shaped(
        self, own: Specialisation, request: Request, call: Call, path: Path | None, outputs: Any
    ) -> Any:
        """The outputs in the structure that a method promises; at no point there is no path."""
        mode, count = request.mode, len(request.inputs)
        tree = None if path is None else path.tree
        if mode == "value":
            return returned(tree, outputs, call)
        if mode == "jvp":
            half = len(outputs) // 2
            return returned(tree, outputs[:half], call), returned(tree, outputs[half:], call)
        if mode in ("hessian", "jacobian"):
            rows = matrix(outputs, count, call.size, call.xp)
            if self.batch:
                return rows
            inside = own.mirrored(call, [0.0] * count)
            return nested(inside if mode == "hessian" else tree, inside, rows)
        values = request.values(1)
        slopes = own.mirrored(call, outputs[values:])
        return (outputs[0], slopes) if values else slopes

    def _outputs(
        self, own: Specialisation, request: Request, call: Call
    ) -> tuple[Path | None, Any]:
        """Some path, and the outputs; at no point perhaps without one, and then of one value."""
        if call.size == 0:
            path = own.paths[0] if own.paths else None
            count, rows = len(request.inputs), len(path.outputs) if path else 1
            slopes = {"value": 0, "jvp": rows, "hessian": count**2, "jacobian": rows * count}
            number = request.values(rows) + slopes.get(request.mode, count)
            return path, nothing(call, self.dtype, number)
        return self._told(own, call, self._computed, own, request, call)  # type: ignore[no-any-return]

    def _computed(self, own: Specialisation, request: Request, call: Call) -> tuple[Path, Any]:
        outputs: Any
        if call.xp is not None:
            path, outputs = elsewhere.evaluated(own, request, call)
        elif call.size is None:
            path, outputs = own.point(request, call.columns)
            if call.single or (self.dtype == "float32" and not self.batch):
                outputs = singles(outputs)
            elif self.dtype == "float32":
                outputs = list(map(as_single, outputs))
        elif self.engine == "cuda":
            path, outputs = elsewhere.host_batch(own, request, call)
        else:
            from tinygrad_scalar.compiler.batches import outputs_of

            path, outputs = outputs_of(own, request, call.columns, call.size)
            if outputs.dtype != self.dtype:
                outputs = quietly(outputs.astype, self.dtype)
        if path.closes_over and not context.plain and context.settings().tracer is not None:
            raise TraceError(
                "a derivative of a compiled function that closes over Values, taken inside another "
                "compiled function, would freeze their numbers: take grad, jvp or hvp of the plain "
                "function there"
            )
        return path, outputs

    def _make_entry(
        self, own: Specialisation, request: Request, call: Call, path: Path, count: int
    ) -> None:
        """What is called directly from now on for one point of this structure.

        At the second call: many a function is called but once.
        """
        if (
            call.size is not None
            or call.xp is not None
            or any(one.key and one.key[0] == "constant" for one in call.arguments)
            or own.engine != "llvm"
            or self.dtype != "float64"
            or path.recording.judges
            or (request is not VALUE and own.undefined != "subgradient")
        ):
            return
        entries = path.entries  # these, although another thread may have the path written out
        if request not in entries:
            entries[request] = ()  # called once
            return
        closure = None
        if path.closes_over:
            closure = path.closure_at(call.columns, adding=request is BACKWARD)
            if closure is None:
                return
        if entries[request] == ():
            made = own.kernel(path, request, None)
            arguments = [one.mirrored([None] * len(one.columns)) for one in call.arguments]
            tree = None
            if request is not BACKWARD:
                tree = self._shaped(own, request, call, path, [None] * count)
            entries[request] = made.entry(arguments, tree, closure)
        entry = entries[request]
        if entry is not None:
            outside = closure is not None or request is BACKWARD
            known = self._reading if outside else self._entries
            known[request.mode] = entry.call

    def _uncompiled(self, mode: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """On Values, Duals or inside another trace: the function itself, in their mode.

        Inside a trace with numbers too, so that what stands in its leaves is not frozen there.
        """
        if self.function is None:
            raise TypeError(
                "a compiled function loaded from a file takes numbers and arrays, not Values: "
                "use its .grad, .jvp or .hvp on numbers, or compile the function here"
            )
        if mode == "value":
            return self.function(*args, **options)
        argnums, undefined = self.settings["argnums"], self.settings["undefined"]
        if mode in ("jvp", "hvp"):
            still = self._constants(*args)
            return directional(mode, self.function, args, argnums, still, undefined)
        found = MODES[mode](self.function, argnums, undefined=undefined)(*args, **options)
        if not self.batch or mode not in ("hessian", "jacobian"):
            return found
        chosen = positions(argnums, len(args), mode)
        return matrix(leaves(found), sum(len(leaves(args[i])) for i in chosen), None)

    def __reduce__(self) -> Any:
        return pickled(self)


def checked(settings: Settings) -> Settings:
    """The settings, the type of numbers by its name. TypeError, ValueError: see `compile`."""
    batch, dtype = settings["batch"], settings["dtype"]
    if batch not in (True, False):
        raise TypeError(f"compile: batch is True or False, not {batch!r}")
    name = getattr(dtype, "name", getattr(dtype, "__name__", dtype))
    name = "float64" if dtype is float else name
    if name not in DTYPES:
        raise ValueError(f'compile: dtype is "float64" or "float32", not {dtype!r}')
    check_policy(settings["undefined"])
    counts: dict[str, Any] = {what: settings[what] for what in ("threads", "max_paths")}
    for what, number in counts.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"compile: {what} is a whole number of at least 1, not {number!r}")
    return {**settings, "dtype": str(name), "batch": bool(batch)}


@overload
def compile(g: Callable[..., Any], **settings: Unpack[Settings]) -> Compiled: ...
@overload
def compile(
    g: None = None, **settings: Unpack[Settings]
) -> Callable[[Callable[..., Any]], Compiled]: ...
def compile(
    g: Callable[..., Any] | None = None,
    *,
    argnums: int | Sequence[int] | None = None,
    engine: str | None = None,
    dtype: Any = "float64",
    threads: int = 1,
    max_paths: int = 64,
    undefined: Policy = "subgradient",
    batch: bool = True,
) -> Any:
    """A scalar function as compiled code, with its derivatives; also a decorator.

    The function is run once on traced numbers; the flat table u(1)…u(n) that this gives is
    differentiated by the rows of the table of primitives and replayed by an engine: "python",
    "numpy" or "llvm". None takes the fastest installed, and where that is not "llvm", a
    NoMachineCodeWarning says once which extra brings it. Arrays on a CUDA device are run there by
    one generated kernel where CuPy is installed (extra `gpu`), on the caller's stream; the engine
    "cuda" sends NumPy's arrays there too.

    `f(*args)`, `f.grad`, `f.value_and_grad`, `f.jvp(primals, tangents)`, `f.hvp(primals, vectors)`,
    `f.hessian`, `f.jacobian` take numbers and lists of numbers, for one point, or arrays whose
    first axis is the batch, beside which numbers and lists are the same for every point. Arrays of
    PyTorch, JAX, CuPy or another Array-API namespace are computed there, in their own type. Values
    that the function closes over are found by themselves: `f.backward(X, Y)` gives the mean loss
    and adds the mean gradient to their `.grad`. `f.source`, `f.tape` and `f.draw()` show what was
    made, `f.save(path)` keeps it, `f.to_c(path)` writes it as C.

    PyTorch's autograd and JAX's transformations go through their own operations; with the kernel's
    gradient instead they take a custom function::

        class Ours(torch.autograd.Function):
            @staticmethod
            def forward(context, x):
                value, slope = f.value_and_grad(x)
                context.save_for_backward(slope)
                return value

            @staticmethod
            def backward(context, upstream):
                return upstream * context.saved_tensors[0]


        ours = jax.custom_vjp(f)
        ours.defvjp(f.value_and_grad, lambda slope, upstream: (upstream * slope,))

    A comparison is a bool and becomes a guard: points for which it turns out otherwise are traced
    on their own path, up to `max_paths`. Written as an operand itself, as in `where(x > 0, a, b)`
    and `x * (x > 0)`, it is no branch. Numbers read from `.data` or `.grad` of a leaf closed over
    are frozen: what they are changed to later is not seen. The text of a traced number, as `print`
    shows it, is that of the Value at this point, and a branch on its number. `isinstance(x, Value)`
    holds for it, `type(x) is Value` does not. `dtype` is "float64" or "float32" (or NumPy's type),
    `threads` share a batch.

    With `batch=False` nothing is a batch: an array of NumPy's is one point, in f an array of its
    shape, and results have the shapes of `tinygrad_scalar.grad`, `jacobian`, `hessian`:
    `minimize(f.value_and_grad, x0, jac=True)`.

    Keyword arguments, and outside `argnums` whole numbers, strings and all else that is hashable
    and no float or tuple of floats, are constants: `range(n)`, `v[i]`, `if how == "mean"` see them
    as they are. The function is traced anew for each other constant; 1, 1.0 and True are three.
    Pass what takes many values as a float. Files and pickles hold no trace with constants.

    At numbers where the compiled code raises, or a result is NaN or ±inf, the function itself is
    run, in the eager mode (`tinygrad_scalar.grad`, `jvp`, `hessian` …): results, warnings and
    errors are its own. `undefined` is the policy of that mode, see `Value.backward`; with "nan",
    "warn" and "raise" derivatives at numbers are always taken eagerly, at the eager cost, because
    every kink must be seen. A function loaded from a file runs its trace eagerly instead. With
    "subgradient" nothing looks for products too small for a float on the way of a derivative, which
    eager mode mends: `x / (1 + x * x)` has the slope 1e-300 for -1e-300 at 1e150.

    NumPy's arrays raise nothing and warn of nothing. Points at which a row that is used raises, or
    a result is NaN or ±inf, are given to the function itself there too, one by one at the eager
    cost, equal ones once: exceptions that it handles, and the policy, count. Where it raises, and
    where NaN is among the arguments, NaN and ±inf stand as IEEE arithmetic has them, and NaN for
    the slope of a value that is NaN. "warn" gives the numbers of "subgradient", "raise" those of
    "nan", for which all points are given to the function. Arrays of other libraries, and on a
    device, have no policy: they hold NaN or ±inf as IEEE arithmetic does.

    Errors: TraceError for `.data` or float() of what is computed while tracing, more than
    `max_paths` paths, or a trace of ten million operations; TypeError and ValueError for arguments
    of other kinds or lengths; ValueError for another `undefined`; ImportError for a named engine
    that is not installed.
    Source: *Deep Learning*, Algorithms 6.1 and 6.2.

    >>> import tinygrad_scalar
    >>> @tinygrad_scalar.compile
    ... def f(x, y):
    ...     return x * y + x.exp()
    >>> f(0.0, 3.0), f.grad(0.0, 3.0)
    (1.0, (4.0, 0.0))
    """
    settings: Settings = {
        "argnums": argnums, "engine": engine, "dtype": dtype, "threads": threads,
        "max_paths": max_paths, "undefined": undefined, "batch": batch,
    }  # fmt: skip
    if engine is None:
        tell_of_machine_code()
    if g is not None:
        return Compiled(g, settings)
    check_engine(engine)
    return functools.partial(Compiled, settings=checked(settings))


def load_compiled(path: Any) -> Compiled:
    """A compiled function from a file that `Compiled.save` wrote; no source is needed.

    It holds the structures of arguments and the branches that were traced before saving, and
    fresh leaves with the values closed over. Errors: FileNotFoundError; ValueError naming the path
    for a damaged file; ImportError for an engine that it names and that is not installed;
    TraceError where it is called for what the file does not hold.

    >>> import tempfile
    >>> f = compile(lambda x: x * x)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(f(3.0), f.save(f"{folder}/f.json"), load_compiled(f"{folder}/f.json").grad(3.0))
    9.0 None 6.0
    """
    return load(Compiled, path)
