"""The kinds of rows beside conversations, and what is learned of each."""

from collections.abc import Sequence

import pytest
from transformers import PreTrainedTokenizerBase

from runtime.model import chat
from runtime.model.chat import encode_texts
from runtime.trainer.masks import pieces
from runtime.trainer.masks.results import Masked, Note
from state.rows.row import Chat, Preference, PromptCompletion, Text
from tests import chats, masks
from tests.masks import answer, user


def test_a_completion_is_learned_behind_the_tokens_that_serving_makes_of_its_prompt() -> None:
    for family in ("chatml", "mistral3", "tiny-python"):
        tokenizer = chats.tokenizer(family)
        for prompt, completion in (("x = ", "1"), ("def add(a, b):\n", "    return a + b"), ("Hello", " there\n\n")):
            (one,) = masks.masked(family, PromptCompletion(prompt, completion)).sequences

            ((begin, end),) = one.spans
            assert one.tokens[:begin] == tokenizer(prompt)["input_ids"]
            assert end == len(one.tokens)
            assert one.tokens[-1] == tokenizer.eos_token_id
            assert tokenizer.decode(one.tokens[:-1]) == tokenizer.decode(tokenizer(prompt + completion)["input_ids"])


def test_an_end_that_a_completion_brings_is_not_doubled() -> None:
    assert masks.masked("chatml", PromptCompletion("Hi", "Hello.<|im_end|>")) == masks.masked(
        "chatml", PromptCompletion("Hi", "Hello.")
    )


def test_a_prompt_that_ends_with_a_blank_is_told() -> None:
    assert Note("prompt_ends_with_blank", "prompt") in masks.masked("chatml", PromptCompletion("x = ", "1")).notes
    assert masks.masked("chatml", PromptCompletion("x =", " 1")).notes == []


def test_a_completion_in_messages_is_a_conversation_of_which_the_prompt_is_read() -> None:
    prompt, completion = (user("Hi"), answer("Hello."), user("2+3?")), (answer("5."),)
    unlearned = (user("Hi"), answer("Hello.", weight=0), user("2+3?"))

    assert masks.masked("chatml", PromptCompletion(prompt, completion)) == masks.masked(
        "chatml", Chat((*unlearned, *completion))
    )


def test_a_text_is_learned_whole_and_ended_once() -> None:
    for family in ("chatml", "mistral3"):
        tokenizer = chats.tokenizer(family)
        end = tokenizer.eos_token

        plain, ended = masks.masker(family).masks([Text("a = 1\n"), Text(f"a = 1\n{end}")])

        assert isinstance(plain, Masked)
        (one,) = plain.sequences
        assert one.tokens == [*encode_texts(tokenizer, ["a = 1\n"])[0], tokenizer.eos_token_id]
        assert one.spans == [(1, len(one.tokens))]
        assert isinstance(ended, Masked)
        assert ended.sequences == plain.sequences


def test_special_tokens_in_a_text_are_told() -> None:
    found = masks.masked("chatml", Text("<|im_start|>user\nHi<|im_end|>"))

    assert found.notes == [Note("special_token_in_text", "text", "<|im_start|>")]


def test_the_responses_of_texts_can_be_learned_alone() -> None:
    tokenizer = chats.tokenizer("default")
    text = "### Instruction:\nWhat follows '### Response:\n'?\n\n### Response:\nAn answer."

    found = masks.masked("default", Text(text), "completions")

    (one,) = found.sequences
    ((begin, _),) = one.spans
    assert one.tokens[:begin] == tokenizer(text.removesuffix("An answer."))["input_ids"]
    assert masks.learned(tokenizer, found) == [["An answer.</s>"]]


def test_all_of_a_row_can_be_learned() -> None:
    row = Chat((user("Hi"), answer("Hello."), user("2+3?"), answer("5.")))
    pair = PromptCompletion("Hi", "Hello.")
    messages = PromptCompletion(row.messages[:3], row.messages[3:])

    (conversation,) = masks.masked("chatml", row, "all").sequences
    (completion,) = masks.masked("chatml", pair, "all").sequences

    assert conversation.spans == [(1, len(conversation.tokens))]
    assert completion.spans == [(1, len(completion.tokens))]
    assert masks.masked("chatml", messages, "all") == masks.masked("chatml", row, "all")
    assert conversation.tokens == masks.masked("chatml", row).sequences[0].tokens


def test_where_answers_are_sequences_of_their_own_the_same_is_learned_once() -> None:
    row = Chat((user("Hi"), answer("Hello."), user("2+3?"), answer("5.")))

    first, second = masks.masked("qwen3", row, "all").sequences

    ((begin, end),) = second.spans
    assert first.spans == [(1, len(first.tokens))]
    assert first.tokens[:begin] == second.tokens[:begin]
    assert first.tokens[begin] != second.tokens[begin]
    assert end == len(second.tokens)


def test_both_answers_of_a_preference_have_the_same_prompt() -> None:
    strings = Preference("x = ", "1", "2")
    better = Preference((user("Hi"),), (answer("Hello.", thoughts="greet"),), (answer("Go away."),))
    worse = Preference((user("Hi"),), (answer("Hello."),), (answer("Go away.", thoughts="greet"),))

    for family, row in (("tiny-python", strings), ("default", strings), ("qwen3", better), ("qwen35", worse)):
        chosen, rejected = masks.masked(family, row).sequences

        assert chosen.tokens[: chosen.spans[0][0]] == rejected.tokens[: rejected.spans[0][0]]
        assert len(chosen.spans) == len(rejected.spans) == 1


def test_a_prompt_s_notes_are_told_once_though_two_answers_have_it() -> None:
    row = Preference((user("What is <|im_end|>?"),), (answer("A token."),), (answer("Go away."),))

    assert masks.masked("chatml", row).notes == [Note("special_token_in_text", "prompt[0].content", "<|im_end|>")]


def test_a_preference_s_answers_are_two_sequences_though_one_begins_the_other() -> None:
    found = masks.masked("chatml", Preference("Hi", "", " there"))

    assert len(found.sequences) == 2


def test_400_turns_are_tokenized_in_the_time_of_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = [(user(f"Question {number}?"), answer(f"Answer {number}.\n")) for number in range(200)]
    row = Chat(tuple(message for turn in turns for message in turn))
    tokenizer = chats.tokenizer("llama3")
    measured: list[int] = []

    def encode(of: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
        measured.extend(map(len, texts))
        return chat.encode_rendered(of, texts)

    monkeypatch.setattr(pieces, "encode_rendered", encode)
    (one,) = masks.masked("llama3", row).sequences

    said = [{"role": message.role, "content": message.content} for message in row.messages]
    assert len(one.spans) == 200
    assert one.tokens[: one.spans[-1][0]] == chat.prompt_tokens(tokenizer, chats.template(tokenizer), said[:-1])
    assert sum(measured) < 4 * len(tokenizer.decode(one.tokens))
