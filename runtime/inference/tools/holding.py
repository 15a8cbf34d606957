"""A grammar of calls: of the form that the model's family writes, with arguments as their functions' schemas say."""

import json

from transformers import PreTrainedTokenizerBase

from runtime.inference import schemas
from runtime.inference.schemas import Unheld
from runtime.inference.tools.forms import Form
from runtime.messages.inference import Tool, ToolUse
from state.errors import ServiceError

MAX_CALLS = 16  # of one answer that has to call: without an end, a weak model makes nothing but calls
NO_ARGUMENTS = '{"type":"object","properties":{},"additionalProperties":false}'


def is_held(use: ToolUse, answer: str | None) -> bool:
    """Whether calls, or the answer in their place, need a grammar."""
    return use.must_call or answer is not None or any(tool.strict for tool in use.tools)


def grammar(form: Form, use: ToolUse, answer: str | None, written: "Written") -> str:
    """In llguidance's kind of Lark; `answer` is the schema of an answer that calls nothing.

    Raises ServiceError.
    """
    tools = [tool for tool in use.tools if use.only in {None, tool.name}]
    more = f"following{{0,{MAX_CALLS - 1}}}" if use.parallel else ""
    rules = [
        *(f"arguments_{number}: %json {_arguments(tool, use)}" for number, tool in enumerate(tools)),
        "function: " + " | ".join(f"function_{number}" for number in range(len(tools))),
        *(
            f"function_{number}: {written(tool.name + form.middle)} arguments_{number}"
            for number, tool in enumerate(tools)
        ),
        f"following: {written(form.between + form.head)} function {written(form.tail)}",
        f"rest: function {written(form.tail)} {more} {written(form.closing)}",
    ]
    if use.must_call:
        return "\n".join([f"start: {written(form.begin)} rest", *rules])
    if answer is not None:
        return "\n".join(
            [f"start: {written(form.begin)} rest | answer", f"answer: %json {schemas.embedded(answer)}", *rules]
        )
    return "\n".join([*_free(form, written), *rules])


def _free(form: Form, written: "Written") -> list[str]:
    """Text, until calls begin: from then on there is nothing but calls."""
    begin, rest = written(form.begin), written(form.begin.removeprefix(form.mark))
    other = written.of_text(form.mark)
    text = f"text: TEXT? ({other} TEXT?)*" if other else "text: TEXT?"
    if form.is_whole_answer:
        before = f"{written(form.before)}? " if written.has(form.before) else ""
        return [f"start: {before}{begin} rest | (BEGIN text)?", text, r"BEGIN: /[^{\s]/", r"TEXT: /(.|\n)+/"]
    if written.has(form.mark):
        return [f"start: text ({begin} rest)?", text, r"TEXT: /(.|\n)+/"]
    return [
        f"start: text | {f'(TEXT? {other})* ' if other else ''}marked {rest} rest",
        text,
        r"TEXT: /(.|\n)+/",
        f"marked[lazy]: /(.|\\n)*/ {written(form.mark)}",
    ]


def _arguments(tool: Tool, use: ToolUse) -> str:
    if not (tool.strict or use.must_call):
        return schemas.embedded('{"type":"object"}')
    schema = NO_ARGUMENTS if tool.parameters is None else json.dumps(tool.parameters, ensure_ascii=False)
    try:
        return schemas.embedded(schema)
    except Unheld as error:
        raise ServiceError(f"The arguments of tool {tool.name} cannot be held. {error}") from error


class Written:
    """Texts as a grammar writes them: added tokens by their numbers, the rest in quotes.

    llguidance takes every added token in angle brackets for a special one, which no quoted text is.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        added = {
            token.content: (number, token.special)
            for number, token in tokenizer.added_tokens_decoder.items()
            if token.special or (token.content.startswith("<") and token.content.endswith(">"))
        }
        self._numbers = {text: number for text, (number, _) in added.items()}
        self._in_text = {text: number for text, (number, is_special) in added.items() if not is_special}

    def has(self, text: str) -> bool:
        """Whether a text is one added token."""
        return text in self._numbers

    def of_text(self, mark: str) -> str:
        """Any of the added tokens that free text has, such as those around thoughts; not a call's mark."""
        numbers = ",".join(str(number) for text, number in self._in_text.items() if text != mark)
        return f"<[{numbers}]>" if numbers else ""

    def __call__(self, text: str) -> str:
        found: list[str] = []
        while text:
            token = next((token for token in self._numbers if text.startswith(token)), None)
            ends = [at for at in (text.find(token, 1) for token in self._numbers) if at > 0]
            size = len(token) if token else min(ends, default=len(text))
            found.append(f"<[{self._numbers[token]}]>" if token else json.dumps(text[:size], ensure_ascii=False))
            text = text[size:]
        return " ".join(found)
