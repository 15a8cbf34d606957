"""Answers to a job's sample prompts by the model that is being trained.

A prompt becomes the tokens that a request would send to the finished adapter, and its answer ends where that one's
would. Greedy, one prompt after another; the model is left as it was, and nothing random is drawn.
"""

import inspect
from typing import Any

import torch
from msgspec import Struct
from peft import PeftModel
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from runtime.messages.inference import Message
from runtime.model import prompts
from runtime.model.chat import stop_ids
from runtime.model.text import Detokenizer
from runtime.model.tokenizers import BaseTokenizer
from runtime.trainer.loss import evaluating
from state.adapters import ChatSettings
from state.errors import ServiceError
from state.jobs import Job
from state.samples import Prompt, Sample


class Sampler(Struct, frozen=True):
    """A job's sample prompts, and how they are answered."""

    tokenizer: PreTrainedTokenizerBase
    prompts: list[Prompt]
    prompt_tokens: list[list[int]]
    end_tokens: frozenset[int]
    max_new_tokens: int

    def sample(self, model: PeftModel, index: int, step: int) -> Sample:
        """The answer to prompt `index` by the model as it is after `step` steps.

        It takes a forward pass over the prompt, and one more for each token, `max_new_tokens` in all at most.
        """
        prompt = self.prompt_tokens[index]
        with evaluating(model):
            answer = greedy_answer(model.get_base_model(), prompt, self.end_tokens, self.max_new_tokens)
        text = Detokenizer(self.tokenizer, prompt, stop=())
        for token in answer:
            if token not in self.end_tokens:
                text.add(token)
        text.finish()
        has_ended = answer[-1] in self.end_tokens
        return Sample(
            step=step,
            prompt=self.prompts[index],
            answer=text.text,
            finish_reason="stop" if has_ended else "length",
        )


def prepare(job: Job, model: PreTrainedModel, base: BaseTokenizer, chat: ChatSettings) -> Sampler | None:
    """The job's sampler, if it has sample prompts.

    Answers end at the tokens at which the base stops by itself, and at those of `chat`, which is how its adapter is to
    be asked. Templates that write the date are told the job's own day, as in training. Raises ServiceError for a prompt
    that serving would refuse.
    """
    if not job.sample_prompts:
        return None
    tokenizer, context_length, today = base.tokenizer, base.context_length, job.today
    asked = prompts.Prompts(tokenizer, prompts.vocabulary(model, tokenizer), lambda: today)
    tokens = []
    for index, prompt in enumerate(job.sample_prompts):
        try:
            tokens.append(asked.tokens(_as_requested(prompt), chat))
        except ServiceError as error:
            raise ServiceError(f"sample_prompts[{index}]: {error}") from error
        length = len(tokens[-1])
        if context_length is not None and length + job.sample_tokens > context_length:
            raise ServiceError(
                f"sample_prompts[{index}] has {length} tokens and sample_tokens is {job.sample_tokens}: together "
                f"{length + job.sample_tokens}, but the model's context is {context_length} tokens"
            )
    end_tokens = base.served.union(stop_ids(tokenizer, chat.stop_tokens))
    return Sampler(tokenizer, job.sample_prompts, tokens, end_tokens, job.sample_tokens)


# not inference_mode: what a model keeps of a pass, such as its rotary frequencies, is trained with afterwards
@torch.no_grad()
def greedy_answer(
    causal: Any,  # noqa: ANN401  a module, as far as torch knows
    prompt: list[int],
    end_tokens: frozenset[int],
    max_new_tokens: int,
) -> list[int]:
    """The most likely token each time, up to the first of `end_tokens`, that one included."""
    cache = DynamicCache(config=causal.config)
    last_alone = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(causal.forward).parameters else {}
    answer: list[int] = []
    new = prompt
    while len(answer) < max_new_tokens and not (answer and answer[-1] in end_tokens):
        tokens_1T = torch.tensor([new], device=causal.device)
        found = causal(input_ids=tokens_1T, past_key_values=cache, use_cache=True, **last_alone)
        new = [int(found.logits[0, -1].argmax())]
        answer += new
    return answer


def _as_requested(prompt: Prompt) -> str | list[int | Message]:
    return prompt if isinstance(prompt, str) else [Message(turn.role, turn.content) for turn in prompt]
