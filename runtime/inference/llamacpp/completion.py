"""What llama-server writes, as the completion that was asked for."""

from runtime.inference import limits
from runtime.inference.llamacpp.call import Likely, Piece
from runtime.inference.llamacpp.described import Described
from runtime.messages.inference import Alternative, Echo, Generate, Generated, TextDelta, TokenLogprob
from runtime.model.chat import stop_ids
from runtime.model.text import StoppedText, decoded

IMPOSSIBLE = -9999.0
"""As runtime/inference/echo.py says it; llama.cpp itself has the lowest float."""


class Completion:
    """One completion, from its prompt's tokens to its last."""

    def __init__(self, request: Generate, base: Described, context: int) -> None:
        """`context` is a slot's. Raises ServiceError for what the model cannot take."""
        self.request = request
        self._base = base
        self.prompt = base.prompts.tokens(request.prompt, request.chat)
        limits.check_bias(request.sampling.logit_bias, base.vocabulary)
        self._end_tokens = base.end_tokens.union(stop_ids(base.tokenizer, request.chat.stop_tokens))
        self.max_new_tokens = limits.max_new_tokens(
            len(self.prompt), request.sampling.max_new_tokens, context, "the context of a slot of llama-server"
        )
        self._echo = self._said() if request.sampling.echo else None
        self._text_begin = len(self._echo.text) if self._echo else 0
        self._text = StoppedText(request.sampling.stop)
        self._logprobs: list[TokenLogprob] = []
        self._num_new_tokens = 0
        self._is_at_end = False
        self._is_cut = self.max_new_tokens == 0

    @property
    def is_done(self) -> bool:
        return self._is_cut or self._is_at_end or self._text.is_stopped

    def take(self, piece: Piece) -> TextDelta:
        """The text that a piece makes certain."""
        echo = self._echo if self._num_new_tokens == 0 else None
        self._num_new_tokens = max(self._num_new_tokens, piece.tokens_predicted)
        ends = not self._end_tokens.isdisjoint(piece.tokens)
        self._is_at_end = ends or piece.stop_type in {"eos", "word"}
        self._is_cut = piece.stop and not self._is_at_end
        begin = self._text_begin + self._text.length
        text = self._text.add("" if ends else piece.content, is_last=self._is_at_end or self._is_cut)
        likely = [] if ends else [self._likely(token, begin) for token in piece.completion_probabilities]
        if not piece.stop:  # the last one has those of all
            self._logprobs += likely
        return self._delta(text, [] if piece.stop else likely, echo)

    def nothing(self) -> TextDelta:
        """Where no new token is asked for."""
        return self._delta("", [], self._echo)

    def generated(self) -> Generated:
        return Generated(
            text=self._text.text,
            prompt_tokens=len(self.prompt),
            completion_tokens=self._num_new_tokens,
            finish_reason="length" if self._is_cut and not self._text.is_stopped else "stop",
            logprobs=None if self.request.sampling.top_logprobs is None else self._logprobs,
            echo=self._echo,
        )

    def _delta(self, text: str, likely: list[TokenLogprob], echo: Echo | None) -> TextDelta:
        return TextDelta(self.request.id, text, None if self.request.sampling.top_logprobs is None else likely, echo)

    def _said(self) -> Echo:
        own = self.request.prompt
        return Echo(own if isinstance(own, str) else decoded(self._base.tokenizer, self.prompt, special=True))

    def _likely(self, token: Likely, begin: int) -> TokenLogprob:
        top = token.top_logprobs[: self.request.sampling.top_logprobs]
        return TokenLogprob(
            self._shown(token.id),
            max(token.logprob, IMPOSSIBLE),
            [Alternative(self._shown(other.id), other.logprob) for other in top if other.logprob > IMPOSSIBLE],
            begin,
        )

    def _shown(self, token: int) -> str:
        return decoded(self._base.tokenizer, [token])
