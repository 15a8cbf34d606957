"""Chat templates in Ollama's language, where they are made of pieces around what is said."""

import pytest
from transformers import AutoTokenizer

from runtime.export import modelfile
from tests import toys

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set said = messages[1:] %}"
    "{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}"
    "{% else %}{% set said = messages %}{% set system = '' %}{% endif %}"
    "{% for message in said %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
WITHOUT_SYSTEM = CHATML.replace(
    "{% for", "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{% for", 1
)
BY_DEFAULT = "{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}" + CHATML

TEMPLATES = {
    CHATML: (
        "{{ if .Prompt }}{{ if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}<|im_start|>user\n"
        "{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ end }}{{ .Response }}<|im_end|>\n"
    ),
    LLAMA_2: (
        "{{ if .Prompt }}[INST] {{ if .System }}<<SYS>>\n{{ .System }}\n<</SYS>>\n\n{{ end }}"
        "{{ .Prompt }} [/INST]{{ end }}{{ .Response }}<|endoftext|><|pad|>"
    ),
    WITHOUT_SYSTEM: (
        "{{ if .Prompt }}<|im_start|>user\n"
        "{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ end }}{{ .Response }}<|im_end|>\n"
    ),
    BY_DEFAULT: None,
    "": None,
}


@pytest.mark.parametrize("template", TEMPLATES, ids=["chatml", "llama 2", "no system", "system by default", "none"])
def test_a_chat_template_is_said_in_ollamas_language_or_not_at_all(template: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(toys.TOKENIZER)
    tokenizer.bos_token, tokenizer.chat_template = "<|pad|>", template

    turns = modelfile.turns(tokenizer)

    assert (modelfile.template(turns) if turns else None) == TEMPLATES[template]
