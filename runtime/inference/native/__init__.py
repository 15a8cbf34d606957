"""Whole passes in C, on CPUs: over the NF4 weights as bitsandbytes has them in memory, without torch between.

`kernels/` is compiled on first use with the machine's own C compiler, for the best of the `instructions` that its CPU
has (`library`). `description` tells the kernels of a model of Llama's kind, `runner` computes passes with them, and
leaves to `ragged` what they cannot compute.
"""
