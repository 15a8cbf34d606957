"""The limits of a completion's settings, the same for every request that asks for one."""

from typing import Annotated

from msgspec import Meta

MaxTokens = Annotated[int, Meta(ge=1, le=100_000)]
MaxTokensOrNone = Annotated[int, Meta(ge=0, le=100_000)]
Temperature = Annotated[float, Meta(ge=0, le=10)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=-1)]
"""0 and -1 are all tokens, as vLLM's clients say it."""
MinP = Annotated[float, Meta(ge=0, le=1)]
RepetitionPenalty = Annotated[float, Meta(gt=0, le=10)]
Seed = Annotated[int, Meta(ge=0, lt=2**32)]
Stop = Annotated[str, Meta(min_length=1)]
