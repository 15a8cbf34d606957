"""Keys and values in pages of one pool, as a GPU has them; and decoding passes that are recorded once and replayed.

Never run on a GPU: what the tests run on a CPU is the same code, with torch's flash kernel and CUDA's graphs replaced.

runner.py             from chunks to logits, and whether a model can be computed like this
pool.py               the pages, who has which, and the KV cache of one sequence
attention.py          attention to keys in pages
decoding_graphs.py    decoding passes as CUDA graphs
"""
