"""The rows of an evaluation: of training rows those that ask something, with the answer that they give to it."""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from msgspec import structs, to_builtins

from state.errors import ServiceError
from state.evaluation_records import Row, Turn
from state.row_source import RowSource
from state.rows import formats, row
from state.rows.formats import Detector
from state.rows.problems import Wrong
from state.rows.row import Chat, Message, Messages, Preference, Text

NO_QUESTION = "texts, which ask nothing"
NO_ANSWER = "rows without an answer in words"
TOOLS = "rows with tools"

Found = tuple[int, row.Row, dict[str, object]]
"""Where a row stands, from 1, what it is, and columns beside."""


class Unusable(Exception):
    """A row that cannot be asked; the message says of what kind it is."""


def chosen(name: str, rows: Iterable[Found], most: int) -> tuple[list[Row], dict[str, int]]:
    """Up to `most` rows in their order, and how many cannot be asked, by why.

    Of more rows, a choice that depends on their content alone: the same each time, and no matter how they are ordered.
    Raises ServiceError where none can be asked; `name` is what the rows are called in sentences.
    """
    left_out: Counter[str] = Counter()
    kept = heapq.nsmallest(most, _usable(rows, left_out), key=lambda one: _key(one.prompt) + _key(one.reference))
    if not kept:
        why = ", ".join(f"{count} {kind}" for kind, count in left_out.items()) or "there are none"
        raise ServiceError(
            f"{name}: no row can be asked ({why}). An evaluation needs rows with a question and its answer: prompt and "
            "completion, instruction and output, or messages"
        )
    kept.sort(key=lambda one: one.row)
    return [structs.replace(one, row=number) for number, one in enumerate(kept, start=1)], dict(left_out)


def given(rows: list[dict[str, object]]) -> Iterator[Found]:
    """Rows that came with a request, in any of the formats. Raises ServiceError for one of none."""
    detector = Detector()
    for number, raw in enumerate(rows, start=1):
        try:
            shape = detector.shape_of(raw)
            yield number, formats.convert(raw, shape), {key: raw[key] for key in shape.unused}
        except Wrong as wrong:
            place = f".{wrong.at}" if wrong.at else ""
            raise ServiceError(f"rows[{number - 1}]{place}: {wrong.message}") from None


def item_of(one: Row) -> dict[str, object]:
    """A row as graders see it: with the columns beside, unless they have these names."""
    return {**one.others, "prompt": to_builtins(one.prompt), "reference": one.reference.strip()}


def num_trained_on(asked: list[Row], trained: RowSource) -> int:
    """How many of the rows ask what a training's rows ask. Reads all of those. Raises ServiceError."""
    prompts = Counter(_key(one.prompt) for one in asked)
    seen = {_key(one.prompt) for one in _usable(trained.rows_and_others(skip_invalid=True), Counter())} & prompts.keys()
    return sum(prompts[key] for key in seen)


def _usable(rows: Iterable[Found], left_out: Counter[str]) -> Iterator[Row]:
    """Those that can be asked, numbered as they come."""
    for number, (line, one, others) in enumerate(rows, start=1):
        try:
            prompt, reference = _asked(one)
        except Unusable as why:
            left_out[str(why)] += 1
        else:
            yield Row(row=number, line=line, prompt=prompt, reference=reference, others=others)


def _asked(one: row.Row) -> tuple[str | list[Turn], str]:
    """What a row asks, and its answer. Of a conversation that is its last answer that is learned. Raises Unusable."""
    match one:
        case Text():
            raise Unusable(NO_QUESTION)
        case Chat(messages=messages):
            at = max((at for at, turn in enumerate(messages) if turn.role == "assistant" and turn.weight), default=0)
            prompt: str | Messages = messages[:at]
            answer: str | Messages = messages[at : at + 1]
        case Preference(prompt=prompt, chosen=answer):
            pass
        case _:
            prompt, answer = one.prompt, one.completion
    if one.tools:
        raise Unusable(TOOLS)
    if not prompt:
        raise Unusable(NO_QUESTION)
    asked = prompt if isinstance(prompt, str) else [Turn(turn.role, _words(turn)) for turn in prompt]
    if isinstance(answer, str):
        return asked, answer
    if len(answer) != 1 or not _words(answer[0]).strip():
        raise Unusable(NO_ANSWER)
    return asked, _words(answer[0])


def _words(turn: Message) -> str:
    if turn.tool_calls or turn.role == "tool" or turn.content is None:
        raise Unusable(TOOLS)
    return turn.content


def _key(prompt: str | list[Turn]) -> bytes:
    said = [prompt] if isinstance(prompt, str) else [word for turn in prompt for word in (turn.role, turn.content)]
    return blake2b("\0".join(said).encode(errors="surrogatepass"), digest_size=8).digest()
