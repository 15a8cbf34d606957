"""Clients that people use, as they come. Those that are not installed are skipped: together they are 100 packages."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pydantic
import pytest

from tests.server import Server

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


class Weather(pydantic.BaseModel):
    """How it is outside."""

    city: Literal["Rome", "Oslo"]


class Exactly(Weather):
    """It and nothing else."""

    model_config = pydantic.ConfigDict(extra="forbid")


FUNCTION: Any = {"name": "weather", "description": "The weather", "parameters": Exactly.model_json_schema()}
TOOL: Any = {"type": "function", "function": FUNCTION}


def _url(serving: Server) -> str:
    return f"http://localhost:{serving.port}/v1"


def test_langchain_calls_a_tool_and_parses_an_answer(serving: Server) -> None:
    chat = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    tools, messages = pytest.importorskip("langchain_core.tools"), pytest.importorskip("langchain_core.messages")

    @tools.tool(args_schema=Weather)  # type: ignore[untyped-decorator]
    def weather(city: str) -> str:
        """The weather."""
        return f"Sun in {city}"

    model = chat.ChatOpenAI(model="caller", base_url=_url(serving), api_key="none", seed=1, max_retries=0)
    called = model.bind_tools([weather], tool_choice="any", parallel_tool_calls=False).invoke("How is it?")
    answer = weather.invoke(called.tool_calls[0])
    further = model.bind_tools([weather]).bind(max_tokens=4).invoke([messages.HumanMessage("?"), called, answer])
    streamed = list(model.bind_tools([weather], tool_choice="weather").stream("How is it?"))

    assert answer.content in {"Sun in Rome", "Sun in Oslo"}
    assert further.response_metadata["finish_reason"] == "length"
    assert sum(streamed[1:], streamed[0]).tool_calls[0]["name"] == "weather"
    assert isinstance(model.with_structured_output(Weather).invoke("How is it?"), Weather)


def test_litellm_calls_a_tool_and_holds_an_answer(serving: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network for it
    litellm = pytest.importorskip("litellm", reason="litellm is not installed")

    def ask(*further: Any, **asked: Any) -> Any:
        messages = [{"role": "user", "content": "How is it?"}, *further]
        return litellm.completion("openai/caller", messages, api_base=_url(serving), api_key="none", seed=1, **asked)

    named = {"type": "function", "function": {"name": "weather"}}
    called = ask(tools=[TOOL], tool_choice=named).choices[0].message
    [call] = called.tool_calls
    whole = litellm.stream_chunk_builder(list(ask(tools=[TOOL], tool_choice=named, stream=True))).choices[0].message
    answer = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "Sun"}
    further = ask(called, answer, tools=[TOOL], max_tokens=4, top_k=5, extra_body={"min_p": 0.1})

    assert whole.tool_calls[0].function.arguments == call.function.arguments
    Exactly.model_validate_json(call.function.arguments)
    assert further.choices[0].finish_reason == "length"
    Exactly.model_validate_json(ask(response_format=Exactly).choices[0].message.content)


def test_llm_holds_an_answer_and_offers_a_tool(serving: Server, tmp_path: Path) -> None:
    pytest.importorskip("llm", reason="llm is not installed")
    about = {"model_id": "caller", "model_name": "caller", "api_base": _url(serving)}
    models = [about | {"supports_schema": True, "supports_tools": True}]
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML, too

    def ask(*options: str) -> str:
        command = [sys.executable, "-m", "llm", "-m", "caller", "How is it?", *options]
        environment = os.environ | {"LLM_USER_PATH": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    schema = json.dumps(Exactly.model_json_schema())

    Exactly.model_validate_json(ask("--schema", schema, "-o", "seed", "1"))
    assert ask("--functions", "def now() -> str:\n    return 'noon'", "-o", "max_tokens", "4").strip()
