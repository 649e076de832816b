"""Second derivatives of a composition, exactly, and how far from them floats may end up.

A composition is a list of steps `(function, operands)`: an operand is the number of an earlier
value, inputs first, or a plain float. What is exact comes from the rules of second order for the
composition of functions, over the partials of each step in mpmath's numbers.
"""

import warnings

import mpmath
from mpmath import mpf

import tinygrad_scalar as ts

SMALLEST, LEAST = mpf(5e-324), mpf("1e-400")


def run(steps, inputs):
    """All values of a composition over any kind of number, inputs first."""
    values = list(inputs)
    for function, operands in steps:
        values.append(function(*(values[x] if isinstance(x, int) else x for x in operands)))
    return values


class Step:
    """One step at a point: its value, and the partials of first and second order."""

    def __init__(self, function, operands, values, moved):
        at = [values[x] if isinstance(x, int) else mpf(x) for x in operands]
        self.places = [k for k, x in enumerate(operands) if isinstance(x, int)]
        self.operands = [operands[k] for k in self.places]
        free = lambda *x: function(  # noqa: E731
            *(x[self.places.index(k)] if k in self.places else at[k] for k in range(len(at)))
        )
        point = [at[k] for k in self.places]
        self.value = moved(mpf(function(*at)))
        if self.value and not LEAST < abs(self.value) < 1 / LEAST:
            raise OverflowError("far beyond the range of floats: mpmath would take for ever")
        count = range(len(point))
        slopes = [ts.grad(free, argnums=i) for i in count]
        self.first = [mpf(slope(*point)) for slope in slopes]
        self.second = [
            [mpf(ts.grad(lambda *x, i=i: slopes[i](*x), argnums=j)(*point)) for j in count]
            for i in count
        ]


class Derivatives:
    """Value, gradient and Hessian of a composition in mpmath's numbers, and what may be lost.

    Of each entry, named by its place, () of the value, (i,) of the gradient, (i, j) of the Hessian:
    `right`, `terms`, the sum of the absolute terms that it is added up from, and `lost`, what is
    lost where products on the way are below the smallest float.
    """

    def __init__(self, steps, inputs, moved=None):
        """`moved` is the number of a value that is moved as if it were rounded."""
        n = range(len(inputs))
        values = [_moved(mpf(x), k == moved) for k, x in enumerate(inputs)]
        slopes = [[mpf(i == k) for i in n] for k in n]
        sizes = [[mpf(i == k) for i in n] for k in n]
        curves = [[[mpf(0) for _ in n] for _ in n] for _ in n]
        terms = [[[mpf(0) for _ in n] for _ in n] for _ in n]
        made = []
        for function, operands in steps:
            here = len(values) == moved
            step = Step(function, operands, values, lambda y, here=here: _moved(y, here))
            made.append(step)
            values.append(step.value)
            slopes.append([_first(step, slopes, i) for i in n])
            sizes.append([_first(step, sizes, i, abs) for i in n])
            curves.append([[_second(step, slopes, curves, i, j) for j in n] for i in n])
            terms.append([[_second(step, sizes, terms, i, j, abs) for j in n] for i in n])
        weights = _weights(made, len(inputs))
        self.values = values
        self.right, self.terms = {(): values[-1]}, {(): abs(values[-1])}
        self.lost = {(): SMALLEST}
        for i in n:
            self.right[i,], self.terms[i,] = slopes[-1][i], sizes[-1][i]
            self.lost[i,] = _lost(made, sizes, terms, weights, i, i)
            for j in n:
                self.right[i, j], self.terms[i, j] = curves[-1][i][j], terms[-1][i][j]
                self.lost[i, j] = _lost(made, sizes, terms, weights, i, j)


def _moved(y, here):
    # by an irrational part of it: what a float is a multiple of would be left where it is
    return y + max(abs(y) * mpmath.sqrt(2) * mpf(2) ** -52, SMALLEST) if here else y


def _first(step, slopes, i, size=lambda x: x):
    return sum((size(p) * slopes[k][i] for p, k in zip(step.first, step.operands, strict=True)))


def _second(step, slopes, curves, i, j, size=lambda x: x):
    places = range(len(step.operands))
    total = sum(size(step.first[a]) * curves[step.operands[a]][i][j] for a in places)
    for a in places:
        for b in places:
            u, v = step.operands[a], step.operands[b]
            total += size(step.second[a][b]) * slopes[u][i] * slopes[v][j]
    return total


def _weights(made, inputs):
    """How much each step counts in the result, all terms taken positive."""
    weights = [mpf(0)] * (inputs + len(made))
    weights[-1] = mpf(1)
    for k in range(len(made) - 1, -1, -1):
        for p, operand in zip(made[k].first, made[k].operands, strict=True):
            weights[operand] += abs(p) * weights[inputs + k]
    return weights[inputs:]


def _lost(made, sizes, terms, weights, i, j):
    """The smallest float times all that a product which is below it may be multiplied with."""
    total = mpf(0)
    inputs = len(sizes) - len(made)
    for k, (step, weight) in enumerate(zip(made, weights, strict=True)):
        if not weight:  # nothing of it reaches the result
            continue
        total += weight + terms[inputs + k][i][j] + sizes[inputs + k][i] + sizes[inputs + k][j]
        for a, u in enumerate(step.operands):
            for b, v in enumerate(step.operands):
                total += (1 + weight) * sizes[u][i] * sizes[v][j]
                total += (1 + weight) * abs(step.second[a][b]) * (sizes[u][i] + sizes[v][j])
    return 64 * SMALLEST * (1 + total)


def exactly(steps, inputs):
    """`Derivatives` of so many digits that 20 stay; None where mpmath finds something undefined."""
    before = None
    for digits in (40, 80, 160, 320, 640, 1280):
        with mpmath.workdps(digits), warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                now = Derivatives(steps, inputs)
            except (ArithmeticError, ValueError, TypeError, UserWarning):
                return None
            if before is not None and _settled(before, now):
                return now
            before = now
    return None


def _settled(before, now):
    return all(
        abs(old - new) <= mpf("1e-20") * abs(new) or max(abs(old), abs(new)) < mpf("1e-340")
        for old, new in zip(before.right.values(), now.right.values(), strict=True)
    )


def faithful(exact, values):
    """Whether the values in floats are finite, and none has become 0 that is none."""
    return all(
        abs(y) < 1.7e308 and (y != 0 or x == 0) for x, y in zip(exact.values, values, strict=True)
    )


def is_right(number, places, steps, inputs, exact, part):
    """Whether a number is the sum of factors times entries, by place, as nearly as floats can be.

    It may be off by a part of the terms that are added up, by what is lost, and by 16 times what
    the rounding of the values on the way changes.
    """
    error = abs(mpf(number) - sum(factor * exact.right[place] for factor, place in places))
    for factor, place in places:
        error -= abs(factor) * (part * exact.terms[place] + exact.lost[place])
    for k in range(len(exact.values) if error > 0 else 0):
        with mpmath.workdps(320):
            try:
                moved = Derivatives(steps, inputs, moved=k).right
            except (ArithmeticError, ValueError):
                return True  # a value next to it, as good as it, has no derivative
        for factor, place in places:
            error -= 16 * abs(factor * (moved[place] - exact.right[place]))
    return error <= 0
