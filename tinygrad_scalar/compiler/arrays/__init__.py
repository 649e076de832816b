"""The engine that runs a program on whole arrays, of NumPy and its like."""
