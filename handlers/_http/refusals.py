"""Every failure's status and its one shape, `{"error": "..."}`, in the specification's words."""

import errno
import logging
from collections.abc import Callable
from typing import Any

from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
)
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import OpenAPI
from litestar.types import ASGIApp, Scope
from msgspec import Struct

from handlers._http.sentences import parameter_problem
from runtime.process.logs import REQUEST
from runtime.server.processes import ProcessDied
from state.errors import Busy, NotFound, ServiceError
from state.jobs import DISK_FULL

log = logging.getLogger(__name__)

PROTOCOL_PATHS = ("/v1", "/tokenize", "/detokenize")
"""What these begin is OpenAI's protocol, or vLLM's additions to it."""
DECLARED = 500

_OF_THE_DISK = (*DISK_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class ErrorReply(Struct):
    """The body of every answer that is not a success."""

    error: str


def refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response[ErrorReply]:
    return Response(ErrorReply(sentence), status_code=status, headers=headers, media_type="application/json")


class ProtocolProblem(Struct):
    """Why, in the shape of OpenAI's API."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ProtocolErrorReply(Struct):
    """The body of every answer of OpenAI's protocol that is not a success."""

    error: ProtocolProblem


def protocol_error(status: int, sentence: str) -> ProtocolErrorReply:
    kinds = {404: "not_found_error", 429: "rate_limit_error"}
    kind = "server_error" if status >= 500 else kinds.get(status, "invalid_request_error")
    return ProtocolErrorReply(ProtocolProblem(sentence, kind, code="invalid_api_key" if status == 401 else None))


def refusing(scope: Scope, status: int, sentence: str, headers: dict[str, str] | None = None) -> ASGIApp:
    """What answers in place of the application: the request is refused before any handler is looked for."""
    request = Request[Any, Any, Any](scope)
    return in_shape(request, refuse(status, sentence, headers)).to_asgi_response(None, request)


def shaped(
    failure: Callable[[Request[Any, Any, Any], Any], Response[ErrorReply]],
) -> Callable[[Request[Any, Any, Any], Any], Response[Any]]:
    """A failure's handler whose answers have the shape of what the path belongs to."""

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        response = in_shape(request, failure(request, error))
        if isinstance(error, ServiceError) and isinstance(response.content, ProtocolErrorReply):
            problem = response.content.error
            problem.param, problem.code = error.param, error.code or problem.code
        return response

    return handle


def in_shape(request: Request[Any, Any, Any], response: Response[ErrorReply]) -> Response[Any]:
    if not request.scope["path"].startswith(PROTOCOL_PATHS):
        return response
    status = response.status_code or 500
    body = protocol_error(status, response.content.error)
    return Response(body, status_code=status, headers=response.headers, media_type="application/json")


def from_service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[ErrorReply]:
    if isinstance(error, ProcessDied):
        return refuse(500, str(error))
    if isinstance(error, Busy):
        return refuse(429, str(error), {"Retry-After": "1"})
    return refuse(404 if isinstance(error, NotFound) else 400, str(error))


def from_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorReply]:
    """Litestar's own refusals: unknown paths, wrong methods, bad parameters, bodies beyond the limit."""
    path = request.scope["path"]
    if isinstance(error, MethodNotAllowedException):
        allowed = (error.headers or {}).get("allow", "")
        return refuse(
            405, f"{request.method} is not allowed on {path}{f': use {allowed}' if allowed else ''}", error.headers
        )
    if isinstance(error, NotFoundException):
        return refuse(404, f"No endpoint at {path}")
    if isinstance(error, RequestEntityTooLarge):
        return refuse(413, "The request body is larger than this server accepts")
    fields = request.route_handler.parsed_fn_signature.parameters if error.extra else {}
    problems = [parameter_problem(problem, fields) for problem in error.extra or [] if isinstance(problem, dict)]
    return refuse(error.status_code, "; ".join(problems) or error.detail, error.headers)


def from_any(request: Request[Any, Any, Any], error: Exception) -> Response[ErrorReply]:
    """What nobody foresaw: the log has the traceback, the caller what failed."""
    log.error("%s %s failed", request.method, request.scope["path"], exc_info=error)
    handler = request.scope.get("route_handler")
    action = handler.opt.get("action", "answer") if handler is not None else "answer"
    reason = error.strerror if isinstance(error, OSError) and error.errno in _OF_THE_DISK else None
    unforeseen = f"Internal server error; the log has more of the request {REQUEST.get()}"
    return refuse(500, f"Failed to {action}: {reason or unforeseen}")


def describe_failures(schema: OpenAPI) -> None:
    """Say in the OpenAPI description what litestar cannot know: that every refusal of a path has the one shape.

    The handlers declare it for one status (`declare`), from the Structs that are sent.
    """
    for path in (schema.paths or {}).values():
        for operation in (path.get, path.post, path.patch, path.delete):
            if operation is not None and operation.responses is not None:
                operation.responses = {
                    "200": operation.responses["200"],
                    "default": operation.responses[str(DECLARED)],
                }


def declare(path: str, handlers: list[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Have these handlers of one router say what their refusals look like."""
    for handler in handlers:
        place = f"{path.rstrip('/')}{next(iter(handler.paths))}"
        kind = ProtocolErrorReply if place.startswith(PROTOCOL_PATHS) else ErrorReply
        refusal = ResponseSpec(kind, description="a refusal, in one sentence", generate_examples=False)
        handler.responses = {**(handler.responses or {}), DECLARED: refusal}
    return handlers
