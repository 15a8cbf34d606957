"""Files to train on, in OpenAI's protocol."""
