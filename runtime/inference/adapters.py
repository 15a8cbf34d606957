"""Adapters beside each other on one base: each token gets the changes of the adapter that it belongs to.

The base is not changed. A hook on each layer that some adapter changes adds that adapter's output to the rows of its
own tokens (as S-LoRA batches them, Sheng et al. 2023). In a pass without adapters the hooks do nothing: the bare base
is bit for bit itself.
"""

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.functional import embedding, linear
from transformers import PreTrainedModel

from runtime.messages.inference import AdapterFiles
from runtime.model.adapter_files import PREFIX, Checked, magnitude
from runtime.model.dora import row_norms
from runtime.model.private import dequantized
from state.adapters import WEIGHTS
from state.errors import LoadFailed

MAX_LOADED = 16
PLAIN = (nn.Linear, nn.Embedding, Linear4bit)
"""Of these, another weight is enough to compute another result. A Gemma 3's embedding also scales, for one."""


class TokensReordered(Exception):
    """A layer, such as a mixture's expert, does not say which tokens it takes: only one adapter a pass is possible."""


class LayerChange(Struct):
    """What an adapter does to one layer's output y = f(x): y + x A^T B^T + bias, with A [r, I], B [O, r] scaled.

    Both matrices are float32, as PEFT computes them.

    With DoRA, W becomes c (W + s B A), c = m / ||W + s B A||: y + (c - 1) (y - b) is added, for the layer's own bias b.
    `stretch_O` is c - 1, and B has both scales.

    A `weight` takes the place of a linear layer's or an embedding's own, a `module` that of any other (a norm).
    """

    a_RI: torch.Tensor | None = None
    b_OR: torch.Tensor | None = None
    stretch_O: torch.Tensor | None = None
    bias_O: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    module: nn.Module | None = None


class LoadedAdapter(dict[str, LayerChange]):
    """By the name of the layer in the base. Each is itself alone, so that what was made for it can be kept by it."""

    __hash__ = object.__hash__  # type: ignore[assignment] # typeshed says that no dict has one
    __eq__ = object.__eq__


class Share(Struct, frozen=True):
    """What one sequence has of a pass: its adapter, its tokens, and the logits that are wanted of them."""

    adapter: LoadedAdapter | None
    tokens: int
    logits: int


class Span(Struct, frozen=True):
    """Where an adapter's tokens lie in a pass, and where its logits lie among the pass's."""

    adapter: LoadedAdapter
    tokens: slice
    logits: slice


class Adapters:
    """All that are loaded on one base; the least recently used one leaves when there are more than MAX_LOADED."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._loaded: dict[AdapterFiles, LoadedAdapter] = {}
        self._hooked: set[str] = set()
        self.spans: Sequence[Span] = ()
        """Of the pass that has begun, in their order."""
        self._sizes = (0, 0)

    @property
    def loaded(self) -> Collection[AdapterFiles]:
        """The least recently used one first."""
        return self._loaded.keys()

    def get(self, files: AdapterFiles) -> LoadedAdapter | None:
        adapter = self._loaded.pop(files, None)
        if adapter is not None:
            self._loaded[files] = adapter  # the last is the most recently used
        return adapter

    def add(self, files: AdapterFiles, checked: Checked) -> LoadedAdapter:
        """Read an adapter's tensors. A sequence that runs keeps the adapter that it began with. Raises LoadFailed."""
        folder = Path(files.path)
        try:
            adapter = _read(self._model, folder, checked)
        except (OSError, SafetensorError) as error:  # its files changed after the check
            raise LoadFailed(f"{folder.name}/{WEIGHTS} cannot be read: {error}") from error
        for name in adapter.keys() - self._hooked:
            self._model.get_submodule(name).register_forward_hook(self._hook(name))
            self._hooked.add(name)
        self._loaded[files] = adapter
        while len(self._loaded) > MAX_LOADED:
            del self._loaded[next(iter(self._loaded))]
        return adapter

    def remove(self, path: str | None) -> None:
        """Forget the adapter of a folder, whatever its files were when it was loaded; without one, all."""
        self._loaded = {files: kept for files, kept in self._loaded.items() if path not in {None, files.path}}
        self.spans = ()  # the pass before is over

    def begin_pass(self, shares: Sequence[Share]) -> None:
        """Before a pass: the shares of its sequences, in their order."""
        spans: list[Span] = []
        token = logit = 0
        for share in shares:
            tokens, logits = slice(token, token + share.tokens), slice(logit, logit + share.logits)
            token, logit = tokens.stop, logits.stop
            if share.adapter is None:
                continue
            last = spans[-1] if spans else None
            if last is not None and last.adapter is share.adapter and last.tokens.stop == tokens.start:
                tokens, logits = slice(last.tokens.start, token), slice(last.logits.start, logit)
                spans.pop()
            spans.append(Span(share.adapter, tokens, logits))
        self.spans, self._sizes = spans, (token, logit)

    @property
    def is_mixed(self) -> bool:
        """Whether a pass's tokens are not all one adapter's, nor all the bare base's."""
        return len(self.spans) > 1 or any(span.tokens != slice(0, self._sizes[0]) for span in self.spans)

    @property
    def only(self) -> LoadedAdapter | None:
        """Whose the tokens are of a pass that is not mixed."""
        return self.spans[0].adapter if self.spans else None

    def fill(self, rows: int) -> None:
        """Let a pass that is not mixed have so many tokens, each with its logits."""
        own = self.only
        self.spans = [] if own is None else [Span(own, slice(0, rows), slice(0, rows))]
        self._sizes = (rows, rows)

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
        def change(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            for span in self.spans:
                found = span.adapter.get(name)
                if found is not None:
                    _apply(module, found, inputs[0], output, self._where(span, module, output, name))

        return change

    def _where(self, span: Span, module: nn.Module, output: torch.Tensor, name: str) -> slice:
        """An adapter's rows of a layer's output.

        How many rows there are does not tell which tokens these are: an expert may happen to take as many as there are
        sequences, or all of them in an order of its own. So a pass of several adapters believes two kinds of layers
        alone: one whose output is the whole row [1, T, O], which is how models keep the tokens in their order, and the
        output layer, which gets those tokens alone whose logits are wanted [1, N, E]. What has lost the first axis, as
        a mixture's experts do that gather tokens [n, E], may have reordered them.
        """
        tokens, logits = self._sizes
        if span.tokens == slice(0, tokens):
            return slice(None)
        if output.shape[:-1] == (1, tokens):
            return span.tokens
        if output.shape[:-1] == (1, logits) and module is self._model.get_output_embeddings():
            return span.logits
        raise TokensReordered(f"The model's layer {name} takes tokens in an order of its own")


def _apply(module: nn.Module, change: LayerChange, x: torch.Tensor, y: torch.Tensor, at: slice) -> None:
    rows = y[..., at, :]
    if change.module is not None:
        rows.copy_(change.module.forward(x[..., at] if isinstance(module, nn.Embedding) else x[..., at, :]))
    if change.weight is not None:
        if isinstance(module, nn.Embedding):
            rows.copy_(embedding(x[..., at], change.weight, module.padding_idx))
        else:
            own: Any = module.bias
            rows.copy_(linear(x[..., at, :], change.weight, own))
    if change.stretch_O is not None:
        base: Any = module
        unbiased = rows if base.bias is None else rows - base.bias
        rows += (unbiased * change.stretch_O).to(rows.dtype)
    if change.a_RI is not None and change.b_OR is not None:
        rows += (x[..., at, :].to(change.a_RI.dtype) @ change.a_RI.T @ change.b_OR.T).to(rows.dtype)
    if change.bias_O is not None:
        rows += change.bias_O


def _copy(module: nn.Module) -> nn.Module:
    """A module without the hooks that it has in the model."""
    copied = deepcopy(module)
    for hooks in (copied._forward_hooks, copied._forward_pre_hooks):  # noqa: SLF001  torch removes them by handles only
        hooks.clear()
    return copied


def _stretch(change: LayerChange, module: Any, magnitude_O: torch.Tensor) -> None:  # noqa: ANN401  a linear layer
    """Make a layer's LoRA, whose B is scaled, its DoRA."""
    if change.a_RI is None or change.b_OR is None:
        return
    weight_OI = dequantized(module) if isinstance(module, Linear4bit) else module.weight
    factor_O = magnitude_O.float() / row_norms(weight_OI, change.a_RI, change.b_OR, 1.0)
    change.stretch_O = factor_O - 1
    change.b_OR = change.b_OR * factor_O[:, None]


def _read(model: PreTrainedModel, folder: Path, checked: Checked) -> LoadedAdapter:
    adapter = LoadedAdapter()
    device, dtype = model.device, model.dtype
    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        for layer, scaling in checked.scalings.items():
            a_RI, b_OR = (weights.get_tensor(f"{PREFIX}{layer}.lora_{side}.weight") for side in "AB")
            b_RO = (b_OR.T.float() * scaling).contiguous()  # in the order in which `native`'s kernels read it
            change = LayerChange(a_RI.float().to(device), b_RO.to(device).T)
            if layer in checked.magnitudes:
                _stretch(change, model.get_submodule(layer), weights.get_tensor(magnitude(layer)).to(device))
            adapter[layer] = change
        for name, stored in checked.replaces.items():
            layer, _, kind = name.rpartition(".")
            change = adapter.setdefault(layer, LayerChange())
            value = weights.get_tensor(stored).to(device)
            if type(model.get_submodule(layer)) not in PLAIN:
                change.module = change.module or _copy(model.get_submodule(layer))
                setattr(change.module, kind, nn.Parameter(value.to(dtype), requires_grad=False))
            elif kind == "bias":
                change.bias_O = (value.float() - model.get_parameter(name).float()).to(dtype)
            else:
                change.weight = value.to(dtype)
    return adapter
