# What Cython adds to sweep.py: see hatch_build.py.
cimport cython
from cpython cimport array
from tinygrad_scalar.core.rules cimport send_by_rules
from tinygrad_scalar.core.value cimport Value, add_to_grad, is_value, keeps_grad, set_grad


cdef extern from "<fenv.h>":
    int FE_UNDERFLOW
    int fetestexcept(int)


cdef bint _COMPILED
cdef long _found_up
cdef object _ADD, _SUB, _MUL, _DIV, _NEG, _POW
@cython.locals(node=Value, a=Value, b=Value, path=list)
cpdef parents_first(Value output, long long stamp, list inner, list leaves)
@cython.locals(parent=Value)
cdef Value _next_inner(object parents, long long stamp, list leaves)
@cython.locals(node=Value, a=Value, b=Value, gradient=double, to_a=double, to_b=double, y=double, i=Py_ssize_t, gradients=array.array)
cpdef array.array fire(Value output, double seed, list order, long long stamp)
@cython.locals(node=Value, i=Py_ssize_t, gradients=array.array)
cdef array.array received(list nodes, long long stamp)
@cython.locals(leaf=Value)
cdef strange(list leaves, long long started)
@cython.locals(leaf=Value)
cpdef let_out(leaves)
@cython.locals(node=Value, i=Py_ssize_t)
cdef _settle_doubles(list inner, array.array gradients, list leaves, array.array below)
