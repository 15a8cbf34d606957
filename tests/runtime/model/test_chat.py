"""Prompts from conversations: equal to what transformers and serving make of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from transformers import ByT5Tokenizer

from runtime.messages import inference
from runtime.model import chat
from runtime.model.chat import ChatTemplate, TemplateRaised
from runtime.model.prompts import Prompts
from state.adapters import ChatSettings
from state.errors import ServiceError
from state.rows.row import Chat, Message
from tests import chats, masks

ASKED = [
    {"role": "user", "content": "Hi\n\n  there"},
    {"role": "assistant", "content": "\n\nHello é 🙂"},
    {"role": "user", "content": "2+3?"},
]
CONVERSATIONS = {name: row for name, row in masks.ROWS.items() if isinstance(row, Chat)}


def messages(turns: Sequence[Message]) -> list[dict[str, Any]]:
    return [
        {
            "role": turn.role,
            "content": turn.content,
            "reasoning_content": turn.reasoning_content,
            "tool_calls": [
                {
                    "type": "function",
                    "id": call.id,
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in turn.tool_calls
            ]
            or None,
            "tool_call_id": turn.tool_call_id,
            "name": turn.name,
        }
        for turn in turns
    ]


@pytest.mark.parametrize("family", chats.FAMILIES)
def test_a_conversation_renders_as_transformers_renders_it(family: str) -> None:
    tokenizer = chats.tokenizer(family)
    template = ChatTemplate(tokenizer)

    for row in CONVERSATIONS.values():
        for asks in (True, False):
            given = messages(row.messages)
            options: dict[str, Any] = {"tools": list(row.tools) or None, "add_generation_prompt": asks}
            try:
                expected = tokenizer.apply_chat_template(
                    given, chat_template=template.source, tokenize=False, enable_thinking=False, **options
                )
            except Exception:  # noqa: BLE001  whatever the template raises: here it has to be a refusal
                with pytest.raises(TemplateRaised):
                    template.render(chat.turns(given), **options)
            else:
                assert template.render(chat.turns(given), switches={"enable_thinking": False}, **options) == expected


@pytest.mark.parametrize("family", chats.FAMILIES)
def test_a_prompt_has_the_tokens_that_serving_sends(family: str) -> None:
    tokenizer = chats.tokenizer(family)
    turns: list[int | inference.Message] = [inference.Message(turn["role"], turn["content"]) for turn in ASKED]

    tokens = chat.prompt_tokens(tokenizer, ChatTemplate(tokenizer), ASKED)

    assert tokens == Prompts(tokenizer, len(tokenizer)).tokens(turns, ChatSettings())


@pytest.mark.parametrize("family", ["chatml", "llama2", "mistral3"])
def test_many_texts_have_the_tokens_that_each_has_by_itself(family: str) -> None:
    tokenizer = chats.tokenizer(family)
    tokenizer.backend_tokenizer.enable_truncation(4)  # as some models' tokenizer.json does
    texts = ["", " a", "\n\nb</s>c<|im_end|>\n", "x" * 100]

    tokens = chat.encode_rendered(tokenizer, texts)

    assert tokens == [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert chat.encode_rendered(tokenizer, []) == []


def test_a_tokenizer_written_in_python_is_asked_in_the_same_way() -> None:
    tokenizer = ByT5Tokenizer()

    assert not tokenizer.is_fast
    assert chat.encode_rendered(tokenizer, ["a", "</s>b"]) == [[100], [1, 101]]


def test_a_date_in_a_prompt_is_the_clock_s() -> None:
    tokenizer = chats.tokenizer("llama32")
    template = ChatTemplate(tokenizer, now=lambda: datetime(2001, 2, 3, 4))  # noqa: DTZ001

    assert "Today Date: 03 Feb 2001\n" in template.render(chat.turns(ASKED), add_generation_prompt=True)
    assert template.writes_date
    assert not ChatTemplate(chats.tokenizer("llama3")).writes_date


def test_thinking_switches_are_variables_and_no_words_of_a_template() -> None:
    tokenizer = chats.tokenizer("chatml")

    assert ChatTemplate(chats.tokenizer("qwen3")).switches == ("enable_thinking",)
    assert ChatTemplate(tokenizer, "I am thinking. {% if thinking %}Yes{% endif %}").switches == ("thinking",)
    assert ChatTemplate(tokenizer, "I am thinking. {{ messages[0].thinking }}").switches == ()


def test_thoughts_have_all_the_names_that_templates_use() -> None:
    turn = chat.turns([{"role": "assistant", "content": None, "reasoning_content": "so"}])[0]

    assert turn == {"role": "assistant", "reasoning_content": "so", "thinking": "so"}


def test_a_model_without_a_template_gets_one_that_ends_its_answers_and_asks_for_them() -> None:
    tokenizer = chats.tokenizer("default")
    template = ChatTemplate(tokenizer)

    asked = template.render(chat.turns(ASKED), add_generation_prompt=True)
    told = template.render(chat.turns(ASKED[:2]), add_generation_prompt=False)

    assert asked == "<s>User: Hi\n\n  there\n\nAssistant: \n\nHello é 🙂</s>\n\nUser: 2+3?\n\nAssistant:"
    assert told == "<s>User: Hi\n\n  there\n\nAssistant: \n\nHello é 🙂</s>\n\n"


def test_the_default_template_begins_as_the_tokenizer_begins_texts() -> None:
    tokenizer = chats.tokenizer("chatml")  # it has no first token
    tokenizer.chat_template = None

    assert ChatTemplate(tokenizer).render(chat.turns(ASKED), add_generation_prompt=True).startswith("User: Hi")


def test_of_several_templates_the_default_is_taken() -> None:
    tokenizer = chats.tokenizer("chatml")
    tokenizer.chat_template = {"default": "one", "tool_use": "two"}

    assert ChatTemplate(tokenizer).source == "one"


def test_a_template_of_the_job_s_own_comes_before_the_model_s() -> None:
    template = ChatTemplate(chats.tokenizer("chatml"), "Q: {{ messages[0].content }}")

    assert template.render(chat.turns(ASKED[:1]), add_generation_prompt=True) == "Q: Hi\n\n  there"


def test_what_a_template_raises_is_a_refusal_in_its_words() -> None:
    gemma = ChatTemplate(chats.tokenizer("gemma"))

    with pytest.raises(TemplateRaised, match="System role not supported") as refused:
        gemma.render(chat.turns([{"role": "system", "content": "x"}]), add_generation_prompt=True)
    assert refused.value.said == "System role not supported"
    with pytest.raises(TemplateRaised, match="there is no message"):
        gemma.render(chat.turns([]), add_generation_prompt=True)


def test_a_source_that_is_no_template_is_refused() -> None:
    with pytest.raises(ServiceError, match=r"The chat template is no valid template: .*endfor"):
        ChatTemplate(chats.tokenizer("chatml"), "{% for message in messages %}")
