"""Rows for the tests of masks, and masks as text: what is learned stands between ⟦ and ⟧.

`python -m tests.masks` writes the golden files anew.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from runtime.trainer.documents import Document
from runtime.trainer.masks.masker import Masker
from runtime.trainer.masks.results import Masked, Refused
from state.config import Learn
from state.rows.row import Chat, Function, Message, Preference, PromptCompletion, Row, Text, ToolCall, Tools
from tests import chats
from tests.server import CHECKOUT

GOLDEN = CHECKOUT / "tests" / "runtime" / "trainer" / "masks" / "golden"


def user(content: str) -> Message:
    return Message("user", content)


def system(content: str) -> Message:
    return Message("system", content)


def answer(content: str | None, *, thoughts: str | None = None, weight: int = 1) -> Message:
    return Message("assistant", content, thoughts, weight=1 if weight else 0)


CALL = Message("assistant", tool_calls=(ToolCall("function", Function("add", {"a": 2, "of": "two é"}), "abcdefghi"),))
RESULT = Message("tool", "5 is it", tool_call_id="abcdefghi", name="add")
TOOLS: Tools = (
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    },
)
ROWS: dict[str, Row] = {
    "one turn": Chat((user("What is 2+3?"), answer("It is 5."))),
    "two turns": Chat((user("Hi"), answer("Hello there!"), user("What is 2+3?"), answer("It is 5."))),
    "a system turn": Chat((system("Be brief."), user("Hi"), answer("Hello there!"), user("2+3?"), answer("5"))),
    "tools": Chat((user("Please add 2 and 3"), CALL, RESULT, answer("It is 5.")), TOOLS),
    "thoughts in content": Chat(
        (
            user("Hi"),
            answer("<think>\ngreet\n</think>\n\nHello there!"),
            user("2+3?"),
            answer("<think>\nadd\n</think>\n\nIt is 5."),
        )
    ),
    "reasoning_content": Chat(
        (
            user("Hi"),
            answer("Hello there!", thoughts="greet"),
            user("2+3?"),
            answer("It is 5.", thoughts="add"),
        )
    ),
    "line ends at the border": Chat((user("Code?"), answer("\n\n    return a\n"))),
    "two answers in a row": Chat((user("Hi"), answer("Hello there."), answer("What is it?"))),
    "the assistant begins": Chat((answer("What is it?"), user("Hi"), answer("Hello there."))),
    "a turn of weight 0": Chat((user("Hi"), answer("Go away.", weight=0), user("Please"), answer("Hello there."))),
    "prompt and completion": PromptCompletion("x = ", "1"),
    "preference": Preference((user("Hi"),), (answer("Hello there!"),), (answer("Go away."),)),
    "text": Text("### Instruction:\nHi\n\n### Response:\nHello there!"),
}


def masker(
    family: str, of: PreTrainedTokenizerBase | None = None, learn: Learn | None = None, *, served: bool = True
) -> Masker:
    """`served` false: where only the tokenizer says where answers end."""
    tokenizer = of or chats.tokenizer(family)
    return Masker(
        tokenizer, chats.template(tokenizer), chats.served(family, tokenizer) if served else frozenset(), learn
    )


def masked(family: str, row: Row, learn: Learn | None = None) -> Masked:
    found = masker(family, learn=learn).masks([row])[0]
    assert isinstance(found, Masked), found.message
    return found


def refusal(family: str, row: Row, learn: Learn | None = None) -> str:
    found = masker(family, learn=learn).masks([row])[0]
    assert isinstance(found, Refused), found
    return found.message


def marked(tokenizer: PreTrainedTokenizerBase, sequence: Document) -> str:
    """A sequence as text. Where a blank begins a piece that its tokenizer shows nowhere else, the text lacks it."""
    return "".join(_marked(tokenizer, sequence))


def learned(tokenizer: PreTrainedTokenizerBase, found: Masked) -> list[list[str]]:
    """The learned spans of each sequence."""
    return [[_text(tokenizer, one.tokens, begin, end) for begin, end in one.spans] for one in found.sequences]


def golden(family: str) -> str:
    """All rows with one family's template, as text."""
    tokenizer = chats.tokenizer(family)
    found = masker(family, tokenizer).masks(ROWS.values())
    pieces = (_piece(tokenizer, name, one) for name, one in zip(ROWS, found, strict=True))
    return "\n".join("\n".join(piece) + "\n" for piece in pieces)


def _piece(tokenizer: PreTrainedTokenizerBase, name: str, found: Masked | Refused) -> Iterator[str]:
    yield f"=== {name}"
    if isinstance(found, Refused):
        yield f"refused ({found.id}): {found.message}"
        return
    if found.switches:
        yield f"switches: {', '.join(f'{name}={value}' for name, value in found.switches.items())}"
    for note in found.notes:
        yield f"note: {note.id} at {note.at}" + (f" {note.value!r}" if note.value else "")
    if found.stop_tokens:
        yield f"to be served: {', '.join(sorted(str(tokenizer.decode([token])) for token in found.stop_tokens))}"
    for number, sequence in enumerate(found.sequences, start=1):
        yield f"--- sequence {number}"
        yield marked(tokenizer, sequence)


def _marked(tokenizer: PreTrainedTokenizerBase, sequence: Document) -> Iterable[str]:
    at = 0
    for begin, end in sequence.spans:
        yield _text(tokenizer, sequence.tokens, at, begin)
        yield f"⟦{_text(tokenizer, sequence.tokens, begin, end)}⟧"
        at = end
    yield _text(tokenizer, sequence.tokens, at, len(sequence.tokens))


def _text(tokenizer: PreTrainedTokenizerBase, tokens: list[int], begin: int, end: int) -> str:
    """Of some tokens among others: a decoder strips the blank that begins a text."""
    return str(tokenizer.decode(tokens[:end])).removeprefix(str(tokenizer.decode(tokens[:begin])))


def write(folder: Path = GOLDEN) -> None:
    folder.mkdir(exist_ok=True)
    for family in chats.FAMILIES:
        (folder / f"{family}.txt").write_text(golden(family))


if __name__ == "__main__":
    write()
