"""Print the script that has a shell complete commands, options and names."""

import click
from click.shell_completion import get_completion_class

HOW = {
    "bash": 'eval "$(lathe completion bash)"      in ~/.bashrc',
    "zsh": 'eval "$(lathe completion zsh)"       in ~/.zshrc',
    "fish": "lathe completion fish | source      in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(HOW.values()))
@click.argument("shell", type=click.Choice(list(HOW)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101  one of click's own
    click.echo(kind(context.find_root().command, {}, "lathe", "_LATHE_COMPLETE").source())
