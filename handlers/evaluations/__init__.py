"""Endpoints under /api/evaluations."""
