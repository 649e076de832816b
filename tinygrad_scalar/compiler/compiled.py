"""`compile`: a scalar function and its derivatives as flat code, for points and for batches."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

from tinygrad_scalar.compiler.arguments import has_carrier, several
from tinygrad_scalar.compiler.backends import Settings, check_engine, checked, tell_of_machine_code
from tinygrad_scalar.compiler.calls import Calls
from tinygrad_scalar.compiler.dispatch import by_machine_code
from tinygrad_scalar.compiler.paths import Path
from tinygrad_scalar.compiler.storage import load, pickled, save
from tinygrad_scalar.core import context
from tinygrad_scalar.core.undefined import Policy

if TYPE_CHECKING:
    from tinygrad_scalar.compiler.sources import Listing


class Compiled(Calls):
    """A function that was compiled; see `compile`."""

    def __repr__(self) -> str:
        return f"<compiled {getattr(self, '__name__', 'function')} by {self.engine}>"

    def __set_name__(self, owner: type, name: str) -> None:
        self._place = f"{owner.__module__}.{owner.__qualname__}.{name}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A compiled function in a class body is a method there.

        What is made for an instance, or a class, is kept in its `__dict__`, under a name that no
        attribute has. That of a copy may be the one made for the original.
        """
        if instance is None or self.function is None:
            return self
        kept = getattr(instance, "__dict__", {})
        bound = kept.get(self._place)
        method = None if bound is None else bound.function
        if method is None or method.func is not self.function or method.args[0] is not instance:
            bound = Compiled(functools.partial(self.function, instance), self.settings)
            if isinstance(instance, type):
                setattr(instance, self._place, bound)
            else:
                kept[self._place] = bound
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
        return self._mean_loss(args, options, executor, shards)

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
        order, the numbers of the leaves closed over in the order of their first use, a table's row
        by row, and writes the outputs flattened, the value first: `mode` is "value", "grad",
        "value_and_grad", "jacobian" (row by row) or "hessian". It gives 0, or 1 where the point is
        on none of the paths that were traced so far (an index of `take` out of range is on none),
        with `out` as it was.
        `int NAME_batch(size_t n, const double *x, const double *p, double *out)` takes rows of
        inputs and writes rows of outputs; it gives the number of points on no path, their rows NaN.
        The header defines NAME_INPUTS, NAME_PARAMETERS and NAME_OUTPUTS, NAME in capitals. `name`
        is the file's stem unless given.

        Results are those of the other engines up to a few units in the last place, NaN, ±inf and −0
        included, unless the C compiler is told otherwise (`-ffast-math`). C knows no exceptions and
        no policy: where an operation has no value, its result is NaN or ±inf, but its slope is what
        the formula gives, −1 for log at −1: look at the value too; and what the function makes of
        the exception (`try`) is not there. Where a derivative does not exist, it is the row's
        number at kinks, and NaN for 0·∞ and ∞−∞: that of √(x²) at 0. Cost: O(lines).

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

    @property
    def _latest(self) -> Path:
        return self._own().paths[-1]

    def __reduce__(self) -> Any:
        return pickled(self)

    def __copy__(self) -> Compiled:
        return self  # as Python copies functions

    def __deepcopy__(self, memo: Any) -> Compiled:
        function = copy.deepcopy(self.function, memo)  # another one of an object that was copied
        return self if function is self.function else type(self)(function, self.settings)


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
    first axis is the batch, beside which numbers and lists are the same for every point. Called
    with Values, as in `grad(lambda w: f(w, X).mean())`, or inside another compiled function, it
    runs the function itself point by point; an array of Values of one axis, alone, is a vector
    there, as `grad(f)(array)` passes it. Arrays of
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
    are frozen: what they are changed to later is not seen, and neither is another Value that takes
    the place of a leaf: write to its `.data`. All else that f reads, globals and attributes, is as
    it was at the trace, too. The text of a traced number, as `print` shows it, is that of the Value
    at this point, and a branch on its number. `isinstance(x, Value)` holds for it, `type(x) is
    Value` does not. `dtype` is "float64" or "float32" (or NumPy's type), `threads` share a batch.
    With "float32" arrays are computed in single precision, where the square of 1e20 is inf and that
    of 1e-25 is 0 on the way too, and a comparison is one of rounded numbers; one point is computed
    in double precision and rounded last, as all is by the engine "python".

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
    every kink must be seen. A function loaded from a file runs its trace eagerly instead. Under
    "subgradient" a derivative may be wrong where a product on its way is too small for a float,
    which eager mode notices and mends: that of `x / (1 + x * x)` at 1e150 comes out as 1e-300, and
    is -1e-300.

    NumPy's arrays raise nothing and warn of nothing. Points at which a row that is used raises, or
    a result is NaN or ±inf, are given to the function itself there too, one by one at the eager
    cost, equal ones once: exceptions that it handles, and the policy, count. Where it raises, and
    where NaN is among the arguments, NaN and ±inf stand as IEEE arithmetic has them, and NaN for
    the slope of a value that is NaN. "warn" gives the numbers of "subgradient", "raise" those of
    "nan", for which all points are given to the function. Arrays of other libraries, and on a
    device, have no policy: they hold NaN or ±inf as IEEE arithmetic does.

    Errors: TraceError for `.data` or float() of what is computed while tracing, random numbers that
    Python's `random` or NumPy's shared generator gives, more than `max_paths` paths, or a trace of
    ten million operations; TypeError and ValueError for arguments of other kinds or lengths;
    ValueError for another `undefined`; ImportError for a named engine that is not installed.
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
    fresh leaves with the values closed over. What the function makes of an exception (`try`) is not
    there: numbers at which an operation raises are that error, and in arrays results are those of
    IEEE arithmetic. Errors: FileNotFoundError; ValueError naming the path for a damaged file;
    ImportError for an engine that it names and that is not installed; TraceError where it is called
    for what the file does not hold.

    >>> import tempfile
    >>> f = compile(lambda x: x * x)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(f(3.0), f.save(f"{folder}/f.json"), load_compiled(f"{folder}/f.json").grad(3.0))
    9.0 None 6.0
    """
    return load(Compiled, path)
