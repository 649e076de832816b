"""The strategies: what they draw is right, and what they find shrinks to something small."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from test_mutation import a_thousandth_more, changed, opposite, with_partials

import tinygrad_scalar
from tinygrad_scalar import (
    Value,
    acosh,
    asin,
    exp,
    log,
    nn,
    primitive,
    relu,
    sin,
    step,
    topological_order,
)
from tinygrad_scalar.core import primitives
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.strategies import (
    Instruction,
    Program,
    expressions,
    networks,
    points_for,
    values,
)
from tinygrad_scalar.testing import (
    GradientError,
    OutsideDomainError,
    UncheckableError,
    check_derivative,
    check_grad,
)

ROOT = Path(__file__).parent.parent


def first(strategy, condition):
    """An example, not shrunk."""
    few = settings(max_examples=300, phases=[Phase.generate], database=None)
    return find(strategy, condition, settings=few)


def operations(z):
    return [node for node in topological_order(z) if node.primitive is not None]


# ── programs ──────────────────────────────────────────────────────────────────────────────────
@given(expressions(max_ops=6))
def test_programs_stay_in_their_domains_and_away_from_kinks(program):
    z = program.run()
    assert isinstance(z, Value)
    assert isinstance(program.inputs, tuple)
    assert all(isinstance(x, float) for x in program.inputs)
    assert len(program.instructions) <= 6
    for node in operations(z):
        seen = [
            operand.data if isinstance(operand, Value) else operand for operand in node.operands
        ]
        assert node.data == 0 or 1e-6 <= abs(node.data) <= 1e6
        assert not node.primitive.kinks(*seen)
    assert check_grad(program, *program.inputs, modes=["reverse"]).kinks == ()


@given(expressions(max_ops=6, kinks=True))
def test_the_repr_of_a_program_runs(program):
    names = {}
    *lines, last = repr(program).splitlines()
    exec("\n".join(["from tinygrad_scalar import *", *lines]), names)  # noqa: S102 (its purpose)
    z, again = names[last], program.run()
    assert z.data == again.data
    assert [(n.primitive, n.data) for n in topological_order(z)] == [
        (n.primitive, n.data) for n in topological_order(again)
    ]


@given(expressions())
def test_every_input_and_every_instruction_is_used(program):
    z = program.run()
    assert len(operations(z)) == len(program.instructions)
    leaves = [node for node in topological_order(z) if node.primitive is None]
    assert {leaf.label for leaf in leaves} == {f"x{i}" for i in range(len(program.inputs))}


@given(expressions())
def test_a_program_is_a_function_and_a_value(program):
    assert program(*program.inputs) == program.run().data
    twin = Program(program.inputs, program.instructions)
    assert twin == program
    assert hash(twin) == hash(program)


def test_rows_with_unusual_spellings():
    table = primitives
    instructions = (
        Instruction(table.sum, (0, 1, 0)),
        Instruction(table.dot, (0, 1, 2, 2)),
        Instruction(table.cross_entropy, (0, 1, 0.25, 0.75)),
        Instruction(table.round_to, (4, 2.0)),
        Instruction(table.polygamma, (1.0, 3)),
        Instruction(table.gelu_tanh, (6,)),
        Instruction(table.identity, (7,)),
        Instruction(table.pow, (-2.0, 8)),
    )
    program = Program((2.0, 1.5), instructions[:7])
    names = {}
    exec(f"from tinygrad_scalar import *\n{program!r}", names)  # noqa: S102 (its purpose)
    assert names["v6"].data == program.run().data
    assert "v7 = (-2.0) ** v6" in repr(Program((2.0, 1.5), instructions))


def test_what_hypothesis_prints_is_the_program():
    @settings(database=None, print_blob=False)
    @given(program=expressions(["exp"], max_ops=1))
    def fails(program):
        assert program.run() < 2

    with pytest.raises(AssertionError) as caught:
        fails()
    notes = "\n".join(caught.value.__notes__)
    assert "x0 = Value(1.0, label='x0')\n" in notes
    assert "v0 = exp(x0)\n" in notes


def test_primitives_are_chosen_by_name_or_row():
    own = primitive("own", math.sin, lambda y, x: tinygrad_scalar.cos(x))
    both = primitive("both", lambda x: (x, -x), (1,), (-1,))

    @settings(max_examples=30)
    @given(expressions(["mul", own, TABLE["tanh"], both], max_ops=4))
    def holds(program):
        names = {row.name for row, _ in program.instructions}
        assert names <= {"mul", "own", "tanh", "both[0]", "both[1]"}
        lines = repr(program).splitlines()
        known = {"own": own, "both": both}
        exec("\n".join(["from tinygrad_scalar import *", *lines]), known)  # noqa: S102
        assert known[lines[-1]].data == program.run().data

    holds()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (["sine"], "the table has no primitive 'sine'; did you mean .*sin"),
        (["zzz"], "the table has no primitive 'zzz'$"),
        ([], "primitives is empty; name at least one"),
    ],
)
def test_a_wrong_choice_is_told(choice, message):
    with pytest.raises(ValueError, match=message):
        expressions(choice)
    for single in ("sin", sin, 3):
        with pytest.raises(TypeError, match="primitives is a list of names or rows, not "):
            expressions(single)
    for count in (0, 1.5, "2"):
        with pytest.raises(ValueError, match="max_ops is a whole number from 1 up, not"):
            expressions(max_ops=count)


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"polygamma"}))
def test_every_row_of_the_table_can_be_drawn(name):
    program = first(expressions([name], max_ops=1), lambda program: program.instructions)
    assert program.instructions[0].primitive is TABLE[name]


def test_kinks_are_met_if_asked_for():
    def at_kink(program):
        nodes = operations(program.run())
        return any(node.primitive.kinks(*node._seen()[1]) for node in nodes)

    assert at_kink(first(expressions(kinks=True), at_kink))
    with pytest.raises(NoSuchExample):
        first(expressions(), at_kink)


# ── shrinking: planted bugs, found and made small ─────────────────────────────────────────────
SEARCH = settings(max_examples=200, database=None, phases=[Phase.generate, Phase.shrink])


def as_a_set(z):
    """Parents without repetition: x·x loses half of its gradient."""
    gradients = {id(z): 1.0}
    for node in reversed(topological_order(z)):
        slopes = dict(zip(node.parents, node.local_derivatives, strict=True))
        for parent, slope in slopes.items():
            gradients[id(parent)] = gradients.get(id(parent), 0.0) + gradients[id(node)] * slope()
    return gradients


def last_consumer_wins(z):
    """An inner node keeps what its last consumer sent, instead of the sum."""
    gradients = {id(z): 1.0}
    for node in reversed(topological_order(z)):
        for parent, slope in zip(node.parents, node.local_derivatives, strict=True):
            before = gradients.get(id(parent), 0.0) if parent.primitive is None else 0.0
            gradients[id(parent)] = before + gradients[id(node)] * slope()
    return gradients


def first_come_first_served(z):
    """A node sends on what it has before all its consumers have sent theirs."""
    gradients, order, stack = {id(z): 1.0}, {}, [z]
    while stack:
        node = stack.pop()
        if node not in order:
            order[node] = True
            stack.extend(node.parents)
    for node in order:
        for parent, slope in zip(node.parents, node.local_derivatives, strict=True):
            gradients[id(parent)] = gradients.get(id(parent), 0.0) + gradients[id(node)] * slope()
    return gradients


@pytest.mark.parametrize("names", [None, ["add", "mul", "sin"]], ids=["all", "three"])
@pytest.mark.parametrize("bug", [as_a_set, last_consumer_wins, first_come_first_served])
def test_a_planted_bug_with_shared_nodes_is_found_and_shrunk(bug, names):
    failed = []

    @settings(SEARCH)
    @given(expressions(names))
    def agrees(program):
        z = program.run()
        wrong, table = bug(z), z.backward()
        for leaf in (node for node in table if node.primitive is None):
            close = abs(wrong.get(id(leaf), 0.0) - table[leaf]) <= 1e-9 * (1 + abs(table[leaf]))
            if not close:
                failed.append(program)
            assert close

    with pytest.raises(AssertionError):
        agrees()
    assert len(failed[-1].instructions) <= 5


def opposite_sign(partials):
    return (changed(partials[0], opposite), *partials[1:])


def a_little_more(partials):
    return (*partials[:-1], changed(partials[-1], a_thousandth_more))


def exchanged(partials):
    return (*partials[:-2], *partials[-2:][::-1])


def in_reverse(partials):
    return (lambda *x: list(partials[0](*x))[::-1],)


def wrong_on_the_left(partials):
    first, second = partials
    return (lambda y, a, b: first(y, a, b) * (1 + 0.001 * step(-a))), second


def a_constant_slope(partials):
    return (changed(partials[0], lambda x: x.detach() if isinstance(x, Value) else x),)


def without_the_second(partials):
    return partials[0], 0.0


@pytest.mark.parametrize(
    ("name", "spoil", "order"),
    [
        ("sin", opposite_sign, 1),
        ("tanh", a_little_more, 1),
        ("mul", exchanged, 1),
        ("add", without_the_second, 1),
        ("dot", in_reverse, 1),
        ("hypot", wrong_on_the_left, 1),
        ("cos", a_constant_slope, 2),
    ],
)
def test_a_planted_wrong_row_is_found_and_shrunk_to_that_row(name, spoil, order):
    wrong = with_partials(TABLE[name], spoil(TABLE[name].partials))
    failed = []

    @settings(SEARCH)
    @given(expressions(["neg", "add", "mul", "div", "sub", "square", "exp", wrong], max_ops=6))
    def agrees(program):
        try:
            check_grad(program, *program.inputs, order=order, modes=["graph"])
        except GradientError as error:
            failed.append((program, error))
            raise

    with pytest.raises(GradientError):
        agrees()
    program, error = failed[-1]
    assert len(program.instructions) <= 2
    assert error.node.primitive is wrong
    assert f"disagrees is {name}, made in" in str(error)


def price(spot, strike):
    d = (math.log(spot / strike) + 0.1) / 0.3
    below, above = (0.5 * (1 + math.erf(x / math.sqrt(2))) for x in (d - 0.3, d))
    return spot * above - strike * math.exp(-0.01) * below


@given(points_for(lambda spot: price(spot, 100.0), min_value=50, max_value=200))
@settings(max_examples=10)
def test_points_of_plain_code_over_floats_lie_where_it_has_values(point):
    def by_hand(spot):
        d = (math.log(spot / 100.0) + 0.1) / 0.3
        bells = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in (d, d - 0.3)]
        rest = (bells[0] - 100.0 / spot * math.exp(-0.01) * bells[1]) / 0.3
        return 0.5 * (1 + math.erf(d / math.sqrt(2))) + rest

    assert 50 <= point[0] <= 200
    check_derivative(lambda spot: price(spot, 100.0), by_hand, *point)


def test_an_error_in_plain_code_shows_the_frames_of_the_user_alone(tmp_path):
    (tmp_path / "test_user.py").write_text(
        "import math\n"
        "from hypothesis import given\n"
        "from tinygrad_scalar.strategies import points_for\n"
        "def broken(x): return math.nonsense(x)\n"
        "@given(points_for(broken))\n"
        "def test_broken(point): pass\n"
    )
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(tinygrad_scalar.__file__).parents[1])},
    )
    assert "has no attribute 'nonsense'" in done.stdout
    assert "strategies/points.py" not in done.stdout
    assert "During handling" not in done.stdout


def test_points_of_plain_code_keep_to_its_domain_and_its_errors_are_its_own():
    (x,) = find(points_for(lambda x: math.sqrt(x - 7.0)), lambda point: True)
    assert x >= 7.0
    with pytest.raises(OutsideDomainError, match="has no derivative at any of"):
        find(points_for(lambda x: math.sqrt(-1.0 - math.fabs(x))), lambda point: True)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        find(points_for(lambda x: math.nonsense(x)), lambda point: True)


# ── points ────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    "f",
    [
        lambda x: log(log(x)),
        lambda x, y: acosh(x) * asin(y),
        lambda x: log(x - 37.5) * asin((x - 38.5) * 2),
        lambda x: relu(x) + abs(x - 1),
        lambda x, y: (max(y, x)) / (x - y),
        lambda a, b, c, d, e: log(a) + log(b) + log(c) + log(d) + log(e),
        lambda x: exp(exp(x)),
    ],
)
def test_points_lie_in_the_domain_and_away_from_kinks(f):
    @settings(max_examples=30)
    @given(points_for(f))
    def holds(point):
        assert all(isinstance(x, float) for x in point)
        assert check_grad(f, *point).kinks == ()

    holds()


def test_bounds_near_zero_are_drawn_between():
    for size in (1e-7, 1e-300):
        strategy = points_for(lambda x: 2 * x, min_value=size, max_value=10 * size)
        assert first(strategy, lambda point: point[0] > 4 * size)  # noqa: B023 (called here)


def test_points_of_a_narrow_domain_are_more_than_those_that_the_search_found():
    for middle in (3.0, 0.0):
        strategy = points_for(lambda x: asin((x - middle) * 1e4))  # noqa: B023 (called here)
        assert first(strategy, lambda point: point[0] > middle)  # noqa: B023
        assert first(strategy, lambda point: point[0] < middle)  # noqa: B023


def test_a_domain_that_begins_far_out_is_found():
    assert first(points_for(lambda x: log(x - 5000)), lambda point: point[0] > 5000)


def test_the_number_of_arguments():
    def with_default(x, y, power=2.0):
        return x * y**power

    for f, n in ((with_default, 2), (sin, 1), (primitives.hypot, 2)):
        assert len(first(points_for(f), lambda point: True)) == n
    assert len(first(points_for(lambda *x: x[0] * x[3], n=4), lambda point: True)) == 4
    program = Program((1.0, 2.0), (Instruction(primitives.mul, (0, 1)),))
    assert len(first(points_for(program), lambda point: True)) == 2
    for count in (0, -1, "x"):
        with pytest.raises(ValueError, match="points_for: n is a whole number from 1 up, not"):
            points_for(sin, count)
    with pytest.raises(TypeError, match="points_for: f must be callable, not float"):
        points_for(3.0)
    for unclear in (lambda *x: x[0], tinygrad_scalar.core.primitives.sum, max):
        with pytest.raises(TypeError, match="does not tell how many arguments it takes; give n="):
            points_for(unclear)


def test_a_wrong_derivative_is_found_in_three_lines():
    squash = primitive("squash", lambda x: x / (1 + abs(x)), lambda y, x: 1 / (1 + x) ** 2)

    @settings(database=None, print_blob=False)
    @given(points_for(squash))
    def test_derivative(point):
        check_grad(squash, *point)

    with pytest.raises(GradientError, match="disagrees is squash") as caught:
        test_derivative()
    assert "point=(-1.0,)" in str(caught.value.__notes__)


def test_functions_without_points_are_told():
    with pytest.raises(OutsideDomainError, match="has no derivative at any of 5000 points tried"):
        first(points_for(lambda x: log(-x * x - 1)), lambda point: True)
    with pytest.raises(UncheckableError, match="returned None"):
        first(points_for(lambda x: None), lambda point: True)
    noise = iter(range(10**9))
    with pytest.raises(UncheckableError, match="random or keeps state"):
        first(points_for(lambda x: x + next(noise)), lambda point: True)


# ── values and networks ───────────────────────────────────────────────────────────────────────
@given(values(), values(0.0, 1.0))
def test_values(v, w):
    assert isinstance(v, Value)
    assert -100.0 <= v.data <= 100.0
    assert 0.0 <= w.data <= 1.0
    assert v.parents == ()


@settings(max_examples=25)
@given(networks())
def test_networks(drawn):
    model, x = drawn
    assert isinstance(model, nn.MLP)
    output = model(x)
    first = output[0] if isinstance(output, list) else output
    assert isinstance(first, Value)
    assert len(x) == len(model.layers[0].neurons[0].w)


# ── hypothesis finds Value by itself ──────────────────────────────────────────────────────────
def run(code, *paths):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *paths)))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def installed(tmp_path):
    """What an installer writes down about the entry point."""
    about = tmp_path / "tinygrad_scalar_entry-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tinygrad_scalar_entry\nVersion: 0\n"
    )
    (about / "entry_points.txt").write_text(
        "[hypothesis]\ntinygrad_scalar = _tinygrad_scalar_hypothesis:register\n"
    )
    return tmp_path


IMPORTS = ["from tinygrad_scalar import Value", "from hypothesis import find, strategies as st"]


@pytest.mark.parametrize("lines", [IMPORTS, IMPORTS[::-1]], ids=["Value first", "Value last"])
def test_from_type_works_with_nothing_but_value_imported(lines, installed):
    code = "\n".join([*lines, "print(find(st.from_type(Value), lambda v: v > 1))"])
    assert run(code, installed) == "Value(2.0, grad=0.0)"


def test_importing_hypothesis_stays_light(installed):
    loaded = run(
        "import sys, hypothesis\n"
        "print([name for name in sys.modules if name.startswith('tinygrad_scalar')])",
        installed,
    )
    assert loaded == "[]"


def test_without_hypothesis_the_extra_is_named():
    code = "import sys; sys.modules['hypothesis'] = None; import tinygrad_scalar.strategies"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'strategies need Hypothesis: pip install "tinygrad_scalar[hypothesis]"' in done.stderr


def test_annotations_are_enough():
    @settings(max_examples=10)
    @given(st.lists(st.from_type(Value), min_size=1, max_size=3))
    def holds(drawn):
        assert all(isinstance(v, Value) for v in drawn)

    import _tinygrad_scalar_hypothesis

    _tinygrad_scalar_hypothesis.register()
    holds()
