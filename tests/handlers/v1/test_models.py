"""Models as OpenAI's own client lists, shows and deletes them."""

import json
import shutil

import openai
import pytest

from tests.server import Server


def test_base_models_and_adapters_are_listed(client: openai.OpenAI) -> None:
    found = {model.id: model for model in client.models.list()}

    assert found["toy"].owned_by == "local"
    assert (found["toy"].model_dump()["root"], found["toy"].model_dump()["parent"]) == ("models/toy", None)
    assert found["trained"].created > 0
    assert found["trained"].model_dump()["root"] == "adapters/trained"
    assert found["trained"].model_dump()["parent"] == "toy"
    assert client.models.retrieve("trained") == found["trained"]
    assert client.models.retrieve("toy") == found["toy"]


def test_what_cannot_answer_now_is_not_listed(serving: Server, client: openai.OpenAI) -> None:
    """An alias that would have to be downloaded, a base without weights, and adapters that are broken or of those."""
    (serving.root / "models" / "empty").mkdir()
    (serving.root / "models" / "empty" / "config.json").write_text("{}")
    adapters = serving.root / "adapters"
    for name, base in (("of-empty", "empty"), ("of-alias", "codellama-7b-instruct"), ("broken", "toy")):
        shutil.copytree(adapters / "trained", adapters / name)
        config = json.loads((adapters / name / "adapter_config.json").read_text())
        (adapters / name / "adapter_config.json").write_text(
            json.dumps(config | {"base_model_name_or_path": base}) if name != "broken" else "{"
        )
        (adapters / name / "adapter.json").unlink()
        assert serving.get(f"/adapters/{name}").status_code == 200

    listed = {model.id for model in client.models.list()}

    assert {"toy", "trained", "tiny-python"} <= listed
    assert listed.isdisjoint({"empty", "of-empty", "of-alias", "broken", "codellama-7b-instruct"})
    for name in ("empty", "of-empty", "of-alias", "broken", "codellama-7b-instruct"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(name)
    for name in ("of-alias", "codellama-7b-instruct", "someone/elses"):
        with pytest.raises(openai.NotFoundError, match=f"{name}.* it has not been downloaded"):
            client.completions.create(model=name, prompt="x")
        with pytest.raises(openai.NotFoundError, match=f"{name}.* it has not been downloaded"):
            client.chat.completions.create(model=name, messages=[{"role": "user", "content": "x"}], stream=True)
    assert "it has not been downloaded" in _refusal(serving, "someone/elses")
    for name in ("of-empty", "of-alias", "broken"):
        shutil.rmtree(adapters / name)


def _refusal(serving: Server, model_name: str) -> str:
    reply = serving.post("/generate", {"prompt": "x", "model_name": model_name})
    assert reply.status_code == 400
    return str(reply.json()["error"])


def test_an_alias_lets_a_script_name_openais_models(serving: Server, client: openai.OpenAI) -> None:
    """It may stand for a folder in models/, and is listed as long as that is there."""
    asked = "gpt-4o-mini-2024-07-18"
    aliases = serving.root / "models" / "aliases.json"
    aliases.write_text(json.dumps({asked: "toy", "gpt-3.5-turbo": "org/not-here"}))

    answer = client.chat.completions.create(model=asked, messages=[{"role": "user", "content": "x"}], max_tokens=2)

    assert answer.model == asked
    assert client.models.retrieve(asked).model_dump()["root"] == "models/toy"
    assert [model.id for model in client.models.list() if model.id.startswith("gpt-")] == [asked]
    shown = {model["name"]: model for model in serving.get("/models").json()["models"]}
    assert (shown[asked]["kind"], shown[asked]["source"], shown[asked]["downloaded"]) == ("alias", "toy", True)
    aliases.unlink()


def test_an_adapter_is_deleted_and_a_base_model_is_not(serving: Server, client: openai.OpenAI) -> None:
    shutil.copytree(serving.root / "adapters" / "trained", serving.root / "adapters" / "spare")

    deleted = client.models.delete("spare")

    assert deleted.model_dump() == {"id": "spare", "object": "model", "deleted": True}
    assert not (serving.root / "adapters" / "spare").exists()
    with pytest.raises(openai.BadRequestError, match="toy is a base model, and only adapters are deleted here"):
        client.models.delete("toy")
    assert (serving.root / "models" / "toy" / "config.json").exists()


@pytest.mark.parametrize("name", ["nothing", "someone/nothing", "a/../toy", "adapters/trained"])
def test_a_name_that_nobody_has_is_a_404_of_openais_shape(serving: Server, client: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError, match="not found") as shown:
        client.models.retrieve(name)
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.models.delete(name)
    plain = serving.http.get(f"http://localhost:{serving.port}/v1/models/{name.replace('..', 'dots')}")

    assert shown.value.type == "not_found_error"
    assert plain.status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        ("/v1/completions", {"model": "nothing", "prompt": "x"}),
        ("/v1/completions", {"model": "nothing", "prompt": [[5]], "echo": True, "logprobs": 1, "max_tokens": 0}),
        ("/v1/chat/completions", {"model": "nothing", "messages": [{"role": "user", "content": "x"}]}),
        ("/v1/unload_lora_adapter", {"lora_name": "nothing"}),
        ("/tokenize", {"model": "nothing", "prompt": "x"}),
        ("/detokenize", {"model": "nothing", "tokens": [5]}),
    ],
)
def test_an_unknown_model_is_a_404_on_every_path(serving: Server, body: tuple[str, dict[str, object]]) -> None:
    path, asked = body

    reply = serving.http.post(f"http://localhost:{serving.port}{path}", json=asked)

    assert reply.status_code == 404
    assert "nothing" in reply.json()["error"]["message"]
