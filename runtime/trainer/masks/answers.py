"""An answer as text: the prompt that asks for it, as it is served, and what the model writes behind it."""

import re
from collections.abc import Mapping

from msgspec import Struct

from runtime.model import chat
from runtime.model.chat import ChatTemplate, TemplateRaised, Turns
from runtime.trainer.masks.conversation import OPENS, Conversation
from runtime.trainer.masks.pieces import shared_length
from runtime.trainer.masks.results import Note, Refusal
from runtime.trainer.masks.vocabulary import Vocabulary

STAND_INS = ("QZ7 first stand-in 7ZQ", "XW3 other stand-in 3WX")
OVERLAP = 64  # characters: what templates write of an answer's beginning is `<think>` and a line end


class Written(Struct, frozen=True):
    """What a template writes of an answer behind the prompt that asks for it."""

    prompt: str
    text: str
    overlap: int = 0
    """With how many characters of the answer's content the prompt ends, in templates that begin answers themselves."""


class Answer(Struct, frozen=True):
    """What the model has to write: up to and with `end`, which the text holds or which is added to its tokens."""

    index: int
    written: Written
    text: str
    end: int
    is_end_written: bool = True
    note: Note | None = None


class Answers:
    """How one template asks for answers and writes them."""

    def __init__(self, template: ChatTemplate, vocabulary: Vocabulary) -> None:
        self._template = template
        self._vocabulary = vocabulary
        self._closings: dict[tuple[tuple[str, bool], ...], str] = {}
        self._followings: dict[tuple[tuple[str, bool], ...], str] = {}

    def answer(self, conversation: Conversation, index: int) -> Answer:
        """The answer `messages[index]`. Raises Refusal, and TemplateRaised."""
        prompt = self._render(conversation, conversation.until(index), asks=True)
        full = self._render(conversation, conversation.until(index + 1))
        closing = self._closing(conversation.switches)
        content = conversation.messages[index].get("content", "")
        if full.startswith(prompt):
            written = Written(prompt, full[len(prompt) :], _overlap(prompt, content, 1))
        else:
            overlap = self._continued(conversation, index, prompt, full)
            written = Written(prompt, content[overlap:] + closing, overlap)
        return self._ended(conversation, index, written, closing)

    def _continued(self, conversation: Conversation, index: int, prompt: str, full: str) -> int:
        """With how many characters of the content the prompt ends.

        Templates such as DeepSeek R1's ask with `<think>` and leave thoughts out of a finished answer: what the model
        writes is the content without what the prompt has of it, and what stands behind answers.
        """
        message = conversation.messages[index]
        shared = shared_length(prompt, full)
        overlap = _overlap(prompt, message.get("content", ""), len(prompt) - shared)
        if overlap and "tool_calls" not in message:
            return overlap
        at = len(prompt[:shared].rstrip("<|"))  # not within `<think>`
        asked, given = prompt[at:], full[at:]
        raise Refusal(
            "template_begins_otherwise",
            "the chat template begins answers otherwise than it asks for them: it asks with "
            f"{self._shown(asked)}, the answer has {self._shown(given)}. "
            f"{self._way_out(asked)} a chat_template with the job",
        )

    def _way_out(self, asked: str) -> str:
        if asked.strip() != OPENS:
            return "Give"
        return (
            "Give reasoning_content, or" if self._template.writes_reasoning else "Begin content with <think>, or give"
        )

    def _shown(self, text: str) -> str:
        """The beginning of a text, without the special tokens behind it."""
        special = self._vocabulary.special.search(text, 1)
        return repr(text[: min(special.start() if special else 40, 40)])

    def _ended(self, conversation: Conversation, index: int, written: Written, closing: str) -> Answer:
        place, text = conversation.places[index], written.text
        tail = self._vocabulary.tail(text)
        stop = self._vocabulary.stop.search(text)
        if stop and stop.start() < tail:
            raise Refusal("special_token_in_answer", f"{place} holds {stop[0]!r}, at which answers end")
        if end := stop or self._vocabulary.special.search(text, tail):
            return Answer(index, written, text[: end.end()], self._vocabulary.id(end))
        if follows := self._follows(conversation, index, written, closing):
            note = Note("ended_by_next_turn", place, follows[0])
            return Answer(index, written, text + follows[0], self._vocabulary.id(follows), note=note)
        if self._vocabulary.end is None:
            raise Refusal(
                "no_end_token", f"nothing ends {place}: neither the chat template nor the tokenizer has an end"
            )
        note = Note("end_added", place)
        return Answer(index, written, text.removesuffix(closing), self._vocabulary.end, is_end_written=False, note=note)

    def _follows(self, conversation: Conversation, index: int, written: Written, closing: str) -> re.Match[str] | None:
        """The stop token with which the next turn begins: `<|user|>` or `<|observation|>` end GLM's answers."""
        try:
            if "tool_calls" not in conversation.messages[index]:
                return self._vocabulary.stop.match(self._asked_again(conversation.switches), len(closing))
            text = written.prompt + written.text
            following = conversation.messages[index + 1 : index + 2] or chat.turns([{"role": "tool", "content": "x"}])
            after = self._render(conversation, Turns([*conversation.until(index + 1), *following]))
        except TemplateRaised:
            return None
        return self._vocabulary.stop.match(after, len(text)) if after.startswith(text) else None

    def _closing(self, switches: Mapping[str, bool]) -> str:
        """What the template writes behind an answer, found by two answers that stand in for any. Found once."""
        key = tuple(switches.items())
        if key not in self._closings:
            first, other = (self._behind(answer, switches) for answer in STAND_INS)
            text = self._vocabulary.special.sub("", first).strip()
            if first != other:
                raise Refusal("text_behind_answers", f"the chat template writes {first!r} behind some answers only")
            if text:
                raise Refusal("text_behind_answers", f"the chat template writes {first!r} behind answers")
            self._closings[key] = first
        return self._closings[key]

    def _asked_again(self, switches: Mapping[str, bool]) -> str:
        """What the template writes behind an answer when the user speaks next."""
        key = tuple(switches.items())
        if key not in self._followings:
            self._followings[key] = self._behind(STAND_INS[0], switches, "x")
        return self._followings[key]

    def _behind(self, answer: str, switches: Mapping[str, bool], *next_questions: str) -> str:
        contents = [("user", "x"), ("assistant", answer), *(("user", question) for question in next_questions)]
        turns = chat.turns([{"role": role, "content": content} for role, content in contents])
        text = self._template.render(turns, add_generation_prompt=False, switches=switches)
        _, found, behind = text.rpartition(answer)
        if not found:
            raise Refusal("template_drops", "the chat template does not write what the assistant says")
        return behind

    def _render(self, conversation: Conversation, messages: Turns, *, asks: bool = False) -> str:
        return self._template.render(
            messages, conversation.tools, add_generation_prompt=asks, switches=conversation.switches
        )


def _overlap(prompt: str, content: str, least: int) -> int:
    r"""The length of the longest beginning of a content with which a prompt ends; 0 where it is less than `least`.

    >>> _overlap("Assistant: <think>\n", "<think>\ngreet</think>", 1)
    8
    """
    longest = min(len(prompt), len(content), max(OVERLAP, least))
    return next((size for size in range(longest, max(least, 1) - 1, -1) if prompt.endswith(content[:size])), 0)
