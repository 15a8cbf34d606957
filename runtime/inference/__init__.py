"""The inference worker: one process that holds a base model and an adapter and completes prompts.

__main__.py    the conversation with the server
engine.py      what is in memory: which base, which adapter
adapter.py     an adapter's files, checked; an adapter in a base, and out of it again
completion.py  from a prompt to a text
"""
