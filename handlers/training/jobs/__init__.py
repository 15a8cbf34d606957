"""Endpoints under /api/training/jobs."""
