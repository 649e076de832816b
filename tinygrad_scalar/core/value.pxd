# What Cython adds to value.py: see hatch_build.py.
cimport cython
from tinygrad_scalar.core.recorded cimport Recorded


cdef object _ADD, _SUB, _MUL, _DIV, _POW, _NEG, _RELU


cdef class Value(Recorded):
    pass


cdef Value _blank()
@cython.locals(node=Value)
cdef Value _node(object primitive, object data, Value a, Value b, object x, object y)
@cython.locals(node=Value)
cpdef object _unary(object primitive, Value operand)
