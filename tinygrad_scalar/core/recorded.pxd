# What Cython adds to recorded.py: see hatch_build.py.
cimport cython
from tinygrad_scalar.core.arithmetic cimport Arithmetic


@cython.trashcan(True)  # heeded by the subclass: long chains of Values go without recursion
cdef class Recorded(Arithmetic):
    cdef public object data, grad, primitive, _a, _b, _x, _y, _provenance, _sweep, _sent
    cdef object __weakref__
