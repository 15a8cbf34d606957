"""An evaluation counts each learned token once, and its accuracy is that of the model's own logits."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from runtime.trainer import head_loss, lora
from runtime.trainer.documents import Document, whole
from runtime.trainer.evaluation import evaluate
from runtime.trainer.loss import one_by_one, packed
from state.config import LoraConfig

ROWS = [whole(list(range(2, 40))), Document([5, 6, 7, 8, 9], [(1, 2), (4, 5)]), whole([50, 51])]


def test_it_is_the_mean_over_all_learned_tokens_however_the_rows_are_packed(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_loss, "LOGITS_AT_ONCE", 7 * 2048)  # some of a row's tokens at a time
    base = AutoModelForCausalLM.from_pretrained(toy, dtype=torch.float32)
    model = lora.attach(base, LoraConfig(lora_dropout=0.5), "toy", "toy")
    losses, hits, rows = [], [], []
    with torch.no_grad():
        for row in ROWS:
            logits_TV = base.eval()(torch.tensor([row.tokens])).logits[0]
            # the last row is what the model says itself, so that some tokens are hit
            tokens = [*row.tokens[:-1], int(logits_TV[-2].argmax())]
            rows.append(Document(tokens, row.spans))
            for at in (at for begin, end in row.spans for at in range(begin, end)):
                losses.append(-logits_TV[at - 1].log_softmax(0)[tokens[at]].item())
                hits.append(int(logits_TV[at - 1].argmax()) == tokens[at])
    model.train()

    together = evaluate(model, packed(model, "cpu"), rows, 1000)
    apart = evaluate(model, packed(model, "cpu"), rows, 1)
    alone = evaluate(model, one_by_one(model, "cpu"), rows, 1)

    mean = pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert [together.loss, apart.loss, alone.loss] == [mean] * 3
    assert 0 < sum(hits) < len(hits)
    assert together.token_accuracy == apart.token_accuracy == sum(hits) / len(hits)
    assert alone.token_accuracy is None
    assert model.training
