"""A wrong rule must be caught: each partial of each row is spoilt, and the test must fail.

What stands in `EQUIVALENT` is no fault: there the spoilt rule says the same as the right one.
"""

import pytest
from hypothesis import Phase, given, settings
from table_reference import check_partials, points

from tinygrad_scalar import UndefinedGradientWarning
from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.primitives import TABLE

FIRST_OPERANDS = 2  # of the rows of any number of operands


def negated(partial):
    return -partial


def scaled(partial):
    return 1.001 * partial


def shifted(partial):
    return partial + 0.001


EQUIVALENT = {
    # Partials of a sum are equal, so that exchanging them changes nothing.
    ("add", "exchanged"),
    ("sum", "exchanged"),
    ("mean", "exchanged"),
    # The partials of these are 0, whatever their sign, size or place.
    *(
        (f"{name} by operand {i}", change)
        for name, count in {
            "sign": 1,
            "step": 1,
            "floor": 1,
            "ceil": 1,
            "trunc": 1,
            "round": 1,
            "round_to": 2,
            "floordiv": 2,
            "polygamma": 1,
            "where": 1,
        }.items()
        for i in range(count)
        for change in ("negated", "scaled")
    ),
    *(("copysign by operand 1", change) for change in ("negated", "scaled")),
    ("round_to", "exchanged"),
    ("floordiv", "exchanged"),
}


def with_partials(row, change):
    """The row with other partials, `change(partials)`, each of them a function."""

    def as_function(rule):
        return rule if callable(rule) else lambda y, *x: rule

    if row.arity is None:
        (all_at_once,) = row.partials
        partials = [lambda y, *x: change(list(all_at_once(y, *x)))]
    else:
        partials = change([as_function(rule) for rule in row.partials])
    return Primitive(
        row.name,
        row.forward,
        partials,
        arity=row.arity,
        domain=row.domain if row.arity is not None else None,
        kinks=row.kinks,
        subgradient=row.subgradient,
        mpmath=row.mpmath,
    )


def spoilt_at(i, spoil):
    """Spoil partial i, be it a number, a Value or a function."""

    def change(partials):
        right = partials[i] if i < len(partials) else None
        if right is None:
            return partials
        wrong = (lambda y, *x: spoil(right(y, *x))) if callable(right) else spoil(right)
        return [*partials[:i], wrong, *partials[i + 1 :]]

    return change


def mutants():
    for row in TABLE.values():
        for i in range(row.arity or FIRST_OPERANDS):
            for spoil in (negated, scaled, shifted):
                yield row, f"{row.name} by operand {i}", spoil.__name__, spoilt_at(i, spoil)
        if row.arity != 1:
            yield row, row.name, "exchanged", lambda partials: partials[::-1]


MUTANTS = [pytest.param(*mutant, id=f"{mutant[1]}, {mutant[2]}") for mutant in mutants()]


def survives(row):
    """Whether the test of the table finds nothing wrong with a row."""

    @settings(max_examples=20, phases=[Phase.generate], database=None, report_multiple_bugs=False)
    @given(points(row))
    def holds(point):
        check_partials(row, point)

    try:
        holds()
    except (AssertionError, UndefinedGradientWarning):
        return False
    return True


@pytest.mark.parametrize(("row", "where", "how", "change"), MUTANTS)
def test_no_spoilt_partial_survives(row, where, how, change):
    assert survives(with_partials(row, change)) == ((where, how) in EQUIVALENT)


@pytest.mark.parametrize("name", ["sin", "abs", "log", "mul", "where", "polygamma", "sum"])
def test_a_row_that_is_only_rebuilt_survives(name):
    assert survives(with_partials(TABLE[name], lambda partials: partials))
