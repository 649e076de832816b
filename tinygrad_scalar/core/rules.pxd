# What Cython adds to rules.py: see hatch_build.py.
cimport cython
from tinygrad_scalar.core.value cimport Value


@cython.locals(parent=Value)
cpdef send_by_rules(Value node, double gradient, long long stamp)
