"""A prompt that is said again before its completion, and how likely the model held each of its tokens.

The log probabilities come from the logits of the prefill, chunk by chunk, and of a chunk in pieces: the float32 copies
of [T, V] logits that a log-softmax takes would be gigabytes for a long prompt.
"""

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from runtime.messages.inference import Alternative, Echo, TokenLogprob
from runtime.model.text import TokenTexts, begins, decoded
from state.errors import ServiceError

PIECE_BYTES = 1 << 24  # of float32 logits, of which a log-softmax makes another copy
IMPOSSIBLE = -9999.0  # JSON has no minus infinity, and vLLM says this for it


class PromptEcho:
    """One prompt's echo; `top` is how many likely tokens to tell beside each of its own, None for the text alone."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: TokenTexts,
        prompt: str | None,
        tokens: list[int],
        top: int | None,
    ) -> None:
        """`prompt` is the text that the tokens were made of, if they were made of one: it is said as it came."""
        self._texts = texts
        self._tokens = tokens
        self._top = top
        self._scores: list[TokenLogprob] = []
        if top is None:
            self.text = decoded(tokenizer, tokens, special=True) if prompt is None else prompt
        else:
            self.text, self._begins = _laid_out(tokenizer, texts, prompt, tokens)

    @property
    def is_scored(self) -> bool:
        return self._top is not None

    def take(self, logits_TV: torch.Tensor) -> None:
        """Score the tokens behind those that a chunk of the prompt ends with, or is. Raises ServiceError for NaN."""
        if self._top is None:
            return
        begin = len(self._scores) + 1
        follow = self._tokens[begin : begin + len(logits_TV)]  # nothing follows the prompt's last token
        if not follow:
            return
        found = [
            _likely(piece, self._top, follow_T)
            for piece, follow_T in zip(*_pieces(logits_TV[: len(follow)], follow), strict=True)
        ]
        own_T, values_TK, tokens_TK = (torch.cat(parts).tolist() for parts in zip(*found, strict=True))
        for token, own, values, tokens in zip(follow, own_T, values_TK, tokens_TK, strict=True):
            self._scores.append(self._score(token, own, values, tokens))

    def said(self) -> Echo:
        if self._top is None:
            return Echo(self.text)
        return Echo(self.text, self._texts[self._tokens[0]], self._scores)

    def _score(self, token: int, own: float, values: list[float], tokens: list[int]) -> TokenLogprob:
        at = len(self._scores) + 1
        if own != own:  # noqa: PLR0124  NaN
            raise ServiceError(
                f"The model computed NaN or infinity after {at} tokens of the prompt: its weights, or the adapter's, "
                "have values beyond what it can compute with"
            )
        top = [
            Alternative(self._texts[other], value)
            for other, value in zip(tokens, values, strict=True)
            if value > -torch.inf
        ]
        return TokenLogprob(self._texts[token], max(own, IMPOSSIBLE), top, self._begins[at])


def _pieces(logits_TV: torch.Tensor, follow: list[int]) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]:
    rows = max(1, PIECE_BYTES // (4 * logits_TV.shape[1]))
    return logits_TV.split(rows), torch.tensor(follow, device=logits_TV.device).split(rows)


def _likely(logits_TV: torch.Tensor, top: int, follow_T: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The log probability of the token that follows each [T], and those of the most likely ones, and these [T, K].

    A token that is the most likely one has the very same float in both.
    """
    log_probabilities_TV = logits_TV.float().log_softmax(-1)
    own_T = log_probabilities_TV.gather(1, follow_T[:, None])[:, 0]
    values_TK, tokens_TK = log_probabilities_TV.topk(top)
    return own_T, values_TK, tokens_TK


def _laid_out(
    tokenizer: PreTrainedTokenizerBase, texts: TokenTexts, prompt: str | None, tokens: list[int]
) -> tuple[str, list[int]]:
    """A prompt's text, and where in it each token begins.

    A token that the tokenizer put before a text by itself takes no place in it.
    """
    if prompt is None:
        return begins(tokenizer, texts, tokens)
    bos = tokenizer.bos_token
    added = bos is not None and tokens[0] == tokenizer.bos_token_id and not prompt.startswith(bos)
    _, found = begins(tokenizer, texts, tokens[1:] if added else tokens)
    return prompt, [*([0] * added), *(min(begin, len(prompt)) for begin in found)]
