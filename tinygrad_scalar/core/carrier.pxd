# What Cython adds to carrier.py: see hatch_build.py.
cdef class Carrier:
    pass
