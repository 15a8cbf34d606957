"""GET /: the dashboard, a page that speaks to the API below /api."""

from typing import Any

from litestar import Request, Response, route
from litestar.enums import HttpMethod

from handlers._http import assets


@route(
    "/",
    http_method=[HttpMethod.GET, HttpMethod.HEAD],
    opt={"action": "show the dashboard"},
    include_in_schema=False,
    sync_to_thread=False,
)
def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    return assets.answer(request, assets.PAGE)
