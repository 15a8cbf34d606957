"""What an answer is held to, in OpenAI's protocol."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from state.errors import ServiceError

ANY_OBJECT = '{"type":"object"}'


class JsonSchema(Struct, forbid_unknown_fields=True):
    """An answer is held to the schema, `strict` or not."""

    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, forbid_unknown_fields=True):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def held_to(self) -> str | None:
        """The schema that an answer is held to, in JSON. Raises ServiceError where it is missing, or one too many."""
        if (self.json_schema is not None) != (self.type == "json_schema"):
            raise ServiceError(
                "response_format needs its json_schema where its type is json_schema, and only there",
                param="response_format",
            )
        if self.json_schema is not None:
            return msgspec.json.encode(self.json_schema.schema).decode()
        return ANY_OBJECT if self.type == "json_object" else None
