"""OpenAI's fine-tuning API: training jobs, as its clients see them."""
