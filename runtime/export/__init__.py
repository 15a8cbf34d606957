"""Adapters for other programs: a merged model folder, or files of llama.cpp's. The work has a process of its own."""
