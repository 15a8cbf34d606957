"""Endpoints under /api/training/data."""
