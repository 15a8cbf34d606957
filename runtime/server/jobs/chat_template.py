"""A job's chat template, looked at before the job is there.

Only its grammar: the trainer renders it, in a process of its own. A template is a program, and one that never ends, or
that fills the memory, must not do so here.
"""

from jinja2 import TemplateSyntaxError, nodes
from jinja2.environment import Environment
from jinja2.ext import Extension
from jinja2.parser import Parser

from state.errors import ServiceError


class _Generation(Extension):
    """transformers' own tag: what stands in it is the assistant's."""

    tags = {"generation"}  # noqa: RUF012  jinja2's own type

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


_ENVIRONMENT = Environment(extensions=["jinja2.ext.loopcontrols", _Generation])


def check(source: str) -> None:
    """Raise ServiceError for what is no template."""
    try:
        _ENVIRONMENT.parse(source)
    except TemplateSyntaxError as error:
        raise ServiceError(f"chat_template is no valid template: line {error.lineno}: {error.message}") from error
    except RecursionError as error:
        raise ServiceError("chat_template is no valid template: it is nested too deeply") from error
