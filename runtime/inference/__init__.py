"""The inference worker: one process that holds a base model and its adapters and completes prompts side by side.

__main__.py    the conversation with the server
engine.py      what is in memory, and what runs: continuous batching
ragged.py      several sequences in one forward pass
adapter.py     an adapter's files, checked in words
adapters.py    adapters beside each other on one base
sampling.py    from logits to a token
text.py        from a prompt to tokens, and from tokens to text
"""
