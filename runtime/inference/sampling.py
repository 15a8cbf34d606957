"""From a sequence's logits to its next token."""

import math
from collections.abc import Callable, Sequence

import torch

from runtime.messages.inference import Alternative, SamplingParameters, TokenLogprob
from state.errors import ServiceError

GREEDY_BELOW = 1e-5  # lower temperatures mean their limit, the most likely token


class Sampler:
    """Chooses one sequence's tokens. The same settings, seed and logits give the same tokens, whatever else runs."""

    def __init__(self, parameters: SamplingParameters, device: torch.device, prompt: Sequence[int] = ()) -> None:
        self._parameters = parameters
        self._bias = _bias(parameters.logit_bias, device)
        self._repeatable = torch.tensor(sorted(set(prompt)), device=device, dtype=torch.long)
        """The prompt's tokens, those that a repetition penalty is for from the start."""
        self._generator = torch.Generator(device)
        if parameters.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(parameters.seed)
        self._counts: dict[int, int] = {}

    def choose(self, logits_V: torch.Tensor, forbidden_V: torch.Tensor | None = None) -> int:
        """The next token. Raises ServiceError for a NaN, an infinite logit, or none above minus infinity."""
        if not math.isfinite(float(logits_V.max())):
            raise ServiceError(
                f"The model computed NaN or infinity after {sum(self._counts.values())} new tokens: its weights, or "
                "the adapter's, have values beyond what it can compute with"
            )
        wanted_V = self._penalized(self._biased(logits_V.float()))
        if forbidden_V is not None:
            wanted_V = wanted_V.masked_fill(forbidden_V, -math.inf)
            if wanted_V.max() == -math.inf:
                raise ServiceError("The answer cannot go on as it is asked for: the model never writes what may follow")
        token = self._draw(wanted_V)
        self._counts[token] = self._counts.get(token, 0) + 1
        return token

    def _biased(self, logits_V: torch.Tensor) -> torch.Tensor:
        return logits_V if self._bias is None else logits_V.index_add(0, *self._bias)

    def _penalized(self, logits_V: torch.Tensor) -> torch.Tensor:
        """As vLLM and OpenAI's API define them: the repetition penalty alone is for the prompt's tokens, too."""
        if self._parameters.repetition_penalty != 1:
            logits_V = self._less_repetitive(logits_V)
        presence, frequency = self._parameters.presence_penalty, self._parameters.frequency_penalty
        if not self._counts or (presence == 0 and frequency == 0):
            return logits_V
        tokens = torch.tensor(list(self._counts), device=logits_V.device)
        counts = torch.tensor(list(self._counts.values()), device=logits_V.device, dtype=logits_V.dtype)
        return logits_V.index_add(0, tokens, -(presence + frequency * counts))

    def _less_repetitive(self, logits_V: torch.Tensor) -> torch.Tensor:
        """Keskar et al. 2019, with the signs of negative logits taken care of."""
        chosen = torch.tensor(list(self._counts), device=logits_V.device, dtype=torch.long)
        tokens = torch.cat([self._repeatable, chosen])  # one that is in both gets the same value twice
        penalty, own = self._parameters.repetition_penalty, logits_V[tokens]
        largest = torch.finfo(own.dtype).max
        changed = torch.where(own > 0, own / penalty, own * penalty).clamp(-largest, largest)
        return logits_V.index_copy(0, tokens, torch.where(own.isinf(), own, changed))

    def _draw(self, logits_V: torch.Tensor) -> int:
        if self._parameters.temperature < GREEDY_BELOW:
            return int(logits_V.argmax())
        # the largest becomes 0 before the division, which would make huge ones infinite, and probabilities of them NaN
        scaled_V = (logits_V - logits_V.max()) / self._parameters.temperature
        probabilities, tokens = self._left(scaled_V.softmax(0))
        sums = probabilities.cumsum(0, dtype=torch.float64)
        drawn = torch.rand((), generator=self._generator, device=sums.device, dtype=sums.dtype) * sums[-1]
        at = torch.searchsorted(sums, drawn, right=True)  # the first sum above it: never a token of no probability
        return int(at if tokens is None else tokens[at])

    def _left(self, probabilities_V: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What top_k, top_p and min_p leave, 0 for others, and of which tokens: the likeliest first; None: of all."""
        top_k, top_p, min_p = self._parameters.top_k, self._parameters.top_p, self._parameters.min_p
        left, tokens = probabilities_V, None
        if top_k > 0:
            left, tokens = probabilities_V.topk(min(top_k, len(probabilities_V)))
        if top_p < 1:  # nucleus sampling, Holtzman et al. 2020, of what top_k has left
            enough = top_p * left.sum()
            if tokens is None:
                left, tokens = _likeliest(probabilities_V, enough)
            before = left.cumsum(0) - left
            before[0] = -1.0  # the most likely one stays, however small top_p is
            left = left.masked_fill(before >= enough, 0)
        return left.masked_fill(left < min_p * left.max(), 0), tokens


def _likeliest(probabilities_V: torch.Tensor, enough: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The most likely tokens, in their order, that have so much of the probability together, and some more.

    A hundredth of a vocabulary nearly always has enough, and is found in a twentieth of the time that sorting takes.
    """
    size = len(probabilities_V)
    for some in (256, 4096):
        if some < size:
            values, tokens = probabilities_V.topk(some)
            if values.sum() >= enough:
                return values, tokens
    values, tokens = probabilities_V.sort(descending=True)
    return values, tokens


def _bias(biases: dict[int, float], device: torch.device) -> tuple[torch.Tensor, torch.Tensor] | None:
    if not biases:
        return None
    return torch.tensor(list(biases), device=device), torch.tensor(list(biases.values()), device=device)


def logprobs(logits_V: torch.Tensor, token: int, top: int, begin: int, shown: Callable[[int], str]) -> TokenLogprob:
    """How likely the model held a token, before penalties and temperature, and its `top` most likely ones.

    `begin` is where the token's text begins.

    Impossible ones are left out: JSON has no minus infinity.
    """
    log_probabilities = logits_V.float().log_softmax(0)
    values, tokens = log_probabilities.topk(top)
    return TokenLogprob(
        shown(token),
        float(log_probabilities[token]),
        [
            Alternative(shown(int(other)), float(value))
            for value, other in zip(values, tokens, strict=True)
            if value > -torch.inf
        ],
        begin,
    )
