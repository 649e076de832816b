"""mpi4py's pool as an executor, tried where it is installed: `pip install mpi4py mpich`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mpi4py")

PROGRAM = """
import numpy as np
from mpi4py.futures import MPIPoolExecutor
from tinygrad_scalar import Value, compile, data, nn, optim, sin

if __name__ == "__main__":
    w = [Value(0.3), Value(-0.2)]
    loss = compile(lambda x, y: (sin(x * w[0]) + w[1] - y) ** 2 if x > 0 else w[1] * w[1] * y)
    x, y = np.random.default_rng(0).normal(size=(2, 2003))

    def summed(**how):
        for leaf in w:
            leaf.grad = 0.0
        return loss.backward(x, y, shards=5, **how), [leaf.grad for leaf in w]

    def trained(**how):
        X, y = data.moons(60)
        model = nn.MLP(2, [4, 1], seed=0)
        adam = optim.Adam(model.parameters(), 0.05)
        nn.fit(
            model, X, y, loss=nn.binary_cross_entropy, optimizer=adam, steps=5, shards=5, **how
        )
        return model.state_dict()

    with MPIPoolExecutor() as pool:
        print(summed() == summed(executor=pool), trained() == trained(executor=pool))
    try:
        summed(executor=pool)
    except Exception as error:
        print(type(error).__name__, str(error)[:34])
"""


def test_the_same_bits_by_two_processes_of_mpi(tmp_path):
    mpiexec = shutil.which("mpiexec", path=Path(sys.executable).parent) or shutil.which("mpiexec")
    probe = [sys.executable, "-c", "from mpi4py import MPI"]  # here it would start MPI
    if mpiexec is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("mpi4py is installed, and no MPI that it works with")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = "True True\nBrokenExecutor backward: MPIPoolExecutor died, or\n"
    assert done.stdout == told, done.stderr
