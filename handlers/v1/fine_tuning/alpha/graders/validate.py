"""POST /v1/fine_tuning/alpha/graders/validate: whether a grader can give scores, in OpenAI's protocol."""

from litestar import post
from litestar.params import JSONBody
from msgspec import Struct

from runtime.server.grading.grade import checked
from state.graders import AnyGrader, Grader


class ValidateRequest(Struct, forbid_unknown_fields=True, frozen=True):
    grader: AnyGrader


class ValidateReply(Struct):
    grader: Grader


@post("/fine_tuning/alpha/graders/validate", status_code=200, sync_to_thread=False, opt={"action": "validate grader"})
def validate_grader(data: JSONBody[ValidateRequest]) -> ValidateReply:
    return ValidateReply(checked(data.grader))
