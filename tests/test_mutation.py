"""A test of the tests: a row whose derivative is spoilt must not pass `check_primitive`.

Every partial of every row is spoilt in every way below; what passes all the same is a survivor, and
there may be none.
"""

import pytest

from tinygrad_scalar.core.primitive import Primitive
from tinygrad_scalar.core.primitives import TABLE
from tinygrad_scalar.testing import GradientError, check_primitive

ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)


def with_partials(row, partials):
    """The row with other partials and nothing else changed."""
    return Primitive(
        row.name,
        row.forward,
        tuple(partials),
        arity=row.arity,
        domain=row.domain,
        kinks=row.kinks,
        subgradient=row.subgradient,
        limit=row.limit,
        mpmath=row.mpmath,
        defaults=row.defaults,
        whole=row.whole,
    )


def changed(rule, change):
    """A partial, constant or not, with `change` made to what it gives."""
    return (lambda *x: change(rule(*x))) if callable(rule) else change(rule)


def opposite(partial):
    return -partial


def a_thousandth_more(partial):
    return partial * 1.001


def no_longer_zero(partial):
    return partial + 0.001


def mutants(row):
    """Pairs of what was done and the spoilt row."""
    if row.arity is None:
        yield from mutants_of_many(row)
        return
    for i, rule in enumerate(row.partials):
        # the sign and size of a zero cannot be spoilt, only that it is one
        ways = (opposite, a_thousandth_more) if callable(rule) or rule else (no_longer_zero,)
        for way in ways:
            partials = list(row.partials)
            partials[i] = changed(rule, way)
            yield f"partial {i} {way.__name__}", with_partials(row, partials)
    for i in range(1, len(row.partials)):
        first, *rest = row.partials
        if rest[i - 1] != first:  # add's two partials are the same number
            rest[i - 1], first = first, rest[i - 1]
            yield f"partials 0 and {i} exchanged", with_partials(row, [first, *rest])


def mutants_of_many(row):
    (rule,) = row.partials

    def spoilt(position, way):
        def partials(y, *x):
            found = list(rule(y, *x))
            found[position] = way(found[position])
            return found

        return with_partials(row, [partials])

    def reversed_partials(y, *x):
        return list(rule(y, *x))[::-1]

    for position in (0, -1):
        for way in (opposite, a_thousandth_more):
            yield f"partial {position} {way.__name__}", spoilt(position, way)
    if row.name not in ("sum", "mean"):  # whose partials are all equal
        yield "partials in reverse", with_partials(row, [reversed_partials])


@ROWS
def test_the_table_passes(row):
    check_primitive(row)


def test_no_mutant_survives():
    survivors, count = [], 0
    for row in TABLE.values():
        for what, mutant in mutants(row):
            count += 1
            try:
                check_primitive(mutant)
            except GradientError:
                continue
            survivors.append(f"{row.name}: {what}")
    assert not survivors
    assert count > 2 * len(TABLE)  # the loop did loop


@pytest.mark.parametrize("name", ["abs", "relu", "maximum", "minimum", "clip", "hypot"])
def test_a_wrong_subgradient_does_not_survive(name):
    """A number outside the slopes on both sides of the kink, or wrong along the ridge."""
    row = TABLE[name]
    spoilt = with_partials(row, row.partials)
    spoilt.subgradient = (row.subgradient[0] + 1.5, *row.subgradient[1:])
    with pytest.raises(GradientError, match=r"subgradient|kink"):
        check_primitive(spoilt)
