"""The API's description at /schema: openapi.json, openapi.yaml, and a page of it that loads nothing from anywhere."""

import json
from html import escape
from typing import Any

from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, YamlRenderPlugin

from state.version import VERSION

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Lathe's API</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font: bold 1rem monospace; border-top: 1px solid #ccc; padding-top: 1rem; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 0 1.5rem 0 0; vertical-align: top; }
</style>
</head>
<body>
<h1>Lathe's API</h1>
<p>For programs: <a href="/schema/openapi.json">openapi.json</a>, <a href="/schema/openapi.yaml">openapi.yaml</a>.</p>
"""


class Page(OpenAPIRenderPlugin):
    """Every operation with its parameters and the fields of its body and answer, as plain HTML."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        del request
        operations = [
            _operation(f"{method.upper()} {path}", operation, openapi_schema)
            for path, methods in openapi_schema["paths"].items()
            for method, operation in methods.items()
        ]
        return (_HEAD + "\n".join(operations) + "\n</body>\n</html>\n").encode()


CONFIG = OpenAPIConfig(
    title="Lathe",
    version=VERSION,
    path="/schema",
    render_plugins=[Page(path="/"), JsonRenderPlugin(path="/openapi.json"), YamlRenderPlugin()],
)


def _operation(title: str, operation: dict[str, Any], description: dict[str, Any]) -> str:
    parameters = [
        (f"{parameter['name']} (in the {parameter['in']})", parameter["schema"], parameter.get("required", False))
        for parameter in operation.get("parameters", [])
    ]
    body = _fields(operation.get("requestBody", {}), description)
    answer = _fields(operation["responses"]["200"], description)
    return (
        f"<h2>{escape(title)}</h2>"
        + _table("Parameters", parameters)
        + _table("Request", body)
        + _table("Answer", [(name, schema, False) for name, schema, _ in answer])
    )


def _fields(message: dict[str, Any], description: dict[str, Any]) -> list[tuple[str, dict[str, Any], bool]]:
    """Name, schema and whether it is required, of a JSON message's fields."""
    schema = message.get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = description["components"]["schemas"][_name(schema)]
    required = schema.get("required", [])
    return [(name, field, name in required) for name, field in schema.get("properties", {}).items()]


def _table(title: str, fields: list[tuple[str, dict[str, Any], bool]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(schema) + ', required' * required)}</td></tr>"
        for name, schema, required in fields
    )
    return f"<table><tr><th colspan=2>{title}</th></tr>{rows}</table>" if rows else ""


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _name(schema)
    if "oneOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["oneOf"]))
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = schema.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rsplit("/", 1)[-1]
