"""What is read of a base without its weights is what the loaded base has."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from runtime.model import tokenizers
from state.errors import ServiceError
from tests.server import CHECKOUT

ENDS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "settings of its own": ({"eos_token_id": 7}, {"eos_token_id": 5}),
    "several": ({"eos_token_id": 7}, {"eos_token_id": [5, 6]}),
    "settings that name none": ({"eos_token_id": 7}, {"temperature": 0.6, "do_sample": True}),
    "config.json's": ({"eos_token_id": 7}, None),
    "config.json's, several": ({"eos_token_id": [7, 8]}, None),
    "none, of a kind that has a default": ({"eos_token_id": None}, None),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_text_ends_where_the_loaded_model_would_end_it(tmp_path: Path, toy: Path, name: str) -> None:
    changes, settings = ENDS[name]
    folder = tmp_path / "toy"
    shutil.copytree(toy, folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    (folder / "generation_config.json").unlink()
    if settings is not None:
        (folder / "generation_config.json").write_text(json.dumps(settings))
    tokenizer = tokenizers.load_tokenizer(str(folder))

    found = tokenizers.end_tokens(str(folder), tokenizer)

    own = AutoModelForCausalLM.from_pretrained(folder).generation_config.eos_token_id
    own = tokenizer.eos_token_id if own is None else own
    assert found == frozenset(own if isinstance(own, list) else [own])


def test_a_tokenizer_needs_no_torch(toy: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from runtime.model.chat import ChatTemplate\n"
        "from runtime.model.tokenizers import end_tokens, load_tokenizer\n"
        f"tokenizer = load_tokenizer({str(toy)!r})\n"
        f"print(sorted(end_tokens({str(toy)!r}, tokenizer)), len(ChatTemplate(tokenizer).source) > 9)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "[0] True\n"), done.stderr


def test_a_folder_without_a_tokenizer_is_refused_by_its_name(tmp_path: Path, toy: Path) -> None:
    shutil.copy(toy / "config.json", tmp_path)

    with pytest.raises(ServiceError, match=f"The tokenizer of {tmp_path.name} cannot be loaded"):
        tokenizers.load_tokenizer(str(tmp_path))
