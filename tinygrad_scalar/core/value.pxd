# The storage of the compiled node; see value.py for the meaning of each slot.
from tinygrad_scalar.core.recorded cimport Recorded


cdef class Value(Recorded):
    cdef double _float, _gradient  # data and grad, unless these two hold something else
    cdef object _other_data, _other_grad
    cdef public double _result, _x, _y, _sent
    cdef public long long _sweep
    cdef public Value _a, _b
    cdef public object primitive, _rest, _made, _tracker, _provenance
    cdef dict _own  # a program's own attributes, if any
    cdef object __weakref__
    cdef int _take(self, object gradient) except -1  # as setting `grad`, in C
    cdef int _add(self, double gradient) except -1  # the same, added to
    cdef dict _owned(self)
