"""Scores of answers, by the graders of OpenAI's fine-tuning API."""
