"""Other programs ask an exported adapter as Lathe asks it."""

import json
from pathlib import Path
from typing import Any

import pytest
from gguf import GGUFReader
from transformers import AutoTokenizer, GenerationConfig

from runtime.messages.export import Format
from runtime.messages.inference import Message
from runtime.model.chat import ChatTemplate
from runtime.model.prompts import Prompts
from state.adapters import ChatSettings
from state.errors import ServiceError
from tests import chats, exports, toys

OWN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>"
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)
ADAPTERS = {
    "the job's template, told not to think, and a stop token": ChatSettings(
        template=f"\n  {OWN}", switches={"enable_thinking": False}, stop_tokens=["<|pad|>"]
    ),
    "a template that may think": ChatSettings(template=OWN, switches={"enable_thinking": True}),
    "nothing": ChatSettings(),
}
LORA = {"target_modules": ["q_proj"], "r": 2}
ASKED = [{"role": "user", "content": "What is red?"}]


def _base(folder: Path) -> Path:
    """One that says otherwise, wherever a program may look."""
    base = toys.make(folder)
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": chats.source("chatml")}))
    (base / "chat_template.json").write_text(json.dumps({"chat_template": chats.source("chatml")}))
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": 0, "top_k": 7}))
    return base


def _served(base: Path, chat: ChatSettings) -> str:
    tokenizer = AutoTokenizer.from_pretrained(base)
    return str(tokenizer.decode(Prompts(tokenizer, len(tokenizer)).tokens([Message("user", "What is red?")], chat)))


def _rendered(tokenizer: Any, **switches: bool) -> str:
    return str(tokenizer.apply_chat_template(ASKED, tokenize=False, add_generation_prompt=True, **switches))


@pytest.mark.parametrize("case", ADAPTERS)
def test_transformers_asks_a_merged_model_as_lathe_asks_the_adapter(tmp_path: Path, case: str) -> None:
    chat = ADAPTERS[case]
    base = _base(tmp_path / "toy")

    made = exports.make(tmp_path, "llama", "merged", LORA, chat=chat)

    tokenizer = AutoTokenizer.from_pretrained(made.folder)
    found = GenerationConfig.from_pretrained(made.folder)
    assert _rendered(tokenizer) == _served(base, chat)
    assert (found.eos_token_id, found.top_k) == ([1, 0] if chat.stop_tokens else 0, 7)
    if chat.template is None:
        for file in ("tokenizer_config.json", "generation_config.json"):
            assert (made.folder / file).read_text() == (base / file).read_text()
        assert not (made.folder / "chat_template.jinja").exists()
    else:
        assert "chat_template" not in json.loads((made.folder / "tokenizer_config.json").read_text())
        assert not (made.folder / "chat_template.json").exists()
        assert _rendered(tokenizer, enable_thinking=False).endswith("<think></think>")
        assert _rendered(tokenizer, enable_thinking=True).endswith("<assistant>")


def test_a_base_without_a_template_or_settings_is_exported_with_lathe_s(tmp_path: Path) -> None:
    made = exports.make(tmp_path, "llama", "merged", LORA, chat=ChatSettings(stop_tokens=["<|pad|>"]))

    tokenizer = AutoTokenizer.from_pretrained(made.folder)
    assert not (made.base / "chat_template.jinja").exists()
    assert _rendered(tokenizer) == _served(made.base, ChatSettings()) == "User: What is red?\n\nAssistant:"
    assert GenerationConfig.from_pretrained(made.folder).eos_token_id == [1, 0]


@pytest.mark.parametrize("case", ADAPTERS)
def test_a_gguf_says_how_lathe_asks_the_adapter(tmp_path: Path, case: str) -> None:
    chat = ADAPTERS[case]
    base = _base(tmp_path / "toy")

    made = exports.make(tmp_path, "llama", "gguf", LORA, chat=chat)

    fields = GGUFReader(made.folder / "model.gguf").fields
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = fields["tokenizer.chat_template"].contents()
    assert _rendered(tokenizer) == _served(base, chat)
    assert fields["tokenizer.ggml.eos_token_id"].contents() == 0
    eot = fields.get("tokenizer.ggml.eot_token_id")
    assert (eot.contents() if eot else None) == (1 if chat.stop_tokens else None)
    written = (made.folder / "Modelfile").read_text()
    assert ('PARAMETER stop "<|pad|>"\n' in written) == bool(chat.stop_tokens)


@pytest.mark.parametrize("template", [OWN, None])
def test_beside_a_gguf_lora_lies_the_template_that_is_not_the_base_s_own(tmp_path: Path, template: str | None) -> None:
    chat = ChatSettings(template=template, stop_tokens=["<|pad|>"])
    _base(tmp_path / "toy")

    made = exports.make(tmp_path, "llama", "gguf-lora", LORA, chat=chat)

    file, written = made.folder / "chat_template.jinja", (made.folder / "Modelfile").read_text()
    assert (file.read_text() if file.exists() else None) == template
    assert ("<user>{{ .Prompt }}<|endoftext|><assistant>" in written) == (template is not None)
    assert 'PARAMETER stop "<|pad|>"' in written


def test_a_template_that_is_told_not_to_think_can_still_be_trained_with_the_switch(tmp_path: Path) -> None:
    """The export as a base of Lathe's own."""
    chat = ChatSettings(template=chats.source("qwen3"), switches={"enable_thinking": False})
    made = exports.make(tmp_path, "llama", "merged", LORA, chat=chat)
    tokenizer = AutoTokenizer.from_pretrained(made.folder)

    template = ChatTemplate(tokenizer)

    assert template.switches == ("enable_thinking",)
    assert template.is_models_own


@pytest.mark.parametrize("export_format", ["merged", "gguf", "gguf-lora"])
def test_a_stop_token_that_the_model_does_not_have_is_refused(tmp_path: Path, export_format: Format) -> None:
    with pytest.raises(ServiceError, match=r"stop token '<nobody>' .* is none of the model's"):
        exports.make(tmp_path, "llama", export_format, LORA, chat=ChatSettings(stop_tokens=["<|pad|>", "<nobody>"]))

    assert not (tmp_path / "export").exists()
