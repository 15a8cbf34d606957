"""What a row says and its chat template does not write: it would be asked for, or learned, without it.

Templates drop silently what they do not know: tool calls become an empty answer, and the model would learn to say
nothing; thoughts and system turns vanish.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from runtime.model import chat
from runtime.model.chat import ChatTemplate, TemplateRaised
from runtime.trainer.masks.answers import STAND_INS, Answer
from runtime.trainer.masks.conversation import CLOSES, Conversation
from runtime.trainer.masks.results import Note, Refusal

SHORT = 12  # characters
KINDS = {"system": "system turns", "user": "user turns", "assistant": "earlier answers", "tool": "tools' results"}


class Omissions:
    def __init__(self, template: ChatTemplate) -> None:
        self._template = template
        self._written: dict[tuple[object, ...], bool] = {}

    def check_calls(self, conversation: Conversation) -> None:
        """Refuse tool calls of a template that knows of none; it may raise for them something that says less."""
        calls = (
            (f"{place}.tool_calls[0]", message["tool_calls"][0]["function"]["name"])
            for place, message in zip(conversation.places, conversation.messages, strict=True)
            if "tool_calls" in message
        )
        if not self._template.writes_tool_calls and (first := next(calls, None)):
            raise _no_call(*first)

    def check(self, conversation: Conversation, answer: Answer, known: int, *, goes_on: bool) -> Iterator[Note]:
        """Look in an answer and its prompt for all that the messages say. Those before `known` have been looked for
        behind an earlier answer: they are looked for again unless this prompt goes on from there.

        Raises Refusal for what is missing, and notes what has lost blanks at its ends.
        """
        yield from self._check_answer(conversation, answer)
        self._check_tools(conversation, answer.written.prompt)
        for index in range(known, answer.index):
            self._check_by_stand_in(conversation, answer, index)
        for index in range(known if goes_on else 0, answer.index):
            place, kind = conversation.places[index], KINDS[conversation.messages[index]["role"]]
            yield from _check_content(answer.written.prompt, _read(conversation.messages[index]), place, kind)

    def _check_answer(self, conversation: Conversation, answer: Answer) -> Iterator[Note]:
        message, place = conversation.messages[answer.index], conversation.places[answer.index]
        if not _shows(answer.text, message.get("reasoning_content", "")):
            raise Refusal("template_drops", f"the chat template does not write reasoning_content ({place})")
        for number, call in enumerate(message.get("tool_calls", ())):
            _check_call(answer.text, call["function"], f"{place}.tool_calls[{number}]")
        yield from _check_content(answer.text, message.get("content", "")[answer.written.overlap :], place, "answers")

    def _check_tools(self, conversation: Conversation, prompt: str) -> None:
        for tool in conversation.tools or ():
            name = _name(tool)
            if not self._template.writes_tools or not _shows(prompt, name):
                raise Refusal("template_drops", f'the chat template does not write tools ("{name}")')

    def _check_by_stand_in(self, conversation: Conversation, answer: Answer, index: int) -> None:
        """A short text, or a tool's name, may stand in a prompt by chance."""
        message, place = conversation.messages[index], conversation.places[index]
        for number, call in enumerate(message.get("tool_calls", ())):
            if not self._writes(conversation, index, answer.index, "tool_calls"):
                raise _no_call(f"{place}.tool_calls[{number}]", call["function"]["name"])
        content = _read(message).strip()
        if content and len(content) < SHORT and not self._writes(conversation, index, answer.index, "content"):
            raise _no_content(place, KINDS[message["role"]])

    def _writes(self, conversation: Conversation, index: int, end: int, field: str) -> bool:
        """Whether a prompt of so many turns shows a message's content, or its tool calls. Found once for roles."""
        shape = "".join(_letter(message) for message in conversation.messages[:end])
        key = (field, index, shape, bool(conversation.tools), *conversation.switches.items())
        if key not in self._written:
            self._written[key] = self._shows_stand_in(conversation, index, end, field)
        return self._written[key]

    def _shows_stand_in(self, conversation: Conversation, index: int, end: int, field: str) -> bool:
        message = conversation.messages[index]
        changed = {**message, field: STAND_INS[0] if field == "content" else _renamed(message["tool_calls"])}
        messages = chat.turns([*conversation.messages[:index], changed, *conversation.messages[index + 1 : end]])
        try:
            prompt = self._template.render(
                messages, conversation.tools, add_generation_prompt=True, switches=conversation.switches
            )
        except TemplateRaised:
            return True  # it has looked at it
        return STAND_INS[0] in prompt


def _read(message: Mapping[str, Any]) -> str:
    """What a later prompt has to show of a message: thoughts of before are shown to no model."""
    content = str(message.get("content", ""))
    return content.rpartition(CLOSES)[2] if message["role"] == "assistant" else content


def _letter(message: Mapping[str, Any]) -> str:
    """What a message is, as one letter."""
    return "c" if "tool_calls" in message else str(message["role"])[0]


def _check_content(text: str, content: str, place: str, kind: str) -> Iterator[Note]:
    if content in text:
        return
    if content.strip() in text:
        yield Note("content_trimmed", f"{place}.content")
    elif not _shows(text, content):
        raise _no_content(place, kind)


def _check_call(text: str, function: Mapping[str, Any], place: str) -> None:
    if not _shows(text, function["name"]):
        raise _no_call(place, function["name"])
    arguments = function["arguments"]
    for word in _words(json.loads(arguments) if isinstance(arguments, str) else arguments):
        if not _shows(text, word):
            raise Refusal("template_drops", f"the chat template does not write {word!r} of {place}'s arguments")


def _words(value: object) -> Iterator[str]:
    """The names and texts in a tool call's arguments. Numbers may be written in many ways."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _words(item)
        case dict():
            for key, item in value.items():
                yield key
                yield from _words(item)


def _shows(text: str, said: str) -> bool:
    """Whether a text holds another, as it is, as JSON, or with other blanks."""
    if said in text:
        return True
    squeezed = _squeezed(text)
    forms = (said, json.dumps(said, ensure_ascii=False)[1:-1], json.dumps(said)[1:-1])
    return any(_squeezed(form) in squeezed for form in forms)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _renamed(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**call, "function": {**call["function"], "name": STAND_INS[0]}} for call in calls]


def _name(tool: Mapping[str, Any]) -> str:
    function = tool.get("function")
    named = function if isinstance(function, Mapping) else tool
    return str(named.get("name", ""))


def _no_call(place: str, name: str) -> Refusal:
    return Refusal("template_drops", f'the chat template does not write tool calls ({place} "{name}")')


def _no_content(place: str, kind: str) -> Refusal:
    return Refusal("template_drops", f"the chat template does not write all of {place}.content ({kind})")
