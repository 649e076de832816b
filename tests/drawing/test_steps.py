"""The page of steps before any browser sees it: its steps, its numbers, its text."""

import json
import re
from fractions import Fraction

import pytest
from drawing.test_formulas import programs
from hypothesis import given

from tinygrad_scalar import Value, cross_entropy, nn, scope
from tinygrad_scalar.drawing import layout, steps
from tinygrad_scalar.drawing.course import Course
from tinygrad_scalar.drawing.scene import scene


def product():
    x, y = Value(2.0, label="x"), Value(3.0, label="y")
    z = x * y
    z.label = "z"
    loss = z * 2.0 + x
    loss.label = "L"
    return loss


def course(z, **options):
    return Course(scene(z, "steps", **options))


def embedded(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_one_step_is_one_operation_or_one_edge():
    found = [(step.phase, f"{step.symbols} {step.numbers}") for step in course(product()).steps]
    assert found == [
        ("forward", "z = x × y = 2.0 × 3.0 = 6.0"),
        ("forward", "u4 = z × 2.0 = 6.0 × 2.0 = 12.0"),
        ("forward", "L = u4 + x = 12.0 + 2.0 = 14.0"),
        ("seed", "grad L = ∂L/∂L = 1.0"),
        ("backward", "grad u4 += grad L · ∂L/∂u4 = 1.0 × 1.0 = 1.0"),
        ("backward", "grad x += grad L · ∂L/∂x = 1.0 × 1.0 = 1.0"),
        ("backward", "grad z += grad u4 · ∂u4/∂z = 1.0 × 2.0 = 2.0"),
        ("backward", "grad x += grad z · ∂z/∂x = 2.0 × 3.0 = 6.0"),
        ("backward", "grad y += grad z · ∂z/∂y = 2.0 × 2.0 = 4.0"),
    ]


def test_every_step_changes_one_entry_and_the_entries_add_up():
    entries = [(step.feeds, step.entry) for step in course(product()).steps]
    assert entries[:4] == [("u3", "6.0"), ("u4", "12.0"), ("u5", "14.0"), ("u5", "1.0")]
    assert entries[4:] == [
        ("u4", "1.0"),
        ("u1", "1.0"),
        ("u3", "2.0"),
        ("u1", "7.0"),
        ("u2", "4.0"),
    ]


@given(programs())
def test_the_last_entries_are_the_gradients_of_the_engine(z):
    if z.primitive is None:
        return
    made = course(z)
    table = z.backward()
    assert len(made.steps) == sum(n.primitive is not None for n in table) + 1 + table.edges
    for node, gradient in table.items():
        assert made.gradients[id(node)] == pytest.approx(gradient, rel=1e-12, abs=1e-12)
    last = {step.feeds: step.entry for step in made.steps if step.phase != "forward"}
    assert sorted(map(float, last.values())) == pytest.approx(
        sorted(table.values()), rel=1e-9, abs=1e-9
    )


def test_neither_grad_nor_data_is_touched():
    z = product()
    steps(z).html()
    assert all(node.grad == 0.0 for node in z.backward(inputs=[]))
    assert z.grad == 0.0


def test_zero_times_infinity_is_zero_as_in_backward():
    x = Value(0.0)
    made = course(x.sqrt() * 0.0)
    assert made.steps[-1].numbers == "= 0.0 × inf = 0.0"


def test_fractions_stay_exact():
    x = Value(Fraction(1, 3))
    assert course(x * x).steps[-1].numbers == "= 1 × 1/3 = 1/3"


def test_a_step_says_what_was_there_what_comes_and_what_is_there_now():
    x = Value(2.0, label="x")
    steps_ = course(x * 3.0 - x * x).steps
    totals = [step.total for step in steps_ if step.phase == "backward"]
    assert totals == ["", "", "", "-2.0 + (-2.0) = -4.0", "-4.0 + 3.0 = -1.0"]


def test_rows_of_one_label_bear_their_scopes():
    names = [row.name for row in course(nn.MLP(1, [2, 1], seed=0)([0.5])).rows]
    assert len(set(names)) == len(names)
    assert "layers[0].neurons[1].w[0]" in names


def test_many_operands_are_not_written_out():
    z = cross_entropy([Value(float(i)) for i in range(10)], 0)
    assert course(z).steps[0].symbols == "u11 = cross_entropy of 20 operands"


def test_a_negative_slope_stands_in_brackets():
    x = Value(2.0, label="x")
    assert course(1.0 - x).steps[-1].numbers == "= 1.0 × (-1.0) = -1.0"


# ── closed scopes and neighbourhoods ──────────────────────────────────────────────────────────
def with_scopes():
    x = Value(1.0, label="x")
    with scope("inner"):
        y = x * 2.0 + x
    z = y * y
    z.label = "z"
    return x, z


def test_a_closed_scope_takes_one_step_and_its_edges_one_a_bundle():
    x, z = with_scopes()
    made = course(z * x, depth=0)
    assert [step.phase for step in made.steps].count("forward") == 3
    lines = [f"{step.symbols} {step.numbers}" for step in made.steps]
    assert "inner computes 2 nodes" in lines
    assert "2 edges from z to inner " in lines
    last = {step.feeds: step.entry for step in made.steps if step.phase == "backward"}
    assert last["b1"].startswith("norm ")


def test_values_outside_keep_their_whole_gradient():
    x = Value(1.5, label="x")
    with scope("inner"):
        y = x.sin() * x
    z = y + x * x
    made = course(z, depth=0)
    x_key = next(row.key for row in made.rows if row.name == "x")
    last = {step.feeds: step.entry for step in made.steps if step.phase == "backward"}
    # scopes are closed around x too: it belongs to the common scope of its consumers, the outermost
    assert float(last[x_key]) == pytest.approx(z.backward()[x], rel=1e-9)
    assert any("Σ over 2 edges from inner" in step.symbols for step in made.steps)


def test_scopes_that_feed_each_other_in_a_circle():
    z = Value(1.0)
    for name in "abab":
        with scope(name):
            z = z * 2.0
    made = course(z + 1.0, depth=0)
    assert {row.name for row in made.rows} == {"a", "b", "u6"}


def test_the_rows_of_inner_boxes_name_their_whole_path():
    with scope("outer"), scope("inner"):
        y = Value(1.0) * 2.0
    assert [row.name for row in course(y + 1.0, depth=1).rows] == ["outer/inner", "u3"]


def test_a_neighbourhood_receives_what_comes_from_outside():
    nodes = [Value(1.0)]
    for _ in range(20):
        nodes.append(nodes[-1] * 2.0)
    made = course(nodes[-1], focus=nodes[10])
    rows = {row.key for row in made.rows}
    assert len(rows) == 7
    outside = next(step for step in made.steps if "nodes not shown" in step.symbols)
    assert outside.numbers == f"= {2.0**7}"


# ── the page ──────────────────────────────────────────────────────────────────────────────────
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{STEPS}}\u2028\x00\ud800"


def test_a_label_is_nowhere_markup():
    x = Value(1.0, label=HOSTILE)
    page = steps(x * 2.0).html()
    assert "<img" not in page
    assert page.count("</script>") == 2
    assert page.count("{{") == page.count("{{STEPS}}")
    page.encode("utf-8")
    shown = embedded(page)["rows"][0][1]
    assert shown == HOSTILE.replace("\x00", "␀").replace("\ud800", "\ufffd")


def test_the_page_is_one_file_without_network():
    page = steps(product()).html()
    assert "Content-Security-Policy" in page
    assert "default-src 'none'" in page
    bare = re.sub(r'xmlns(:xlink)?="[^"]*"', "", page)
    assert "http" not in bare.replace("http-equiv", "")
    assert re.findall(r'(?:src|href)="([^"]*)"', bare) == ["data:,"]


def test_without_a_script_there_are_the_rows_and_no_gradients():
    page = steps(product()).html()
    rows = re.findall(r"<tr id=.*?</tr>", page)
    assert len(rows) == 5
    assert all(row.endswith("<td></td></tr>") for row in rows)
    assert "<td>14.0</td>" in page


def test_a_notebook_shows_the_page_in_a_frame(monkeypatch):
    shown = steps(product())._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert 'sandbox="allow-scripts"' in shown
    monkeypatch.setattr(layout, "_command", no_engine)
    assert steps(product())._repr_html_() == "<pre>no &lt;engine&gt;</pre>"


def no_engine(*_):
    raise ImportError("no <engine>")


def test_saving(tmp_path):
    page = steps(product())
    page.save(tmp_path / "steps.html")
    assert (tmp_path / "steps.html").read_text(encoding="utf-8") == page.html()
    with pytest.raises(ValueError, match=r"a page of steps is saved as \.html"):
        page.save(tmp_path / "steps.svg")
    assert [entry.name for entry in tmp_path.iterdir()] == ["steps.html"]


def test_errors():
    with pytest.raises(ValueError, match=r"steps: Value\(2\.0, .* is a leaf, .*nothing to step"):
        steps(Value(2.0))
    with pytest.raises(TypeError, match=r"^steps: z is a Value, the output .* not list$"):
        steps([product()])
    with pytest.raises(ValueError, match=r"^steps: color is None"):
        steps(product(), color="red")
    with pytest.raises(TypeError, match=r"^steps: timeout is a number of seconds"):
        steps(product(), timeout=None)
    z = Value(0.0)
    for i in range(500):
        z = z + float(i)  # no two alike: nothing folds
    with pytest.raises(ValueError, match=r"^steps: 501 nodes .*max_nodes=500: "):
        steps(z)
