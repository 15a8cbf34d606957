from tests.server import Server


def test_models_lists_folders_and_aliases(training: Server) -> None:
    reply = training.get("/models").json()

    listed = {model["name"]: model for model in reply["models"]}
    assert reply["total"] == len(listed)
    assert listed["toy"]["kind"] == "folder"
    assert listed["toy"]["architecture"] == "LlamaForCausalLM"
    assert listed["toy"]["context_length"] == 256
    assert listed["tiny-python"]["downloaded"] is True
    assert listed["tiny-python"]["size_mb"] < 8
    assert listed["codellama-7b-instruct"]["kind"] == "alias"
    assert listed["codellama-7b-instruct"]["source"] == "codellama/CodeLlama-7b-Instruct-hf"
    assert listed["codellama-7b-instruct"]["downloaded"] is False
    families = ("codellama", "llama", "qwen", "mistral", "gemma", "phi", "smollm")
    assert all(any(name.startswith(family) for name in listed) for family in families)
