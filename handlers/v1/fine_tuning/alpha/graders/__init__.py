"""Endpoints under /v1/fine_tuning/alpha/graders."""
