"""Adapters: their names, those that come from elsewhere, and those that go elsewhere."""
