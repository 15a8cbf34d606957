"""GET /v1/models/{name}: one base model or adapter that can answer now, in OpenAI's protocol."""

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from handlers.v1.models.entries import Model
from runtime.server.answering import listing
from runtime.server.service import Service


@get("/models/{name:path}", opt={"action": "show model"}, sync_to_thread=True)
def show_model(name: FromPath[str], service: NamedDependency[Service]) -> Model:
    """A hub id has a slash, which clients send as it is or as %2F."""
    return Model.of(listing.find(service.root, service.index, name.removeprefix("/")))
