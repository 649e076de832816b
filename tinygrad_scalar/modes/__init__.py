"""Derivatives of functions: reverse, forward and Taylor mode, second order, recomputation."""
