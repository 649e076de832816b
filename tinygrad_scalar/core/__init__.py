"""The engine: rows, the node that remembers, and Algorithm 6.2."""
