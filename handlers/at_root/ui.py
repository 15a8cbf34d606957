"""GET /ui/{path}: the dashboard's scripts, styles and pictures."""

from typing import Any

from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.params import FromPath

from handlers._http import assets


@route(
    "/ui/{path:path}",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt={"action": "send a file of the dashboard"},
    include_in_schema=False,
    sync_to_thread=True,
)
def ui(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
    return assets.answer(request, path)
