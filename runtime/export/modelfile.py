"""Ollama's Modelfile beside a GGUF file.

Ollama does not run a model's own chat template, which is Jinja: it compares it with those that it knows, and otherwise
sends the bare prompt. So the template is written in Ollama's own language, wherever some conversations, tried in the
model's template, are put together from the same pieces turn by turn.
"""

import json
from os.path import commonprefix

from jinja2 import TemplateError
from msgspec import Struct
from transformers import PreTrainedTokenizerBase

from runtime.export.asking import Asking
from runtime.export.fitted import Fitted

SYSTEM, USER, ANSWER, NEXT = (f"Lathe{number}said" for number in range(4))  # stand for what is said


class Turns(Struct, frozen=True):
    """What a chat template puts around the words of the user and of the system, and behind those of the model."""

    opening: str
    system: tuple[str, str] | None
    before: str
    after: str
    """The beginning of the answer included."""
    answer_end: str


def for_model(fitted: Fitted, asking: Asking, file: str) -> str:
    return f"# ollama create {fitted.adapter.name} -f Modelfile\nFROM ./{file}\n{_settings(asking)}"


def for_adapter(fitted: Fitted, asking: Asking, file: str) -> str:
    return (
        f"# {fitted.model_name} as GGUF, which is to lie beside this file, or its name in Ollama's library\n"
        f"FROM ./base.gguf\nADAPTER ./{file}\n{_settings(asking)}"
    )


def _settings(asking: Asking) -> str:
    found = turns(asking.tokenizer)
    lines = [f"PARAMETER stop {json.dumps(text, ensure_ascii=False)}" for text in _stops(asking, found)]
    if found is None:
        lines.insert(0, "# No TEMPLATE: Ollama's language cannot say the model's chat template")
    else:
        lines.insert(0, f'TEMPLATE """{template(found)}"""')
    return "".join(f"{line}\n" for line in lines)


def _stops(asking: Asking, turns: Turns | None) -> list[str]:
    """The tokens that end answers, should they come as text, and what would begin the next turn of the user."""
    ends = asking.tokenizer.convert_ids_to_tokens(asking.ends)
    marks = [asking.tokenizer.eos_token, *ends, (turns.opening + turns.before).strip() if turns else None]
    return list(dict.fromkeys(mark for mark in marks if mark))


def template(turns: Turns) -> str:
    begin, end = turns.system or ("", "")
    system = ["{{ if .System }}", begin, "{{ .System }}", end, "{{ end }}"] if turns.system else []
    user = ["{{ if .Prompt }}", turns.opening, *system, turns.before, "{{ .Prompt }}", turns.after, "{{ end }}"]
    return "".join([*user, "{{ .Response }}", turns.answer_end])


def turns(tokenizer: PreTrainedTokenizerBase) -> Turns | None:
    """The pieces of the model's chat template; None where it is not made of such."""
    user, answer, more = ("user", USER), ("assistant", ANSWER), ("user", NEXT)
    single = _between(tokenizer, user)
    several = _between(tokenizer, user, answer, more)
    if single is None or several is None:
        return None
    before, after = single
    if several[:2] != [before, after] or several[3] != after or not several[2].endswith(before):
        return None
    answer_end = several[2].removesuffix(before)
    opening, around = "", None
    system = _between(tokenizer, ("system", SYSTEM), user)
    if system is not None and system[2] == after:
        opening = "" if system[1].endswith(before) else commonprefix([system[0], before])  # noqa: RUF071  of characters
        rest = before.removeprefix(opening)
        if system[1].endswith(rest):
            before, around = rest, (system[0].removeprefix(opening), system[1].removesuffix(rest))
        else:
            opening = ""
    pieces = (opening, before, after, answer_end, *(around or ()))
    if any(mark in piece for piece in pieces for mark in ("{{", '"""')):
        return None
    return Turns(opening, around, before, after, answer_end)


def _between(tokenizer: PreTrainedTokenizerBase, *said: tuple[str, str]) -> list[str] | None:
    """The pieces around what is said, the beginning of an answer behind it; None where the template does not say it."""
    messages = [{"role": role, "content": content} for role, content in said]
    try:
        rest = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except (TemplateError, ValueError, TypeError):
        return None
    pieces = []
    for _, content in said:
        piece, found, rest = rest.partition(content)
        if not found:
            return None
        pieces.append(piece)
    pieces[0] = pieces[0].removeprefix(tokenizer.bos_token or "")  # Ollama puts it there itself
    return [*pieces, rest]
