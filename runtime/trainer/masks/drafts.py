"""A row as pieces of text: what is learned, behind which prompt, and ended by which token."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from runtime.model import tool_turns
from runtime.model.chat import NO_SWITCHES, ChatTemplate, TemplateRaised
from runtime.trainer.masks import conversation as conversations
from runtime.trainer.masks.answers import Answer, Answers
from runtime.trainer.masks.conversation import CLOSES, OPENS, Conversation
from runtime.trainer.masks.omissions import Omissions
from runtime.trainer.masks.pieces import Piece
from runtime.trainer.masks.results import Note, Refusal
from runtime.trainer.masks.vocabulary import Vocabulary
from state.config import Learn
from state.rows.row import Chat, Message, Messages, Preference, PromptCompletion, Row, Text, Tools

RESPONSE = "### Response:\n"


class Part(Struct, frozen=True):
    """One span to be learned, ended by the token `end`, if there is one."""

    piece: Piece
    end: int | None
    place: str
    is_end_written: bool = False
    """The piece's text ends with the end's text. Otherwise the token is added where it is not there yet."""
    goes_on: bool = False
    """The piece's prompt is what follows the part before, and begins with the one token that ends that part."""


class Draft(Struct, frozen=True):
    parts: Sequence[Part]
    notes: Sequence[Note]
    switches: Mapping[str, bool] = NO_SWITCHES
    learns_all: bool = False


class Drafter:
    """`learn` None learns texts whole, and of all other rows the completions. Preferences are learned in no other way.

    Where a prompt begins with the answer before it, what is new is a piece by itself: 400 turns are tokenized in the
    time of their length, not of its square. Not so with `continues` false.
    """

    def __init__(
        self, template: ChatTemplate, vocabulary: Vocabulary, learn: Learn | None, *, continues: bool = True
    ) -> None:
        self._template = template
        self._vocabulary = vocabulary
        self._learn = learn
        self._continues = continues
        self._answers = Answers(template, vocabulary)
        self._omissions = Omissions(template)

    def draft(self, row: Row) -> Draft:
        """Raises Refusal for a row that cannot be learned exactly."""
        try:
            return self._draft(row)
        except TemplateRaised as error:
            raise Refusal("template_raises", f"the template says: {error.said}") from error

    def _draft(self, row: Row) -> Draft:
        match row:
            case Text(text=text):
                return self._response(text) if self._learn == "completions" else self._text(text)
            case Chat(messages=messages, tools=tools):
                self._refuse_weights(messages)
                return self._chat(messages, _places("messages", messages), tools)
            case PromptCompletion(prompt=str() as prompt, completion=str() as completion):
                return self._completion(prompt, completion)
            case PromptCompletion(prompt=prompt, completion=completion, tools=tools):
                self._refuse_weights((*_messages(prompt), *_messages(completion)))
                read = tuple(replace(message, weight=0) for message in _messages(prompt))
                places = [*_places("prompt", prompt), *_places("completion", completion)]
                return self._chat((*read, *_messages(completion)), places, tools)
            case Preference(prompt=str() as prompt, chosen=str() as chosen, rejected=str() as rejected):
                return self._strings([("chosen", chosen), ("rejected", rejected)], prompt, "prompt")
            case Preference():
                return self._chat_preference(row)

    def _text(self, text: str) -> Draft:
        return Draft(
            [Part(Piece("", text, is_rendered=False), self._vocabulary.end, "text")], self._noted("text", text)
        )

    def _response(self, text: str) -> Draft:
        before, marker, answer = text.rpartition(RESPONSE)
        if not marker or not answer.strip():
            raise Refusal("nothing_to_learn", "nothing to learn: nothing follows a line '### Response:' in the text")
        return self._strings([("text", answer)], before + marker, "text")

    def _completion(self, prompt: str, completion: str) -> Draft:
        draft = self._strings([("completion", completion)], prompt, "prompt")
        return replace(draft, learns_all=self._learn == "all")

    def _strings(self, answers: Sequence[tuple[str, str]], prompt: str, place: str) -> Draft:
        if not prompt:
            raise Refusal("nothing_to_learn", "the prompt is empty: serving takes no empty prompt")
        end = self._vocabulary.end
        for name, answer in answers:
            self._refuse_special(name, answer.removesuffix(self._vocabulary.end_text))
        notes = self._noted(place, prompt)
        if prompt.endswith((" ", "\t")):
            notes.append(Note("prompt_ends_with_blank", place))
        return Draft([Part(Piece(prompt, text, is_rendered=False), end, name) for name, text in answers], notes)

    def _chat(self, messages: Messages, places: Sequence[str], tools: Tools) -> Draft:
        learned = conversations.learned_answers(messages)
        asked = conversations.conversation(self._template, messages, places, tools, learned)
        notes = [Note("not_asked", places[0])] if messages[0].role == "assistant" and messages[0].weight else []
        draft = self._in_either_form([asked])
        return replace(draft, notes=[*notes, *draft.notes], learns_all=self._learn == "all")

    def _chat_preference(self, row: Preference) -> Draft:
        sides = [("chosen", _messages(row.chosen)), ("rejected", _messages(row.rejected))]
        prompt = _messages(row.prompt)
        for name, side in sides:
            if [message.role for message in side] != ["assistant"] or not prompt:
                raise Refusal("nothing_to_learn", f"{name} must be one answer of the assistant behind a prompt")
        both = [
            conversations.conversation(
                self._template,
                (*prompt, *side),
                [*_places("prompt", prompt), *_places(name, side)],
                row.tools,
                [len(prompt)],
            )
            for name, side in sides
        ]
        switches = {name: any(side.switches[name] for side in both) for name in self._template.switches}
        return self._in_either_form([replace(side, switches=switches) for side in both])

    def _in_either_form(self, asked: Sequence[Conversation]) -> Draft:
        """With tool arguments as objects; as JSON only if the template raises: others would quote JSON again."""
        try:
            return self._rendered(asked)
        except TemplateRaised as error:
            if not any("tool_calls" in message for side in asked for message in side.messages):
                raise
            try:
                return self._rendered(
                    [replace(side, messages=tool_turns.with_argument_strings(side.messages)) for side in asked]
                )
            except TemplateRaised:
                raise error from None

    def _rendered(self, asked: Sequence[Conversation]) -> Draft:
        notes: list[Note] = []
        parts = [part for side in asked for part in self._parts(side, notes)]
        return Draft(parts, list(dict.fromkeys(notes)), asked[0].switches)

    def _parts(self, asked: Conversation, notes: list[Note]) -> Iterator[Part]:
        self._omissions.check_calls(asked)
        known, sequence, last = 0, "", ""
        for index in range(asked.learned[-1] + 1):
            notes += self._special_tokens(asked, index)
        for index in asked.learned:
            answer = self._answers.answer(asked, index)
            prompt = answer.written.prompt
            tool_turns.refuse_printed_objects(asked.until(index + 1), prompt + answer.text)
            goes_on = bool(sequence) and prompt.startswith(sequence)
            notes += self._omissions.check(asked, answer, known, goes_on=goes_on)
            notes += [answer.note] if answer.note else []
            piece = Piece(last + prompt.removeprefix(sequence) if goes_on else prompt, answer.text)
            yield Part(piece, answer.end, asked.places[index], answer.is_end_written, goes_on)
            known, sequence, last = index + 1, *self._so_far(answer)

    def _so_far(self, answer: Answer) -> tuple[str, str]:
        """An answer's sequence as text, and the token that ends it, if what follows can be tokenized by itself."""
        end = self._vocabulary.text(answer.end)
        if self._continues and answer.is_end_written and self._vocabulary.cuts(end):
            return answer.written.prompt + answer.text, end
        return "", ""

    def _special_tokens(self, asked: Conversation, index: int) -> Iterator[Note]:
        for field, text in _said(asked.messages[index]):
            place = f"{asked.places[index]}.{field}"
            if index in asked.learned:
                self._refuse_special(place, text)
            else:
                yield from self._noted(place, text)

    def _refuse_special(self, place: str, text: str) -> None:
        for found in self._vocabulary.special.finditer(text):
            if self._vocabulary.id(found) in self._vocabulary.served:
                raise Refusal("special_token_in_answer", f"{place} holds {found[0]!r}, at which answers end")
            if found[0] not in {OPENS, CLOSES}:
                raise Refusal("special_token_in_answer", f"{place} holds {found[0]!r}, a special token")

    def _noted(self, place: str, text: str) -> list[Note]:
        found = self._vocabulary.special.search(text)
        return [Note("special_token_in_text", place, found[0])] if found else []

    def _refuse_weights(self, messages: Messages) -> None:
        unlearned = any(message.role == "assistant" and not message.weight for message in messages)
        if self._learn == "all" and unlearned:
            raise Refusal("nothing_to_learn", 'weight 0 and learn "all" contradict each other')


def _said(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of a message, and what their fields are called."""
    yield from ((name, message[name]) for name in ("content", "reasoning_content") if name in message)
    for number, call in enumerate(message.get("tool_calls", ())):
        yield f"tool_calls[{number}]", json.dumps(call["function"], ensure_ascii=False)


def _messages(turns: str | Messages) -> Messages:
    if isinstance(turns, str):  # state.rows makes all of a row's turns strings, or none
        raise TypeError("a row mixes strings and messages")
    return turns


def _places(name: str, turns: str | Sequence[Message]) -> list[str]:
    return [f"{name}[{index}]" for index in range(len(turns))]
