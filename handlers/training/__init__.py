"""Endpoints under /api/training."""
