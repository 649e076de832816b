"""The gallery: every kind of picture beside the code that makes it, made when the site is built."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

from drawings import in_page
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

_PICTURES = {
    "An expression": """
        from tinygrad_scalar import Value, draw

        x, w, b = Value(2.0, label="x"), Value(-3.0, label="w"), Value(6.5, label="b")
        z = (x * w + b).tanh() * x
        table = z.backward()
        draw(z)
    """,
    "A function at a point": """
        from tinygrad_scalar import draw, sin

        draw(lambda x, y: sin(x * y) + y / x, x=2.0, y=3.0, digits=3, title="sin(xy) + y/x")
    """,
    "Colours by the size of gradients": """
        draw(z, color="grad")
    """,
    "From top to bottom": """
        draw(z, direction="TB", gradients=False)
    """,
    "A network": """
        from tinygrad_scalar import nn

        inputs = [Value(0.1 * i + 0.3, label=f"x{i}") for i in range(3)]
        out = nn.MLP(3, [4, 4, 1], seed=0)(inputs)
        out.backward()
        draw(out)
    """,
    "The calls of a network on twenty examples": """
        import random

        model, source = nn.MLP(2, [4, 1], seed=0), random.Random(0)
        loss = Value(0.0)
        for _ in range(20):
            x = [source.uniform(-1, 1) for _ in range(2)]
            loss = loss + (model(x) - source.choice([-1.0, 1.0])) ** 2
        loss.backward()
        draw(loss / 20)
    """,
    "Newton's square root, thirty turns": """
        a, x = Value(2.0, label="a"), Value(1.0, label="x")
        for _ in range(30):
            x = (x + a / x) * 0.5
        x.backward()
        draw(x)
    """,
    "A long program with nothing to fold": """
        source = random.Random(0)
        made = [Value(0.5, label="x"), Value(1.5, label="y")]
        while len(made) < 300:
            a, b = made[-1], made[-source.randint(1, min(12, len(made)))]
            made.append(source.choice([a + b, a * b, a.sin(), a.tanh()]))
        draw(made[-1], max_nodes=1000)
    """,
    "What surrounds one node": """
        draw(made[-1], focus=made[150])
    """,
    "The graph of a derivative beside it": """
        x = Value(1.5, label="x")
        y = x.sin() * x
        draw(y, derivative=y.backward(create_graph=True))
    """,
    "Step by step": """
        from tinygrad_scalar import steps

        steps(z)
    """,
    "A formula": """
        from tinygrad_scalar import formula

        formula((x**2 + 1.0).sqrt() / x)
    """,
    "Loss curves": """
        from tinygrad_scalar import data, optim
        from tinygrad_scalar.drawing import plots

        X, y = data.moons(60, noise=0.1, seed=0)
        model = nn.MLP(2, [8, 2], seed=0)
        optimizer = optim.Adam(model.parameters(), lr=0.05)
        history = nn.fit(model, X, y, loss=nn.cross_entropy, optimizer=optimizer, steps=60)
        plots.loss_curve(history)
    """,
    "Decision regions": """
        plots.decision_regions(model, X, y)
    """,
    "Difference quotients": """
        from tinygrad_scalar import sin

        plots.difference_quotient(lambda x: sin((2 * x + 1) ** 2), 0.5)
    """,
}


def on_files(files: Files, config: Any) -> Files:
    """Add the page, and the pictures that stand in files of their own."""
    names: dict[str, Any] = {}
    lines = [
        "---",
        "hide: [toc]",
        "---",
        "",
        "# Gallery",
        "",
        "Each picture is what the code above it shows in a notebook.",
        "",
    ]
    for i, (title, code) in enumerate(_PICTURES.items(), start=1):
        try:
            shown = _last(dedent(code), names)
        except Exception as error:
            raise PluginError(f"gallery.md: {title}: {type(error).__name__}: {error}") from error
        lines += [f"## {title}", "", "```python", dedent(code).strip(), "```", ""]
        for line, content in _as_page(shown, f"gallery/{i}", title):
            lines += [line, ""]
            if content is not None:
                uri = f"gallery/{i}.{'png' if isinstance(content, bytes) else 'html'}"
                files.append(File.generated(config, uri, content=content))
    files.append(File.generated(config, "gallery.md", content="\n".join(lines)))
    return files


def _last(code: str, names: dict[str, Any]) -> Any:
    """What the last line gives, after the lines before it, as in the cell of a notebook."""
    *before, last = ast.parse(code).body
    exec(compile(ast.Module(before, []), "gallery", "exec"), names)  # noqa: S102 (what stands above)
    shown = ast.Expression(last.value)  # type: ignore[attr-defined]
    return eval(compile(shown, "gallery", "eval"), names)  # noqa: S307 (what stands above)


def _as_page(shown: Any, path: str, title: str) -> Iterator[tuple[str, str | bytes | None]]:
    """What is shown, for the page: inline, or as a file that it refers to."""
    if hasattr(shown, "svg"):  # inline, so that it follows the page's scheme
        yield in_page(shown.svg()), None
    elif hasattr(shown, "html"):
        frame = (
            f'<iframe src="{path}.html" title="{title}" style="width:100%;height:680px;border:0">'
        )
        yield f"{frame}</iframe>", shown.html()
    elif hasattr(shown, "latex"):
        yield rf"$$\displaystyle {shown.latex}$$", None
    else:
        yield f"![{title}]({path}.png){{ width=560 }}", shown._repr_png_()
