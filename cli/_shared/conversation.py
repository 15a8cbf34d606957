"""A conversation with one adapter or model, over the OpenAI protocol."""

import json
from collections.abc import Iterator

from cli._shared import api, sse
from cli._shared.exits import Exit, Failure

SETTINGS = ("temperature", "max_tokens", "top_p", "seed")


class Conversation:
    def __init__(self, model: str | None, system: str | None) -> None:
        """None: the loaded adapter, and no system prompt."""
        self.model = model
        self._beginning = [{"role": "system", "content": system}] if system is not None else []
        self._messages = list(self._beginning)
        self._settings: dict[str, object] = {}

    def reset(self) -> None:
        self._messages = list(self._beginning)

    def set(self, key: str, value: str) -> None:
        if key not in SETTINGS:
            raise Failure(f"{key!r} is no setting: use {', '.join(SETTINGS)}", Exit.USAGE)
        try:
            self._settings[key] = json.loads(value)
        except ValueError:
            raise Failure(f"{key} must be a number, not {value!r}", Exit.USAGE) from None

    def ask(self, said: str) -> Iterator[str]:
        """The answer as it is written. One that is broken off, or fails, was never asked."""
        asked = [*self._messages, {"role": "user", "content": said}]
        body = {"messages": asked, "stream": True, **self._settings}
        if self.model is not None:
            body["model"] = self.model
        answer = []
        with api.stream("POST", "/v1/chat/completions", body=body) as lines:
            for message in sse.messages(lines):
                if message.data == "[DONE]":
                    break
                event = json.loads(message.data)
                if "error" in event:
                    raise Failure(event["error"]["message"])
                for choice in event["choices"]:
                    piece = choice["delta"].get("content") or ""
                    answer.append(piece)
                    yield piece
        self._messages = [*asked, {"role": "assistant", "content": "".join(answer)}]
