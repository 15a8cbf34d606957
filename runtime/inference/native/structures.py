"""The structures of kernels/pass.c and matrix.h, field for field."""

import ctypes as c

SLOTS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
NF4, DENSE = 1, 2
ACTIVATIONS = {"silu": 0, "gelu_pytorch_tanh": 1}


class Matrix(c.Structure):
    _fields_ = (
        ("kind", c.c_int32),
        ("outputs", c.c_int32),
        ("inputs", c.c_int32),
        ("scale_stride", c.c_int32),
        ("weight", c.c_void_p),
        ("scales", c.c_void_p),
        ("bias", c.c_void_p),
        ("values", c.c_void_p),
        ("factors", c.c_void_p),
        ("offset", c.c_float),
        ("first_block", c.c_int32),
    )


class Layer(c.Structure):
    _fields_ = (
        ("before_attention", c.c_void_p),
        ("after_attention", c.c_void_p),
        ("before_mlp", c.c_void_p),
        ("after_mlp", c.c_void_p),
        ("query_norm", c.c_void_p),
        ("key_norm", c.c_void_p),
        ("matrices", Matrix * len(SLOTS)),
        ("window", c.c_int32),
        ("rope", c.c_int32),
    )


class Model(c.Structure):
    _fields_ = (
        ("layers", c.c_int32),
        ("hidden", c.c_int32),
        ("heads", c.c_int32),
        ("key_heads", c.c_int32),
        ("width", c.c_int32),
        ("rotated", c.c_int32),
        ("inner", c.c_int32),
        ("activation", c.c_int32),
        ("eps", c.c_float),
        ("scale", c.c_float),
        ("softcap", c.c_float),
        ("layer", c.POINTER(Layer)),
        ("last_norm", c.c_void_p),
        ("head", Matrix),
    )


class Lora(c.Structure):
    _fields_ = (("a", c.c_void_p), ("b", c.c_void_p), ("rank", c.c_int32), ("stride", c.c_int32))


class Span(c.Structure):
    _fields_ = (
        ("first", c.c_int32),
        ("end", c.c_int32),
        ("first_kept", c.c_int32),
        ("end_kept", c.c_int32),
        ("lora", c.POINTER(Lora)),
    )


class Chunk(c.Structure):
    _fields_ = (
        ("row", c.c_int32),
        ("tokens", c.c_int32),
        ("start", c.c_int32),
        ("capacity", c.c_int32),
        ("cache", c.c_void_p),
    )


class Pass(c.Structure):
    _fields_ = (
        ("rows", c.c_int32),
        ("chunks", c.c_int32),
        ("spans", c.c_int32),
        ("kept", c.c_int32),
        ("residual", c.c_void_p),
        ("cos", c.c_void_p * 2),
        ("sin", c.c_void_p * 2),
        ("chunk", c.POINTER(Chunk)),
        ("span", c.POINTER(Span)),
        ("kept_rows", c.c_void_p),
        ("logits", c.c_void_p),
        ("scratch", c.c_void_p),
    )
