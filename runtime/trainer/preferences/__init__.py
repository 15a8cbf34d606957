"""Training on preferences: Direct Preference Optimization (Rafailov et al. 2023, https://arxiv.org/abs/2305.18290).

A row is a pair of documents, a chosen and a rejected answer behind the same prompt. The loss depends on how much more
likely each has become than it was to the reference: the model that the training begins with. That is never a second
model, and what it gives every answer is computed once, before the first step.
"""
