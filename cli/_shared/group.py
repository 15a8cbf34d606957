"""A group whose commands are the modules of a package, imported when they run."""

import importlib
import importlib.util
import pkgutil
from typing import Any

import click
from click.shell_completion import CompletionItem


class FoundGroup(click.Group):
    """`rm_adapter.py` is `rm-adapter`, and `import_.py` is `import`, which Python has taken. `_shared` is none."""

    def __init__(self, package: str, **settings: Any) -> None:  # noqa: ANN401  click's own
        super().__init__(**settings)
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's own
        return sorted(self._modules())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's own
        found = self._modules().get(cmd_name)
        if found is None:
            return None
        module = importlib.import_module(found)
        command: click.Command = module.command
        command.name = cmd_name
        command.help = command.help or module.__doc__
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._first_line(name)) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=self._first_line(name)) for name in names] + options

    def _modules(self) -> dict[str, str]:
        """Every command's module."""
        folder = importlib.import_module(self._package).__path__
        names = [found.name for found in pkgutil.iter_modules(folder) if not found.name.startswith("_")]
        return {name.rstrip("_").replace("_", "-"): f"{self._package}.{name}" for name in names}

    def _first_line(self, name: str) -> str:
        """Of the module's docstring, by its text alone."""
        spec = importlib.util.find_spec(self._modules()[name])
        assert spec is not None  # noqa: S101  it was found
        assert spec.origin is not None  # noqa: S101  a file
        with open(spec.origin, encoding="utf-8") as source:  # noqa: PTH123  pathlib is not needed otherwise
            return source.readline().strip().strip('"').rstrip(".")
