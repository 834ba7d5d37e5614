"""Batches of audio with the semantic tokens of the same frames."""
