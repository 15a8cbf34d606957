"""What of a request is beyond a model: the same words whichever engine computes it."""

from state.errors import ServiceError

UNBOUNDED = 1024  # new tokens where neither the request nor the model says how many


def check_bias(biases: dict[int, float], vocabulary: int) -> None:
    unknown = next((token for token in biases if not 0 <= token < vocabulary), None)
    if unknown is not None:
        raise ServiceError(
            f"logit_bias names a token that the model does not have, {unknown}: its tokens are 0 to {vocabulary - 1}"
        )


def max_new_tokens(prompt: int, asked: int | None, context: int | None, whose: str = "the model's context") -> int:
    """Raises ServiceError where the context is too short for what is asked."""
    if asked is None:
        asked = UNBOUNDED if context is None else max(1, context - prompt)
    if context is not None and prompt + asked > context:
        raise ServiceError(
            f"The prompt has {prompt} tokens and max_new_tokens is {asked}: together {prompt + asked}, "
            f"but {whose} is {context} tokens"
        )
    return asked
