"""Quantization: codebooks, their residual stack, and the assignment of semantic tokens."""
