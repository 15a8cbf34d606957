"""Talk with an adapter or a base model, or with two of them side by side."""

import sys
from contextlib import suppress

import click

from cli._shared import named
from cli._shared.conversation import Conversation
from cli._shared.exits import Exit, Failure


@click.command()
@click.argument("name", metavar="[ADAPTER|MODEL]", required=False, shell_complete=named.complete_answering)
@click.option("-s", "--system", metavar="TEXT", help="The system prompt.")
@click.option(
    "--vs", metavar="OTHER", help="Another one that is asked the same.", shell_complete=named.complete_answering
)
@click.option("-p", "--prompt", metavar="TEXT", help="Ask this alone, and end; standard input is put behind it.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As /set: temperature=0, max_tokens=100.")
def command(name: str | None, system: str | None, vs: str | None, prompt: str | None, settings: tuple[str, ...]) -> int:
    r"""Without a name, the loaded adapter answers. In the conversation:

    \b
    triple quotes  begin and end a text of several lines
    /reset         forgets what was said
    /set K V       changes temperature, max_tokens, top_p or seed
    /bye           leaves, as Ctrl-D does
    Ctrl-C         stops an answer; at the prompt it leaves
    """
    asked = [name] if vs is None else [name, vs]
    conversations = [Conversation(each, system) for each in asked]
    for setting in settings:
        key, _, value = setting.partition("=")
        _set(conversations, key, value)
    if prompt is not None or not sys.stdin.isatty():
        piped = "" if sys.stdin.isatty() else sys.stdin.read()
        _ask(conversations, "\n".join(filter(None, (prompt, piped.rstrip("\n")))))
        return Exit.DONE
    return _talk(conversations)


def _talk(conversations: list[Conversation]) -> int:
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415  the arrow keys; not on every system
    while True:
        try:
            said = _read()
        except EOFError:
            click.echo()
            return Exit.DONE
        if said.strip() == "/bye":
            return Exit.DONE
        try:
            _take(conversations, said)
        except KeyboardInterrupt:  # ends the answer alone
            click.echo()
        except Failure as failure:  # a refusal does not end the talk
            click.echo(str(failure), err=True)


def _take(conversations: list[Conversation], said: str) -> None:
    """What was typed: a question, or a word to this program."""
    word, *rest = said.split(maxsplit=2) or [""]
    if word == "/reset":
        for conversation in conversations:
            conversation.reset()
    elif word == "/set" and len(rest) == 2:
        _set(conversations, *rest)
    elif word.startswith("/"):
        raise Failure("There is /reset, /set temperature 0, and /bye")
    elif word:
        _ask(conversations, said)


def _read() -> str:
    """What is typed: a line, or all between two lines of three quotation marks. Raises EOFError."""
    line = input(">>> ")
    if not line.startswith('"""'):
        return line
    lines = [line.removeprefix('"""')]
    while not lines[-1].endswith('"""'):
        lines.append(input("... "))
    return "\n".join([*lines[:-1], lines[-1].removesuffix('"""')]).strip("\n")


def _set(conversations: list[Conversation], key: str, value: str) -> None:
    for conversation in conversations:
        conversation.set(key, value)


def _ask(conversations: list[Conversation], said: str) -> None:
    for conversation in conversations:
        if len(conversations) > 1:
            click.secho(f"── {conversation.model or 'the loaded adapter'}", bold=True)
        for piece in conversation.ask(said):
            click.echo(piece, nl=False)
        click.echo()
