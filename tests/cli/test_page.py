"""docs/cli.md holds every command, every option and every exit code, and its commands work as written."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli._shared.exits import Exit
from cli._shared.program import program
from tests.cli.conftest import Lathe, plain
from tests.server import CHECKOUT, PATIENCE_S, Server
from tests.unloadable import unloadable

PAGE = (CHECKOUT / "docs" / "cli.md").read_text()


def _commands(group: click.Group, above: str = "lathe") -> dict[str, click.Command]:
    """Every command by its whole name."""
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found[f"{above} {name}"] = command
        if isinstance(command, click.Group):
            found |= _commands(command, f"{above} {name}")
    return found


COMMANDS = _commands(program)


def _section(name: str) -> str:
    found = re.search(rf"^### {name}(?: [^a-z\n][^\n]*| bash[^\n]*)?\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def test_there_is_a_command_for_whatever_the_api_does() -> None:
    told = (
        "serve train plan jobs job watch logs stop resume pause rm curve adapters load unload rename describe export "
        "import rm-adapter evaluate chat data models doctor completion"
    )

    assert {f"lathe {name}" for name in told.split()} <= set(COMMANDS)
    assert {"lathe data check", "lathe data upload", "lathe data show"} <= set(COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_stands_in_the_page_with_its_options(name: str) -> None:
    section = _section(name)

    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            for option in parameter.opts:
                assert f"`{option}`" in section or f"`{option} KEY=VALUE`" in section, option


def test_every_exit_code_stands_in_the_page() -> None:
    told = re.findall(r"^\| (\d+) \| \w", PAGE, re.MULTILINE)

    assert [int(code) for code in told] == sorted(Exit)


def test_the_commands_of_the_readme_are_the_pages() -> None:
    readme = _blocks((CHECKOUT / "README.md").read_text())

    assert len(readme) == 1
    assert readme[0] in PAGE


def _blocks(text: str) -> list[str]:
    """What is to be typed and calls lathe."""
    found = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    return [block for block in found if re.search(r"^lathe ", block, flags=re.MULTILINE)]


@pytest.fixture(scope="module")
def adder(training: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lathe, str]]:
    """The commands of the page have been run, one after another: what they printed, and who runs more."""
    lathe = Lathe(tmp_path_factory.mktemp("page"), LATHE_URL=f"http://localhost:{training.port}")
    training_block, *blocks = _blocks(PAGE)
    with unloadable(training.root, "tiny-python"):  # else the training may be over before it is watched
        trains = lathe.begin_script(training_block)
        assert trains.stdout is not None
        printed = ""
        while "status=running\n" not in printed:
            line = trains.stdout.readline()
            assert line, f"{printed}\n{trains.communicate()[1]}"
            printed += line
    out, err = trains.communicate(timeout=PATIENCE_S)
    assert trains.returncode == 0, err
    printed += out
    for block in blocks:
        done = lathe.script(block)
        assert done.code == 0, f"{block}\n{done.err}"
        printed += done.out
    yield lathe, printed
    lathe("rm-adapter", "adder")


def test_the_pages_commands_train_an_adapter_and_watch_it(adder: tuple[Lathe, str], training: Server) -> None:
    lathe, printed = adder
    lines = printed.splitlines()

    steps = [line.partition(" ")[0] for line in lines if line.startswith("step=")]
    assert steps == ["step=1", "step=10", "step=20"]
    assert [line for line in lines if line.startswith("status=")][-2:] == ["status=running", "status=completed"]
    assert lines[lines.index("── adder") + 1] == "def add(a, b):"
    assert "── tiny-python" in lines
    assert training.status(lines[0])["status"] == "completed"
    followed, bar = lathe("logs", "adder", "-f", "-n", "1"), lathe.on_terminal("watch", "adder")
    assert (followed.code, followed.out.count("\n"), "Completed" in followed.out) == (0, 1, True)
    assert (bar.code, "━" in bar.out, plain(bar.out).splitlines()[-1]) == (0, True, "completed")


def test_an_adapter_answers_on_a_terminal_and_in_a_pipe(adder: tuple[Lathe, str]) -> None:
    lathe, _ = adder
    settings = ["--set", "temperature=0", "--set", "max_tokens=5"]

    loaded, piped = lathe("load", "adder"), lathe("chat", *settings, stdin="Add two numbers\n")
    talk = lathe.on_terminal("chat", "adder", *settings, typed="Add two numbers\n/set temperature warm\n/bye\n")

    assert (loaded.code, piped.code) == (0, 0)
    assert piped.out.startswith("def add(")
    assert (talk.code, talk.out.count(piped.out.strip()), "must be a number" in talk.out) == (0, 1, True)
    assert [lathe("unload").code, lathe("unload").code] == [0, 1]
    assert lathe("chat", "nothing", "-p", "hi").code == 4


def test_an_adapter_is_imported_described_renamed_listed_and_removed(
    adder: tuple[Lathe, str], training: Server, tmp_path: Path
) -> None:
    lathe, _ = adder
    files = training.root / "adapters" / "adder"
    shutil.make_archive(str(tmp_path / "packed"), "zip", files)

    folder = lathe("import", str(files), "-n", "imported")
    packed = lathe("import", str(tmp_path / "packed.zip"), "--description", "Packed", "--json")
    described, renamed = lathe("describe", "imported", "Adds", "--tag", "toy"), lathe("rename", "imported", "renamed")
    listed = {row[0]: row for row in lathe("adapters").cells}

    assert (folder.code, folder.out) == (0, "Adapter imported imported successfully\n")
    assert json.loads(packed.out)["adapter_name"] == "packed"
    assert (described.code, described.out) == (0, "imported\tAdds\ttoy\n")
    assert (renamed.code, renamed.out) == (0, "imported is renamed now\n")
    assert (listed["renamed"][1], listed["renamed"][-2:]) == ("tiny-python", ["False", "Adds"])
    assert lathe("adapters", "--json").out.encode() == training.get("/adapters").content + b"\n"
    assert [lathe("export", *words).code for words in (("renamed", "pdf"), ("nothing", "gguf"))] == [2, 4]
    assert [lathe("rm-adapter", name).code for name in ("renamed", "packed", "renamed")] == [0, 0, 4]
