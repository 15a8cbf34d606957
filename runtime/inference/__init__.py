"""The inference worker: one process that holds a base model and its adapters and completes prompts side by side.

__main__.py       the conversation with the server
llamacpp/         llama.cpp's server in the place of all that follows, where it was asked for
engine.py         from requests to replies: continuous batching
loading.py        the base and the adapters that are loaded
sequence.py       one completion
scheduling.py     which tokens of which sequences the next forward pass computes
kv_budget.py      the memory that KV caches may take
prefix_reuse.py   computing what prompts begin with in common once
passes.py         forward passes, and what is left of one that fails
base.py           a model in memory, and what belongs to it
ragged.py         several sequences in one forward pass
kv_cache.py       a sequence's keys and values
native/           the same in C, for CPUs with AVX512-BF16
paged/            the same on a GPU: in pages, with decoding passes as CUDA graphs
prefix_cache.py   KV caches of ended sequences, for prompts that begin with the same tokens
adapters.py       adapters beside each other on one base
sampling.py       from logits to a token
waiting.py        requests that have not started
grammars.py       what answers are held to, and the tokens that it lets come next
tools/            calls of tools, in the families' forms
schemas.py        JSON schemas as grammars, and what of them cannot be held
limits.py         what of a request is beyond a model, whichever engine computes
echo.py           a prompt that is said again, and how likely each of its tokens was
tokenizers.py     tokens of texts and texts of tokens, for who asks for no more
text.py           from a prompt to tokens, and from tokens to text
failures.py       what can fail, in words
watchdog.py       ends a process that hangs in a pass
"""
