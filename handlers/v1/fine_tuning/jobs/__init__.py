"""Training jobs in OpenAI's protocol."""
