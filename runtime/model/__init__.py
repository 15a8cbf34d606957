"""Models as the trainer, inference and export share them."""
