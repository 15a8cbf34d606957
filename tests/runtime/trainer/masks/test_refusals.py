"""Rows that cannot be learned exactly are refused in a sentence that says what to change."""

import pytest

from runtime.model.chat import ChatTemplate
from runtime.trainer.masks.masker import Masker
from runtime.trainer.masks.results import Masked, Refused
from state.rows.row import Chat, Message, Preference, PromptCompletion, Row, Text
from tests import chats, masks
from tests.masks import CALL, RESULT, TOOLS, answer, system, user

SAYS = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
ASKS = "{% if add_generation_prompt %}assistant: {% endif %}"
ONE = Chat((user("Hi"), answer("Hello.")))


def refused(source: str, row: Row = ONE) -> Refused:
    tokenizer = chats.tokenizer("chatml")
    found = Masker(tokenizer, ChatTemplate(tokenizer, source), chats.served("chatml", tokenizer)).masks([row])[0]
    assert isinstance(found, Refused)
    return found


def test_a_template_that_asks_otherwise_than_it_answers() -> None:
    assert masks.refusal("deepseek_r1", ONE) == (
        "the chat template begins answers otherwise than it asks for them: it asks with '<think>\\n', the answer has "
        "'Hello.'. Begin content with <think>, or give a chat_template with the job"
    )


def test_a_tool_call_that_the_template_writes_in_place_of_the_thoughts_for_which_it_asks() -> None:
    thinks = Message("assistant", "<think>\nadd\n</think>", tool_calls=CALL.tool_calls)

    assert masks.refusal("deepseek_r1", Chat((user("Add"), thinks))).startswith(
        "the chat template begins answers otherwise than it asks for them: it asks with '<think>\\n', the answer has "
    )


def test_a_template_that_asks_for_thoughts_which_it_takes_beside_the_content() -> None:
    thoughts = "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}</think>{% endif %}"
    source = "{% for m in messages %}{{ m.role }}: " + thoughts + "{{ m.content }}<|im_end|>{% endfor %}"
    asks = "{% if add_generation_prompt %}assistant: <think>\n{% endif %}"

    assert refused(source + asks).message == (
        "the chat template begins answers otherwise than it asks for them: it asks with '<think>\\n', the answer has "
        "'Hello.'. Give reasoning_content, or a chat_template with the job"
    )


def test_a_system_turn_that_only_the_last_question_shows() -> None:
    assert masks.refusal("mistral3", Chat((system("Be brief."), user("Hi"), answer("Hello.")))) == (
        "the chat template begins answers otherwise than it asks for them: it asks with 'Be brief.\\n\\nHi', the "
        "answer has 'Hi'. Give a chat_template with the job"
    )


def test_a_template_that_asks_always() -> None:
    today = "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n\n{% endfor %}Assistant:"

    assert refused(today).message == "the chat template writes '\\n\\nAssistant:' behind answers"


def test_a_template_whose_ends_depend_on_the_answer() -> None:
    ends = "<|im_end|>{% if m.content[0] == 'X' %}<|endoftext|>{% endif %}"
    depends = "{% for m in messages %}{{ m.role }}: {{ m.content }}" + ends + "{% endfor %}"

    assert refused(depends + ASKS).message == "the chat template writes '<|im_end|>' behind some answers only"


def test_a_template_without_answers() -> None:
    only_users = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"

    assert refused(only_users).message == "the chat template does not write what the assistant says"


def test_what_a_template_raises() -> None:
    assert masks.refusal("gemma", Chat((user("Hi"), answer("Hello."), answer("There.")))) == (
        "the template says: Conversation roles must alternate user/assistant/user/assistant/..."
    )


def test_tools_calls_and_thoughts_that_a_template_does_not_know() -> None:
    thoughts = Chat((user("Hi"), answer("Hello.", thoughts="greet")))

    assert masks.refusal("chatml", Chat((user("Please add"), answer("5.")), TOOLS)) == (
        'the chat template does not write tools ("add")'
    )
    assert masks.refusal("chatml", thoughts) == "the chat template does not write reasoning_content (messages[1])"
    assert masks.refusal("gemma", Chat((user("Add"), CALL, RESULT, answer("5.")))) == (
        'the chat template does not write tool calls (messages[1].tool_calls[0] "add")'
    )


def test_arguments_that_a_template_drops() -> None:
    calls = "{% for call in m.tool_calls or [] %}{{ call.function.name }}{% endfor %}"
    names = "{% for m in messages %}{{ m.role }}: {{ m.content }}" + calls + "<|im_end|>{% endfor %}"

    assert refused(names + ASKS, Chat((user("Add"), CALL))).message == (
        "the chat template does not write 'of' of messages[1].tool_calls[0]'s arguments"
    )


def test_contents_that_a_template_drops() -> None:
    no_system = "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    row = Chat((system("Be as brief as you can."), user("Hi"), answer("Hello.")))

    assert refused(no_system + ASKS, row).message == (
        "the chat template does not write all of messages[0].content (system turns)"
    )


def test_contents_that_a_template_drops_as_a_conversation_grows() -> None:
    asked = "{% set asked = messages | selectattr('role', 'equalto', 'user') | list | length %}"
    later = "{% for m in messages[asked > 1:] %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
    row = Chat((user("What is the sum of two numbers?"), answer("It is five."), user("And of 3 and 4?"), answer("7.")))

    assert refused(asked + later + ASKS, row).message == (
        "the chat template does not write all of messages[0].content (user turns)"
    )


def test_thoughts_in_the_middle_that_a_template_drops() -> None:
    row = Chat((user("Hi"), answer("So: <think>greet</think>Hello.")))

    assert masks.refusal("qwen3", row) == "the chat template does not write all of messages[1].content (answers)"


def test_an_answer_in_whose_middle_the_template_writes_an_end() -> None:
    twice = "{% for m in messages %}{{ m.role }}: <|im_end|>{{ m.content }}<|im_end|>{% endfor %}"

    assert refused(twice + ASKS).message == "messages[1] holds '<|im_end|>', at which answers end"


def test_rows_with_nothing_to_learn() -> None:
    assert masks.refusal("chatml", Chat((user("Hi"),))) == "nothing to learn: no message is the assistant's"
    assert masks.refusal("chatml", Chat((answer("Hi"), user("Hi")))) == (
        "nothing to learn: the only answer is messages[0], and nothing is asked before it"
    )
    assert masks.refusal("chatml", Chat((user("Hi"), answer("Hello.", weight=0)))) == (
        "nothing to learn: all answers have weight 0"
    )


def test_a_first_token_that_is_written_twice() -> None:
    tokenizer = chats.tokenizer("gemma")
    twice = ChatTemplate(tokenizer, "{{ bos_token }}" + chats.source("gemma"))
    gemma = Masker(tokenizer, twice, chats.served("gemma", tokenizer))

    found, text, whole = gemma.masks([ONE, PromptCompletion("<bos>Hi", "Hello."), Text("<bos>Hi")])

    assert found == Refused("two_begin_tokens", "the prompt of messages[1] begins with the first token twice")
    assert text == Refused("two_begin_tokens", "the prompt of completion begins with the first token twice")
    assert isinstance(whole, Masked), "a text is learned as it is"


def test_a_model_without_any_end() -> None:
    tokenizer = chats.tokenizer("chatml")
    tokenizer.eos_token = None
    template = ChatTemplate(tokenizer, "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" + ASKS)

    assert Masker(tokenizer, template, frozenset()).masks([ONE]) == [
        Refused("no_end_token", "nothing ends messages[1]: neither the chat template nor the tokenizer has an end")
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (PromptCompletion("Hi", "It is <|im_end|>."), "completion holds '<|im_end|>', at which answers end"),
        (PromptCompletion("", "Hello."), "the prompt is empty: serving takes no empty prompt"),
        (Preference("Hi", "Hello.", "<|im_start|>"), "rejected holds '<|im_start|>', a special token"),
        (
            Preference((user("Hi"),), (answer("Hello."),), (answer("Go"), user("Why?"))),
            "rejected must be one answer of the assistant behind a prompt",
        ),
        (
            Preference((), (answer("Hello."),), (answer("Go"),)),
            "chosen must be one answer of the assistant behind a prompt",
        ),
        (
            PromptCompletion((user("Hi"),), (Message("assistant", "Hello.", weight=0),)),
            "nothing to learn: all answers have weight 0",
        ),
    ],
)
def test_other_kinds_of_rows(row: Row, message: str) -> None:
    assert masks.refusal("chatml", row) == message


def test_texts_that_teach_nothing() -> None:
    assert masks.refusal("default", Text("Hi"), "completions") == (
        "nothing to learn: nothing follows a line '### Response:' in the text"
    )
    tokenizer = chats.tokenizer("chatml")
    tokenizer.eos_token = None
    one = Masker(tokenizer, ChatTemplate(tokenizer, "x"), frozenset()).masks([Text("a")])
    assert one == [Refused("nothing_to_learn", "text is a single token: there is nothing to predict")]


def test_a_refused_row_takes_nothing_from_its_neighbours() -> None:
    rows: list[Row] = [ONE, Chat((user("Hi"),)), PromptCompletion("<s>a", "b"), ONE]

    first, second, third, last = masks.masker("default").masks(rows)

    assert isinstance(first, Masked)
    assert isinstance(second, Refused)
    assert isinstance(third, Refused)
    assert last == first


def test_weights_contradict_learning_all() -> None:
    row = Chat((user("Hi"), answer("Hello.", weight=0), user("Hi"), answer("Hello.")))

    assert masks.refusal("chatml", row, "all") == 'weight 0 and learn "all" contradict each other'
