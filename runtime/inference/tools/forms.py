"""How the families of models write their calls of tools: learned from what their chat templates write.

A template is told by the marks in it, as every model of a family has its own variant of the text around them.
"""

from msgspec import Struct

from runtime.model.chat import ChatTemplate
from state.errors import ServiceError


class Form(Struct, frozen=True):
    """Several calls: `opening`, then `head` name `middle` arguments `tail` for each, with `between`, then `closing`."""

    head: str
    tail: str
    mark: str = ""
    """The part of the first call by which it is told from text before it."""
    middle: str = '", "arguments": '
    between: str = ""
    opening: str = ""
    closing: str = ""
    is_whole_answer: bool = False
    """Whether calls are calls only where the answer begins with them. There is no mark then."""
    before: str = ""
    """What may stand before them then."""

    @property
    def begin(self) -> str:
        """What the first call begins with."""
        return self.opening + self.head


HERMES = Form('<tool_call>\n{"name": "', "}\n</tool_call>", "<tool_call>", between="\n")
MISTRAL = Form('{"name": "', "}", "[TOOL_CALLS]", between=", ", opening="[TOOL_CALLS] [", closing="]")
MISTRAL_SINCE_11 = Form("[TOOL_CALLS]", "", "[TOOL_CALLS]", middle="[ARGS]")
PHI = Form('{"name": "', "}", "<|tool_call|>", between=", ", opening="<|tool_call|>[", closing="]<|/tool_call|>")
PHI_FUNCTOOLS = Form('{"name": "', "}", "functools[", between=", ", opening="functools[", closing="]")
LLAMA = Form(
    '{"name": "',
    "}",
    middle='", "parameters": ',
    between="; ",
    is_whole_answer=True,
    before="<|python_tag|>",
)
MARKS: tuple[tuple[tuple[str, ...], Form], ...] = (
    (("[TOOL_CALLS]", "[ARGS]"), MISTRAL_SINCE_11),
    (("[TOOL_CALLS]",), MISTRAL),
    (("<tool_call>",), HERMES),
    (("functools",), PHI_FUNCTOOLS),
    (("<|tool_call|>",), PHI),
    (("<|tool|>",), PHI),
    (("<|python_tag|>",), LLAMA),
    (("ipython",), LLAMA),
    (('"parameters"',), LLAMA),
)
"""The first form all of whose marks are in a template is its own."""
OTHERS = ("<function=", "<start_function_call>", "<|tool_call>")
"""Marks of forms whose arguments are not JSON."""


def form_of(template: ChatTemplate) -> Form:
    """Raises ServiceError for a template whose calls could not be read."""
    if not any(mark in template.source for mark in OTHERS):
        for marks, form in MARKS:
            if all(mark in template.source for mark in marks):
                return form
    raise ServiceError(
        "The model's chat template writes calls of tools in a form that is not known here: known are those of Llama 3, "
        "Qwen and Hermes, Mistral and Phi, with arguments in JSON"
    )
