"""What lives while a process lives. The folder says which process its code runs in.

server/      the server: jobs, adapters, answering. Never torch; it is up before torch could be imported
trainer/     `python -m runtime.trainer`: one job
inference/   `python -m runtime.inference`: one base with its adapters, and the sequences that they complete
export/      `python -m runtime.export`: one export

What they share:

messages/    what the server and the others say to each other
model/       a base model, its quantized copy, an adapter's files, the device: all with torch
process/     what a process does before anything else: the machine that it finds, cores and memory, quiet libraries

The trainer, inference and export know nothing of each other, nor of the server; nobody here speaks HTTP.
"""
