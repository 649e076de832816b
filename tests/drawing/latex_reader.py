"""A reader of the LaTeX of arithmetic, independent of the writer: braces decide, as in TeX."""

import math
import re

SYMBOL = re.compile(r"\\left\(|\\right\)|\\[a-z]+|\d+(?:\.\d+)?|[A-Za-z]|[{}^_+\-=()]")
FUNCTIONS = {r"\sin": math.sin, r"\cos": math.cos, r"\sqrt": math.sqrt, r"\log": math.log}


class Reader:
    """Evaluates one expression: sums of products of powers, read from left to right."""

    def __init__(self, text, names):
        self.symbols = SYMBOL.findall(text)
        assert "".join(self.symbols) == text.replace(" ", "")
        self.names = names

    def peek(self):
        return self.symbols[0] if self.symbols else ""

    def take(self, expected=None):
        symbol = self.symbols.pop(0)
        assert expected in (None, symbol), (expected, symbol)
        return symbol

    def sum(self):
        negative = self.peek() == "-" and bool(self.take())
        value = -self.product() if negative else self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self):
        value = self.power()
        while self.peek() == r"\cdot":
            self.take()
            value = value * self.power()
        return value

    def power(self):
        base = self.atom()
        if self.peek() != "^":
            return base
        self.take()
        return base ** self.atom()

    def group(self, opening, closing):
        self.take(opening)
        value = self.sum()
        self.take(closing)
        return value

    def atom(self):
        symbol = self.peek()
        if symbol == "{":
            return self.group("{", "}")
        if symbol == r"\left(":
            return self.group(symbol, r"\right)")
        self.take()
        if symbol == r"\frac":
            top = self.group("{", "}")
            return top / self.group("{", "}")
        if symbol in FUNCTIONS:
            return FUNCTIONS[symbol](self.atom())
        if symbol[0].isdigit():
            return float(symbol)
        if self.peek() == "_":
            self.take()
            self.take("{")
            symbol = f"{symbol}_{self.take()}"
            self.take("}")
        return self.names[symbol]


def evaluate_latex(text, names):
    """The value of what `to_latex` wrote, given the values of the leaves."""
    names = dict(names)
    body = text.replace(r"\begin{aligned}", "").replace(r"\end{aligned}", "").replace("&", "")
    for line in body.strip().split(r"\\"):
        left, equals, right = line.strip().rpartition(" = ")
        value = Reader(right, names).sum()
        if equals:
            names[re.sub("[{}]", "", left).strip()] = value
    return value
