# What Cython adds to arithmetic.py: see hatch_build.py.
from tinygrad_scalar.core.carrier cimport Carrier


cdef class Arithmetic(Carrier):
    pass
