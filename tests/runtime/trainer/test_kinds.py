"""Every kind of adapter: resumed and kept as the best one to the bit, served and merged as peft computes it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import Struct, structs
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from runtime.export.making import export
from runtime.inference.adapters import Share
from runtime.inference.engine import Engine
from runtime.inference.ragged import Chunk
from runtime.messages.export import Order
from runtime.messages.inference import AdapterFiles
from runtime.model.bases import quantization
from runtime.model.device import pick
from state.jobs import JobFolder
from tests import completing, jobs, toys

PROMPT = [5, 100, 200, 300, 7]
LIKELY: dict[str, Any] = {"prompt": PROMPT, "max_new_tokens": 1, "top_logprobs": 20}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "rsLoRA with ranks and alphas of each layer's own": (
        "llama",
        {
            "target_modules": "all-linear",
            "use_rslora": True,
            "rank_pattern": {"down_proj": 2, r"layers\.0\.self_attn\.[qv]_proj": 6},
            "alpha_pattern": {"1.mlp.up_proj": 3},
        },
    ),
    "rank-stabilized DoRA beside trained biases": (
        "qwen2",
        {"target_modules": "all-linear", "use_dora": True, "use_rslora": True, "bias": "all"},
    ),
    "norms and the output layer in full": (
        "qwen3",
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm", "input_layernorm"]},
    ),
    "tied embeddings and norms of heads in full": (
        "gemma3",
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens", "q_norm"]},
    ),
}


class Trained(Struct, frozen=True):
    """A toy base and a job that has trained an adapter of one kind on it."""

    base: Path
    folder: JobFolder


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    root = tmp_path_factory.mktemp("kinds")
    architecture, lora = KINDS[request.param]
    base = toys.make(root / "models" / "toy", architecture)
    settings = {"save_steps": 3, "learning_rate": 0.05, "keep": "best"}
    folder = jobs.make(root, lora_config=lora, training_config=settings, eval_texts=jobs.TEXTS[:3])
    jobs.train_here(folder)
    yield Trained(base, folder)
    shutil.rmtree(root)


def _served(engine: Engine, adapter: Path | None) -> torch.Tensor:
    """The logits behind the prompt, of the base that the engine has loaded or of an adapter on it."""
    base = completing.base_of(engine)
    loaded = base.adapters.get(AdapterFiles(str(adapter), "1"))
    with torch.inference_mode():
        base.adapters.begin_pass([Share(loaded, len(PROMPT), 1)])
        return base.runner.logits([Chunk(PROMPT, base.runner.new_cache())])[0].float()


def test_a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_bytes(trained: Trained) -> None:
    again = JobFolder(trained.folder.path.with_name("job_again"))
    shutil.copytree(trained.folder.path, again.path)
    shutil.rmtree(again.checkpoint(6))
    shutil.rmtree(again.adapter)
    status = json.loads(again.status_file.read_text())
    again.status_file.write_text(json.dumps(status | {"status": "pending", "current_step": 3}))

    jobs.train_here(again)

    assert jobs.weights(again) == jobs.weights(trained.folder)
    assert again.checkpoint_steps().count(6) == 1


def test_its_best_adapter_is_published_with_the_same_bytes(trained: Trained) -> None:
    record = json.loads((trained.folder.adapter / "adapter.json").read_text())

    best = trained.folder.best(record["metrics"]["best_step"])
    assert jobs.weights(trained.folder) == (best / "adapter_model.safetensors").read_bytes()


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_it_is_served_as_peft_computes_it(trained: Trained) -> None:
    engine = Engine(trained.folder.path.parent.parent / ".cache" / "bases")
    alone = completing.complete(engine, trained.base, **LIKELY)
    beside = completing.together(
        engine,
        [
            completing.request(1, trained.base, None, **LIKELY),
            completing.request(2, trained.base, trained.folder.adapter, **LIKELY),
        ],
    )

    setup = pick()
    plain = AutoModelForCausalLM.from_pretrained(
        str(trained.base), quantization_config=quantization(setup.torch_dtype), dtype=setup.torch_dtype
    )
    adapted: Any = PeftModel.from_pretrained(plain, str(trained.folder.adapter)).eval()
    with torch.no_grad():
        expected_V = adapted(torch.tensor([PROMPT])).logits[0, -1].float()
    found_V, alone_V = _served(engine, trained.folder.adapter), _served(engine, None)
    if setup.dtype == "float32":  # torch adds up its products in another order when there are more rows
        assert structs.replace(beside[0], logprobs=None) == structs.replace(alone, logprobs=None)
        assert completing.likely(beside[0]) == pytest.approx(completing.likely(alone), abs=1e-5)
    else:
        assert beside[0] == alone
    found = found_V.log_softmax(0).topk(20).values.tolist()
    assert completing.likely(beside[1]) == pytest.approx(found, abs=4e-2)  # a bf16 logit's last bit
    assert (found_V - expected_V).norm() <= 0.05 * (expected_V - alone_V).norm()


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
@pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied")
def test_it_is_merged_as_peft_merges_it(trained: Trained, tmp_path: Path) -> None:
    export(Order(str(trained.folder.adapter), "toy", str(trained.base), "merged", str(tmp_path / "merged")))

    ours = load_file(tmp_path / "merged" / "model.safetensors")
    whole = AutoModelForCausalLM.from_pretrained(str(trained.base), dtype=torch.float32)
    theirs = PeftModel.from_pretrained(whole, str(trained.folder.adapter)).merge_and_unload().state_dict()
    assert theirs.keys() - ours.keys() <= {"lm_head.weight"}  # tied, it is stored once
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name].to(torch.bfloat16), rtol=1 / 128, atol=1e-6)
