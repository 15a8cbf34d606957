"""A model without any idea, for what answers are held to: whatever it may write, it may write."""

import torch
from transformers import PreTrainedTokenizerBase

from runtime.inference.grammars import Grammars
from runtime.inference.sampling import Sampler
from runtime.messages.inference import SamplingParameters
from runtime.model.text import Detokenizer

CPU = torch.device("cpu")
MAX_TOKENS = 3000
ENDING = {'"': 12.0, "}": 10.0, "]": 10.0, ":": 8.0, ",": 8.0, "0": 6.0}
"""What it would rather write after some time, so that its answers end."""


class Clueless:
    """It has a tokenizer, and random logits."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._end = int(tokenizer.vocab[tokenizer.eos_token])
        self._grammars = Grammars(tokenizer, [self._end])
        self._ending_V = torch.tensor([ENDING.get(str(tokenizer.decode([at])), 0.0) for at in range(len(tokenizer))])
        self._ending_V[self._end] = 10

    def takes(self, grammar: str, text: str) -> bool:
        """Whether a text may be an answer under a grammar."""
        tokens = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        matcher = self._grammars.compiled(grammar, lambda: grammar).result().deep_copy()
        return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()

    def writes(self, grammar: str, seed: int) -> str:
        """An answer under a grammar, special tokens included. Raises ServiceError."""
        compiled = self._grammars.compiled(grammar, lambda: grammar).result()
        constraint = self._grammars.constraint(compiled, ())
        sampler = Sampler(SamplingParameters(temperature=1.0, seed=seed), CPU)
        detokenizer = Detokenizer(self._tokenizer, [], (), special=True)
        generator = torch.Generator().manual_seed(seed)
        for number in range(MAX_TOKENS):
            logits_V = torch.randn(len(self._ending_V), generator=generator) + self._ending_V * min(1.0, number / 60)
            token = sampler.choose(logits_V, constraint.forbidden(len(logits_V), CPU))
            if token == self._end:
                break
            detokenizer.add(token)
            constraint.take(token)
            if constraint.is_complete:
                break
        detokenizer.finish()
        return detokenizer.text
