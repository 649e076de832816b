# What Cython adds to recorded.py: see hatch_build.py.
from tinygrad_scalar.core.arithmetic cimport Arithmetic


cdef class Recorded(Arithmetic):
    pass
