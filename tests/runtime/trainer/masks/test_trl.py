"""What TRL learns with its own training templates, and what is learned here: equal, or a line says what differs.

TRL (https://github.com/huggingface/trl) replaces a model's template by one with marks around what is learned. It is
no dependency of the project: `pip install trl` for these tests.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from runtime.model.chat import ChatTemplate
from runtime.trainer.masks.masker import Masker
from runtime.trainer.masks.results import Masked
from state.rows.row import Chat
from tests import chats, masks

trl = pytest.importorskip("trl", reason="TRL is not installed")

ROWS = [masks.ROWS[name] for name in ("one turn", "two turns", "a system turn")]
FAMILIES = {  # TRL's name of a template: the family that has its special tokens
    "llama3": "llama3",
    "gemma": "gemma",
    "gemma3": "gemma",
    "phi3": "phi3",
    "qwen2_5": "qwen3",
    "qwen3_instruct_2507": "qwen3",
    "qwen3": "qwen3",
    "glm4moe": "glm4",
    "gptoss": "gpt_oss",
    "deepseekv3": "deepseek_r1",
}
SURPLUS = {  # what TRL learns of the same tokens beside what is learned here, and no model ever has to write
    "llama3": set[str](),
    "gemma": {"\n"},  # behind the end of a turn, where serving has stopped
    "gemma3": {"\n"},
    "qwen2_5": {"\n"},  # there, and before the answer, where the prompt has it
    "qwen3_instruct_2507": {"\n"},
    "phi3": {"\n", "\n<|endoftext|>"},  # the second ends the last conversation of a document
}
AROUND = {  # where TRL's template or ours makes other sequences: what TRL learns before and behind the last answer
    "qwen3": ("<think>\n\n</think>\n\n", "\n"),  # asked not to think, the prompt has an empty thought already
    "glm4moe": ("\n<think></think>", ""),  # the same
    "gptoss": ("<|start|>assistant", ""),  # the prompt has it
}


def compared(name: str, row: Chat) -> tuple[PreTrainedTokenizerBase, list[int], list[int], Masked]:
    """What TRL reads, its mask of that, and ours."""
    folder = Path(trl.__file__).parent / "chat_templates"
    tokenizer = chats.tokenizer(FAMILIES[name])
    template = ChatTemplate(tokenizer, (folder / f"{name}.jinja").read_text(), lambda: chats.NOW)
    theirs: Any = tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.content or ""} for message in row.messages],
        chat_template=(folder / f"{name}_training.jinja").read_text(),
        return_assistant_tokens_mask=True,
    )
    (found,) = Masker(tokenizer, template, chats.served(FAMILIES[name], tokenizer)).masks([row])
    assert isinstance(found, Masked), found.message
    return tokenizer, theirs["input_ids"], theirs["assistant_masks"], found


def runs(tokenizer: PreTrainedTokenizerBase, tokens: list[int], mask: list[int]) -> list[str]:
    """The texts of the stretches that a mask covers."""
    changes = [0, *(index for index in range(1, len(mask)) if mask[index] != mask[index - 1]), len(mask)]
    return [str(tokenizer.decode(tokens[begin:end])) for begin, end in pairwise(changes) if mask[begin]]


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", SURPLUS)
def test_what_trl_learns_of_the_same_tokens(name: str, row: Chat) -> None:
    if name == "gemma" and row.messages[0].role == "system":
        pytest.skip("Gemma has no system turns")
    tokenizer, tokens, theirs, found = compared(name, row)

    (one,) = found.sequences
    ours = [any(begin <= index < end for begin, end in one.spans) for index in range(len(tokens))]

    assert tokens[: len(one.tokens)] == one.tokens
    assert all(theirs[index] for index, is_learned in enumerate(ours) if is_learned)
    surplus = [int(bool(their) and not our) for their, our in zip(theirs, ours, strict=True)]
    assert set(runs(tokenizer, tokens, surplus)) <= SURPLUS[name]
    assert any(surplus) == bool(SURPLUS[name])


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", AROUND)
def test_what_trl_learns_of_other_tokens(name: str, row: Chat) -> None:
    tokenizer, tokens, theirs, found = compared(name, row)

    before, behind = AROUND[name]

    ours = masks.learned(tokenizer, found)[-1][-1]
    assert runs(tokenizer, tokens, theirs)[-1] == before + ours + behind


def test_trl_leaves_out_the_thoughts_that_deepseek_has_to_write() -> None:
    row = masks.ROWS["thoughts in content"]
    assert isinstance(row, Chat)

    tokenizer, tokens, theirs, found = compared("deepseekv3", row)

    assert "add" in masks.learned(tokenizer, found)[-1][0]
    assert "add" not in runs(tokenizer, tokens, theirs)[-1]
