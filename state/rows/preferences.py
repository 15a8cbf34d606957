"""Rows of a prompt and what follows it: completions, and pairs of a better and a worse answer, in the shapes of TRL,
LLaMA-Factory, UltraFeedback and OpenAI.
"""

from state.rows import tools, turns, values
from state.rows.problems import Wrong, read_at, shown
from state.rows.row import Message, Messages, Preference, PromptCompletion, Tools

Side = str | Messages


def of_openai(columns: dict[str, object]) -> Preference:
    """`input` with messages and tools, `preferred_output`, `non_preferred_output`."""
    asked = read_at("input", _asked, columns["input"])
    for key in asked.keys() - {"messages", "tools", "parallel_tool_calls"}:
        raise Wrong("misplaced_key", "is no key of input: use messages and tools, or remove it", f"input.{key[:40]}")
    prompt = read_at("input.messages", turns.messages, asked.get("messages"))
    described = read_at("input.tools", tools.described, asked.get("tools"))
    chosen = read_at("preferred_output", turns.messages, columns["preferred_output"])
    rejected = read_at("non_preferred_output", turns.messages, columns["non_preferred_output"])
    return _checked(prompt, chosen, rejected, described, ("preferred_output", "non_preferred_output"))


def _asked(value: object) -> dict[str, object]:
    asked = values.from_json(value, "an object with messages")
    if not isinstance(asked, dict):
        raise Wrong("wrong_type", f'must be an object such as {{"messages": [...]}}, but is {shown(asked)}')
    return asked


def of_pair(columns: dict[str, object]) -> Preference:
    """`chosen` and `rejected`: answers to a prompt, or whole conversations whose common beginning is the prompt."""
    described = read_at("tools", tools.described, columns.get("tools"))
    chosen = read_at("chosen", side, columns["chosen"])
    rejected = read_at("rejected", side, columns["rejected"])
    if isinstance(chosen, str) is not isinstance(rejected, str):
        raise Wrong("wrong_type", "must be like rejected: both texts, or both lists of messages", "chosen")
    prompt = _prompt(columns)
    if _is_whole(chosen) and _is_whole(rejected):
        prompt, chosen, rejected = _split(prompt, chosen, rejected)
    if prompt is None:
        raise Wrong("missing_prompt", f"the row has no prompt: {_ways_to_a_prompt(columns)}")
    if not values.is_blank(columns.get("system")):
        prompt = turns.with_system(columns["system"], _as_messages(prompt))
    chosen, rejected = answer_like(prompt, chosen), answer_like(prompt, rejected)
    prompt = prompt_like(prompt, chosen)
    return _checked(prompt, chosen, rejected, described, ("chosen", "rejected"))


def of_prompt_and_completion(columns: dict[str, object]) -> PromptCompletion:
    described = read_at("tools", tools.described, columns.get("tools"))
    prompt = read_at("prompt", side, columns["prompt"])
    completion = answer_like(prompt, read_at("completion", side, columns["completion"]))
    prompt = prompt_like(prompt, completion)
    if not values.is_blank(columns.get("system")):
        message = "needs messages: put it in front of the prompt, or send columns with instruction, output and system"
        raise Wrong("misplaced_key", message, "system")
    if described and isinstance(prompt, str):
        raise Wrong("misplaced_key", "need messages: write prompt and completion as lists of messages", "tools")
    _check_prompt(prompt)
    _check_answer(completion, "completion")
    return PromptCompletion(prompt, completion, described)


def side(value: object) -> Side:
    """A text, or messages; one turn alone counts as a list of one."""
    if isinstance(value, str):
        value = turns.turns_in(value)
    if isinstance(value, str):
        return value
    if not isinstance(value, dict | list):
        raise Wrong("wrong_type", f"must be a text or a list of messages, but is {shown(value)}: put a text in quotes")
    return turns.messages([value] if isinstance(value, dict) else value)


def answer_like(prompt: Side, answer: Side) -> Side:
    """A text behind messages is the assistant's turn."""
    if isinstance(answer, str) and not isinstance(prompt, str):
        return (Message("assistant", answer),) if answer else ""
    return answer


def prompt_like(prompt: Side, answer: Side) -> Side:
    """A text in front of messages is the user's turn."""
    if isinstance(prompt, str) and not isinstance(answer, str):
        if not prompt:
            raise Wrong("missing_content", "is empty: write the question", "prompt")
        return _as_messages(prompt)
    return prompt


def question(columns: dict[str, object]) -> str:
    """Alpaca's instruction, and its input behind an empty line if it has one."""
    instruction = read_at("instruction", values.text, columns["instruction"])
    if values.is_blank(columns.get("input")):
        asked = instruction
    else:
        given = read_at("input", values.text, columns["input"])
        asked = f"{instruction}\n\n{given}" if instruction.strip() else given
    if not asked.strip():
        raise Wrong("missing_content", "is empty: write what is asked, or remove the row", "instruction")
    return asked


def _prompt(columns: dict[str, object]) -> Side | None:
    """The prompt that a pair gives, under one of its names; None where the answers must hold it."""
    for name in ("prompt", "question", "conversations", "conversation"):
        if not values.is_blank(columns.get(name)):
            return read_at(name, side, columns[name])
    return (Message("user", question(columns)),) if "instruction" in columns else None


def _ways_to_a_prompt(columns: dict[str, object]) -> str:
    if "input" in columns:
        return 'if it is input, send columns {"prompt": "input", "chosen": "chosen", "rejected": "rejected"}'
    return "add it, or write chosen and rejected as whole conversations"


def _as_messages(prompt: Side) -> Messages:
    return (Message("user", prompt),) if isinstance(prompt, str) else prompt


def _is_whole(answer: Side) -> bool:
    return not isinstance(answer, str) and answer[0].role != "assistant"


def _split(given: Side | None, chosen: Side, rejected: Side) -> tuple[Side, Side, Side]:
    """The common beginning of two conversations, and what is behind it in each."""
    assert not isinstance(chosen, str)  # noqa: S101
    assert not isinstance(rejected, str)  # noqa: S101
    if chosen == rejected:
        raise Wrong("identical_answers", "is the same as chosen: remove the row, or write a worse answer", "rejected")
    length = 0
    while length < min(len(chosen), len(rejected)) - 1 and chosen[length] == rejected[length]:
        length += 1
    for name, conversation in (("chosen", chosen), ("rejected", rejected)):
        if conversation[length].role != "assistant":
            message = "is another turn than in the other conversation: both must be the same up to the answer"
            raise Wrong("different_prompt", message, f"{name}[{length}]")
    _check_given(given, chosen[:length])
    return chosen[:length], chosen[length:], rejected[length:]


def _check_given(given: Side | None, common: Messages) -> None:
    """Raise Wrong if a prompt that stands beside whole conversations is not what they begin with."""
    if given is None:
        return
    same = common[-1].content == given if isinstance(given, str) else common[: len(given)] == given
    if not same:
        message = "is not what chosen and rejected begin with: remove it, or write only the answers into them"
        raise Wrong("different_prompt", message, "prompt")


def _checked(prompt: Side, chosen: Side, rejected: Side, described: Tools, names: tuple[str, str]) -> Preference:
    if described and isinstance(prompt, str):
        raise Wrong("misplaced_key", "need messages: write prompt, chosen and rejected as lists of messages", "tools")
    _check_prompt(prompt)
    _check_answer(chosen, names[0])
    _check_answer(rejected, names[1])
    if chosen == rejected:
        message = f"is the same as {names[0]}: remove the row, or write a worse answer"
        raise Wrong("identical_answers", message, names[1])
    return Preference(prompt, chosen, rejected, described)


def _check_prompt(prompt: Side) -> None:
    if not isinstance(prompt, str) and prompt[-1].role == "assistant":
        raise Wrong("misplaced_key", "ends with an assistant's turn: move it to the answer", "prompt")


def _check_answer(answer: Side, name: str) -> None:
    if not answer:
        raise Wrong("missing_content", "is empty: write the answer, or remove the row", name)
    if isinstance(answer, str):
        return
    if answer[0].role != "assistant":
        message = f"must be the assistant's turn, but is the {answer[0].role}'s: move it to the prompt"
        raise Wrong("unrecognized_role", message, f"{name}[0].role")
    try:
        turns.check_learned(answer)
    except Wrong as wrong:
        raise wrong.under(name) from None
