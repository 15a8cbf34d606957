"""Whole passes in C, for CPUs with AVX512-BF16: the same NF4 weights as bitsandbytes packs them, without torch between.

`kernels/` is compiled on first use with the machine's own C compiler (`library`). `description` tells the kernels of a
model of Llama's kind, `runner` computes passes with them, and leaves to `ragged` what they cannot compute.
"""
