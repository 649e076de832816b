"""Hypothesis's entry point: `st.from_type(Value)` works with nothing but `Value` imported.

Every `import hypothesis` loads this module, so it stands outside the package and imports nothing.
Where the package is imported later, it calls `register` itself.
"""

import sys
from typing import Any


def register() -> None:
    """Tell Hypothesis how to draw a Value, if both are there."""
    package = sys.modules.get("tinygrad_scalar")
    if package is not None and hasattr(package, "Value"):
        from hypothesis.strategies import register_type_strategy

        register_type_strategy(package.Value, _values)


def _values(_: object) -> Any:
    from tinygrad_scalar.strategies import values

    return values()
