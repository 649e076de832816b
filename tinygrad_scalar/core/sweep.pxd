# What Cython adds to sweep.py: see hatch_build.py.
cimport cython
from tinygrad_scalar.core.value cimport Value


@cython.locals(node=Value, a=Value, b=Value, parent=Value, consumers=Py_ssize_t, reached=list, saved=list)
cpdef tuple _count(Value output, bint save_all)
@cython.locals(node=Value, a=Value, b=Value, consumers=Py_ssize_t, order=list)
cpdef list _fire(Value output, object seed)
@cython.locals(parent=Value, consumers=Py_ssize_t)
cpdef _fire_many(Value node, object gradient, list order)
