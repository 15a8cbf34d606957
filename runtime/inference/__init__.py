"""The inference worker: one process that holds a base model and its adapters and completes prompts side by side.

__main__.py       the conversation with the server
engine.py         which sequences are computed: continuous batching
sequence.py       one completion
base.py           the model in memory, and what belongs to it
ragged.py         several sequences in one forward pass
kv_cache.py       a sequence's keys and values
prefix_cache.py   those of sequences that have ended, for others that begin alike
adapters.py       adapters beside each other on one base
sampling.py       from logits to a token
text.py           from a prompt to tokens, and from tokens to text
failures.py       what can fail, in words
watchdog.py       ends a process that hangs in a pass
"""
