"""What the kernels are told of a model: where its weights lie, and how its layers compute.

Only architectures that are known are described, one branch for each way in which they differ; whatever else a class
does would be left out in silence. A trial compares the result all the same.
"""

import ctypes as c
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from torch import nn
from transformers import PreTrainedModel

from runtime.inference.native.instructions import InstructionSet
from runtime.inference.native.low_rank import Place
from runtime.inference.native.structures import ACTIVATIONS, DENSE, NF4, SLOTS, Layer, Matrix, Model

SCALED_BY_ONE_MORE = frozenset({"gemma", "gemma2", "gemma3_text"})
"""Norms whose weight w counts as 1 + w."""
ARCHITECTURES = frozenset({"llama", "mistral", "qwen2", "qwen3", "phi3"}) | SCALED_BY_ONE_MORE
FIXED_ROPE = frozenset({"default", "linear", "llama3", "yarn", "proportional"})
"""Rotations that depend on a token's position alone, not on how long its sequence is."""
TILE, BLOCK, SCALES_BLOCK, MOST_WIDTH = 32, 64, 256, 256


class Description:
    """`model` for the kernels, and the tensors that it points to. Raises NotImplementedError for other models."""

    def __init__(self, model: PreTrainedModel, instructions: InstructionSet) -> None:
        config: Any = model.config
        self.dtype: torch.dtype = getattr(torch, instructions.dtype)
        self._is_packed = instructions.packs
        if config.model_type not in ARCHITECTURES:
            raise NotImplementedError(f"{config.model_type} is not known to the kernels")
        if model.dtype != self.dtype or model.device.type != "cpu":
            raise NotImplementedError(f"the kernels of this CPU compute in {instructions.dtype}")
        self._kept: list[torch.Tensor] = []
        self._names = {id(module): name for name, module in model.named_modules()}
        self.places: list[Place] = []
        """Of the kernels' matrices in their order; one that no adapter may change has no name."""
        self._adds_one = config.model_type in SCALED_BY_ONE_MORE
        self.decoder: Any = model.get_decoder()
        self.ropes = _ropes(config)
        """The layer types whose rotations differ, or None for all."""
        layers = [self._layer(layer, config) for layer in self.decoder.layers]
        first: Any = self.decoder.layers[0].self_attn
        self._layers = (Layer * len(layers))(*layers)
        self.key_heads, self.width = config.num_key_value_heads, first.head_dim
        cos, _ = self.rotations(torch.zeros(1, 1, config.hidden_size), torch.zeros(1, 1, dtype=torch.long))[0]
        head: Any = model.get_output_embeddings()
        self.model = Model(
            layers=len(layers),
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            key_heads=self.key_heads,
            width=self.width,
            rotated=cos.shape[-1],
            inner=config.intermediate_size,
            activation=_activation(self.decoder.layers[0].mlp),
            eps=config.rms_norm_eps,
            scale=first.scaling,
            softcap=getattr(first, "attn_logit_softcapping", None) or 0.0,
            layer=c.cast(self._layers, c.POINTER(Layer)),
            last_norm=self._norm(self.decoder.norm),
            head=self._matrix(head, 0, head.out_features),
        )
        _check(self.model)

    def rotations(
        self, hidden_1TE: torch.Tensor, positions_1T: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Cosines and sines [T, D] for each of `ropes`, rounded as the model itself rounds them."""
        hidden_1TE = hidden_1TE.to(self.dtype)
        found = [
            self.decoder.rotary_emb(hidden_1TE, positions_1T, *([] if rope is None else [rope])) for rope in self.ropes
        ]
        return [(cos[0].float().contiguous(), sin[0].float().contiguous()) for cos, sin in found]

    def _layer(self, layer: Any, config: Any) -> Layer:  # noqa: ANN401
        attention = layer.self_attn
        has_four = hasattr(layer, "pre_feedforward_layernorm")
        of_all = getattr(config, "sliding_window", None)
        window = getattr(attention, "sliding_window", of_all)  # some models have layers that see everything
        return Layer(
            before_attention=self._norm(layer.input_layernorm),
            after_attention=self._norm(layer.post_attention_layernorm) if has_four else None,
            before_mlp=self._norm(layer.pre_feedforward_layernorm if has_four else layer.post_attention_layernorm),
            after_mlp=self._norm(layer.post_feedforward_layernorm) if has_four else None,
            query_norm=self._norm(attention.q_norm) if hasattr(attention, "q_norm") else None,
            key_norm=self._norm(attention.k_norm) if hasattr(attention, "k_norm") else None,
            matrices=(Matrix * len(SLOTS))(*self._matrices(attention, layer.mlp, config)),
            window=window or 0,
            rope=self.ropes.index(attention.layer_type) if len(self.ropes) > 1 else 0,
        )

    def _matrices(self, attention: Any, mlp: Any, config: Any) -> list[Matrix]:  # noqa: ANN401
        queries, keys = (
            heads * attention.head_dim for heads in (config.num_attention_heads, config.num_key_value_heads)
        )
        if hasattr(attention, "qkv_proj"):
            both, fused, inner = attention.qkv_proj, mlp.gate_up_proj, config.intermediate_size
            parts = [(both, 0, queries), (both, queries, queries + keys), (both, queries + keys, queries + 2 * keys)]
            wide = [(fused, 0, inner), (fused, inner, 2 * inner)]
        else:
            parts = [(layer, 0, layer.out_features) for layer in (attention.q_proj, attention.k_proj, attention.v_proj)]
            wide = [(layer, 0, layer.out_features) for layer in (mlp.gate_proj, mlp.up_proj)]
        narrow = [(layer, 0, layer.out_features) for layer in (attention.o_proj, mlp.down_proj)]
        return [self._matrix(*part) for part in (*parts, narrow[0], *wide, narrow[1])]

    def _norm(self, norm: Any) -> int:  # noqa: ANN401
        weight = norm.weight.detach().float()
        return self._keep(weight + 1 if self._adds_one else weight)

    def _matrix(self, layer: nn.Module, first: int, end: int) -> Matrix:
        """Some of a linear layer's outputs."""
        is_whole = (end - first) % TILE == 0  # else the kernels would read beyond the end of an adapter's rows
        self.places.append(Place(self._names[id(layer)] if is_whole else "", first))
        if not isinstance(layer, nn.Linear):
            raise NotImplementedError(f"{type(layer).__name__} is no linear layer")
        bias = None if layer.bias is None else self._keep(_padded(layer.bias.detach().float()[first:end]))
        if isinstance(layer, Linear4bit):
            if first % TILE:
                raise NotImplementedError("parts of a layer do not begin with a tile")
            return self._quantized(layer, first, end, bias)
        dense = layer.weight.detach()
        if dense.dtype != self.dtype or not dense.is_contiguous():
            raise NotImplementedError(f"weights of {dense.dtype}")
        self._kept.append(dense)
        start = dense.data_ptr() + first * layer.in_features * dense.element_size()
        return Matrix(kind=DENSE, outputs=end - first, inputs=layer.in_features, weight=start, bias=bias)

    def _quantized(self, layer: Linear4bit, first: int, end: int, bias: int | None) -> Matrix:
        weight: Any = layer.weight
        state = weight.quant_state
        is_packed = getattr(state, "packing_format_for_cpu", False)
        if is_packed != self._is_packed or state.quant_type != "nf4" or state.blocksize != BLOCK:
            raise NotImplementedError("its weights are not packed as the kernels read them")
        matrix = Matrix(
            kind=NF4,
            outputs=end - first,
            inputs=layer.in_features,
            weight=self._keep(weight.data) + first * layer.in_features // 2,
            bias=bias,
        )
        scales = self._keep(state.absmax)
        if is_packed:
            matrix.scale_stride = layer.out_features
            matrix.scales = scales + first * state.absmax.element_size()
            return matrix
        if not state.nested or state.state2.blocksize != SCALES_BLOCK:
            raise NotImplementedError("its scales are not quantized as the kernels read them")
        matrix.first_block = first * layer.in_features // BLOCK
        matrix.scales = scales + matrix.first_block
        matrix.values, matrix.factors = self._keep(state.state2.code.float()), self._keep(state.state2.absmax.float())
        matrix.offset = float(state.offset)
        return matrix

    def _keep(self, tensor: torch.Tensor) -> int:
        """The address of a tensor that stays as long as this does."""
        self._kept.append(tensor.contiguous())
        return self._kept[-1].data_ptr()


def _padded(bias_O: torch.Tensor) -> torch.Tensor:
    """To whole tiles."""
    return nn.functional.pad(bias_O, (0, -len(bias_O) % TILE))


def _ropes(config: Any) -> list[str | None]:  # noqa: ANN401
    """Raises NotImplementedError for rotations that change with a sequence's length."""
    settings = config.rope_parameters
    by_type = {name: own for name, own in settings.items() if isinstance(own, dict) and "rope_type" in own}
    for own in by_type.values() or [settings]:
        if own.get("rope_type", "default") not in FIXED_ROPE:
            raise NotImplementedError(f"rotations of type {own['rope_type']} change with a sequence's length")
    return sorted(by_type.keys() & set(config.layer_types)) if by_type else [None]


def _activation(mlp: Any) -> int:  # noqa: ANN401
    config = mlp.config
    name: str = getattr(config, "hidden_activation", None) or config.hidden_act
    if name not in ACTIVATIONS:
        raise NotImplementedError(f"activation {name}")
    return ACTIVATIONS[name]


def _check(model: Model) -> None:
    """Raise NotImplementedError for shapes that the kernels' tiles do not fit."""
    layers = [model.layer[number] for number in range(model.layers)]
    matrices = [layer.matrices[slot] for layer in layers for slot in range(len(SLOTS))]
    if any(matrix.outputs % TILE for matrix in matrices) or any(m.inputs % BLOCK for m in [*matrices, model.head]):
        raise NotImplementedError("its layers are not made of whole tiles")
    if model.width % TILE or model.width > MOST_WIDTH or model.rotated % 2 or model.rotated > model.width:
        raise NotImplementedError(f"heads of {model.width}")
    queries, keys = model.heads * model.width, model.key_heads * model.width
    widths = (queries, keys, keys, model.hidden, model.inner, model.inner, model.hidden)
    inputs = (model.hidden, model.hidden, model.hidden, queries, model.hidden, model.hidden, model.inner)
    for layer in layers:
        shapes = [(m.outputs, m.inputs) for m in layer.matrices]
        if shapes != list(zip(widths, inputs, strict=True)):
            raise NotImplementedError("its layers are not alike")
