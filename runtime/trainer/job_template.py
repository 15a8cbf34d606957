"""The chat template of a job: its own, that of the adapter that it goes on from, or the model's."""

from datetime import datetime

from transformers import PreTrainedTokenizerBase

from runtime.model import chat
from runtime.model.chat import ChatTemplate, TemplateRaised
from state.errors import ServiceError
from state.jobs import Job

QUESTION = "QZ7 a question 7ZQ"


def job_template(job: Job, continued: str | None, tokenizer: PreTrainedTokenizerBase, today: datetime) -> ChatTemplate:
    """`continued` is the template of the adapter that the job goes on from; `today` is what a template is
    told that writes a date.

    A job's own template is tried with a single question, for the job may have no conversation that it would fail with
    before it is served. Raises ServiceError.
    """
    template = ChatTemplate(tokenizer, job.chat_template or continued, now=lambda: today)
    if job.chat_template is not None:
        _try(template)
    return template


def _try(template: ChatTemplate) -> None:
    question = chat.turns([{"role": "user", "content": QUESTION}])
    try:
        prompt = template.render(question, add_generation_prompt=True)
    except TemplateRaised as error:
        raise ServiceError(f"chat_template does not take a single question of the user: {error.said}") from error
    if QUESTION not in prompt:
        raise ServiceError("chat_template does not write what the user says: messages[0].content of a single question")
