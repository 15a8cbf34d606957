"""Data sets: what they are for a model."""
