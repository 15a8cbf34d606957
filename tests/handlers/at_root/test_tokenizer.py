"""The tokenizer endpoints, as vLLM's clients ask them: without a server's knowledge of which model they mean."""

import re
from typing import Any

import httpx
import pytest

from runtime.model.tokenizers import load_tokenizer
from tests.server import CHECKOUT, Server

TEXT = "def f(x):\n    return 'ü' # <|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_tokenizer(str(CHECKOUT / "models" / "tiny-python"))


def _post(server: Server, path: str, **body: object) -> httpx.Response:
    return server.http.post(f"http://localhost:{server.port}{path}", json=body)


def test_a_text_is_made_tokens_and_they_a_text_without_any_model_in_memory(queueing: Server, tokenizer: Any) -> None:
    """Of the only base model that is here, where none is named."""
    ids = tokenizer(TEXT)["input_ids"]

    found = _post(queueing, "/tokenize", prompt=TEXT, add_special_tokens=False)
    named = _post(queueing, "/tokenize", model="tiny-python", prompt=TEXT, return_token_strs=True).json()
    back = _post(queueing, "/detokenize", tokens=ids)
    none = _post(queueing, "/tokenize", prompt="")

    assert found.json() == {"count": len(ids), "max_model_len": 2048, "tokens": ids, "token_strs": None}
    assert named["token_strs"] == tokenizer.convert_ids_to_tokens(ids)
    assert back.json() == {"prompt": TEXT}
    assert none.json()["tokens"] == []
    assert "loaded on" not in queueing.log.read_text()


def test_messages_are_tokenized_as_they_are_asked(queueing: Server, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "hi"}]

    found = _post(queueing, "/tokenize", messages=messages).json()

    assert found["tokens"] == tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]


def test_the_tokenizer_is_described(queueing: Server, tokenizer: Any) -> None:
    found = queueing.http.get(f"http://localhost:{queueing.port}/tokenizer_info").json()

    assert (found["eos_token"], found["pad_token"], found["bos_token"]) == ("<|endoftext|>", "<|pad|>", None)
    assert (found["vocab_size"], found["model_max_length"]) == (len(tokenizer), 2048)
    assert found["chat_template"] == tokenizer.chat_template


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/tokenize", {}, "Give either prompt or messages"),
        ("/tokenize", {"prompt": "x", "messages": []}, "Give either prompt or messages"),
        ("/tokenize", {"messages": []}, "prompt must not be empty"),
        ("/tokenize", {"messages": [{"role": "user", "content": "x"}], "add_special_tokens": True}, "is for a prompt"),
        ("/detokenize", {"tokens": [10**6]}, "does not have, 1000000: its tokens are 0 to"),
        ("/detokenize", {"tokens": ["x"]}, "tokens[0] must be an integer"),
    ],
)
def test_what_has_no_tokens_is_refused_in_openais_shape(
    queueing: Server, path: str, body: dict[str, object], message: str
) -> None:
    reply = _post(queueing, path, **body)

    assert reply.status_code == 400
    assert message in reply.json()["error"]["message"]


def test_whose_tokenizer_is_meant_is_not_guessed(training: Server) -> None:
    """The server has several base models, and no adapter is loaded."""
    training.post("/adapters/unload")

    reply = _post(training, "/tokenize", prompt="x")

    assert reply.status_code == 400
    sentence = r"there are \d+ base models: name the model whose tokenizer is meant"  # other tests bring some
    assert re.search(sentence, reply.json()["error"]["message"])
