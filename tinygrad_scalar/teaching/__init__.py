"""What is counted and shown rather than computed: operation counts, the sum over paths."""
