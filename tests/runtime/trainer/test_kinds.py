"""Every kind of adapter: resumed to the bit, published as it was at its best, served and merged as peft computes it."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import Struct
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from runtime.export.making import export
from runtime.inference.engine import Engine
from runtime.messages.export import Order
from runtime.model.bases import quantization
from runtime.model.device import pick
from runtime.trainer import monitoring
from runtime.trainer.evaluation import Evaluated
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
    """A toy base and a job that has trained an adapter of one kind on it: it was at its best after step 3 of 6."""

    base: Path
    folder: JobFolder

    @property
    def last(self) -> Path:
        """The adapter after all steps."""
        return self.folder.checkpoint(6) / "adapter"


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    root = tmp_path_factory.mktemp("kinds")
    architecture, lora = KINDS[request.param]
    base = toys.make(root / "models" / "toy", architecture)
    settings = {"save_steps": 3, "learning_rate": 0.05, "keep": "best"}
    folder = jobs.make(root, lora_config=lora, eval_texts=jobs.TEXTS[:1], training_config=settings)
    losses = iter([0.5, 0.6])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(monitoring, "evaluate", lambda *_: Evaluated(loss=next(losses), token_accuracy=None))
        jobs.train_here(folder)
    yield Trained(base, folder)
    shutil.rmtree(root)


def _weights_after(folder: JobFolder, step: int) -> bytes:
    return (folder.checkpoint(step) / "adapter" / "adapter_model.safetensors").read_bytes()


def _likely(model: Any) -> list[float]:
    found = model.eval()(torch.tensor([PROMPT])).logits[0, -1].float().log_softmax(0).topk(20).values
    return list(found.tolist())


def test_a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_bytes(trained: Trained) -> None:
    again = JobFolder(trained.folder.path.with_name("job_again"))
    shutil.copytree(trained.folder.path, again.path)
    shutil.rmtree(again.checkpoint(6))
    shutil.rmtree(again.adapter)
    status = json.loads(again.status_file.read_text())
    again.status_file.write_text(json.dumps(status | {"status": "pending", "current_step": 3}))

    jobs.train_here(again)

    assert _weights_after(again, 6) == _weights_after(trained.folder, 6)
    assert jobs.weights(again) == jobs.weights(trained.folder)
    assert again.checkpoint_steps().count(6) == 1


def test_it_is_published_as_it_was_at_its_best(trained: Trained) -> None:
    record = json.loads((trained.folder.adapter / "adapter.json").read_text())

    assert record["metrics"]["best_step"] == 3
    assert jobs.weights(trained.folder) == _weights_after(trained.folder, 3) != _weights_after(trained.folder, 6)


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_it_is_served_as_peft_computes_it(trained: Trained) -> None:
    engine = Engine(trained.folder.path.parent.parent / ".cache" / "bases")
    alone = completing.complete(engine, trained.base, **LIKELY)
    beside = completing.together(
        engine,
        [
            completing.request(1, trained.base, None, **LIKELY),
            completing.request(2, trained.base, trained.last, **LIKELY),
        ],
    )

    setup = pick()
    plain = AutoModelForCausalLM.from_pretrained(
        str(trained.base), quantization_config=quantization(setup.torch_dtype), dtype=setup.torch_dtype
    )
    expected = _likely(PeftModel.from_pretrained(plain, str(trained.last)))
    assert beside[0] == alone
    assert alone.logprobs is not None
    assert beside[1].logprobs is not None
    found = [other.logprob for other in beside[1].logprobs[0].top]
    assert found == pytest.approx(expected, abs=4e-2)  # the last bit of a bf16 logit from 4 on is 0.03
    assert found != pytest.approx([other.logprob for other in alone.logprobs[0].top], abs=1e-1)


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
