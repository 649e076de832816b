# What Cython adds to sweep.py: see hatch_build.py.
cimport cython
from tinygrad_scalar.core.value cimport Value


@cython.locals(node=Value, a=Value, b=Value, parent=Value, path=list, branches=list)
cpdef _parents_first(Value output, object stamp, list inner, list leaves)
@cython.locals(node=Value, a=Value, b=Value)
cpdef list _fire(Value output, object seed, list order, object stamp)
@cython.locals(parent=Value)
cpdef _fire_many(Value node, object gradient, object stamp)
