"""llama.cpp's server in the place of the embedded engine, for who asks for it (`--engine llama.cpp`).

engine.py      from requests to replies, in the words of runtime/messages/inference.py
described.py   a base's tokenizer and its sizes, without its weights
conversion.py  bases and adapters as GGUF files, made once
server.py      one llama-server: a base and the adapters that it was started with
wording.py     a request in llama-server's words, and which requests it has no words for
call.py        one request that llama-server answers
completion.py  what comes back, as a completion

Prompts are rendered and tokenized here, as for the embedded engine; llama-server gets tokens. Nothing imports torch.
"""
