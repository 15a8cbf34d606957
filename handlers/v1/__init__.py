"""OpenAI's protocol, for every client that speaks it."""
