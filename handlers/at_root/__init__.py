"""What vLLM serves beside /v1, at the root: its tokenizer endpoints, which clients look for there."""
