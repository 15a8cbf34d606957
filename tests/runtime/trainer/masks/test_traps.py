"""What goes wrong elsewhere: each has led to wrong masks in some trainer."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from runtime.model import chat
from runtime.model.chat import ChatTemplate
from runtime.trainer.masks.masker import Masker
from runtime.trainer.masks.results import Masked, Note, Refused
from state.rows.row import Chat, Message, Row
from tests import chats, masks
from tests.masks import CALL, RESULT, TOOLS, answer, system, user


def learned(family: str, row: Row) -> list[list[str]]:
    tokenizer = chats.tokenizer(family)
    return masks.learned(tokenizer, masks.masked(family, row))


def with_template(source: str, row: Row, family: str = "chatml") -> Masked | Refused:
    tokenizer = chats.tokenizer(family)
    return Masker(tokenizer, ChatTemplate(tokenizer, source), chats.served(family, tokenizer)).masks([row])[0]


def served(tokenizer: PreTrainedTokenizerBase, *turns: Message) -> list[int]:
    said = [{"role": turn.role, "content": turn.content} for turn in turns]
    return chat.prompt_tokens(tokenizer, chats.template(tokenizer), said)


def test_line_ends_at_the_border_are_not_one_token_with_the_prompt_s() -> None:
    tokenizer = chats.tokenizer("chatml")
    row = Chat((user("Code?"), answer("\nreturn a"), user("More?"), answer("No.")))

    found = masks.masked("chatml", row)

    one, two = found.sequences
    begin, end = one.spans[0]
    assert tokenizer.decode(tokenizer("\n\n")["input_ids"][:1]) == "\n\n"  # or this test proves nothing
    assert one.tokens[:begin] == served(tokenizer, *row.messages[:1])
    assert tokenizer.decode(one.tokens[begin:end]) == "\nreturn a<|im_end|>"
    assert two.tokens[: two.spans[0][0]] == served(tokenizer, *row.messages[:3])  # what was said is one text there
    assert found.notes == [Note("border_inside_token", "messages[1]")]


def test_rows_without_thoughts_are_asked_without_and_rows_with_thoughts_are_asked_to_think() -> None:
    row = Chat((user("Hi"), answer("Hello."), user("2+3?"), answer("5.")))
    thinks = Chat((user("Hi"), answer("Hello.", thoughts="greet")))

    without, with_thoughts = masks.masked("qwen35", row), masks.masked("qwen35", thinks)

    assert without.switches == {"enable_thinking": False}
    assert with_thoughts.switches == {"enable_thinking": True}
    assert without.notes == with_thoughts.notes == []  # no border inside a token
    assert learned("qwen35", row) == [["Hello.<|im_end|>"], ["5.<|im_end|>"]]
    assert learned("qwen35", thinks) == [["greet\n</think>\n\nHello.<|im_end|>"]]


def test_an_empty_thought_in_content_is_no_thought() -> None:
    found = masks.masked("qwen3", Chat((user("Hi"), answer("<think>\n\n</think>\n\nHello."))))

    assert found.switches == {"enable_thinking": False}
    assert masks.learned(chats.tokenizer("qwen3"), found) == [["Hello.<|im_end|>"]]


def test_thoughts_in_content_are_learned_as_those_beside_it() -> None:
    inside = Chat((user("Hi"), answer("<think>\ngreet\n</think>\n\nHello.")))
    beside = Chat((user("Hi"), answer("Hello.", thoughts="greet")))

    assert masks.masked("qwen35", inside) == masks.masked("qwen35", beside)


def test_answers_that_lose_their_thoughts_later_are_sequences_of_their_own() -> None:
    row = Chat((user("Hi"), answer("Hello.", thoughts="greet"), user("2+3?"), answer("5.", thoughts="add")))

    assert learned("qwen3", row) == [
        ["<think>\ngreet\n</think>\n\nHello.<|im_end|>"],
        ["<think>\nadd\n</think>\n\n5.<|im_end|>"],
    ]


def test_thoughts_are_learned_where_the_template_asks_for_them_and_leaves_them_out() -> None:
    row = Chat((user("Hi"), answer("<think>\ngreet\n</think>\n\nHello.")))

    assert learned("deepseek_r1", row) == [["greet\n</think>\n\nHello.<\uff5cend\u2581of\u2581sentence\uff5c>"]]


def test_the_marks_of_thoughts_may_be_special_tokens() -> None:
    tokenizer = chats.tokenizer("deepseek_r1")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    row = Chat((user("Hi"), answer("<think>\ngreet\n</think>\n\nHello.")))

    found = masks.masker("deepseek_r1", tokenizer).masks([row])[0]

    assert tokenizer.added_tokens_decoder[tokenizer.vocab["</think>"]].special
    assert found == masks.masked("deepseek_r1", row)


@pytest.mark.parametrize("family", ["llama3", "phi3", "chatml", "tiny-python", "default"])
def test_a_tool_call_that_the_template_drops_is_no_empty_answer(family: str) -> None:
    row = Chat((user("Please add 2 and 3"), CALL, RESULT, answer("It is 5.")))

    assert masks.refusal(family, row) == (
        'the chat template does not write tool calls (messages[1].tool_calls[0] "add")'
    )


def test_a_tool_call_that_is_dropped_where_the_prompt_has_its_name_is_found() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content or m.tool_calls[:0] }}<|im_end|>{% endfor %}"
    asks = "{% if add_generation_prompt %}assistant: {% endif %}"
    row = Chat((user("Please add 2 and 3"), CALL))

    found = with_template(source + asks, row)

    assert isinstance(found, Refused)
    assert found.message == 'the chat template does not write tool calls (messages[1].tool_calls[0] "add")'


def test_a_call_in_the_context_that_is_dropped_is_found() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content or m.tool_calls[:0] }}<|im_end|>{% endfor %}"
    asks = "{% if add_generation_prompt %}assistant: {% endif %}"
    unlearned = Message("assistant", tool_calls=CALL.tool_calls, weight=0)

    found = with_template(source + asks, Chat((user("Please add"), unlearned, RESULT, answer("It is 5."))))

    assert isinstance(found, Refused)
    assert found.message == 'the chat template does not write tool calls (messages[1].tool_calls[0] "add")'


def test_trimmed_contents_are_told() -> None:
    found = masks.masked("llama3", Chat((user(" Code?"), answer("    return a\n"))))

    assert found.notes == [
        Note("content_trimmed", "messages[1].content"),
        Note("content_trimmed", "messages[0].content"),
    ]


def test_what_stands_behind_the_end_of_the_last_answer_is_not_learned() -> None:
    row = Chat((user("Hi"), answer("Hello."), user("2+3?"), answer("5.")))

    assert learned("phi3", row) == [["Hello.<|end|>", "5.<|end|>"]]  # and no <|endoftext|>


@pytest.mark.parametrize("thoughts", [None, "greet"])
def test_answers_that_nothing_closes_end_with_the_token_of_the_next_turn(thoughts: str | None) -> None:
    found = masks.masked("glm4", Chat((user("Hi"), answer("Hello.", thoughts=thoughts))))

    tokens = found.sequences[0].tokens
    assert chats.tokenizer("glm4").decode(tokens[-1:]) == "<|user|>"
    assert found.notes == [Note("ended_by_next_turn", "messages[1]", "<|user|>")]


def test_tool_calls_that_nothing_closes_end_with_the_token_of_their_result() -> None:
    row = Chat((user("Please add"), CALL, RESULT, answer("It is 5.")), TOOLS)
    alone = Chat((user("Please add"), CALL), TOOLS)

    assert [text[-15:] for text in learned("glm4", row)[0]] == ["<|observation|>", "t is 5.<|user|>"]
    assert learned("glm4", alone)[0][0].endswith("<|observation|>")


def test_answers_that_nothing_ends_get_the_end_token() -> None:
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}"
    asks = "{% if add_generation_prompt %}assistant:{% endif %}"
    tokenizer = chats.tokenizer("chatml")

    found = with_template(source + asks, Chat((user("Hi"), answer("Hello."), user("2+3?"), answer("5."))))

    assert isinstance(found, Masked)
    assert masks.learned(tokenizer, found) == [[" Hello.<|im_end|>"], [" 5.<|im_end|>"]]
    assert found.notes == [Note("end_added", "messages[1]"), Note("end_added", "messages[3]")]


def test_a_date_is_frozen_so_that_a_resumed_run_reads_the_same_text() -> None:
    row = Chat((user("Hi"), answer("Hello.")))

    assert masks.masked("llama32", row) == masks.masked("llama32", row)
    assert "25 Nov 2026" in masks.marked(chats.tokenizer("llama32"), masks.masked("llama32", row).sequences[0])


def test_an_assistant_that_begins_is_read_and_not_learned() -> None:
    row = Chat((answer("Welcome."), user("Hi"), answer("Hello.")))

    assert learned("chatml", row) == [["Hello.<|im_end|>"]]
    assert masks.masked("chatml", row).notes == [Note("not_asked", "messages[0]")]


def test_special_tokens_in_prompts_are_told() -> None:
    row = Chat((user("What is <|im_end|>?"), answer("A token.")))

    assert masks.masked("chatml", row).notes == [Note("special_token_in_text", "messages[0].content", "<|im_end|>")]


@pytest.mark.parametrize("token", ["<|im_end|>", "<|im_start|>"])
def test_special_tokens_in_answers_are_refused(token: str) -> None:
    why = {"<|im_end|>": "at which answers end", "<|im_start|>": "a special token"}[token]
    row = Chat((user("Hi"), answer("Hello."), user("A token?"), answer(f"It is {token}.")))

    assert masks.refusal("chatml", row) == f"messages[3].content holds {token!r}, {why}"


def test_tool_arguments_are_written_as_json_once() -> None:
    row = Chat((user("Please add"), CALL), TOOLS)

    (((text,),),) = (learned("llama32", row),)

    written = json.loads(text.removesuffix("<|eot_id|>"))
    assert written == {"name": "add", "parameters": {"a": 2, "of": "two é"}}


def test_tool_arguments_are_strings_for_templates_that_raise_for_objects() -> None:
    call = "{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}{% endfor %}"
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}" + call + "<|im_end|>{% endfor %}"
    asks = "{% if add_generation_prompt %}assistant: {% endif %}"

    found = with_template(source + asks, Chat((user("Please add"), CALL)))

    assert isinstance(found, Masked), found.message
    assert masks.learned(chats.tokenizer("chatml"), found) == [['add{"a": 2, "of": "two é"}<|im_end|>']]


def test_tool_arguments_are_strings_for_templates_that_print_objects_as_python_does() -> None:
    call = "{% for c in m.tool_calls or [] %}{{ c.function.name ~ c.function.arguments }}{% endfor %}"
    source = "{% for m in messages %}{{ m.role }}: {{ m.content }}" + call + "<|im_end|>{% endfor %}"
    asks = "{% if add_generation_prompt %}assistant: {% endif %}"

    found = with_template(source + asks, Chat((user("Please add"), CALL)))

    assert isinstance(found, Masked), found.message
    assert masks.learned(chats.tokenizer("chatml"), found) == [['add{"a": 2, "of": "two é"}<|im_end|>']]


def test_stop_tokens_that_serving_does_not_know_are_told() -> None:
    gemma = chats.tokenizer("gemma")

    found = masks.masked("gemma", Chat((user("Hi"), answer("Hello."))))

    assert found.stop_tokens == {gemma.vocab["<end_of_turn>"]}


@pytest.mark.parametrize("family", ["phi3", "chatml"])
@pytest.mark.parametrize("strips", [{"rstrip": True}, {"lstrip": True}, {"single_word": True}])
def test_end_tokens_that_swallow_blanks_are_learned_behind_what_serving_sends(
    family: str, strips: dict[str, bool]
) -> None:
    """Phi 3's special tokens strip what stands right of them."""
    tokenizer = chats.tokenizer(family)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    ends = {"phi3": "<|end|>", "chatml": "<|im_end|>"}[family]
    backend.add_special_tokens([AddedToken(ends, normalized=False, **strips)])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=tokenizer.eos_token)
    made.chat_template = chats.source(family)
    row = Chat((user("Hi.  \n"), answer("Hello. \n"), user("2+3?\n\n"), answer("5.\n")))

    found = masks.masker(family, made).masks([row])[0]

    assert isinstance(found, Masked), found.message
    spans = [(one.tokens, begin, end) for one in found.sequences for begin, end in one.spans]
    for index, (tokens, begin, end) in zip((1, 3), spans, strict=True):
        assert tokens[:begin] == served(made, *row.messages[:index])
        assert made.decode(tokens[end - 1 : end]) == ends


def test_a_short_system_turn_that_is_dropped_is_found_though_its_text_stands_elsewhere() -> None:
    source = (
        "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )

    found = with_template(source, Chat((system("Hi"), user("Hi"), answer("Hello."))))

    assert isinstance(found, Refused)
    assert found.message == "the chat template does not write all of messages[0].content (system turns)"
