"""Evaluations: several models' answers to the same rows, their scores, and which model is better."""
