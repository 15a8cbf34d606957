"""Endpoints under /api/adapters."""
