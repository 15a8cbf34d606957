"""POST /v1/fine_tuning/alpha/graders/run: one answer's score, in OpenAI's protocol."""

import time

from litestar import post
from litestar.params import JSONBody
from msgspec import Struct

from runtime.server.grading.grade import Grade, checked, grade
from state.graders import AnyGrader, Grader


class RunRequest(Struct, forbid_unknown_fields=True, frozen=True):
    """`model_sample` is the answer: `{{sample.output_text}}`. `item` is its row."""

    grader: AnyGrader
    model_sample: str
    item: dict[str, object] = {}


class Errors(Struct):
    """Why there is no score: at most one of these. Those of graders that are refused here are always false."""

    formula_parse_error: bool = False
    invalid_variable_error: bool = False
    """The row, or an answer in JSON, lacks what a template names."""
    model_grader_parse_error: bool = False
    model_grader_refusal_error: bool = False
    model_grader_server_error: bool = False
    model_grader_server_error_details: str | None = None
    other_error: bool = False
    """The formula has no finite number for these scores."""
    python_grader_runtime_error: bool = False
    python_grader_runtime_error_details: str | None = None
    python_grader_server_error: bool = False
    python_grader_server_error_type: str | None = None
    sample_parse_error: bool = False
    """The answer is no JSON, and a template names a part of it."""
    truncated_observation_error: bool = False
    unresponsive_reward_error: bool = False


class Metadata(Struct):
    name: str
    type: str
    errors: Errors
    execution_time: float
    """In seconds."""
    scores: dict[str, float]
    """Of a multi grader's parts."""
    token_usage: int | None = None
    sampled_model_name: str | None = None


class RunReply(Struct):
    """`reward` is 0 where there is no score."""

    reward: float
    metadata: Metadata
    sub_rewards: dict[str, float]
    model_grader_token_usage_per_model: dict[str, int] = {}


@post("/fine_tuning/alpha/graders/run", status_code=200, sync_to_thread=True, opt={"action": "run grader"})
def run_grader(data: JSONBody[RunRequest]) -> RunReply:
    grader = checked(data.grader)
    began_s = time.perf_counter()
    found = grade(grader, data.model_sample, data.item)
    return _reply(grader, found, time.perf_counter() - began_s)


def _reply(grader: Grader, found: Grade, took_s: float) -> RunReply:
    errors = Errors()
    if found.problem is not None:
        setattr(errors, found.problem, True)
    kind = str(grader.__struct_config__.tag)
    return RunReply(found.score, Metadata(grader.name, kind, errors, took_s, found.parts), found.parts)
