import json
from collections.abc import Iterator

import openai
import pytest

from tests.server import Server


def lines(rows: list[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


CHATS: list[object] = [
    {"messages": [{"role": "user", "content": f"{n} + 1?"}, {"role": "assistant", "content": f"{n + 1}"}]}
    for n in range(8)
]


@pytest.fixture(scope="session")
def waiting(queueing: Server) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, of a server that launches no jobs."""
    with openai.OpenAI(base_url=f"http://localhost:{queueing.port}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def chats(waiting: openai.OpenAI) -> str:
    """The id of a file of chats."""
    return waiting.files.create(file=("chats.jsonl", lines(CHATS)), purpose="fine-tune").id
