"""Passes in C: what they compute is what the model computes, whoever else is in the pass.

With each of the instruction sets that this CPU has.
"""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from runtime.inference import ragged
from runtime.inference.adapters import Adapters, LayerChange, LoadedAdapter, Share
from runtime.inference.native import compiling, instructions, library
from runtime.inference.native import runner as native
from runtime.inference.native.instructions import InstructionSet
from runtime.inference.ragged import Chunk, ModelRunner
from runtime.model import bases, device
from tests import toys

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"vocab_size": 2047, "intermediate_size": 576},  # no whole number of tiles, nor of slices
    "mistral": {"sliding_window": 20},
    "qwen2": {},
    "qwen3": {},
    "phi3": {"intermediate_size": 576},
    "gemma": {},
    "gemma2": {},
    "gemma3": {},
}
PASSES = [[90, 1, 5, 17], [1, 1, 1, 1], [1, 30, 2, 1]]
"""How many tokens each of four sequences has in each pass."""

TOLERANCES = {"bfloat16": 0.02, "float32": 1e-5}
CAPABILITIES = dict(torch.cpu.get_capabilities())
HERE = [own for own in instructions.SETS if all(CAPABILITIES.get(name) for name in own.needed)]

try:
    library.load(library.best())
except compiling.Unavailable as reason:
    pytest.skip(f"passes are computed by torch here: {reason}", allow_module_level=True)


@pytest.fixture(params=HERE, ids=lambda own: own.name)
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> InstructionSet:
    """A CPU with this instruction set and none that is better, for torch, bitsandbytes, and so for the setup."""
    own: InstructionSet = request.param
    better = {name for other in HERE[: HERE.index(own)] for name in other.needed}
    hidden = dict.fromkeys(better - set(own.needed) | {"amx_tile"}, False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: CAPABILITIES | hidden)
    monkeypatch.setattr("bitsandbytes.nn.modules.has_avx512bf16", lambda: own.packs)
    return own


@pytest.fixture(autouse=True)
def _inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


class Both:
    """A toy, computed by its own class in torch and by the kernels."""

    def __init__(self, folder: Path, architecture: str, **changes: Any) -> None:
        source = str(toys.make(folder / "toy", architecture, head_dim=32, **changes))
        setup = device.pick()
        self.tolerance = TOLERANCES[setup.dtype]
        self.model = bases.load_base(source, setup, folder / "cache").eval()
        self.adapters = Adapters(self.model)
        self.torch = ragged.choose(self.model)
        self.kernels = native.choose(self.model, self.adapters, self.torch)
        assert self.kernels is not self.torch
        self.hooked: set[str] = set()

    def compute(self, runner: ModelRunner, adapters: Sequence[LoadedAdapter | None], passes: Any) -> list[torch.Tensor]:
        """All logits of passes over the same sequences, each with a list of tokens of each."""
        caches = [runner.new_cache() for _ in adapters]
        found = []
        for tokens in passes:
            self.adapters.begin_pass(
                [Share(one, len(own), len(own)) for one, own in zip(adapters, tokens, strict=True)]
            )
            chunks = [Chunk(own, cache, wants_all_logits=True) for own, cache in zip(tokens, caches, strict=True)]
            found.append(runner.logits(chunks).float())
        return found

    def adapter(self, *layers: str, seed: int, **others: Any) -> LoadedAdapter:
        """Of rank 3, random, with the hooks that a loaded one has."""
        random = torch.Generator().manual_seed(seed)
        made = LoadedAdapter()
        for name, module in self.model.named_modules():
            if name.split(".")[-1] in layers:
                linear: Any = module
                a_RI, b_OR = (torch.randn(size, generator=random) / 8 for size in _sizes(linear))
                made[name] = LayerChange(a_RI, b_OR, **{key: make(linear) for key, make in others.items()})
                if name not in self.hooked:
                    module.register_forward_hook(self.adapters._hook(name))
                    self.hooked.add(name)
        return made


def _sizes(linear: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    return (3, linear.in_features), (linear.out_features, 3)


def _tokens(counts: list[list[int]]) -> list[list[list[int]]]:
    random = torch.Generator().manual_seed(4)
    return [[torch.randint(2, 2000, (count,), generator=random).tolist() for count in each] for each in counts]


def _distance(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return max(float((one - other).norm() / other.norm()) for one, other in zip(found, expected, strict=True))


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_and_next_tokens_side_by_side_have_the_models_own_logits(tmp_path: Path, family: str) -> None:
    both = Both(tmp_path, family, **FAMILIES[family])
    passes, nobody = _tokens(PASSES), [None] * 4

    found, expected = (both.compute(runner, nobody, passes) for runner in (both.kernels, both.torch))
    assert _distance(found, expected) < both.tolerance


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("family", ["llama", "phi3"])
def test_adapters_of_several_sequences_change_their_own_rows(tmp_path: Path, family: str) -> None:
    both = Both(tmp_path, family)
    whole = both.adapter(
        *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        *("qkv_proj", "gate_up_proj", "lm_head"),
        seed=1,
    )
    part = both.adapter("o_proj", "down_proj", seed=2)
    passes, mixed = _tokens(PASSES), [None, part, whole, whole]

    found, bare = (both.compute(both.kernels, adapters, passes) for adapters in (mixed, [None] * 4))

    assert _distance(found, both.compute(both.torch, mixed, passes)) < both.tolerance
    assert all(
        torch.equal(one[: len(tokens[0])], other[: len(tokens[0])])
        for one, other, tokens in zip(found, bare, passes, strict=True)
    )
    assert _distance(found, bare) > 0.1


@pytest.mark.usefixtures("cpu")
def test_a_sequence_has_to_the_bit_the_logits_that_it_has_alone(tmp_path: Path) -> None:
    both = Both(tmp_path, "llama", intermediate_size=576)
    adapter = both.adapter("q_proj", "down_proj", seed=1)
    passes, adapters = _tokens([[90, 1, 5, 17, 3, 1, 1, 1, 1, 40], *[[1] * 10] * 2]), [None, adapter] * 5

    together = both.compute(both.kernels, adapters, passes)

    for number, one in enumerate(adapters):
        alone = both.compute(both.kernels, [one], [[tokens[number]] for tokens in passes])
        for tokens, beside, own in zip(passes, together, alone, strict=True):
            begin = sum(map(len, tokens[:number]))
            assert torch.equal(beside[begin : begin + len(own)], own)


@pytest.mark.usefixtures("cpu")
def test_what_the_kernels_cannot_add_is_computed_by_torch_over_the_same_caches(tmp_path: Path) -> None:
    both = Both(tmp_path, "llama")
    dora = both.adapter("q_proj", seed=1, stretch_O=lambda linear: torch.full((linear.out_features,), 0.2))
    passes = _tokens(PASSES)

    for adapters in ([dora, None, None, dora], [dora] * 4):
        found, expected = (both.compute(runner, adapters, passes) for runner in (both.kernels, both.torch))
        assert _distance(found, expected) < both.tolerance


@pytest.mark.usefixtures("cpu")
def test_a_sequence_that_begins_with_anothers_cache_goes_on_as_that_one(tmp_path: Path) -> None:
    both = Both(tmp_path, "llama")
    [[first, second]] = _tokens([[300, 2]])
    whole = both.kernels.new_cache()
    both.adapters.begin_pass([Share(None, 300, 1)])
    both.kernels.logits([Chunk(first, whole)])

    copy = whole.prefix(280)
    both.adapters.begin_pass([Share(None, 20, 1)])
    both.kernels.logits([Chunk(first[280:], copy)])

    both.adapters.begin_pass([Share(None, 2, 1), Share(None, 2, 1)])
    ours, theirs = both.kernels.logits([Chunk(second, copy), Chunk(second, whole)])
    assert float((ours - theirs).norm() / theirs.norm()) < both.tolerance / 2


def test_without_a_compiler_passes_are_torchs_and_the_log_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    both = Both(tmp_path, "llama")
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setattr(library, "load", library.load.__wrapped__)
    caplog.set_level("INFO", "inference")

    assert native.choose(both.model, both.adapters, both.torch) is both.torch

    assert "there is no C compiler (no-such-compiler)" in caplog.text


def test_kernels_that_cannot_be_kept_beside_their_source_are_kept_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only = tmp_path / "checkout"
    shutil.copytree(compiling.SOURCE, read_only / "kernels")
    (read_only / "compiled").touch()  # where root may write everything, a file in the folder's place stops it
    monkeypatch.setattr(compiling, "SOURCE", read_only / "kernels")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cc").write_text('#!/bin/sh\nfor at; do [ "$last" = -o ] && echo made > "$at"; last=$at; done\n')
    (tmp_path / "cc").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "cc"))

    made = compiling.compiled(instructions.AVX2)

    assert made.parent == tmp_path / "cache" / "lathe"
    assert [file.name for file in made.parent.iterdir()] == [made.name]
    assert made.read_text() == "made\n"
