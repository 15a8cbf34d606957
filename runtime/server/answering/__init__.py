"""Who answers a prompt, and the inference worker that does the work."""
