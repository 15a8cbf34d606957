"""Whatever people write: the tokens before each learned span are those that serving sends, and stop tokens end it."""

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerBase

from runtime.model import chat
from runtime.model.chat import ChatTemplate
from runtime.trainer.masks.masker import Masker
from runtime.trainer.masks.results import Masked, Refused
from state.rows.row import Chat, Message
from tests import chats, masks

FAMILIES = [family for family in chats.FAMILIES if family != "deepseek_r1"]  # it refuses answers without thoughts
PIECES = [
    *("\n", "\n\n", " ", "  ", "\t", "\r\n", "\u200b", "Hello", "x = 1", "def f():\n    return 2", "日本", "é", "🙂"),
    *("...", "1234", "'s", "- a\n- b", "`code`", ".", "{", "}", '"q"', "<", "|>", "[INST", "### Response:\n"),
]
CONTENTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join).filter(str.strip)
TURNS = st.lists(st.tuples(CONTENTS, CONTENTS, st.booleans()), min_size=1, max_size=4)


@cache
def model(family: str) -> tuple[PreTrainedTokenizerBase, ChatTemplate, Masker]:
    tokenizer = chats.tokenizer(family)
    return tokenizer, chats.template(tokenizer), masks.masker(family, tokenizer)


def conversation(turns: list[tuple[str, str, bool]], thoughts: Sequence[str] = ()) -> Chat:
    pairs = [
        (masks.user(question), masks.answer(answer, thoughts=thought, weight=int(learned)))
        for (question, answer, learned), thought in zip(turns, [*thoughts, *[None] * len(turns)], strict=False)
    ]
    return Chat(tuple(message for pair in pairs for message in pair))


def said(messages: Sequence[Message]) -> list[dict[str, str | None]]:
    return [{"role": one.role, "content": one.content, "reasoning_content": one.reasoning_content} for one in messages]


def assert_as_served(family: str, row: Chat) -> None:
    tokenizer, template, masker = model(family)
    found = masker.masks([row])[0]
    asked = [index for index, message in enumerate(row.messages) if message.role == "assistant" and message.weight]
    if not asked:
        assert isinstance(found, Refused)
        return
    assert isinstance(found, Masked), found.message
    spans = [(one.tokens, begin, end) for one in found.sequences for begin, end in one.spans]
    assert len(spans) == len(asked)
    for index, (tokens, begin, end) in zip(asked, spans, strict=True):
        prompt = said(row.messages[:index])
        assert tokens[:begin] == chat.prompt_tokens(tokenizer, template, prompt, switches=found.switches)
        assert tokens[end - 1] in chats.served(family, tokenizer) | found.stop_tokens
        assert not set(tokens[begin : end - 1]) & chats.served(family, tokenizer)
        content = row.messages[index].content or ""
        assert squeezed(content) in squeezed(str(tokenizer.decode(tokens[begin:end])))


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("family", FAMILIES)
@given(turns=TURNS)
@settings(max_examples=25)
def test_each_answer_is_learned_behind_the_prompt_that_serving_sends(
    family: str, turns: list[tuple[str, str, bool]]
) -> None:
    assert_as_served(family, conversation(turns))


@pytest.mark.parametrize("family", ["qwen3", "qwen35", "glm4", "gpt_oss"])
@given(turns=TURNS, thoughts=st.lists(CONTENTS, min_size=1, max_size=4))
@settings(max_examples=25)
def test_thoughts_are_learned_behind_the_prompt_that_serving_sends(
    family: str, turns: list[tuple[str, str, bool]], thoughts: list[str]
) -> None:
    assert_as_served(family, conversation(turns, thoughts))
