"""Training steps: micrograd's demo beside micrograd, the compiled step beside NumPy by hand.

Run `python benchmarks/nn.py` after `pip install -e ".[bench,fast]"`; what is not installed is left
out. The step is that of micrograd's demo: an MLP 2-16-16-1 on 100 moons, full batch, max-margin
loss with an L2 penalty, gradients, and a step of gradient descent. It measures, and writes into
benchmarks/results/nn.json (with the node compiled, nn_compiled.json),

1. the eager step beside micrograd's, word for word the same program, with Python's cyclic collector
   as it is by default and switched off;
2. what it costs that modules note their boxes for drawings, beside `scope()` blocks around them;
3. the compiled step beside the same step written in NumPy by hand.
"""

import argparse
import gc
import random
from statistics import median

from harness import (
    agree,
    in_turns,
    machine,
    note,
    print_table,
    ratio,
    timed,
    version,
    write_results,
)

from tinygrad_scalar import Value, compile, data, engines, nn, optim, scope

ALPHA, RATE = 1e-4, 0.05
X, LABELS = data.moons(100, noise=0.1, seed=1337)
Y = [2 * label - 1 for label in LABELS]


def demo_step(model, kind):
    """One step of micrograd's demo, as it stands there; the loss."""
    inputs = [list(map(kind, xrow)) for xrow in X]
    scores = list(map(model, inputs))
    losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(Y, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    reg_loss = ALPHA * sum(p * p for p in model.parameters())
    total_loss = data_loss + reg_loss
    model.zero_grad()
    total_loss.backward()
    for p in model.parameters():
        p.data -= RATE * p.grad
    return total_loss.data


def our_model():
    random.seed(1337)
    return nn.MLP(2, [16, 16, 1])


def their_model():
    from micrograd.nn import MLP

    random.seed(1337)
    return MLP(2, [16, 16, 1])


# ── 1. eager, beside micrograd ────────────────────────────────────────────────────────────────
def eager(rounds):
    """Seconds of a step, and how many times ours: name -> (default collector, switched off)."""
    contenders = {"tinygrad_scalar": (our_model(), Value)}
    if version("micrograd"):
        from micrograd.engine import Value as Theirs

        contenders["micrograd"] = (their_model(), Theirs)
        losses = {name: demo_step(*contender) for name, contender in contenders.items()}
        agree("loss", [losses["micrograd"]], [losses["tinygrad_scalar"]], 1e-13)
        ours, theirs = (model.parameters() for model, _ in contenders.values())
        agree("micrograd", [p.grad for p in theirs], [p.grad for p in ours], 1e-13)
    steps = {
        name: lambda contender=contender: timed(lambda: demo_step(*contender))[0]
        for name, contender in contenders.items()
    }
    collected = in_turns(steps, rounds)
    gc.disable()
    uncollected = in_turns(steps, rounds)
    gc.enable()
    return {
        name: {
            "step_ms": 1e3 * median(collected[name]),
            "times_ours": ratio(collected[name], collected["tinygrad_scalar"]),
            "uncollected_ms": 1e3 * median(uncollected[name]),
            "uncollected_times_ours": ratio(uncollected[name], uncollected["tinygrad_scalar"]),
        }
        for name in steps
    }


# ── 2. the boxes of drawings ──────────────────────────────────────────────────────────────────
class Bare(nn.MLP):
    """The same network without boxes: its parts are called by their forwards alone."""

    def __call__(self, x):
        """The output for one list of inputs."""
        for layer in self.layers:
            x = [neuron.forward(x) for neuron in layer.neurons]
        return x[0]


class Scoped(nn.MLP):
    """The same with a `scope()` block around every neuron."""

    def __call__(self, x):
        """The output for one list of inputs."""
        for i, layer in enumerate(self.layers):
            outputs = []
            for j, neuron in enumerate(layer.neurons):
                with scope(f"layer {i}"), scope(f"neuron {j}"):
                    outputs.append(neuron.forward(x))
            x = outputs
        return x[0]


def boxes(rounds):
    """Seconds of a step with the boxes noted by modules, by blocks, and not at all."""
    models = {
        "no boxes": Bare(2, [16, 16, 1], seed=1),
        "modules": nn.MLP(2, [16, 16, 1], seed=1),
        "scope() blocks": Scoped(2, [16, 16, 1], seed=1),
    }
    runs = in_turns(
        {
            name: lambda model=model: timed(lambda: demo_step(model, Value))[0]
            for name, model in models.items()
        },
        rounds,
    )
    return {
        name: {"step_ms": 1e3 * median(times), "times_bare": ratio(times, runs["no boxes"])}
        for name, times in runs.items()
    }


# ── 3. compiled, beside NumPy ─────────────────────────────────────────────────────────────────
def compiled_step():
    """The step as compiled code does it, and the model it trains."""
    import numpy as np

    model = our_model()
    params = model.parameters()
    sgd = optim.SGD(params, RATE)
    step = compile(lambda x, y: nn.hinge(model(x), y) + ALPHA * nn.l2(params))
    inputs, targets = np.array(X), np.array(Y, float)

    def run():
        sgd.zero_grad()
        loss = step.backward(inputs, targets)
        sgd.step()
        return loss

    return run, lambda: [p.data for p in params], step, (inputs, targets)


def numpy_step():
    """The same by hand."""
    import numpy as np

    model = our_model()
    W = [np.array([[w.data for w in n.w] for n in layer.neurons]).T for layer in model.layers]
    b = [np.zeros(W[i].shape[1]) for i in range(3)]
    inputs, targets = np.array(X), np.array(Y, float)

    def run():
        h = [inputs]
        for k in range(3):
            a = h[k] @ W[k] + b[k]
            h.append(a if k == 2 else np.maximum(a, 0.0))
        margins = np.maximum(1.0 - targets * h[3][:, 0], 0.0)
        loss = margins.mean() + ALPHA * sum((p * p).sum() for p in W + b)
        g = (-targets * (margins > 0.0) / len(targets))[:, None]
        for k in (2, 1, 0):
            by_W, by_b = h[k].T @ g + 2 * ALPHA * W[k], g.sum(axis=0) + 2 * ALPHA * b[k]
            if k:
                g = (g @ W[k].T) * (h[k] > 0.0)
            W[k] -= RATE * by_W
            b[k] -= RATE * by_b
        return float(loss)

    def parameters():
        return [
            float(x)
            for weights, bias in zip(W, b, strict=True)
            for j in range(weights.shape[1])
            for x in [*weights[:, j], bias[j]]
        ]

    return run, parameters


def compiled(rounds):
    """Microseconds of a step, and of its loss and gradient without the optimiser."""
    ours, our_parameters, step, batch = compiled_step()
    theirs, their_parameters = numpy_step()
    for _ in range(3):
        agree("loss", [ours()], [theirs()], 1e-12)
    agree("parameters", our_parameters(), their_parameters(), 1e-12)
    runs = in_turns(
        {
            "compiled step": lambda: timed(lambda: [ours() for _ in range(200)])[0] / 200,
            "compiled gradient": lambda: (
                timed(lambda: [step.backward(*batch) for _ in range(200)])[0] / 200
            ),
            "NumPy step by hand": lambda: timed(lambda: [theirs() for _ in range(200)])[0] / 200,
        },
        rounds,
    )
    return {
        name: {"step_us": 1e6 * median(times), "times_ours": ratio(times, runs["compiled step"])}
        for name, times in runs.items()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    results = {"machine": machine("micrograd", "numpy", "llvmlite")}
    note("the eager step …")
    results["eager"] = eager(rounds)
    print_table(
        "One step of micrograd's demo",
        ("engine", "ms", "times ours", "collector off, ms", "times ours"),
        [[name, *row.values()] for name, row in results["eager"].items()],
    )
    note("the boxes …")
    results["boxes"] = boxes(rounds)
    print_table(
        "The same step, by how boxes for drawings are noted",
        ("boxes", "ms", "times bare"),
        [[name, *row.values()] for name, row in results["boxes"].items()],
    )
    if "llvm" in engines():
        note("the compiled step …")
        results["compiled"] = compiled(rounds)
        print_table(
            "The same step, compiled",
            ("", "µs", "times the compiled step"),
            [[name, *row.values()] for name, row in results["compiled"].items()],
        )
    write_results("nn", results)


if __name__ == "__main__":
    main()
