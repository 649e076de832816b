# The storage of the compiled node; see value.py for the meaning of each slot.
from cpython.ref cimport PyObject
from tinygrad_scalar.core.recorded cimport Recorded


cdef class Beside:
    """What few nodes have; each is None where there is none."""
    cdef object data, grad  # what stands in place of the floats
    cdef object tracker, rest


cdef class Value(Recorded):
    cdef public double _result  # of a leaf, its float
    cdef public double _x, _y, _sent
    cdef double _gradient
    cdef public long long _sweep, _made
    cdef public Value _a, _b
    cdef public object primitive, _provenance
    cdef Beside _beside
    cdef PyObject* _own  # the dict of a program's own attributes, made when the first is set
    cdef object __weakref__


cdef inline bint float_grad(Value node):
    """Whether `grad` is a float."""
    return node._beside is None or node._beside.grad is None


cdef inline bint is_value(Value node):
    """Whether it is of no subclass, which may have a `grad` of its own."""
    return type(node) is Value


cdef inline bint keeps_grad(Value node):
    """Whether `grad` is a float that is read and written here."""
    return is_value(node) and float_grad(node)


cdef inline void set_grad(Value node, double gradient):
    """Set a `grad` to a float."""
    node._gradient = gradient
    if node._beside is not None:
        node._beside.grad = None


cdef inline void add_to_grad(Value node, double gradient):
    """Add to a `grad` that is a float."""
    node._gradient += gradient
