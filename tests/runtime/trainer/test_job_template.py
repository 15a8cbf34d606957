"""A chat template of the job's own: trained with, kept with the adapter, and asked with."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.messages.inference import Message
from runtime.model.prompts import Prompts
from runtime.trainer.job_template import job_template
from runtime.trainer.token_files import TokenFiles
from runtime.trainer.tokenizing import Tokenizer
from state import adapters, chat_templates
from state.errors import ServiceError
from state.jobs import Job
from state.root import DataRoot
from state.row_source import RowSource
from tests import chats, jobs, toys
from tests.server import CHECKOUT

NOW = datetime(2026, 11, 25, tzinfo=UTC)
PAGE = (CHECKOUT / "docs" / "data.md").read_text()
OWN = PAGE.partition("```jinja\n")[2].partition("```")[0]
"""The page's example."""


def _chat(question: str, answer: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"


def test_an_adapter_is_kept_with_the_template_of_its_job_and_asked_with_it(tmp_path: Path, toy: Path) -> None:
    shutil.copytree(toy, tmp_path / "models" / "toy")
    folder = jobs.make(tmp_path, adapter_name="own", chat_template=OWN, training_config={"max_steps": 1})
    folder.train_file.write_text(_chat("What is red?", "A color."))

    jobs.train_here(folder)

    adapter = adapters.read(DataRoot.at(tmp_path), tmp_path / "adapters" / "own")
    tokenizer = toys.tokenizer()
    prompt = Prompts(tokenizer, len(tokenizer)).tokens([Message("user", "What is red?")], adapter.chat)
    [[document]] = list(TokenFiles(folder.tokens / "train"))
    [(begin, _)] = document.spans
    assert document.tokens[:begin] == prompt
    assert tokenizer.decode(prompt) == "<user>What is red?\n<assistant>"
    assert (adapter.path / chat_templates.FILE).read_text() == OWN
    assert json.loads((adapter.path / "adapter.json").read_text())["chat"]["template"] is None
    assert "Its chat template is `chat_template.jinja`" in (adapter.path / "README.md").read_text()


def test_rows_that_the_model_s_own_template_refuses_are_learned_with_the_job_s(tmp_path: Path) -> None:
    tokenizer = chats.tokenizer("deepseek_r1")
    (tmp_path / "rows.jsonl").write_text(_chat("2+3?", "It is 5."))
    source = RowSource("rows.jsonl", str(tmp_path / "rows.jsonl"))

    def learned(job: Job) -> str:
        served = chats.served("deepseek_r1", tokenizer)
        template = job_template(job, None, tokenizer, NOW)
        how = Tokenizer(tokenizer, template, served, NOW, 100, None, None, skip_invalid=False)
        [[document]] = list(how.tokenize(source, tmp_path / "job" / "tokens" / "train").rows)
        return "|".join(str(tokenizer.decode(document.tokens[begin:end])) for begin, end in document.spans)

    with pytest.raises(ServiceError, match="give a chat_template with the job"):
        learned(Job(model_name="r1"))
    assert learned(Job(model_name="r1", chat_template=OWN)) == f"It is 5.{tokenizer.eos_token}"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{% for message in messages %}", "The chat template is no valid template: .*endfor"),
        ("{{ raise_exception('no') }}", "chat_template does not take a single question of the user: no"),
        ("{{ messages[1].content }}", "chat_template does not take a single question .* no element 1"),
        ("{{ messages | nothing }}", "No filter named 'nothing'"),
        ("Hello!", "chat_template does not write what the user says"),
    ],
)
def test_a_template_that_cannot_be_asked_with_is_refused(source: str, words: str) -> None:
    with pytest.raises(ServiceError, match=words):
        job_template(Job(model_name="x", chat_template=source), None, chats.tokenizer("chatml"), NOW)


@pytest.mark.parametrize(("content", "words"), [(b"\xff", "is not UTF-8"), (b"x" * 70_000, "is larger than 64 KiB")])
def test_a_file_that_is_no_template_is_the_adapter_s_problem(
    tmp_path: Path, trained: Path, content: bytes, words: str
) -> None:
    shutil.copytree(trained, tmp_path / "adapters" / "mine")
    (tmp_path / "adapters" / "mine" / chat_templates.FILE).write_bytes(content)

    adapter = adapters.read(DataRoot.at(tmp_path), tmp_path / "adapters" / "mine")

    assert f"mine/{chat_templates.FILE}: {words}" in str(adapter.problem)
