# What Cython adds to passes.py: see hatch_build.py.
cimport cython
from tinygrad_scalar.core.value cimport Value


cdef object _ADD, _SUB, _MUL, _DIV, _NEG, _POW
@cython.locals(node=Value, a=Value, b=Value, parent=Value, path=list, branches=list, place=Py_ssize_t)
cpdef parents_first(Value output, long long stamp, list inner, list leaves)
@cython.locals(parent=Value)
cdef Value _next_inner(object parents, long long stamp, list leaves)
@cython.locals(node=Value, a=Value, b=Value, gradient=double, to_a=double, to_b=double, y=double, gradients=list)
cpdef list fire(Value output, double seed, list order, long long stamp)
@cython.locals(parent=Value)
cpdef _send_by_rules(Value node, double gradient, long long stamp)
@cython.locals(node=Value)
cpdef list received(nodes, long long stamp)
@cython.locals(leaf=Value)
cpdef strange(leaves, started)
@cython.locals(leaf=Value)
cpdef let_out(leaves)
@cython.locals(node=Value)
cpdef write(nodes, numbers)
@cython.locals(node=Value, i=Py_ssize_t)
cpdef settle(list inner, list gradients, list leaves, list below)
