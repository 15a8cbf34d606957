"""What Tab offers."""

import pytest
from click.testing import CliRunner

from cli._shared.program import program
from tests.cli.conftest import Lathe
from tests.server import Server, wait_until


def _offered(lathe: Lathe, *words: str) -> list[str]:
    """The last word is incomplete."""
    place = {
        "_LATHE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["lathe", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = lathe(**place)
    assert (done.code, done.err) == (0, "")
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


def test_commands_and_options_are_offered(lathe_alone: Lathe) -> None:
    assert _offered(lathe_alone, "rm") == ["rm", "rm-adapter"]
    assert _offered(lathe_alone, "data", "ch") == ["check"]
    assert "--follow" in _offered(lathe_alone, "logs", "--f")


def test_what_the_server_lists_is_offered(queueing: Server, lathe: Lathe) -> None:
    job_id = queueing.start(adapter_name="to-be-completed")
    queueing.post("/training/data/upload", {"dataset_name": "to-be-completed", "train_texts": ["one"]})

    # at one Tab or another: nothing is offered where the server does not answer within 0.15 s
    wait_until(lambda: job_id in _offered(lathe, "stop", job_id[:4]), "the job is offered")
    wait_until(lambda: _offered(lathe, "train", "x", "-m", "tiny-p") == ["tiny-python"], "the model is offered")
    wait_until(lambda: "to-be-completed" in _offered(lathe, "data", "show", "to-be"), "the data set is offered")


def test_without_a_server_nothing_is_offered_and_nothing_is_said(lathe_alone: Lathe) -> None:
    assert _offered(lathe_alone, "stop", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    done = CliRunner().invoke(program, ["completion", shell], prog_name="lathe")

    assert done.exit_code == 0
    assert f"_LATHE_COMPLETE={shell}_complete" in done.output
