"""What is in memory, checked by likelihoods: the base, adapters beside it, and sequences beside each other."""

import json
import math
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from runtime.inference.adapters import MAX_LOADED
from runtime.inference.engine import Engine
from runtime.messages.inference import AdapterFiles, Done, Generated, Load, Message, TextDelta, Unload
from runtime.model.bases import quantization
from runtime.model.tokenizers import load_tokenizer
from state.errors import ServiceError
from tests import toys
from tests.completing import PROMPT, base_of, complete, finish, likely, request, step, together

LIKELY: dict[str, Any] = {"top_logprobs": 5}


def test_the_base_is_itself_again_beside_and_after_an_adapter_with_biases(biased: Path) -> None:
    engine, base, mine = Engine(biased / ".cache"), biased / "models" / "toy", biased / "adapters" / "mine"

    alone = complete(engine, base, **LIKELY)
    adapted = complete(engine, base, mine, **LIKELY)
    beside = together(engine, [request(1, base, None, **LIKELY), request(2, base, mine, **LIKELY)])
    after = complete(engine, base, **LIKELY)

    assert adapted.text != alone.text
    assert after == alone
    assert [one.text for one in beside] == [alone.text, adapted.text]


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "mistral", "gemma", "gemma2", "gemma3", "phi", "gpt2"])
def test_sequences_that_join_and_leave_have_the_tokens_they_would_have_alone(tmp_path: Path, architecture: str) -> None:
    base = toys.make(tmp_path / "toy", architecture)
    engine = Engine(tmp_path / ".cache")
    prompts = ["def f(", "import os\n\nfor name in", "x", "class A:\n    pass\n"]
    alone = [complete(engine, base, prompt=prompt, max_new_tokens=4 * at + 3) for at, prompt in enumerate(prompts)]

    found: dict[int, Generated] = {}
    for at, prompt in enumerate(prompts):
        engine.add(request(at, base, None, prompt=prompt, max_new_tokens=4 * at + 3))
        if at % 2:
            found |= step(engine)
    found |= finish(engine)

    assert [found[at] for at in range(len(prompts))] == alone


def test_a_completion_has_the_tokens_of_transformers_own_generate(tmp_path: Path) -> None:
    base = toys.make(tmp_path / "toy", "llama")
    engine = Engine(tmp_path / ".cache")
    mine = complete(engine, base, max_new_tokens=20)
    tokenizer = load_tokenizer(str(base))
    model: Any = base_of(engine).model
    model.set_attn_implementation("sdpa")
    prompt_1T = torch.tensor([tokenizer("def f(")["input_ids"]])

    tokens_1T = model.generate(input_ids=prompt_1T, max_new_tokens=20, do_sample=False)

    assert mine.text == tokenizer.decode(tokens_1T[0, prompt_1T.shape[1] :], skip_special_tokens=True)


def test_an_adapter_with_an_output_layer_of_its_own_answers_as_in_peft(tmp_path: Path) -> None:
    """Beside the bare base in one batch, and with LoRA of ranks and scales of their own."""
    base, adapter = toys.make(tmp_path / "toy", "llama"), tmp_path / "adapter"
    engine = Engine(tmp_path / ".cache")
    alone = complete(engine, base, **LIKELY)
    settings = LoraConfig(
        r=4,
        target_modules=["q_proj", "down_proj"],
        modules_to_save=["lm_head"],
        rank_pattern={"down_proj": 2},
        use_rslora=True,
        task_type="CAUSAL_LM",
    )
    plain: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype=base_of(engine).model.dtype)
    torch.manual_seed(0)
    adapted: Any = get_peft_model(plain, settings)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    adapted.save_pretrained(adapter)

    mixed = together(
        engine,
        [
            request(1, base, None, **LIKELY),
            request(2, base, adapter, max_new_tokens=1, **LIKELY),
            request(3, base, adapter, max_new_tokens=0, echo=True, **LIKELY),
        ],
    )

    ids_1T = torch.tensor([load_tokenizer(str(base))(PROMPT)["input_ids"]])
    quantized: Any = AutoModelForCausalLM.from_pretrained(
        str(base), quantization_config=quantization(base_of(engine).model.dtype), dtype=base_of(engine).model.dtype
    )
    outside: Any = PeftModel.from_pretrained(quantized, str(adapter)).eval()
    likely_TV = outside(ids_1T).logits[0].float().log_softmax(-1)
    assert mixed[0].text == alone.text
    assert _chosen(mixed[0]) == pytest.approx(_chosen(alone), abs=2e-2)
    assert base_of(engine).mixes_adapters, "its output layer is told which rows are whose"
    assert mixed[2].echo is not None
    assert [token.logprob for token in mixed[2].echo.logprobs] == pytest.approx(
        likely_TV[:-1].gather(1, ids_1T[0, 1:, None])[:, 0].tolist(), abs=2e-2
    )
    assert likely(mixed[1]) == pytest.approx(likely_TV[-1].topk(5).values.tolist(), abs=2e-2)


def _chosen(generated: Generated) -> list[float]:
    """The log probabilities of its tokens. On some CPUs their last bits depend on how many rows a pass has."""
    return [token.logprob for token in generated.logprobs or []]


def test_the_adapter_that_was_not_used_for_longest_leaves(biased: Path, tmp_path: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"
    copies = [tmp_path / f"copy-{number}" for number in range(MAX_LOADED + 1)]
    for copy in copies:
        shutil.copytree(biased / "adapters" / "mine", copy)
        complete(engine, base, copy, max_new_tokens=1)
    complete(engine, base, copies[1], max_new_tokens=1)

    loaded = [Path(files.path) for files in base_of(engine).adapters.loaded]

    assert loaded == [*copies[2:], copies[1]]


def test_an_adapter_that_is_unloaded_gives_back_what_it_takes_and_others_stay(biased: Path, tmp_path: Path) -> None:
    """Whatever its files were when it was loaded."""
    engine, base, mine = Engine(biased / ".cache"), biased / "models" / "toy", biased / "adapters" / "mine"
    other = shutil.copytree(mine, tmp_path / "other")
    for adapter in (mine, other):
        complete(engine, base, adapter, prompt=list(range(100, 140)), max_new_tokens=1)
    [files, _] = base_of(engine).adapters.loaded
    loaded = base_of(engine).adapters.get(files)
    assert loaded is not None
    weights = weakref.ref(next(iter(loaded.values())).a_RI)
    del loaded

    engine.add(Unload(id=9, path=str(mine)))
    finish(engine)

    assert weights() is None
    assert [kept.path for kept in base_of(engine).adapters.loaded] == [str(other)]
    assert [prefix.adapter and prefix.adapter.path for prefix in base_of(engine).prefix_cache.prefixes] == [str(other)]


def test_sampling_follows_its_seed_whatever_runs_beside_it(biased: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"

    first, again, other = (complete(engine, base, temperature=2.0, seed=seed).text for seed in (1, 1, 2))
    beside = together(engine, [request(seed, base, None, temperature=2.0, seed=seed) for seed in (1, 2, 3)])

    assert again == first
    assert other != first
    assert [one.text for one in beside[:2]] == [first, other]


def test_penalties_make_repetition_rarer(biased: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"

    free, penalized = (
        complete(engine, base, max_new_tokens=40, frequency_penalty=penalty, **LIKELY).logprobs
        for penalty in (0.0, 2.0)
    )

    assert free is not None
    assert penalized is not None
    assert len({one.token for one in penalized}) > len({one.token for one in free})


def test_a_stop_string_ends_the_text_before_itself(biased: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"
    whole = complete(engine, base).text
    stop = whole[5:8]

    stopped = complete(engine, base, stop=(stop,))

    assert stopped.text == whole[: whole.index(stop)]
    assert stopped.finish_reason == "stop"
    assert stopped.completion_tokens < 12


def test_the_pieces_of_a_streamed_completion_are_its_text(biased: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"
    whole = complete(engine, base, max_new_tokens=40)
    asked = request(1, base, None, max_new_tokens=40, stop=("never to be seen",))
    engine.add(type(asked)(**{name: getattr(asked, name) for name in asked.__struct_fields__} | {"stream": True}))

    pieces: list[str] = []
    while not engine.is_idle:
        engine.step()
        pieces += [reply.text for reply in engine.take_replies() if isinstance(reply, TextDelta)]

    assert "".join(pieces) == whole.text
    assert len(pieces) == 40


def test_a_cancelled_generation_ends_before_its_next_token(biased: Path) -> None:
    engine = Engine(biased / ".cache")
    engine.add(request(1, biased / "models" / "toy", None, max_new_tokens=200), lambda: True)

    engine.step()
    [reply] = engine.take_replies()

    assert isinstance(reply, Done)
    assert engine.is_idle


def test_another_base_waits_for_those_that_run(biased: Path, tmp_path: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"
    other = toys.make(tmp_path / "other", "llama")
    alone = [complete(engine, base), complete(engine, other), complete(engine, base, prompt="x")]

    mixed = together(engine, [request(1, base, None), request(2, other, None), request(3, base, None, prompt="x")])

    assert mixed == alone


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"prompt": "x" * 3000, "max_new_tokens": 1}, "the model's context is 256 tokens"),
        ({"max_new_tokens": 256}, "the model's context is 256 tokens"),
        ({"prompt": [10**9]}, "a token that the model does not have"),
        ({"prompt": ""}, "prompt must not be empty"),
    ],
)
def test_what_the_model_cannot_take_is_refused_in_words(biased: Path, fields: dict[str, Any], error: str) -> None:
    with pytest.raises(ServiceError, match=error):
        complete(Engine(biased / ".cache"), biased / "models" / "toy", **fields)


def test_a_model_without_a_chat_template_gets_the_documented_one(biased: Path) -> None:
    engine, base = Engine(biased / ".cache"), biased / "models" / "toy"

    answer = complete(engine, base, prompt=[Message("system", "Be brief"), Message("user", "hi")])

    assert answer == complete(engine, base, prompt="System: Be brief\n\nUser: hi\n\nAssistant:")


def _cut(folder: Path) -> None:
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def _pickle(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def _put_nan(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    next(iter(tensors.values())).fill_(math.nan)
    save_file(tensors, folder / "adapter_model.safetensors")


def _leave_one_out(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors.pop(next(name for name in tensors if "lora_B" in name))
    save_file(tensors, folder / "adapter_model.safetensors")


def _configure(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (_cut, r"adapter_model.safetensors: is cut short"),
        (_pickle, r"adapter_model.safetensors is missing \(pickled weights are not loaded\)"),
        (_put_nan, r"holds NaN or infinity"),
        (_leave_one_out, r"lacks .*lora_B"),
        (_configure(peft_type="IA3"), r"peft_type is IA3, and only LORA is supported"),
        (_configure(task_type="SEQ_CLS"), r"task_type is SEQ_CLS"),
        (_configure(r=7), r"does not fit the base model: .* has the shape \[4, 64\], and this base needs \[7, 64\]"),
        (_configure(target_modules=["nonsense"]), r"does not fit the base model"),
        (_configure(r="four"), r"adapter_config.json: "),
        (_configure(use_dora=True), r"lacks .*lora_magnitude_vector"),
    ],
)
def test_a_damaged_adapter_is_refused_in_words_and_the_one_before_still_answers(
    biased: Path, tmp_path: Path, damage: Callable[[Path], None], error: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(biased / "adapters" / "mine", damaged)
    damage(damaged)
    engine = Engine(biased / ".cache")
    base, mine = biased / "models" / "toy", biased / "adapters" / "mine"
    before = complete(engine, base, mine)
    engine.add(Load(id=2, source=str(base), adapter=AdapterFiles(str(damaged), "2")))

    with pytest.raises(ServiceError, match=error):
        finish(engine)

    assert complete(engine, base, mine) == before


def test_an_adapter_of_another_architecture_is_refused(biased: Path, tmp_path: Path) -> None:
    other = toys.make(tmp_path / "gpt2", "gpt2")

    with pytest.raises(ServiceError, match="does not fit the base model"):
        complete(Engine(biased / ".cache"), other, biased / "adapters" / "mine")
