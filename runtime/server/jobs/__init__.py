"""Jobs: from a request to a trainer, and to the end of it."""
