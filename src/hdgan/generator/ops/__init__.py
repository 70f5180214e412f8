"""The generator's tensor operations: a plain reference and a fast path each."""
