import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.server import CHECKOUT, Server


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory, toy: Path, endless: Path, trained: Path) -> Iterator[Server]:
    """A server with bases called toy and endless, an adapter of toy called trained, and a base that knows tools."""
    root = tmp_path_factory.mktemp("serving")
    shutil.copytree(toy, root / "models" / "toy")
    shutil.copytree(endless, root / "models" / "endless")
    shutil.copytree(trained, root / "adapters" / "trained")
    caller = shutil.copytree(toy, root / "models" / "caller")
    shutil.copy(CHECKOUT / "tests" / "chat_templates" / "qwen3.jinja", caller / "chat_template.jinja")
    config = caller / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 2048}))
    server = Server(root, "--slots", "0")
    yield server
    server.close()


@pytest.fixture(scope="session")
def client(serving: Server) -> Iterator[openai.OpenAI]:
    """OpenAI's own client, as it comes."""
    with openai.OpenAI(base_url=f"http://localhost:{serving.port}/v1", api_key="none", max_retries=0) as client:
        yield client
