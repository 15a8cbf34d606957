"""How the bundled base model came to be."""
