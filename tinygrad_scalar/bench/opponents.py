"""The works by hand in C and NumPy, and by CasADi, JAX and PyTorch: runs without arguments."""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

Run = Callable[[], Any]
FLAGS = ("-O3", "-march=native", "-ffast-math", "-fPIC")


def here(**modules: str) -> dict[str, bool]:
    """Which of these are installed, by their names."""
    return {name: find_spec(module) is not None for name, module in modules.items()}


# ── Black–Scholes ─────────────────────────────────────────────────────────────────────────────
def c_black_scholes(inputs: Sequence[Any]) -> tuple[Run, list[Any]] | None:
    """A loop in C, adjoint by hand, built here; None without a compiler that can."""
    import numpy as np

    compiler = shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        library = str(Path(folder) / "black_scholes.so")
        source = (files("tinygrad_scalar.bench") / "black_scholes.c").read_bytes()
        # linked apart: with -ffast-math the linker would add code that turns subnormal numbers
        # into zeros in the whole process
        for command in ((*FLAGS, "-xc", "-c", "-", "-o", f"{library}.o"),
                        ("-shared", f"{library}.o", "-o", library, "-lm")):  # fmt: skip
            done = subprocess.run(
                [compiler, *command], input=source, capture_output=True, check=False
            )
            if done.returncode:
                return None
        run = ctypes.CDLL(library).black_scholes
    run.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 11
    outputs = [np.empty(len(inputs[0])) for _ in range(6)]
    places = [x.ctypes.data for x in (*inputs, *outputs)]
    return lambda: (run(len(inputs[0]), *places), outputs), outputs  # kept alive by both


def numpy_black_scholes(S: Any, K: Any, T: Any, r: Any, v: Any) -> tuple[Any, ...]:
    """Price and sensitivities by hand on arrays."""
    import numpy as np
    from scipy.special import ndtr

    root = np.sqrt(T)
    width = v * root
    d1 = (np.log(S / K) + (r + v * v / 2) * T) / width
    d2 = d1 - width
    N1, N2, discount = ndtr(d1), ndtr(d2), np.exp(-r * T)
    pdf = 0.3989422804014327 * np.exp(-0.5 * d2 * d2)
    a_d2 = -K * discount * pdf
    a_d1 = S * 0.3989422804014327 * np.exp(-0.5 * d1 * d1) + a_d2
    slope, a_width = a_d1 / width, -a_d1 * d1 / width - a_d2
    return (
        S * N1 - K * discount * N2, N1 + slope / S, -discount * N2 - slope / K,
        slope * (r + v * v / 2) + K * N2 * r * discount + 0.5 * a_width * v / root,
        slope * T + K * N2 * T * discount, slope * v * T + a_width * root,
    )  # fmt: skip


def jax_black_scholes(inputs: Sequence[Any]) -> tuple[Run, list[Any]]:
    """JAX, compiled and mapped, in 64 bits."""
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    from jax import numpy as jnp
    from jax.scipy.stats import norm

    def price(S: Any, K: Any, T: Any, r: Any, v: Any) -> Any:
        width = v * jnp.sqrt(T)
        d1 = (jnp.log(S / K) + (r + v * v / 2) * T) / width
        return S * norm.cdf(d1) - K * jnp.exp(-r * T) * norm.cdf(d1 - width)

    f = jax.jit(jax.vmap(jax.value_and_grad(price, argnums=(0, 1, 2, 3, 4))))
    device = [jnp.asarray(x) for x in inputs]
    value, gradient = f(*device)
    results = [np.asarray(x) for x in (value, *gradient)]
    return lambda: jax.block_until_ready(f(*device)), results


def torch_black_scholes(inputs: Sequence[Any]) -> tuple[Run, list[Any]]:
    """PyTorch on tensors, one thread."""
    import torch

    torch.set_num_threads(1)
    leaves = [torch.tensor(x, requires_grad=True) for x in inputs]

    def run() -> list[Any]:
        S, K, T, r, v = leaves
        width = v * torch.sqrt(T)
        d1 = (torch.log(S / K) + (r + v * v / 2) * T) / width
        cdf = torch.special.ndtr
        price = S * cdf(d1) - K * torch.exp(-r * T) * cdf(d1 - width)
        return [price, *torch.autograd.grad(price.sum(), leaves)]

    return run, [x.detach().numpy() for x in run()]


def casadi_black_scholes(x: Sequence[float]) -> tuple[Run, list[Any]]:
    """CasADi's call, numbers in and numbers out."""
    casadi: Any = import_module("casadi")

    S, K, T, r, v = s = [casadi.SX.sym(name) for name in "SKTrv"]
    width = v * casadi.sqrt(T)
    d1 = (casadi.log(S / K) + (r + v * v / 2) * T) / width
    N1, N2 = (0.5 * (1 + casadi.erf(d / math.sqrt(2))) for d in (d1, d1 - width))
    y = S * N1 - K * casadi.exp(-r * T) * N2
    g = casadi.Function("f", s, [y, casadi.gradient(y, casadi.vertcat(*s))])
    value, gradient = g(*x)
    return lambda: g(*x), [[float(value)], gradient.full().ravel().tolist()]


# ── the spiral ────────────────────────────────────────────────────────────────────────────────
def numpy_spiral(X: Any, Y: Any, w1: Any, w2: Any, rate: float) -> Callable[[], float]:
    """A full-batch step by hand, which changes the weights (biases start at 0); the loss."""
    import numpy as np

    c1, c2, everyone = np.zeros(w1.shape[1]), np.zeros(w2.shape[1]), np.arange(len(Y))

    def step() -> float:
        h = np.maximum(0, X @ w1 + c1)
        scores = h @ w2 + c2
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        p = weights / weights.sum(axis=1, keepdims=True)
        mean = -np.log(p[everyone, Y]).mean()
        p[everyone, Y] -= 1
        p /= len(Y)
        gh = p @ w2.T
        gh[h <= 0] = 0
        for parameter, gradient in (
            (w1, X.T @ gh), (c1, gh.sum(axis=0)), (w2, h.T @ p), (c2, p.sum(axis=0))
        ):  # fmt: skip
            np.subtract(parameter, rate * gradient, out=parameter)
        return float(mean)

    return step


# ── large graphs at one point ─────────────────────────────────────────────────────────────────
def numpy_rosenbrock(x: Sequence[float]) -> Callable[[], Any]:
    """The gradient by hand."""
    import numpy as np

    a = np.array(x)

    def run() -> Any:
        d = a[1:] - a[:-1] ** 2
        g = np.zeros(len(a))
        g[:-1] = -400 * d * a[:-1] - 2 * (1 - a[:-1])
        g[1:] += 200 * d
        return g

    return run


def casadi_rosenbrock(n: int) -> Any:
    """The gradient of a chain traced by scalars, as a function of CasADi's."""
    casadi: Any = import_module("casadi")

    s = [casadi.SX.sym(f"x{i}") for i in range(n)]
    y = sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in pairwise(s))
    s = casadi.vertcat(*s)
    return casadi.Function("g", [s], [casadi.gradient(y, s)])


def casadi_program(program: Any) -> Any:
    """Value and gradient of a straight-line program."""
    casadi: Any = import_module("casadi")

    functions = {name: getattr(casadi, name) for name in ("exp", "log", "sin", "tanh")}
    h = program.compiled(**functions, relu=lambda a: casadi.fmax(a, 0))
    s = [casadi.SX.sym(f"x{i}") for i in range(len(program.inputs))]
    y = h(s)
    s = casadi.vertcat(*s)
    return casadi.Function("f", [s], [casadi.gradient(y, s), y])


def casadi_buffer(function: Any, x: Sequence[float]) -> tuple[Run, list[float]]:
    """The fastest way to call CasADi: on buffers of our own; the first output is the gradient."""
    import numpy as np

    buffer, run = function.buffer()
    kept: list[Any] = [np.array(x), np.zeros(len(x)), np.zeros(1)]
    buffer.set_arg(0, memoryview(kept[0]))
    for k in range(function.n_out()):
        buffer.set_res(k, memoryview(kept[1 + k]))
    run()
    return lambda: (run(), buffer, kept), kept[1].tolist()  # neither may be freed before
