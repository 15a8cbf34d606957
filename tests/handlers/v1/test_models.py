import openai


def test_base_models_and_adapters_are_listed(client: openai.OpenAI) -> None:
    found = {model.id: model for model in client.models.list()}

    assert found["toy"].owned_by == "local"
    assert found["trained"].created > 0
    assert found["trained"].model_dump()["parent"] == "toy"
