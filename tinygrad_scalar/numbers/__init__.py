"""What computes numbers alone: the kinds that are carried, and the functions that `math` lacks."""
