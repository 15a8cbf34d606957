"""The main job of Lathe, end to end, on the bundled base model."""
