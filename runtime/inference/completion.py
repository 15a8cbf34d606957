"""From a prompt to a text."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from runtime.worker_protocol import Generate, Generated, Message
from state import models
from state.errors import ServiceError


def complete(
    model: Any,  # noqa: ANN401  a transformers model, or one in peft's wrapping: both generate
    tokenizer: PreTrainedTokenizerBase,
    request: Generate,
    is_cancelled: Callable[[], bool],
) -> Generated:
    """Complete the request's prompt. Raises ServiceError for a prompt that the model cannot take, or NaN logits.

    Asks `is_cancelled` after each token and ends when it is so.
    """
    prompt = prompt_tokens(tokenizer, request.prompt)
    check_length(len(prompt), request.max_new_tokens, models.context_length(model.config.to_dict()))
    if request.seed is None:
        torch.seed()
    else:
        torch.manual_seed(request.seed)
    prompt_1T = torch.tensor([prompt], device=model.device)
    tokens_1T = model.generate(
        input_ids=prompt_1T,
        attention_mask=torch.ones_like(prompt_1T),
        max_new_tokens=request.max_new_tokens,
        logits_processor=LogitsProcessorList([_RefuseNonFinite()]),
        stopping_criteria=StoppingCriteriaList([_Until(tokenizer, len(prompt), request.stop, is_cancelled)]),
        **_sampling(request.temperature, request.top_p),
    )
    completion = tokens_1T[0, len(prompt) :].tolist()
    text = continuation(tokenizer, prompt, completion)
    end = _first_of(request.stop, text)
    is_whole = end is not None or (bool(completion) and completion[-1] in _end_tokens(model.generation_config))
    return Generated(
        text=text[:end],
        prompt_tokens=len(prompt),
        completion_tokens=len(completion),
        finish_reason="stop" if is_whole else "length",
    )


def settings_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """A model's own special tokens, and none of its taste: a published model may bring penalties and a top_k.

    What is asked for is what happens; temperature 0 is the most likely token, not the most likely but one.
    """
    own = model.generation_config
    end = own.eos_token_id if own is not None else None
    if end is None:
        end = tokenizer.eos_token_id
    settings = GenerationConfig(eos_token_id=end)
    settings.pad_token_id = next(iter(_end_tokens(settings)), 0)  # one prompt at a time: never used, only asked for
    return settings


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, prompt: str | list[Message]) -> list[int]:
    """A prompt as the tokenizer makes it by default, special tokens included; a conversation by its chat template.

    Raises ServiceError for an empty prompt, and for a conversation that the template does not take.
    """
    if isinstance(prompt, str):
        tokens: list[int] = tokenizer(prompt)["input_ids"] if prompt else []
    elif tokenizer.chat_template is None:
        raise ServiceError("This model has no chat template: send a prompt instead of messages")
    else:
        try:
            turns = [{"role": turn.role, "content": turn.content} for turn in prompt]
            text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        except TemplateError as error:
            raise ServiceError(f"The model's chat template does not take these messages: {error}") from error
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]  # the template wrote the special ones
    if not tokens:
        raise ServiceError("prompt must not be empty")
    return tokens


def check_length(prompt: int, max_new: int, context: int | None) -> None:
    if context is not None and prompt + max_new > context:
        raise ServiceError(
            f"The prompt has {prompt} tokens and max_new_tokens is {max_new}: together {prompt + max_new}, "
            f"but the model's context is {context} tokens"
        )


def continuation(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], completion: Sequence[int]) -> str:
    """The completion's text as it follows on the prompt's.

    Decoded alone it could lack its first space: some tokenizers drop the one that begins a text.
    """
    before, whole = _text(tokenizer, prompt), _text(tokenizer, [*prompt, *completion])
    return whole[len(before) :] if whole.startswith(before) else _text(tokenizer, completion)


class _RefuseNonFinite(LogitsProcessor):
    """Raises where the model computed NaN or infinity; sampling would fail without words, greedy choice go on."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if not bool((scores < torch.inf).all()):
            raise ServiceError(
                f"The model computed NaN or infinity after {input_ids.shape[1]} tokens: its weights, or the "
                "adapter's, have values beyond what it can compute with"
            )
        return scores


class _Until(StoppingCriteria):
    """Ends a generation that is cancelled, or whose last tokens spell a stop string."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, start: int, stop: Sequence[str], is_cancelled: Callable[[], bool]
    ) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._stop = stop
        self._is_cancelled = is_cancelled
        # a token spells a byte at least; some more, since special tokens spell nothing
        self._tail = max((len(string.encode()) for string in stop), default=0) + 8

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:  # noqa: ARG002
        return torch.tensor([self._is_cancelled() or self._spells_a_stop(input_ids[0])], device=input_ids.device)

    def _spells_a_stop(self, tokens: torch.Tensor) -> bool:
        if not self._stop:
            return False
        tail = tokens[max(self._start, len(tokens) - self._tail) :].tolist()
        return _first_of(self._stop, _text(self._tokenizer, tail)) is not None


def _sampling(temperature: float, top_p: float) -> dict[str, object]:
    if temperature == 0:
        return {"do_sample": False}
    return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def _end_tokens(settings: GenerationConfig) -> list[int]:
    end = settings.eos_token_id
    if end is None:
        return []
    return list(end) if isinstance(end, list) else [end]


def _first_of(stop: Sequence[str], text: str) -> int | None:
    """Where the first stop string begins."""
    return min((at for at in map(text.find, stop) if at >= 0), default=None)


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))
