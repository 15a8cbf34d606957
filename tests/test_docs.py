"""The documentation keeps its promises: it names what there is, and its commands work as written."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

import handlers
from state.config import LoraConfig, TrainingConfig
from tests.server import CHECKOUT, Server

CODE = ("cli", "handlers", "runtime", "state")
PAGES = sorted([CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")])


def _commands(page: str) -> list[str]:
    """The curl commands of a page, in order, with what is piped into them."""
    blocks = re.findall(r"```bash\n(.*?)```", (CHECKOUT / page).read_text(), flags=re.DOTALL)
    joined = "\n".join(block for block in blocks if "curl" in block)
    return re.findall(r"^(?:tar .*\| )?curl (?:'[^']*'|\\\n|[^\n'])+", joined, flags=re.MULTILINE)


def _run(server: Server, command: str, ids: dict[str, str]) -> dict[str, object]:
    for word, one in {"localhost:5001": f"localhost:{server.port}", **ids}.items():
        command = command.replace(word, one)
    done = subprocess.run(["bash", "-c", command], cwd=server.root, capture_output=True, text=True, check=True)
    if done.stdout.startswith("Success: "):  # vLLM's adapter endpoints answer in words
        return {"text": done.stdout}
    reply: dict[str, object] = json.loads(done.stdout)
    return reply


def test_every_endpoint_is_in_the_api_page() -> None:
    page = (CHECKOUT / "docs" / "api.md").read_text()

    for place, found in handlers.find_handlers().items():
        for handler in found:
            if handler.include_in_schema is False:
                continue  # the dashboard's files are no part of the API
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", next(iter(handler.paths)))
            assert f"### {next(iter(handler.http_methods))} {place.rstrip('/')}{path}\n" in page


def test_every_setting_is_in_the_configuration_page_with_its_default() -> None:
    page = (CHECKOUT / "docs" / "configuration.md").read_text()

    for kind in (LoraConfig, TrainingConfig):
        for field in msgspec.structs.fields(kind):
            row = re.search(rf"^\| `{field.name}` \| ([^|]+) \|", page, flags=re.MULTILINE)
            assert row is not None, field.name
            if field.default is not None:
                assert json.loads(row[1].strip("` ")) == field.default


def test_every_option_of_the_server_is_in_the_configuration_page() -> None:
    page = (CHECKOUT / "docs" / "configuration.md").read_text()
    shown = subprocess.run(
        [sys.executable, "main.py", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    options = set(re.findall(r"--[a-z][a-z-]+", shown.stdout)) - {"--help"}

    assert options > {"--host", "--root"}
    for option in options:
        assert re.search(rf"^\|[^|]*`{option}`", page, flags=re.MULTILINE), option


def test_every_variable_that_lathe_reads_is_in_the_configuration_page() -> None:
    page = (CHECKOUT / "docs" / "configuration.md").read_text()
    sources = [CHECKOUT / "server.py", *(file for name in CODE for file in (CHECKOUT / name).rglob("*.py"))]
    read = {name for file in sources for name in re.findall(r"\bLATHE_[A-Z_]+", file.read_text())}

    assert read > {"LATHE_ROOT"}
    for name in read:
        assert re.search(rf"^\|[^|]*`{name}`", page, flags=re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_file_of_lathes_own_that_a_page_names_is_there(page: Path) -> None:
    folders = "|".join((*CODE, "benchmarks", "demo", "deploy", "docs", "pretraining", "tests"))
    named = re.findall(rf"`((?:{folders})/[\w/.-]+\.\w+)`", page.read_text())

    assert [file for file in named if not (CHECKOUT / file).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_module_that_a_page_has_run_is_there(page: Path) -> None:
    for module in re.findall(r"python -m ((?:cli|runtime|benchmarks|demo|pretraining)[\w.]*)", page.read_text()):
        place = CHECKOUT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not heading or heading in _headings(target), link


def _headings(page: Path) -> set[str]:
    """As links name them."""
    written = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in written}


def test_every_promise_names_a_test_that_there_is() -> None:
    promises = (CHECKOUT / "docs" / "what-happens-when.md").read_text()
    named = re.findall(r"^`(tests/\S+)::(\w+)`$", promises, flags=re.MULTILINE)

    assert len(named) > 20
    for file, name in named:
        assert f"def {name}(" in (CHECKOUT / file).read_text(), f"{file}::{name}"


OF_OTHER_STATES = ("/stop/", "/pause/", "/resume/", "DELETE localhost:5001/api/training/jobs")


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_every_command_of_the_page_works_as_written(training: Server, page: str) -> None:
    ids: dict[str, str] = {}
    for command in _commands(page):
        if any(part in command for part in OF_OTHER_STATES):
            continue  # for jobs in other states; their own tests have them
        if "adapters/my-first" in command:
            training.wait_for(ids["JOB_ID"], "completed")

        reply = _run(training, command, ids)

        assert not reply.get("error"), f"{command}\n{reply}"
        for part, name in {"training/start": "job_id", "/evaluate": "evaluation_id"}.items():
            if part in command:
                ids[name.upper()] = str(reply[name])
    for name in ("my-first", "my-second", "my-third"):
        training.delete(f"/adapters/{name}")  # free for the next page


BY_THEIR_OWN_TEST = {
    "README.md": "curl |lathe ",
    "docs/api.md": "curl ",
    "docs/cli.md": "lathe ",
    "docs/how-to.md": "",
}
"""Pages whose commands, of this kind, other tests run."""
NOT_RUN = {
    "make demo": "tests/demo/test_run.py runs the demo; the other is this suite",
    "export PATH": "of the shell that it is typed in",
    "from openai import OpenAI\n\nclient =": "docs/how-to.md has the same, which is run, or another machine is asked",
    "tools = [": "asks a model that can call tools, 4 GB",
    ".venv/bin/python main.py": "starts a server, which does not end by itself",
    "LATHE_API_KEY=change-me .venv/bin/python main.py": "starts a server, which does not end by itself",
    "LATHE_MEMORY_MB=8000 .venv/bin/python -m runtime.trainer": "names whatever job is tried by hand",
    "from peft import": "docs/elsewhere.md: torch for seconds; tests/runtime/model and tests/runtime/export do so",
    "model = AutoModelForCausalLM": "goes on from the block before",
    "curl -s localhost:5001/api/adapters/my-first/export": "torch for seconds; docs/how-to.md and docs/api.md export",
    "vllm serve": "vLLM",
    "VLLM_ALLOW": "vLLM",
    "curl -s localhost:5001/api/adapters/my-first/evaluate": "tests/handlers/adapters/test_evaluate.py runs them",
    "curl -s localhost:5001/api/evaluations/EVALUATION_ID\ncurl": "tests/handlers/adapters/test_evaluate.py runs them",
    "pip install": "installs from PyPI",
    "curl -s -X POST localhost:5001/api/adapters/my-first/load\nlm_eval": "tests/handlers/v1/test_lm_eval.py runs it",
    "curl -sN --max-time 3": "tests/handlers/test_events.py runs it",
    "from pathlib import Path\n\nfrom openai": "tests/handlers/v1/fine_tuning/test_acceptance.py runs it",
    "import time\n\nwhile job.status": "goes on from the block before",
    "events = list(client": "goes on from the block before",
    "client.files.delete": "goes on from the block before",
    ".venv/bin/python -m": "measures for minutes; that the module is there, another test sees",
    "OMP_NUM_THREADS=1 .venv/bin/python -m": "measures for minutes",
    "LATHE_LLAMA_SERVER=/path/to": "measures for minutes",
    "LATHE_MEMORY_MB=7500": "measures for minutes",
    "sudo ": "installs a service",
    "podman ": "builds an image",
    "curl -s http://gpu-box": "another machine",
    "rsync ": "of an installed service's folders",
}
"""How the blocks begin that no test runs, and why. All others are run as they are written."""


def _blocks(page: Path) -> list[str]:
    """What a page has typed: shell and Python."""
    return re.findall(r"^```(?:bash|python)\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def _blocks_to_run(page: Path) -> list[str]:
    kind = BY_THEIR_OWN_TEST.get(str(page.relative_to(CHECKOUT)), "(?!)")
    others = [block for block in _blocks(page) if not re.search(f"^.*(?:{kind})", block, flags=re.MULTILINE)]
    return [block for block in others if not block.startswith(tuple(NOT_RUN))]


def test_whatever_is_not_run_is_there() -> None:
    every = [block for page in PAGES for block in _blocks(page)]

    assert [beginning for beginning in NOT_RUN if not any(block.startswith(beginning) for block in every)] == []


def test_the_other_pages_commands_work_as_written(training: Server, tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}]}\n'
    )
    blocks = [block for page in PAGES for block in _blocks_to_run(page) if "jq " not in block or shutil.which("jq")]
    assert len(blocks) >= 4
    here = f"localhost:{training.port}"
    newest = f'$(curl -s {here}/api/training/jobs?limit=1 | grep -o \'"job_id":"[^"]*\' | cut -d \'"\' -f 4)'

    for block in blocks:
        script = block.replace("localhost:5001", here).replace("JOB_ID", newest)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode, '{"error":' in done.stdout) == (0, False), f"{block}\n{done.stdout}\n{done.stderr}"

    for job in training.get("/training/jobs?status=running").json()["jobs"]:
        training.post(f"/training/stop/{job['job_id']}")


def test_the_licence_is_there_whole_and_the_project_and_the_readme_name_it() -> None:
    licence = (CHECKOUT / "LICENSE").read_text()
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]

    assert "Apache License\n                           Version 2.0" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert "Apache License 2.0, see [LICENSE](LICENSE)" in (CHECKOUT / "README.md").read_text()
